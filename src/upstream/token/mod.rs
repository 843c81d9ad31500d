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

use parking_lot::Mutex;

use super::fault::{Fault, FaultKind};
use super::transport::Deadline;
use crate::shared_call::{SharedCall, SharedCalls};

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
    tokens: Mutex<Tokens>,
    fetches: SharedCalls<TokenKey, Result<Arc<str>, Fault>>,
}

#[derive(Default)]
struct Tokens {
    kept: HashMap<TokenKey, KeptToken>,
    /// The realm and service that were named last: those of the next request, most likely.
    last: Option<(String, Option<String>)>,
}

struct KeptToken {
    token: Arc<str>,
    until: Instant,
}

impl TokenCache {
    /// An empty cache for the upstream of this name.
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            tokens: Mutex::default(),
            fetches: SharedCalls::new(),
        }
    }

    /// A token for `scope` that is good at `now`, for a request that has not been challenged yet.
    pub(super) fn cached(&self, scope: &str, now: Instant) -> Option<Arc<str>> {
        let tokens = self.tokens.lock();
        let (realm, service) = tokens.last.clone()?;
        let key = TokenKey {
            realm,
            service,
            scope: scope.to_owned(),
        };
        tokens.good(&key, now)
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
        self.tokens.lock().last = Some((key.realm.clone(), key.service.clone()));
        let kept = || {
            let kept = self.tokens.lock().good(key, Instant::now());
            kept.filter(|token| rejected != Some(token))
        };
        if let Some(token) = kept() {
            return Ok(token);
        }
        let name = &self.name;
        let broken_off = format!("fetching a token of {name} was broken off");
        let broken_off = Err(Fault::new(FaultKind::Unreachable, broken_off));
        match self.fetches.join_or_start(key.clone(), broken_off) {
            SharedCall::Joined(fetch) => {
                // Whoever fetches has timeouts of its own, so that waiting without a deadline ends, too.
                let patience = deadline.map_or(Duration::from_secs(3600), Deadline::remaining);
                fetch.wait(patience).unwrap_or_else(|| {
                    let late = format!("{name} issued no token in time");
                    Err(Fault::new(FaultKind::TimedOut, late))
                })
            }
            SharedCall::Started(call) => {
                // Another fetch may have ended since the first look.
                let token = kept().map_or_else(|| Ok(self.keep(key, fetch()?)), Ok);
                call.finish(token.clone());
                token
            }
        }
    }

    fn keep(&self, key: &TokenKey, issued: Issued) -> Arc<str> {
        let token: Arc<str> = issued.token.into();
        // Shortly before it expires: a sixth of its life, at most half a minute.
        let margin = Duration::from_secs(issued.life.as_secs() / 6).min(Duration::from_secs(30));
        let kept = KeptToken {
            token: Arc::clone(&token),
            until: crate::time::deadline(issued.life.saturating_sub(margin)),
        };
        let mut tokens = self.tokens.lock();
        tokens.make_room();
        tokens.kept.insert(key.clone(), kept);
        token
    }

    /// Forgets a token that was refused although it was new.
    pub(super) fn forget(&self, token: &str) {
        let kept = &mut self.tokens.lock().kept;
        kept.retain(|_, kept| *kept.token != *token);
    }
}

impl Tokens {
    fn good(&self, key: &TokenKey, now: Instant) -> Option<Arc<str>> {
        let kept = self.kept.get(key).filter(|kept| now < kept.until)?;
        Some(Arc::clone(&kept.token))
    }

    fn make_room(&mut self) {
        if self.kept.len() < MOST_TOKENS {
            return;
        }
        let now = Instant::now();
        self.kept.retain(|_, kept| now < kept.until);
        while self.kept.len() >= MOST_TOKENS {
            let first = self.kept.iter().min_by_key(|(_, kept)| kept.until);
            let Some(first) = first.map(|(key, _)| key.clone()) else {
                return;
            };
            self.kept.remove(&first);
        }
    }
}
