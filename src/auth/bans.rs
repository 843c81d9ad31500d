//! Bans after failed logins: by address, and by account where a password was tried. Pure but for its own
//! memory; takes the time as a parameter.
//!
//! A successful login clears the failures of its account, but not those of its address. Otherwise somebody with one
//! valid credential could guess at every other account from the same address, by logging in as himself now and then.
//! The failures of an address expire with time alone. Since they count only within one window of the
//! ban's length, people behind one address who mistype now and then are never banned, however long they go on.
//!
//! Only logins are counted: JWTs that are no longer valid come every day, and a trusted anonymous pull is no
//! login.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::error::{Error, Kind};
use crate::network;
use crate::time::Timestamp;

/// Addresses and accounts remembered; beyond that those with the fewest failures are forgotten, the oldest first.
const MAX_ENTRIES: usize = 10_000;

/// What failed: one is counted for each.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum FailureKey {
    /// An IPv4 address, or an IPv6 /64.
    Address(IpNet),
    /// A user name that a password was tried for, whether it exists or not.
    Account(String),
}

impl FailureKey {
    fn of_account(name: &str) -> Self {
        Self::Account(name.chars().take(255).collect())
    }
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    /// The first that counts.
    first: Timestamp,
    last: Timestamp,
}

pub struct Bans {
    after: u32,
    duration: Duration,
    failures: HashMap<FailureKey, Failures>,
}

impl Bans {
    /// Bans for `duration` after that many failures within `duration` of the first. `after` 0 never bans.
    pub fn new(after: u32, duration: Duration) -> Self {
        Self {
            after,
            duration,
            failures: HashMap::new(),
        }
    }

    /// Whether a login from `address`, as `account` where it brings a password, may be tried at all.
    ///
    /// # Errors
    /// `TooManyRequests` that says for how long not.
    pub fn check(
        &self,
        address: IpAddr,
        account: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Error> {
        for key in failure_keys(address, account) {
            let Some(failures) = self.failures.get(&key) else {
                continue;
            };
            let since = now.since(failures.last);
            if self.after > 0 && failures.count >= self.after && since < self.duration {
                let retry_after = self
                    .duration
                    .saturating_sub(since)
                    .max(Duration::from_secs(1));
                let whose = match key {
                    FailureKey::Address(_) => "from this address",
                    FailureKey::Account(_) => "for this user",
                };
                let what = format!("too many failed logins {whose}");
                let wait = format!("try again in {} s", retry_after.as_secs());
                return Err(Error::new(Kind::TooManyRequests { retry_after }, what).remedy(wait));
            }
        }
        Ok(())
    }

    /// Notes a failed login; what is banned from now on because of it: the `address`, the `account`, or both.
    pub fn failed(
        &mut self,
        address: IpAddr,
        account: Option<&str>,
        now: Timestamp,
    ) -> Vec<&'static str> {
        let mut begun = Vec::new();
        if self.failures.len() >= MAX_ENTRIES {
            self.forget_old(now);
        }
        for key in failure_keys(address, account) {
            let whose = match key {
                FailureKey::Address(_) => "address",
                FailureKey::Account(_) => "account",
            };
            let failures = self.failures.entry(key).or_insert(Failures {
                count: 0,
                first: now,
                last: now,
            });
            // A login that was under way when the ban began must not end it.
            let begins_window = if self.after > 0 && failures.count >= self.after {
                failures.last
            } else {
                failures.first
            };
            if now.since(begins_window) >= self.duration {
                failures.count = 0;
                failures.first = now;
            }
            failures.count = failures.count.saturating_add(1);
            failures.last = now;
            if failures.count == self.after {
                begun.push(whose);
            }
        }
        begun
    }

    /// Forgets the failures of an account whose password was now right; those of its address stay.
    pub fn succeeded(&mut self, account: &str) {
        self.failures.remove(&FailureKey::of_account(account));
    }

    /// How many addresses and accounts are banned.
    pub fn active(&self, now: Timestamp) -> usize {
        let is_banned = |failures: &&Failures| {
            self.after > 0
                && failures.count >= self.after
                && now.since(failures.last) < self.duration
        };
        self.failures.values().filter(is_banned).count()
    }

    /// Drops what no longer counts, and if that is not enough, the half that failed least. Who tries one wrong token
    /// from each of ten thousand addresses must not end the ban of an account that is being guessed at.
    fn forget_old(&mut self, now: Timestamp) {
        let duration = self.duration;
        self.failures
            .retain(|_, failures| now.since(failures.last) < duration);
        if self.failures.len() >= MAX_ENTRIES {
            let weight = |failures: &Failures| (failures.count, failures.last);
            let mut weights: Vec<_> = self.failures.values().map(weight).collect();
            weights.sort_unstable();
            let middle = weights.get(weights.len() / 2).copied();
            self.failures
                .retain(|_, failures| Some(weight(failures)) > middle);
        }
    }
}

fn failure_keys(address: IpAddr, account: Option<&str>) -> impl Iterator<Item = FailureKey> {
    let machine = FailureKey::Address(network::of_machine(address));
    std::iter::once(machine).chain(account.map(FailureKey::of_account))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_banned_after_its_failures_and_let_in_after_the_ban() {
        let mut bans = Bans::new(3, MINUTE);
        let (bad, good, at) = (ip("192.0.2.1"), ip("192.0.2.2"), Timestamp);
        for second in 0..3 {
            assert!(bans.check(bad, None, at(second)).is_ok());
            bans.failed(bad, None, at(second));
        }
        let error = bans.check(bad, None, at(3)).unwrap_err();
        assert_eq!(
            error.kind(),
            Kind::TooManyRequests {
                retry_after: Duration::from_secs(59)
            }
        );
        assert!(bans.check(good, None, at(3)).is_ok());
        assert!(bans.check(bad, None, at(62)).is_ok());
        bans.failed(bad, None, at(62));
        assert!(
            bans.check(bad, None, at(63)).is_ok(),
            "old failures do not count again"
        );
    }

    #[test]
    fn an_account_is_banned_wherever_it_is_tried_from_and_a_success_forgives() {
        let mut bans = Bans::new(2, MINUTE);
        for n in 0..2 {
            bans.failed(ip(&format!("192.0.2.{n}")), Some("root"), Timestamp(0));
        }
        assert!(
            bans.check(ip("192.0.2.9"), Some("root"), Timestamp(1))
                .is_err()
        );
        assert!(
            bans.check(ip("192.0.2.9"), Some("alice"), Timestamp(1))
                .is_ok()
        );
        assert!(
            bans.check(ip("192.0.2.9"), None, Timestamp(1)).is_ok(),
            "tokens are no passwords"
        );
        bans.succeeded("root");
        assert!(
            bans.check(ip("192.0.2.9"), Some("root"), Timestamp(1))
                .is_ok()
        );
    }

    #[test]
    fn a_success_forgives_its_account_and_never_its_address() {
        let mut bans = Bans::new(30, MINUTE);
        let (address, at) = (ip("192.0.2.1"), Timestamp(0));
        for n in 0..29 {
            bans.failed(address, Some(&format!("user-{n}")), at);
            bans.succeeded("mallory");
        }
        assert!(bans.check(address, None, at).is_ok());
        assert_eq!(bans.failed(address, Some("user-29"), at), ["address"]);
        bans.succeeded("mallory");
        assert!(bans.check(address, None, at).is_err());
    }

    #[test]
    fn failures_count_within_one_window_and_a_straggler_ends_no_ban() {
        let address = ip("192.0.2.1");
        // Two in a minute for an hour, where three are too many.
        let mut bans = Bans::new(3, MINUTE);
        for second in (0..3_600).step_by(30) {
            assert!(bans.check(address, None, Timestamp(second)).is_ok());
            assert!(bans.failed(address, None, Timestamp(second)).is_empty());
        }
        let mut bans = Bans::new(3, MINUTE);
        for second in [0, 50, 55] {
            bans.failed(address, None, Timestamp(second));
        }
        bans.failed(address, None, Timestamp(61));
        assert!(bans.check(address, None, Timestamp(62)).is_err());
        assert!(bans.check(address, None, Timestamp(121)).is_ok());
    }

    #[test]
    fn a_flood_from_many_addresses_ends_no_ban() {
        let mut bans = Bans::new(3, MINUTE);
        for _ in 0..3 {
            bans.failed(ip("192.0.2.1"), Some("root"), Timestamp(0));
        }
        for n in 0..3 * MAX_ENTRIES as u32 {
            bans.failed(IpAddr::from(n.to_be_bytes()), None, Timestamp(1));
        }
        assert!(bans.failures.len() <= MAX_ENTRIES);
        for (address, account) in [("192.0.2.1", None), ("192.0.2.9", Some("root"))] {
            assert!(bans.check(ip(address), account, Timestamp(2)).is_err());
        }
    }

    #[test]
    fn a_neighbour_of_the_same_64_is_the_same_and_memory_is_bounded() {
        let mut bans = Bans::new(1, MINUTE);
        bans.failed(ip("2001:db8::1"), None, Timestamp(0));
        assert!(bans.check(ip("2001:db8::2"), None, Timestamp(1)).is_err());
        assert!(
            bans.check(ip("2001:db8:0:1::2"), None, Timestamp(1))
                .is_ok()
        );
        for n in 0..3 * MAX_ENTRIES as u32 {
            bans.failed(
                IpAddr::from(n.to_be_bytes()),
                None,
                Timestamp(i64::from(n) / 1_000),
            );
        }
        assert!(bans.failures.len() <= MAX_ENTRIES);
        assert!(
            Bans::new(0, MINUTE)
                .check(ip("192.0.2.1"), None, Timestamp(0))
                .is_ok()
        );
    }
}
