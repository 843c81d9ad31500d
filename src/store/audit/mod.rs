//! `audit.sqlite`: who changed what, who was let in and who was refused. Bounded in rows and in age.
//!
//! Owns the events and how long they are kept. Judges nothing, and holds no secret (see `event`). It is a file
//! of its own, so that writing here invalidates nothing that is kept in memory of `access.sqlite`, and a
//! restored backup takes nothing back that has happened.

mod actor;
mod deliveries;
mod event;
mod heard;
mod list;
mod notes;
mod schema;

pub use actor::Actor;
pub use deliveries::{Delivery, NewDelivery, Receiver};
pub use event::{Detail, Event, EventKind, EventPlace};
pub use list::{EventFilter, EventUser, PlaceFilter, RecordedEvent};

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use rusqlite::{Connection, params};
use strum::VariantArray as _;

use super::database::{Database, Synchronous};
use super::notices::Notices;
use super::statement::{find, get, run};
use crate::error::{Error, Result};
use crate::time::Timestamp;
use event::Class;
use notes::Notes;

/// How old an event gets at most, in seconds: a year.
const MAX_AGE: i64 = 366 * 24 * 60 * 60;
/// The most rows of each class. Of one that has more, the oldest go of whoever has the most of one kind: so nobody's
/// flood pushes out what others did, nor what he did of another kind.
const fn max_rows(class: Class) -> i64 {
    match class {
        Class::Change | Class::Login | Class::Refusal | Class::Pull => 500_000,
        Class::Ban => 100_000,
    }
}
/// How many rows go in one transaction.
const PRUNED_AT_ONCE: i64 = 2_000;
/// After an event whose id is a multiple of it, the next writing of notes also prunes.
const PRUNE_EVERY: i64 = 1_024;

/// What is said where something was done that the audit does not tell.
pub const UNRECORDED: &str = "this was done, but could not be written to the audit database";

pub struct AuditDb {
    database: Database,
    /// What webhooks are told.
    pub notices: Notices,
    notes: Mutex<Notes>,
    /// Held while notes are being written.
    writing: Mutex<()>,
    is_prune_due: AtomicBool,
}

impl AuditDb {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self {
            database: Database::open(path, Synchronous::Full, schema::MIGRATIONS)?,
            notices: Notices::default(),
            notes: Mutex::default(),
            writing: Mutex::default(),
            is_prune_due: AtomicBool::new(false),
        })
    }

    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    /// Writes what was done, at once, where it is done already and cannot be undone (a key's file was removed): where
    /// the event cannot be written, the log says what it was. Whether it was written.
    pub fn record(&self, actor: &Actor, event: &Event) -> bool {
        let written = self.write(actor, event, Instant::now());
        if let Err(error) = &written {
            complain(error, actor, event, UNRECORDED);
        }
        self.tell_webhooks(actor, event);
        written.is_ok()
    }

    /// Writes what is about to be changed, at once; its row. Whoever asked for it has waited since `asked`. Webhooks are
    /// not told here: they hear of it when it has happened.
    pub(super) fn write(&self, actor: &Actor, event: &Event, asked: Instant) -> Result<i64> {
        let now = Timestamp::now();
        let written = self.database.write_since(asked, |connection| {
            insert(connection, actor, event, &Occurrence::once(now))
        });
        if let Ok(id) = written {
            self.note_row(id);
        }
        written
    }

    /// Lets the events be pruned soon where this row is one of those after which they are.
    fn note_row(&self, id: i64) {
        if id % PRUNE_EVERY == 0 {
            self.is_prune_due.store(true, Ordering::Relaxed);
        }
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
        self.prune_to(now, max_rows)
    }

    fn prune_to(&self, now: Timestamp, max_rows: impl Fn(Class) -> i64) -> Result<()> {
        while self.prune_old(now)? > 0 {}
        for &class in Class::VARIANTS {
            while self.prune_class(class, max_rows(class))? > 0 {}
        }
        Ok(())
    }

    fn prune_old(&self, now: Timestamp) -> Result<usize> {
        self.database.write(|connection| {
            run(
                connection,
                "remove old audit events",
                "DELETE FROM events WHERE id IN (
                     SELECT id FROM events WHERE time < ?1 ORDER BY time LIMIT ?2)",
                [now.0.saturating_sub(MAX_AGE), PRUNED_AT_ONCE],
            )
        })
    }

    /// Removes the oldest of whoever has the most of one kind, where the class has too many. Who that is is found out
    /// beside the writer, since every row of the class is counted: no change waits for it.
    fn prune_class(&self, class: Class, most: i64) -> Result<usize> {
        let surplus = self
            .database
            .read(|connection| surplus(connection, class, most))?;
        let Some(surplus) = surplus else {
            return Ok(0);
        };
        self.database.write(|connection| {
            run(
                connection,
                "remove the oldest audit events",
                "DELETE FROM events WHERE id IN (
                     SELECT id FROM events
                     WHERE class = ?1 AND kind = ?2 AND ifnull(actor_user, actor) = ?3
                     ORDER BY id LIMIT ?4)",
                params![
                    class.as_str(),
                    surplus.kind,
                    surplus.who,
                    surplus.rows.min(PRUNED_AT_ONCE)
                ],
            )
        })
    }
}

/// What is too much of a class, and whose oldest events of which kind go for it.
struct Surplus {
    rows: i64,
    kind: String,
    who: String,
}

fn surplus(connection: &Connection, class: Class, most: i64) -> Result<Option<Surplus>> {
    let rows: i64 = get(
        connection,
        "count audit events",
        "SELECT count(*) FROM events WHERE class = ?1",
        [class.as_str()],
        |row| row.get(0),
    )?;
    if rows <= most {
        return Ok(None);
    }
    find(
        connection,
        "find who has the most audit events",
        "SELECT kind, ifnull(actor_user, actor) AS who FROM events WHERE class = ?1
         GROUP BY kind, who ORDER BY count(*) DESC LIMIT 1",
        [class.as_str()],
        |row| {
            Ok(Surplus {
                rows: rows.saturating_sub(most),
                kind: row.get(0)?,
                who: row.get(1)?,
            })
        },
    )
}

/// Says in the log what the audit does not say, or says wrongly.
fn complain(error: &Error, actor: &Actor, event: &Event, sentence: &'static str) {
    let subject = event.subject.as_ref();
    tracing::error!(
        %error,
        kind = event.kind.as_str(),
        actor = actor.name,
        subject = subject.map(|subject| format!("{} {}", subject.noun, subject.name)),
        user = event.user.as_ref().map(|(name, _)| name),
        group = event.place.as_ref().map(|place| &place.path),
        details = event.details_json(),
        "{sentence}"
    );
}

/// When it happened within its minute, and how often.
#[derive(Debug, Clone, Copy)]
struct Occurrence {
    first: Timestamp,
    last: Timestamp,
    count: i64,
}

impl Occurrence {
    fn once(at: Timestamp) -> Self {
        Self {
            first: at,
            last: at,
            count: 1,
        }
    }
}

fn insert(
    connection: &Connection,
    actor: &Actor,
    event: &Event,
    occurrence: &Occurrence,
) -> Result<i64> {
    let subject = event.subject.as_ref();
    let place = event.place.as_ref();
    let project = place.and_then(|place| place.project);
    let group = place
        .filter(|_| project.is_none())
        .and_then(|place| place.groups.first());
    let id = get(
        connection,
        "write an audit event",
        "INSERT INTO events (time, last_time, count, kind, class, actor, actor_user, actor_user_id, address,
             correlation_id, subject_kind, subject_name, subject_id, about_user, about_user_id,
             group_path, group_id, project_id, details)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)
         RETURNING id",
        params![
            occurrence.first.0,
            occurrence.last.0,
            occurrence.count,
            event.kind.as_str(),
            event.kind.class().as_str(),
            event::shown(&actor.name),
            actor.user.as_ref().map(|(name, _)| event::shown(name)),
            actor.user.as_ref().map(|(_, id)| *id),
            actor.shown_from(),
            actor.correlation_id.as_deref().map(event::shown),
            subject.map(|subject| subject.noun),
            subject.map(|subject| subject.name.as_str()),
            subject.and_then(|subject| subject.id),
            event.user.as_ref().map(|(name, _)| name),
            event.user.as_ref().map(|(_, id)| id.0),
            place.map(|place| place.path.as_str()),
            group,
            project,
            event.details_json(),
        ],
        |row| row.get(0),
    )?;
    for (noun, concerned) in concerned(actor, event) {
        run(
            connection,
            "write whom an audit event concerns",
            "INSERT OR IGNORE INTO concerned (noun, id, event) VALUES (?1, ?2, ?3)",
            params![noun, concerned, id],
        )?;
    }
    Ok(id)
}

/// Everybody whose list shows it, by id.
fn concerned(actor: &Actor, event: &Event) -> Vec<(&'static str, i64)> {
    let users = [&actor.user, &event.user].into_iter().flatten();
    let mut all: Vec<_> = users.map(|(_, id)| ("user", id.0)).collect();
    if let Some(place) = &event.place {
        all.extend(place.project.map(|id| ("project", id.0)));
        all.extend(place.groups.iter().map(|id| ("group", id.0)));
    }
    all
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

    /// Writes `count` events at once.
    fn flood(audit: &AuditDb, kind: EventKind, who: &str, count: i64) {
        let written = audit.database.write(|connection| {
            for _ in 0..count {
                let event = Event::new(kind);
                insert(connection, &Actor::new(who), &event, &Occurrence::once(NOW))?;
            }
            Ok(())
        });
        written.unwrap();
    }

    const NOW: Timestamp = Timestamp(1_000_000_000);

    #[test]
    fn what_is_too_old_goes_and_of_each_class_what_is_too_much() {
        let (_directory, audit) = fresh();
        for time in [NOW.0 - MAX_AGE - 1, NOW.0 - MAX_AGE, NOW.0, NOW.0] {
            let event = Event::new(EventKind::GroupCreated);
            let at = Occurrence::once(Timestamp(time));
            let written = audit
                .database
                .write(|connection| insert(connection, &Actor::server(), &event, &at));
            written.unwrap();
        }
        flood(&audit, EventKind::AccessDenied, "x", 100);
        audit.prune_to(NOW, |_| 50).unwrap();
        // 1 was too old; 50 of the flood were too much; the other changes stay.
        let expected: Vec<_> = (2..=4).chain(55..=104).collect();
        assert_eq!(ids(&audit), expected);
        audit.prune_to(NOW, |_| 2).unwrap();
        assert_eq!(ids(&audit), [3, 4, 103, 104]);
    }

    #[test]
    fn no_flood_pushes_out_another_kind_nor_what_others_did() {
        let (_directory, audit) = fresh();
        for (kind, who, count) in [
            (EventKind::LoginSucceeded, "thief", 1),
            (EventKind::LoginBanned, "unknown", 1),
            (EventKind::MemberSet, "mallory", 1),
            (EventKind::AccessHidden, "alice", 1),
            // The floods come later, so that the others are the oldest.
            (EventKind::LoginSucceeded, "mallory", 40),
            (EventKind::TokenCreated, "mallory", 40),
            (EventKind::AccessHidden, "unknown", 40),
            (EventKind::LoginFailed, "unknown", 40),
        ] {
            flood(&audit, kind, who, count);
        }
        audit.prune_to(NOW, |_| 20).unwrap();
        let events = audit.events(&EventFilter::default()).unwrap();
        let rows = |kind: EventKind, who: &str| {
            let of = |event: &&RecordedEvent| event.kind == kind.as_str() && event.actor == who;
            events.iter().filter(of).count()
        };
        assert_eq!(rows(EventKind::LoginSucceeded, "thief"), 1);
        assert_eq!(rows(EventKind::LoginBanned, "unknown"), 1);
        assert_eq!(rows(EventKind::MemberSet, "mallory"), 1);
        assert_eq!(rows(EventKind::AccessHidden, "alice"), 1);
        assert_eq!(rows(EventKind::LoginSucceeded, "mallory"), 19);
        assert_eq!(rows(EventKind::TokenCreated, "mallory"), 19);
    }
    #[test]
    fn events_are_pruned_with_the_notes_after_some_number_of_them() {
        let (_directory, audit) = fresh();
        let old = Occurrence::once(Timestamp(0));
        let event = Event::new(EventKind::GroupCreated);
        let written = audit
            .database
            .write(|connection| insert(connection, &Actor::server(), &event, &old));
        assert_eq!(written.unwrap(), 1);
        flood(&audit, EventKind::GroupChanged, "x", PRUNE_EVERY - 2);
        audit.write_notes(NOW).unwrap();
        let last = audit.write(&Actor::server(), &event, Instant::now());
        assert_eq!(last.unwrap(), PRUNE_EVERY);
        assert_eq!(ids(&audit).first(), Some(&1), "no change waits for it");
        audit.write_notes(NOW).unwrap();
        assert_eq!(ids(&audit).first(), Some(&2));
    }
}
