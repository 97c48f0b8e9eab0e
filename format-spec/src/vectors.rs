//! Reads a vector file (see `vectors/README.md`) and runs it against this reader.

use crate::fault::{Fault, Result, Rule};
use crate::keys::{Bytes16, Bytes32, Roots, unhex};
use crate::vector_ops;
use std::collections::BTreeMap;
use std::path::Path;

/// The folders that must be there.
pub const FOLDERS: [&str; 12] =
    ["cbor", "keys", "seal", "slots", "control", "config", "chunker", "packs", "trees", "snapshots", "index", "repositories"];

/// Longest input that a generator makes.
const MAX_INPUT: usize = 64 << 20;

/// What a vector says must come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It is accepted.
    Fine,
    /// It is refused, and by this rule.
    Refused(Rule),
}

/// A vector.
#[derive(Debug)]
pub struct Vector {
    /// Header lines.
    pub fields: BTreeMap<String, String>,
    /// The word behind `expect`.
    pub expect: Expect,
    /// The input, generated where a generator is named.
    pub input: Vec<u8>,
}

/// What an operation gives: names (the vector's keys without `out-`) and values.
pub type Outputs = Vec<(&'static str, String)>;

impl Vector {
    /// Reads a vector's bytes. The error is a sentence about the vector.
    pub fn parse(bytes: &[u8]) -> std::result::Result<Vector, String> {
        let Some(end) = bytes.windows(2).position(|pair| pair == b"\n\n") else {
            return Err("no empty line after the header".to_owned());
        };
        let Ok(header) = std::str::from_utf8(&bytes[..end]) else {
            return Err("the header is not UTF-8".to_owned());
        };
        let mut fields = BTreeMap::new();
        for line in header.split('\n') {
            // Where nothing follows the colon an editor may have removed the space.
            let Some((key, value)) = line.split_once(": ").or_else(|| line.strip_suffix(':').map(|key| (key, ""))) else {
                return Err(format!("a header line without a colon: {line:?}"));
            };
            if fields.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(format!("{key} is there twice"));
            }
        }
        for key in ["about", "op", "expect"] {
            if !fields.contains_key(key) {
                return Err(format!("{key} is missing"));
            }
        }
        let word = fields.get("expect").map(String::as_str).unwrap_or_default();
        let expect = match (word, Rule::from_word(word)) {
            ("ok", _) => Expect::Fine,
            (_, Some(rule)) => Expect::Refused(rule),
            _ => return Err(format!("unknown expectation {word:?}")),
        };
        let body = &bytes[end + 2..];
        let input = match fields.get("input") {
            None => body.to_vec(),
            Some(_) if !body.is_empty() => return Err("bytes beside a generator".to_owned()),
            Some(line) => generate(line)?,
        };
        Ok(Vector { fields, expect, input })
    }

    /// Runs the vector. The error is a sentence about the difference.
    pub fn run(&self) -> std::result::Result<(), String> {
        let outcome = vector_ops::run(self);
        match (&self.expect, outcome) {
            (_, Err(fault)) if fault.rule == Rule::Io => Err(format!("the vector is wrong: {fault}")),
            (Expect::Refused(rule), Err(fault)) if fault.rule == *rule => Ok(()),
            (Expect::Refused(rule), Err(fault)) => Err(format!("expected {}, found {fault}", rule.word())),
            (Expect::Refused(rule), Ok(_)) => Err(format!("expected {}, but it was accepted", rule.word())),
            (Expect::Fine, Err(fault)) => Err(format!("expected ok, found {fault}")),
            (Expect::Fine, Ok(outputs)) => self.compare(&outputs),
        }
    }

    fn compare(&self, outputs: &Outputs) -> std::result::Result<(), String> {
        for (key, wanted) in &self.fields {
            let Some(name) = key.strip_prefix("out-") else { continue };
            match outputs.iter().find(|(other, _)| *other == name) {
                None => return Err(format!("this operation has no output {name}")),
                Some((_, found)) if found != wanted => return Err(format!("{name}: expected {wanted}, found {found}")),
                Some(_) => {}
            }
        }
        for (name, found) in outputs {
            if !self.fields.contains_key(&format!("out-{name}")) {
                return Err(format!("the vector does not state out-{name}; found {found}"));
            }
        }
        Ok(())
    }

    /// A header line's value.
    pub fn text(&self, key: &str) -> Result<&str> {
        match self.fields.get(key) {
            Some(value) => Ok(value),
            None => Err(Fault::new(Rule::Io, format!("{key} is missing"))),
        }
    }

    /// A header line's value as a number.
    pub fn number(&self, key: &str) -> Result<u64> {
        self.text(key)?.parse().map_err(|_| Fault::new(Rule::Io, format!("{key} is no number")))
    }

    /// A header line's value as a small number.
    pub fn byte(&self, key: &str) -> Result<u8> {
        u8::try_from(self.number(key)?).map_err(|_| Fault::new(Rule::Io, format!("{key} is above 255")))
    }

    /// A header line's value as hex.
    pub fn hex(&self, key: &str) -> Result<Vec<u8>> {
        unhex(self.text(key)?).ok_or_else(|| Fault::new(Rule::Io, format!("{key} is not hex")))
    }

    /// A header line's value as hex of `N` bytes.
    pub fn fixed<const N: usize>(&self, key: &str) -> Result<[u8; N]> {
        <[u8; N]>::try_from(self.hex(key)?).map_err(|_| Fault::new(Rule::Io, format!("{key} does not have {N} bytes")))
    }

    /// `repository`
    pub fn id(&self) -> Result<Bytes16> {
        self.fixed("repository")
    }

    /// `roots`: all root keys, back to back.
    pub fn roots(&self) -> Result<Roots> {
        let bytes = self.hex("roots")?;
        let mut roots: Vec<Bytes32> = Vec::new();
        for key in bytes.chunks(32) {
            roots.push(key.try_into().map_err(|_| Fault::new(Rule::Io, "roots are cut off"))?);
        }
        Roots::new(roots)
    }
}

/// Makes a generator's bytes.
fn generate(line: &str) -> std::result::Result<Vec<u8>, String> {
    let words: Vec<&str> = line.split(' ').collect();
    let count = words.last().and_then(|word| word.parse::<usize>().ok()).filter(|count| *count <= MAX_INPUT);
    let Some(count) = count else { return Err(format!("no good length in input: {line}")) };
    match words.as_slice() {
        ["zeros", _] => Ok(vec![0; count]),
        ["counter", _] => Ok((0..count).map(|i| i as u8).collect()),
        ["blake3-xof", seed, _] => {
            let Some(seed) = unhex(seed) else { return Err("the seed is not hex".to_owned()) };
            let mut bytes = vec![0; count];
            blake3::Hasher::new().update(&seed).finalize_xof().fill(&mut bytes);
            Ok(bytes)
        }
        _ => Err(format!("unknown generator: {line}")),
    }
}

/// Runs one file.
pub fn run_file(path: &Path) -> std::result::Result<(), String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    Vector::parse(&bytes)?.run()
}

/// Runs all vectors below a folder and returns their number; the error lists all that differ.
pub fn run_all(folder: &Path) -> std::result::Result<usize, String> {
    let mut number = 0;
    let mut differences = Vec::new();
    for chapter in FOLDERS {
        let path = folder.join(chapter);
        let entries = std::fs::read_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut files: Vec<_> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "vec"));
        files.sort();
        if files.is_empty() {
            return Err(format!("{}: no vector", path.display()));
        }
        for file in files {
            number += 1;
            if let Err(difference) = run_file(&file) {
                differences.push(format!("{}: {difference}", file.display()));
            }
        }
    }
    if differences.is_empty() { Ok(number) } else { Err(differences.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_vectors_agree() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
        match run_all(&folder) {
            Ok(number) => assert!(number >= 100, "only {number} vectors"),
            Err(differences) => panic!("{differences}"),
        }
    }
}
