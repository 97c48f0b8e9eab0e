//! Disk images and dumps, however they come: as files, redirected, or through a pipe.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use vault_tests::call::{Done, number};
use vault_tests::clean_room::CleanRoom;
use vault_tests::tree::Random;

const LENGTH: u64 = 40 << 20;

/// A sparse image whose data begin and end nowhere near a cluster's border.
fn image(path: &Path) {
    let file = File::create(path).unwrap();
    file.set_len(LENGTH).unwrap();
    let mut random = Random(11);
    for at in [4096, 5 * 65_536 - 4096, 9 * 65_536 + 12_288, 20 << 20, LENGTH - 8192] {
        let most = LENGTH - at;
        let length = (4096 * (1 + random.below(40))).min(most);
        file.write_all_at(&random.bytes(length as usize), at).unwrap();
    }
    // The sign of an ext4 file system.
    file.write_all_at(b"\x53\xef", 1080).unwrap();
    file.sync_all().unwrap();
}

fn stdin(room: &CleanRoom, name: &str, from: &Path) -> Done {
    let wrapper = ["sh", "-c", "f=$1; shift; exec \"$@\" <\"$f\"", "sh"].map(OsStr::new);
    let words = ["backup", "--json", "--stdin", "--stdin-filename", name];
    room.vault(words).under(&[&wrapper[..], &[from.as_os_str()]].concat()).run().ok()
}

#[test]
fn an_image_shares_its_clusters_however_it_comes() {
    let room = CleanRoom::with_repository();
    let folder = room.path("guests");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("disk.raw");
    image(&path);
    let bytes = fs::read(&path).unwrap();
    let first = room.backup(&folder);
    assert!(number(&first, "data_added") > 100_000, "{first}");

    // Only what says where the clusters lie is new, and that is little.
    let little = |summary: &serde_json::Value| assert!(number(summary, "data_added") < 20_000, "{summary}");
    let redirected = stdin(&room, "disk.raw", &path).summary();
    little(&redirected);
    assert!(number(&redirected, "bytes_read") < 4 << 20, "holes are not read: {redirected}");
    assert!(room.vault(["dump", "latest", "/disk.raw"]).run().ok().stdout == bytes);

    let piped = room.vault(["backup", "--json", "--stdin", "--stdin-filename", "disk.raw"]).input(bytes.clone()).run().ok().summary();
    little(&piped);
    assert_eq!(number(&piped, "bytes_read"), LENGTH);
    assert!(room.vault(["dump", "latest", "/disk.raw"]).run().ok().stdout == bytes);

    // The name says nothing, the first bytes do.
    little(&stdin(&room, "vm-100-disk-0", &path).summary());
    assert!(room.vault(["dump", "latest", "/vm-100-disk-0"]).run().ok().stdout == bytes);
    little(&room.vault(["backup", "--json", "--stdin", "--stdin-filename", "vm-100-disk-0"]).input(bytes.clone()).run().ok().summary());
    assert!(room.vault(["dump", "latest", "/vm-100-disk-0"]).run().ok().stdout == bytes);

    let target = room.path("back");
    room.vault(["restore", "latest", "--target"].map(OsStr::new).into_iter().chain([target.as_os_str()])).run().ok();
    let restored = target.join("vm-100-disk-0");
    assert!(fs::read(&restored).unwrap() == bytes);
    assert!(fs::metadata(&restored).unwrap().blocks() * 512 < 4 << 20, "holes come back as holes");
    room.verify();
}

#[test]
fn a_redirected_file_is_read_from_where_it_stands() {
    let room = CleanRoom::with_repository();
    let path = room.path("file");
    let bytes = Random(3).bytes(3 << 20);
    fs::write(&path, &bytes).unwrap();
    let script = "f=$1; shift; { dd bs=1000 count=1 of=/dev/null 2>&-; exec \"$@\"; } <\"$f\"";
    let wrapper = ["sh", "-c", script, "sh"].map(OsStr::new);
    room.vault(["backup", "--stdin", "--stdin-filename", "rest"]).under(&[&wrapper[..], &[path.as_os_str()]].concat()).run().ok();
    assert!(room.vault(["dump", "latest", "/rest"]).run().ok().stdout == bytes[1000..]);
    // From the start, and short.
    for length in [0usize, 1, 70_000, 262_144, 262_145] {
        fs::write(&path, &bytes[..length]).unwrap();
        if length > 0 {
            stdin(&room, "short", &path);
            assert!(room.vault(["dump", "latest", "/short"]).run().ok().stdout == bytes[..length], "{length}");
        }
    }
}
