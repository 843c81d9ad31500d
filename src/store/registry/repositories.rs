//! Rows of repositories, as pushes make them.

use rusqlite::{Connection, params};

use super::{HostedRepository, RegistryDb};
use crate::error::Result;
use crate::store::statement::{find, get};
use crate::time::Timestamp;

/// The repository of the project `?1` with the path `?2`, and those of this path that were removed.
pub(super) const OF_PATH: &str =
    "SELECT id FROM repositories WHERE path = ?2 AND (project_id = ?1 OR removed_from = ?1)";

impl RegistryDb {
    /// Whether the repository has a row: something was pushed to it.
    pub fn has_repository(&self, repository: HostedRepository<'_>) -> Result<bool> {
        self.database
            .read(|connection| Ok(id(connection, repository)?.is_some()))
    }
}

/// The repository's id, if it has a row.
pub(super) fn id(connection: &Connection, repository: HostedRepository<'_>) -> Result<Option<i64>> {
    find(
        connection,
        "find repository",
        "SELECT id FROM repositories WHERE project_id = ?1 AND path = ?2",
        params![repository.project, repository.path],
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
        params![repository.project, repository.path, now],
        |row| row.get(0),
    )
}
