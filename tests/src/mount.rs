//! Small file systems that go away with the test: one in memory of any size, and one on a disk that fails when it is told to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A mounted file system that goes away with the test, however it ends.
pub struct Mount(PathBuf);

impl Mount {
    /// A file system in memory with these options, for example `size=1m`.
    pub fn tmpfs(at: &Path, options: &str) -> Self {
        fs::create_dir_all(at).unwrap();
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(at).status().unwrap();
        assert!(done.success());
        Self(at.to_owned())
    }

    /// Other options for it, for example another size.
    pub fn remount(&self, options: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0).status().unwrap();
        assert!(done.success());
    }

    /// Bytes that are free.
    pub fn free_bytes(&self) -> u64 {
        let found = rustix::fs::statvfs(&self.0).unwrap();
        found.f_bavail * found.f_frsize
    }

    /// Writes to a file of its own until nothing more fits; the file.
    pub fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
        for piece in [1 << 20, 64 << 10, 4096, 1] {
            while std::io::Write::write_all(&mut file, &vec![7; piece]).is_ok() {}
        }
        path
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn quietly(program: &str, arguments: &[&str]) -> Option<String> {
    let done = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    done.status.success().then(|| String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

/// An ext4 on a disk that fails every read and write as long as it is told to (`nbdkit --filter=error`, shown as a file by `nbdfuse`).
pub struct FailingDisk {
    scratch: tempfile::TempDir,
    server: Child,
    device: Option<String>,
    is_mounted: bool,
}

impl FailingDisk {
    /// One of so many MiB, mounted; `None` if that cannot be made here.
    pub fn new(size_mib: u64) -> Option<Self> {
        let scratch = tempfile::tempdir().ok()?;
        let path = |name: &str| scratch.path().join(name);
        let image = path("image");
        fs::File::create(&image).ok()?.set_len(size_mib << 20).ok()?;
        quietly("mkfs.ext4", &["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image.to_str()?])?;
        for folder in ["shown", "disk"] {
            fs::create_dir(path(folder)).ok()?;
        }
        let shown = path("shown/disk");
        let trigger = format!("error-file={}", path("fail").display());
        let server = Command::new("nbdfuse")
            .args([shown.to_str()?, "[", "nbdkit", "--exit-with-parent", "--filter=error", "file", image.to_str()?])
            .args(["error=EIO", "error-rate=100%", &trigger, "]"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut disk = Self { scratch, server, device: None, is_mounted: false };
        let start = Instant::now();
        while !shown.exists() && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(20));
        }
        disk.device = Some(quietly("losetup", &["-f", "--show", shown.to_str()?])?);
        disk.mount().then_some(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.scratch.path().join("disk")
    }

    /// Whether everything fails from now on.
    pub fn fail(&self, fails: bool) {
        let trigger = self.scratch.path().join("fail");
        if fails { fs::write(trigger, "").unwrap() } else { fs::remove_file(trigger).unwrap() }
    }

    fn mount(&mut self) -> bool {
        let Some(device) = &self.device else { return false };
        self.is_mounted = quietly("mount", &["-t", "ext4", device, self.path().to_str().unwrap()]).is_some();
        self.is_mounted
    }

    /// What an administrator does after the failure: unmounts, checks, mounts again.
    pub fn repair(&mut self) {
        let place = self.path();
        quietly("umount", &[place.to_str().unwrap()]).unwrap();
        // Exit code 1 says that errors were corrected.
        let _ = Command::new("e2fsck").args(["-f", "-y"]).arg(self.device.as_ref().unwrap()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(self.mount(), "the disk does not mount again");
    }
}

impl Drop for FailingDisk {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.scratch.path().join("fail"));
        if self.is_mounted {
            quietly("umount", &["--lazy", self.path().to_str().unwrap()]);
        }
        if let Some(device) = &self.device {
            quietly("losetup", &["-d", device]);
        }
        quietly("fusermount3", &["-u", "-z", self.scratch.path().join("shown").to_str().unwrap()]);
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
