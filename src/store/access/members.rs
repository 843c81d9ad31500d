//! Members of groups and projects, and the levels that they inherit down the tree.

use std::borrow::Cow;

use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray, VariantNames};

use super::groups::group_place;
use super::projects::project_place;
use super::{AccessDb, GroupId, ProjectId, UserId};
use crate::error::Result;
use crate::store::audit::{Actor, Event, EventKind, EventPlace};
use crate::store::page::{Conditions, Listing, Page, Window, json_of, page};
use crate::store::statement::{find, list, run, unknown_word};

/// Access levels as in GitLab: 10, 20, 30, 40, 50.
///
/// JSON has the number, commands have the word.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
    VariantNames,
)]
#[serde(try_from = "i64", into = "i64")]
#[strum(serialize_all = "snake_case")]
pub enum Level {
    /// 10
    Guest = 10,
    /// 20
    Reporter = 20,
    /// 30
    Developer = 30,
    /// 40
    Maintainer = 40,
    /// 50
    Owner = 50,
}

impl Level {
    /// The level of GitLab's number; `None` for other numbers.
    pub fn from_number(number: i64) -> Option<Self> {
        let mut levels = <Self as VariantArray>::VARIANTS.iter().copied();
        levels.find(|level| level.number() == number)
    }

    /// GitLab's number.
    pub fn number(self) -> i64 {
        self as i64
    }
}

impl TryFrom<i64> for Level {
    type Error = &'static str;

    fn try_from(number: i64) -> std::result::Result<Self, Self::Error> {
        Self::from_number(number).ok_or("it is no access level")
    }
}

impl From<Level> for i64 {
    fn from(level: Level) -> Self {
        level.number()
    }
}

impl JsonSchema for Level {
    fn schema_name() -> Cow<'static, str> {
        "Level".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let levels = <Self as VariantArray>::VARIANTS;
        json_schema!({ "type": "integer", "enum": levels })
    }
}

/// A direct member of a group or a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// The user's name.
    pub user: String,
    /// The user's row.
    pub user_id: UserId,
    /// The level given here; a group above may give a higher one.
    pub level: Level,
    /// Whether the user is let in nowhere.
    pub is_blocked: bool,
}

/// Which members: of all these places together.
#[derive(Debug, Clone, Default)]
pub struct MemberFilter {
    /// Of this project itself.
    pub project: Option<ProjectId>,
    /// Of these groups themselves.
    pub groups: Vec<GroupId>,
    /// This user alone.
    pub user: Option<UserId>,
    /// Those whose name holds this.
    pub search: Option<String>,
}

/// What somebody is a direct member of; its rows are alike in two tables.
#[derive(Clone, Copy)]
enum MemberOf {
    Group(GroupId),
    Project(ProjectId),
}

impl MemberOf {
    /// The table, its column of what they are members of, and that one's row.
    fn rows(self) -> (&'static str, &'static str, i64) {
        match self {
            Self::Group(group) => ("members", "group_id", group.0),
            Self::Project(project) => ("project_members", "project_id", project.0),
        }
    }

    fn place(self, connection: &Connection) -> Result<Option<EventPlace>> {
        match self {
            Self::Group(group) => group_place(connection, Some(group)),
            Self::Project(project) => project_place(connection, project),
        }
    }
}

impl AccessDb {
    /// Makes the user a direct member, or changes the level. `NotFound` if the group or user is gone.
    pub fn set_member(
        &self,
        actor: &Actor,
        group: GroupId,
        user: UserId,
        level: Level,
    ) -> Result<()> {
        self.set_member_of(actor, MemberOf::Group(group), user, level)
    }

    /// Makes the user a member of the project itself, or changes the level. `NotFound` if the project or user
    /// is gone.
    pub fn set_project_member(
        &self,
        actor: &Actor,
        project: ProjectId,
        user: UserId,
        level: Level,
    ) -> Result<()> {
        self.set_member_of(actor, MemberOf::Project(project), user, level)
    }

    fn set_member_of(&self, actor: &Actor, of: MemberOf, user: UserId, level: Level) -> Result<()> {
        let (table, column, id) = of.rows();
        self.database.change(actor, |connection| {
            run(
                connection,
                "set member",
                &format!(
                    "INSERT INTO {table} ({column}, user_id, level) VALUES (?1, ?2, ?3)
                     ON CONFLICT ({column}, user_id) DO UPDATE SET level = excluded.level"
                ),
                params![id, user.0, level.number()],
            )?;
            let event = about(connection, EventKind::MemberSet, of, user)?
                .detail("access_level", level.number());
            Ok(((), Some(event)))
        })
    }

    /// Whether the user was a direct member.
    pub fn remove_member(&self, actor: &Actor, group: GroupId, user: UserId) -> Result<bool> {
        self.remove_member_of(actor, MemberOf::Group(group), user)
    }

    /// Whether the user was a member of the project itself.
    pub fn remove_project_member(
        &self,
        actor: &Actor,
        project: ProjectId,
        user: UserId,
    ) -> Result<bool> {
        self.remove_member_of(actor, MemberOf::Project(project), user)
    }

    fn remove_member_of(&self, actor: &Actor, of: MemberOf, user: UserId) -> Result<bool> {
        let (table, column, id) = of.rows();
        self.database.change(actor, |connection| {
            let removed = run(
                connection,
                "remove member",
                &format!("DELETE FROM {table} WHERE {column} = ?1 AND user_id = ?2"),
                [id, user.0],
            )?;
            if removed == 0 {
                return Ok((false, None));
            }
            let event = about(connection, EventKind::MemberRemoved, of, user)?;
            Ok((true, Some(event)))
        })
    }

    /// Direct members, by name.
    pub fn members(&self, group: GroupId) -> Result<Vec<Member>> {
        self.members_of(MemberOf::Group(group))
    }

    /// Members of the project itself, by name; those of the groups above are members as well.
    pub fn project_members(&self, project: ProjectId) -> Result<Vec<Member>> {
        self.members_of(MemberOf::Project(project))
    }

    fn members_of(&self, of: MemberOf) -> Result<Vec<Member>> {
        let (table, column, id) = of.rows();
        self.database.scan(|connection| {
            list(
                connection,
                "list members",
                &format!(
                    "SELECT users.name, users.id, {table}.level, users.blocked
                     FROM {table} JOIN users ON users.id = {table}.user_id
                     WHERE {table}.{column} = ?1 ORDER BY users.name"
                ),
                [id],
                member,
            )
        })
    }

    /// The paths of the groups and projects that a user is a direct member of, with the level there.
    pub fn memberships(&self, user: UserId) -> Result<Vec<(String, Level)>> {
        self.database.scan(|connection| {
            list(
                connection,
                "list a user's memberships",
                "SELECT groups.path, members.level FROM members
                 JOIN groups ON groups.id = members.group_id WHERE members.user_id = ?1
                 UNION ALL
                 SELECT projects.path, project_members.level FROM project_members
                 JOIN projects ON projects.id = project_members.project_id
                 WHERE project_members.user_id = ?1
                 ORDER BY 1",
                [user],
                |row| Ok((row.get(0)?, level(row, 1)?)),
            )
        })
    }

    /// Members of the project and of the groups themselves, by name, each once with the highest level.
    pub fn members_page(&self, filter: &MemberFilter, window: Window) -> Result<Page<Member>> {
        let listing = Listing {
            statement: "list members of some places",
            with: "WITH levels (user_id, level) AS (
                SELECT user_id, max(level) FROM (
                    SELECT user_id, level FROM project_members WHERE project_id = ?1
                    UNION ALL
                    SELECT user_id, level FROM members
                    WHERE group_id IN (SELECT value FROM json_each(?2)))
                WHERE ?3 IS NULL OR user_id = ?3
                GROUP BY user_id)",
            columns: "users.name, users.id, levels.level, users.blocked",
            from: "FROM levels CROSS JOIN users ON users.id = levels.user_id",
            order: "users.name",
        };
        let mut conditions = Conditions::after(vec![
            filter.project.map(|id| id.0).into(),
            json_of(&filter.groups)?.into(),
            filter.user.map(|id| id.0).into(),
        ]);
        conditions.and_if("instr(users.name, ?)", filter.search.clone());
        self.database
            .scan(|connection| page(connection, &listing, &conditions, window, member))
    }

    /// The highest level on the group or any ancestor.
    pub fn level(&self, group: GroupId, user: UserId) -> Result<Option<Level>> {
        self.database.read(|connection| {
            find(
                connection,
                "find level",
                "SELECT max(members.level)
                 FROM group_ancestors JOIN members ON members.group_id = group_ancestors.ancestor_id
                 WHERE group_ancestors.group_id = ?1 AND members.user_id = ?2
                 HAVING count(*) > 0",
                [group.0, user.0],
                |row| level(row, 0),
            )
        })
    }

    /// The highest level on the project, its group, or any group above.
    pub fn project_level(&self, project: ProjectId, user: UserId) -> Result<Option<Level>> {
        self.database.read(|connection| {
            find(
                connection,
                "find level on a project",
                "SELECT level FROM (
                     SELECT level FROM project_members WHERE project_id = ?1 AND user_id = ?2
                     UNION ALL
                     SELECT members.level FROM projects
                     JOIN group_ancestors ON group_ancestors.group_id = projects.group_id
                     JOIN members ON members.group_id = group_ancestors.ancestor_id
                     WHERE projects.id = ?1 AND members.user_id = ?2
                 ) ORDER BY level DESC LIMIT 1",
                [project.0, user.0],
                |row| level(row, 0),
            )
        })
    }
}

/// What is said of a membership.
fn about(connection: &Connection, kind: EventKind, of: MemberOf, user: UserId) -> Result<Event> {
    let place = of.place(connection)?;
    let name: Option<String> = find(
        connection,
        "find a member's name",
        "SELECT name FROM users WHERE id = ?1",
        [user.0],
        |row| row.get(0),
    )?;
    let name = name.unwrap_or_default();
    Ok(Event::new(kind)
        .subject("user", &name, Some(user.0))
        .user(Some((&name, user)))
        .place(place))
}

/// Reads a row of `users.name, users.id, level, users.blocked` as a member.
fn member(row: &Row<'_>) -> rusqlite::Result<Member> {
    Ok(Member {
        user: row.get(0)?,
        user_id: UserId(row.get(1)?),
        level: level(row, 2)?,
        is_blocked: row.get(3)?,
    })
}

/// Reads a column as a level.
pub(super) fn level(row: &Row<'_>, column: usize) -> rusqlite::Result<Level> {
    let number = row.get(column)?;
    Level::from_number(number).ok_or_else(|| {
        let error = unknown_word("an access level", &number.to_string());
        rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, Box::new(error))
    })
}
