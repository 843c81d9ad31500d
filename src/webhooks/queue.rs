//! From what was told to rows in the queues of those who hear of it.

use std::collections::{HashMap, VecDeque};

use super::fold::Fold;
use super::known::Known;
use super::{Counters, Webhooks, body, new_message};
use crate::error::Result;
use crate::store::{AuditDb, NewDelivery, Store, Told};
use crate::time::Timestamp;

/// So many events wait for a receiver; of more the oldest are dropped.
const MOST_QUEUED: u64 = 1_000;
/// So many wait in memory while the database takes none.
const MOST_UNQUEUED: usize = 10_000;
/// So many are queued in one transaction: changes wait for it, since the audit tells of each.
const AT_ONCE: usize = 500;

#[derive(Default)]
pub(super) struct Queueing {
    /// What nobody has looked at yet.
    told: VecDeque<Told>,
    fold: Fold,
    /// What the database did not take yet.
    unqueued: Vec<NewDelivery>,
    /// The generation of what is known after which nothing waits for webhooks that were removed.
    swept: Option<u64>,
}

impl Webhooks {
    pub(super) fn queue(&self, known: &Known, now: Timestamp, is_last: bool) -> Result<()> {
        let mut queueing = self.queueing.lock();
        // What could not be looked at the last time comes first; the rest waits where it is bounded.
        if queueing.told.is_empty() {
            let (told, lost) = self.store.audit.notices.take();
            queueing.told = told.into();
            self.counters.unqueued.add(lost);
        }
        let distributed = queueing.distribute(&self.store, known, now, is_last);
        let written = queueing.write(&self.store.audit, &self.counters);
        let swept = queueing.sweep(&self.store.audit, known);
        distributed.and(written).and(swept)
    }
}

impl Queueing {
    /// Gives what was told to those who hear of it.
    fn distribute(
        &mut self,
        store: &Store,
        known: &Known,
        now: Timestamp,
        is_last: bool,
    ) -> Result<()> {
        let Self {
            told,
            fold,
            unqueued,
            ..
        } = self;
        for (uid, notice) in fold.sums(now, is_last) {
            if known.enabled(&uid).is_some() {
                let (group, at) = (None, now);
                let sum = Told { notice, group, at };
                unqueued.push(delivery(&uid, body(&sum, None))?);
            }
        }
        while let Some(next) = told.front() {
            let kind = next.notice.kind();
            let lineage = known.lineage(store, next.group)?;
            let path = lineage.first().map(|(_, path)| path.as_str());
            let mut text = None;
            let hooks = known.hooks.iter();
            for (uid, _) in hooks.filter(|(_, hook)| hook.hears(kind, &lineage)) {
                if fold.admits(uid, kind, now) {
                    let body = text.get_or_insert_with(|| body(next, path));
                    unqueued.push(delivery(uid, body.clone())?);
                }
            }
            told.pop_front();
        }
        // Rows for one that was removed meanwhile would be nobody's.
        unqueued.retain(|one| known.hooks.contains_key(&one.receiver));
        Ok(())
    }

    /// Writes them in steps; where the database takes none, so many are kept for the next time.
    fn write(&mut self, audit: &AuditDb, counters: &Counters) -> Result<()> {
        let mut written = 0_usize;
        let result = self.unqueued.chunks(AT_ONCE).try_for_each(|step| {
            counters
                .full
                .add(audit.queue_deliveries(step, MOST_QUEUED)?);
            written = written.saturating_add(step.len());
            Ok(())
        });
        self.unqueued.drain(..written);
        counters
            .unqueued
            .add(trim(&mut self.unqueued, MOST_UNQUEUED));
        result
    }

    /// Forgets receivers of webhooks that were removed, with what waits for them.
    fn sweep(&mut self, audit: &AuditDb, known: &Known) -> Result<()> {
        if self.swept < Some(known.generation) {
            let uids = known.hooks.keys().map(String::as_str);
            audit.keep_receivers(&uids.collect())?;
            self.swept = Some(known.generation);
        }
        Ok(())
    }
}

/// Drops the oldest of those receivers that have the most, so that no more than `most` are left; how many went.
fn trim(unqueued: &mut Vec<NewDelivery>, most: usize) -> u64 {
    if unqueued.len() <= most {
        return 0;
    }
    let mut surplus: HashMap<String, usize> = HashMap::new();
    for one in &*unqueued {
        let count = surplus.entry(one.receiver.clone()).or_default();
        *count = count.saturating_add(1);
    }
    let share = fair_share(surplus.values().copied().collect(), most);
    for count in surplus.values_mut() {
        *count = count.saturating_sub(share);
    }
    let before = unqueued.len();
    unqueued.retain(|one| match surplus.get_mut(&one.receiver) {
        Some(count) if *count > 0 => {
            *count = count.saturating_sub(1);
            false
        }
        _ => true,
    });
    before.saturating_sub(unqueued.len()) as u64
}

/// How many each may keep so that all have no more than `most`: who has less leaves the rest to the others.
fn fair_share(mut counts: Vec<usize>, most: usize) -> usize {
    counts.sort_unstable();
    let (mut left, mut sharing) = (most, counts.len());
    for count in counts {
        let share = left.checked_div(sharing).unwrap_or_default();
        if count > share {
            return share;
        }
        left = left.saturating_sub(count);
        sharing = sharing.saturating_sub(1);
    }
    most
}

fn delivery(uid: &str, body: String) -> Result<NewDelivery> {
    Ok(NewDelivery {
        receiver: uid.to_owned(),
        message: new_message()?,
        created_at: Timestamp::now(),
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_the_oldest_go_of_whoever_has_the_most() {
        let mut unqueued: Vec<_> = ["flood", "quiet", "flood", "flood", "some", "flood", "some"]
            .iter()
            .enumerate()
            .map(|(number, uid)| delivery(uid, number.to_string()).unwrap())
            .collect();
        assert_eq!(trim(&mut unqueued, 7), 0);
        assert_eq!(trim(&mut unqueued, 5), 2);
        let left: Vec<_> = unqueued.iter().map(|one| one.body.as_str()).collect();
        assert_eq!(left, ["1", "3", "4", "5", "6"]);
        assert_eq!(trim(&mut unqueued, 1), 5, "less than one each is none");
    }
}
