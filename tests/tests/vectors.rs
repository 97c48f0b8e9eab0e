//! The engine runs every vector of the format with its own code; the files are read by the second reader's parser.

mod objects;
mod operations;
pub mod whole;

use operations::Refusal;
use std::fs;
use std::path::{Path, PathBuf};
use vault_rescue::vectors::{Expect, FOLDERS, Vector};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../format-spec/vectors")
}

/// Runs a vector; the error is a sentence about the difference.
fn run(vector: &Vector) -> Result<(), String> {
    match (&vector.expect, operations::run(vector)) {
        (_, Err(Refusal::Vector(reason))) => Err(format!("the vector is wrong: {reason}")),
        (Expect::Refused(rule), Err(Refusal::Word(word, _))) if word == rule.word() => Ok(()),
        (Expect::Refused(rule), Err(Refusal::Word(word, reason))) => Err(format!("expected {}, found {word}: {reason}", rule.word())),
        (Expect::Refused(rule), Ok(_)) => Err(format!("expected {}, but it was accepted", rule.word())),
        (Expect::Fine, Err(Refusal::Word(word, reason))) => Err(format!("expected ok, found {word}: {reason}")),
        (Expect::Fine, Ok(outputs)) => {
            let stated = vector.fields.iter().filter_map(|(key, value)| Some((key.strip_prefix("out-")?, value.as_str())));
            for (name, wanted) in stated {
                match outputs.iter().find(|(other, _)| *other == name) {
                    None => return Err(format!("this operation has no output {name}")),
                    Some((_, found)) if found != wanted => return Err(format!("{name}: expected {wanted}, found {found}")),
                    Some(_) => {}
                }
            }
            let unstated = outputs.iter().find(|(name, _)| !vector.fields.contains_key(&format!("out-{name}")));
            unstated.map_or(Ok(()), |(name, found)| Err(format!("the vector does not state out-{name}; found {found}")))
        }
    }
}

#[test]
fn the_engine_agrees_with_every_vector() {
    let (mut number, mut differences) = (0, Vec::new());
    for chapter in FOLDERS {
        let mut files: Vec<PathBuf> = fs::read_dir(folder().join(chapter)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "vec"));
        assert!(!files.is_empty(), "{chapter}: no vector");
        files.sort();
        for file in files {
            number += 1;
            let outcome = Vector::parse(&fs::read(&file).unwrap()).and_then(|vector| run(&vector));
            if let Err(difference) = outcome {
                differences.push(format!("{}: {difference}", file.strip_prefix(folder()).unwrap().display()));
            }
        }
    }
    assert!(differences.is_empty(), "{} of {number}\n{}", differences.len(), differences.join("\n"));
    assert!(number >= 500, "only {number} vectors");
}
