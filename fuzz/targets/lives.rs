//! Whole lives of a repository: a few machines, each operation cut short at any call, two programs at the same time, damage; a plain model beside it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::PathBuf;
use std::sync::OnceLock;
use vault_tests::lives::live;

/// Where the machines keep their caches: in memory where there is such a place, since each life makes and removes files.
fn scratch() -> &'static PathBuf {
    static SCRATCH: OnceLock<PathBuf> = OnceLock::new();
    SCRATCH.get_or_init(|| {
        let shared = PathBuf::from("/dev/shm");
        let base = if std::env::var_os("TMPDIR").is_none() && shared.is_dir() { shared } else { std::env::temp_dir() };
        let scratch = base.join(format!("vault-lives-{}", std::process::id()));
        std::fs::create_dir_all(&scratch).expect("a place for caches");
        scratch
    })
}

fuzz_target!(|input: &[u8]| {
    live(input, scratch());
});
