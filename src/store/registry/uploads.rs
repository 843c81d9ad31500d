//! Rows of uploads: which repository a random id belongs to. Their bytes lie in `staging/`.

use rusqlite::params;

use super::{HostedRepository, RegistryDb, repositories};
use crate::error::{Error, Result};
use crate::oci::Algorithm;
use crate::store::database::Synchronous;
use crate::store::statement::{find, get, list, run, size};
use crate::time::Timestamp;

/// An upload that has begun and has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostedUpload {
    /// Random, and nobody else's secret: who knows it and may push to the repository can go on with it.
    pub id: String,
    /// What its bytes are hashed by while they arrive.
    pub algorithm: Algorithm,
    pub started_at: Timestamp,
}

impl RegistryDb {
    /// Begins an upload, if fewer than `most` are open in the project; says whether it did. A power cut may undo
    /// it, which costs the client a new beginning and the box no wait for the disk.
    pub fn start_upload(
        &self,
        repository: HostedRepository<'_>,
        upload: &HostedUpload,
        most: u64,
    ) -> Result<bool> {
        self.database.write_with(Synchronous::Normal, |connection| {
            let open = get(
                connection,
                "count uploads of a project",
                "SELECT count(*) FROM uploads WHERE project_id = ?1",
                [repository.project.0],
                |row| size(row, 0),
            )?;
            if open >= most {
                return Ok(false);
            }
            let id = repositories::ensure(connection, repository, upload.started_at)?;
            run(
                connection,
                "start upload",
                "INSERT INTO uploads (id, repository_id, project_id, algorithm, started_at)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    upload.id,
                    id,
                    repository.project,
                    upload.algorithm.as_str(),
                    upload.started_at
                ],
            )?;
            Ok(true)
        })
    }

    /// The ids of uploads to repositories at or below `path`. `0` follows `/`.
    pub fn uploads_below(&self, path: &str) -> Result<Vec<String>> {
        self.database.read(|connection| {
            list(
                connection,
                "list uploads below a path",
                "SELECT uploads.id FROM repositories
                 JOIN uploads ON uploads.repository_id = repositories.id
                 WHERE path = ?1 OR (path > ?1 || '/' AND path < ?1 || '0')",
                [path],
                |row| row.get(0),
            )
        })
    }

    /// The upload of this id in this repository.
    pub fn upload(
        &self,
        repository: HostedRepository<'_>,
        id: &str,
    ) -> Result<Option<HostedUpload>> {
        self.database.read(|connection| {
            find(
                connection,
                "find upload",
                "SELECT uploads.id, uploads.algorithm, uploads.started_at
                 FROM uploads JOIN repositories ON repositories.id = uploads.repository_id
                 WHERE uploads.id = ?1 AND repositories.project_id = ?2 AND repositories.path = ?3",
                params![id, repository.project, repository.path],
                upload,
            )
        })
    }

    pub fn uploads(&self) -> Result<Vec<HostedUpload>> {
        self.database.scan(|connection| {
            list(
                connection,
                "list uploads",
                "SELECT id, algorithm, started_at FROM uploads ORDER BY started_at",
                [],
                upload,
            )
        })
    }

    /// Forgets an upload; says whether there was one.
    pub fn end_upload(&self, id: &str) -> Result<bool> {
        self.database.write_with(Synchronous::Normal, |connection| {
            let ended = run(
                connection,
                "end upload",
                "DELETE FROM uploads WHERE id = ?1",
                [id],
            )?;
            Ok(ended > 0)
        })
    }
}

fn upload(row: &rusqlite::Row<'_>) -> rusqlite::Result<HostedUpload> {
    let algorithm = crate::store::statement::decoded(row, 1, |word| {
        Algorithm::parse(word)
            .ok_or_else(|| Error::internal(format!("an upload with the algorithm {word:?}")))
    })?;
    Ok(HostedUpload {
        id: row.get(0)?,
        algorithm,
        started_at: row.get(2)?,
    })
}
