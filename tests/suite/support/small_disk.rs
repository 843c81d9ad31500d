//! A small filesystem of its own, for what happens when a disk is full or takes no writes.

#![allow(dead_code, reason = "each suite uses its part of it")]

use std::path::{Path, PathBuf};
use std::process::Command;

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
        let filler = std::fs::File::create(self.0.join("filler")).unwrap();
        let zeros = [0; 4096];
        let mut at = 0;
        while std::os::unix::fs::FileExt::write_at(&filler, &zeros, at).is_ok_and(|n| n > 0) {
            at += 4096;
        }
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
