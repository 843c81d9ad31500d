//! The dependency proxy: fetches from an upstream once, keeps, and serves from then on, also while the
//! upstream is away.
//!
//! - `manifests`: by tag and digest, after `manifest_check`; `tags` decides whether a kept tag may still be served as it is.
//! - `blobs`: kept ones, and those that are on their way; `flight` is one blob on its way, `fetch` what
//!   moves its bytes from the upstream into the staged file.
//! - `pass_through`: a blob that the disk has no room for.
//! - `listings`: tags and referrers.
//! - `figures`: what is counted, for whoever watches.
//! - `upstreams`: which upstream a path means.
//! - `shared_call`: one call to an upstream for all who wait for its answer.
//!
//! Every public method takes a [`Grant`]: who may not fill leaves nothing behind. Whether anything that is
//! not kept is fetched for such a caller is the group's setting: `read_only`.

mod blobs;
mod failed;
mod fetch;
mod figures;
mod flight;
mod listings;
mod manifest_check;
mod manifests;
mod pass_through;
mod purge;
mod read_only;
mod shared_call;
mod tags;
mod upstreams;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

pub use blobs::{BlobAnswer, BlobContent};
pub use figures::{Figures, UpstreamFigures};
pub use listings::{ListPage, ListingAnswer};
pub use manifests::ManifestAnswer;
pub use purge::PurgeReport;
pub use tags::ManifestSummary;
pub use upstreams::{UpstreamClient, UpstreamState, Upstreams, keyed, settings};

use crate::auth::Grant;
use crate::error::Result;
use crate::oci::{Digest, MediaType, Reference, RegistryHost, RepositoryName};
use crate::store::{RepositoryId, Store};
use crate::upstream::{Fault, FaultKind, ManifestHead, Upstream};
use failed::upstream_error;
use figures::Counters;
use flight::Flights;
use manifests::ManifestCall;
use shared_call::SharedCalls;

/// Manifests are kept in memory up to this many bytes.
const MANIFEST_MEMORY: u64 = 8 * 1024 * 1024;
/// How many "not found" answers are remembered.
const NEGATIVE_ENTRIES: usize = 10_000;

/// How many blobs are remembered that the disk had no room for.
const NO_ROOM_ENTRIES: usize = 1_000;

/// How fresh is fresh.
#[derive(Debug, Clone)]
pub struct Freshness {
    /// How long a tag is served without asking.
    pub tag_ttl: Duration,
    /// How long to wait for the upstream's word on a kept tag.
    pub revalidate_timeout: Duration,
    /// How long "not found" is believed.
    pub negative_ttl: Duration,
}

/// Where an answer came from: `X-Cache`, and the same word in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheWord {
    /// From the cache, without asking.
    Hit,
    /// From the cache, after the upstream confirmed it.
    Revalidated,
    /// From the cache, though the upstream did not answer or says that it is gone.
    Stale,
    /// Fetched for this request, or joined to a fetch in progress.
    Miss,
    /// Passed through and not kept.
    Bypass,
}

impl CacheWord {
    /// The word as it stands in `X-Cache`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Revalidated => "revalidated",
            Self::Stale => "stale",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
        }
    }

    /// `miss` where the answer is kept, `bypass` where it is not.
    fn fetched(grant: &Grant) -> Self {
        if grant.may_fill() {
            Self::Miss
        } else {
            Self::Bypass
        }
    }
}

/// A repository of an upstream.
#[derive(Clone)]
pub struct Target {
    /// The upstream.
    pub upstream: Arc<Upstream>,
    /// The repository's name there, `library/` included.
    pub repository: RepositoryName,
    origin: OriginKey,
}

impl Target {
    /// What fetches and calls in progress are told apart by: upstream, credentials, repository.
    fn key(&self) -> TargetKey {
        (self.origin.clone(), self.repository.clone())
    }

    /// `HOST/NAME`, for people.
    fn shown(&self) -> String {
        format!("{}/{}", self.upstream.name(), self.repository)
    }
}

/// An upstream with its credentials, by name and fingerprint. A key and no row: a row is made only on the way
/// to keep something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct OriginKey(Arc<(RegistryHost, String)>);

impl OriginKey {
    fn of(upstream: &Upstream) -> Self {
        let fingerprint = upstream.fingerprint().to_owned();
        Self(Arc::new((upstream.name().clone(), fingerprint)))
    }

    fn upstream(&self) -> &RegistryHost {
        &self.0.0
    }

    fn fingerprint(&self) -> &str {
        &self.0.1
    }
}

type TargetKey = (OriginKey, RepositoryName);
type HeadCalls = SharedCalls<ReferenceKey, Result<ManifestHead, Fault>>;
type ReferenceKey = (OriginKey, RepositoryName, Reference);

/// The dependency proxy.
pub struct Proxy {
    store: Arc<Store>,
    upstreams: Upstreams,
    freshness: Freshness,
    flights: Arc<Flights>,
    manifest_calls: SharedCalls<ReferenceKey, ManifestCall>,
    /// Whether kept tags moved: in haste.
    head_calls: HeadCalls,
    /// Of what is not kept: with patience.
    cold_head_calls: HeadCalls,
    manifest_bytes: Cache<Digest, Arc<[u8]>, ByLength>,
    not_found: Cache<ReferenceKey, (Instant, Fault)>,
    /// Blobs that the disk had no room for, and when.
    no_room: Cache<Digest, Instant>,
    stopping: AtomicBool,
    counters: Arc<Counters>,
}

/// Weighs kept manifests by their bytes.
#[derive(Clone)]
struct ByLength;

impl quick_cache::Weighter<Digest, Arc<[u8]>> for ByLength {
    fn weight(&self, _digest: &Digest, bytes: &Arc<[u8]>) -> u64 {
        bytes.len() as u64 + 128
    }
}

impl Proxy {
    /// A proxy over these upstreams. Asks nobody.
    pub fn new(store: Arc<Store>, upstreams: Upstreams, freshness: Freshness) -> Arc<Self> {
        let counters = Arc::<Counters>::default();
        Arc::new(Self {
            store,
            upstreams,
            freshness,
            flights: Arc::new(Flights::new(Arc::clone(&counters))),
            counters,
            manifest_calls: SharedCalls::new(),
            head_calls: SharedCalls::new(),
            cold_head_calls: SharedCalls::new(),
            manifest_bytes: Cache::with_weighter(1_000, MANIFEST_MEMORY, ByLength),
            not_found: Cache::new(NEGATIVE_ENTRIES),
            no_room: Cache::new(NO_ROOM_ENTRIES),
            stopping: AtomicBool::new(false),
        })
    }

    /// The upstreams.
    pub fn upstreams(&self) -> &Upstreams {
        &self.upstreams
    }

    /// The repository that `image` means on `host` (`None`: the default upstream) in a path of the grant's
    /// group. A name without a slash gets `library/` on Docker Hub.
    ///
    /// # Errors
    /// `NameUnknown` for a host that is not configured: fetches go to configured upstreams only.
    /// `Unavailable` for an upstream that cannot be used as it was added.
    pub fn target(
        &self,
        grant: &Grant,
        host: Option<&RegistryHost>,
        image: &RepositoryName,
    ) -> Result<Target> {
        let upstream = self.upstreams.resolve(grant.group(), host)?;
        let repository = if upstream.name().as_str() == "docker.io" {
            image.with_library()
        } else {
            image.clone()
        };
        Ok(Target {
            origin: OriginKey::of(&upstream),
            upstream,
            repository,
        })
    }

    /// The row of the repository, if anything of it was ever kept.
    fn repository_of(&self, target: &Target) -> Result<Option<RepositoryId>> {
        let (cache, origin) = (&self.store.cache, &target.origin);
        match cache.find_origin(origin.upstream(), origin.fingerprint())? {
            Some(origin) => cache.find_repository(origin, &target.repository),
            None => Ok(None),
        }
    }

    /// The row of the repository, made if need be: only on the way to keep something.
    fn repository_to_fill(&self, target: &Target) -> Result<RepositoryId> {
        let (cache, origin) = (&self.store.cache, &target.origin);
        let origin = cache.origin(origin.upstream(), origin.fingerprint())?;
        cache.repository(origin, &target.repository)
    }

    /// Removes what was found to be damaged while it was to be served. Where that fails, on a full disk for
    /// example, it is found again next time: it must not cost anybody the image.
    fn remove_damaged(&self, digest: &Digest, seen: Option<&std::fs::File>) {
        if let Err(error) = self.store.remove_damaged(digest, seen) {
            tracing::error!(blob = %digest, "cannot remove what is damaged: {error}");
        }
    }

    /// Ends the fetches in progress; what has arrived of fills stays staged, to be resumed.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.flights.wait_until_empty(Duration::from_secs(5));
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// The upstream's recent word that it does not have this, if it may still be believed.
    fn recent_absence(&self, key: &ReferenceKey) -> Option<Fault> {
        let (at, fault) = self.not_found.get(key)?;
        (at.elapsed() < self.freshness.negative_ttl).then_some(fault)
    }

    /// Remembers that the upstream does not have this, or denies it.
    fn note_absence(&self, key: ReferenceKey, fault: &Fault) {
        if matches!(fault.kind, FaultKind::NotFound | FaultKind::Denied) {
            self.not_found.insert(key, (Instant::now(), fault.clone()));
        }
    }
}

/// A media type as a client's `Accept` has it.
///
/// An absent `Accept` takes anything (RFC 9110, 12.5.1).
pub fn accepts(accept: &[&str], media_type: MediaType) -> bool {
    let mut ranges = accept
        .iter()
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|range| !range.is_empty());
    let mut none = true;
    let accepted = ranges.any(|range| {
        none = false;
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let refused = parts.any(|part| {
            part.strip_prefix("q=")
                .is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q == 0.0))
        });
        let matches = matches!(name, "*/*" | "application/*")
            || name.eq_ignore_ascii_case(media_type.as_str());
        matches && !refused
    });
    accepted || none
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_is_read_as_http_has_it() {
        let (manifest, index) = (
            MediaType::OciManifest.as_str(),
            MediaType::OciIndex.as_str(),
        );
        let both = format!("{manifest}, {index}");
        let table: &[(&[&str], bool)] = &[
            (&[], true),
            (&[""], true),
            (&["*/*"], true),
            (&["application/*;q=0.5"], true),
            (&[manifest], false),
            (&[&both], true),
            (&[manifest, index], true),
            (&[&format!("{index};q=0")], false),
            (&["text/html"], false),
        ];
        for (accept, expected) in table {
            assert_eq!(
                accepts(accept, MediaType::OciIndex),
                *expected,
                "{accept:?}"
            );
        }
    }
}
