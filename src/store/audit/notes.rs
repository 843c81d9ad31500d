//! Logins and refusals: noted in memory on the request's way, written in batches. What is the same within a
//! minute is one event with a count, so that a flood of requests is no flood of rows.
//!
//! What is lost in a crash, or while the disk is full, is at most this.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{MutexGuard, PoisonError};

use rusqlite::params;

use super::{Actor, AuditDb, Event, MAX_ROWS, PRUNE_EVERY, insert, prune};
use crate::error::Result;
use crate::store::statement::run;
use crate::time::Timestamp;

/// Different ones that are kept in memory; what is more is counted by kind alone.
const MAX_DIFFERENT: usize = 1_000;
/// Who did what is counted by kind alone.
const OTHERS: &str = "(others)";

#[derive(Debug, Default)]
pub(super) struct Notes(HashMap<Key, Noted>);

/// What is the same event if it comes again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    minute: i64,
    event: Event,
    actor: String,
    address: Option<IpAddr>,
}

#[derive(Debug, Clone)]
struct Noted {
    /// As it was the first time.
    actor: Actor,
    first: Timestamp,
    last: Timestamp,
    count: i64,
    /// How many of these the row knows of.
    written: i64,
    row: Option<i64>,
}

impl Notes {
    fn add(&mut self, actor: Actor, event: Event, now: Timestamp) {
        let key = Key {
            minute: now.0.div_euclid(60),
            event,
            actor: actor.name.clone(),
            address: actor.address,
        };
        if let Some(noted) = self.0.get_mut(&key) {
            noted.count += 1;
            noted.last = now;
            return;
        }
        let others = actor.name == OTHERS;
        if self.0.len() >= MAX_DIFFERENT && !others {
            return self.add(Actor::new(OTHERS), Event::new(key.event.kind), now);
        }
        // Only while nothing can be written for many minutes.
        if self.0.len() >= 2 * MAX_DIFFERENT {
            return;
        }
        let noted = Noted {
            actor,
            first: now,
            last: now,
            count: 1,
            written: 0,
            row: None,
        };
        self.0.insert(key, noted);
    }
}

impl AuditDb {
    /// Notes in memory what a request caused that changes nothing: a login, a refusal. Written with the next
    /// batch.
    pub fn note(&self, actor: Actor, event: Event, now: Timestamp) {
        self.notes().add(actor, event, now);
    }

    /// Writes what was noted; the server calls it every second and at the end. What could not be written is
    /// kept for the next call, within bounds.
    pub fn write_notes(&self, now: Timestamp) -> Result<()> {
        // Two at once would write the same notes twice.
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unwritten: Vec<(Key, Noted)> = {
            let notes = self.notes();
            let news = notes
                .0
                .iter()
                .filter(|(_, noted)| noted.written < noted.count);
            news.map(|(key, noted)| (key.clone(), noted.clone()))
                .collect()
        };
        unwritten.sort_by_key(|(_, noted)| noted.first);
        if !unwritten.is_empty() {
            self.insert_notes(&mut unwritten, now)?;
        }
        let mut notes = self.notes();
        for (key, written) in unwritten {
            if let Some(noted) = notes.0.get_mut(&key) {
                noted.row = written.row;
                noted.written = written.count;
            }
        }
        let minute = now.0.div_euclid(60);
        notes
            .0
            .retain(|key, noted| key.minute >= minute || noted.written < noted.count);
        Ok(())
    }

    fn insert_notes(&self, unwritten: &mut [(Key, Noted)], now: Timestamp) -> Result<()> {
        self.database.write(|connection| {
            let mut is_prune_due = false;
            for (key, noted) in unwritten {
                if let Some(row) = noted.row {
                    run(
                        connection,
                        "count an audit event",
                        "UPDATE events SET count = ?2, last_time = ?3 WHERE id = ?1",
                        [row, noted.count, noted.last.0],
                    )?;
                    continue;
                }
                let row = insert(connection, &noted.actor, &key.event, noted.first)?;
                run(
                    connection,
                    "mark an audit event as noted",
                    "UPDATE events SET is_noted = 1, count = ?2, last_time = ?3 WHERE id = ?1",
                    params![row, noted.count, noted.last.0],
                )?;
                noted.row = Some(row);
                is_prune_due |= row % PRUNE_EVERY == 0;
            }
            if is_prune_due {
                prune(connection, now, MAX_ROWS)?;
            }
            Ok(())
        })
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::audit::tests::fresh;
    use crate::store::{EventFilter, EventKind, RecordedEvent};

    const NOW: Timestamp = Timestamp(6_000);

    fn actor(name: &str, correlation_id: &str) -> Actor {
        Actor::new(name)
            .address("192.0.2.1".parse().unwrap())
            .correlation_id(correlation_id)
    }

    fn refused(path: &str) -> Event {
        Event::new(EventKind::AccessDenied).subject("path", path, None)
    }

    fn events(audit: &AuditDb) -> Vec<RecordedEvent> {
        audit.events(&EventFilter::default()).unwrap()
    }

    #[test]
    fn what_is_the_same_within_a_minute_is_one_event_with_a_count() {
        let (_directory, audit) = fresh();
        let later = Timestamp(NOW.0 + 59);
        for (request, at) in [("1", NOW), ("2", NOW), ("3", later)] {
            audit.note(actor("alice", request), refused("/v2/a"), at);
            audit.write_notes(at).unwrap();
        }
        audit.note(actor("alice", "4"), refused("/v2/b"), later);
        audit.note(actor("bob", "5"), refused("/v2/a"), later);
        let next = Timestamp(NOW.0 + 60);
        audit.note(actor("alice", "6"), refused("/v2/a"), next);
        audit.write_notes(next).unwrap();
        let events = events(&audit);
        let mut lines: Vec<_> = events
            .iter()
            .map(|event| {
                let path = event.subject_name.as_deref().unwrap();
                let request = event.correlation_id.as_deref().unwrap();
                (
                    event.time.0,
                    event.actor.as_str(),
                    path,
                    request,
                    event.count,
                )
            })
            .collect();
        lines.sort_unstable();
        let expected = [
            (6_000, "alice", "/v2/a", "1", 3),
            (6_059, "alice", "/v2/b", "4", 1),
            (6_059, "bob", "/v2/a", "5", 1),
            (6_060, "alice", "/v2/a", "6", 1),
        ];
        assert_eq!(lines, expected);
        assert_eq!(events[0].last_time, later);
        // Those of the minute that is over are forgotten.
        assert_eq!(audit.notes().0.len(), 1);
        audit.write_notes(Timestamp(NOW.0 + 120)).unwrap();
        assert_eq!(audit.notes().0.len(), 0);
    }

    #[test]
    fn a_flood_is_counted_and_bounded_in_memory_and_in_rows() {
        let (_directory, audit) = fresh();
        for number in 0..5_000 {
            audit.note(actor("alice", "1"), refused(&format!("/v2/{number}")), NOW);
        }
        assert!(audit.notes().0.len() <= MAX_DIFFERENT + 1);
        audit.write_notes(NOW).unwrap();
        let events = events(&audit);
        assert_eq!(events.len(), MAX_DIFFERENT + 1);
        let others = events.iter().find(|event| event.actor == OTHERS).unwrap();
        assert_eq!((others.count, others.address.as_deref()), (4_000, None));
        assert_eq!(others.kind, "access.denied");
    }

    #[test]
    fn what_cannot_be_written_waits_within_bounds_and_is_written_later() {
        let (_directory, audit) = fresh();
        let rename = |from: &str, to: &str| {
            let text = format!("ALTER TABLE {from} RENAME TO {to}");
            let renamed = audit
                .database
                .write(|connection| run(connection, "rename", &text, []));
            renamed.unwrap();
        };
        audit.note(actor("alice", "1"), refused("/v2/a"), NOW);
        rename("events", "gone");
        assert!(audit.write_notes(NOW).is_err());
        for minute in 1..10 {
            let at = Timestamp(NOW.0 + 60 * minute);
            for number in 0..2 * MAX_DIFFERENT {
                audit.note(actor("alice", "1"), refused(&number.to_string()), at);
            }
            assert!(audit.write_notes(at).is_err());
        }
        assert!(audit.notes().0.len() <= 2 * MAX_DIFFERENT);
        rename("gone", "events");
        audit.write_notes(Timestamp(NOW.0 + 6_000)).unwrap();
        assert_eq!(events(&audit)[0].subject_name.as_deref(), Some("/v2/a"));
        assert_eq!(audit.notes().0.len(), 0);
    }
}
