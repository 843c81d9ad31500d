//! Lists of repositories: of some projects by number of rows, and of all that may be seen by path.

use rusqlite::{Connection, Row, params};

use super::{HostedRepository, RegistryDb};
use crate::error::Result;
use crate::store::ProjectId;
use crate::store::page::{MAX_COUNTED, Page, Window};
use crate::store::statement::{find, get, list, size, stored_size};
use crate::time::Timestamp;

const COLUMNS: &str = "id, project_id, path, created_at, tag_count";

/// A repository that holds a manifest, with an id that is never reused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryRow {
    pub id: i64,
    /// Its project, which may be gone.
    pub project: ProjectId,
    pub path: String,
    /// When something was first pushed to it.
    pub created_at: Timestamp,
    /// How many tags it has.
    pub tag_count: u64,
}

impl RegistryDb {
    /// Those of some projects: project by project as they are given, then by path.
    pub fn rows_of(&self, projects: &[ProjectId], window: Window) -> Result<Page<RepositoryRow>> {
        self.rows_matching(projects, "", window)
    }

    /// The same, of those whose path holds `search`.
    pub fn rows_matching(
        &self,
        projects: &[ProjectId],
        search: &str,
        window: Window,
    ) -> Result<Page<RepositoryRow>> {
        self.database.scan(|connection| {
            let (mut skip, mut total) = (window.offset, 0_u64);
            let wanted = window.count.saturating_add(1);
            let mut found = Vec::new();
            for &project in projects {
                let left = wanted.saturating_sub(found.len() as u64);
                if left == 0 && total > MAX_COUNTED {
                    break;
                }
                let most = skip.saturating_add(MAX_COUNTED).saturating_add(1);
                let count = count(connection, project, search, most)?;
                if left > 0 && count > skip {
                    found.extend(rows(connection, project, search, (left, skip))?);
                }
                skip = skip.saturating_sub(count);
                total = total.saturating_add(count);
            }
            Ok(Page {
                total: Some(total).filter(|&total| total <= MAX_COUNTED),
                ..Page::first(found, window.count)
            })
        })
    }

    /// The one with this id.
    pub fn row(&self, id: i64) -> Result<Option<RepositoryRow>> {
        self.database.read(|connection| {
            let text =
                format!("SELECT {COLUMNS} FROM repositories WHERE id = ?1 AND manifest_count > 0");
            find(connection, "find repository by id", &text, [id], row)
        })
    }

    /// The one at this path.
    pub fn row_at(&self, place: HostedRepository<'_>) -> Result<Option<RepositoryRow>> {
        self.database.read(|connection| {
            let text = format!(
                "SELECT {COLUMNS} FROM repositories
                 WHERE project_id = ?1 AND path = ?2 AND manifest_count > 0"
            );
            let parameters = params![place.project, place.path];
            find(
                connection,
                "find repository by path",
                &text,
                parameters,
                row,
            )
        })
    }

    /// The first `count` paths of a project's repositories that begin so.
    ///
    /// # Errors
    /// `Sql`.
    pub fn paths_beginning(
        &self,
        project: ProjectId,
        beginning: &str,
        count: u64,
    ) -> Result<Vec<String>> {
        let mut paths: Vec<String> = self.database.scan(|connection| {
            list(
                connection,
                "list paths of a project's repositories by their beginning",
                "SELECT path FROM repositories
                 WHERE project_id = ?1 AND manifest_count > 0 AND path >= ?2
                 ORDER BY path LIMIT ?3",
                params![project, beginning, stored_size(count)],
                |row| row.get(0),
            )
        })?;
        paths.retain(|path| path.starts_with(beginning));
        Ok(paths)
    }

    /// The first `count` paths behind `after` of a project's repositories.
    pub fn paths_of(&self, project: ProjectId, after: &str, count: u64) -> Result<Vec<String>> {
        self.database.scan(|connection| {
            list(
                connection,
                "list paths of a project's repositories",
                "SELECT path FROM repositories
                 WHERE project_id = ?1 AND manifest_count > 0 AND path > ?2
                 ORDER BY path LIMIT ?3",
                params![project, after, stored_size(count)],
                |row| row.get(0),
            )
        })
    }
}

fn rows(
    connection: &Connection,
    project: ProjectId,
    search: &str,
    (count, offset): (u64, u64),
) -> Result<Vec<RepositoryRow>> {
    let text = format!(
        "SELECT {COLUMNS} FROM repositories
         WHERE project_id = ?1 AND manifest_count > 0 AND instr(path, ?2) > 0
         ORDER BY path LIMIT ?3 OFFSET ?4"
    );
    let parameters = params![project, search, stored_size(count), stored_size(offset)];
    list(
        connection,
        "list a project's repositories",
        &text,
        parameters,
        row,
    )
}

/// How many a project has, but at most `most`.
fn count(connection: &Connection, project: ProjectId, search: &str, most: u64) -> Result<u64> {
    get(
        connection,
        "count a project's repositories",
        "SELECT count(*) FROM (
             SELECT 1 FROM repositories
             WHERE project_id = ?1 AND manifest_count > 0 AND instr(path, ?2) > 0 LIMIT ?3)",
        params![project, search, stored_size(most)],
        |row| size(row, 0),
    )
}

fn row(row: &Row<'_>) -> rusqlite::Result<RepositoryRow> {
    Ok(RepositoryRow {
        id: row.get(0)?,
        project: row.get(1)?,
        path: row.get(2)?,
        created_at: row.get(3)?,
        tag_count: size(row, 4)?,
    })
}
