//! From where which account has logged in by password lately, so that a flood of strangers does not keep its owner
//! waiting. Bounded; nothing of it is a proof of anything.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::network;

/// Machines remembered for an account; those that logged in longest ago are forgotten first. A bound for each, so that
/// one user with many addresses makes the box forget nobody else's.
const MAX_MACHINES: usize = 16;
const MAX_ACCOUNTS: usize = 1_000;

/// Pairs of an account and a machine.
#[derive(Debug, Default)]
pub(super) struct KnownLogins {
    machines: HashMap<String, VecDeque<IpNet>>,
    /// Accounts, by when they were last seen.
    order: VecDeque<String>,
}

impl KnownLogins {
    pub(super) fn contains(&self, account: &str, address: IpAddr) -> bool {
        let machine = network::of_machine(address);
        self.machines
            .get(account)
            .is_some_and(|machines| machines.contains(&machine))
    }

    pub(super) fn insert(&mut self, account: &str, address: IpAddr) {
        let machine = network::of_machine(address);
        self.order.retain(|other| other != account);
        self.order.push_back(account.to_owned());
        let machines = self.machines.entry(account.to_owned()).or_default();
        machines.retain(|other| *other != machine);
        machines.push_back(machine);
        if machines.len() > MAX_MACHINES {
            machines.pop_front();
        }
        if self.order.len() > MAX_ACCOUNTS
            && let Some(oldest) = self.order.pop_front()
        {
            self.machines.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_known_for_its_account_within_bounds() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut known = KnownLogins::default();
        known.insert("alice", ip("2001:db8::1"));
        known.insert("bob", ip("192.0.2.1"));
        for (account, address, expected) in [
            ("alice", "2001:db8::2", true),
            ("alice", "2001:db8:0:1::2", false),
            ("alice", "192.0.2.1", false),
            ("bob", "::ffff:192.0.2.1", true),
        ] {
            assert_eq!(known.contains(account, ip(address)), expected, "{address}");
        }
        for number in 0..100 {
            known.insert("mallory", ip(&format!("198.51.100.{number}")));
        }
        assert_eq!(known.machines["mallory"].len(), MAX_MACHINES);
        assert!(known.contains("alice", ip("2001:db8::1")));
        for number in 0..2 * MAX_ACCOUNTS {
            known.insert(&format!("user-{number}"), ip("192.0.2.1"));
        }
        assert_eq!(known.machines.len(), MAX_ACCOUNTS);
        assert_eq!(known.order.len(), MAX_ACCOUNTS);
    }
}
