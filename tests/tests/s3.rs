//! A repository in a bucket of a real S3 server.

use std::fs;
use vault_tests::can::{Can, or_skip};
use vault_tests::clean_room::CleanRoom;
use vault_tests::compare::assert_same;
use vault_tests::servers::S3;
use vault_tests::tree;

fn room(server: &S3, name: &str) -> CleanRoom {
    let mut room = CleanRoom::new();
    room.set("VAULT_REPOSITORY", server.location(name));
    room.set("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE01");
    room.set("AWS_SECRET_ACCESS_KEY", "secretsecret");
    room.vault(["init"]).run().ok();
    room.guard_key_files();
    room
}

#[test]
fn a_bucket_serves_like_a_directory() {
    if !or_skip(Can::S3) {
        return;
    }
    let server = S3::start();
    let room = room(&server, "deep/in/the/bucket");
    let source = room.path("source");
    tree::write(&source, &[tree::types(), tree::drawn(3, 100), vec![tree::noise("big", 40_000_000, 1)]].concat());
    let config = room.vault(["cat", "config", "--json"]).run().ok().events_of("object").remove(0);
    assert_eq!((&config["value"]["pack_size"], &config["value"]["parity"]), (&(32 << 20).into(), &"none".into()), "{config}");
    room.backup(&source);
    fs::remove_file(source.join("big")).unwrap();
    tree::write(&source, &[tree::noise("other", 3_000_000, 2)]);
    let again = room.backup(&source);
    assert!(vault_tests::call::number(&again, "data_added") < 4_000_000, "{again}");
    assert_same(&source, &room.restore("latest", &source, "target"));
    room.verify();
    let _ = fs::remove_dir_all(room.cache());
    assert_same(&source, &room.restore("latest", &source, "uncached"));
    room.vault(["forget", "--keep-last", "1", "--prune", "--grace", "0s"]).run().ok();
    room.verify();
    assert_same(&source, &room.restore("latest", &source, "pruned"));
    room.vault(["repair", "index"]).run().ok();
    room.verify();
    room.vault(["init"]).run().code(1).says("already");
}

#[test]
fn what_is_not_there_is_said_in_words() {
    if !or_skip(Can::S3) {
        return;
    }
    let server = S3::start();
    let mut room = room(&server, "one");
    room.set("VAULT_REPOSITORY", server.location("two"));
    room.vault(["snapshots"]).run().code(10);
    room.set("VAULT_REPOSITORY", server.location("one").replace("vault-tests", "no-such-bucket"));
    for reading in ["snapshots", "verify", "scrub", "heal", "prune"] {
        room.vault([reading]).run().code(10).says("the bucket no-such-bucket does not exist");
    }
    assert_no_place_to_make(&room);
    // Nor is a place in which nothing is a good repository.
    room.set("VAULT_REPOSITORY", server.location("two"));
    for keyless in ["scrub", "heal"] {
        room.vault([keyless]).run().code(10).says("there is no repository");
    }
    room.set("VAULT_REPOSITORY", "s3:nothing");
    room.vault(["snapshots"]).run().code(2).says("s3://bucket/prefix");
}

fn assert_no_place_to_make(room: &CleanRoom) {
    let had_key = room.key_file().exists();
    for making in [&["init", "--no-recovery-key"][..], &["backup", "--init", "."]] {
        room.vault(making).run().code(2).says("does not exist").says("make the bucket first");
    }
    assert_eq!(room.key_file().exists(), had_key, "no key is made for nothing");
}

/// Services word it in their own ways; a listing that is not found has no other meaning.
#[test]
fn a_missing_bucket_is_known_in_other_words() {
    let xml = |code: &str| format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>none of that name</Message></Error>");
    for body in [String::new(), "not found".to_owned(), xml("NoSuchBucket"), xml("NoSuchKey"), xml("ResourceNotFound")] {
        let mut room = CleanRoom::new();
        room.set("VAULT_REPOSITORY", format!("s3:http://{}/other-words/r", vault_tests::servers::always("404 Not Found", body)));
        room.set("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE01");
        room.set("AWS_SECRET_ACCESS_KEY", "secretsecret");
        room.set("VAULT_PASSWORD", "not a secret");
        room.vault(["snapshots"]).run().code(10).says("the bucket other-words does not exist");
        room.unset("VAULT_PASSWORD");
        assert_no_place_to_make(&room);
    }
}

#[test]
fn no_acknowledged_snapshot_is_lost_in_a_bucket() {
    if !or_skip(Can::S3) {
        return;
    }
    let server = S3::start();
    super::prune::kill_writers_and_pruners(&room(&server, "killed"));
}
