//! What this host lets the tests do. A test that needs more asks here; `tests/run` prints the answers first, so that nothing is skipped in silence.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Something a test may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Can {
    /// Be root with the right to make devices and set trusted attributes.
    Root,
    /// Keep user attributes and ACLs in the temporary directory.
    Xattrs,
    /// Trace system calls.
    Strace,
    /// Mount a small file system.
    Mount,
    /// Install an npm package from whatever registry npm is set up for.
    Npm,
    /// Be somebody else for one command.
    PlainUser,
    /// Set inode flags in the temporary directory.
    Flags,
    /// Give a process so much memory and no more.
    LimitMemory,
    /// Make a disk that fails when it is told to.
    FailingDisk,
    /// Make the C library's calls fall short.
    ShortWrites,
    /// Start an S3 server.
    S3,
    /// Make folders in which nothing can be deleted.
    AppendOnly,
}

/// Everything that can be asked, with what is skipped when the answer is no.
pub const ALL: [(Can, &str); 12] = [
    (Can::Root, "devices, owners, trusted attributes, capabilities: need root"),
    (Can::Xattrs, "attributes and ACLs: the temporary directory's file system keeps none"),
    (Can::Strace, "proof by system call trace: strace cannot trace here"),
    (Can::Mount, "file system borders and full disks: mounting is not allowed here"),
    (Can::Npm, "the npm tree: npm is not installed, finds no registry, or VAULT_TESTS_OFFLINE is set"),
    (Can::PlainUser, "restoring as a plain user: needs root and setpriv to become one"),
    (Can::Flags, "inode flags: the temporary directory's file system keeps none"),
    (Can::LimitMemory, "keeping a memory limit: no control group for memory can be made here"),
    (Can::FailingDisk, "a failing disk under the repository: needs root, nbdkit, nbdfuse, fusermount3, and loop devices"),
    (Can::ShortWrites, "reads and writes that fall short: needs fiu-run"),
    (Can::S3, "repositories in a bucket: tests/run could not install an S3 server (moto), or VAULT_TESTS_SERVERS does not say where"),
    (Can::AppendOnly, "folders in which nothing can be deleted: the temporary directory's file system has none, or only root may make them"),
];

/// Whether this host can do it.
pub fn test(what: Can) -> bool {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name).display().to_string();
    let shell = |script: &str| {
        let command = Command::new("sh").args(["-euc", script, "sh", &at("probe")]).stdin(Stdio::null()).output();
        command.is_ok_and(|done| done.status.success())
    };
    match what {
        Can::Root => rustix::process::geteuid().is_root() && shell("mknod \"$1\" c 1 3 && setfattr -h -n trusted.a -v b \"$1\""),
        Can::Xattrs => shell(": >\"$1\"; setfattr -n user.a -v b \"$1\"; setfacl -m u:1:r \"$1\""),
        Can::Strace => shell("strace -f -o \"$1\" true && test -s \"$1\""),
        Can::Mount => shell("mkdir \"$1\"; mount -t tmpfs none \"$1\" && umount \"$1\""),
        Can::Npm => std::env::var_os("VAULT_TESTS_OFFLINE").is_none() && shell("npm view eslint@9 version --fetch-retries=1 --fetch-timeout=20000 >/dev/null"),
        Can::PlainUser => shell("setpriv --reuid 65534 --regid 65534 --clear-groups true"),
        Can::Flags => shell(": >\"$1\"; chattr +d \"$1\"; lsattr \"$1\" | grep -q d"),
        Can::AppendOnly => shell("mkdir \"$1\"; chattr +a \"$1\"; : >\"$1/a\"; ! rm \"$1/a\" 2>/dev/null; chattr -a \"$1\""),
        Can::LimitMemory => memory_groups().is_some(),
        Can::FailingDisk => crate::mount::FailingDisk::new(8).is_some(),
        Can::ShortWrites => shell("fiu-run -x -c 'enable name=posix/io/rw/pwrite/reduce' true"),
        Can::S3 => crate::servers::moto().is_some(),
    }
}

/// The folder in which control groups that limit memory can be made, and the file that holds their limit.
pub fn memory_groups() -> Option<(PathBuf, &'static str)> {
    let candidates = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
    candidates.into_iter().map(|(root, file)| (PathBuf::from(root), file)).find(|(root, file)| {
        let probe = root.join(format!("vault-tests-probe-{}", std::process::id()));
        let made = std::fs::create_dir(&probe).is_ok();
        let works = made && std::fs::write(probe.join(file), "1073741824").is_ok();
        let _ = std::fs::remove_dir(&probe);
        works
    })
}

/// Whether this host can do it; says so in the test's own output if not.
#[must_use]
pub fn or_skip(what: Can) -> bool {
    let yes = test(what);
    if !yes {
        let (_, why) = ALL.iter().find(|(can, _)| *can == what).unwrap();
        eprintln!("skipped: {why}");
    }
    yes
}

/// The directory that a run may fill with things worth keeping between runs (package downloads), or `None`.
pub fn keep() -> Option<PathBuf> {
    std::env::var_os("VAULT_TESTS_KEEP").map(PathBuf::from)
}
