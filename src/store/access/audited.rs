//! `access.sqlite` as its files of nouns get it: to be read by all, and changed only by somebody who is named.
//!
//! The database itself is out of their reach, so a change without an actor, or one that nobody hears of, does
//! not compile. Nor is one made whose event cannot be written: the disk is full, or somebody has the audit database
//! locked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rusqlite::Connection;

use crate::error::{Error, Kind, Result};
use crate::store::audit::{Actor, AuditDb, Event};
use crate::store::database::Database;

/// The access database, and where its changes are recorded.
pub(in crate::store) struct AuditedDatabase {
    database: Database,
    audit: Arc<AuditDb>,
    changes: AtomicU64,
}

impl AuditedDatabase {
    pub(super) fn new(database: Database, audit: Arc<AuditDb>) -> Self {
        Self {
            database,
            audit,
            changes: AtomicU64::new(0),
        }
    }

    /// Runs `work` on a reader: it sees what was committed before.
    pub(in crate::store) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        self.database.read(work)
    }

    /// As [`Database::scan`].
    pub(in crate::store) fn scan<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        self.database.scan(work)
    }

    /// Runs `work` in one write transaction, records the event that it gave (`None` where nothing was changed), and
    /// commits. An error rolls back, and what was recorded is taken back.
    ///
    /// The event comes first, because an event too many is less bad than one too few: that is what a crash between
    /// the two commits leaves, or a disk on which the one fits and the other does not.
    pub(super) fn change<T>(
        &self,
        actor: &Actor,
        work: impl Fn(&Connection) -> Result<(T, Option<Event>)>,
    ) -> Result<T> {
        let changed = self.change_unremembered(actor, work);
        // Also where it failed: a commit whose end is not known may have happened.
        self.changes.fetch_add(1, Ordering::Release);
        changed
    }

    /// The same for rows that nobody keeps in memory: what is remembered of others stays.
    pub(super) fn change_unremembered<T>(
        &self,
        actor: &Actor,
        work: impl Fn(&Connection) -> Result<(T, Option<Event>)>,
    ) -> Result<T> {
        // Those who queue up here while the audit is held wait for it together, not one after the other.
        let asked = Instant::now();
        let mut recorded = None;
        // The event is written to another database before this one commits, and may have to be taken back.
        let changed = self.database.write_once(asked, |connection| {
            let (value, event) = work(connection)?;
            if let Some(event) = event {
                let written = self.audit.write(actor, &event, asked).map_err(|error| {
                    error.context("nothing was changed, because the audit cannot tell of it")
                })?;
                recorded = Some((written, event));
            }
            Ok(value)
        });
        if let (Err(error), Some((written, event))) = (&changed, recorded)
            && is_undone(error)
        {
            self.audit.take_back(written, actor, &event);
        }
        changed
    }

    /// How often this process has changed something that is kept in memory.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// As [`Database::probe`].
    pub(in crate::store) fn probe(&self) -> Result<()> {
        self.database.probe()
    }

    /// As [`Database::lock_for_a_moment`].
    pub(in crate::store) fn lock_for_a_moment(&self) -> Result<()> {
        self.database.lock_for_a_moment()
    }

    /// As [`Database::dedicated_reader`].
    pub(in crate::store) fn dedicated_reader(&self) -> Result<Connection> {
        self.database.dedicated_reader()
    }

    /// As [`Database::checkpoint`].
    pub(in crate::store) fn checkpoint(&self) -> Result<()> {
        self.database.checkpoint()
    }

    /// As [`Database::integrity_faults`].
    pub(in crate::store) fn integrity_faults(&self) -> Result<Vec<String>> {
        self.database.integrity_faults()
    }

    /// As [`Database::foreign_key_faults`].
    pub(in crate::store) fn foreign_key_faults(&self) -> Result<Vec<(String, String, u64)>> {
        self.database.foreign_key_faults()
    }
}

/// Whether a commit that ended so came to nothing for certain. After one whose bytes may have reached the disk, such as
/// a failed fsync, the change may come back with the next start, and then its event has to be there.
fn is_undone(error: &Error) -> bool {
    !matches!(error.kind(), Kind::Sql | Kind::Io)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rusqlite::Connection;

    use crate::error::Kind;
    use crate::store::{Actor, Store, Visibility};

    #[test]
    fn changes_wait_for_a_held_audit_together() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::create(&directory.path().join("data")).unwrap();
        let held = Connection::open(store.directory().join("audit.sqlite")).unwrap();
        held.execute_batch("BEGIN IMMEDIATE").unwrap();
        let begun = std::time::Instant::now();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let access = &store.access;
                scope.spawn(move || {
                    let (actor, path) = (Actor::on_the_box(None), format!("g{number}"));
                    let refused = access.create_group(&actor, &path, Visibility::Private);
                    assert_eq!(refused.unwrap_err().kind(), Kind::Busy);
                });
            }
        });
        // One after the other they would need 40 seconds, together little more than five.
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(20), "{took:?}");
        drop(held);
        assert_eq!(store.access.groups().unwrap(), []);
    }
}
