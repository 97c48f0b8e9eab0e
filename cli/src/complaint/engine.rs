//! What the engine's errors mean to people, and the code each ends with.

use super::Complaint;
use crate::exit::Exit;
use crate::output::describe::OLDER_STATE_HINT;
use vault_engine::format::FormatError;
use vault_engine::store::error::RepositoryError;
use vault_engine::store::{StoreError, StoreErrorKind};

impl From<StoreError> for Complaint {
    fn from(error: StoreError) -> Self {
        let StoreError { kind, object, reason } = error;
        match kind {
            StoreErrorKind::Missing => Self::failed(format!("{object} is missing")).since(reason).hint(VERIFY),
            StoreErrorKind::NoPlace => {
                Self::new(Exit::NoRepository, format!("there is no repository at {object}")).since(reason).hint("are its name and the endpoint right?")
            }
            StoreErrorKind::Exists => Self::failed(format!("{object} is in the way")).since(reason),
            StoreErrorKind::Denied => Self::new(Exit::Refused, format!("the store refused access to {object}"))
                .since(reason)
                .hint("check who owns the repository and who may write to it"),
            StoreErrorKind::Full => Self::new(Exit::Refused, format!("no space is left for {object}"))
                .since(reason)
                .hint("make room and run the same command again: what was stored already is used")
                .hint("vault forget and vault prune work on a full disk too"),
            StoreErrorKind::Transient => Self::failed(format!("the store did not answer for {object}")).since(reason).hint("try again"),
            StoreErrorKind::Corrupt => Self::failed(format!("{object} is damaged")).since(reason).hint(VERIFY),
            StoreErrorKind::Unsupported => Self::usage(format!("{object} cannot be used")).since(reason),
            StoreErrorKind::Other => Self::failed(format!("the store failed on {object}")).since(reason),
        }
    }
}

const NO_DELETION: &str = "prune and the removal of keys need credentials that may delete; everything else works without";
const VERIFY: &str = "vault verify tells what else is damaged";
const LIST: &str = "vault snapshots lists what there is";

impl From<RepositoryError> for Complaint {
    fn from(error: RepositoryError) -> Self {
        match error {
            RepositoryError::Store(error) => error.into(),
            RepositoryError::NoRepository(place) => Self::new(Exit::NoRepository, format!("there is no repository at {place}")),
            RepositoryError::AlreadyExists(place) => {
                Self::failed(format!("there is a repository at {place} already")).hint("vault snapshots shows what is in it; vault init needs another place")
            }
            RepositoryError::WrongKey { location, slots, damaged } => wrong_key(&location, slots, damaged),
            RepositoryError::Format { object, error } => damaged(&object, &error),
            RepositoryError::NotAllowed { role, what } => Self::new(Exit::WrongKey, format!("this key has the role {role} and cannot {what}"))
                .hint("open the repository with an owner's key; vault key list shows which key has which role"),
            RepositoryError::MissingChunk(id) => Self::failed(format!("chunk {id} is in no pack")).hint(VERIFY),
            RepositoryError::Swept(packs) => {
                Self::failed(format!("{packs} packs that the snapshot relies on were swept while it was made")).hint("run the same command again")
            }
            RepositoryError::NoDeletion(object) => {
                Self::new(Exit::Refused, format!("the store does not let these credentials delete {object}")).hint(NO_DELETION)
            }
            RepositoryError::OlderState(older) => {
                Self::failed(format!("nothing is written, since the store shows an older state than this machine saw before: {older}"))
                    .hint("somebody may have brought back old objects: look at the store first")
                    .hint(OLDER_STATE_HINT)
            }
            RepositoryError::CannotWrite(feature) => {
                Self::failed(format!("this repository needs a newer vault to write to it (feature {feature})")).hint("reading works; update vault to write")
            }
            RepositoryError::NoSnapshot(selector) => Self::failed(format!("no snapshot fits {selector}")).hint(LIST),
            RepositoryError::Ambiguous(selector) => {
                Self::failed(format!("{selector} fits more than one snapshot")).hint("give more digits of the ID").hint(LIST)
            }
            RepositoryError::NoPath { snapshot, path } => {
                Self::failed(format!("{path} is not in snapshot {snapshot}")).hint(format!("vault ls {snapshot} lists what is in it"))
            }
            RepositoryError::WrongType { path, found, wanted } => Self::failed(format!("{path} is {found}, not {wanted}")),
            RepositoryError::Invalid(why) => Self::usage(why),
            RepositoryError::EmptyStream => {
                Self::new(Exit::Producer, "the stream was empty, so no snapshot was made".to_owned()).hint("if that is as it should be: --allow-empty")
            }
            RepositoryError::Cancelled => Self::interrupted(),
        }
    }
}

fn wrong_key(location: &str, slots: usize, damaged: usize) -> Complaint {
    let complaint = Complaint::new(Exit::WrongKey, format!("the password or key does not open the repository {location}"));
    let complaint = match (slots, damaged) {
        (_, 0) => complaint,
        (0, _) => complaint.since(format!("all of its {damaged} key slots are damaged")),
        _ => complaint.since(format!("{damaged} of its key slots are damaged, and it may be one of them")),
    };
    complaint.hint("vault config shows where the password or key comes from").hint("the recovery key opens it too: --recovery-key-file FILE")
}

fn damaged(object: &str, error: &FormatError) -> Complaint {
    let complaint = |what: &str| Complaint::failed(format!("{object} {what}")).since(error.to_string());
    match error {
        FormatError::Unsupported { .. } | FormatError::UnknownCritical(_) => complaint("is not understood").hint("update vault"),
        FormatError::UnknownEpoch(_) => complaint("cannot be read with this key").hint("use a key made after the keys were rotated"),
        _ => complaint("is damaged").hint(VERIFY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(error: impl Into<Complaint>) -> u8 {
        error.into().exit.code()
    }

    #[test]
    fn codes_follow_the_kind_of_error() {
        let of = |kind| code(StoreError::new(kind, "data/00", "because"));
        assert_eq!(of(StoreErrorKind::Denied), 13);
        assert_eq!(of(StoreErrorKind::Full), 13);
        assert_eq!(of(StoreErrorKind::NoPlace), 10);
        assert_eq!(of(StoreErrorKind::Corrupt), 1);
        assert_eq!(of(StoreErrorKind::Unsupported), 2);
        assert_eq!(code(RepositoryError::NoRepository("/r".into())), 10);
        assert_eq!(code(RepositoryError::WrongKey { location: "/r".into(), slots: 1, damaged: 0 }), 12);
        assert_eq!(code(RepositoryError::Cancelled), 130);
        assert_eq!(code(RepositoryError::Invalid("no".into())), 2);
        assert_eq!(code(RepositoryError::NoSnapshot("x".into())), 1);
    }

    #[test]
    fn names_from_outside_are_tame() {
        let complaint = Complaint::from(RepositoryError::NoPath { snapshot: "ab".into(), path: "/a\x1b]0;x".into() });
        assert_eq!(complaint.sentence(), "/a\\x1b]0;x is not in snapshot ab");
    }
}
