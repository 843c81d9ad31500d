//! Rows of blobs and their links to repositories: who may read and use a digest is decided by the link.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::quota::{Counted, keep_within};
use super::{HostedRepository, RegistryDb, StorageLimit, repositories};
use crate::error::Result;
use crate::oci::Digest;
use crate::store::ProjectId;
use crate::store::content::{ensure_blob, reach, settle, unsettle};
use crate::store::statement::{find, list, run, size};
use crate::time::Timestamp;

/// A link that a push relied on within this time need not be marked again: so that a push that asks for many
/// layers costs few writes.
const MARKED_FOR: Duration = Duration::from_secs(10 * 60);

impl RegistryDb {
    /// The size of a blob that is linked to this repository.
    pub fn blob(&self, repository: HostedRepository<'_>, digest: &Digest) -> Result<Option<u64>> {
        Ok(self.link(repository, digest)?.map(|link| link.size))
    }

    /// As [`Self::blob`], for somebody who is about to push a manifest: garbage collection leaves the blob alone
    /// for a grace from now. Waits for no writer: where somebody is writing, the mark is noted, for the next batch.
    pub fn blob_for_push(
        &self,
        repository: HostedRepository<'_>,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<Option<u64>> {
        match self.link(repository, digest)? {
            Some(link) if now.since(link.needed_at) >= MARKED_FOR => {
                self.mark(repository, digest, now);
                // Asked again: a sweep that did not see the mark may have removed the link.
                self.blob(repository, digest)
            }
            linked => Ok(linked.map(|link| link.size)),
        }
    }

    /// Links a blob whose file is in place, and ends the upload that it came by. Idempotent.
    ///
    /// # Errors
    /// `Denied` where it would be beyond one of `limits`: then nothing is changed.
    pub fn keep_blob(
        &self,
        repository: HostedRepository<'_>,
        digest: &Digest,
        size: u64,
        upload: Option<&str>,
        limits: &[StorageLimit],
        now: Timestamp,
    ) -> Result<()> {
        self.database.write(|connection| {
            keep_within(
                connection,
                limits,
                repository,
                &Counted { digest, size },
                || {
                    let id = repositories::ensure(connection, repository, now)?;
                    let blob = ensure_blob(connection, digest, size, now)?;
                    settle(connection, digest)?;
                    link(connection, id, blob, now)
                },
            )?;
            if let Some(upload) = upload {
                run(
                    connection,
                    "end upload",
                    "DELETE FROM uploads WHERE id = ?1",
                    [upload],
                )?;
            }
            Ok(())
        })
    }

    /// Links a blob that is linked to `from` already; says whether it was.
    ///
    /// # Errors
    /// As [`Self::keep_blob`].
    pub fn mount_blob(
        &self,
        from: HostedRepository<'_>,
        to: HostedRepository<'_>,
        digest: &Digest,
        limits: &[StorageLimit],
        now: Timestamp,
    ) -> Result<bool> {
        self.database.write(|connection| {
            let Some(source) = find_link(connection, from, digest)? else {
                return Ok(false);
            };
            let size = source.size;
            keep_within(connection, limits, to, &Counted { digest, size }, || {
                let id = repositories::ensure(connection, to, now)?;
                link(connection, id, source.blob, now)
            })?;
            Ok(true)
        })
    }

    /// The repositories that a blob is linked to, at most `count`: where a mount without a source may look.
    pub fn repositories_with(
        &self,
        digest: &Digest,
        count: u32,
    ) -> Result<Vec<(ProjectId, String)>> {
        self.database.read(|connection| {
            list(
                connection,
                "list repositories of a blob",
                "SELECT repositories.project_id, repositories.path
                 FROM blobs
                 CROSS JOIN blob_links ON blob_links.blob_id = blobs.id
                 CROSS JOIN repositories ON repositories.id = blob_links.repository_id
                 WHERE blobs.digest = ?1 LIMIT ?2",
                params![digest, count],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
        })
    }

    /// Unlinks a blob from a repository. `Removed` says whether the file is still needed for something hosted.
    pub fn unlink_blob(
        &self,
        repository: HostedRepository<'_>,
        digest: &Digest,
    ) -> Result<UnlinkBlob> {
        self.database.write(|connection| {
            let Some(link) = find_link(connection, repository, digest)? else {
                return Ok(UnlinkBlob::Unknown);
            };
            let (project, path) = (repository.project.0, repository.path);
            let needed_by = find(
                connection,
                "find a manifest that needs a blob",
                "SELECT blobs.digest FROM manifest_references
                 JOIN manifests ON manifests.id = manifest_references.manifest_id
                 JOIN repositories ON repositories.id = manifests.repository_id
                 JOIN blobs ON blobs.id = manifests.blob_id
                 WHERE manifest_references.hash = ?3
                 AND repositories.project_id = ?1 AND repositories.path = ?2 LIMIT 1",
                params![project, path, digest.hash()],
                |row| row.get(0),
            )?;
            if let Some(manifest) = needed_by {
                return Ok(UnlinkBlob::NeededBy(manifest));
            }
            run(
                connection,
                "unlink blob",
                &format!(
                    "DELETE FROM blob_links
                     WHERE blob_id = ?3 AND repository_id IN ({})",
                    repositories::OF_PATH
                ),
                params![project, path, link.blob],
            )?;
            drop_unneeded(connection, link.blob)?;
            Ok(UnlinkBlob::Unlinked)
        })
    }

    fn link(&self, repository: HostedRepository<'_>, digest: &Digest) -> Result<Option<Link>> {
        self.database
            .read(|connection| find_link(connection, repository, digest))
    }
}

/// That a blob is linked to a repository.
pub(super) struct Link {
    repository: i64,
    blob: i64,
    size: u64,
    needed_at: Timestamp,
}

/// The link of a blob to a repository, or to one of this path that was removed: its blobs have a grace.
pub(super) fn find_link(
    connection: &Connection,
    repository: HostedRepository<'_>,
    digest: &Digest,
) -> Result<Option<Link>> {
    let of = |condition: &str| {
        let text = format!(
            "SELECT repositories.id, blobs.id, blobs.size, blob_links.needed_at
             FROM repositories
             CROSS JOIN blobs ON blobs.digest = ?3
             CROSS JOIN blob_links ON blob_links.repository_id = repositories.id
                 AND blob_links.blob_id = blobs.id
             WHERE {condition} AND repositories.path = ?2"
        );
        let parameters = params![repository.project, repository.path, digest];
        let what = "find blob of hosted repository";
        find(connection, what, &text, parameters, |row| {
            Ok(Link {
                repository: row.get(0)?,
                blob: row.get(1)?,
                size: size(row, 2)?,
                needed_at: row.get(3)?,
            })
        })
    };
    match of("repositories.project_id = ?1")? {
        None => of("repositories.removed_from = ?1"),
        linked => Ok(linked),
    }
}

/// Links a blob to the repository `id` that is linked to a removed one of its path: what refers to it stays.
pub(super) fn keep_link(
    connection: &Connection,
    repository: HostedRepository<'_>,
    id: i64,
    digest: &Digest,
    now: Timestamp,
) -> Result<()> {
    match find_link(connection, repository, digest)? {
        Some(found) if found.repository != id => link(connection, id, found.blob, now),
        _ => Ok(()),
    }
}

/// What became of a blob that was to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnlinkBlob {
    /// It is not linked to the repository any more.
    Unlinked,
    Unknown,
    /// This manifest of the repository refers to it; nothing was changed.
    NeededBy(Digest),
}

fn link(connection: &Connection, repository: i64, blob: i64, now: Timestamp) -> Result<()> {
    run(
        connection,
        "link hosted blob",
        "INSERT INTO blob_links (repository_id, blob_id, linked_at, needed_at) VALUES (?1, ?2, ?3, ?3)
         ON CONFLICT DO UPDATE SET needed_at = max(needed_at, excluded.needed_at)",
        [repository, blob, now.0],
    )
    .map(drop)
}

/// Removes a blob's row if neither a link nor a manifest needs it; its file is to follow.
pub(super) fn drop_unneeded(connection: &Connection, blob: i64) -> Result<()> {
    let dropped = find(
        connection,
        "forget hosted blob",
        &format!(
            "DELETE FROM blobs WHERE id = ?1 AND {} RETURNING digest",
            reach::IS_UNNEEDED
        ),
        [blob],
        |row| row.get(0),
    )?;
    match dropped {
        Some(digest) => unsettle(connection, &digest),
        None => Ok(()),
    }
}
