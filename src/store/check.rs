//! What the store can say about its own soundness, for `upkeep::verify`: its databases and all modes.

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
        let access = self.access.database();
        let (cache, audit) = (self.cache.database(), self.audit.database());
        let registry = self.registry.database();
        for (name, integrity, foreign_keys) in [
            (
                "access.sqlite",
                access.integrity_faults(),
                access.foreign_key_faults(),
            ),
            (
                "cache.sqlite",
                cache.integrity_faults(),
                cache.foreign_key_faults(),
            ),
            (
                "audit.sqlite",
                audit.integrity_faults(),
                audit.foreign_key_faults(),
            ),
            (
                "registry.sqlite",
                registry.integrity_faults(),
                registry.foreign_key_faults(),
            ),
        ] {
            // A file that is damaged badly enough fails the checks themselves: that is a finding too.
            match integrity {
                Ok(lines) => faults.extend(
                    lines
                        .into_iter()
                        .map(|line| DatabaseFault::Integrity(format!("{name}: {line}"))),
                ),
                Err(error) => faults.push(DatabaseFault::Integrity(format!("{name}: {error}"))),
            }
            match foreign_keys {
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
