//! How much lies in repositories, and that it stays within quotas: the bytes of files, and what their rows take.
//!
//! Rows count because one manifest of 4 MiB can have as many bytes of rows, and a tag costs as much as a small file. They
//! are charged with round figures that stand in `schema` and are about what they take on the disk, not measured.

use rusqlite::{Connection, params};

use super::{HostedRepository, RegistryDb, StorageLimit};
use crate::error::{Error, Kind, Result};
use crate::oci::Digest;
use crate::store::statement::{find, get, size};

/// Blobs and manifests of repositories at or below the path `?1`. `0` follows `/`.
const FILES: &str = "
    SELECT blob_id FROM blob_links
    JOIN repositories ON repositories.id = blob_links.repository_id
    WHERE path = ?1 OR (path > ?1 || '/' AND path < ?1 || '0')
    UNION
    SELECT blob_id FROM manifests
    JOIN repositories ON repositories.id = manifests.repository_id
    WHERE path = ?1 OR (path > ?1 || '/' AND path < ?1 || '0')";

/// A file that is to be kept.
pub(super) struct Counted<'a> {
    pub(super) digest: &'a Digest,
    pub(super) size: u64,
}

impl RegistryDb {
    /// Bytes of repositories at or below `path`: of blobs and manifests, each file once, and of all their rows.
    pub fn usage(&self, path: &str) -> Result<u64> {
        self.database.read(|connection| usage(connection, path))
    }
}

/// Runs `work`, which keeps `file` in `repository`, and fails where what it adds is beyond one of `limits`: then the
/// transaction is to be rolled back. Asked in the transaction, so that two pushes together cannot get beyond it.
/// What adds nothing is let in, also where a quota was lowered below what is there.
pub(super) fn keep_within<T>(
    connection: &Connection,
    limits: &[StorageLimit],
    repository: HostedRepository<'_>,
    file: &Counted<'_>,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    if limits.is_empty() {
        return work();
    }
    let counted = limits
        .iter()
        .map(|limit| is_counted(connection, &limit.path, file.digest))
        .collect::<Result<Vec<bool>>>()?;
    let before = row_bytes(connection, repository)?;
    let done = work()?;
    let rows = row_bytes(connection, repository)?.saturating_sub(before);
    for (limit, is_counted) in limits.iter().zip(counted) {
        let of_file = if is_counted { 0 } else { file.size };
        let added = rows.saturating_add(of_file);
        if added == 0 {
            continue;
        }
        let used = usage(connection, &limit.path)?;
        if used > limit.max_bytes {
            return Err(over_limit(limit, used.saturating_sub(added), added));
        }
    }
    Ok(done)
}

fn over_limit(limit: &StorageLimit, used: u64, added: u64) -> Error {
    Error::new(
        Kind::Denied,
        format!(
            "the storage quota of {} is {} bytes, of which {used} are used: {added} more do not fit",
            limit.path, limit.max_bytes
        ),
    )
    .remedy("delete images there, or have the quota raised")
}

/// Whether a file is counted at or below a path already.
fn is_counted(connection: &Connection, path: &str, digest: &Digest) -> Result<bool> {
    let found = find(
        connection,
        "look whether a blob is counted",
        "SELECT 1 FROM blobs WHERE digest = ?2 AND (
             EXISTS (SELECT 1 FROM blob_links
                 JOIN repositories ON repositories.id = blob_links.repository_id
                 WHERE blob_links.blob_id = blobs.id
                 AND (path = ?1 OR (path > ?1 || '/' AND path < ?1 || '0')))
             OR EXISTS (SELECT 1 FROM manifests
                 JOIN repositories ON repositories.id = manifests.repository_id
                 WHERE manifests.blob_id = blobs.id
                 AND (path = ?1 OR (path > ?1 || '/' AND path < ?1 || '0'))))",
        params![path, digest],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

/// What is charged for the repository's rows.
fn row_bytes(connection: &Connection, repository: HostedRepository<'_>) -> Result<u64> {
    let bytes = find(
        connection,
        "find what a repository's rows take",
        "SELECT row_bytes FROM repositories WHERE project_id = ?1 AND path = ?2",
        params![repository.project, repository.path],
        |row| size(row, 0),
    )?;
    Ok(bytes.unwrap_or(0))
}

fn usage(connection: &Connection, path: &str) -> Result<u64> {
    let text = format!(
        "SELECT (SELECT CAST(total(size) AS INTEGER) FROM blobs WHERE id IN ({FILES}))
             + (SELECT CAST(total(row_bytes) AS INTEGER) FROM repositories
                WHERE path = ?1 OR (path > ?1 || '/' AND path < ?1 || '0'))"
    );
    get(connection, "sum up storage", &text, [path], |row| {
        size(row, 0)
    })
}
