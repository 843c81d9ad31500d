//! What the store can say about its own soundness, for `upkeep::verify`: all databases and modes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::{Store, directory};
use crate::error::Result;

/// Something wrong inside a database.
#[derive(Debug)]
pub(crate) enum DatabaseFault {
    /// SQLite's own finding.
    Integrity(String),
    /// Rows whose parent row is missing.
    Dangling(String),
    /// A tag whose manifest's row is missing.
    DanglingTag(String),
}

impl Store {
    /// `integrity_check` and `foreign_key_check` of all databases, as sentences.
    pub(crate) fn database_faults(&self) -> Result<Vec<DatabaseFault>> {
        let mut faults = Vec::new();
        for (name, database) in [
            ("access.sqlite", self.access.database()),
            ("cache.sqlite", self.cache.database()),
            ("registry.sqlite", self.registry.database()),
        ] {
            // A file that is damaged badly enough fails the checks themselves: that is a finding too.
            match database.integrity_faults() {
                Ok(lines) => faults.extend(
                    lines
                        .into_iter()
                        .map(|line| DatabaseFault::Integrity(format!("{name}: {line}"))),
                ),
                Err(error) => faults.push(DatabaseFault::Integrity(format!("{name}: {error}"))),
            }
            match database.foreign_key_faults() {
                Ok(rows) => faults.extend(
                    rows.into_iter()
                        // These are named one by one below.
                        .filter(|(table, parent, _)| {
                            (table.as_str(), parent.as_str()) != ("tags", "manifests")
                        })
                        .map(|(table, parent, count)| {
                            DatabaseFault::Dangling(format!(
                                "{name}: rows of {table} whose row of {parent} is missing: {count}"
                            ))
                        }),
                ),
                Err(error) => faults.push(DatabaseFault::Integrity(format!("{name}: {error}"))),
            }
        }
        for (name, tags) in [
            ("cache.sqlite", self.cache.dangling_tags()),
            ("registry.sqlite", self.registry.dangling_tags()),
        ] {
            match tags {
                Ok(tags) => faults.extend(tags.into_iter().map(DatabaseFault::DanglingTag)),
                Err(error) => faults.push(DatabaseFault::Integrity(format!("{name}: {error}"))),
            }
        }
        Ok(faults)
    }

    /// Files and directories that others may enter or read, with their modes; of the blob directory only the
    /// directories: its files are looked at one by one by whoever reads them.
    pub(crate) fn wide_paths(&self) -> Result<Vec<(PathBuf, u32)>> {
        let mut wide = directory::wide_paths(&self.directory, self.blobs.root())?;
        for path in self.blobs.directories().into_iter().skip(1) {
            if let Ok(metadata) = fs::symlink_metadata(&path) {
                let mode = metadata.permissions().mode() & 0o7777;
                if metadata.is_dir() && directory::is_wider(mode, directory::DIRECTORY_MODE) {
                    wide.push((path, mode));
                }
            }
        }
        Ok(wide)
    }
}
