//! `access.sqlite` as its files of nouns get it: to be read by all, and changed only by somebody who is named.
//!
//! The database itself is out of their reach, so a change without an actor, or one that nobody hears of, does
//! not compile.

use std::sync::Arc;

use rusqlite::Connection;

use crate::error::Result;
use crate::store::audit::{Actor, AuditDb, Event};
use crate::store::database::Database;

/// The access database, and where its changes are recorded.
pub(in crate::store) struct AuditedDatabase {
    database: Database,
    audit: Arc<AuditDb>,
}

impl AuditedDatabase {
    pub(super) fn new(database: Database, audit: Arc<AuditDb>) -> Self {
        Self { database, audit }
    }

    /// Runs `work` on a reader: it sees what was committed before.
    pub(in crate::store) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        self.database.read(work)
    }

    /// Runs `work` in one write transaction, commits it, and then records the event that it gave: `None`
    /// where nothing was changed. An error rolls back, and nothing is recorded.
    pub(super) fn change<T>(
        &self,
        actor: &Actor,
        work: impl FnOnce(&Connection) -> Result<(T, Option<Event>)>,
    ) -> Result<T> {
        let (value, event) = self.database.write(work)?;
        if let Some(event) = event {
            self.audit.record(actor, &event);
        }
        Ok(value)
    }

    /// As [`Database::probe`].
    pub(in crate::store) fn probe(&self) -> Result<()> {
        self.database.probe()
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
