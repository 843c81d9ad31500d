//! Tokens of the `Bearer` dance: kept per realm, service and scope until shortly before they expire, and
//! fetched once however many ask (distribution, "Token Authentication Specification").
//!
//! Sends nothing itself: whoever asks brings the way to fetch. Tokens live in memory only.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::fault::{Fault, FaultKind};
use super::transport::Deadline;

/// The most tokens kept; one is about 3 KiB. Beyond it the ones that expire first go.
const MOST_TOKENS: usize = 1024;
/// The shortest life that a token is believed to have; less, or nothing, counts as this.
const SHORTEST_LIFE: u64 = 60;
/// The longest.
const LONGEST_LIFE: u64 = 24 * 60 * 60;

/// What a token is good for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TokenKey {
    /// The realm's URL, without the parameters that we add.
    pub(super) realm: String,
    pub(super) service: Option<String>,
    /// `repository:NAME:pull`
    pub(super) scope: String,
}

/// A token as it was issued.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Issued {
    pub(super) token: Box<str>,
    pub(super) life: Duration,
}

#[derive(serde::Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<serde_json::Value>,
}

impl Issued {
    /// Reads a realm's answer. The error is a phrase that never holds the answer itself: it may be a
    /// token all the same.
    pub(super) fn parse(body: &[u8]) -> Result<Self, &'static str> {
        let answer: Answer =
            serde_json::from_slice(body).map_err(|_| "issues tokens that are not JSON")?;
        let token = [answer.token, answer.access_token]
            .into_iter()
            .flatten()
            .find(|token| !token.is_empty())
            .ok_or("issues no token in its answer")?;
        if token.len() > 32 * 1024 || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("issues a token that does not fit into a header");
        }
        let seconds = match answer.expires_in {
            Some(serde_json::Value::Number(number)) => number
                .as_u64()
                .or_else(|| number.as_f64().map(|seconds| seconds as u64)),
            Some(serde_json::Value::String(text)) => text.parse().ok(),
            _ => None,
        };
        let seconds = seconds.unwrap_or(0).clamp(SHORTEST_LIFE, LONGEST_LIFE);
        Ok(Self {
            token: token.into(),
            life: Duration::from_secs(seconds),
        })
    }
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
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
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
            outcome = self
                .landed
                .wait_timeout(outcome, remaining)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
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
                let margin = (life / 6).min(Duration::from_secs(30));
                let slot = Slot::Ready {
                    token: Arc::clone(&token),
                    until: Instant::now() + life.saturating_sub(margin),
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
        let mut outcome = self
            .flight
            .outcome
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *outcome = Some(told);
        self.flight.landed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn key(scope: &str) -> TokenKey {
        TokenKey {
            realm: "https://r/t".to_owned(),
            service: None,
            scope: scope.to_owned(),
        }
    }

    fn issued(token: &str) -> Result<Issued, Fault> {
        Ok(Issued {
            token: token.into(),
            life: Duration::from_secs(300),
        })
    }

    #[test]
    fn realms_answers_are_read() {
        let cases: &[(&str, Result<(&str, u64), ()>)] = &[
            (r#"{"token":"a"}"#, Ok(("a", 60))),
            (r#"{"access_token":"b","expires_in":300}"#, Ok(("b", 300))),
            (
                r#"{"token":"a","access_token":"b","expires_in":10}"#,
                Ok(("a", 60)),
            ),
            (
                r#"{"token":"","access_token":"b","expires_in":"90"}"#,
                Ok(("b", 90)),
            ),
            (r#"{"token":"a","expires_in":-5}"#, Ok(("a", 60))),
            (r#"{"token":"a","expires_in":100.7}"#, Ok(("a", 100))),
            (r#"{"token":"a","expires_in":1e30}"#, Ok(("a", 86_400))),
            (
                r#"{"token":"a","expires_in":null,"issued_at":1}"#,
                Ok(("a", 60)),
            ),
            ("{}", Err(())),
            ("[]", Err(())),
            ("<html>", Err(())),
            ("", Err(())),
            (r#"{"token":"a b"}"#, Err(())),
            (r#"{"token":"a\r\nX: y"}"#, Err(())),
            (r#"{"token":"é"}"#, Err(())),
            (r#"{"token":5}"#, Err(())),
        ];
        for (body, expected) in cases {
            let read = Issued::parse(body.as_bytes()).map_err(|_| ());
            let read = read.as_ref().map(|i| (&*i.token, i.life.as_secs()));
            assert_eq!(read, expected.as_ref().copied(), "{body}");
        }
    }

    #[test]
    fn concurrent_requests_share_one_fetch() {
        let (cache, fetches, barrier) = (
            TokenCache::new("registry.example".to_owned()),
            AtomicUsize::new(0),
            Barrier::new(8),
        );
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    barrier.wait();
                    let token = cache.get(&key("a"), None, None, || {
                        fetches.fetch_add(1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(100));
                        issued("t")
                    });
                    assert_eq!(&*token.unwrap(), "t");
                });
            }
        });
        assert_eq!(fetches.load(Ordering::SeqCst), 1);
        assert_eq!(cache.cached("a", Instant::now()).as_deref(), Some("t"));
        assert_eq!(cache.cached("b", Instant::now()), None);
        let later = Instant::now() + Duration::from_secs(271);
        assert_eq!(
            cache.cached("a", later),
            None,
            "half a minute before it expires"
        );
    }

    #[test]
    fn a_rejected_token_is_fetched_again_once() {
        let cache = TokenCache::new("registry.example".to_owned());
        cache.get(&key("a"), None, None, || issued("old")).unwrap();
        let new = cache.get(&key("a"), Some("old"), None, || issued("new"));
        assert_eq!(&*new.unwrap(), "new");
        // Another thread that was refused with the old one finds the new one.
        let found = cache.get(&key("a"), Some("old"), None, || issued("never"));
        assert_eq!(&*found.unwrap(), "new");
        cache.forget("new");
        assert_eq!(cache.cached("a", Instant::now()), None);
    }

    #[test]
    fn a_failed_or_panicking_fetch_leaves_nobody_waiting() {
        let cache = Arc::new(TokenCache::new("registry.example".to_owned()));
        let fault = || Err(Fault::new(FaultKind::Denied, "no"));
        let failed = cache.get(&key("a"), None, None, fault).unwrap_err();
        assert_eq!(failed.kind, FaultKind::Denied);
        let dead = std::thread::spawn({
            let cache = Arc::clone(&cache);
            move || {
                cache
                    .get(&key("a"), None, None, || panic!("dies"))
                    .map(|_| ())
            }
        });
        assert!(dead.join().is_err());
        assert_eq!(
            &*cache.get(&key("a"), None, None, || issued("t")).unwrap(),
            "t"
        );
    }

    #[test]
    fn who_waits_keeps_its_deadline() {
        let cache = Arc::new(TokenCache::new("registry.example".to_owned()));
        let (started, release) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let slow = std::thread::spawn({
            let (cache, started, release) = (
                Arc::clone(&cache),
                Arc::clone(&started),
                Arc::clone(&release),
            );
            move || {
                cache.get(&key("a"), None, None, || {
                    started.wait();
                    release.wait();
                    issued("t")
                })
            }
        });
        started.wait();
        let soon = Some(Deadline::after(Duration::from_millis(50)));
        let waited = cache.get(&key("a"), None, soon, || issued("never"));
        assert_eq!(waited.unwrap_err().kind, FaultKind::TimedOut);
        release.wait();
        assert!(slow.join().unwrap().is_ok());
    }

    #[test]
    fn tokens_are_bounded_in_number() {
        let cache = TokenCache::new("registry.example".to_owned());
        for n in 0..MOST_TOKENS + 50 {
            cache
                .get(&key(&n.to_string()), None, None, || issued("t"))
                .unwrap();
        }
        assert!(cache.slots().tokens.len() <= MOST_TOKENS);
        let last = (MOST_TOKENS + 49).to_string();
        assert!(cache.cached(&last, Instant::now()).is_some());
    }
}
