//! `DATA/offline`: there while an administrator has switched the box offline by command, so that it stays
//! offline over a restart.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::Store;
use super::directory;
use crate::error::{Error, Result};

const FILE: &str = "offline";

impl Store {
    /// Whether the box was switched offline by command.
    ///
    /// # Errors
    /// `Io` with the path.
    pub fn is_offline(&self) -> Result<bool> {
        let path = self.offline_file();
        path.try_exists()
            .map_err(|error| Error::io("cannot look for", &path, error))
    }

    /// Switches it; idempotent.
    ///
    /// # Errors
    /// `Io` or `Full` with the path.
    pub fn set_offline(&self, offline: bool) -> Result<()> {
        let path = self.offline_file();
        if offline {
            directory::make_file(&path)?;
            return directory::sync_directory(self.directory());
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("cannot remove", &path, error))
            }
            _ => Ok(()),
        }
    }

    fn offline_file(&self) -> PathBuf {
        self.directory().join(FILE)
    }
}
