//! The dependency proxy: fetches from an upstream once, keeps, and serves from then on, also while the
//! upstream is away.
//!
//! - `manifests`: by tag and digest, after `manifest_check`; `tags` decides whether a kept tag may still be served as it is.
//! - `blobs`: kept ones, and those that are on their way; `shared_fetch` is one blob on its way, `fetch` what
//!   moves its bytes from the upstream into the staged file.
//! - `download`: bytes from an upstream, checked.
//! - `pass_through`: a blob that the disk has no room for; `disk_fallback`: one for which it gives out on the way.
//! - `again`: what was found damaged. `warm`: an image ahead of its first pull, whole.
//! - `listings`: tags and referrers.
//! - `figures`: what is counted, for whoever watches.
//! - `notes`: what is remembered for a while of what an upstream said.
//! - `upstreams`: which upstream a path means; `target`: that, and a repository there.
//!
//! Every public method takes a [`Grant`]: who may not fill leaves nothing behind. Whether anything that is
//! not kept is fetched for such a caller is the group's setting: `read_only`.

mod again;
mod blobs;
mod disk_fallback;
mod download;
mod failed;
mod fetch;
mod figures;
mod incomplete;
mod listings;
mod manifest_check;
mod manifests;
mod notes;
mod pass_through;
mod read_only;
mod shared_fetch;
mod tags;
mod target;
mod upstreams;
mod warm;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use quick_cache::sync::Cache;

pub use again::Again;
pub use blobs::{BlobAnswer, BlobContent};
pub use disk_fallback::BlobReader;
pub use figures::{Arriving, Counters, InFlight, UpstreamFigures};
pub use listings::{ListPage, ListingAnswer};
pub use manifests::ManifestAnswer;
pub use tags::ManifestSummary;
pub use target::Target;
pub use upstreams::{UpstreamClient, UpstreamState, Upstreams, client_of, keyed, settings};
pub use warm::{Warm, WarmEnd, Warmed, Watch};

use crate::auth::Grant;
use crate::error::Result;
use crate::oci::{Digest, Reference, RegistryHost, RepositoryName, Tag};
use crate::shared_call::SharedCalls;
use crate::store::{Blob, GroupId, RepositoryId, Store};
use crate::time::Timestamp;
use crate::upstream::{Fault, FaultKind, ManifestHead};
use failed::upstream_error;
use manifests::ManifestCall;
use notes::Notes;
use shared_fetch::SharedFetches;
use target::{OriginKey, TargetKey};

/// Manifests and short blobs are kept in memory up to this many bytes.
const SHORT_MEMORY: u64 = 8 * 1024 * 1024;
/// How many "not found" answers are remembered.
const NEGATIVE_ENTRIES: usize = 10_000;
/// How many blobs are remembered that the disk had no room for.
const NO_ROOM_ENTRIES: usize = 1_000;

/// How many HEADs of tags are remembered, until their clients go on.
const HEAD_ENTRIES: usize = 10_000;

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

impl Freshness {
    /// Whether what was confirmed then is served without asking. Not what was confirmed when the clock was
    /// ahead: that would be fresh until the clock gets there again.
    fn is_fresh(&self, confirmed_at: Timestamp, now: Timestamp) -> bool {
        confirmed_at <= now && now.since(confirmed_at) < self.tag_ttl
    }
}

/// Where an answer came from: `X-Cache`, and the same word in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
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
        self.into()
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

type HeadCalls = SharedCalls<ReferenceKey, Result<ManifestHead, Fault>>;
/// What manifests are asked for by: upstream with credentials, repository, tag or digest.
type ReferenceKey = (TargetKey, Reference);

pub struct Proxy {
    store: Arc<Store>,
    upstreams: Upstreams,
    freshness: Freshness,
    fetches: Arc<SharedFetches>,
    manifest_calls: SharedCalls<ReferenceKey, ManifestCall>,
    /// Whether kept tags moved, within `revalidate_timeout`.
    head_calls: HeadCalls,
    /// Of what is not kept: with patience.
    cold_head_calls: HeadCalls,
    /// Manifests and blobs of at most [`crate::spool::IN_MEMORY`], by digest alone: bytes that were hashed are the same
    /// wherever they came from. Whether a repository has them, and as which type, is read from its rows first.
    short: Cache<Digest, Arc<[u8]>, ByLength>,
    not_found: Notes<Reference, Fault>,
    /// Blobs that the disk had no room for.
    no_room: Notes<Digest, ()>,
    /// By which tag a manifest was asked for by HEAD.
    heads: Notes<Digest, (GroupId, Tag)>,
    /// Held while manifests are asked for with regard to what an upstream's rate limit leaves.
    budgeted: Mutex<()>,
    stopping: AtomicBool,
    counters: Arc<Counters>,
}

/// Weighs them by their bytes.
#[derive(Clone)]
struct ByLength;

impl quick_cache::Weighter<Digest, Arc<[u8]>> for ByLength {
    fn weight(&self, _digest: &Digest, bytes: &Arc<[u8]>) -> u64 {
        (bytes.len() as u64).saturating_add(128)
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
            fetches: Arc::new(SharedFetches::new(Arc::clone(&counters))),
            counters,
            manifest_calls: SharedCalls::new(),
            head_calls: SharedCalls::new(),
            cold_head_calls: SharedCalls::new(),
            short: Cache::with_weighter(1_000, SHORT_MEMORY, ByLength),
            not_found: Notes::new(NEGATIVE_ENTRIES),
            no_room: Notes::new(NO_ROOM_ENTRIES),
            heads: Notes::new(HEAD_ENTRIES),
            budgeted: Mutex::default(),
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
    fn remove_damaged(&self, digest: &Digest, seen: Option<&Blob>) {
        if let Err(error) = self.store.remove_damaged(digest, seen) {
            tracing::error!(blob = %digest, "cannot remove what is damaged: {error}");
        }
    }

    /// Ends the fetches in progress; what has arrived of fills stays staged, to be resumed.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.fetches.wait_until_empty(Duration::from_secs(5));
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// The upstream's recent word that it does not have this, if it may still be believed.
    fn recent_absence(&self, key: &ReferenceKey) -> Option<Fault> {
        self.not_found.recent(key, self.freshness.negative_ttl)
    }

    /// Remembers that the upstream does not have this, denies it, or refuses the box.
    fn note_absence(&self, key: ReferenceKey, fault: &Fault) {
        // Nor is an upstream asked again at once with a password that it has just refused.
        let is_meant = matches!(
            fault.kind,
            FaultKind::NotFound | FaultKind::Denied | FaultKind::CredentialsRefused
        );
        if is_meant {
            self.not_found.note(key, fault.clone());
        }
    }
}
