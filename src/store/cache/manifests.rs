//! Manifests, each kept in the repository that it was asked for in, and what they refer to.

use rusqlite::params;

use super::{CacheDb, NewManifest, RepositoryId, tags};
use crate::error::Result;
use crate::oci::Digest;
use crate::store::content::{StoredManifest, add_references, ensure_blob};
use crate::store::database::AskedIn;
use crate::store::statement::{find, get, list, run};

pub(super) const FIND_MANIFEST: &str =
    "SELECT blobs.digest, manifests.media_type, blobs.size, manifests.fetched_at
     FROM blobs JOIN manifests ON manifests.blob_id = blobs.id AND manifests.repository_id = ?1
     WHERE blobs.digest = ?2";

impl CacheDb {
    /// The manifest as kept in this repository.
    pub fn manifest(
        &self,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<Option<StoredManifest>> {
        let asked = AskedIn(repository.0, digest);
        self.rows
            .manifests
            .find(&self.database, asked, |connection| {
                find(
                    connection,
                    "find manifest",
                    FIND_MANIFEST,
                    params![repository, digest],
                    StoredManifest::of,
                )
            })
    }

    /// The manifests that are kept in this repository as referrers of `subject`, at most `count`.
    pub fn referrers(
        &self,
        repository: RepositoryId,
        subject: &Digest,
        count: u32,
    ) -> Result<Vec<StoredManifest>> {
        self.database.read(|connection| {
            list(
                connection,
                "list kept referrers",
                "SELECT blobs.digest, manifests.media_type, blobs.size, manifests.fetched_at
                 FROM manifests JOIN blobs ON blobs.id = manifests.blob_id
                 WHERE manifests.repository_id = ?1 AND manifests.subject = ?2 LIMIT ?3",
                params![repository, subject, count],
                StoredManifest::of,
            )
        })
    }

    /// Rows for a manifest whose file is in place: blob, manifest, references, tag; one transaction.
    /// Again for the same digest: it was fetched anew, and the tag confirmed.
    pub fn keep_manifest(&self, repository: RepositoryId, manifest: &NewManifest) -> Result<()> {
        self.database.write(|connection| {
            let blob = ensure_blob(connection, &manifest.digest, manifest.size, manifest.now)?;
            let kept = find(
                connection,
                "find kept manifest",
                "SELECT id FROM manifests WHERE repository_id = ?1 AND blob_id = ?2",
                [repository.0, blob],
                |row| row.get::<_, i64>(0),
            )?;
            let id = match kept {
                Some(id) => {
                    run(
                        connection,
                        "update manifest",
                        "UPDATE manifests SET media_type = ?2, fetched_at = ?3 WHERE id = ?1",
                        params![id, manifest.media_type.as_str(), manifest.now],
                    )?;
                    id
                }
                None => get(
                    connection,
                    "add manifest",
                    "INSERT INTO manifests (repository_id, blob_id, media_type, subject, fetched_at)
                     VALUES (?1, ?2, ?3, ?4, ?5) RETURNING id",
                    params![
                        repository,
                        blob,
                        manifest.media_type.as_str(),
                        manifest.subject,
                        manifest.now
                    ],
                    |row| row.get(0),
                )?,
            };
            if kept.is_none() {
                add_references(connection, id, &manifest.references)?;
            }
            if let Some(tag) = &manifest.tag {
                tags::point(connection, repository, tag, id, manifest.now)?;
            }
            Ok(())
        })
    }
}
