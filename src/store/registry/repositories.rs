//! Rows of repositories, and how much lies in them.

use rusqlite::{Connection, params};

use super::{CatalogEntry, HostedRepository, RegistryDb, StorageLimit};
use crate::error::{Error, Kind, Result};
use crate::store::ProjectId;
use crate::store::statement::{find, get, list, size};
use crate::time::Timestamp;

/// Bytes of blobs and manifests at or below a path, each file once. `0` follows `/`.
const USAGE: &str = "
    SELECT CAST(total(size) AS INTEGER) FROM blobs WHERE id IN (
        SELECT blob_id FROM blob_links
        JOIN repositories ON repositories.id = blob_links.repository_id
        WHERE path = ?1 OR (path > ?1 || '/' AND path < ?1 || '0')
        UNION
        SELECT blob_id FROM manifests
        JOIN repositories ON repositories.id = manifests.repository_id
        WHERE path = ?1 OR (path > ?1 || '/' AND path < ?1 || '0'))";

/// Whether a file is counted at or below a path already.
const IS_COUNTED: &str = "
    SELECT 1 FROM blobs WHERE digest = ?2 AND id IN (
        SELECT blob_id FROM blob_links
        JOIN repositories ON repositories.id = blob_links.repository_id
        WHERE path = ?1 OR (path > ?1 || '/' AND path < ?1 || '0')
        UNION
        SELECT blob_id FROM manifests
        JOIN repositories ON repositories.id = manifests.repository_id
        WHERE path = ?1 OR (path > ?1 || '/' AND path < ?1 || '0'))";

impl RegistryDb {
    /// Bytes of blobs and manifests of repositories at or below `path`, each file once.
    pub fn usage(&self, path: &str) -> Result<u64> {
        self.database.read(|connection| usage(connection, path))
    }

    /// Whether the repository has a row: something was pushed to it.
    pub fn has_repository(&self, repository: HostedRepository<'_>) -> Result<bool> {
        self.database
            .read(|connection| Ok(id(connection, repository)?.is_some()))
    }

    /// Repositories that hold a manifest, by path, behind `after`, at most `count`.
    pub fn catalog(&self, after: &str, count: u64) -> Result<Vec<CatalogEntry>> {
        self.database.scan(|connection| {
            list(
                connection,
                "list repositories",
                // Of several projects that have had a path, the last one has it now.
                "SELECT max(project_id), path FROM repositories WHERE path > ?1
                 AND EXISTS (SELECT 1 FROM manifests WHERE repository_id = repositories.id)
                 GROUP BY path ORDER BY path LIMIT ?2",
                params![after, i64::try_from(count).unwrap_or(i64::MAX)],
                |row| {
                    Ok(CatalogEntry {
                        project: ProjectId(row.get(0)?),
                        path: row.get(1)?,
                    })
                },
            )
        })
    }

    /// Repositories of one project that hold a manifest, by path.
    pub fn repositories_of(&self, project: ProjectId) -> Result<Vec<CatalogEntry>> {
        self.database.scan(|connection| {
            list(
                connection,
                "list repositories of a project",
                "SELECT project_id, path FROM repositories WHERE project_id = ?1
                 AND EXISTS (SELECT 1 FROM manifests WHERE repository_id = repositories.id)
                 ORDER BY path",
                [project.0],
                |row| {
                    Ok(CatalogEntry {
                        project: ProjectId(row.get(0)?),
                        path: row.get(1)?,
                    })
                },
            )
        })
    }
}

/// The repository's id, if it has a row.
pub(super) fn id(connection: &Connection, repository: HostedRepository<'_>) -> Result<Option<i64>> {
    find(
        connection,
        "find repository",
        "SELECT id FROM repositories WHERE project_id = ?1 AND path = ?2",
        params![repository.project.0, repository.path],
        |row| row.get(0),
    )
}

/// The repository's id, with a row made if need be.
pub(super) fn ensure(
    connection: &Connection,
    repository: HostedRepository<'_>,
    now: Timestamp,
) -> Result<i64> {
    if let Some(id) = id(connection, repository)? {
        return Ok(id);
    }
    get(
        connection,
        "add repository",
        "INSERT INTO repositories (project_id, path, created_at) VALUES (?1, ?2, ?3) RETURNING id",
        params![repository.project.0, repository.path, now.0],
        |row| row.get(0),
    )
}

/// Fails where `bytes` more, of a file with `digest`, would be beyond one of `limits`. Asked in the transaction
/// that adds them: two pushes together cannot get beyond it.
pub(super) fn keep_within(
    connection: &Connection,
    limits: &[StorageLimit],
    digest: &crate::oci::Digest,
    bytes: u64,
) -> Result<()> {
    for limit in limits {
        let is_counted = find(
            connection,
            "look whether a blob is counted",
            IS_COUNTED,
            params![limit.path, digest.as_str()],
            |_| Ok(()),
        )?;
        if is_counted.is_some() {
            continue;
        }
        let used = usage(connection, &limit.path)?;
        if used.saturating_add(bytes) > limit.max_bytes {
            return Err(over_limit(limit, used, bytes));
        }
    }
    Ok(())
}

/// The sentence for a push that would be beyond a limit.
pub(super) fn over_limit(limit: &StorageLimit, used: u64, bytes: u64) -> Error {
    Error::new(
        Kind::Denied,
        format!(
            "the storage quota of {} is {} bytes, of which {used} are used: {bytes} more do not fit",
            limit.path, limit.max_bytes
        ),
    )
    .remedy("delete images there, or have the quota raised")
}

fn usage(connection: &Connection, path: &str) -> Result<u64> {
    get(connection, "sum up storage", USAGE, [path], |row| {
        size(row, 0)
    })
}
