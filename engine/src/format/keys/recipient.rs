//! Public keys that session keys are wrapped to: X-Wing, which is X25519 and ML-KEM-768 together (SPEC chapter 5).

use super::{Key, derive};
use crate::format::error::{FormatError, Result};
use x_wing::{Ciphertext, Decapsulate, DecapsulationKey, Decapsulator, EncapsulationKey, KeyExport};
use zeroize::Zeroizing;

/// Length in bytes of an encapsulation.
pub const ENCAPSULATION_LENGTH: usize = x_wing::CIPHERTEXT_SIZE;

/// A public key of one class and epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(EncapsulationKey);

fn secret(wrap: &Key) -> DecapsulationKey {
    DecapsulationKey::from(derive("vault v1 recipient", wrap).0)
}

impl PublicKey {
    /// The public key to which everything is wrapped that `wrap`, a key of one class and epoch, unwraps.
    pub fn of(wrap: &Key) -> Self {
        Self(secret(wrap).encapsulation_key().clone())
    }

    /// Reads a key, 1,216 bytes that pass the check of FIPS 203, chapter 7.2.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        EncapsulationKey::try_from(bytes).map(Self).map_err(|_| FormatError::WrongField("public key"))
    }

    /// The key as it stands in a bundle.
    pub fn encode(&self) -> Vec<u8> {
        self.0.to_bytes().to_vec()
    }

    /// Makes a secret and what only the holder of `wrap` finds it from; `random` must never come twice.
    pub(super) fn encapsulate(&self, random: &[u8; 64]) -> (Vec<u8>, Zeroizing<[u8; 32]>) {
        let (encapsulation, shared) = self.0.encapsulate_deterministic(&(*random).into());
        (encapsulation.to_vec(), Zeroizing::new(shared.into()))
    }
}

/// The secret of an encapsulation; that of a changed one is another secret.
pub(super) fn decapsulate(wrap: &Key, encapsulation: &[u8]) -> Result<Zeroizing<[u8; 32]>> {
    let encapsulation = Ciphertext::try_from(encapsulation).map_err(|_| FormatError::Truncated)?;
    Ok(Zeroizing::new(secret(wrap).decapsulate(&encapsulation).into()))
}
