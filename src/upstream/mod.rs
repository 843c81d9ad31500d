//! Remote registries: the only place that knows ureq. Challenge dance, timeouts, retries, breaker, rate limit.
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::oci::{Digest, MediaType, Reference, RegistryHost, RepositoryName};
use crate::time::Timestamp;

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
    /// A PEM file with further roots.
    pub ca: Option<PathBuf>,
    /// Whether it may resolve to loopback, link-local or private addresses.
    pub allow_private_addresses: bool,
    /// Timeouts and tries.
    pub patience: Patience,
}

/// A username and a password; `Debug` shows neither.
#[derive(Clone)]
pub struct Credentials {
    pub username: String,
    pub password: String,
}

/// Timeouts and retries.
#[derive(Debug, Clone)]
pub struct Patience {
    /// To connect, TLS handshake included. Default 5 s.
    pub connect: Duration,
    /// Silence between two reads, and before the first byte of an answer. Default 30 s.
    pub silence: Duration,
    /// Tries for what is transient. Default 3.
    pub tries: u32,
    /// Pause between two tries, with jitter, doubling from the first to the second. Default 0.2 to 2 s.
    pub pause: (Duration, Duration),
}

/// Why an upstream gave no usable answer.
#[derive(Debug, Clone)]
pub struct Fault {
    pub kind: FaultKind,
    /// A sentence that names the upstream: "docker.io did not answer within 2 s".
    pub message: String,
}

/// The kinds of [`Fault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The box is offline on purpose; nothing was sent.
    Offline,
    /// The breaker is open; nothing was sent.
    BreakerOpen { retry_after: Duration },
    /// DNS, connect, TLS, reset.
    Unreachable,
    /// No answer, or silence, for too long (also a 408 or 504 of the upstream).
    TimedOut,
    /// 404.
    NotFound,
    /// 401 after the dance, or 403.
    Denied,
    /// 429.
    RateLimited { retry_after: Duration },
    /// Another 5xx.
    ServerError { status: u16 },
    /// HEAD is not supported here (405): ask with GET.
    MethodNotAllowed,
    /// An answer that is not one: redirect loop, forbidden redirect, wrong type, unexpected status,
    /// wrong length, wrong digest.
    Protocol,
}

impl From<Fault> for Error {
    fn from(_fault: Fault) -> Self {
        todo!()
    }
}

/// What HEAD of a manifest says.
#[derive(Debug, Clone)]
pub struct ManifestHead {
    /// `Docker-Content-Digest`, where it was sent and well-formed.
    pub digest: Option<Digest>,
    pub media_type: Option<MediaType>,
    pub size: Option<u64>,
}

/// A manifest as it came, not yet checked against anything.
#[derive(Debug, Clone)]
pub struct FetchedManifest {
    pub bytes: Vec<u8>,
    /// `Content-Type` as sent.
    pub content_type: String,
    /// `Docker-Content-Digest`, if it was sent and well-formed.
    pub digest: Option<Digest>,
}

/// What HEAD of a blob says.
#[derive(Debug, Clone)]
pub struct BlobHead {
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
    /// The bytes; fails with the io error on reset, silence or early end (never a silent early end).
    pub reader: Box<dyn Read + Send>,
}

/// A JSON answer of `tags/list` or `referrers`, as it came.
#[derive(Debug, Clone)]
pub struct Listing {
    pub body: Vec<u8>,
    pub content_type: String,
    /// The query of the next page from `Link: <…>; rel="next"`.
    pub next: Option<String>,
    /// `OCI-Filters-Applied`.
    pub filters_applied: Option<String>,
}

/// What `upstream status` shows.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Status {
    pub name: String,
    pub url: String,
    /// `closed`, `open`, `half-open`, `offline`.
    pub breaker: &'static str,
    pub failures_in_a_row: u32,
    pub last_failure: Option<String>,
    pub last_failure_at: Option<Timestamp>,
    pub last_success_at: Option<Timestamp>,
    pub rate_limit: Option<RateLimit>,
}

/// Docker Hub's `ratelimit-*` headers.
#[derive(Debug, Clone, serde::Serialize)]
pub struct RateLimit {
    pub limit: u64,
    pub remaining: u64,
    pub window_seconds: u64,
    /// `docker-ratelimit-source`: the address or account that is counted.
    pub source: Option<String>,
    pub read_at: Timestamp,
}

/// One remote registry.
pub struct Upstream {
    _private: (),
}

impl Upstream {
    /// Makes the client; sends nothing, resolves nothing.
    ///
    /// # Errors
    /// `Config` for a URL or CA file that cannot be used.
    pub fn new(_settings: Settings, _offline: Arc<AtomicBool>) -> Result<Self> {
        todo!()
    }
    pub fn name(&self) -> &RegistryHost {
        todo!()
    }
    /// A fingerprint of URL and credentials: what is cached belongs to it. Stable over restarts, tells no secret.
    pub fn fingerprint(&self) -> &str {
        todo!()
    }
    /// HEAD of a manifest, within `deadline` in all (dance included), without retries.
    pub fn head_manifest(
        &self,
        _repository: &RepositoryName,
        _reference: &Reference,
        _deadline: Duration,
    ) -> Result<ManifestHead, Fault> {
        todo!()
    }
    /// GET of a manifest, read to at most `oci::MAX_MANIFEST_SIZE`. Retries.
    pub fn get_manifest(
        &self,
        _repository: &RepositoryName,
        _reference: &Reference,
    ) -> Result<FetchedManifest, Fault> {
        todo!()
    }
    /// HEAD of a blob. Retries.
    pub fn head_blob(
        &self,
        _repository: &RepositoryName,
        _digest: &Digest,
    ) -> Result<BlobHead, Fault> {
        todo!()
    }
    /// GET of a blob from byte `from` on (`Range`, with `If-Range: etag` where given). Retries until the head is there.
    pub fn get_blob(
        &self,
        _repository: &RepositoryName,
        _digest: &Digest,
        _from: u64,
        _etag: Option<&str>,
    ) -> Result<BlobStream, Fault> {
        todo!()
    }
    /// `GET /v2/NAME/tags/list`.
    pub fn tags_list(
        &self,
        _repository: &RepositoryName,
        _n: Option<u32>,
        _last: Option<&str>,
    ) -> Result<Listing, Fault> {
        todo!()
    }
    /// `GET /v2/NAME/referrers/DIGEST`. `Fault::NotFound` where the upstream has no such API: the caller reads the fallback tag.
    pub fn referrers(
        &self,
        _repository: &RepositoryName,
        _digest: &Digest,
        _artifact_type: Option<&str>,
    ) -> Result<Listing, Fault> {
        todo!()
    }
    pub fn status(&self) -> Status {
        todo!()
    }
}
