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
//! | `retry` | tries, pauses |
//! | `exchange` | one try: redirects, challenges, statuses |
//! | `token` `challenge` | the dance's two halves: what is kept, what was asked |
//! | `destination` `url` | where requests and credentials may go |
//! | `transport` `agent` `resolver` `proxy` | ureq: errors, timeouts, roots, addresses, proxies |
//! | `health` `breaker` `rate_limit` `counts` | what is known of the upstream |

use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::oci::{Digest, MediaType, RegistryHost};
use crate::time::Timestamp;

mod agent;
mod blobs;
mod breaker;
mod challenge;
mod counts;
mod destination;
mod exchange;
mod fault;
mod health;
mod listings;
mod manifests;
mod proxy;
mod rate_limit;
mod resolver;
mod retry;
mod token;
mod transport;
mod url;

pub use counts::Counts;
pub use fault::{Fault, FaultKind};
pub use proxy::Proxies;
pub use rate_limit::RateLimit;

use health::Health;
use token::TokenCache;
use transport::Transport;
use url::Url;

/// How one upstream is reached.
#[derive(Clone)]
pub struct Settings {
    /// The word in paths and in `ns=`: `docker.io`.
    pub name: RegistryHost,
    /// `https://registry-1.docker.io`; http is allowed where it was configured so.
    pub url: String,
    /// Username and password.
    pub credentials: Option<Credentials>,
    /// A token realm (URL) that may get the credentials although it is on another host.
    pub auth_realm: Option<String>,
    /// Further roots.
    pub ca: Option<Ca>,
    /// Whether it may resolve to loopback, link-local or private addresses.
    pub allow_private_addresses: bool,
    /// Timeouts and tries.
    pub patience: Patience,
}

/// Further roots, to be trusted beside the system's.
#[derive(Debug, Clone)]
pub enum Ca {
    /// A PEM file.
    File(PathBuf),
    /// What stands in one.
    Pem(String),
}

/// A username and a password; `Debug` shows neither.
#[derive(Clone)]
pub struct Credentials {
    /// Without a colon, which Basic cannot carry.
    pub username: String,
    /// A password or a token in its place.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// Timeouts and retries.
#[derive(Debug, Clone)]
pub struct Patience {
    /// To connect, TLS handshake included; the same again before it, to resolve the name. Default 5 s.
    pub connect: Duration,
    /// Silence between two reads, and before the head of an answer. Default 30 s. A small answer
    /// (manifest, token, list) has three times as long in all.
    pub silence: Duration,
    /// Tries for what is transient; none is begun after 20 s. Default 3.
    pub tries: u32,
    /// Pause between two tries, with jitter, doubling from the first to the second. Default 0.2 to 2 s.
    pub pause: (Duration, Duration),
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            silence: Duration::from_secs(30),
            tries: 3,
            pause: (Duration::from_millis(200), Duration::from_secs(2)),
        }
    }
}

/// What HEAD of a manifest says.
#[derive(Debug, Clone)]
pub struct ManifestHead {
    /// `Docker-Content-Digest`, where it was sent and well-formed.
    pub digest: Option<Digest>,
    /// `Content-Type`, where it is a manifest's.
    pub media_type: Option<MediaType>,
    /// `Content-Length`, in bytes.
    pub size: Option<u64>,
}

/// A manifest as it came, not yet checked against anything.
#[derive(Debug, Clone)]
pub struct FetchedManifest {
    /// At least one, at most `oci::MAX_MANIFEST_SIZE`.
    pub bytes: Vec<u8>,
    /// `Content-Type` as sent.
    pub content_type: String,
    /// `Docker-Content-Digest`, if it was sent and well-formed.
    pub digest: Option<Digest>,
}

/// What HEAD of a blob says.
#[derive(Debug, Clone)]
pub struct BlobHead {
    /// `Content-Length`, in bytes.
    pub size: Option<u64>,
}

/// A blob while it arrives.
pub struct BlobStream {
    /// The offset of the first byte that `reader` gives: as asked, or 0 where the upstream ignored Range.
    pub offset: u64,
    /// The whole blob's size, if the upstream said it.
    pub total: Option<u64>,
    /// For `If-Range`; only strong ones.
    pub etag: Option<String>,
    /// The bytes; fails with the io error on reset, silence or early end (never a silent early end). Its
    /// text is a sentence that names the upstream. Dropped early, it closes the connection.
    pub reader: Box<dyn Read + Send>,
}

impl std::fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobStream")
            .field("offset", &self.offset)
            .field("total", &self.total)
            .field("etag", &self.etag)
            .finish_non_exhaustive()
    }
}

/// A JSON answer of `tags/list` or `referrers`, as it came.
#[derive(Debug, Clone)]
pub struct Listing {
    /// At most 16 MiB.
    pub body: Vec<u8>,
    /// `Content-Type` as sent.
    pub content_type: String,
    /// The query of the next page from `Link: <…>; rel="next"`.
    pub next: Option<String>,
    /// `OCI-Filters-Applied`.
    pub filters_applied: Option<String>,
}

/// What `upstream status` shows.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Status {
    /// As in [`Settings::name`].
    pub name: String,
    /// As in [`Settings::url`].
    pub url: String,
    /// `closed`, `slow` (kept tags are served without asking, all else is asked for), `open`, `half-open`,
    /// `offline`.
    pub breaker: &'static str,
    /// Failures since the last whole answer.
    pub failures_in_a_row: u32,
    /// The last failure's sentence.
    pub last_failure: Option<String>,
    /// When that was.
    pub last_failure_at: Option<Timestamp>,
    /// When it answered last, be it with a 404.
    pub last_success_at: Option<Timestamp>,
    /// What Docker Hub said last.
    pub rate_limit: Option<RateLimit>,
    /// How often, since the start, it sent something else than it was asked for.
    pub lies: u64,
}

/// One remote registry.
pub struct Upstream {
    name: RegistryHost,
    home: Url,
    auth_realm: Option<Url>,
    credentials: Option<Credentials>,
    patience: Patience,
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
            fingerprint: fingerprint(&home, &settings),
            transport: Arc::new(Transport::new(&settings, home.clone(), proxies, offline)?),
            health: Health::new(settings.name.to_string()),
            home,
            auth_realm,
            credentials: settings.credentials,
            patience: settings.patience,
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
        Status {
            name: self.name.to_string(),
            url: self.home.to_string().trim_end_matches('/').to_owned(),
            breaker: if self.transport.is_offline() {
                "offline"
            } else {
                report.breaker
            },
            failures_in_a_row: report.failures_in_a_row,
            last_failure,
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

    fn note_rate_limit(&self, limit: RateLimit) {
        *self.rate_limit() = Some(limit);
    }

    fn rate_limit(&self) -> std::sync::MutexGuard<'_, Option<RateLimit>> {
        self.rate_limit
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// SHA-256 over the URL, the credentials, further roots and whether private addresses are out of reach, each
/// with its length before it, so that no two settings give the same text.
///
/// The last two stand in it only where they are not as the box's own upstreams have them by default.
fn fingerprint(home: &Url, settings: &Settings) -> String {
    let url = home.to_string();
    let mut parts = vec![url.trim_end_matches('/')];
    if let Some(credentials) = &settings.credentials {
        parts.extend([credentials.username.as_str(), credentials.password.as_str()]);
    }
    let path;
    // Three parts or more, so that they are never taken for credentials.
    match &settings.ca {
        Some(Ca::File(file)) => {
            path = file.to_string_lossy();
            parts.extend(["", "ca file", &path]);
        }
        Some(Ca::Pem(pem)) => parts.extend(["", "ca", pem.as_str()]),
        None => {}
    }
    if !settings.allow_private_addresses {
        parts.extend(["", "", "public addresses only"]);
    }
    let mut hasher = crate::oci::Hasher::new(crate::oci::Algorithm::Sha256);
    for part in parts {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finish().hex()[..32].to_owned()
}

/// HMAC-SHA256 (RFC 2104) of a fingerprint, as long as one.
fn keyed(key: &[u8; 32], fingerprint: &str) -> String {
    let pass = |pad: u8, message: &[u8]| {
        let mut block = [pad; 64];
        for (byte, key) in block.iter_mut().zip(key) {
            *byte ^= key;
        }
        let mut hasher = crate::oci::Hasher::new(crate::oci::Algorithm::Sha256);
        hasher.update(&block);
        hasher.update(message);
        hasher.finish()
    };
    let inner = pass(0x36, fingerprint.as_bytes());
    let inner: Vec<u8> = (0..32)
        .filter_map(|at| u8::from_str_radix(inner.hex().get(2 * at..2 * at + 2)?, 16).ok())
        .collect();
    pass(0x5c, &inner).hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(
        url: &str,
        credentials: Option<Credentials>,
        ca: Option<Ca>,
        allow_private_addresses: bool,
    ) -> String {
        let settings = Settings {
            name: RegistryHost::parse("a.example").unwrap(),
            url: url.to_owned(),
            credentials,
            auth_realm: None,
            ca,
            allow_private_addresses,
            patience: Patience::default(),
        };
        fingerprint(&Url::parse(url).unwrap(), &settings)
    }

    #[test]
    fn a_keyed_fingerprint_is_an_hmac() {
        // Counted with another program.
        assert_eq!(keyed(&[7; 32], "abc"), "127da4ced6a839b8f6118bc244684d26");
        assert_ne!(keyed(&[7; 32], "abc"), keyed(&[8; 32], "abc"));
    }

    #[test]
    fn fingerprints_tell_settings_apart_and_stay() {
        let print = |url: &str, credentials: Option<(&str, &str)>| {
            let credentials = credentials.map(|(username, password)| Credentials {
                username: username.to_owned(),
                password: password.to_owned(),
            });
            of(url, credentials, None, true)
        };
        let all = [
            print("https://a", None),
            print("http://a", None),
            print("https://a/b", None),
            print("https://a:8443", None),
            print("https://a", Some(("", ""))),
            print("https://a", Some(("u", "pw"))),
            print("https://a", Some(("up", "w"))),
            of("https://a", None, None, false),
            of("https://a", None, Some(Ca::Pem("x".to_owned())), true),
            of("https://a", None, Some(Ca::Pem("x".to_owned())), false),
            of("https://a", None, Some(Ca::File("x".into())), true),
        ];
        for (n, one) in all.iter().enumerate() {
            assert_eq!(one.len(), 32);
            assert!(!all[..n].contains(one), "{n}");
        }
        assert_eq!(print("https://A:443/", None), all[0]);
        // Written down: a change would orphan every cache.
        assert_eq!(all[0], "e42825ef49ebc1ded5b0f5d6b33fd8fc");
    }
}
