//! Groups, which nest by path, and their members, whose levels are inherited down the tree.

use rusqlite::types::{Type, ValueRef};
use rusqlite::{Row, params};

use super::{
    AccessDb, Group, GroupChanges, GroupId, Level, Member, OnReadOnlyMiss, UserId, Visibility,
    no_such, shown, taken,
};
use crate::error::{Error, Kind, Result};
use crate::oci::RegistryHost;
use crate::store::statement::{decoded, find, get, list, run, size, stored_size, unknown_word};
use crate::time::Timestamp;

const COLUMNS: &str = "id, path, parent_id, visibility, dependency_proxy_enabled,
    on_read_only_miss, default_upstream, created_at, quota";

impl AccessDb {
    /// Makes a group below its parent path, which must exist (`NotFound`); `Conflict` if the path is taken,
    /// `NameInvalid` if a part of it is empty.
    pub fn create_group(&self, path: &str, visibility: Visibility) -> Result<GroupId> {
        if path.split('/').any(str::is_empty) {
            return Err(Error::new(
                Kind::NameInvalid,
                format!("the group's path `{}` has an empty part", shown(path)),
            ));
        }
        self.database
            .write(|connection| {
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
                get(
                    connection,
                    "add group",
                    "INSERT INTO groups (path, parent_id, visibility, created_at)
                     VALUES (?1, ?2, ?3, ?4) RETURNING id",
                    params![path, parent, visibility.as_str(), Timestamp::now().0],
                    |row| row.get(0).map(GroupId),
                )
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
    pub fn set_group(&self, id: GroupId, changes: &GroupChanges) -> Result<()> {
        let default_upstream = changes.default_upstream.as_ref();
        let changed = self.database.write(|connection| {
            run(
                connection,
                "change group",
                "UPDATE groups SET visibility = ifnull(?2, visibility),
                     dependency_proxy_enabled = ifnull(?3, dependency_proxy_enabled),
                     on_read_only_miss = ifnull(?4, on_read_only_miss),
                     default_upstream = iif(?5, ?6, default_upstream),
                     quota = iif(?7, ?8, quota)
                 WHERE id = ?1",
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
            )
        })?;
        if changed == 0 {
            return Err(no_such("group", id.0));
        }
        Ok(())
    }

    /// Removes the group, the groups below it, and their members, tokens, networks and
    /// upstreams. `NotFound` if there
    /// is no such group.
    pub fn remove_group(&self, id: GroupId) -> Result<()> {
        let removed = self.database.write(|connection| {
            run(
                connection,
                "remove group",
                "DELETE FROM groups WHERE id = ?1",
                [id.0],
            )
        })?;
        if removed == 0 {
            return Err(no_such("group", id.0));
        }
        Ok(())
    }

    /// Makes the user a direct member, or changes the level. `NotFound` if the group or user is gone.
    pub fn set_member(&self, group: GroupId, user: UserId, level: Level) -> Result<()> {
        self.database.write(|connection| {
            run(
                connection,
                "set member",
                "INSERT INTO members (group_id, user_id, level) VALUES (?1, ?2, ?3)
                 ON CONFLICT (group_id, user_id) DO UPDATE SET level = excluded.level",
                params![group.0, user.0, level.number()],
            )
        })?;
        Ok(())
    }

    /// Whether the user was a direct member.
    pub fn remove_member(&self, group: GroupId, user: UserId) -> Result<bool> {
        let removed = self.database.write(|connection| {
            run(
                connection,
                "remove member",
                "DELETE FROM members WHERE group_id = ?1 AND user_id = ?2",
                [group.0, user.0],
            )
        })?;
        Ok(removed > 0)
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
                |row| {
                    Ok(Member {
                        user: row.get(0)?,
                        user_id: UserId(row.get(1)?),
                        level: level(row, 2)?,
                    })
                },
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
