//! Groups, which nest by path, and their members, whose levels are inherited down the tree.

use rusqlite::types::{Type, ValueRef};
use rusqlite::{Connection, Row, params};

use super::{
    AccessDb, Group, GroupChanges, GroupId, Level, Member, OnReadOnlyMiss, UserId, Visibility,
    no_such, shown, taken,
};
use crate::error::{Error, Kind, Result};
use crate::oci::RegistryHost;
use crate::store::audit::{Actor, Detail, Event, EventKind};
use crate::store::statement::{decoded, find, get, list, run, size, stored_size, unknown_word};
use crate::time::Timestamp;

const COLUMNS: &str = "id, path, parent_id, visibility, dependency_proxy_enabled,
    on_read_only_miss, default_upstream, created_at, quota";

impl AccessDb {
    /// Makes a group below its parent path, which must exist (`NotFound`); `Conflict` if the path is taken,
    /// `NameInvalid` if a part of it is empty.
    pub fn create_group(
        &self,
        actor: &Actor,
        path: &str,
        visibility: Visibility,
    ) -> Result<GroupId> {
        if path.split('/').any(str::is_empty) {
            return Err(Error::new(
                Kind::NameInvalid,
                format!("the group's path `{}` has an empty part", shown(path)),
            ));
        }
        self.database
            .change(actor, |connection| {
                let parent = match path.rsplit_once('/') {
                    None => None,
                    Some((parent, _)) => {
                        let id = find(
                            connection,
                            "find the parent group",
                            "SELECT id FROM groups WHERE path = ?1",
                            [parent],
                            |row| row.get::<_, i64>(0),
                        )?;
                        Some(id.ok_or_else(|| {
                            Error::new(
                                Kind::NotFound,
                                format!("there is no group `{}`", shown(parent)),
                            )
                            .remedy("make the parent group first")
                        })?)
                    }
                };
                let id = get(
                    connection,
                    "add group",
                    "INSERT INTO groups (path, parent_id, visibility, created_at)
                     VALUES (?1, ?2, ?3, ?4) RETURNING id",
                    params![path, parent, visibility.as_str(), Timestamp::now().0],
                    |row| row.get(0).map(GroupId),
                )?;
                let event = about(EventKind::GroupCreated, id, path)
                    .detail("visibility", visibility.as_str());
                Ok((id, Some(event)))
            })
            .map_err(|error| {
                taken(error, || {
                    format!("there is a group `{}` already", shown(path))
                })
            })
    }

    /// The group at this path, exactly as written.
    pub fn group_by_path(&self, path: &str) -> Result<Option<Group>> {
        self.database.read(|connection| {
            let text = select("WHERE path = ?1");
            find(connection, "find group by path", &text, [path], group)
        })
    }

    /// The group with this id.
    pub fn group(&self, id: GroupId) -> Result<Option<Group>> {
        self.database.read(|connection| {
            let text = select("WHERE id = ?1");
            find(connection, "find group", &text, [id.0], group)
        })
    }

    /// All groups, by path.
    pub fn groups(&self) -> Result<Vec<Group>> {
        self.database.read(|connection| {
            let text = select("ORDER BY path");
            list(connection, "list groups", &text, [], group)
        })
    }

    /// Changes what is given. `NotFound` if there is no such group.
    pub fn set_group(&self, actor: &Actor, id: GroupId, changes: &GroupChanges) -> Result<()> {
        let default_upstream = changes.default_upstream.as_ref();
        self.database.change(actor, |connection| {
            let path = find(
                connection,
                "change group",
                "UPDATE groups SET visibility = ifnull(?2, visibility),
                     dependency_proxy_enabled = ifnull(?3, dependency_proxy_enabled),
                     on_read_only_miss = ifnull(?4, on_read_only_miss),
                     default_upstream = iif(?5, ?6, default_upstream),
                     quota = iif(?7, ?8, quota)
                 WHERE id = ?1 RETURNING path",
                params![
                    id.0,
                    changes.visibility.map(Visibility::as_str),
                    changes.dependency_proxy_enabled,
                    changes.on_read_only_miss.map(OnReadOnlyMiss::as_str),
                    default_upstream.is_some(),
                    default_upstream.and_then(|host| host.as_ref().map(RegistryHost::as_str)),
                    changes.quota.is_some(),
                    changes.quota.flatten().map(stored_size),
                ],
                |row| row.get::<_, String>(0),
            )?;
            let path = path.ok_or_else(|| no_such("group", id.0))?;
            Ok(((), Some(changed(id, &path, changes))))
        })
    }

    /// Removes the group, the groups below it, and their members, tokens, networks and
    /// upstreams. `NotFound` if there
    /// is no such group.
    pub fn remove_group(&self, actor: &Actor, id: GroupId) -> Result<()> {
        self.database.change(actor, |connection| {
            let path = find(
                connection,
                "remove group",
                "DELETE FROM groups WHERE id = ?1 RETURNING path",
                [id.0],
                |row| row.get::<_, String>(0),
            )?;
            let path = path.ok_or_else(|| no_such("group", id.0))?;
            Ok(((), Some(about(EventKind::GroupRemoved, id, &path))))
        })
    }

    /// Makes the user a direct member, or changes the level. `NotFound` if the group or user is gone.
    pub fn set_member(
        &self,
        actor: &Actor,
        group: GroupId,
        user: UserId,
        level: Level,
    ) -> Result<()> {
        self.database.change(actor, |connection| {
            run(
                connection,
                "set member",
                "INSERT INTO members (group_id, user_id, level) VALUES (?1, ?2, ?3)
                 ON CONFLICT (group_id, user_id) DO UPDATE SET level = excluded.level",
                params![group.0, user.0, level.number()],
            )?;
            let path = group_path(connection, Some(group))?;
            let event = membership(connection, EventKind::MemberSet, path.as_deref(), user)?
                .detail("access_level", level.number());
            Ok(((), Some(event)))
        })
    }

    /// Whether the user was a direct member.
    pub fn remove_member(&self, actor: &Actor, group: GroupId, user: UserId) -> Result<bool> {
        self.database.change(actor, |connection| {
            let removed = run(
                connection,
                "remove member",
                "DELETE FROM members WHERE group_id = ?1 AND user_id = ?2",
                [group.0, user.0],
            )?;
            if removed == 0 {
                return Ok((false, None));
            }
            let path = group_path(connection, Some(group))?;
            let event = membership(connection, EventKind::MemberRemoved, path.as_deref(), user)?;
            Ok((true, Some(event)))
        })
    }

    /// Direct members, by name.
    pub fn members(&self, group: GroupId) -> Result<Vec<Member>> {
        self.database.read(|connection| {
            list(
                connection,
                "list members",
                "SELECT users.name, users.id, members.level
                 FROM members JOIN users ON users.id = members.user_id
                 WHERE members.group_id = ?1 ORDER BY users.name",
                [group.0],
                member,
            )
        })
    }

    /// The highest level on the group or any ancestor.
    pub fn level(&self, group: GroupId, user: UserId) -> Result<Option<Level>> {
        self.database.read(|connection| {
            // UNION, not UNION ALL: a cycle of parents, should there ever be one, ends the recursion.
            find(
                connection,
                "find level",
                "WITH RECURSIVE upward (id, parent_id) AS (
                     SELECT id, parent_id FROM groups WHERE id = ?1
                     UNION
                     SELECT groups.id, groups.parent_id
                     FROM upward JOIN groups ON groups.id = upward.parent_id
                 )
                 SELECT members.level
                 FROM upward JOIN members ON members.group_id = upward.id
                 WHERE members.user_id = ?2 ORDER BY members.level DESC LIMIT 1",
                [group.0, user.0],
                |row| level(row, 0),
            )
        })
    }
}

fn select(rest: &str) -> String {
    format!("SELECT {COLUMNS} FROM groups {rest}")
}

/// The path of a group, as events name it; `None`: the box's.
pub(super) fn group_path(
    connection: &Connection,
    group: Option<GroupId>,
) -> Result<Option<String>> {
    let Some(group) = group else {
        return Ok(None);
    };
    find(
        connection,
        "find a group's path",
        "SELECT path FROM groups WHERE id = ?1",
        [group.0],
        |row| row.get(0),
    )
}

fn about(kind: EventKind, id: GroupId, path: &str) -> Event {
    Event::new(kind)
        .subject("group", path, Some(id.0))
        .group(Some(path))
}

fn changed(id: GroupId, path: &str, changes: &GroupChanges) -> Event {
    let default_upstream = changes.default_upstream.as_ref();
    about(EventKind::GroupChanged, id, path)
        .detail_if("visibility", changes.visibility.map(Visibility::as_str))
        .detail_if("dependency_proxy_enabled", changes.dependency_proxy_enabled)
        .detail_if(
            "on_read_only_miss",
            changes.on_read_only_miss.map(OnReadOnlyMiss::as_str),
        )
        .detail_if(
            "default_upstream",
            default_upstream
                .map(|host| Detail::name(host.as_ref().map_or("", RegistryHost::as_str))),
        )
        .detail_if("quota", changes.quota.map(quota_detail))
}

/// A quota as events show it: bytes, or that there is none.
pub(super) fn quota_detail(quota: Option<u64>) -> Detail {
    quota.map_or_else(
        || Detail::from("none"),
        |bytes| Detail::from(stored_size(bytes)),
    )
}

/// What is said of a membership; `path` is that of the group or the project.
pub(super) fn membership(
    connection: &Connection,
    kind: EventKind,
    path: Option<&str>,
    user: UserId,
) -> Result<Event> {
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
        .user(Some(&name))
        .group(path))
}

fn group(row: &Row<'_>) -> rusqlite::Result<Group> {
    Ok(Group {
        id: GroupId(row.get(0)?),
        path: row.get(1)?,
        parent: row.get::<_, Option<i64>>(2)?.map(GroupId),
        visibility: visibility(row, 3)?,
        dependency_proxy_enabled: row.get(4)?,
        on_read_only_miss: decoded(row, 5, |word| match word {
            "pass_through" => Ok(OnReadOnlyMiss::PassThrough),
            "deny" => Ok(OnReadOnlyMiss::Deny),
            _ => Err(unknown_word("what happens on a miss", word)),
        })?,
        default_upstream: match row.get_ref(6)? {
            ValueRef::Null => None,
            _ => Some(decoded(row, 6, RegistryHost::parse)?),
        },
        created_at: Timestamp(row.get(7)?),
        quota: quota(row, 8)?,
    })
}

/// Reads a row of `users.name, users.id, level` as a member.
pub(super) fn member(row: &Row<'_>) -> rusqlite::Result<Member> {
    Ok(Member {
        user: row.get(0)?,
        user_id: UserId(row.get(1)?),
        level: level(row, 2)?,
    })
}

/// Reads a column as a visibility.
pub(super) fn visibility(row: &Row<'_>, column: usize) -> rusqlite::Result<Visibility> {
    decoded(row, column, |word| match word {
        "private" => Ok(Visibility::Private),
        "public" => Ok(Visibility::Public),
        _ => Err(unknown_word("a visibility", word)),
    })
}

/// Reads a column as a quota.
pub(super) fn quota(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        _ => size(row, column).map(Some),
    }
}

/// Reads a column as a level.
pub(super) fn level(row: &Row<'_>, column: usize) -> rusqlite::Result<Level> {
    let number = row.get(column)?;
    Level::from_number(number).ok_or_else(|| {
        let error = unknown_word("an access level", &number.to_string());
        rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, Box::new(error))
    })
}
