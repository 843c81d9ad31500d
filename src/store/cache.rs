//! `cache.sqlite`: what is cached, for whom, and since when. Can be rebuilt; `synchronous=NORMAL`.

use serde::Serialize;

use super::{GroupId, TokenId};
use crate::error::Result;
use crate::oci::{Digest, MediaType, RegistryHost, RepositoryName, Tag};
use crate::time::Timestamp;

/// An upstream with its credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OriginId(pub i64);
/// A repository of an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryId(pub i64);

/// A tag as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedTag {
    pub digest: Digest,
    /// When it was last fetched or confirmed.
    pub confirmed_at: Timestamp,
    /// Since when the upstream says 401, 403 or 404.
    pub gone_at: Option<Timestamp>,
}

/// A manifest that is kept and linked to the repository that it was asked for in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedManifest {
    pub digest: Digest,
    pub media_type: MediaType,
    pub size: u64,
    pub fetched_at: Timestamp,
}

/// A manifest to be kept; its file is in the blob directory already.
#[derive(Debug, Clone)]
pub struct NewManifest {
    pub digest: Digest,
    pub media_type: MediaType,
    pub size: u64,
    /// Child manifests and blobs, for eviction and statistics.
    pub references: Vec<(Digest, u64)>,
    pub subject: Option<Digest>,
    /// The tag that it was found under.
    pub tag: Option<Tag>,
    pub now: Timestamp,
}

/// Upstream lists that are kept for when it is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListingKind {
    Tags,
    Referrers,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptListing {
    pub body: Vec<u8>,
    pub content_type: String,
    pub next: Option<String>,
    pub filters_applied: Option<String>,
    pub fetched_at: Timestamp,
}

/// One pull, noted and written in batches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pull {
    pub group: GroupId,
    pub repository: RepositoryId,
    pub manifest: Digest,
    pub tag: Option<Tag>,
}

/// A line of `cache list`: an image is a tag, or a manifest pulled by digest alone.
#[derive(Debug, Clone, Serialize)]
pub struct CachedImage {
    pub upstream: String,
    pub repository: String,
    pub tag: Option<String>,
    pub digest: String,
    pub media_type: String,
    /// Bytes of manifest, children and blobs that are here; shared ones counted in full.
    pub size: u64,
    pub fetched_at: Timestamp,
    pub confirmed_at: Timestamp,
    pub last_pulled_at: Option<Timestamp>,
    pub gone_at: Option<Timestamp>,
}

/// `cache stats`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Totals {
    pub blobs: u64,
    pub manifests: u64,
    pub tags: u64,
    pub repositories: u64,
    pub bytes: u64,
}

/// The cache database.
pub struct CacheDb {
    _private: (),
}

impl CacheDb {
    /// The origin's id, made on first sight; kept in memory after.
    pub fn origin(&self, _upstream: &RegistryHost, _fingerprint: &str) -> Result<OriginId> {
        todo!()
    }
    /// The repository's id if anything of it was ever kept. (Memory first.)
    pub fn find_repository(
        &self,
        _origin: OriginId,
        _name: &RepositoryName,
    ) -> Result<Option<RepositoryId>> {
        todo!()
    }
    /// The repository's id, made if need be: only on the way to keep something.
    pub fn repository(&self, _origin: OriginId, _name: &RepositoryName) -> Result<RepositoryId> {
        todo!()
    }

    pub fn tag(&self, _repository: RepositoryId, _tag: &Tag) -> Result<Option<CachedTag>> {
        todo!()
    }
    pub fn manifest(
        &self,
        _repository: RepositoryId,
        _digest: &Digest,
    ) -> Result<Option<CachedManifest>> {
        todo!()
    }
    /// When the blob was linked here and its size; `None`: not known, or not linked to this repository.
    pub fn blob(
        &self,
        _repository: RepositoryId,
        _digest: &Digest,
    ) -> Result<Option<(u64, Timestamp)>> {
        todo!()
    }
    /// The size of a blob that is kept for any repository.
    pub fn blob_anywhere(&self, _digest: &Digest) -> Result<Option<u64>> {
        todo!()
    }

    /// Rows for a manifest whose file is in place: blob, manifest, references, tag; one transaction.
    pub fn keep_manifest(&self, _repository: RepositoryId, _manifest: &NewManifest) -> Result<()> {
        todo!()
    }
    /// Rows for a blob whose file is in place, and its link. Idempotent.
    pub fn keep_blob(
        &self,
        _repository: RepositoryId,
        _digest: &Digest,
        _size: u64,
        _now: Timestamp,
    ) -> Result<()> {
        todo!()
    }
    /// The upstream still says this digest: extends `confirmed_at`, clears `gone_at`, moves the tag if need be (the manifest must be kept).
    pub fn confirm_tag(
        &self,
        _repository: RepositoryId,
        _tag: &Tag,
        _digest: &Digest,
        _now: Timestamp,
    ) -> Result<()> {
        todo!()
    }
    pub fn mark_gone(&self, _repository: RepositoryId, _tag: &Tag, _now: Timestamp) -> Result<()> {
        todo!()
    }
    /// Forgets a blob whose file is missing or wrong: blob row, links, manifest rows of that digest, tags on it. For damage found while serving.
    pub fn forget_blob(&self, _digest: &Digest) -> Result<()> {
        todo!()
    }

    pub fn keep_listing(
        &self,
        _repository: RepositoryId,
        _kind: ListingKind,
        _key: &str,
        _listing: &KeptListing,
    ) -> Result<()> {
        todo!()
    }
    pub fn listing(
        &self,
        _repository: RepositoryId,
        _kind: ListingKind,
        _key: &str,
    ) -> Result<Option<KeptListing>> {
        todo!()
    }
    /// Tags kept of a repository, sorted, after `last`, at most `n`.
    pub fn tags(
        &self,
        _repository: RepositoryId,
        _last: Option<&str>,
        _n: usize,
    ) -> Result<Vec<String>> {
        todo!()
    }

    /// Notes a pull in memory; written with the next batch.
    pub fn note_pull(&self, _pull: Pull, _now: Timestamp) {
        todo!()
    }
    /// Notes a token's use in memory; written with the next batch.
    pub fn note_token_used(&self, _token: TokenId, _address: std::net::IpAddr, _now: Timestamp) {
        todo!()
    }
    /// Writes what was noted; the server calls it every few seconds and at the end.
    pub fn write_notes(&self) -> Result<()> {
        todo!()
    }
    pub fn token_last_used(&self, _token: TokenId) -> Result<Option<(Timestamp, String)>> {
        todo!()
    }

    /// Images whose `HOST/NAME[:TAG]` holds `pattern` (`*` matches any run), sorted.
    pub fn images(&self, _pattern: Option<&str>) -> Result<Vec<CachedImage>> {
        todo!()
    }
    pub fn totals(&self) -> Result<Totals> {
        todo!()
    }
}
