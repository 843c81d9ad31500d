//! Who has a thread: how long each receiver is left alone after failures, and whose turn it is among those that are due.
//!
//! Whoever owns a top-level group may have as many receivers that hang as webhooks are allowed. So each such group, and
//! the box, has only some of the threads, and the next thread goes to the owner who has waited longest. Where slow
//! receivers of several owners have taken all of them, another owner waits until a turn ends: up to twenty seconds, for each
//! of its own turns.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::Pace;
use crate::store::{Delivery, GroupId};
use crate::time::after;

const MOST_THREADS: usize = 8;
const MOST_OF_BOX: usize = 4;
const MOST_OF_GROUP: usize = 2;

/// A top-level group; `None`: the box.
pub(super) type Owner = Option<GroupId>;

/// By the receivers' own names.
#[derive(Default)]
pub(super) struct Delivering {
    busy: HashMap<String, Owner>,
    receivers: HashMap<String, Tries>,
    /// When one of an owner's receivers last got a thread.
    owners: HashMap<Owner, Instant>,
}

#[derive(Default)]
pub(super) struct Tries {
    failed: u32,
    next: Option<Instant>,
    /// When it last had a thread.
    served: Option<Instant>,
    /// What was delivered, and could not be noted yet.
    pub(super) unnoted: Option<Delivery>,
}

impl Delivering {
    /// Gives the threads that are free to those of `waiting` that are due; each is busy until [`Self::release`].
    pub(super) fn admit(&mut self, waiting: Vec<(String, Owner)>, now: Instant) -> Vec<String> {
        let owners: HashSet<Owner> = waiting.iter().map(|(_, owner)| *owner).collect();
        self.owners.retain(|owner, _| owners.contains(owner));
        let mut due = waiting;
        due.retain(|(uid, _)| self.is_due(uid, now));
        let mut admitted = Vec::new();
        while self.busy.len() < MOST_THREADS {
            let free = due.iter().enumerate();
            let free = free.filter(|(_, (_, owner))| self.has_thread_for(*owner));
            let next = free.min_by_key(|(_, (uid, owner))| {
                let tries = self.receivers.get(uid);
                let served = tries.and_then(|tries| tries.served);
                (self.owners.get(owner).copied(), served)
            });
            let Some((at, _)) = next else {
                break;
            };
            let (uid, owner) = due.remove(at);
            self.owners.insert(owner, now);
            self.tries(&uid).served = Some(now);
            self.busy.insert(uid.clone(), owner);
            admitted.push(uid);
        }
        admitted
    }

    fn is_due(&self, uid: &str, now: Instant) -> bool {
        let tries = self.receivers.get(uid);
        let next = tries.and_then(|tries| tries.next);
        !self.busy.contains_key(uid) && next.is_none_or(|at| at <= now)
    }

    fn has_thread_for(&self, owner: Owner) -> bool {
        let most = match owner {
            Some(_) => MOST_OF_GROUP,
            None => MOST_OF_BOX,
        };
        self.busy.values().filter(|busy| **busy == owner).count() < most
    }

    pub(super) fn release(&mut self, uid: &str) {
        self.busy.remove(uid);
    }

    pub(super) fn tries(&mut self, uid: &str) -> &mut Tries {
        self.receivers.entry(uid.to_owned()).or_default()
    }

    /// Forgets receivers that there are no more.
    pub(super) fn forget(&mut self, is_gone: impl Fn(&str) -> bool) {
        self.receivers.retain(|uid, _| !is_gone(uid));
    }

    /// It may take events again: it was changed, or took a test.
    pub(super) fn hurry(&mut self, uid: &str) {
        if let Some(tries) = self.receivers.get_mut(uid) {
            tries.succeed();
        }
    }
}

impl Tries {
    pub(super) fn succeed(&mut self) {
        (self.failed, self.next) = (0, None);
    }

    /// Leaves it alone for a while, longer with each failure; how often it failed by now, and how long.
    pub(super) fn fail(&mut self, pace: &Pace, random: f64) -> (u32, Duration) {
        let pause = pace.pause(self.failed, random);
        self.failed = self.failed.saturating_add(1);
        self.next = Some(after(Instant::now(), pause));
        (self.failed, pause)
    }
}

impl Pace {
    /// The pause after a failure that so many came before; `random` is from 0 to 1.
    fn pause(&self, failed: u32, random: f64) -> Duration {
        let doubled = 1_u32.checked_shl(failed.min(31)).unwrap_or(u32::MAX);
        let pause = self.first.saturating_mul(doubled).min(self.longest);
        pause.mul_f64(0.8 + 0.4 * random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_five_seconds_to_an_hour_with_jitter() {
        let pace = Pace::default();
        for (failed, random, seconds) in [
            (0, 0.5, 5.0),
            (0, 0.0, 4.0),
            (0, 1.0, 6.0),
            (1, 0.5, 10.0),
            (9, 0.5, 2_560.0),
            (10, 0.5, 3_600.0),
            (u32::MAX, 1.0, 4_320.0),
        ] {
            let pause = pace.pause(failed, random).as_secs_f64();
            assert!((pause - seconds).abs() < 0.01, "{failed} {random}: {pause}");
        }
    }

    #[test]
    fn a_group_has_two_threads_at_most_and_the_next_goes_to_who_waited_longest() {
        let waiting = |uids: &[(&str, i64)]| -> Vec<(String, Owner)> {
            let one = |(uid, group): &(&str, i64)| ((*uid).to_owned(), Some(GroupId(*group)));
            uids.iter().map(one).collect()
        };
        let mut delivering = Delivering::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let all = [("a1", 1), ("a2", 1), ("a3", 1), ("b1", 2), ("c1", 3)];
        assert_eq!(delivering.admit(waiting(&all[..3]), at(0)).len(), 2);
        let mut next = delivering.admit(waiting(&all), at(1));
        next.sort();
        assert_eq!(next, ["b1", "c1"]);
        for uid in ["a1", "a2", "b1"] {
            delivering.release(uid);
        }
        let again = delivering.admit(waiting(&all), at(2));
        assert_eq!(again.len(), 3);
        assert_eq!(again[0], "a3", "of its owner, which had none for longest");
        assert!(again.contains(&"b1".to_owned()));
        // One that failed is left alone, and a changed one is not.
        delivering.release("b1");
        delivering.tries("b1").fail(&Pace::default(), 0.5);
        assert_eq!(delivering.admit(waiting(&all[3..]), at(3)), [""; 0]);
        delivering.hurry("b1");
        assert_eq!(delivering.admit(waiting(&all[3..]), at(3)), ["b1"]);
    }
}
