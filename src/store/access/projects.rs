//! Projects: paths below a group, which own hosted repositories.

use rusqlite::{Row, params};

use super::groups::visibility;
use super::{AccessDb, GroupId, Project, ProjectId, Visibility, no_such, shown, taken};
use crate::error::{Error, Kind, Result};
use crate::store::audit::{Actor, Event, EventKind};
use crate::store::statement::{find, get, list};
use crate::time::Timestamp;

const COLUMNS: &str = "id, path, group_id, visibility, created_at";

impl AccessDb {
    /// Makes a project in the group that its path without the last part names. `NotFound` if there is no such
    /// group; `Conflict` if a project or group has the path.
    pub fn create_project(
        &self,
        actor: &Actor,
        path: &str,
        visibility: Visibility,
    ) -> Result<ProjectId> {
        let no_group = |group: &str| {
            Error::new(
                Kind::NotFound,
                format!("there is no group `{}`", shown(group)),
            )
            .remedy("a project lies in a group: make that first")
        };
        let occupied = || format!("there is a project or group `{}` already", shown(path));
        let (parent, _) = path.rsplit_once('/').ok_or_else(|| no_group(""))?;
        self.database
            .change(actor, |connection| {
                let group = find(
                    connection,
                    "find the project's group",
                    "SELECT id FROM groups WHERE path = ?1",
                    [parent],
                    |row| row.get::<_, i64>(0),
                )?
                .ok_or_else(|| no_group(parent))?;
                let is_group = find(
                    connection,
                    "look for a group of the project's path",
                    "SELECT 1 FROM groups WHERE path = ?1",
                    [path],
                    |_| Ok(()),
                )?;
                if is_group.is_some() {
                    return Err(Error::new(Kind::Conflict, occupied()));
                }
                let id = get(
                    connection,
                    "add project",
                    "INSERT INTO projects (path, group_id, visibility, created_at)
                     VALUES (?1, ?2, ?3, ?4) RETURNING id",
                    params![path, group, visibility.as_str(), Timestamp::now().0],
                    |row| row.get(0).map(ProjectId),
                )?;
                let event = about(EventKind::ProjectCreated, id, path)
                    .detail("visibility", visibility.as_str());
                Ok((id, Some(event)))
            })
            .map_err(|error| taken(error, occupied))
    }

    /// The project with this id.
    pub fn project(&self, id: ProjectId) -> Result<Option<Project>> {
        self.database.read(|connection| {
            let text = select("WHERE id = ?1");
            find(connection, "find project", &text, [id.0], project)
        })
    }

    /// The project at this path, exactly as written.
    pub fn project_by_path(&self, path: &str) -> Result<Option<Project>> {
        self.database.read(|connection| {
            let text = select("WHERE path = ?1");
            find(connection, "find project by path", &text, [path], project)
        })
    }

    /// All projects, by path.
    pub fn projects(&self) -> Result<Vec<Project>> {
        self.database.read(|connection| {
            let text = select("ORDER BY path");
            list(connection, "list projects", &text, [], project)
        })
    }

    /// Changes who may know of it. `NotFound` if there is no such project.
    pub fn set_project(&self, actor: &Actor, id: ProjectId, visibility: Visibility) -> Result<()> {
        self.database.change(actor, |connection| {
            let path = find(
                connection,
                "change project",
                "UPDATE projects SET visibility = ?2 WHERE id = ?1 RETURNING path",
                params![id.0, visibility.as_str()],
                |row| row.get::<_, String>(0),
            )?;
            let path = path.ok_or_else(|| no_such("project", id.0))?;
            let event = about(EventKind::ProjectChanged, id, &path)
                .detail("visibility", visibility.as_str());
            Ok(((), Some(event)))
        })
    }

    /// Removes the project and its tokens. `NotFound` if there is no such project.
    pub fn remove_project(&self, actor: &Actor, id: ProjectId) -> Result<()> {
        self.database.change(actor, |connection| {
            let path = find(
                connection,
                "remove project",
                "DELETE FROM projects WHERE id = ?1 RETURNING path",
                [id.0],
                |row| row.get::<_, String>(0),
            )?;
            let path = path.ok_or_else(|| no_such("project", id.0))?;
            Ok(((), Some(about(EventKind::ProjectRemoved, id, &path))))
        })
    }
}

fn about(kind: EventKind, id: ProjectId, path: &str) -> Event {
    Event::new(kind)
        .subject("project", path, Some(id.0))
        .group(Some(path))
}

fn select(rest: &str) -> String {
    format!("SELECT {COLUMNS} FROM projects {rest}")
}

fn project(row: &Row<'_>) -> rusqlite::Result<Project> {
    Ok(Project {
        id: ProjectId(row.get(0)?),
        path: row.get(1)?,
        group: GroupId(row.get(2)?),
        visibility: visibility(row, 3)?,
        created_at: Timestamp(row.get(4)?),
    })
}
