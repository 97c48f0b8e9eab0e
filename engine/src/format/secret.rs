//! Key files and recovery keys as text that people can store, print and type (SPEC chapter 7).

use super::keys::Key;
use bech32::{Bech32m, Hrp};

const KEY_FILE: &str = "vaultkey";
const RECOVERY: &str = "vaultrecovery";
/// BIP 350's limit in characters.
const BECH32_LENGTH_MAX: usize = 90;

fn write(prefix: &str, key: &Key) -> String {
    bech32::encode::<Bech32m>(Hrp::parse(prefix).expect("a valid prefix"), &key.0).expect("32 bytes fit")
}

fn read(prefix: &str, text: &str) -> Option<Key> {
    let compact: String = text
        .split('\n')
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::chars)
        .filter(|c| !matches!(c, '\x09'..='\x0d' | ' ') && (*c != '-' || prefix != RECOVERY))
        .collect();
    if compact.len() > BECH32_LENGTH_MAX {
        return None;
    }
    let checked = bech32::primitives::decode::CheckedHrpstring::new::<Bech32m>(&compact).ok()?;
    if checked.hrp() != Hrp::parse(prefix).expect("a valid prefix") || checked.validate_segwit_padding().is_err() {
        return None;
    }
    checked.byte_iter().collect::<Vec<u8>>().try_into().ok().map(Key)
}

/// The contents of a key file, with a comment that says what it is.
pub fn write_key_file(key: &Key) -> String {
    format!("# vault key file: who has it can read and write the repository. Keep a copy elsewhere.\n{}\n", write(KEY_FILE, key))
}

/// Reads a key file; `None` if it is none, or a character is wrong.
pub fn read_key_file(text: &str) -> Option<Key> {
    read(KEY_FILE, text)
}

/// A recovery key in groups that can be read aloud.
pub fn write_recovery_key(key: &Key) -> String {
    let text = write(RECOVERY, key);
    let (prefix, rest) = text.split_at(RECOVERY.len() + 1);
    let groups: Vec<&str> = rest.as_bytes().chunks(6).map(|group| std::str::from_utf8(group).expect("ASCII")).collect();
    format!("{prefix}-{}", groups.join("-"))
}

/// Reads a recovery key, with or without hyphens and white space; `None` if a character is wrong.
pub fn read_recovery_key(text: &str) -> Option<Key> {
    read(RECOVERY, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_there_and_back_as_text() {
        let key = Key(std::array::from_fn(|i| i as u8 * 5));
        let file = write_key_file(&key);
        assert_eq!(read_key_file(&file), Some(key.clone()));
        assert_eq!(read_recovery_key(&file), None);
        let recovery = write_recovery_key(&key);
        assert_eq!(read_recovery_key(&recovery), Some(key.clone()), "{recovery}");
        assert_eq!(read_recovery_key(&recovery.to_uppercase()), Some(key));
        assert_eq!(read_recovery_key(&recovery.replacen('q', "p", 1)), None);
        assert_eq!(read_key_file(""), None);
    }
}
