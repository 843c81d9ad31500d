//! What `verify` compares with the files, one directory of the blob directory at a time.

use super::RegistryDb;
use crate::error::Result;
use crate::oci::Digest;
use crate::store::blobs::BlobPrefix;
use crate::store::statement::{digest, get, list, size};

impl RegistryDb {
    /// Digest and size of every blob row of one directory of the blob directory.
    pub(crate) fn blobs_in(&self, prefix: BlobPrefix) -> Result<Vec<(Digest, u64)>> {
        let (from, to) = prefix.digest_range();
        self.database.scan(|connection| {
            list(
                connection,
                "list hosted blobs of a directory",
                "SELECT digest, size FROM blobs WHERE digest >= ?1 AND digest < ?2",
                [from, to],
                |row| Ok((digest(row, 0)?, size(row, 1)?)),
            )
        })
    }

    /// Digest and media type, as written, of every manifest of one directory of the blob directory.
    pub(crate) fn manifests_in(&self, prefix: BlobPrefix) -> Result<Vec<(Digest, String)>> {
        let (from, to) = prefix.digest_range();
        self.database.scan(|connection| {
            list(
                connection,
                "list hosted manifests of a directory",
                "SELECT DISTINCT blobs.digest, manifests.media_type
                 FROM blobs JOIN manifests ON manifests.blob_id = blobs.id
                 WHERE blobs.digest >= ?1 AND blobs.digest < ?2",
                [from, to],
                |row| Ok((digest(row, 0)?, row.get(1)?)),
            )
        })
    }

    /// Bytes of all hosted files.
    pub fn total_bytes(&self) -> Result<u64> {
        self.database.scan(|connection| {
            get(
                connection,
                "sum up hosted blobs",
                "SELECT CAST(total(size) AS INTEGER) FROM blobs",
                [],
                |row| size(row, 0),
            )
        })
    }

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
}
