//! What the audit is told of evictions: one sum for each reason in ten minutes, because a full disk lets some images go in
//! every round.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Evicted, Reason};
use crate::store::{Actor, AuditDb, Detail, Event, EventKind};
use crate::time::Timestamp;

const EVERY: Duration = Duration::from_secs(10 * 60);

#[derive(Default)]
pub(super) struct Sums(Mutex<HashMap<Reason, Sum>>);

#[derive(Default)]
struct Sum {
    evicted: Evicted,
    told_at: Option<Timestamp>,
}

impl Sums {
    pub(super) fn add(&self, reason: Reason, evicted: &Evicted) {
        if evicted.images == 0 {
            return;
        }
        let mut sums = self.0.lock();
        let sum = &mut sums.entry(reason).or_default().evicted;
        sum.images = sum.images.saturating_add(evicted.images);
        sum.bytes = sum.bytes.saturating_add(evicted.bytes);
        sum.last_pulled_at = evicted.last_pulled_at;
    }

    /// Tells what went for the reasons of which nothing was told lately.
    pub(super) fn tell(&self, audit: &AuditDb, now: Timestamp) {
        let is_due = |sum: &Sum| {
            sum.told_at
                .is_none_or(|at| now < at || now.since(at) >= EVERY)
        };
        self.tell_those(audit, now, is_due);
    }

    pub(super) fn tell_all(&self, audit: &AuditDb, now: Timestamp) {
        self.tell_those(audit, now, |_| true);
    }

    fn tell_those(&self, audit: &AuditDb, now: Timestamp, is_due: impl Fn(&Sum) -> bool) {
        let mut sums = self.0.lock();
        let due = sums.iter_mut();
        for (reason, sum) in due.filter(|(_, sum)| sum.evicted.images > 0 && is_due(sum)) {
            let evicted = std::mem::take(&mut sum.evicted);
            sum.told_at = Some(now);
            audit.note(Actor::server(), event(reason.as_str(), &evicted), now);
        }
    }
}

/// What the audit is told of an eviction.
pub fn event(why: &'static str, evicted: &Evicted) -> Event {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let last_pulled_at = evicted.last_pulled_at.map(Detail::from);
    Event::new(EventKind::CacheEvicted)
        .detail("why", why)
        .detail("images", number(evicted.images))
        .detail("bytes", number(evicted.bytes))
        .detail_if("last_pulled_at", last_pulled_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{EventFilter, Store};

    #[test]
    fn a_reason_is_told_at_once_and_then_in_sum_until_ten_minutes_are_over() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::create(&directory.path().join("data")).unwrap();
        let sums = Sums::default();
        let start = Timestamp(1_800_000_000);
        let evicted = |images| Evicted {
            images,
            bytes: images * 10,
            files: images,
            last_pulled_at: Some(start),
        };
        for (after, reason, images) in [
            (0, Reason::MaxSize, 1),
            (5, Reason::MaxSize, 2),
            (5, Reason::Unused, 7),
            (599, Reason::MaxSize, 3),
            (600, Reason::MaxSize, 0),
            (900, Reason::MaxSize, 4),
        ] {
            sums.add(reason, &evicted(images));
            sums.tell(&store.audit, start.plus(Duration::from_secs(after)));
        }
        let end = start.plus(Duration::from_secs(901));
        sums.tell_all(&store.audit, end);
        store.audit.write_notes(end).unwrap();
        let events = store.audit.events(&EventFilter::default()).unwrap();
        let told = events.iter().map(|event| {
            let details = &event.details;
            let images = details["images"].as_u64().unwrap();
            assert_eq!(details["bytes"].as_u64(), Some(images * 10));
            let after = event.time.since(start).as_secs();
            (after, details["why"].as_str().unwrap().to_owned(), images)
        });
        let expected = [
            (0, "max_size", 1),
            (5, "unused", 7),
            (600, "max_size", 5),
            (901, "max_size", 4),
        ];
        let expected = expected.map(|(after, why, images)| (after, why.to_owned(), images));
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }
}
