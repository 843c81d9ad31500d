//! What is known of one cached image, for `cache show`.

use rusqlite::params;

use super::{BlobId, CacheDb, ManifestId, RepositoryId};
use crate::error::Result;
use crate::oci::{Digest, Reference};
use crate::store::GroupId;
use crate::store::statement::{find, list, size};
use crate::time::Timestamp;

/// What stands in the row of a manifest, and in that of one of its tags.
#[derive(Debug, Clone)]
pub struct ImageRecord {
    pub media_type: String,
    pub fetched_at: Timestamp,
    pub confirmed_at: Timestamp,
    pub gone_at: Option<Timestamp>,
}

/// The pulls of a manifest by one group.
#[derive(Debug, Clone)]
pub struct GroupPulls {
    /// It may be gone.
    pub group: GroupId,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub count: u64,
}

/// A manifest as it is kept in a repository.
#[derive(Debug, Clone)]
pub struct KeptImage {
    pub repository: RepositoryId,
    pub manifest: ManifestId,
    pub digest: Digest,
}

impl CacheDb {
    /// The image of this name, of whichever credentials it was fetched with.
    pub fn image_named(
        &self,
        upstream: &str,
        name: &str,
        reference: &Reference,
    ) -> Result<Option<KeptImage>> {
        let (text, wanted) = match reference {
            Reference::Tag(tag) => (
                "SELECT repositories.id, manifests.id, blobs.digest
                 FROM origins
                 CROSS JOIN repositories
                     ON repositories.origin_id = origins.id AND repositories.name = ?2
                 CROSS JOIN tags ON tags.repository_id = repositories.id AND tags.name = ?3
                 CROSS JOIN manifests ON manifests.id = tags.manifest_id
                 CROSS JOIN blobs ON blobs.id = manifests.blob_id
                 WHERE origins.upstream = ?1 AND repositories.removed_from IS NULL LIMIT 1",
                tag.as_str(),
            ),
            Reference::Digest(digest) => (
                "SELECT repositories.id, manifests.id, blobs.digest
                 FROM blobs
                 CROSS JOIN manifests ON manifests.blob_id = blobs.id
                 CROSS JOIN repositories
                     ON repositories.id = manifests.repository_id AND repositories.name = ?2
                 CROSS JOIN origins
                     ON origins.id = repositories.origin_id AND origins.upstream = ?1
                 WHERE blobs.digest = ?3 AND repositories.removed_from IS NULL LIMIT 1",
                digest.as_str(),
            ),
        };
        self.database.read(|connection| {
            let values = params![upstream, name, wanted];
            find(
                connection,
                "find an image by its name",
                text,
                values,
                |row| {
                    Ok(KeptImage {
                        repository: row.get(0)?,
                        manifest: row.get(1)?,
                        digest: row.get(2)?,
                    })
                },
            )
        })
    }

    /// The tags of a manifest, by name, at most `count`.
    pub fn tags_of(&self, manifest: ManifestId, count: u32) -> Result<Vec<String>> {
        self.database.scan(|connection| {
            let text = "SELECT name FROM tags WHERE manifest_id = ?1 ORDER BY name LIMIT ?2";
            let values = params![manifest, count];
            list(
                connection,
                "list the tags of an image",
                text,
                values,
                |row| row.get(0),
            )
        })
    }

    pub fn blob_digest(&self, blob: BlobId) -> Result<Option<Digest>> {
        let text = "SELECT digest FROM blobs WHERE id = ?1";
        self.database
            .read(|connection| find(connection, "find a blob", text, [blob], |row| row.get(0)))
    }

    pub fn image_record(
        &self,
        manifest: ManifestId,
        tag: Option<&str>,
    ) -> Result<Option<ImageRecord>> {
        self.database.read(|connection| {
            find(
                connection,
                "find an image",
                "SELECT media_type, fetched_at, ifnull(confirmed_at, fetched_at), gone_at
                 FROM manifests LEFT JOIN tags ON tags.manifest_id = manifests.id AND tags.name = ?2
                 WHERE manifests.id = ?1",
                params![manifest, tag],
                |row| {
                    Ok(ImageRecord {
                        media_type: row.get(0)?,
                        fetched_at: row.get(1)?,
                        confirmed_at: row.get(2)?,
                        gone_at: row.get(3)?,
                    })
                },
            )
        })
    }

    /// By tag and by digest, the first group first.
    pub fn pulls_of(&self, manifest: ManifestId) -> Result<Vec<GroupPulls>> {
        self.database.read(|connection| {
            list(
                connection,
                "list the pulls of an image",
                "SELECT group_id, min(first_at), max(last_at), CAST(total(count) AS INTEGER) FROM pulls
                 WHERE manifest_id = ?1 GROUP BY group_id ORDER BY 2, 1",
                [manifest],
                |row| {
                    Ok(GroupPulls {
                        group: row.get(0)?,
                        first_at: row.get(1)?,
                        last_at: row.get(2)?,
                        count: size(row, 3)?,
                    })
                },
            )
        })
    }
}
