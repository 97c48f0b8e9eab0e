//! What opening a repository reads first: which slots there are, and which configuration counts (SPEC chapters 7 and 9).

use super::Store;
use super::error::{RepositoryError, Result};
use super::healed::get_checked;
use super::repository::InitOptions;
use crate::format::FormatError;
use crate::format::config::{Config, UNKNOWN_NUMBERS};
use crate::format::control;
use crate::format::id::ObjectId;
use crate::format::keys::KeyRing;
use crate::format::layout::{ObjectKind, ObjectName};
use crate::format::node::Time;
use crate::format::parity::ParityScheme;
use crate::format::seal::{Cipher, Sealed};
use crate::format::slot::{self, SLOTS_MAX, Slot};
use std::collections::{BTreeMap, BTreeSet};

/// The first slots of a repository in order of their names, each from whichever copy is good, and what was left out.
pub(super) fn slots(store: &dyn Store) -> Result<(BTreeMap<ObjectId, Slot>, Vec<RepositoryError>)> {
    let mut copies: BTreeMap<ObjectId, Vec<(ObjectKind, u64)>> = BTreeMap::new();
    for kind in [ObjectKind::Key, ObjectKind::KeyCopy] {
        for (id, length) in store.list(kind)? {
            // A killed run may have put it, and no barrier kept it: what is written under its keys must not outlive it.
            store.adopt(&ObjectName::new(kind, id));
            copies.entry(id).or_default().push((kind, length));
        }
    }
    let (mut found, mut left_out) = (BTreeMap::new(), Vec::new());
    if copies.len() > SLOTS_MAX {
        left_out.push(RepositoryError::format(ObjectKind::Key.folder(), FormatError::TooLarge("more than 64 key slots, the others are not read")));
    }
    for (id, copies) in copies.into_iter().take(SLOTS_MAX) {
        let mut damaged = None;
        for (kind, length) in copies {
            let name = ObjectName::new(kind, id);
            let slot = if length > slot::SLOT_LENGTH_MAX as u64 {
                Err(RepositoryError::format(name, FormatError::TooLarge("key slot")))
            } else {
                get_checked(store, &name).and_then(|bytes| Slot::decode(&bytes).map_err(RepositoryError::of(&name)))
            };
            match slot {
                Ok(slot) => {
                    found.insert(id, slot);
                    damaged = None;
                    break;
                }
                Err(RepositoryError::Store(error)) if !error.is_about_one_object() => return Err(error.into()),
                Err(error) => damaged = Some(error),
            }
        }
        left_out.extend(damaged);
    }
    Ok((found, left_out))
}

/// What the configurations of a repository come to.
pub(super) struct Configs {
    /// The one that counts.
    pub(super) config: Config,
    /// Its rank: epoch of the envelope and sequence.
    pub(super) rank: (u32, u64),
    /// Why nobody may write by them.
    pub(super) unwritable: Option<Unwritable>,
    /// Those that do not open.
    pub(super) left_out: Vec<RepositoryError>,
}

/// An object that forbids writing, and why.
pub(super) type Unwritable = (String, FormatError);

/// Reads all configurations. One that this program may not read under forbids reading, and one that it may not write under writing,
/// whatever their rank: otherwise hiding the newest would be a way back to an older one. A higher epoch ranks above any sequence:
/// otherwise a holder of old keys could outrank the new ones.
pub(super) fn read_configs(store: &dyn Store, keys: &KeyRing) -> Result<Configs> {
    let mut best: Option<(u32, u64, ObjectId, Config)> = None;
    let mut write_features = BTreeSet::new();
    let (mut unwritable, mut left_out) = (None, Vec::new());
    for (id, _) in store.list(ObjectKind::Config)? {
        let name = ObjectName::new(ObjectKind::Config, id);
        store.adopt(&name);
        let opened = get_checked(store, &name).and_then(|bytes| {
            let record = control::open(keys, Sealed::Config, &bytes).map_err(RepositoryError::of(&name))?;
            Ok((control::stated_epoch(&bytes).map_err(RepositoryError::of(&name))?, record))
        });
        match opened {
            Ok((epoch, record)) => {
                let config = Config::decode(&record).map_err(RepositoryError::of(&name))?;
                if config.repository != keys.repository {
                    return Err(RepositoryError::format(name, FormatError::WrongRepository));
                }
                write_features.extend(config.write_features.iter().copied().filter(|feature| *feature != UNKNOWN_NUMBERS));
                if best.as_ref().is_none_or(|(best_epoch, sequence, best_id, _)| (*best_epoch, *sequence, *best_id) < (epoch, config.sequence, id)) {
                    best = Some((epoch, config.sequence, id, config));
                }
            }
            Err(RepositoryError::Store(error)) if !error.is_about_one_object() => return Err(error.into()),
            Err(error) => {
                if let RepositoryError::Format { object, error: reason } = &error
                    && !error.is_damage()
                {
                    unwritable.get_or_insert((object.clone(), reason.clone()));
                }
                left_out.push(error);
            }
        }
    }
    let rank = best.as_ref().map_or((0, 0), |(epoch, sequence, ..)| (*epoch, *sequence));
    let config = match best {
        Some((.., config)) => {
            write_features.extend(config.write_features.iter().copied());
            Config { write_features: write_features.into_iter().collect(), ..config }
        }
        None => {
            let missing = (ObjectKind::Config.folder().to_owned(), FormatError::MissingField("a configuration that opens"));
            left_out.push(RepositoryError::format(&missing.0, missing.1.clone()));
            unwritable.get_or_insert(missing);
            // Reading needs no configuration (SPEC chapter 9).
            Config {
                repository: keys.repository,
                created: Time::default(),
                write_features: Vec::new(),
                cipher: Cipher::default(),
                parity: ParityScheme::None,
                pack_size_bytes: InitOptions::default().pack_size_bytes,
                sequence: 0,
            }
        }
    };
    Ok(Configs { config, rank, unwritable, left_out })
}
