//! Remote registries: the only place that knows ureq. Challenge dance, timeouts, retries, breaker, rate
//! limit.
//!
//! It fetches and tells what came; it keeps nothing but tokens, checks no digest, and knows no store.
//! Every call is safe from many threads at once, ends by its timeouts, and fails with a [`Fault`] whose
//! sentence names the upstream and holds no secret.
//!
//! | file | owns |
//! |---|---|
//! | `manifests` `blobs` `listings` | a request each of the distribution-spec |
//! | `probe` | whether it can be used as it is configured |
//! | `retry` | tries, pauses |
//! | `exchange` `login` | one try: redirects and statuses; the answer to challenges |
//! | `token` `challenge` | the dance's two halves: what is kept, what was asked |
//! | `destination` `url` | where requests and credentials may go |
//! | `transport` `agent` `tls` `resolver` `proxy` | ureq: errors, timeouts, certificates, addresses, proxies |
//! | `health` `breakers` `breaker` `rate_limit` `counts` | what is known of the upstream |
//! | `look` | one request to any server, for the check on the machine of a client |
//! | `post` | one post to any server, for webhooks |
//! | `settings` `fingerprint` `answers` | what it is told, what it is known by, what it gives |

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, Kind, Result};
use crate::oci::RegistryHost;
use crate::time::Timestamp;

mod agent;
mod answers;
mod blobs;
mod breaker;
mod breakers;
mod challenge;
mod counts;
mod destination;
mod exchange;
mod fault;
mod fingerprint;
mod health;
mod listings;
mod login;
mod look;
mod manifests;
mod post;
mod probe;
mod proxy;
mod rate_limit;
mod resolver;
mod retry;
mod settings;
mod tls;
mod token;
mod transport;
mod url;

pub use answers::{BlobHead, BlobStream, FetchedManifest, Listing, ManifestHead};
pub use counts::Counts;
pub use fault::{Fault, FaultKind};
pub use look::{Look, Seen, Unseen, look};
pub use post::{PATIENCE, Poster, Unsent, check_url};
pub use proxy::Proxies;
pub use rate_limit::RateLimit;
pub use retry::random_fraction;
pub use settings::{Ca, Credentials, Settings, Timeouts};

use fingerprint::{fingerprint, keyed};
use health::Health;
use token::TokenCache;
use transport::Transport;
use url::Url;

crate::words::words! {
    "kebab-case"
    /// What is done with requests to an upstream.
    #[derive(strum::VariantArray)]
    pub enum BreakerState {
        /// It is asked.
        Closed,
        /// Some or all kept tags are served without asking, all else is asked for.
        Slow,
        HalfOpen,
        Open,
        /// It answers, but refuses the username and password that this box has for it.
        CredentialsRefused,
        /// No connection leaves the box.
        Offline,
        /// It cannot be used as it was added.
        Unusable,
    }
}

/// What `upstream status` shows.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Status {
    /// As in [`Settings::name`].
    pub name: String,
    /// As in [`Settings::url`].
    pub url: String,
    pub breaker: BreakerState,
    /// Failures that count against the upstream since the last whole answer.
    pub failures_in_a_row: u32,
    /// The last failure's sentence.
    pub last_failure: Option<String>,
    /// What to do about it, where that is known.
    pub last_failure_remedy: Option<String>,
    pub last_failure_at: Option<Timestamp>,
    /// When it answered last, be it with a 404.
    pub last_success_at: Option<Timestamp>,
    /// What Docker Hub said last.
    pub rate_limit: Option<RateLimit>,
    /// How often, since the start, it sent something else than it was asked for.
    pub lies: u64,
}

pub struct Upstream {
    name: RegistryHost,
    /// Where `/v2/` is.
    home: Url,
    /// What stands before the name of each repository, with a slash behind it: where one host has several registries, as a
    /// mirror and a proxy project do.
    prefix: String,
    /// As it was configured.
    url: String,
    auth_realm: Option<Url>,
    credentials: Option<Credentials>,
    timeouts: Timeouts,
    fingerprint: String,
    transport: Arc<Transport>,
    tokens: TokenCache,
    /// Whether it asked for Basic before: the next request brings it along.
    wants_basic: AtomicBool,
    health: Arc<Health>,
    rate_limit: Mutex<Option<RateLimit>>,
    lies: AtomicU64,
    counts: Arc<Counts>,
}

impl Upstream {
    /// Makes the client, with the proxies of the environment; sends nothing, resolves nothing.
    ///
    /// # Errors
    /// `Config` for a URL, realm, credentials, CA file or proxy that cannot be used.
    pub fn new(settings: Settings, offline: Arc<AtomicBool>) -> Result<Self> {
        Self::with_proxies(settings, offline, Proxies::from_environment()?)
    }

    /// As [`Upstream::new`], with given proxies.
    ///
    /// # Errors
    /// As there.
    pub fn with_proxies(
        settings: Settings,
        offline: Arc<AtomicBool>,
        proxies: Proxies,
    ) -> Result<Self> {
        let wrong = |what: &str, why: &str| {
            Error::new(
                Kind::Config,
                format!("the {what} of upstream {} {why}", settings.name),
            )
        };
        let home = Url::parse(&settings.url)
            .map_err(|why| wrong("url", why).remedy("write https://HOST or https://HOST:PORT"))?;
        if home.query().is_some() {
            return Err(wrong("url", "has a query").remedy("write https://HOST"));
        }
        let fingerprint = fingerprint(&home, &settings);
        let (home, prefix) = home.before_v2().map_err(|why| {
            wrong("url", why).remedy(
                "write https://HOST, or https://HOST/v2/PATH where all repositories lie below PATH",
            )
        })?;
        let auth_realm = settings
            .auth_realm
            .as_deref()
            .map(Url::parse)
            .transpose()
            .map_err(|why| wrong("auth_realm", why).remedy("write https://HOST/PATH"))?;
        if home.is_https() && auth_realm.as_ref().is_some_and(|realm| !realm.is_https()) {
            return Err(wrong("auth_realm", "is not https, but the upstream is")
                .remedy("write https://HOST/PATH"));
        }
        if let Some(Credentials { username, password }) = &settings.credentials
            && (username.contains(':')
                || format!("{username}{password}").contains(char::is_control))
        {
            return Err(wrong("username", "or password cannot be sent")
                .remedy("use no colon in the username, and no control characters"));
        }
        Ok(Self {
            fingerprint,
            transport: Arc::new(Transport::new(&settings, home.clone(), proxies, offline)?),
            health: Health::new(settings.name.to_string()),
            home,
            prefix,
            url: settings.url,
            auth_realm,
            credentials: settings.credentials,
            timeouts: settings.timeouts,
            tokens: TokenCache::new(settings.name.to_string()),
            name: settings.name,
            wants_basic: AtomicBool::new(false),
            rate_limit: Mutex::new(None),
            lies: AtomicU64::new(0),
            counts: Arc::default(),
        })
    }

    /// With a fingerprint that is keyed, where it has credentials: without the key, nobody can try
    /// passwords against it.
    #[must_use]
    pub fn keyed(mut self, key: &[u8; 32]) -> Self {
        if self.credentials.is_some() {
            self.fingerprint = keyed(key, &self.fingerprint);
        }
        self
    }

    /// The same, counted together with whatever else counts in `counts`.
    #[must_use]
    pub fn counted_in(mut self, counts: Arc<Counts>) -> Self {
        self.counts = counts;
        self
    }

    /// How often it was asked, and how that ended.
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// Whether it is asked with a username and password.
    pub fn has_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    /// The word in paths and in `ns=`.
    pub fn name(&self) -> &RegistryHost {
        &self.name
    }

    /// A fingerprint of URL, credentials and what else decides who is reached: what is cached belongs to
    /// it. Stable over restarts; 32 hex digits. Where there are credentials, it must be [`Self::keyed`]
    /// before it is written anywhere.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// What is known of it; asks nobody.
    pub fn status(&self) -> Status {
        let report = self.health.report();
        let (last_failure, last_failure_at) = report.last_failure.unzip();
        let (last_failure, last_failure_remedy) = last_failure
            .map(|fault| (fault.message, fault.remedy))
            .unzip();
        Status {
            name: self.name.to_string(),
            url: self.url.trim_end_matches('/').to_owned(),
            breaker: if self.transport.is_offline() {
                BreakerState::Offline
            } else {
                report.breaker
            },
            failures_in_a_row: report.failures_in_a_row,
            last_failure,
            last_failure_remedy: last_failure_remedy.flatten(),
            last_failure_at,
            last_success_at: report.last_success,
            rate_limit: self.rate_limit().clone(),
            lies: self.lies.load(Ordering::Relaxed),
        }
    }

    /// Counts and logs that it sent something else than it was asked for. `what` is a sentence that says
    /// what of, and how that was noticed.
    pub fn note_lie(&self, what: &str) {
        self.lies.fetch_add(1, Ordering::Relaxed);
        self.counts.note_lie();
        tracing::error!(upstream = %self.name, "nothing of it was kept: {what}");
    }

    /// Why nothing can be had from it now, by what is known without asking: the box is offline, or the breaker is open.
    /// Where it has just not answered a question (`unanswered`), it is enough that there was no connection, or that it
    /// refuses credentials. Not where the next question may be answered: otherwise it might never be asked.
    pub fn gives_nothing(&self, unanswered: bool) -> Option<String> {
        match self.transport.check_offline() {
            Err(offline) => Some(offline.message),
            Ok(()) => self.health.gives_nothing(unanswered),
        }
    }

    fn note_rate_limit(&self, limit: RateLimit) {
        *self.rate_limit() = Some(limit);
    }

    fn rate_limit(&self) -> parking_lot::MutexGuard<'_, Option<RateLimit>> {
        self.rate_limit.lock()
    }
}
