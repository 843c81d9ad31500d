//! `DATA/lock`: one process at a time serves a data directory or changes its cache.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;

use rustix::fs::FlockOperation;

use super::directory;
use crate::error::{Error, Kind, Result};

/// Holds `DATA/lock` until it is dropped or the process ends, however it ends.
pub struct DataLock {
    _file: File,
}

impl DataLock {
    /// Takes the lock without waiting. The file holds the owner's process id, for the other's error alone.
    ///
    /// # Errors
    /// `Conflict` if another process has it.
    pub fn take(data: &Path) -> Result<Self> {
        let path = data.join("lock");
        let failed = |error| Error::io("cannot lock", &path, error);
        directory::make_file(&path)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => {
                return Err(held(data, &mut file));
            }
            Err(error) => return Err(failed(error.into())),
        }
        // Neither the pid nor its length matters to the lock, so a full disk is no reason to fail.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}

fn held(data: &Path, file: &mut File) -> Error {
    let mut text = String::new();
    let owner = file
        .take(32)
        .read_to_string(&mut text)
        .ok()
        .and_then(|_| text.trim().parse::<u32>().ok())
        .map_or_else(
            || "another process".to_owned(),
            |pid| format!("another process (pid {pid})"),
        );
    Error::new(
        Kind::Conflict,
        format!("{owner} is using the data directory {}", data.display()),
    )
    .remedy("stop it first, or name another directory with --data")
}
