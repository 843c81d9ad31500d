//! What is known of one pushed image, for `cache show`.

use rusqlite::params;

use super::{HostedRepository, RegistryDb};
use crate::error::Result;
use crate::oci::Digest;
use crate::store::statement::{find, list};
use crate::time::Timestamp;

#[derive(Debug, Clone)]
pub struct PushRecord {
    pub pushed_by: String,
    pub pushed_at: Timestamp,
    pub last_pulled_at: Option<Timestamp>,
}

impl RegistryDb {
    /// The tags of an image in its repository, by name, at most `count`.
    pub fn tags_of(
        &self,
        repository: HostedRepository<'_>,
        digest: &Digest,
        count: u32,
    ) -> Result<Vec<String>> {
        self.database.scan(|connection| {
            list(
                connection,
                "list the tags of a pushed image",
                "SELECT tags.name
                 FROM repositories
                 CROSS JOIN blobs ON blobs.digest = ?3
                 CROSS JOIN manifests ON manifests.repository_id = repositories.id
                     AND manifests.blob_id = blobs.id
                 CROSS JOIN tags ON tags.manifest_id = manifests.id
                 WHERE repositories.project_id = ?1 AND repositories.path = ?2
                 ORDER BY tags.name LIMIT ?4",
                params![repository.project, repository.path, digest, count],
                |row| row.get(0),
            )
        })
    }

    pub fn push_record(
        &self,
        repository: HostedRepository<'_>,
        digest: &Digest,
    ) -> Result<Option<PushRecord>> {
        self.database.read(|connection| {
            find(
                connection,
                "find who pushed an image",
                "SELECT pushed_by, pushed_at, last_pulled_at
                 FROM repositories
                 CROSS JOIN manifests ON manifests.repository_id = repositories.id
                 CROSS JOIN blobs ON blobs.id = manifests.blob_id
                 WHERE repositories.project_id = ?1 AND repositories.path = ?2 AND digest = ?3",
                params![repository.project, repository.path, digest],
                |row| {
                    Ok(PushRecord {
                        pushed_by: row.get(0)?,
                        pushed_at: row.get(1)?,
                        last_pulled_at: row.get(2)?,
                    })
                },
            )
        })
    }
}
