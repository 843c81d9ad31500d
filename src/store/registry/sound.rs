//! What `verify` finds wrong with the rows, and which images a damaged file is part of.

use super::RegistryDb;
use crate::error::Result;
use crate::oci::Digest;
use crate::store::statement::{find, list};

impl RegistryDb {
    /// Tags whose manifest's row is missing, as `PATH:TAG`.
    pub(in crate::store) fn dangling_tags(&self) -> Result<Vec<String>> {
        self.database.scan(|connection| {
            list(
                connection,
                "list dangling hosted tags",
                "SELECT ifnull(repositories.path, '?') || ':' || tags.name
                 FROM tags LEFT JOIN repositories ON repositories.id = tags.repository_id
                 WHERE NOT EXISTS (SELECT 1 FROM manifests WHERE manifests.id = tags.manifest_id)",
                [],
                |row| row.get(0),
            )
        })
    }

    /// Whether a row needs the file.
    pub(in crate::store) fn needs(&self, digest: &Digest) -> Result<bool> {
        let row = self.database.read(|connection| {
            let text = "SELECT 1 FROM blobs WHERE digest = ?1";
            find(
                connection,
                "look whether a pushed file is needed",
                text,
                [digest],
                |_| Ok(()),
            )
        })?;
        Ok(row.is_some())
    }

    /// The images that a file is, or is part of, at most ten: `PATH:TAG`, or `PATH@DIGEST` without a tag. A repository
    /// whose images do not refer to it is named alone.
    pub(in crate::store) fn images_with(&self, digest: &Digest) -> Result<Vec<String>> {
        self.database.read(|connection| {
            list(
                connection,
                "find the images of a pushed file",
                "WITH found (repository_id, manifest_id) AS (
                     SELECT manifests.repository_id, manifests.id FROM blobs
                     CROSS JOIN manifests ON manifests.blob_id = blobs.id WHERE blobs.digest = ?1
                     UNION
                     SELECT manifests.repository_id, manifests.id FROM manifest_references
                     CROSS JOIN manifests ON manifests.id = manifest_references.manifest_id
                     WHERE manifest_references.hash = ?2
                     UNION
                     SELECT blob_links.repository_id, NULL FROM blobs
                     CROSS JOIN blob_links ON blob_links.blob_id = blobs.id
                     WHERE blobs.digest = ?1 AND NOT EXISTS (
                         SELECT 1 FROM manifest_references
                         CROSS JOIN manifests ON manifests.id = manifest_references.manifest_id
                         WHERE manifest_references.hash = ?2
                         AND manifests.repository_id = blob_links.repository_id)
                 )
                 SELECT repositories.path || ifnull(':' || tags.name, ifnull('@' || own.digest, ''))
                 FROM found
                 CROSS JOIN repositories ON repositories.id = found.repository_id
                     AND repositories.removed_from IS NULL
                 LEFT JOIN tags ON tags.manifest_id = found.manifest_id
                 LEFT JOIN manifests ON manifests.id = found.manifest_id
                 LEFT JOIN blobs AS own ON own.id = manifests.blob_id
                 ORDER BY 1 LIMIT 10",
                rusqlite::params![digest, digest.hash()],
                |row| row.get(0),
            )
        })
    }
}
