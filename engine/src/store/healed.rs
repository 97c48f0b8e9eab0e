//! Second tries for what is missing or damaged: the healed copy beside it (SPEC chapter 2), and for a pack its parity (chapter 11).

use super::error::{RepositoryError, Result};
use super::{Store, StoreError};
use crate::format::FormatError;
use crate::format::id::{ObjectHasher, ObjectId};
use crate::format::layout::ObjectName;
use crate::format::pack::PACK_LENGTH_MAX;
use crate::format::parity;
use std::collections::BTreeMap;

/// Bytes of an object that are read at a time when it cannot be read at once, and when they cannot either.
const WINDOW: usize = 1 << 20;
const SECTOR: usize = 4096;

fn object_id(bytes: &[u8]) -> ObjectId {
    ObjectId(*blake3::hash(bytes).as_bytes())
}

/// Reads exactly this copy of an object and compares its hash with its name.
pub(crate) fn get_copy(store: &dyn Store, name: &ObjectName) -> Result<Vec<u8>> {
    let bytes = store.get(name)?;
    if object_id(&bytes) == name.id { Ok(bytes) } else { Err(RepositoryError::format(name, FormatError::WrongName)) }
}

/// Reads a whole object and compares its hash with its name; if it is missing or damaged, its healed copy serves.
pub(crate) fn get_checked(store: &dyn Store, name: &ObjectName) -> Result<Vec<u8>> {
    match (get_copy(store, name), name.healed()) {
        (Err(error), Some(healed)) if error.is_damage() => get_copy(store, &healed).map_err(|_| error),
        (first, _) => first,
    }
}

/// Whether exactly this copy of an object is `length` bytes long and has the hash that is its name; read window by window.
pub(crate) fn is_whole(store: &dyn Store, name: &ObjectName, length: u64) -> std::result::Result<bool, StoreError> {
    let (mut hasher, mut window) = (ObjectHasher::default(), vec![0; WINDOW]);
    let mut at = 0;
    let mut read = || -> std::result::Result<bool, StoreError> {
        if store.stat(name)? != Some(length) {
            return Ok(false);
        }
        while at < length {
            let window = &mut window[..(length - at).min(WINDOW as u64) as usize];
            store.read_into(name, at, window)?;
            hasher.update(window);
            at += window.len() as u64;
        }
        Ok(hasher.finish() == name.id)
    };
    match read() {
        Err(error) if !error.is_about_one_object() => Err(error),
        done => Ok(done.unwrap_or(false)),
    }
}

/// What can still be read of an object, zeros where nothing can; `None` if it is gone or too long to be one.
pub(crate) fn salvage(store: &dyn Store, name: &ObjectName) -> std::result::Result<Option<Vec<u8>>, StoreError> {
    let Some(length) = store.stat(name)?.filter(|length| *length <= PACK_LENGTH_MAX) else { return Ok(None) };
    let mut bytes = vec![0; length as usize];
    for (number, window) in bytes.chunks_mut(WINDOW).enumerate() {
        let start = number * WINDOW;
        if store.read_into(name, start as u64, window).is_ok() {
            continue;
        }
        for (number, sector) in window.chunks_mut(SECTOR).enumerate() {
            match store.read_into(name, (start + number * SECTOR) as u64, sector) {
                Err(error) if !error.is_about_one_object() => return Err(error),
                Err(_) => sector.fill(0),
                Ok(()) => {}
            }
        }
    }
    Ok(Some(bytes))
}

/// A listing under way: each object once, and where there is a healed copy, with its length.
#[derive(Default)]
pub(super) struct Listing {
    found: Vec<(ObjectId, u64)>,
    healed: BTreeMap<ObjectId, u64>,
}

impl Listing {
    /// Takes up what lies under a name.
    pub(super) fn push(&mut self, name: &ObjectName, length: u64) {
        if name.is_healed {
            self.healed.insert(name.id, length);
        } else {
            self.found.push((name.id, length));
        }
    }

    /// All of it.
    pub(super) fn finish(mut self) -> Vec<(ObjectId, u64)> {
        if !self.healed.is_empty() {
            self.found.retain(|(id, _)| !self.healed.contains_key(id));
            self.found.extend(self.healed);
        }
        self.found
    }
}

/// Where the bytes of a damaged object come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remedy {
    /// The healed copy beside it.
    HealedCopy,
    /// The other of the two places of a key slot.
    Twin,
    /// The pack's own parity.
    Parity,
    /// Another copy of the repository: its number among those that were named.
    Mirror(usize),
}

/// All bytes of a pack that could not be read as it is.
pub(crate) enum Sound {
    /// It is what it should be after all: somebody healed it meanwhile, or it was put as it is.
    AsItIs(Vec<u8>),
    /// It is not, and these are its bytes.
    Again(Vec<u8>, Remedy),
    /// Nothing helps.
    Beyond,
}

/// Looks for all bytes of a pack that could not be read as it is. An error says that the store failed.
pub(crate) fn sound_pack(store: &dyn Store, name: &ObjectName) -> std::result::Result<Sound, StoreError> {
    let bytes = match store.get(name) {
        Ok(bytes) if object_id(&bytes) == name.id => return Ok(Sound::AsItIs(bytes)),
        Ok(bytes) => Some(bytes),
        Err(error) if error.is_about_one_object() => salvage(store, name)?,
        Err(error) => return Err(error),
    };
    match name.healed().map(|healed| get_copy(store, &healed)) {
        Some(Ok(bytes)) => return Ok(Sound::Again(bytes, Remedy::HealedCopy)),
        Some(Err(RepositoryError::Store(error))) if !error.is_about_one_object() => return Err(error),
        _ => {}
    }
    let mended = bytes.and_then(|bytes| parity::mend(&bytes, name.id).ok());
    Ok(mended.map_or(Sound::Beyond, |mended| Sound::Again(mended.bytes, Remedy::Parity)))
}
