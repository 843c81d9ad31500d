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
