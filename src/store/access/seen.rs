//! Lists of the groups and projects that somebody may see, cut out by the database: what others have stored costs
//! nothing. Who sees what is decided by `auth::policy`, which describes it as a [`Viewer`]; a test compares the two.

use rusqlite::Row;

use super::groups::group;
use super::projects::project;
use super::{AccessDb, Group, GroupId, Level, Project, ProjectId, UserId, Visibility};
use crate::error::Result;
use crate::store::page::{Conditions, Listing, Page, Window, json_of, page, rows};

/// What somebody sees of groups and projects: the union of all that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Viewer {
    pub all: bool,
    /// That of which this user is a member, and what is below it.
    pub user: Option<UserId>,
    /// This group and what is below it; a bot has a level there.
    pub group: Option<(GroupId, Option<Level>)>,
    /// This project; a bot has a level there.
    pub project: Option<(ProjectId, Option<Level>)>,
    /// These groups, but not what is below them.
    pub groups: Vec<GroupId>,
    /// What is public, with all groups above it.
    pub public: bool,
}

/// Which of the groups or projects that are seen; all conditions hold at once.
#[derive(Debug, Clone, Default)]
pub struct SeenFilter {
    /// Those that lie in this group itself.
    pub parent: Option<GroupId>,
    /// Those below this path, however deep.
    pub below: Option<String>,
    /// Those that lie in no group.
    pub top_level: bool,
    /// Those whose path holds this.
    pub search: Option<String>,
    /// Those of this visibility.
    pub visibility: Option<Visibility>,
    /// Those where the viewer has at least this level.
    pub least: Option<Level>,
}

/// The viewer's own groups with levels, and the public groups. `?1`: user, `?2` and `?3`: group and level, `?4`:
/// whether what is public is seen, `?5`: single groups, `?6` and `?7`: project and level.
const PLACES: &str = "
    WITH RECURSIVE placed (id, level) AS (
        SELECT group_ancestors.group_id, members.level
        FROM members CROSS JOIN group_ancestors ON group_ancestors.ancestor_id = members.group_id
        WHERE members.user_id = ?1
        UNION
        SELECT group_id, ?3 FROM group_ancestors WHERE ancestor_id = ?2
    ),
    open (id) AS (
        SELECT id FROM groups WHERE ?4 AND parent_id IS NULL AND visibility = 'public'
        UNION
        SELECT groups.id FROM open
        CROSS JOIN groups ON groups.parent_id = open.id AND groups.visibility = 'public'
    )";

/// Groups, behind [`PLACES`].
const GROUPS: &str = "
    , levels (id, level) AS (SELECT id, max(level) FROM placed GROUP BY id)
    , seen (seen_id) AS (
        SELECT id FROM placed UNION SELECT id FROM open UNION SELECT value FROM json_each(?5))";

/// Projects, behind [`PLACES`].
const PROJECTS: &str = "
    , own (id, level) AS (
        SELECT projects.id, placed.level
        FROM placed CROSS JOIN projects ON projects.group_id = placed.id
        UNION ALL
        SELECT project_id, level FROM project_members WHERE user_id = ?1
        UNION ALL
        SELECT ?6, ?7 WHERE ?6 IS NOT NULL
    ),
    levels (id, level) AS (SELECT id, max(level) FROM own GROUP BY id),
    seen (seen_id) AS (
        SELECT id FROM levels
        UNION
        SELECT projects.id FROM open CROSS JOIN projects
            ON projects.group_id = open.id AND projects.visibility = 'public')";

impl AccessDb {
    /// Groups, by path.
    pub fn seen_groups(
        &self,
        viewer: &Viewer,
        filter: &SeenFilter,
        window: Window,
    ) -> Result<Page<Group>> {
        let seen = Seen::groups(viewer, filter)?;
        self.database
            .scan(|connection| page(connection, &seen.listing(), &seen.conditions, window, group))
    }

    /// Projects, by path.
    pub fn seen_projects(
        &self,
        viewer: &Viewer,
        filter: &SeenFilter,
        window: Window,
    ) -> Result<Page<Project>> {
        let seen = Seen::projects(viewer, filter)?;
        self.database.scan(|connection| {
            page(
                connection,
                &seen.listing(),
                &seen.conditions,
                window,
                project,
            )
        })
    }

    /// The first `count` projects behind the path `after`, by path.
    pub fn seen_projects_behind(
        &self,
        viewer: &Viewer,
        after: &str,
        count: u64,
    ) -> Result<Vec<Project>> {
        let mut seen = Seen::projects(viewer, &SeenFilter::default())?;
        seen.conditions.and("projects.path > ?", after.to_owned());
        self.first_projects(&seen, count)
    }

    /// The projects of these paths, by path.
    pub fn seen_projects_named(&self, viewer: &Viewer, paths: &[&str]) -> Result<Vec<Project>> {
        let mut seen = Seen::projects(viewer, &SeenFilter::default())?;
        let condition = "projects.path IN (SELECT value FROM json_each(?))";
        seen.conditions.and(condition, json_of(&paths)?);
        self.first_projects(&seen, paths.len() as u64)
    }

    /// The ids of the projects below a group's path, by path.
    pub fn seen_projects_below(&self, viewer: &Viewer, path: &str) -> Result<Vec<ProjectId>> {
        let below = Some(path.to_owned());
        let filter = SeenFilter {
            below,
            ..SeenFilter::default()
        };
        self.seen_project_ids(viewer, &filter)
    }

    /// The ids of projects, by path.
    pub fn seen_project_ids(&self, viewer: &Viewer, filter: &SeenFilter) -> Result<Vec<ProjectId>> {
        let mut seen = Seen::projects(viewer, filter)?;
        seen.columns = "id";
        self.database.scan(|connection| {
            let id = |row: &Row<'_>| row.get(0).map(ProjectId);
            rows(
                connection,
                &seen.listing(),
                &seen.conditions,
                Window::ALL,
                id,
            )
        })
    }

    fn first_projects(&self, seen: &Seen, count: u64) -> Result<Vec<Project>> {
        let window = Window { offset: 0, count };
        self.database.scan(|connection| {
            rows(
                connection,
                &seen.listing(),
                &seen.conditions,
                window,
                project,
            )
        })
    }
}

/// A list that a viewer sees, as SQL.
struct Seen {
    statement: &'static str,
    columns: &'static str,
    with: String,
    from: String,
    conditions: Conditions,
}

impl Seen {
    fn groups(viewer: &Viewer, filter: &SeenFilter) -> Result<Self> {
        let mut seen = Self::new("groups", GROUPS, viewer, filter)?;
        seen.statement = "list groups";
        seen.columns = super::groups::COLUMNS;
        let parent = filter.parent.map(|id| id.0);
        seen.conditions.and_if("groups.parent_id = ?", parent);
        if filter.top_level {
            seen.conditions.and_always("groups.parent_id IS NULL");
        }
        Ok(seen)
    }

    fn projects(viewer: &Viewer, filter: &SeenFilter) -> Result<Self> {
        let mut seen = Self::new("projects", PROJECTS, viewer, filter)?;
        let parent = filter.parent.map(|id| id.0);
        seen.conditions.and_if("projects.group_id = ?", parent);
        Ok(seen)
    }

    fn new(table: &str, with: &str, viewer: &Viewer, filter: &SeenFilter) -> Result<Self> {
        let (group, project) = (viewer.group.unzip(), viewer.project.unzip());
        let number = |level: Option<Option<Level>>| level.flatten().map(Level::number).into();
        let mut conditions = Conditions::after(vec![
            viewer.user.map(|id| id.0).into(),
            group.0.map(|id| id.0).into(),
            number(group.1),
            viewer.public.into(),
            json_of(&viewer.groups)?.into(),
            project.0.map(|id| id.0).into(),
            number(project.1),
        ]);
        if let Some(path) = &filter.below {
            // `0` follows `/`.
            conditions.and("path > ?", format!("{path}/"));
            conditions.and("path < ?", format!("{path}0"));
        }
        conditions.and_if("instr(path, ?)", filter.search.clone());
        let visibility = filter.visibility.map(|word| word.as_str().to_owned());
        conditions.and_if("visibility = ?", visibility);
        let least = filter.least.map(Level::number);
        conditions.and_if(
            &format!("{table}.id IN (SELECT id FROM levels WHERE level >= ?)"),
            least,
        );
        Ok(Self {
            statement: "list projects",
            columns: super::projects::COLUMNS,
            with: format!("{PLACES}{with}"),
            from: match viewer.all {
                true => format!("FROM {table}"),
                false => format!("FROM seen CROSS JOIN {table} ON {table}.id = seen_id"),
            },
            conditions,
        })
    }

    fn listing(&self) -> Listing<'_> {
        Listing {
            statement: self.statement,
            with: &self.with,
            columns: self.columns,
            from: &self.from,
            order: "path",
        }
    }
}
