//! The passwords that wait to be checked: few, and fairly. Pure but for its own memory.
//!
//! Who goes first: a login for an account from where that account logged in before. Among equals the site that was
//! served least lately, within a site the machine that was, and then the one that waits longest. When too many wait,
//! one of those goes that have most of their kind waiting, in the reverse order. So whoever changes the address from
//! one login to the next within a network of IPv6 has one customer's share of the places and of the time, and who
//! comes from elsewhere always finds a place.

use std::collections::VecDeque;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::network;

/// How many of the last ones are remembered, to tell who was served least lately.
const SERVED: usize = 64;

/// Whom a login counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Caller {
    is_known: bool,
    site: IpNet,
    machine: IpNet,
}

impl Caller {
    /// `is_known`: the account that is tried has logged in from this machine before.
    pub(super) fn new(address: IpAddr, is_known: bool) -> Self {
        Self {
            is_known,
            site: network::of_site(address),
            machine: network::of_machine(address),
        }
    }
}

/// What waits, in the order of its coming.
pub(super) struct Queue<T> {
    most: usize,
    waiting: Vec<(Caller, T)>,
    served: VecDeque<Caller>,
}

impl<T> Queue<T> {
    /// Room for `most`.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            waiting: Vec::with_capacity(most.saturating_add(1)),
            served: VecDeque::with_capacity(SERVED),
        }
    }

    /// Lets one more wait; what has to go for it, if something has: perhaps this one itself.
    pub(super) fn push(&mut self, caller: Caller, item: T) -> Option<T> {
        self.waiting.push((caller, item));
        if self.waiting.len() <= self.most {
            return None;
        }
        let last = self.waiting.iter().enumerate();
        let last = last.max_by_key(|(at, (caller, _))| {
            let waiting = self.waiting.iter().map(|(other, _)| other);
            let (of_site, of_machine) = shares(caller, waiting);
            (!caller.is_known, of_site, of_machine, *at)
        });
        let at = last.map(|(at, _)| at)?;
        Some(self.waiting.remove(at).1)
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let next = self.waiting.iter().enumerate();
        let next = next.min_by_key(|(at, (caller, _))| {
            let (of_site, of_machine) = shares(caller, self.served.iter());
            (!caller.is_known, of_site, of_machine, *at)
        });
        let at = next.map(|(at, _)| at)?;
        let (caller, item) = self.waiting.remove(at);
        if self.served.len() == SERVED {
            self.served.pop_front();
        }
        self.served.push_back(caller);
        Some(item)
    }
}

/// How many of these are of the caller's site, and of its machine.
fn shares<'a>(caller: &Caller, of: impl Iterator<Item = &'a Caller>) -> (usize, usize) {
    of.fold((0_usize, 0_usize), |(site, machine), other| {
        (
            site.saturating_add(usize::from(other.site == caller.site)),
            machine.saturating_add(usize::from(other.machine == caller.machine)),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stranger(address: &str) -> Caller {
        Caller::new(address.parse().unwrap(), false)
    }

    fn known(address: &str) -> Caller {
        Caller::new(address.parse().unwrap(), true)
    }

    fn rotating(number: usize) -> Caller {
        stranger(&format!("2001:db8:1:{number:x}::1"))
    }

    /// 48 bits are changed by the attacker at will; 16 wait, and he has all the places.
    fn full_of_one_site() -> Queue<&'static str> {
        let mut queue = Queue::new(16);
        for number in 0..16 {
            assert_eq!(queue.push(rotating(number), "attacker"), None);
        }
        queue
    }

    #[test]
    fn who_comes_from_elsewhere_finds_a_place_and_is_next() {
        for elsewhere in [
            "2001:db8:2::1",
            "192.0.2.1",
            "10.0.0.1",
            "::ffff:198.51.100.1",
        ] {
            let mut queue = full_of_one_site();
            assert_eq!(queue.pop(), Some("attacker"));
            assert_eq!(queue.push(rotating(99), "attacker"), None);
            let went = queue.push(stranger(elsewhere), "user");
            assert_eq!(went, Some("attacker"), "{elsewhere}");
            assert_eq!(queue.pop(), Some("user"), "{elsewhere}");
        }
    }

    #[test]
    fn more_of_the_same_site_turn_one_another_away() {
        let mut queue = full_of_one_site();
        for number in 16..200 {
            assert!(queue.push(rotating(number), "attacker").is_some());
        }
        assert_eq!(std::iter::from_fn(|| queue.pop()).count(), 16);
    }

    #[test]
    fn machines_of_one_office_share_fairly_too() {
        let mut queue = Queue::new(4);
        for _ in 0..4 {
            assert_eq!(queue.push(stranger("192.0.2.66"), "attacker"), None);
        }
        let colleague = stranger("192.0.2.1");
        assert_eq!(queue.push(colleague, "colleague"), Some("attacker"));
        assert_eq!(queue.pop(), Some("attacker"), "all were as new");
        assert_eq!(queue.pop(), Some("colleague"));
    }

    #[test]
    fn who_logged_in_from_there_before_goes_first_and_is_turned_away_last() {
        let mut queue = Queue::new(3);
        // As many sites as places: nobody has more than his share.
        for site in 1..=3 {
            queue.push(stranger(&format!("2001:db8:{site}::1")), "stranger");
        }
        let newcomer = stranger("2001:db8:4::1");
        assert_eq!(queue.push(newcomer, "newcomer"), Some("newcomer"));
        let known = known("2001:db8:4::1");
        assert_eq!(queue.push(known, "known"), Some("stranger"));
        assert_eq!(queue.pop(), Some("known"));
    }

    #[test]
    fn a_steady_flood_gets_its_turn_and_no_more() {
        let mut queue = full_of_one_site();
        let mut turns = Vec::new();
        for number in 0..40 {
            queue.push(rotating(number), "attacker");
            queue.push(stranger("192.0.2.1"), "user");
            turns.extend(queue.pop());
        }
        let users = turns.iter().filter(|who| **who == "user").count();
        assert!((18..=22).contains(&users), "{users} of {}", turns.len());
    }
}
