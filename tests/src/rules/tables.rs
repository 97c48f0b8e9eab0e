//! The tables behind the rules: floors, homes of dependencies, chapters, exceptions. A rule that must change is a line here, with its reason.

/// The floors of the engine, lowest first: a file may name its own floor and those below.
pub const FLOORS: &[&str] = &["format", "store", "ops", "sources", "jobs"];

/// What the pure floor must not touch.
pub const IMPURE: &[&str] = &["fs", "net", "env", "process", "thread", "time", "path"];

/// Each dependency (as code spells it) and the places that may name it; a place ending in `/` is a directory.
#[rustfmt::skip]
pub const HOMES: &[(&str, &[&str])] = &[
    // the format
    ("aes_gcm", &["engine/src/format/seal.rs", "format-spec/src/"]),
    ("argon2", &["engine/src/format/slot.rs", "format-spec/src/"]),
    ("bech32", &["engine/src/format/secret.rs", "format-spec/src/"]),
    ("blake3", &["engine/src/format/", "engine/src/store/", "format-spec/src/", "tests/", "benches/"]),
    ("chacha20poly1305", &["engine/src/format/seal.rs", "format-spec/src/"]),
    ("fastcdc", &["engine/src/format/chunker.rs"]),
    ("x_wing", &["engine/src/format/keys/recipient.rs", "format-spec/src/"]),
    ("zeroize", &["engine/src/format/", "engine/src/store/", "cli/src/"]),
    ("zstd_safe", &["engine/src/format/compress.rs", "format-spec/src/"]),
    // the store and the caches
    ("getrandom", &["engine/src/store/host.rs"]),
    ("memmap2", &["engine/src/store/"]),
    ("opendal", &["engine/src/store/"]),
    ("rusqlite", &["engine/src/store/", "engine/src/jobs/history.rs"]),
    ("tokio", &["engine/src/store/"]),
    ("xorf", &["engine/src/store/"]),
    // the operations and the sources
    ("crossbeam_channel", &["engine/src/ops/"]),
    ("nix", &["engine/src/sources/"]),
    ("rayon", &["engine/src/ops/", "engine/src/store/"]),
    ("rustix", &["engine/src/sources/", "engine/src/store/", "cli/src/world.rs", "cli/src/output/", "format-spec/", "tests/"]),
    ("thiserror", &["engine/src/", "cli/src/"]),
    // the command line
    ("clap", &["cli/src/args.rs", "cli/src/args/", "cli/src/commands/", "cli/src/main.rs"]),
    ("clap_complete", &["cli/src/commands/"]),
    ("clap_mangen", &["cli/src/commands/"]),
    ("indicatif", &["cli/src/output/"]),
    ("jiff", &["cli/src/"]),
    ("libc", &["cli/src/allocator.rs"]),
    ("rpassword", &["cli/src/world.rs"]),
    ("serde", &["cli/src/"]),
    ("serde_json", &["cli/src/", "tests/"]),
    ("shlex", &["cli/src/"]),
    ("signal_hook", &["cli/src/world.rs"]),
    ("toml", &["cli/src/"]),
    // ours
    ("vault_engine", &["cli/src/", "engine/examples/", "tests/", "benches/", "fuzz/"]),
    ("vault_rescue", &["format-spec/src/bin/", "format-spec/tests/", "tests/", "fuzz/"]),
    ("vault_tests", &["tests/", "benches/", "fuzz/"]),
    // tests and benches
    ("criterion", &["benches/"]),
    ("proptest", &["engine/src/", "tests/"]),
    ("tempfile", &["engine/src/", "cli/src/", "format-spec/", "tests/", "benches/", "engine/examples/"]),
    ("libfuzzer_sys", &["fuzz/"]),
    ("arbitrary", &["fuzz/"]),
    ("rand", &[]),
];

/// The clock and the dice of the machine.
pub const CLOCK_AND_DICE: &[&str] = &["SystemTime::now", "Instant::now", "UNIX_EPOCH.elapsed", "clock_gettime", "getrandom::"];
/// … and the files that may ask them, and why.
#[rustfmt::skip]
pub const CLOCK_AND_DICE_HOMES: &[(&str, &str)] = &[
    ("engine/src/store/host.rs", "the one place that hands them in"),
    ("cli/src/output/progress.rs", "draws rates for a person"),
    ("tests/", "patience with hung programs"),
    ("benches/", "measures"),
    ("engine/examples/index_scale.rs", "measures"),
];

/// Who may print: the CLI's output, programs, and what only developers run.
#[rustfmt::skip]
pub const PRINTERS: &[&str] = &[
    "cli/src/output/",
    "cli/src/main.rs",
    "format-spec/src/bin/",
    "tests/",
    "benches/",
    "engine/examples/",
    "fuzz/",
];

/// Files that may be longer than 500 lines, and why.
pub const LONG: &[(&str, &str)] = &[
    ("engine/src/format/pack.rs", "one chapter: geometry, table, blocks, with their unit tests"),
    ("engine/src/format/tree.rs", "one chapter: nodes, entries, splitting, with their unit tests"),
];

/// The chapters of the specification: title, module, folder of vectors, fuzz target.
/// `""` says that the chapter has none of its own, and the comment why.
#[rustfmt::skip]
pub const CHAPTERS: &[(&str, &str, &str, &str)] = &[
    ("Conventions", "", "", ""),   // words
    ("Objects", "layout", "repositories", ""), // rules across objects; of names there is nothing to decode
    ("Names", "id", "", ""),  // hashes: nothing to decode
    ("Deterministic CBOR", "cbor", "cbor", "cbor"),
    ("Keys", "keys", "keys", "keys"),
    ("Sealing", "seal", "seal", "seal"),
    ("Key slots", "slot", "slots", "slot"),
    ("Control objects", "control", "control", "control"),
    ("Configuration", "config", "config", "config"),
    ("Chunker", "chunker", "chunker", "chunker"),
    ("Packs", "pack", "packs", "pack"),
    ("Trees", "tree", "trees", "tree"),
    ("Snapshots", "snapshot", "snapshots", "snapshot"),
    ("Index", "index", "index", "index"),
    ("Order", "", "", ""),        // held by tests of the store's calls
    ("Limits", "", "", ""), // each limit has its vector in its own chapter
    ("Change", "", "", ""),       // rules for authors
];

/// Modules of the format that are no chapter, and why.
#[rustfmt::skip]
pub const NO_CHAPTER: &[(&str, &str)] = &[
    ("mod", "the floor's own page"),
    ("error", "what is wrong with these bytes"),
    ("secret", "secrets as text, of chapter 7, beside the slots that they open"),
    ("compress", "the methods of chapter 6, beside the sealing that uses them"),
    ("contents", "lists of extents, of chapter 12, beside the nodes that they become"),
    ("sweep", "the records of chapter 8 that sweepers leave, beside the envelope that holds them"),
    ("parity", "the parity of chapter 11, beside the packs that carry it"),
    ("node", "the entries of chapter 12, beside the nodes that hold them"),
];

/// Folders of vectors that are no chapter's, and why.
#[rustfmt::skip]
pub const NO_CHAPTER_VECTORS: &[(&str, &str)] = &[
    ("repository", "a whole repository: all chapters at once"),
    ("repository-roles", "a whole repository that roles wrote together"),
    ("repositories", "whole repositories in one file each: what counts and what is forgotten"),
];

/// Fuzz targets that are no chapter's, and why.
#[rustfmt::skip]
pub const NO_CHAPTER_TARGETS: &[(&str, &str)] = &[
    ("objects", "names of objects, chapters 2 and 3"),
    ("bundle", "what slots hold, of chapter 7, beside the slots that lock it"),
    ("sealed", "records behind a seal that is right"),
    ("secret", "secrets as text, of chapter 7"),
    ("lives", "whole lives with crashes: all chapters at once"),
    ("parity", "mending packs, of chapter 11"),
    ("run", "runs of the index in the cache"),
    ("patterns", "patterns of what to leave out"),
    ("select", "selectors of snapshots"),
];
