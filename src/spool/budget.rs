//! A limited amount of something, of which each owner may take a share. Requests for more wait for their turn, or are
//! refused.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::network;

/// On whose behalf something is held. What one owner holds leaves the shares of the others as they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A client, by the network that one machine has all addresses of.
    Address(IpNet),
    /// An upstream, while an answer that several clients may wait for arrives.
    Upstream(String),
}

impl From<IpAddr> for Owner {
    fn from(address: IpAddr) -> Self {
        Self::Address(network::of_machine(address))
    }
}

/// So many bytes, or turns.
pub(super) struct Budget {
    total: u64,
    /// What one owner may have and wait for together.
    share: u64,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    taken: u64,
    claims: HashMap<Owner, u64>,
    next_ticket: u64,
    waiting: Vec<(u64, Owner)>,
    /// When those who have or want something were last served, as the ticket of that.
    served: HashMap<Owner, u64>,
}

impl State {
    fn claim(&mut self, owner: &Owner, amount: u64, share: u64) -> bool {
        let claimed = self.claims.get(owner).copied().unwrap_or(0);
        let wanted = claimed.saturating_add(amount);
        let may = wanted <= share;
        if may && amount > 0 {
            self.claims.insert(owner.clone(), wanted);
        }
        may
    }

    /// Whose turn it is: that of the owner who was served least recently, however many requests the others have
    /// waiting.
    fn first(&self) -> Option<u64> {
        let by_turn = |(ticket, owner): &&(u64, Owner)| (self.served.get(owner).copied(), *ticket);
        let first = self.waiting.iter().min_by_key(by_turn);
        first.map(|(ticket, _)| *ticket)
    }

    fn renounce(&mut self, owner: &Owner, amount: u64) {
        let left = self
            .claims
            .get(owner)
            .map(|claimed| claimed.saturating_sub(amount));
        match left {
            Some(0) => {
                self.claims.remove(owner);
                self.served.remove(owner);
            }
            Some(left) => {
                self.claims.insert(owner.clone(), left);
            }
            None => {}
        }
    }
}

impl Budget {
    pub(super) fn new(total: u64, share: u64) -> Arc<Self> {
        Arc::new(Self {
            total,
            share,
            state: Mutex::default(),
            freed: Condvar::new(),
        })
    }

    /// `amount` for `owner`, waited for up to `patience`. `None`: the owner has its share, or the wait was
    /// not long enough.
    pub(super) fn take(
        self: &Arc<Self>,
        owner: Owner,
        amount: u64,
        patience: Duration,
    ) -> Option<Permit> {
        let deadline = crate::time::deadline(patience);
        let mut state = self.lock();
        if !state.claim(&owner, amount, self.share) {
            return None;
        }
        let ticket = state.next_ticket;
        state.next_ticket = state.next_ticket.saturating_add(1);
        state.waiting.push((ticket, owner.clone()));
        loop {
            let fits = state.taken.saturating_add(amount) <= self.total;
            if fits && state.first() == Some(ticket) {
                state.waiting.retain(|(other, _)| *other != ticket);
                state.taken = state.taken.saturating_add(amount);
                if amount > 0 {
                    state.served.insert(owner.clone(), ticket);
                }
                // The next one may fit as well.
                self.freed.notify_all();
                let budget = Arc::clone(self);
                return Some(Permit {
                    budget,
                    owner,
                    amount,
                });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.waiting.retain(|(other, _)| *other != ticket);
                state.renounce(&owner, amount);
                self.freed.notify_all();
                return None;
            }
            self.freed.wait_for(&mut state, left);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// A part of a budget, given back when it is dropped.
pub struct Permit {
    budget: Arc<Budget>,
    owner: Owner,
    amount: u64,
}

impl Permit {
    pub(super) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Takes `more`, without waiting; says whether there was as much.
    pub(super) fn grow(&mut self, more: u64) -> bool {
        let mut state = self.budget.lock();
        let fits = state.taken.saturating_add(more) <= self.budget.total
            && state.claim(&self.owner, more, self.budget.share);
        if fits {
            state.taken = state.taken.saturating_add(more);
            self.amount = self.amount.saturating_add(more);
        }
        fits
    }

    /// Lets `owner` answer for what an upstream does so far; says whether its share allows that. What a client
    /// answers for already stays that client's.
    pub(super) fn hand_over(&mut self, owner: &Owner) -> bool {
        if matches!(self.owner, Owner::Address(_)) {
            return true;
        }
        let mut state = self.budget.lock();
        if !state.claim(owner, self.amount, self.budget.share) {
            return false;
        }
        state.renounce(&self.owner, self.amount);
        drop(state);
        self.owner = owner.clone();
        true
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.taken = state.taken.saturating_sub(self.amount);
        state.renounce(&self.owner, self.amount);
        drop(state);
        self.budget.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;
    const LONG: Duration = Duration::from_secs(60);

    fn owner(address: &str) -> Owner {
        Owner::from(address.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn each_owner_has_a_share_and_all_have_a_total() {
        let budget = Budget::new(10, 6);
        let take = |address, amount| budget.take(owner(address), amount, NOW);
        let first = take("192.0.2.1", 4).unwrap();
        assert!(take("192.0.2.1", 3).is_none(), "beyond the share");
        assert!(take("::ffff:192.0.2.1", 3).is_none(), "the same address");
        let second = take("192.0.2.2", 6).unwrap();
        assert!(take("192.0.2.3", 1).is_none(), "beyond the total");
        drop(first);
        assert!(take("192.0.2.1", 4).is_some());
        drop(second);
        assert!(budget.lock().claims.is_empty() && budget.lock().taken == 0);
        assert_eq!(owner("2001:db8::1"), owner("2001:db8::ffff:1"));
        assert_ne!(owner("2001:db8::1"), owner("2001:db8:0:1::1"));
    }

    #[test]
    fn what_grows_keeps_to_both() {
        let budget = Budget::new(10, 6);
        let mut permit = budget.take(owner("192.0.2.1"), 0, NOW).unwrap();
        assert!(permit.grow(6) && !permit.grow(1), "the share");
        let mut other = budget.take(owner("192.0.2.2"), 0, NOW).unwrap();
        assert!(other.grow(4) && !other.grow(1), "the total");
        drop(permit);
        assert!(other.grow(2));
    }

    #[test]
    fn an_answer_becomes_the_business_of_the_first_client_that_gets_it() {
        let budget = Budget::new(100, 10);
        let upstream = Owner::Upstream("docker.io".to_owned());
        let mut permit = budget.take(upstream.clone(), 6, NOW).unwrap();
        assert!(permit.hand_over(&owner("192.0.2.1")));
        assert!(permit.hand_over(&owner("192.0.2.2")), "is the first one's");
        let mut other = budget
            .take(upstream, 10, NOW)
            .expect("nothing is left there");
        assert!(!other.hand_over(&owner("192.0.2.1")), "more than its share");
        assert!(other.hand_over(&owner("192.0.2.2")));
    }

    #[test]
    fn who_waits_with_many_requests_does_not_overtake_who_waits_with_one() {
        let budget = Budget::new(1, 100);
        let held = budget.take(owner("192.0.2.1"), 1, NOW).unwrap();
        let order = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            let wait = |address: &'static str, number: usize| {
                let (budget, order) = (&budget, &order);
                scope.spawn(move || {
                    let turn = budget.take(owner(address), 1, LONG);
                    order.lock().push(address);
                    drop(turn);
                });
                while budget.lock().waiting.len() < number {
                    std::thread::yield_now();
                }
            };
            for number in 1..=5 {
                wait("192.0.2.1", number);
            }
            wait("192.0.2.2", 6);
            drop(held);
        });
        assert_eq!(order.into_inner()[0], "192.0.2.2");
        let state = budget.lock();
        assert!(state.claims.is_empty() && state.served.is_empty() && state.waiting.is_empty());
    }

    #[test]
    fn who_needs_much_does_not_wait_behind_many_who_need_little() {
        let budget = Budget::new(4, 8);
        let held = budget.take(owner("192.0.2.1"), 1, NOW).unwrap();
        let large = std::thread::spawn({
            let budget = Arc::clone(&budget);
            move || budget.take(owner("192.0.2.2"), 4, LONG).is_some()
        });
        while budget.lock().waiting.is_empty() {
            std::thread::yield_now();
        }
        let small = budget.take(owner("192.0.2.3"), 1, NOW);
        assert!(small.is_none(), "overtook one that came before");
        drop(held);
        assert!(large.join().unwrap());
        assert!(budget.take(owner("192.0.2.3"), 1, NOW).is_some());
    }
}
