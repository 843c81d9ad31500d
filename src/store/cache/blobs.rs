//! Rows of blobs and their links to repositories: who may read a digest is decided by the link.

use rusqlite::{Connection, params};

use super::{CacheDb, OriginId, RepositoryId};
use crate::error::Result;
use crate::oci::Digest;
use crate::store::content::{ensure_blob, reach};
use crate::store::database::AskedIn;
use crate::store::statement::{find, run, size};
use crate::time::Timestamp;

pub(super) const FIND_BLOB: &str = "SELECT blobs.size, blob_links.linked_at
     FROM blobs JOIN blob_links ON blob_links.blob_id = blobs.id AND blob_links.repository_id = ?1
     WHERE blobs.digest = ?2";
/// The order of the joins is fixed: from the one blob outwards, never from an origin's repositories.
pub(super) const FIND_BLOB_OF_ORIGIN: &str = "SELECT blobs.size
     FROM blobs
     CROSS JOIN blob_links ON blob_links.blob_id = blobs.id
     CROSS JOIN repositories ON repositories.id = blob_links.repository_id
     WHERE blobs.digest = ?2 AND repositories.origin_id = ?1 LIMIT 1";
pub(super) const FIND_BLOB_ANYWHERE: &str = "SELECT size FROM blobs WHERE digest = ?1";

impl CacheDb {
    /// The blob's size and when it was linked here; `None`: not known, or not linked to this repository.
    pub fn blob(
        &self,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<Option<(u64, Timestamp)>> {
        let asked = AskedIn(repository.0, digest);
        self.rows.blobs.find(&self.database, asked, |connection| {
            find(
                connection,
                "find blob of repository",
                FIND_BLOB,
                params![repository, digest],
                |row| Ok((size(row, 0)?, row.get(1)?)),
            )
        })
    }

    /// The size of a blob that is kept for some repository of this origin.
    pub fn blob_of_origin(&self, origin: OriginId, digest: &Digest) -> Result<Option<u64>> {
        self.database.read(|connection| {
            find(
                connection,
                "find blob of origin",
                FIND_BLOB_OF_ORIGIN,
                params![origin, digest],
                |row| size(row, 0),
            )
        })
    }

    /// The size of a blob that is kept for anybody. For upkeep: what is served is decided by links.
    pub fn blob_anywhere(&self, digest: &Digest) -> Result<Option<u64>> {
        self.database.read(|connection| {
            find(
                connection,
                "find blob",
                FIND_BLOB_ANYWHERE,
                [digest],
                |row| size(row, 0),
            )
        })
    }

    /// Rows for a blob whose file is in place, and its link. Idempotent: the first link's time stays.
    pub fn keep_blob(
        &self,
        repository: RepositoryId,
        digest: &Digest,
        size: u64,
        now: Timestamp,
    ) -> Result<()> {
        // Most calls after the first find everything as it should be, and need not wait for the writer.
        if self
            .blob(repository, digest)?
            .is_some_and(|(kept, _)| kept == size)
        {
            return Ok(());
        }
        self.database.write(|connection| {
            let blob = ensure_blob(connection, digest, size, now)?;
            run(
                connection,
                "link blob",
                "INSERT INTO blob_links (repository_id, blob_id, linked_at) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO NOTHING",
                [repository.0, blob, now.0],
            )
        })?;
        Ok(())
    }

    /// Forgets a blob whose file is missing or wrong: blob row, links, manifest rows of that digest, tags on
    /// them. For damage found while serving; `Store::remove_blob` removes the file as well.
    pub fn forget_blob(&self, digest: &Digest) -> Result<()> {
        self.database
            .write(|connection| forget(connection, digest))?;
        Ok(())
    }

    /// Forgets a blob that nothing links: the reconciliation took up a file that a crash had left.
    pub(in crate::store) fn forget_unlinked(&self, digest: &Digest) -> Result<()> {
        if self.blob_anywhere(digest)?.is_none() {
            return Ok(());
        }
        self.database
            .write(|connection| forget_unlinked(connection, digest))?;
        Ok(())
    }

    /// As [`Self::forget_unlinked`], for many, in steps.
    pub(in crate::store) fn forget_all_unlinked(&self, digests: &[Digest]) -> Result<()> {
        let mut next = digests.iter();
        self.in_pieces(|connection| match next.next() {
            Some(digest) => forget_unlinked(connection, digest).map(|_| true),
            None => Ok(false),
        })
    }

    /// Adds rows without links for those files that `size_of` still finds, asked inside the transaction.
    /// Gives how many rows are new.
    pub(in crate::store) fn adopt_blobs(
        &self,
        digests: &[Digest],
        now: Timestamp,
        size_of: impl Fn(&Digest) -> Result<Option<u64>>,
    ) -> Result<u64> {
        self.database.write(|connection| {
            let mut adopted = 0_u64;
            for digest in digests {
                let Some(size) = size_of(digest)? else {
                    continue;
                };
                let added = run(
                    connection,
                    "adopt blob",
                    "INSERT INTO blobs (digest, size, added_at) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO NOTHING",
                    params![digest, crate::store::statement::stored_size(size), now],
                )?;
                adopted = adopted.saturating_add(added as u64);
            }
            Ok(adopted)
        })
    }

    /// Forgets those blobs whose file `size_of` still does not find, asked inside the transaction: a fill that
    /// puts the file back in the meantime adds its row after this. Gives how many rows went.
    pub(in crate::store) fn forget_missing(
        &self,
        digests: &[Digest],
        size_of: impl Fn(&Digest) -> Result<Option<u64>>,
    ) -> Result<u64> {
        self.database.write(|connection| {
            let mut forgotten = 0_u64;
            for digest in digests {
                if size_of(digest)?.is_none() {
                    let went = forget(connection, digest)?;
                    forgotten = forgotten.saturating_add(went as u64);
                }
            }
            Ok(forgotten)
        })
    }
}

fn forget_unlinked(connection: &Connection, digest: &Digest) -> Result<usize> {
    let text = format!(
        "DELETE FROM blobs WHERE digest = ?1 AND {}",
        reach::IS_UNNEEDED
    );
    run(connection, "forget unlinked blob", &text, [digest])
}

/// Removes the blob's row, and by cascade what hangs on it.
fn forget(connection: &Connection, digest: &Digest) -> Result<usize> {
    run(
        connection,
        "forget blob",
        "DELETE FROM blobs WHERE digest = ?1",
        [digest],
    )
}
