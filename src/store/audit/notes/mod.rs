//! Logins, refusals, pushes and pulls: noted in memory on the request's way, written in batches. What is the same within a
//! minute is one event with a count, so that a flood of requests is no flood of rows.
//!
//! - here: writing them.
//! - `folding`: what is told apart.
//!
//! What is lost in a crash, or while the disk is full, is at most this.

mod folding;

use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;
use rusqlite::Connection;

use super::{Actor, AuditDb, Event, Occurrence, insert};
use crate::error::Result;
use crate::store::statement::run;
use crate::time::Timestamp;
pub(super) use folding::Notes;
use folding::{Key, Noted};

impl AuditDb {
    /// Notes in memory what a request caused that needs no event of its own on the disk before it is answered: a login,
    /// a refusal, a push. Written with the next
    /// batch; or at once where very many logins have come since the last one, so that none has to be forgotten.
    pub fn note(&self, actor: Actor, event: Event, now: Timestamp) {
        self.tell_webhooks(&actor, &event);
        let is_write_due = {
            let mut notes = self.notes();
            notes.add(actor, event, now);
            notes.is_write_due()
        };
        if is_write_due && let Err(error) = self.write_unwritten(now) {
            tracing::warn!(%error, "logins could not be written to the audit database; they wait in memory");
        }
    }

    /// Writes what was noted; the server calls it every second and at the end. What could not be written is
    /// kept for the next call, within bounds.
    pub fn write_notes(&self, now: Timestamp) -> Result<()> {
        self.write_unwritten(now)?;
        if self.is_prune_due.swap(false, Ordering::Relaxed) {
            self.prune(now)?;
        }
        Ok(())
    }

    fn write_unwritten(&self, now: Timestamp) -> Result<()> {
        // Two at once would write the same notes twice.
        let _writing = self.writing.lock();
        let mut unwritten = self.notes().unwritten();
        unwritten.sort_by_key(|(_, noted)| noted.first);
        if unwritten.is_empty() {
            self.notes().forget_written(now);
            return Ok(());
        }
        let rows = self.database.write(|connection| {
            let unwritten = unwritten.iter();
            let rows = unwritten.map(|(key, noted)| write_note(connection, key, noted));
            rows.collect::<Result<Vec<i64>>>()
        })?;
        let mut notes = self.notes();
        for ((key, written), row) in unwritten.into_iter().zip(rows) {
            if written.row.is_none() {
                self.note_row(row);
            }
            if let Some(noted) = notes.get_mut(&key) {
                noted.row = Some(row);
                noted.written = written.count;
            }
        }
        notes.forget_written(now);
        Ok(())
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock()
    }
}

/// Writes how often it happened by now; its row.
fn write_note(connection: &Connection, key: &Key, noted: &Noted) -> Result<i64> {
    let Some(row) = noted.row else {
        let occurrence = Occurrence {
            first: noted.first,
            last: noted.last,
            count: noted.count,
        };
        return insert(connection, &noted.actor, &key.event, &occurrence);
    };
    run(
        connection,
        "count an audit event",
        "UPDATE events SET count = ?2, last_time = ?3 WHERE id = ?1",
        [row, noted.count, noted.last.0],
    )?;
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::folding::{
        MAX_ADDRESSES, MAX_OF_KIND, MAX_OF_SOURCE, MAX_PRECIOUS, MAX_PULLS, MAX_REFUSALS, OTHERS,
    };
    use super::*;
    use crate::store::audit::tests::fresh;
    use crate::store::ids::UserId;
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
        assert_eq!(audit.notes().refusals.len(), 1);
        audit.write_notes(Timestamp(NOW.0 + 120)).unwrap();
        assert_eq!(audit.notes().refusals.len(), 0);
    }

    /// Somebody without credentials, from the address of this number: each in a network of its own.
    fn stranger(number: usize) -> Actor {
        let address = format!("2001:db8:{number:x}::1");
        Actor::nobody("unknown").address(address.parse().unwrap())
    }

    fn stolen(address: &str) -> (Actor, Event) {
        let actor = Actor::new("alice (token 7)").user("alice", UserId(3));
        let event = Event::new(EventKind::LoginSucceeded).subject("token", "laptop", Some(7));
        (actor.address(address.parse().unwrap()), event)
    }

    /// What is left of the audit is told by kind, who and from where, with its count.
    fn count(events: &[RecordedEvent], kind: &str, actor: &str, address: Option<&str>) -> u64 {
        let of = |event: &&RecordedEvent| {
            (
                event.kind.as_str(),
                event.actor.as_str(),
                event.address.as_deref(),
            ) == (kind, actor, address)
        };
        events.iter().filter(of).map(|event| event.count).sum()
    }

    #[test]
    fn a_login_with_a_stolen_token_is_told_whatever_flood_came_before() {
        let (_directory, audit) = fresh();
        for number in 0..5_000 {
            let path = format!("/v2/{number}");
            audit.note(stranger(number), refused(&path), NOW);
            audit.note(stranger(1), Event::new(EventKind::LoginFailed), NOW);
            audit.note(actor("mallory", "1"), refused(&path), NOW);
        }
        for _ in 0..2 {
            let (thief, login) = stolen("203.0.113.9");
            audit.note(thief, login, NOW);
        }
        audit.note(actor("alice", "2"), refused("/v2/secret"), NOW);
        audit.write_notes(NOW).unwrap();
        let events = events(&audit);
        let login = events
            .iter()
            .find(|event| event.kind == "login.succeeded")
            .unwrap();
        assert_eq!((login.actor.as_str(), login.count), ("alice (token 7)", 2));
        assert_eq!(
            (login.subject_id, login.actor_user_id),
            (Some(7), Some(UserId(3)))
        );
        assert_eq!(login.address.as_deref(), Some("203.0.113.9"));
        // Nor does one tenant's flood hide another's refusal.
        let refused = count(&events, "access.denied", "alice", Some("192.0.2.1"));
        assert_eq!(refused, 1);
    }

    #[test]
    fn a_flood_of_refusals_is_counted_by_its_source_and_bounded_in_memory_and_in_rows() {
        let (_directory, audit) = fresh();
        for number in 0..5_000 {
            audit.note(actor("alice", "1"), refused(&format!("/v2/{number}")), NOW);
        }
        audit.write_notes(NOW).unwrap();
        let by_one = events(&audit);
        assert_eq!(by_one.len(), MAX_OF_SOURCE + 1);
        let rest = 5_000 - MAX_OF_SOURCE as u64;
        assert_eq!(count(&by_one, "access.denied", "alice", None), rest);

        // From one network of IPv6 at first, then from very many.
        for number in 0..5_000 {
            let address = format!("2001:db8:1:{number:x}::1").parse().unwrap();
            let thief = Actor::nobody("unknown").address(address);
            audit.note(thief, refused("/v2/a"), NOW);
        }
        for number in 0..5_000 {
            audit.note(stranger(number), refused("/v2/a"), NOW);
        }
        assert!(audit.notes().refusals.len() <= 2 * (2 * MAX_OF_KIND + 1));
        audit.write_notes(NOW).unwrap();
        let all = events(&audit);
        let site = count(&all, "access.denied", "unknown", Some("2001:db8:1::/48"));
        assert!(site >= rest, "{site}");
        assert!(count(&all, "access.denied", OTHERS, None) > 4_000);
        let total: u64 = all.iter().map(|event| event.count).sum();
        assert_eq!(total, 15_000, "none is lost");
    }

    #[test]
    fn a_flood_of_pulls_is_bounded_and_hides_no_refusal() {
        let (_directory, audit) = fresh();
        audit.note(actor("alice", "1"), refused("/v2/secret"), NOW);
        for number in 0..5_000 {
            let image = format!("docker.io/library/i{number}:1");
            let pulled = Event::new(EventKind::ImagePulled).subject("image", &image, None);
            audit.note(actor("bob", "2"), pulled.clone(), NOW);
            audit.note(actor("bob", "3"), pulled, NOW);
        }
        audit.write_notes(NOW).unwrap();
        let all = events(&audit);
        assert_eq!(count(&all, "access.denied", "alice", Some("192.0.2.1")), 1);
        let told_apart = count(&all, "image.pulled", "bob", Some("192.0.2.1"));
        assert_eq!(told_apart, 2 * MAX_PULLS as u64);
        let beyond = count(&all, "image.pulled", "bob", None);
        assert_eq!(beyond, 10_000 - told_apart, "none is lost");
        assert_eq!(all.len(), 1 + MAX_PULLS + 1);
    }

    #[test]
    fn a_login_from_very_many_addresses_keeps_its_token_and_hides_no_other() {
        let (_directory, audit) = fresh();
        for number in 0..70_000_u32 {
            let [_, _, high, low] = number.to_be_bytes();
            let address = format!("2001:db8:{high:x}:{low:x}::1");
            let (thief, login) = stolen(&address);
            audit.note(thief, login, NOW);
        }
        let other = Actor::new("bob").user("bob", UserId(4));
        let other = other.address("192.0.2.1".parse().unwrap());
        audit.note(other, Event::new(EventKind::LoginSucceeded), NOW);
        audit.write_notes(NOW).unwrap();
        let events = events(&audit);
        assert!(events.len() <= 2 * MAX_ADDRESSES + 2, "{}", events.len());
        assert_eq!(
            count(&events, "login.succeeded", "bob", Some("192.0.2.1")),
            1
        );
        let of_thief = events.iter().filter(|event| event.subject_id == Some(7));
        assert_eq!(of_thief.map(|event| event.count).sum::<u64>(), 70_000);
    }

    #[test]
    fn more_logins_and_bans_than_memory_holds_are_written_at_once_and_none_is_lost() {
        let (_directory, audit) = fresh();
        let many = 3 * MAX_PRECIOUS;
        for number in 0..many {
            let user = Actor::new(format!("user-{number}"));
            audit.note(user, Event::new(EventKind::LoginSucceeded), NOW);
            audit.note(
                stranger(number % 60_000),
                Event::new(EventKind::LoginBanned),
                NOW,
            );
        }
        assert!(audit.notes().precious.len() <= 2 * MAX_PRECIOUS);
        audit.write_notes(NOW).unwrap();
        assert_eq!(events(&audit).len(), 2 * many);
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
        for minute in 1..100 {
            let at = Timestamp(NOW.0 + 60 * minute);
            for number in 0..2 * MAX_OF_KIND {
                audit.note(stranger(number), refused(&number.to_string()), at);
            }
            assert!(audit.write_notes(at).is_err());
        }
        assert!(audit.notes().refusals.len() <= MAX_REFUSALS);
        rename("gone", "events");
        audit.write_notes(Timestamp(NOW.0 + 6_000)).unwrap();
        assert_eq!(events(&audit)[0].subject_name.as_deref(), Some("/v2/a"));
        assert_eq!(audit.notes().refusals.len(), 0);
    }
}
