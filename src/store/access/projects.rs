//! Projects, which own hosted repositories: rows of `projects`.

use rusqlite::{Connection, Row, params};
use serde::Serialize;

use super::groups::{lineage, quota, quota_detail};
use super::{
    AccessDb, CleanupPolicy, GroupId, ProjectId, Viewer, Visibility, cleanup, no_such, taken,
};
use crate::error::{Error, Kind, Result, excerpt};
use crate::store::audit::{Actor, Event, EventKind, EventPlace};
use crate::store::page::json_of;
use crate::store::statement::{find, get, list, run, stored_size};
use crate::time::Timestamp;

pub(super) const COLUMNS: &str = "id, path, group_id, visibility, created_at, quota";

/// A project: a path below a group, which owns hosted repositories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Project {
    pub id: ProjectId,
    /// `acme/backend/api`.
    pub path: String,
    /// The group that it lies in: the path without its last part.
    pub group: GroupId,
    /// Who may know of it; public only where every group above it is public too.
    pub visibility: Visibility,
    /// The most bytes that may be pushed to it; `None`: no limit of its own.
    pub quota: Option<u64>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What to change of a project; `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectChanges {
    /// As [`Project::visibility`].
    pub visibility: Option<Visibility>,
    /// As [`Project::quota`]; `Some(None)` takes it away.
    pub quota: Option<Option<u64>>,
    /// Replaces the whole policy.
    pub cleanup: Option<CleanupPolicy>,
}

impl AccessDb {
    /// Makes a project in the group that its path without the last part names. `NotFound` if there is no such
    /// group; `Conflict` if a project or group has the path, or if it were public below a private group.
    pub fn create_project(
        &self,
        actor: &Actor,
        path: &str,
        visibility: Visibility,
    ) -> Result<ProjectId> {
        let no_group = |group: &str| {
            Error::new(
                Kind::NotFound,
                format!("there is no group `{}`", excerpt(group)),
            )
            .remedy("a project lies in a group: make that first")
        };
        let occupied = || format!("there is a project or group `{}` already", excerpt(path));
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
                if visibility == Visibility::Public {
                    refuse_below_private(connection, path, group)?;
                }
                let id = get(
                    connection,
                    "add project",
                    "INSERT INTO projects (path, group_id, visibility, created_at)
                     VALUES (?1, ?2, ?3, ?4) RETURNING id",
                    params![path, group, visibility.as_str(), Timestamp::now().0],
                    |row| row.get(0).map(ProjectId),
                )?;
                let event = about(connection, EventKind::ProjectCreated, id)?
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

    /// The project whose path is the longest that is `path` or a prefix of it, part by part.
    pub fn project_owning(&self, path: &str) -> Result<Option<ProjectId>> {
        let ends = path.match_indices('/').map(|(at, _)| at);
        let ends = ends.chain([path.len()]);
        let prefixes: Vec<&str> = ends.filter_map(|end| path.get(..end)).collect();
        let prefixes = json_of(&prefixes)?;
        self.database.read(|connection| {
            find(
                connection,
                "find the project of a repository",
                "SELECT id FROM projects WHERE path IN (SELECT value FROM json_each(?1))
                 ORDER BY length(path) DESC LIMIT 1",
                [prefixes],
                |row| row.get(0).map(ProjectId),
            )
        })
    }

    /// All projects, by path.
    pub fn projects(&self) -> Result<Vec<Project>> {
        self.database.scan(|connection| {
            let text = select("ORDER BY path");
            list(connection, "list projects", &text, [], project)
        })
    }

    /// The projects below a group's path, by path.
    pub fn projects_below(&self, path: &str) -> Result<Vec<ProjectId>> {
        let viewer = Viewer {
            all: true,
            ..Viewer::default()
        };
        self.seen_projects_below(&viewer, path)
    }

    /// Changes what is given. `NotFound` if there is no such project; `Conflict` for making one public below a
    /// private group.
    pub fn set_project(
        &self,
        actor: &Actor,
        id: ProjectId,
        changes: &ProjectChanges,
    ) -> Result<()> {
        self.database.change(actor, |connection| {
            let changed = find(
                connection,
                "change project",
                "UPDATE projects SET visibility = ifnull(?2, visibility), quota = iif(?3, ?4, quota)
                 WHERE id = ?1 RETURNING path, group_id",
                params![
                    id.0,
                    changes.visibility.map(Visibility::as_str),
                    changes.quota.is_some(),
                    changes.quota.flatten().map(stored_size),
                ],
                |row| Ok((row.get::<_, String>(0)?, row.get(1)?)),
            )?;
            let (path, group) = changed.ok_or_else(|| no_such("project", id.0))?;
            if changes.visibility == Some(Visibility::Public) {
                refuse_below_private(connection, &path, group)?;
            }
            let mut event = about(connection, EventKind::ProjectChanged, id)?
                .detail_if("visibility", changes.visibility.map(Visibility::as_str))
                .detail_if("quota", changes.quota.map(quota_detail));
            if let Some(policy) = &changes.cleanup {
                cleanup::set(connection, id, policy)?;
                event = cleanup::details(event, policy);
            }
            Ok(((), Some(event)))
        })
    }

    /// Removes the project, its members, rules and tokens. `NotFound` if there is no such project.
    pub fn remove_project(&self, actor: &Actor, id: ProjectId) -> Result<()> {
        self.database.change(actor, |connection| {
            let event = about(connection, EventKind::ProjectRemoved, id)?;
            run(
                connection,
                "remove project",
                "DELETE FROM projects WHERE id = ?1",
                [id.0],
            )?;
            Ok(((), Some(event)))
        })
    }
}

/// `Conflict` where a group above is private: who may not see the group cannot see what is in it.
fn refuse_below_private(connection: &Connection, path: &str, group: i64) -> Result<()> {
    let private = find(
        connection,
        "find a private group above",
        "SELECT groups.path
         FROM group_ancestors JOIN groups ON groups.id = group_ancestors.ancestor_id
         WHERE group_ancestors.group_id = ?1 AND groups.visibility <> 'public'
         ORDER BY distance LIMIT 1",
        [group],
        |row| row.get::<_, String>(0),
    )?;
    match private {
        None => Ok(()),
        Some(group) => Err(Error::new(
            Kind::Conflict,
            format!(
                "the project `{}` cannot be public: the group `{}` above it is private",
                excerpt(path),
                excerpt(&group)
            ),
        )
        .remedy("make the group public first, or leave the project private")),
    }
}

/// What is said of a project that there is.
fn about(connection: &Connection, kind: EventKind, id: ProjectId) -> Result<Event> {
    let place = project_place(connection, id)?.ok_or_else(|| no_such("project", id.0))?;
    Ok(Event::new(kind)
        .subject("project", place.path(), Some(id.0))
        .place(Some(place)))
}

/// A project as events name it.
pub(super) fn project_place(
    connection: &Connection,
    project: ProjectId,
) -> Result<Option<EventPlace>> {
    let found = find(
        connection,
        "find a project's path",
        "SELECT path, group_id FROM projects WHERE id = ?1",
        [project.0],
        |row| Ok((row.get::<_, String>(0)?, row.get(1).map(GroupId)?)),
    )?;
    let Some((path, group)) = found else {
        return Ok(None);
    };
    let lineage = lineage(connection, group)?;
    let groups: Vec<_> = lineage.into_iter().map(|(id, _)| id).collect();
    Ok(Some(EventPlace::in_project(&path, project, &groups)))
}

fn select(rest: &str) -> String {
    format!("SELECT {COLUMNS} FROM projects {rest}")
}

pub(super) fn project(row: &Row<'_>) -> rusqlite::Result<Project> {
    Ok(Project {
        id: ProjectId(row.get(0)?),
        path: row.get(1)?,
        group: GroupId(row.get(2)?),
        visibility: row.get(3)?,
        created_at: Timestamp(row.get(4)?),
        quota: quota(row, 5)?,
    })
}
