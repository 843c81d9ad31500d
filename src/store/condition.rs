//! Whether what is on disk can be used at this moment. Reads a row of each database and asks the kernel;
//! writes nothing, so that asking is cheap and harmless.

use std::path::Path;

use rusqlite::Connection;
use rustix::fs::{Access, StatVfsMountFlags};

use super::Store;
use super::statement::get;
use crate::error::{Error, Kind, Result};
use crate::time::Timestamp;

/// An event stands for all of its kind within a minute: of those that began last one was also last.
const NEWEST_EVENTS: &str = "SELECT max(last_time) FROM
    (SELECT last_time FROM events ORDER BY time DESC LIMIT 1000)";
const NEWEST_MANIFESTS: &str = "SELECT max(fetched_at) FROM
    (SELECT fetched_at FROM manifests ORDER BY id DESC LIMIT 1000)";
const NEWEST_TOKENS: &str = "SELECT max(created_at) FROM
    (SELECT created_at FROM tokens ORDER BY id DESC LIMIT 1000)";

/// How the filesystem of the blobs is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that may be written.
    pub free: u64,
    pub size: u64,
    /// Files that may be made; `None` where the filesystem does not count them.
    pub free_inodes: Option<u64>,
    /// Whether it is mounted so that nothing can be written.
    pub is_read_only: bool,
}

/// How the parts of the store are; errors name files of this box.
#[derive(Debug)]
pub struct Condition {
    /// Whether `access.sqlite` can be read.
    pub access: Result<()>,
    /// Whether `cache.sqlite` can be read.
    pub cache: Result<()>,
    /// Whether `registry.sqlite` can be read.
    pub registry: Result<()>,
    /// Whether `audit.sqlite` can be read.
    pub audit: Result<()>,
    /// Whether the blob directory is there and can be read.
    pub blobs: Result<()>,
    /// Whether files can be made where fills and databases make them.
    pub writing: Result<()>,
    /// The filesystem of the blobs.
    pub space: Result<Space>,
}

impl Store {
    /// The latest time at which something was recorded here: an event, a token, a manifest. Of each kind it
    /// looks at the newest few, however many there are.
    ///
    /// # Errors
    /// `Sql`.
    pub fn latest_time(&self) -> Result<Option<Timestamp>> {
        let of = |text: &'static str| {
            move |connection: &Connection| {
                let latest = get(connection, "find the latest time", text, [], |row| {
                    row.get::<_, Option<i64>>(0)
                })?;
                Ok(latest.map(Timestamp))
            }
        };
        let events = self.audit.database().read(of(NEWEST_EVENTS))?;
        let manifests = self.cache.database().read(of(NEWEST_MANIFESTS))?;
        let tokens = self.access.database().read(of(NEWEST_TOKENS))?;
        Ok(events.max(manifests).max(tokens))
    }

    /// The databases that somebody keeps locked for longer than anybody waits, with what SQLite says. Changes nothing.
    pub fn locked(&self) -> Vec<(&'static str, Error)> {
        let databases = [
            ("access.sqlite", self.access.database().lock_for_a_moment()),
            ("cache.sqlite", self.cache.database().lock_for_a_moment()),
            (
                "registry.sqlite",
                self.registry.database().lock_for_a_moment(),
            ),
            ("audit.sqlite", self.audit.database().lock_for_a_moment()),
        ];
        let failed = databases
            .into_iter()
            .filter_map(|(name, locked)| Some((name, locked.err()?)));
        failed
            .filter(|(_, error)| error.kind() == Kind::Busy)
            .collect()
    }

    /// Looks at all parts.
    pub fn condition(&self) -> Condition {
        let data = self.directory();
        let reachable = |name: &str, access: Access| {
            let path = data.join(name);
            rustix::fs::access(&path, access)
                .map_err(|error| Error::io("cannot use", &path, error.into()))
        };
        let reading = Access::READ_OK | Access::EXEC_OK;
        let writing = Access::WRITE_OK | Access::EXEC_OK;
        let folders = ["", "blobs/sha256", "staging"];
        Condition {
            access: self.access.database().probe(),
            cache: self.cache.database().probe(),
            registry: self.registry.database().probe(),
            audit: self.audit.database().probe(),
            blobs: reachable("blobs/sha256", reading).and_then(|()| reachable("staging", reading)),
            writing: folders
                .iter()
                .try_for_each(|folder| reachable(folder, writing)),
            space: Space::of(self.blobs.root()),
        }
    }
}

impl Space {
    /// That of the filesystem that `path` lies in.
    ///
    /// # Errors
    /// `Io` with the path.
    pub fn of(path: &Path) -> Result<Self> {
        let of = rustix::fs::statvfs(path)
            .map_err(|error| Error::io("cannot ask for the space at", path, error.into()))?;
        Ok(Self {
            free: of.f_bavail.saturating_mul(of.f_frsize),
            size: of.f_blocks.saturating_mul(of.f_frsize),
            free_inodes: (of.f_files > 0).then_some(of.f_favail),
            is_read_only: of.f_flag.contains(StatVfsMountFlags::RDONLY),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::statement::list;

    #[test]
    fn the_latest_time_is_found_without_reading_whole_tables() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::create(&directory.path().join("data")).unwrap();
        assert_eq!(store.latest_time().unwrap(), None);
        let plan = |text: &str| {
            let text = format!("EXPLAIN QUERY PLAN {text}");
            move |connection: &Connection| {
                let steps = list(connection, "explain", &text, [], |row| {
                    row.get::<_, String>(3)
                });
                Ok(steps?.join("; "))
            }
        };
        for (plan, order) in [
            (
                store.audit.database().read(plan(NEWEST_EVENTS)),
                "USING INDEX events_time",
            ),
            // By the primary key, which is the table itself.
            (
                store.cache.database().read(plan(NEWEST_MANIFESTS)),
                "SCAN manifests",
            ),
            (
                store.access.database().read(plan(NEWEST_TOKENS)),
                "SCAN tokens",
            ),
        ] {
            let plan = plan.unwrap();
            assert!(plan.contains(order), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "it sorts: {plan}");
        }
    }
}
