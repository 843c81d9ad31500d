//! Repositories as the REST API shows them: by an id that is never reused.

use rusqlite::Row;

use super::RegistryDb;
use crate::error::Result;
use crate::store::ProjectId;
use crate::store::statement::{find, list};
use crate::time::Timestamp;

const SELECT: &str = "SELECT id, project_id, path, created_at FROM repositories";
const HOLDS_SOMETHING: &str =
    "EXISTS (SELECT 1 FROM manifests WHERE repository_id = repositories.id)";

/// A repository that holds a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryRow {
    /// The row.
    pub id: i64,
    /// Its project, which may be gone.
    pub project: ProjectId,
    /// Its whole path.
    pub path: String,
    /// When something was first pushed to it.
    pub created_at: Timestamp,
}

impl RegistryDb {
    /// Those of one project, by path.
    pub fn rows_of(&self, project: ProjectId) -> Result<Vec<RepositoryRow>> {
        self.database.scan(|connection| {
            let text =
                format!("{SELECT} WHERE project_id = ?1 AND {HOLDS_SOMETHING} ORDER BY path");
            list(
                connection,
                "list a project's repositories",
                &text,
                [project.0],
                row,
            )
        })
    }

    /// The one with this id.
    pub fn row(&self, id: i64) -> Result<Option<RepositoryRow>> {
        self.database.read(|connection| {
            let text = format!("{SELECT} WHERE id = ?1 AND {HOLDS_SOMETHING}");
            find(connection, "find repository by id", &text, [id], row)
        })
    }
}

fn row(row: &Row<'_>) -> rusqlite::Result<RepositoryRow> {
    Ok(RepositoryRow {
        id: row.get(0)?,
        project: ProjectId(row.get(1)?),
        path: row.get(2)?,
        created_at: Timestamp(row.get(3)?),
    })
}
