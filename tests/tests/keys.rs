//! Passwords, key files, recovery keys: every way in, and nobody else's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use vault_tests::call::{contains, text};
use vault_tests::clean_room::{CleanRoom, files_below, secret_words};
use vault_tests::tree;

const PASSWORD: &str = "correct horse \u{fc} battery";
const OTHER: &str = "another staple";

/// A repository that a password opens, with a backup in it.
fn with_password() -> (CleanRoom, PathBuf) {
    let mut room = CleanRoom::new();
    room.set("VAULT_REPOSITORY", room.path("repo"));
    room.set("VAULT_PASSWORD", PASSWORD);
    room.keep_secret(PASSWORD);
    room.keep_secret(OTHER);
    room.vault(["init"]).run().ok();
    room.guard_key_files();
    let source = room.path("source");
    tree::write(&source, &[tree::file("f", "f")]);
    room.backup(&source);
    (room, source)
}

fn secret_file(room: &CleanRoom, name: &str, text: &str) -> String {
    let path = room.path(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The ids of the key slots.
fn slots(room: &CleanRoom) -> Vec<(String, String, bool)> {
    let list = room.vault(["key", "list", "--json"]).run().ok();
    list.events_of("key").iter().map(|key| (text(key, "id"), text(key, "kind"), key["current"] == true)).collect()
}

#[test]
fn a_password_by_environment_file_and_command() {
    let (room, _) = with_password();
    let file = secret_file(&room, "password", &format!("{PASSWORD}\n"));
    let command = format!("cat {file}");
    room.vault(["snapshots"]).run().ok();
    let bare = || room.vault(["snapshots"]).without("VAULT_PASSWORD");
    bare().arg("--password-file").arg(&file).run().ok();
    bare().env("VAULT_PASSWORD_FILE", &file).run().ok();
    bare().arg("--password-command").arg(&command).run().ok();
    bare().env("VAULT_PASSWORD_COMMAND", &command).run().ok();
    // A command that fails is not an empty password.
    assert_ne!(bare().env("VAULT_PASSWORD_COMMAND", "false").run().code, Some(0));
    // Nothing given and nobody to ask: an end, not a wait.
    assert!(matches!(bare().run().code, Some(2 | 12)));
}

#[test]
fn the_wrong_secret_is_12() {
    let (room, _) = with_password();
    room.vault(["snapshots"]).env("VAULT_PASSWORD", OTHER).run().code(12);
    let stranger = CleanRoom::with_repository();
    let bare = || room.vault(["snapshots"]).without("VAULT_PASSWORD");
    bare().arg("--key-file").arg(stranger.key_file()).run().code(12);
    let recovery = stranger.path("home/config/vault/recovery-key");
    bare().arg("--recovery-key-file").arg(recovery).run().code(12);
    let broken = secret_file(&room, "broken", "vaultkey1qqqqqqqq\n");
    assert_ne!(bare().arg("--key-file").arg(broken).run().code, Some(0));
}

#[test]
fn a_password_is_typed_on_a_terminal_and_not_shown() {
    let (room, _) = with_password();
    let done = room.on_terminal(["snapshots"]).without("VAULT_PASSWORD").input(format!("{PASSWORD}\n")).after("assword").run().ok();
    assert!(done.text().contains("assword"), "asked: {done}");
}

#[test]
fn the_recovery_key_opens_what_the_password_did() {
    let (room, source) = with_password();
    let recovery = room.path("home/config/vault/recovery-key");
    let target = room.path("target");
    let words = ["restore".as_ref(), "latest".as_ref(), "--target".as_ref(), target.as_os_str(), "--recovery-key-file".as_ref(), recovery.as_os_str()];
    room.vault(words).without("VAULT_PASSWORD").run().ok();
    assert!(target.join(vault_tests::clean_room::inside(&source)).join("f").exists());
    // Without hyphens and in capitals, as somebody may type it from paper.
    let key = secret_words(&fs::read_to_string(&recovery).unwrap()).remove(0);
    let typed = secret_file(&room, "typed", &key.replace('-', "").to_uppercase());
    room.vault(["snapshots", "--recovery-key-file", &typed]).without("VAULT_PASSWORD").run().ok();
}

#[test]
fn keys_are_added_listed_and_removed() {
    let (mut room, _) = with_password();
    let before = slots(&room);
    assert_eq!(before.iter().filter(|(_, _, current)| *current).count(), 1, "{before:?}");
    let new = room.path("new-key");
    room.vault(["key", "add", "--label", "laptop", "--new-key-file", new.to_str().unwrap()]).run().ok();
    room.guard_key_files();
    assert_eq!(fs::metadata(&new).unwrap().permissions().mode() & 0o777, 0o600);
    let added: Vec<_> = slots(&room).into_iter().filter(|(id, ..)| !before.iter().any(|(known, ..)| known == id)).collect();
    assert_eq!(added.len(), 1);
    room.vault(["key", "list"]).run().ok().says("laptop");
    room.vault(["snapshots", "--key-file", new.to_str().unwrap()]).without("VAULT_PASSWORD").run().ok();

    room.vault(["key", "remove", &added[0].0]).run().ok();
    room.vault(["snapshots", "--key-file", new.to_str().unwrap()]).without("VAULT_PASSWORD").run().code(12);
    let current = slots(&room).into_iter().find(|(_, _, current)| *current).unwrap().0;
    assert_ne!(room.vault(["key", "remove", &current]).run().code, Some(0), "the key in use stays");
    room.vault(["snapshots"]).run().ok();
}

#[test]
fn passwd_changes_the_password() {
    let (room, _) = with_password();
    let file = secret_file(&room, "other", &format!("{OTHER}\n"));
    let count = slots(&room).len();
    room.vault(["key", "passwd", "--new-password-file", &file]).run().ok();
    room.vault(["snapshots"]).run().code(12);
    room.vault(["snapshots"]).env("VAULT_PASSWORD", OTHER).run().ok();
    let list = room.vault(["key", "list", "--json"]).env("VAULT_PASSWORD", OTHER).run().ok();
    assert_eq!(list.events_of("key").len(), count);
}

#[test]
fn recovery_makes_one_more_recovery_key() {
    let (mut room, _) = with_password();
    let file = room.path("recovery");
    room.vault(["key", "recovery", "--output", file.to_str().unwrap()]).run().ok();
    room.guard_key_files();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    room.vault(["snapshots", "--recovery-key-file", file.to_str().unwrap()]).without("VAULT_PASSWORD").run().ok();
    let again = room.vault(["key", "recovery", "--output", file.to_str().unwrap()]).run();
    assert_ne!(again.code, Some(0), "never over an existing file: {again}");
}

/// A rotation shuts out every secret but the one in use: what is lost cannot read what is written from now on.
#[test]
fn a_rotation_keeps_the_past_readable_and_shuts_old_secrets_out() {
    let (mut room, source) = with_password();
    let (lost, old_recovery) = (room.path("lost-key"), room.path("home/config/vault/recovery-key"));
    room.vault(["key", "add", "--new-key-file", lost.to_str().unwrap()]).run().ok();
    let rotated = room.vault(["key", "rotate", "--json"]).run().ok();
    room.guard_key_files();
    let new_recovery = PathBuf::from(text(&rotated.events_of("recovery_key")[0], "file"));
    tree::write(&source, &[tree::file("g", "after the rotation")]);
    room.backup(&source);
    room.verify();
    for snapshot in ["latest", "latest~1"] {
        let target = room.restore(snapshot, &source, snapshot);
        assert_eq!(fs::read_to_string(target.join("f")).unwrap(), "f");
    }
    let bare = |flag: &str, file: &std::path::Path| room.vault(["snapshots".as_ref(), flag.as_ref(), file.as_os_str()]).without("VAULT_PASSWORD").run();
    bare("--recovery-key-file", &new_recovery).ok();
    bare("--recovery-key-file", &old_recovery).code(12);
    bare("--key-file", &lost).code(12);
}

/// Neither on the command line of any process, nor in the repository, nor in the cache.
#[test]
fn secrets_and_names_are_nowhere_in_the_clear() {
    let (room, source) = with_password();
    tree::write(
        &source,
        &[tree::file("a-telling-name", "telling contents, telling contents").xattr("user.telling", b"telling value"), tree::noise("load", 40 << 20, 4)],
    );
    let mut running = room.vault(["backup", source.to_str().unwrap(), "--tag", "telling-tag", "--host", "telling-host"]).start();
    let mut seen = 0;
    while !running.ended() {
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            assert!(!contains(&line, PASSWORD.as_bytes()), "a password on a command line");
        }
        seen += 1;
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    running.wait().ok();
    assert!(seen > 0);
    for file in files_below(&room.path("repo")) {
        let bytes = fs::read(&file).unwrap();
        for word in ["telling", PASSWORD] {
            assert!(!contains(&bytes, word.as_bytes()), "{word:?} in {}", file.display());
        }
    }
    let recovery = secret_words(&fs::read_to_string(room.path("home/config/vault/recovery-key")).unwrap()).remove(0);
    for file in files_below(&room.cache()) {
        let bytes = fs::read(&file).unwrap();
        for word in ["telling", PASSWORD, &recovery] {
            assert!(!contains(&bytes, word.as_bytes()), "{word:?} in the cache {}", file.display());
        }
    }
}
