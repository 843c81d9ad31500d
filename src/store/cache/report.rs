//! What is cached, for `cache list` and `cache stats`.

use rusqlite::params;

use super::{CacheDb, CachedImage, Totals};
use crate::error::Result;
use crate::oci::Digest;
use crate::store::content::{ImageFilter, MissingParts, Source, missing_parts};
use crate::store::page::{Page, Window};
use crate::store::statement::{find, get, size};
use crate::store::{ManifestId, RepositoryId};

/// Where lists of images find what was fetched.
const FETCHED: Source = Source {
    origin: "origins.upstream, origins.fingerprint, repositories.name",
    repositories: "origins CROSS JOIN repositories ON repositories.origin_id = origins.id",
    arrived_at: "manifests.fetched_at",
    tag_times: "tags.confirmed_at, tags.gone_at",
    may_lack_parts: true,
    last_pulled_at: "(SELECT max(pulls.last_at) FROM pulls WHERE pulls.manifest_id = manifests.id)",
};

impl CacheDb {
    /// The images that are kept of upstreams, sorted.
    pub fn images(&self, filter: &ImageFilter, window: Window) -> Result<Page<CachedImage>> {
        self.database.images(&FETCHED, filter, window)
    }

    /// What of an image is not here. Of an index only what was pulled counts: see [`CachedImage::missing`].
    pub fn missing_parts(&self, manifest: ManifestId) -> Result<MissingParts> {
        self.database
            .read(|connection| missing_parts(connection, manifest.0))
    }

    /// The same by its digest in a repository; `None` where it is not kept there.
    pub fn missing_parts_of(
        &self,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<Option<MissingParts>> {
        self.database.read(|connection| {
            let id: Option<i64> = find(
                connection,
                "find a manifest",
                "SELECT manifests.id FROM blobs
                 CROSS JOIN manifests ON manifests.blob_id = blobs.id AND repository_id = ?2
                 WHERE digest = ?1",
                params![digest, repository.0],
                |row| row.get(0),
            )?;
            id.map(|id| missing_parts(connection, id)).transpose()
        })
    }

    /// A repository of the upstream whose name is `first`, or begins with it and `/`, and of which an image is kept.
    pub fn kept_below(&self, upstream: &str, first: &str) -> Result<Option<String>> {
        self.database.read(|connection| {
            find(
                connection,
                "find an image below a name",
                "SELECT repositories.name
                 FROM origins CROSS JOIN repositories ON repositories.origin_id = origins.id
                 WHERE origins.upstream = ?1
                 AND (repositories.name = ?2
                     OR (repositories.name > ?2 || '/' AND repositories.name < ?2 || '0'))
                 AND EXISTS (SELECT 1 FROM manifests WHERE repository_id = repositories.id)
                 ORDER BY repositories.name LIMIT 1",
                [upstream, first],
                |row| row.get(0),
            )
        })
    }

    /// Counts of everything, in one consistent view.
    pub fn totals(&self) -> Result<Totals> {
        self.database.scan(|connection| {
            get(
                connection,
                "count what is cached",
                "SELECT (SELECT count(*) FROM blobs), (SELECT count(*) FROM manifests),
                     (SELECT count(*) FROM tags), (SELECT count(*) FROM repositories WHERE removed_from IS NULL),
                     (SELECT CAST(total(size) AS INTEGER) FROM blobs)",
                [],
                |row| {
                    Ok(Totals {
                        blobs: size(row, 0)?,
                        manifests: size(row, 1)?,
                        tags: size(row, 2)?,
                        repositories: size(row, 3)?,
                        bytes: size(row, 4)?,
                    })
                },
            )
        })
    }
}
