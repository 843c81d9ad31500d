//! Notes of blobs that were found damaged or missing: to be fetched again, or lost.

use rusqlite::{Row, params};

use super::CacheDb;
use crate::error::Result;
use crate::oci::{Digest, RegistryHost, RepositoryName};
use crate::store::database::Synchronous;
use crate::store::statement::{decoded, list, run, unknown_word};
use crate::time::Timestamp;

/// A note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    pub digest: Digest,
    /// What it is part of, for people: cached and pushed images.
    pub images: String,
    pub found_at: Timestamp,
    /// Since when it is known that its upstream has it no more.
    pub lost_at: Option<Timestamp>,
}

/// Where a cached blob or manifest came from: a repository of an upstream with its credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedFrom {
    pub upstream: RegistryHost,
    pub fingerprint: String,
    pub repository: RepositoryName,
    pub is_manifest: bool,
}

impl CacheDb {
    /// All notes, the oldest first.
    ///
    /// # Errors
    /// `Sql`.
    pub fn repairs(&self) -> Result<Vec<Repair>> {
        self.database.scan(|connection| {
            list(
                connection,
                "list repairs",
                "SELECT digest, images, found_at, lost_at FROM repairs ORDER BY found_at, digest",
                [],
                |row| {
                    Ok(Repair {
                        digest: row.get(0)?,
                        images: row.get(1)?,
                        found_at: row.get(2)?,
                        lost_at: row.get(3)?,
                    })
                },
            )
        })
    }

    /// Notes that a blob is damaged. On the disk before it returns: its file is moved away next.
    pub(in crate::store) fn note_repair(
        &self,
        digest: &Digest,
        images: &str,
        now: Timestamp,
    ) -> Result<()> {
        self.database.write_with(Synchronous::Full, |connection| {
            run(
                connection,
                "note a repair",
                "INSERT INTO repairs (digest, images, found_at) VALUES (?1, ?2, ?3)
                 ON CONFLICT (digest) DO UPDATE
                 SET images = excluded.images, found_at = excluded.found_at, lost_at = NULL",
                params![digest, images, now],
            )
            .map(drop)
        })
    }

    /// Notes that nobody has it any more, and forgets its rows.
    pub(in crate::store) fn note_lost(&self, digest: &Digest, now: Timestamp) -> Result<()> {
        self.database.write(|connection| {
            let text = "UPDATE repairs SET lost_at = ?2 WHERE digest = ?1";
            run(connection, "note a loss", text, params![digest, now])?;
            let text = "DELETE FROM blobs WHERE digest = ?1";
            run(connection, "forget what is lost", text, [digest]).map(drop)
        })
    }

    pub(in crate::store) fn forget_repair(&self, digest: &Digest) -> Result<()> {
        self.database.write(|connection| {
            let text = "DELETE FROM repairs WHERE digest = ?1";
            run(connection, "forget a repair", text, [digest]).map(drop)
        })
    }

    /// Where the blob or manifest came from.
    ///
    /// # Errors
    /// `Sql`.
    pub fn fetched_from(&self, digest: &Digest) -> Result<Vec<FetchedFrom>> {
        self.database.read(|connection| {
            list(
                connection,
                "find where a blob came from",
                "SELECT origins.upstream, origins.fingerprint, repositories.name, max(places.is_manifest)
                 FROM blobs
                 CROSS JOIN (
                     SELECT blob_id, repository_id, FALSE AS is_manifest FROM blob_links
                     UNION ALL SELECT blob_id, repository_id, TRUE FROM manifests
                 ) AS places ON places.blob_id = blobs.id
                 CROSS JOIN repositories ON repositories.id = places.repository_id
                     AND repositories.removed_from IS NULL
                 CROSS JOIN origins ON origins.id = repositories.origin_id
                 WHERE blobs.digest = ?1
                 GROUP BY origins.id, repositories.id",
                [digest],
                fetched_from,
            )
        })
    }
}

fn fetched_from(row: &Row<'_>) -> rusqlite::Result<FetchedFrom> {
    Ok(FetchedFrom {
        upstream: decoded(row, 0, |word| {
            RegistryHost::parse(word).map_err(|_| unknown_word("an upstream", word))
        })?,
        fingerprint: row.get(1)?,
        repository: decoded(row, 2, |word| {
            RepositoryName::parse(word).map_err(|_| unknown_word("a repository", word))
        })?,
        is_manifest: row.get(3)?,
    })
}
