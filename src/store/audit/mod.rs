//! `audit.sqlite`: who changed what, who was let in and who was refused. Bounded in rows and in age.
//!
//! Owns the events and how long they are kept. Judges nothing, and holds no secret (see `event`). It is a file
//! of its own, so that writing here invalidates nothing that is kept in memory of `access.sqlite`, and a
//! restored backup takes nothing back that has happened.

mod actor;
mod event;
mod list;
mod notes;
mod schema;

pub use actor::Actor;
pub use event::{Detail, Event, EventKind};
pub use list::{EventFilter, RecordedEvent};

use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use rusqlite::{Connection, params};

use super::database::{Database, Synchronous};
use super::statement::{get, run};
use crate::error::{Error, Result};
use crate::time::Timestamp;
use notes::Notes;

/// The most changes that are kept, and the most logins and refusals; the oldest go first.
const MAX_ROWS: i64 = 500_000;
/// How old an event gets at most, in seconds: a year.
const MAX_AGE: i64 = 366 * 24 * 60 * 60;
/// How many rows go in one transaction.
const PRUNED_AT_ONCE: i64 = 2_000;
/// Whoever writes an event whose id is a multiple of it also prunes.
const PRUNE_EVERY: i64 = 1_024;

/// The audit database.
pub struct AuditDb {
    database: Database,
    notes: Mutex<Notes>,
    /// Held while notes are being written.
    writing: Mutex<()>,
}

impl AuditDb {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self {
            database: Database::open(path, Synchronous::Full, schema::MIGRATIONS)?,
            notes: Mutex::default(),
            writing: Mutex::default(),
        })
    }

    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    /// Writes what was done, at once, where it is done already and cannot be undone (a key's file was removed): where
    /// the event cannot be written, the log says what it was.
    pub fn record(&self, actor: &Actor, event: &Event) {
        if let Err(error) = self.write(actor, event, Instant::now()) {
            let sentence = "this was done, but could not be written to the audit database";
            complain(&error, actor, event, sentence);
        }
    }

    /// Writes what is about to be changed, at once; its row. Whoever asked for it has waited since `asked`.
    pub(super) fn write(&self, actor: &Actor, event: &Event, asked: Instant) -> Result<i64> {
        let now = Timestamp::now();
        self.database.write_since(asked, |connection| {
            let id = insert(connection, actor, event, now)?;
            if id % PRUNE_EVERY == 0 {
                prune(connection, now, MAX_ROWS)?;
            }
            Ok(id)
        })
    }

    /// Removes the row of a change that came to nothing after all.
    pub(super) fn take_back(&self, row: i64, actor: &Actor, event: &Event) {
        let removed = self.database.write(|connection| {
            let text = "DELETE FROM events WHERE id = ?1";
            run(connection, "take back an audit event", text, [row])
        });
        if let Err(error) = removed {
            let sentence = "the audit tells of this, but it was not done";
            complain(&error, actor, event, sentence);
        }
    }

    /// Removes what is too old or too much, a few thousand rows at a time; the server calls it now and then.
    pub fn prune(&self, now: Timestamp) -> Result<()> {
        while self
            .database
            .write(|connection| prune(connection, now, MAX_ROWS))?
        {}
        Ok(())
    }
}

/// Says in the log what the audit does not say, or says wrongly.
fn complain(error: &Error, actor: &Actor, event: &Event, sentence: &'static str) {
    let subject = event.subject.as_ref();
    tracing::error!(
        %error,
        kind = event.kind.as_str(),
        actor = actor.name,
        subject = subject.map(|subject| format!("{} {}", subject.noun, subject.name)),
        user = event.user,
        group = event.group,
        details = event.details_json(),
        "{sentence}"
    );
}

fn insert(connection: &Connection, actor: &Actor, event: &Event, now: Timestamp) -> Result<i64> {
    let subject = event.subject.as_ref();
    get(
        connection,
        "write an audit event",
        "INSERT INTO events (time, last_time, kind, actor, actor_user, address, correlation_id,
             subject_kind, subject_name, subject_id, about_user, group_path, details, is_noted)
         VALUES (?1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) RETURNING id",
        params![
            now.0,
            event.kind.as_str(),
            event::shown(&actor.name),
            actor.user.as_deref().map(event::shown),
            actor.address.map(|address| address.to_string()),
            actor.correlation_id.as_deref().map(event::shown),
            subject.map(|subject| subject.noun),
            subject.map(|subject| subject.name.as_str()),
            subject.and_then(|subject| subject.id),
            event.user,
            event.group,
            event.details_json(),
            false,
        ],
        |row| row.get(0),
    )
}

/// Removes one batch; whether there may be more.
fn prune(connection: &Connection, now: Timestamp, max_rows: i64) -> Result<bool> {
    let old = run(
        connection,
        "remove old audit events",
        "DELETE FROM events WHERE id IN (
             SELECT id FROM events WHERE time < ?1 ORDER BY time LIMIT ?2)",
        [now.0 - MAX_AGE, PRUNED_AT_ONCE],
    )?;
    let mut removed = old;
    for is_noted in [false, true] {
        removed += run(
            connection,
            "remove the oldest audit events",
            "DELETE FROM events WHERE id IN (
                 SELECT id FROM events WHERE is_noted = ?1 ORDER BY id
                 LIMIT min(?3, max(0, (SELECT count(*) FROM events WHERE is_noted = ?1) - ?2)))",
            params![is_noted, max_rows, PRUNED_AT_ONCE],
        )?;
    }
    Ok(removed > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn fresh() -> (tempfile::TempDir, AuditDb) {
        let directory = tempfile::tempdir().unwrap();
        let audit = AuditDb::open(&directory.path().join("audit.sqlite")).unwrap();
        (directory, audit)
    }

    fn ids(audit: &AuditDb) -> Vec<i64> {
        let events = audit.events(&EventFilter::default()).unwrap();
        events.iter().map(|event| event.id).collect()
    }

    #[test]
    fn the_oldest_go_first_and_what_many_requests_cause_pushes_no_change_out() {
        let (_directory, audit) = fresh();
        let now = Timestamp(1_000_000_000);
        for time in [now.0 - MAX_AGE - 1, now.0 - MAX_AGE, now.0, now.0] {
            let event = Event::new(EventKind::GroupCreated);
            let written = audit
                .database
                .write(|connection| insert(connection, &Actor::server(), &event, Timestamp(time)));
            written.unwrap();
        }
        let flood = audit.database.write(|connection| {
            let text =
                "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 100)
                 INSERT INTO events (time, last_time, kind, actor, details, is_noted)
                 SELECT ?1, ?1, 'access.denied', 'x', '{}', 1 FROM n";
            run(connection, "flood", text, [now.0])
        });
        assert_eq!(flood.unwrap(), 100);
        let pruned = |max| {
            audit
                .database
                .write(|connection| prune(connection, now, max))
        };
        assert!(pruned(50).unwrap());
        // 1 was too old; 50 of the flood were too much; the other changes stay.
        let expected: Vec<_> = (2..=4).chain(55..=104).collect();
        assert_eq!(ids(&audit), expected);
        assert!(!pruned(50).unwrap());
        assert!(pruned(2).unwrap());
        assert_eq!(ids(&audit), [3, 4, 103, 104]);
    }
}
