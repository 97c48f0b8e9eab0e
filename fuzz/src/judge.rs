//! Two readers, one format: where one accepts what the other refuses, one of them or SPEC is wrong.
//!
//! Differences that are reported and not settled yet are let pass by name, so that the fuzzer goes on looking. With `VAULT_FUZZ_STRICT=1`
//! none is let pass; with `VAULT_FUZZ_KNOWN=DIR` the shortest input of each is kept in DIR.

use std::fmt::Debug;
use std::sync::OnceLock;
use vault_engine::format::FormatError;
use vault_rescue::fault::Fault;

/// Differences where the second reader is the stricter one: what it says, and a name.
const RESCUE_STRICTER: &[(&str, &str)] = &[];

/// Differences where the engine is the stricter one.
const ENGINE_STRICTER: &[(FormatError, &str)] = &[(FormatError::BadStructure("lengths whose sum is beyond 64 bits"), "tree-lists-sum-overflows")];

fn setting(name: &'static str, cell: &'static OnceLock<Option<String>>) -> Option<&'static str> {
    cell.get_or_init(|| std::env::var(name).ok().filter(|value| !value.is_empty())).as_deref()
}

/// Notes a difference that is reported already.
pub fn known(name: &str, input: &[u8]) {
    static STRICT: OnceLock<Option<String>> = OnceLock::new();
    static DIRECTORY: OnceLock<Option<String>> = OnceLock::new();
    assert!(setting("VAULT_FUZZ_STRICT", &STRICT).is_none(), "known difference: {name}");
    if let Some(directory) = setting("VAULT_FUZZ_KNOWN", &DIRECTORY) {
        let path = std::path::Path::new(directory).join(name);
        if std::fs::metadata(&path).map_or(true, |found| found.len() > input.len() as u64) {
            std::fs::write(path, input).expect("the directory for known differences");
        }
    }
}

/// Whether both accept; panics where only one does and the difference is news.
pub fn agree<A: Debug, B: Debug>(input: &[u8], engine: &Result<A, FormatError>, rescue: &Result<B, Fault>) -> bool {
    match (engine, rescue) {
        (Ok(_), Ok(_)) => true,
        (Err(_), Err(_)) => false,
        (Ok(_), Err(fault)) => {
            match RESCUE_STRICTER.iter().find(|(detail, _)| fault.detail.starts_with(detail)) {
                Some((_, name)) => known(name, input),
                None => panic!("the second reader refuses what the engine accepts: {fault}\n{engine:?}\n{}", vault_engine::format::id::hex(input)),
            }
            false
        }
        (Err(error), Ok(_)) => {
            match ENGINE_STRICTER.iter().find(|(known, _)| known == error) {
                Some((_, name)) => known(name, input),
                None => panic!("the engine refuses what the second reader accepts: {error:?}\n{rescue:?}\n{}", vault_engine::format::id::hex(input)),
            }
            false
        }
    }
}
