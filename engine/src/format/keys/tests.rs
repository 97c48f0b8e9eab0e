//! What keys of each role do and do not open.

use super::*;
use crate::format::seal::{Cipher, Sealed};
use crate::format::slot::Secret;
use zeroize::Zeroizing;

const ID: RepositoryId = RepositoryId([5; 16]);
const CLASSES: [KeyClass; 2] = [KeyClass::Data, KeyClass::Tree];

fn roots(count: u8) -> Vec<Key> {
    (0..count).map(|n| Key([n + 1; 32])).collect()
}

fn ring(count: u8) -> KeyRing {
    KeyRing::new(ID, roots(count))
}

fn of_role(role: Role, count: u8) -> KeyRing {
    KeyRing::of(ID, Bundle::of_role(role, &roots(count), Key([0x99; 32])).unwrap())
}

fn session(ring: &KeyRing, class: KeyClass) -> Result<SessionKey> {
    ring.session_key(class, &[7; 16], "host", &SessionRandom { key: [8; 32], nonce: [9; 32], encapsulation: [10; 32] })
}

/// What one key sealed and another opens.
fn opens(sealed: &SealKey, opened: &SealKey) -> bool {
    let boxed = sealed.seal(ID, Sealed::DataBlock, Cipher::default(), b"", &[0; 32], b"hello");
    opened.open(ID, Sealed::DataBlock, Cipher::default(), b"", &boxed).is_ok()
}

#[test]
fn a_session_key_unwraps_only_whole_and_of_its_class() {
    let owner = ring(2);
    for (by, length) in [(&owner, 128), (&of_role(Role::Backup, 2), 1248)] {
        for (class, other) in [(KeyClass::Data, KeyClass::Tree), (KeyClass::Tree, KeyClass::Data)] {
            let key = session(by, class).unwrap();
            assert_eq!(key.wrapped.len(), length);
            assert!(opens(&key.seal, &owner.unwrap(class, &key.wrapped).unwrap()));
            assert!(owner.unwrap(other, &key.wrapped).is_err());
            for at in 0..length {
                let mut changed = key.wrapped.clone();
                changed[at] ^= 1;
                assert!(owner.unwrap(class, &changed).is_err(), "byte {at} of {length}");
            }
        }
    }
}

#[test]
fn a_backup_role_wraps_and_unwraps_nothing() {
    let (owner, backup) = (ring(3), of_role(Role::Backup, 3));
    for class in CLASSES {
        for by in [&owner, &backup] {
            let key = session(by, class).unwrap();
            assert!(matches!(backup.unwrap(class, &key.wrapped), Err(FormatError::NotAllowed { role: Role::Backup, .. })));
        }
    }
    assert_eq!(backup.name_tree(b"x"), owner.name_tree(b"x"));
    assert_eq!(backup.data_names().unwrap().name(b"x"), owner.data_names().unwrap().name(b"x"));
    assert_eq!(backup.data_names().unwrap().gear(), owner.data_names().unwrap().gear());
    assert_eq!(backup.split_number(b"x"), owner.split_number(b"x"));
    assert_eq!(backup.confirmation(2, ObjectId([1; 32])), owner.confirmation(2, ObjectId([1; 32])));
    assert!(backup.roots().is_err());
}

#[test]
fn a_prune_role_has_trees_and_no_contents() {
    let (owner, prune) = (ring(3), of_role(Role::Prune, 3));
    for by in [&owner, &of_role(Role::Backup, 3)] {
        let (data, tree) = (session(by, KeyClass::Data).unwrap(), session(by, KeyClass::Tree).unwrap());
        assert!(matches!(prune.unwrap(KeyClass::Data, &data.wrapped), Err(FormatError::NotAllowed { role: Role::Prune, .. })));
        assert!(opens(&tree.seal, &prune.unwrap(KeyClass::Tree, &tree.wrapped).unwrap()));
    }
    assert!(opens(&session(&prune, KeyClass::Tree).unwrap().seal, &owner.unwrap(KeyClass::Tree, &session(&prune, KeyClass::Tree).unwrap().wrapped).unwrap()));
    assert!(session(&prune, KeyClass::Data).is_err());
    assert!(prune.data_names().is_err() && prune.roots().is_err());
}

/// What a role's slot holds says nothing of what it must not have: neither the keys themselves nor anything they follow from.
#[test]
fn a_bundle_holds_nothing_of_another_role() {
    let all = roots(3);
    let wraps = |context| all.iter().map(|root| derive(context, root)).collect::<Vec<_>>();
    let names = ["vault v1 name of data chunks", "vault v1 chunker"].map(|context| derive(context, &all[0]));
    for (role, hidden) in
        [(Role::Backup, [all.clone(), wraps(WRAP_DATA), wraps(WRAP_TREE)].concat()), (Role::Prune, [all.clone(), wraps(WRAP_DATA), names.to_vec()].concat())]
    {
        let bytes = of_role(role, 3).bundle().encode();
        for key in hidden {
            assert!(!bytes.windows(32).any(|window| window == key.0), "{role}");
        }
    }
}

#[test]
fn bundles_go_there_and_back_and_have_what_their_role_has() {
    for role in [Role::Owner, Role::Backup, Role::Prune] {
        let bundle = Bundle::of_role(role, &roots(2), Key([0x99; 32])).unwrap();
        let bytes = bundle.encode();
        assert!(Bundle::decode(&bytes).is_ok_and(|again| again == bundle && again.role() == role && again.epochs() == 2));
        // The same pairs, and another role said.
        for other in [0, 1, 2].into_iter().filter(|other| *other != role as u8) {
            let mut changed = bytes.clone();
            assert_eq!(changed[1..3], [1, role as u8]);
            changed[2] = other;
            assert!(matches!(Bundle::decode(&changed), Err(FormatError::BadStructure(_) | FormatError::MissingField(_))));
        }
    }
    let many: Vec<Key> = (0..257).map(|_| Key([1; 32])).collect();
    assert!(Bundle::of_role(Role::Backup, &many, Key([0; 32])).is_err());
    assert!(Bundle::of_role(Role::Owner, &many, Key([0; 32])).is_ok());
}

#[test]
fn a_dead_random_source_gives_no_wrapped_key_away() {
    let at = |ring: &KeyRing, id| {
        ring.session_key(KeyClass::Data, &[id; 16], "host", &SessionRandom { key: [0; 32], nonce: [0; 32], encapsulation: [0; 32] }).unwrap()
    };
    let backup = of_role(Role::Backup, 1);
    let other = KeyRing::of(ID, Bundle::of_role(Role::Backup, &[Key([77; 32])], Key([0x99; 32])).unwrap());
    assert_ne!(at(&backup, 1).wrapped[56..], at(&backup, 2).wrapped[56..], "another session");
    assert_ne!(at(&backup, 1).wrapped[56..], at(&other, 1).wrapped[56..], "another hedge key");
    assert!(!opens(&at(&backup, 1).seal, &at(&backup, 2).seal));
}

#[test]
fn keys_are_not_printed() {
    let secret = Secret::Password(Zeroizing::new(b"hunter2".to_vec()));
    let key = Key([0x5a; 32]);
    let shown = format!("{key:?} {:?} {secret:?} {:?}", KeyRing::new(ID, vec![key.clone()]), Secret::KeyFile(key.clone()));
    for told in ["90", "5a", "hunter", "104"] {
        assert!(!shown.contains(told), "{shown}");
    }
}

#[test]
fn keys_from_before_a_rotation_do_not_open_what_came_after() {
    for role in [Role::Owner, Role::Prune] {
        let (old, new) = (of_role(role, 1), of_role(role, 2));
        let key = session(&new, KeyClass::Tree).unwrap();
        assert!(matches!(old.unwrap(KeyClass::Tree, &key.wrapped), Err(FormatError::UnknownEpoch(1))));
        assert!(old.control(1).is_err());
        let before = session(&old, KeyClass::Tree).unwrap();
        assert!(new.unwrap(KeyClass::Tree, &before.wrapped).is_ok());
        assert_eq!(old.name_tree(b"x"), new.name_tree(b"x"));
    }
    let key = session(&of_role(Role::Backup, 1), KeyClass::Tree).unwrap();
    assert!(ring(2).unwrap(KeyClass::Tree, &key.wrapped).is_ok());
}
