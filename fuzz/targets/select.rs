//! Selectors and paths within snapshots. The input: a selector, a NUL byte, a tag or host for the filter.
#![no_main]
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;
use vault_engine::format::id::{ObjectId, TreeId};
use vault_engine::format::node::Time;
use vault_engine::format::snapshot::{Snapshot, Status, Summary};
use vault_engine::ops::select::{Filter, Selector, components, find};
use vault_engine::store::error::RepositoryError;
use vault_engine::store::repository::StoredSnapshot;

fn snapshots() -> &'static [StoredSnapshot] {
    static SNAPSHOTS: OnceLock<Vec<StoredSnapshot>> = OnceLock::new();
    SNAPSHOTS.get_or_init(|| {
        let stored = |n: u8| {
            let begun = Time { seconds: i64::from(n), nanoseconds: 0 };
            let snapshot = Snapshot {
                begun,
                ended: begun,
                host: ["a", "b", ""][usize::from(n) % 3].to_owned(),
                user: String::new(),
                source: (n % 4 == 0).then(|| "a".to_owned()),
                paths: vec![b"/a".to_vec(), b"/b".to_vec()],
                tags: if n % 2 == 0 { vec!["a".to_owned(), "b".to_owned()] } else { Vec::new() },
                root: TreeId([0; 32]),
                parent: None,
                writer: String::new(),
                sequence: 1,
                predecessor: None,
                original: None,
                summary: Summary::default(),
                status: [Status::Complete, Status::Incomplete, Status::Partial][usize::from(n / 2) % 3],
                missing: 0,
                program: String::new(),
                pinned: None,
            };
            let mut id = [n; 32];
            id[0] = 0xab;
            id[1] = n / 4;
            StoredSnapshot { id: ObjectId(id), snapshot, confirmed: n % 5 != 0, forgotten: n % 7 == 3, session: None }
        };
        (0..24).map(stored).collect()
    })
}

fuzz_target!(|data: &[u8]| {
    let (text, rest) = data.split_at(data.iter().position(|byte| *byte == 0).unwrap_or(data.len()));
    let selector = Selector::parse(text);
    let (name, path) = match &selector.path {
        Some(path) => (&text[..text.len() - path.len() - 1], path.as_slice()),
        None => (text, &b""[..]),
    };
    assert!(!name.contains(&b':') && selector.snapshot == String::from_utf8_lossy(name));
    assert!(selector.path.is_none() || text[name.len()] == b':');
    match components(path) {
        Ok(names) => {
            assert!(names.iter().all(|name| !name.is_empty() && *name != b"." && *name != b".." && !name.contains(&b'/')));
            let again = names.join(&b'/');
            assert_eq!(components(&again).expect("the same names"), names);
        }
        Err(error) => assert!(matches!(error, RepositoryError::Invalid(_)) && path.windows(2).any(|two| two == b"..")),
    }

    let mut word = String::from_utf8_lossy(rest.get(2..).unwrap_or_default()).into_owned();
    word.truncate(word.floor_char_boundary(8));
    let choice = rest.get(1).copied().unwrap_or(0);
    let filter = Filter {
        hosts: if choice & 1 == 0 { Vec::new() } else { vec![word.clone()] },
        paths: if choice & 2 == 0 { Vec::new() } else { vec![word.clone().into_bytes()] },
        tags: if choice & 4 == 0 { Vec::new() } else { vec![if word.is_empty() { Vec::new() } else { word.split(',').map(str::to_owned).collect() }] },
        source: (choice & 8 != 0).then(|| word.clone()),
        before: (choice & 16 != 0).then(|| Time { seconds: i64::from(choice >> 3), nanoseconds: 0 }),
    };
    let all = snapshots();
    match find(all, &filter, &selector.snapshot) {
        Ok(found) if selector.snapshot.starts_with("latest") => {
            assert!(filter.matches(&found.snapshot) && !found.forgotten);
            let good = |stored: &&StoredSnapshot| stored.confirmed && !stored.forgotten && stored.snapshot.status != Status::Partial;
            assert!(good(&found) || !all.iter().filter(good).any(|stored| filter.matches(&stored.snapshot)));
            if selector.snapshot == "latest" && good(&found) {
                let later = all.iter().filter(good).filter(|stored| filter.matches(&stored.snapshot) && stored.snapshot.begun > found.snapshot.begun);
                assert_eq!(later.count(), 0);
            }
        }
        Ok(found) => {
            let prefix = selector.snapshot.to_ascii_lowercase();
            assert!(!prefix.is_empty());
            assert!(found.id.to_hex().starts_with(&prefix));
            assert_eq!(all.iter().filter(|stored| stored.id.to_hex().starts_with(&prefix)).count(), 1);
        }
        Err(RepositoryError::Ambiguous(_)) => {
            let prefix = selector.snapshot.to_ascii_lowercase();
            assert!(all.iter().filter(|stored| stored.id.to_hex().starts_with(&prefix)).count() > 1);
        }
        Err(error) => assert!(matches!(error, RepositoryError::NoSnapshot(_))),
    }
});
