//! Trees read back: split directories, long lists, paths, and what hostile nodes come to.

use super::*;
use crate::format::id::ChunkId;
use crate::ops::testing::{Builder, noise, reopened, repository};

fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty())
}

#[test]
fn split_directories_and_paths_are_found() {
    let (repository, store) = repository();
    let builder = Builder::new(&repository);
    let all: Vec<String> = (0..20_000).map(|n| format!("file-{n:06}")).collect();
    let inner = builder.directory("many", all.iter().map(|name| builder.file(name, b"same")).collect());
    let root = builder.tree(vec![builder.file("alone", b"x"), inner]);
    builder.commit(root);
    let repository = reopened(&store);
    let many = find_path(&repository, root, names(b"/many/")).unwrap().unwrap();
    let Content::Directory(id) = many.content else { panic!() };
    assert!(matches!(repository.tree(id).unwrap(), TreeNode::Split(_)));
    let found: Vec<Vec<u8>> = entries(&repository, id).map(|node| node.unwrap().name).collect();
    assert!(found.iter().map(Vec::as_slice).eq(all.iter().map(String::as_bytes)));
    for name in [&all[0], &all[7_777], &all[19_999]] {
        let path = format!("many/{name}");
        assert_eq!(find_path(&repository, root, names(path.as_bytes())).unwrap().unwrap().name, name.as_bytes());
    }
    for path in [&b""[..], b"many/file", b"alone/file-000001", b"many/zz", b"many/a"] {
        assert!(find_path(&repository, root, names(path)).unwrap().is_none());
    }
}

#[test]
fn parts_that_do_not_fit_are_left_out_and_told() {
    let (repository, store) = repository();
    let builder = Builder::new(&repository);
    let leaf = |names: &[&str]| {
        let nodes = names.iter().map(|name| builder.file(name, b"x")).collect();
        builder.session.store_tree(&TreeNode::Directory(nodes).encode()).unwrap()
    };
    let part = |first: &str, id, entries| Part { first_name: first.as_bytes().to_vec(), id, entries };
    let split = |parts: Vec<Part>| builder.session.store_tree(&TreeNode::Split(parts).encode()).unwrap();
    let (ab, cd, ef) = (leaf(&["a", "b"]), leaf(&["c", "d"]), leaf(&["e", "f"]));
    let empty = leaf(&[]);
    let good = split(vec![part("a", ab, 2), part("c", cd, 2), part("e", ef, 2)]);
    let mut deep = split(vec![part("a", ab, 2), part("c", cd, 2)]);
    for level in 0..=LEVELS_MAX {
        let name = format!("d{level}");
        let one = leaf(&[&name]);
        let entries = 4 + level as u64;
        deep = split(vec![part("a", deep, entries), part(&name, one, 1)]);
    }
    let hostile = [
        split(vec![part("a", ab, 2), part("bb", cd, 2), part("e", ef, 2)]), // another first name than promised
        split(vec![part("a", ab, 2), part("c", cd, 3), part("e", ef, 2)]),  // another count
        split(vec![part("a", ab, 2), part("c", empty, 1), part("e", ef, 2)]), // an empty part
        split(vec![part("a", ab, 2), part("c", split(vec![part("c", cd, 2), part("e", ef, 2)]), 4), part("e", ef, 2)]), // beyond its bound
        split(vec![part("a", ab, 2), part("c", TreeId([7; 32]), 2), part("e", ef, 2)]), // not there
    ];
    builder.commit(good);
    let repository = reopened(&store);
    assert_eq!(entries(&repository, good).filter_map(Result::ok).count(), 6);
    assert!(entries(&repository, deep).any(|node| node.is_err()));
    for id in hostile {
        let found: Vec<Result<Node>> = entries(&repository, id).collect();
        let names: Vec<&[u8]> = found.iter().flatten().map(|node| node.name.as_slice()).collect();
        assert_eq!(found.iter().filter(|node| node.is_err()).count(), 1, "{found:?}");
        assert!(names.is_sorted_by(|a, b| a < b));
        assert!(names.contains(&&b"a"[..]) && names.contains(&&b"f"[..]));
    }
    assert!(find(&repository, hostile[0], b"c").is_err());
}

#[test]
fn long_lists_come_in_order_and_lying_ones_end() {
    let (repository, store) = repository();
    let builder = Builder::new(&repository);
    let plains: Vec<Vec<u8>> = (0..5_000).map(|n| noise(n, 40)).collect();
    let mut extents = builder.chunks(&plains.iter().map(Vec::as_slice).collect::<Vec<_>>());
    extents.insert(3_000, Extent::Hole { length: 1 << 30 });
    let node = builder.with_extents("long", extents.clone());
    let Content::List(_) = node.content else { panic!("a list") };
    let mut lying = node.clone();
    lying.metadata.size += 1;
    let holes = TreeNode::List(vec![Extent::Hole { length: 5 }]).encode();
    let hole = ListPart { id: builder.session.store_tree(&holes).unwrap(), length: 5 };
    let mut neighbours = node.clone();
    neighbours.metadata.size = 10;
    neighbours.content = Content::List(builder.session.store_tree(&TreeNode::Lists(vec![hole, hole]).encode()).unwrap());
    let mut huge = builder.file("huge", b"x");
    huge.metadata.size = u64::from(u32::MAX);
    huge.content = Content::Extents(vec![Extent::Chunk { id: ChunkId([1; 32]), length: u32::MAX }]);
    let root = builder.tree(vec![node.clone()]);
    builder.commit(root);
    let repository = reopened(&store);
    let mut offset = 0;
    let found: Vec<Extent> = extents_of(&repository, &node)
        .map(|located| {
            let located = located.unwrap();
            assert_eq!(located.offset, offset);
            offset += located.extent.length();
            located.extent
        })
        .collect();
    assert_eq!(found, extents);
    for bad in [lying, neighbours, huge] {
        assert!(extents_of(&repository, &bad).last().unwrap().is_err());
    }
}

#[derive(Default)]
struct Log(Vec<String>);

impl Visit for Log {
    fn enter(&mut self, path: &[u8], _: Node) -> Result<bool> {
        self.0.push(format!("+{}", String::from_utf8_lossy(path)));
        Ok(!path.ends_with(b"no"))
    }

    fn leaf(&mut self, path: &[u8], _: Node) -> Result<()> {
        self.0.push(String::from_utf8_lossy(path).into_owned());
        Ok(())
    }

    fn leave(&mut self, path: &[u8]) -> Result<()> {
        self.0.push(format!("-{}", String::from_utf8_lossy(path)));
        Ok(())
    }

    fn damaged(&mut self, path: &[u8], _: RepositoryError) -> Result<()> {
        self.0.push(format!("!{}", String::from_utf8_lossy(path)));
        Ok(())
    }
}

#[test]
fn a_walk_goes_in_order_and_on_after_damage() {
    let (repository, store) = repository();
    let builder = Builder::new(&repository);
    let lost = Builder::directory_of("lost", TreeId([5; 32]));
    let no = builder.directory("no", vec![builder.file("x", b"x")]);
    let yes = builder.directory("yes", vec![builder.file("y", b"y"), builder.directory("empty", Vec::new())]);
    let root = builder.tree(vec![lost, no, yes, builder.file("z", b"")]);
    builder.commit(root);
    let repository = reopened(&store);
    let mut log = Log::default();
    walk(&repository, root, b"/", &mut log).unwrap();
    assert_eq!(log.0, ["+/lost", "!/lost", "-/lost", "+/no", "+/yes", "+/yes/empty", "-/yes/empty", "/yes/y", "-/yes", "/z"]);
}
