//! Bans after failed logins: by address, and by account where a password was tried. Pure but for its own
//! memory; takes the time as a parameter.
//!
//! A successful login clears the failures of its account, but not those of its address. Otherwise somebody with one
//! valid credential could guess at every other account from the same address, by logging in as himself now and then.
//! The failures of an address expire with time alone. Since they count only within one window of the
//! ban's length, people behind one address who mistype now and then are never banned, however long they go on.
//!
//! Only guesses at logins are counted: JWTs that are no longer valid come every day, a trusted anonymous pull is no
//! login, and whoever sends the whole secret of a token that was revoked does not guess (see [`RefusedRows`]).

mod refused_rows;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::error::{Error, Kind};
use crate::network;
use crate::time::Timestamp;
pub use refused_rows::RefusedRows;

/// Addresses and accounts remembered; beyond that those with the fewest failures are forgotten, the oldest first.
const MAX_ENTRIES: usize = 10_000;

/// Whose failures are counted, and who is banned for them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKey {
    /// An IPv4 address, or an IPv6 /64.
    Address(IpNet),
    /// A user name that a password was tried for, whether it exists or not.
    Account(String),
}

impl FailureKey {
    fn of_address(address: IpAddr) -> Self {
        Self::Address(network::of_machine(address))
    }

    fn of_account(name: &str) -> Self {
        Self::Account(name.chars().take(255).collect())
    }
}

/// What logins are refused from, or for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    pub of: FailureKey,
    /// Those that led to it, and those that were under way when it began.
    pub failures: u32,
    pub since: Timestamp,
    pub until: Timestamp,
}

/// An address as commands name it: of IPv6 the network.
pub fn shown(network: &IpNet) -> String {
    match network.prefix_len() == network.max_prefix_len() {
        true => network.addr().to_string(),
        false => network.to_string(),
    }
}

/// The network whose failures are counted together, if this is one: no wider and no narrower.
pub fn machine(network: IpNet) -> Option<IpNet> {
    Some(network::of_machine(network.addr())).filter(|machine| *machine == network.trunc())
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    /// The first that counts.
    first: Timestamp,
    last: Timestamp,
    /// When there were too many, if there are.
    banned: Timestamp,
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
    /// `TooManyRequests` that says until when not.
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
            if !self.is_banned(failures, now) {
                continue;
            }
            let until = failures.last.plus(self.duration);
            let retry_after = until.since(now).max(Duration::from_secs(1));
            // A name is not repeated: people type passwords where it belongs, and this is logged.
            let (whose, named) = match &key {
                FailureKey::Address(network) => ("from this address", shown(network)),
                FailureKey::Account(_) => ("for this user", "USER".to_owned()),
            };
            let what = format!("too many failed logins {whose}");
            let wait = format!(
                "try again at {until}, in {} s, or let an administrator of this box lift it: `breakwater ban remove {named}`",
                retry_after.as_secs()
            );
            return Err(Error::new(Kind::TooManyRequests { retry_after }, what).remedy(wait));
        }
        Ok(())
    }

    fn is_banned(&self, failures: &Failures, now: Timestamp) -> bool {
        self.after > 0 && failures.count >= self.after && now.since(failures.last) < self.duration
    }

    /// Which bans hold, the newest last.
    pub fn list(&self, now: Timestamp) -> Vec<Ban> {
        let held = self.failures.iter();
        let held = held.filter(|(_, failures)| self.is_banned(failures, now));
        let mut bans: Vec<_> = held
            .map(|(key, failures)| Ban {
                of: key.clone(),
                failures: failures.count,
                since: failures.banned,
                until: failures.last.plus(self.duration),
            })
            .collect();
        bans.sort_by(|a, b| (a.since, &a.of).cmp(&(b.since, &b.of)));
        bans
    }

    /// Ends the ban of an address, a network as [`machine`] takes it, or a user of this name, and forgets the failures;
    /// what was banned.
    pub fn lift(&mut self, named: &str, now: Timestamp) -> Option<FailureKey> {
        let address = named.parse::<IpAddr>().ok().map(network::of_machine);
        let network = address.or_else(|| machine(named.parse().ok()?));
        let keys = network.map(FailureKey::Address).into_iter();
        let mut keys = keys.chain([FailureKey::of_account(named)]);
        let is_banned = |key: &FailureKey| {
            let failures = self.failures.get(key);
            failures.is_some_and(|failures| self.is_banned(failures, now))
        };
        let key = keys.find(is_banned)?;
        self.failures.remove(&key);
        Some(key)
    }

    /// When a ban ends that begins at `now`.
    pub fn end(&self, now: Timestamp) -> Timestamp {
        now.plus(self.duration)
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
                banned: now,
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
                failures.banned = now;
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
        let failures = self.failures.values();
        failures.filter(|one| self.is_banned(one, now)).count()
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
    let machine = FailureKey::of_address(address);
    std::iter::once(machine).chain(account.map(FailureKey::of_account))
}
