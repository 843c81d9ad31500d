//! A small filesystem of its own, for what happens when a disk is full or takes no writes.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::rows::DATABASES;

/// A tmpfs, unmounted when it is dropped.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of `size` (as `mount` has it, `24m`) at the directory `at`, which is made. `None`, with the
    /// reason printed, where this user may not mount.
    pub(crate) fn mount(at: PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir(&at).unwrap();
        let output = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={size},mode=0700"),
                "tmpfs",
            ])
            .arg(&at)
            .output();
        match output {
            Ok(output) if output.status.success() => Some(Self(at)),
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr).into_owned();
                eprintln!("skipped: cannot mount a tmpfs: {}", why.trim());
                None
            }
            Err(error) => {
                eprintln!("skipped: cannot run mount: {error}");
                None
            }
        }
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Takes all the room there is, by a file beside what is there; [`Self::empty`] gives it back.
    pub(crate) fn fill(&self) {
        let path = self.0.join("filler");
        let filler = std::fs::File::create(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let zeros = [0; 4096];
        let mut at = 0;
        while std::os::unix::fs::FileExt::write_at(&filler, &zeros, at).is_ok_and(|n| n > 0) {
            at += 4096;
        }
    }

    /// As [`Self::fill`], and leaves no room in the databases' write-ahead logs either: each write of a store that
    /// lies here has to make one longer, and fails.
    pub(crate) fn fill_for(&self, data: &Path) {
        for name in DATABASES {
            let connection = rusqlite::Connection::open(data.join(name)).unwrap();
            connection.busy_timeout(Duration::from_secs(10)).unwrap();
            let truncate = "PRAGMA wal_checkpoint(TRUNCATE)";
            let is_busy: i64 = connection
                .query_row(truncate, [], |row| row.get(0))
                .unwrap();
            assert_eq!(is_busy, 0, "{name}");
        }
        self.fill();
    }

    /// Leaves so many bytes free, about.
    pub(crate) fn leave(&self, bytes: u64) {
        self.fill();
        let mut options = std::fs::OpenOptions::new();
        let filler = options.write(true).open(self.0.join("filler")).unwrap();
        let length = filler.metadata().unwrap().len();
        filler.set_len(length.saturating_sub(bytes)).unwrap();
    }

    /// Gives back what [`Self::fill`] took.
    pub(crate) fn empty(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }

    /// Mounts it read-only, or back. Nobody may have a file of it open for writing.
    pub(crate) fn set_read_only(&self, read_only: bool) {
        let option = if read_only {
            "remount,ro"
        } else {
            "remount,rw"
        };
        let status = Command::new("mount")
            .args(["-o", option])
            .arg(&self.0)
            .status();
        assert!(status.unwrap().success(), "{option}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
