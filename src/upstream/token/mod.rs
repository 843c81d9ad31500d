//! Tokens of the `Bearer` dance: kept per realm, service and scope until shortly before they expire, and
//! fetched once however many ask (distribution, "Token Authentication Specification").
//!
//! Sends nothing itself: whoever asks brings the way to fetch. Tokens live in memory only.

mod issued;
#[cfg(test)]
mod tests;

pub(super) use issued::Issued;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::fault::{Fault, FaultKind};
use super::transport::Deadline;
use crate::time::deadline;

/// The most tokens kept; one is about 3 KiB. Beyond it the ones that expire first go.
const MOST_TOKENS: usize = 1024;

/// What a token is good for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TokenKey {
    /// The realm's URL, without the parameters that we add.
    pub(super) realm: String,
    pub(super) service: Option<String>,
    /// `repository:NAME:pull`
    pub(super) scope: String,
}

/// The tokens of one upstream.
pub(super) struct TokenCache {
    /// The upstream's, for sentences.
    name: String,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    tokens: HashMap<TokenKey, Slot>,
    /// The realm and service that were named last: those of the next request, most likely.
    last: Option<(String, Option<String>)>,
}

enum Slot {
    Ready { token: Arc<str>, until: Instant },
    Fetching(Arc<Flight>),
}

/// A fetch on its way, and who waits for it.
#[derive(Default)]
struct Flight {
    outcome: Mutex<Option<Result<Arc<str>, Fault>>>,
    landed: Condvar,
}

impl TokenCache {
    /// An empty cache for the upstream of this name.
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            slots: Mutex::default(),
        }
    }

    /// A token for `scope` that is good at `now`, for a request that has not been challenged yet.
    pub(super) fn cached(&self, scope: &str, now: Instant) -> Option<Arc<str>> {
        let slots = self.slots();
        let (realm, service) = slots.last.clone()?;
        let key = TokenKey {
            realm,
            service,
            scope: scope.to_owned(),
        };
        match slots.tokens.get(&key) {
            Some(Slot::Ready { token, until }) if now < *until => Some(Arc::clone(token)),
            _ => None,
        }
    }

    /// A token for `key`: the cached one unless it is the `rejected` one, the one that another thread is
    /// fetching, or a new one by `fetch`. A fetch that fails fails for all who wait for it.
    pub(super) fn get(
        &self,
        key: &TokenKey,
        rejected: Option<&str>,
        deadline: Option<Deadline>,
        fetch: impl FnOnce() -> Result<Issued, Fault>,
    ) -> Result<Arc<str>, Fault> {
        let flight = {
            let mut slots = self.slots();
            slots.last = Some((key.realm.clone(), key.service.clone()));
            match slots.tokens.get(key) {
                Some(Slot::Ready { token, until })
                    if Instant::now() < *until && rejected != Some(token) =>
                {
                    return Ok(Arc::clone(token));
                }
                Some(Slot::Fetching(flight)) => {
                    let flight = Arc::clone(flight);
                    drop(slots);
                    return flight.wait(&self.name, deadline);
                }
                _ => {}
            }
            let flight = Arc::new(Flight::default());
            slots.make_room();
            slots
                .tokens
                .insert(key.clone(), Slot::Fetching(Arc::clone(&flight)));
            flight
        };
        let mut landing = Landing {
            cache: self,
            key,
            flight: &flight,
            outcome: None,
        };
        let issued = fetch();
        let outcome = issued
            .as_ref()
            .map(|issued| Arc::from(&*issued.token))
            .map_err(Clone::clone);
        landing.outcome = Some(match issued {
            Ok(issued) => Ok((outcome.clone()?, issued.life)),
            Err(fault) => Err(fault),
        });
        outcome
    }

    /// Forgets a token that was refused although it was new.
    pub(super) fn forget(&self, token: &str) {
        self.slots()
            .tokens
            .retain(|_, slot| !matches!(slot, Slot::Ready { token: own, .. } if **own == *token));
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock()
    }
}

impl Slots {
    fn make_room(&mut self) {
        if self.tokens.len() < MOST_TOKENS {
            return;
        }
        let now = Instant::now();
        self.tokens
            .retain(|_, slot| !matches!(slot, Slot::Ready { until, .. } if *until <= now));
        while self.tokens.len() >= MOST_TOKENS {
            let first = self
                .tokens
                .iter()
                .filter_map(|(key, slot)| match slot {
                    Slot::Ready { until, .. } => Some((*until, key)),
                    Slot::Fetching(_) => None,
                })
                .min_by_key(|(until, _)| *until)
                .map(|(_, key)| key.clone());
            let Some(first) = first else { return };
            self.tokens.remove(&first);
        }
    }
}

impl Flight {
    fn wait(&self, name: &str, deadline: Option<Deadline>) -> Result<Arc<str>, Fault> {
        let mut outcome = self.outcome.lock();
        loop {
            if let Some(outcome) = &*outcome {
                return outcome.clone();
            }
            // Whoever fetches has timeouts of its own, so that waiting without a deadline ends, too.
            let remaining = deadline.map_or(Duration::from_secs(3600), Deadline::remaining);
            if remaining.is_zero() {
                return Err(Fault::new(
                    FaultKind::TimedOut,
                    format!("{name} issued no token in time"),
                ));
            }
            self.landed.wait_for(&mut outcome, remaining);
        }
    }
}

/// Ends a flight even if the fetch panics: those who wait must not wait for ever.
struct Landing<'a> {
    cache: &'a TokenCache,
    key: &'a TokenKey,
    flight: &'a Flight,
    outcome: Option<Result<(Arc<str>, Duration), Fault>>,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or_else(|| {
            Err(Fault::new(
                FaultKind::Unreachable,
                format!("fetching a token of {} was broken off", self.cache.name),
            ))
        });
        let mut slots = self.cache.slots();
        let told = match outcome {
            Ok((token, life)) => {
                // Shortly before it expires: a sixth of its life, at most half a minute.
                let margin = Duration::from_secs(life.as_secs() / 6).min(Duration::from_secs(30));
                let slot = Slot::Ready {
                    token: Arc::clone(&token),
                    until: deadline(life.saturating_sub(margin)),
                };
                slots.tokens.insert(self.key.clone(), slot);
                Ok(token)
            }
            Err(fault) => {
                slots.tokens.remove(self.key);
                Err(fault)
            }
        };
        drop(slots);
        let mut outcome = self.flight.outcome.lock();
        *outcome = Some(told);
        self.flight.landed.notify_all();
    }
}
