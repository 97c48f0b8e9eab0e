//! Key slots of a repository: listed, added, removed, replaced, and all keys rotated.

use super::Store;
use super::error::{RepositoryError, Result};
use super::healed::get_checked;
use super::host::Host;
use super::opening::slots;
use super::repository::{Repository, put_named};
use crate::format::config::Config;
use crate::format::control::{self, SealedBy};
use crate::format::id::ObjectId;
use crate::format::keys::{Bundle, Key, KeyRing, Role};
use crate::format::layout::{ObjectKind, ObjectName};
use crate::format::seal::Sealed;
use crate::format::slot::{self, Argon2Cost, Secret, Slot, SlotKind, SlotLabel, SlotRandom};
use std::collections::BTreeMap;

/// A key slot as people see it.
#[derive(Clone, Debug)]
pub struct SlotInfo {
    /// Name of the slot.
    pub id: ObjectId,
    /// What opens it.
    pub kind: SlotKind,
    /// Its label; `None` if it does not open under the repository's keys.
    pub label: Option<SlotLabel>,
    /// This session was opened with it.
    pub current: bool,
}

/// What a change of keys did to the slots in whose place it put others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Superseded {
    /// How many were removed.
    pub removed: usize,
    /// Those that stay, since the store lets this client delete nothing. They still open what they opened before.
    pub left: Vec<ObjectId>,
}

pub(super) fn put_slot(store: &dyn Store, keys: &KeyRing, bundle: &Bundle, host: &dyn Host, host_name: &str, secret: &Secret, label: &str) -> Result<ObjectId> {
    let label = SlotLabel { label: label.to_owned(), created: host.now(), host: host_name.to_owned(), role: bundle.role() };
    let random = SlotRandom { salt: host.random(), bundle: host.random(), label: host.random() };
    let bytes = slot::create(keys, bundle, secret, Argon2Cost::default(), &label, &random).map_err(|error| RepositoryError::format("new key slot", error))?;
    // Two copies: a slot that is lost or damaged takes the whole repository with it.
    put_named(store, ObjectKind::KeyCopy, bytes.clone())?;
    let id = put_named(store, ObjectKind::Key, bytes)?;
    // Others are about to be removed: what the store says that it put must be there.
    for kind in [ObjectKind::KeyCopy, ObjectKind::Key] {
        get_checked(store, &ObjectName::new(kind, id))?;
    }
    Ok(id)
}

impl Repository {
    /// The slots that belong to this repository.
    fn own_slots(&self) -> Result<BTreeMap<ObjectId, Slot>> {
        let (mut slots, _) = slots(&*self.store)?;
        slots.retain(|_, slot| slot.repository == self.keys.repository);
        Ok(slots)
    }

    /// The key slots.
    pub fn key_slots(&self) -> Result<Vec<SlotInfo>> {
        let slots = self.own_slots()?;
        Ok(slots.into_iter().map(|(id, slot)| SlotInfo { id, kind: slot.kind, label: slot.label(&self.keys).ok(), current: id == self.slot }).collect())
    }

    /// Adds a key slot of a role, which `secret` opens.
    ///
    /// # Errors
    /// [`RepositoryError::NotAllowed`] for all but owners; [`RepositoryError::Invalid`] for a secret that opens another slot already: whose rights it gives must be certain.
    pub fn add_key(&self, secret: &Secret, role: Role, label: &str, host_name: &str) -> Result<ObjectId> {
        let bundle = Bundle::of_role(role, self.roots("add keys")?, Key(self.host.random())).map_err(|error| RepositoryError::format("new key slot", error))?;
        if let Some((id, _)) = self.own_slots()?.iter().find(|(_, slot)| slot.open(secret).is_ok_and(|keys| keys.epoch() == self.keys.epoch())) {
            return Err(RepositoryError::Invalid(format!("this password or key opens slot {} already: a new slot needs one of its own", id.short())));
        }
        self.put_bundle(secret, &bundle, label, host_name)
    }

    fn put_bundle(&self, secret: &Secret, bundle: &Bundle, label: &str, host_name: &str) -> Result<ObjectId> {
        self.check_writable()?;
        let id = put_slot(&*self.store, &self.keys, bundle, &*self.host, host_name, secret, label)?;
        self.store.barrier()?;
        Ok(id)
    }

    /// Refuses what only an owner can do.
    ///
    /// # Errors
    /// [`RepositoryError::NotAllowed`].
    pub fn require_owner(&self, what: &'static str) -> Result<()> {
        self.roots(what).map(drop)
    }

    fn roots(&self, what: &'static str) -> Result<&[Key]> {
        self.keys.roots().map_err(|_| RepositoryError::NotAllowed { role: self.keys.role(), what })
    }

    /// Removes a key slot, both copies; never the one in use, which is an owner's: of the others nobody knows for certain whose they are.
    ///
    /// # Errors
    /// [`RepositoryError::NotAllowed`] for all but owners.
    pub fn remove_key(&self, id: ObjectId) -> Result<()> {
        self.roots("remove keys")?;
        let slots = self.own_slots()?;
        if !slots.contains_key(&id) {
            return Err(RepositoryError::Invalid(format!("there is no key slot {}", id.short())));
        }
        if slots.len() < 2 {
            return Err(RepositoryError::Invalid("this is the only key slot: without it nobody could open the repository again".to_owned()));
        }
        if id == self.slot {
            return Err(RepositoryError::Invalid("this key slot is the one in use: open the repository with another owner's key to remove it".to_owned()));
        }
        self.delete_slot(id)
    }

    fn delete_slot(&self, id: ObjectId) -> Result<()> {
        for kind in [ObjectKind::Key, ObjectKind::KeyCopy] {
            self.delete(&ObjectName::new(kind, id))?;
        }
        self.store.barrier()?;
        Ok(())
    }

    /// Removes slots that others were put in place of: these stand, so that nothing is undone where nothing may be deleted.
    fn supersede(&self, old: impl Iterator<Item = ObjectId>) -> Result<Superseded> {
        let mut outcome = Superseded::default();
        for id in old {
            match self.delete_slot(id) {
                Ok(()) => outcome.removed += 1,
                Err(RepositoryError::NoDeletion(_)) => outcome.left.push(id),
                Err(error) => return Err(error),
            }
        }
        Ok(outcome)
    }

    /// Puts a new slot for `secret` in place of the one this session was opened with (a changed password). Returns the new slot, and what became of the old one.
    pub fn replace_key(&self, secret: &Secret, label: &str, host_name: &str) -> Result<(ObjectId, Superseded)> {
        let id = self.put_bundle(secret, self.keys.bundle(), label, host_name)?;
        Ok((id, self.supersede([self.slot].into_iter().filter(|old| *old != id))?))
    }

    /// Starts a new epoch of keys: what is written from now on is out of reach of every key slot made before.
    /// All old slots are removed, as far as the store lets this client; `secrets` get new ones.
    pub fn rotate_keys(&self, secrets: &[(Secret, &str)], host_name: &str) -> Result<Superseded> {
        self.check_writable()?;
        if secrets.is_empty() {
            return Err(RepositoryError::Invalid("a repository needs at least one key".to_owned()));
        }
        let old = self.own_slots()?;
        let mut roots = self.roots("rotate keys")?.to_vec();
        roots.push(Key(self.host.random()));
        let keys = KeyRing::new(self.keys.repository, roots);
        // A configuration of the new epoch: whoever holds only old keys meets it and knows.
        let config = Config { sequence: self.config.sequence + 1, ..self.config.clone() };
        let mut new = Vec::new();
        for (secret, label) in secrets {
            new.push(put_slot(&*self.store, &keys, keys.bundle(), &*self.host, host_name, secret, label)?);
        }
        // A power cut must not leave the configuration of an epoch whose keys nobody has.
        self.store.barrier()?;
        let bytes = control::create(&keys, Sealed::Config, &SealedBy::Control, &config.encode(None), &self.host.random())
            .map_err(|error| RepositoryError::format("new configuration", error))?;
        put_named(&*self.store, ObjectKind::Config, bytes)?;
        self.store.barrier()?;
        self.supersede(old.into_keys().filter(|id| !new.contains(id)))
    }
}
