//! `cache.sqlite`: what is cached, for whom, and since when. Can be rebuilt, so `synchronous=NORMAL`.
//!
//! Owns the rows; a row says that a file is in the blob directory, so callers put the file there first and
//! remove it last. Judges no freshness and no permission. Every change is one short transaction.
//! Only the process that holds `DATA/lock` writes here; so ids may be kept in memory.

mod bare;
mod blobs;
mod eviction;
mod hours;
mod listings;
mod manifests;
mod names;
mod notes;
mod origins;
mod record;
mod removal;
mod repairs;
mod report;
mod schema;
mod state;
mod tags;
mod usage;

pub use eviction::{Eviction, TakenOut};
pub use hours::Sums;
pub use record::{GroupPulls, ImageRecord, KeptImage};
pub use repairs::{FetchedFrom, Repair};
pub(super) use schema::MIGRATIONS;
pub use state::ScrubPlace;
pub(super) use state::{MAY_BE_PUSHED, RESTORED};

use std::collections::HashMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::GroupId;
use super::content::StoredManifest;
use super::database::{Database, InRepository, KeptRows, Synchronous};
pub use super::ids::{BlobId, ManifestId, OriginId, RepositoryId};
use crate::error::Result;
use crate::oci::{Digest, Manifest, MediaType, RegistryHost, RepositoryName, Tag};
use crate::time::Timestamp;
use notes::Notes;
use parking_lot::Mutex;

/// A tag as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedTag {
    /// The manifest that it points to, which is kept.
    pub digest: Digest,
    /// When it was last fetched or confirmed.
    pub confirmed_at: Timestamp,
    /// Since when the upstream says 401, 403 or 404.
    pub gone_at: Option<Timestamp>,
}

/// A manifest to be kept; its file is in the blob directory already.
#[derive(Debug, Clone)]
pub struct NewManifest {
    /// The digest of its bytes.
    pub digest: Digest,
    /// What the upstream served it as.
    pub media_type: MediaType,
    /// Its own bytes.
    pub size: u64,
    /// Child manifests and blobs.
    pub references: Vec<Digest>,
    /// The manifest that it is a referrer of.
    pub subject: Option<Digest>,
    /// The tag that it was found under.
    pub tag: Option<Tag>,
    /// When it was fetched.
    pub now: Timestamp,
}

impl NewManifest {
    /// What is kept of `manifest`, whose bytes have this digest and length.
    pub fn of(
        manifest: &Manifest,
        digest: Digest,
        size: u64,
        tag: Option<Tag>,
        now: Timestamp,
    ) -> Self {
        let references = manifest.manifests.iter().chain(&manifest.blobs);
        let subject = manifest.subject.as_ref();
        Self {
            digest,
            media_type: manifest.media_type,
            size,
            references: references
                .map(|descriptor| descriptor.digest.clone())
                .collect(),
            subject: subject.map(|subject| subject.digest.clone()),
            tag,
            now,
        }
    }
}

/// Upstream lists that are kept for when it is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListingKind {
    /// `tags/list`.
    Tags,
    /// `referrers/DIGEST`.
    Referrers,
}

/// An upstream's list as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptListing {
    /// The answer's body, byte for byte.
    pub body: Vec<u8>,
    /// Its `Content-Type`.
    pub content_type: String,
    /// What follows, from its `Link` with `rel="next"`.
    pub next: Option<String>,
    /// Its `OCI-Filters-Applied`.
    pub filters_applied: Option<String>,
    /// When it was fetched.
    pub fetched_at: Timestamp,
}

/// One pull, noted and written in batches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pull {
    /// For whom.
    pub group: GroupId,
    /// From where.
    pub repository: RepositoryId,
    /// What was served.
    pub manifest: Digest,
    /// The tag that was asked for; `None`: asked for by digest.
    pub tag: Option<Tag>,
}

/// A line of `cache list`: an image is a tag, or a manifest that neither a tag nor a kept index of its
/// repository names (pulled by digest alone, or left by a tag that moved).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CachedImage {
    /// The upstream's name; `None` for what was pushed.
    pub upstream: Option<String>,
    /// The repository's name there, or its path here.
    pub repository: String,
    /// The tag; `None` for a manifest without one.
    pub tag: Option<String>,
    /// The manifest's digest.
    pub digest: String,
    /// The manifest's media type.
    pub media_type: String,
    /// Bytes of manifest, children and blobs that are here; shared ones counted in full.
    pub size: u64,
    /// Manifests and blobs that it consists of and that are not here. Of an index only platforms that were pulled count;
    /// where none was, it lacks one.
    pub missing: u64,
    /// When the manifest last came: from the upstream, or by a push.
    pub fetched_at: Timestamp,
    /// When the upstream last said, or a push made, that the tag is this digest; without a tag, as `fetched_at`.
    pub confirmed_at: Timestamp,
    /// The last noted pull, by anybody.
    pub last_pulled_at: Option<Timestamp>,
    /// Since when the upstream does not have it or denies it.
    pub gone_at: Option<Timestamp>,
}

impl CachedImage {
    /// The name without tag and digest: `HOST/NAME`, or `hosted:PATH` of what was pushed.
    pub fn name_without_tag(&self) -> String {
        match &self.upstream {
            Some(upstream) => format!("{upstream}/{}", self.repository),
            None => format!("hosted:{}", self.repository),
        }
    }

    /// `HOST/NAME:TAG`, or `HOST/NAME@DIGEST` without a tag; `hosted:PATH:TAG` of what was pushed.
    pub fn name(&self) -> String {
        let (separator, reference) = match &self.tag {
            Some(tag) => (':', tag),
            None => ('@', &self.digest),
        };
        let repository = &self.repository;
        match &self.upstream {
            Some(upstream) => format!("{upstream}/{repository}{separator}{reference}"),
            None => format!("hosted:{repository}{separator}{reference}"),
        }
    }
}

/// `cache stats`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// Files, manifests included, each once.
    pub blobs: u64,
    /// Manifests, once per repository.
    pub manifests: u64,
    /// Tags.
    pub tags: u64,
    /// Repositories of all upstreams.
    pub repositories: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// How many repositories' ids are kept in memory.
const REPOSITORIES_REMEMBERED: usize = 16_384;

/// How many rows of one kind are kept in memory.
const ROWS_REMEMBERED: usize = 4_096;

/// What warm pulls ask for.
struct RowsOfPulls {
    tags: KeptRows<InRepository<Tag>, CachedTag>,
    manifests: KeptRows<InRepository<Digest>, StoredManifest>,
    blobs: KeptRows<InRepository<Digest>, (u64, Timestamp)>,
}

impl Default for RowsOfPulls {
    fn default() -> Self {
        Self {
            tags: KeptRows::new(ROWS_REMEMBERED),
            manifests: KeptRows::new(ROWS_REMEMBERED),
            blobs: KeptRows::new(ROWS_REMEMBERED),
        }
    }
}

/// The cache database.
pub struct CacheDb {
    database: Database,
    origins: Mutex<HashMap<(RegistryHost, String), OriginId>>,
    repositories: quick_cache::sync::Cache<(OriginId, RepositoryName), RepositoryId>,
    rows: RowsOfPulls,
    notes: Notes,
    /// Held by a purge.
    purging: Mutex<()>,
}

impl CacheDb {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self {
            database: Database::open(path, Synchronous::Normal, MIGRATIONS)?,
            origins: Mutex::default(),
            repositories: quick_cache::sync::Cache::new(REPOSITORIES_REMEMBERED),
            rows: RowsOfPulls::default(),
            notes: Notes::default(),
            purging: Mutex::default(),
        })
    }

    pub(super) fn database(&self) -> &Database {
        &self.database
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::statement::list;

    #[test]
    fn what_every_request_asks_is_found_by_index() {
        let directory = tempfile::tempdir().unwrap();
        let cache = CacheDb::open(&directory.path().join("cache.sqlite")).unwrap();
        for (text, parameters) in [
            (origins::FIND_ORIGIN, 2),
            (origins::FIND_REPOSITORY, 2),
            (tags::FIND_TAG, 2),
            (manifests::FIND_MANIFEST, 2),
            (blobs::FIND_BLOB, 2),
            (blobs::FIND_BLOB_ANYWHERE, 1),
            (blobs::FIND_BLOB_OF_ORIGIN, 2),
            (listings::FIND_LISTING, 3),
            (bare::FIND_ROW, 2),
            (bare::FIND_REFERENCE_BEHIND, 2),
            (&bare::list_what_is_here(), 2),
        ] {
            let plan = cache.database.read(|connection| {
                list(
                    connection,
                    "explain",
                    &format!("EXPLAIN QUERY PLAN {text}"),
                    rusqlite::params_from_iter(vec![1_i64; parameters]),
                    |row| row.get::<_, String>(3),
                )
            });
            let plan = plan.unwrap();
            assert!(!plan.is_empty());
            for step in plan {
                assert!(step.starts_with("SEARCH"), "{step}: {text}");
                // A part of the key would read all rows of a repository or an origin.
                let by_part = step.contains("(repository_id=?)") || step.contains("(origin_id=?)");
                assert!(!by_part, "{step}: {text}");
            }
        }
    }
}
