//! Groups, which nest by path: rows of `groups`.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};
use serde::Serialize;

use super::{AccessDb, GroupId, no_such, taken};
use crate::error::{Error, Kind, Result, excerpt};
use crate::oci::RegistryHost;
use crate::store::audit::{Actor, Detail, Event, EventKind, EventPlace};
use crate::store::statement::{decoded, find, get, list, run, size, stored_size, words_in_sql};
use crate::time::Timestamp;
use crate::words::words;

pub(super) const COLUMNS: &str = "id, path, parent_id, visibility, dependency_proxy_enabled,
    on_read_only_miss, default_upstream, created_at, quota, max_size";

words! {
    "snake_case"
    /// Who may know that a group exists.
    pub enum Visibility {
        Private,
        /// Everybody who is logged in.
        Public,
    }
}

words! {
    "snake_case"
    /// What somebody who may read but not fill gets of an image that is not kept.
    pub enum OnReadOnlyMiss {
        /// The image, streamed from the upstream; nothing of it is kept.
        PassThrough,
        /// A 404 that says so.
        Deny,
    }
}

words_in_sql!(Visibility, OnReadOnlyMiss);

/// A group; groups nest by path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    pub id: GroupId,
    /// `acme` or `acme/backend`.
    pub path: String,
    /// The group that it lies in.
    pub parent: Option<GroupId>,
    /// Who may know of it.
    pub visibility: Visibility,
    /// Off: its dependency proxy answers 404.
    pub dependency_proxy_enabled: bool,
    /// Its own: what holds for a group does not hold for those below it.
    pub on_read_only_miss: OnReadOnlyMiss,
    /// The upstream of paths that name none; `None`: as the nearest group above that has one, at last the box's.
    pub default_upstream: Option<RegistryHost>,
    /// The most bytes that may be pushed to the projects in it and below it; `None`: no limit of its own.
    pub quota: Option<u64>,
    /// The most bytes that may be cached of what it has pulled itself; `None`: no limit of its own.
    pub max_size: Option<u64>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What to change of a group; `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupChanges {
    /// As [`Group::visibility`].
    pub visibility: Option<Visibility>,
    /// As [`Group::dependency_proxy_enabled`].
    pub dependency_proxy_enabled: Option<bool>,
    /// As [`Group::on_read_only_miss`].
    pub on_read_only_miss: Option<OnReadOnlyMiss>,
    /// As [`Group::default_upstream`]; `Some(None)` takes it away.
    pub default_upstream: Option<Option<RegistryHost>>,
    /// As [`Group::quota`]; `Some(None)` takes it away.
    pub quota: Option<Option<u64>>,
    /// As [`Group::max_size`]; `Some(None)` takes it away.
    pub max_size: Option<Option<u64>>,
}

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
                format!("the group's path `{}` has an empty part", excerpt(path)),
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
                                format!("there is no group `{}`", excerpt(parent)),
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
                let event = about(connection, EventKind::GroupCreated, id)?
                    .detail("visibility", visibility.as_str());
                Ok((id, Some(event)))
            })
            .map_err(|error| {
                taken(error, || {
                    format!("there is a group `{}` already", excerpt(path))
                })
            })
    }

    /// The group and those above it, nearest first; nothing where it was removed just now.
    pub fn lineage(&self, group: GroupId) -> Result<Vec<GroupId>> {
        self.database.read(|connection| {
            list(
                connection,
                "find the groups above a group",
                "SELECT ancestor_id FROM group_ancestors WHERE group_id = ?1 ORDER BY distance",
                [group.0],
                |row| row.get(0).map(GroupId),
            )
        })
    }

    /// As [`Self::lineage`], with their paths.
    pub fn named_lineage(&self, group: GroupId) -> Result<Vec<(GroupId, String)>> {
        self.database.read(|connection| lineage(connection, group))
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
            run(
                connection,
                "change group",
                "UPDATE groups SET visibility = ifnull(?2, visibility),
                     dependency_proxy_enabled = ifnull(?3, dependency_proxy_enabled),
                     on_read_only_miss = ifnull(?4, on_read_only_miss),
                     default_upstream = iif(?5, ?6, default_upstream),
                     quota = iif(?7, ?8, quota),
                     max_size = iif(?9, ?10, max_size)
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
                    changes.max_size.is_some(),
                    changes.max_size.flatten().map(stored_size),
                ],
            )?;
            Ok(((), Some(changed(connection, id, changes)?)))
        })
    }

    /// Removes the group, the groups below it, and their members, tokens, networks and upstreams. `NotFound` if there
    /// is no such group.
    pub fn remove_group(&self, actor: &Actor, id: GroupId) -> Result<()> {
        self.database.change(actor, |connection| {
            let event = about(connection, EventKind::GroupRemoved, id)?;
            run(
                connection,
                "remove group",
                "DELETE FROM groups WHERE id = ?1",
                [id.0],
            )?;
            Ok(((), Some(event)))
        })
    }
}

fn select(rest: &str) -> String {
    format!("SELECT {COLUMNS} FROM groups {rest}")
}

/// A group as events name it; `None`: the box's, or there is none.
pub(super) fn group_place(
    connection: &Connection,
    group: Option<GroupId>,
) -> Result<Option<EventPlace>> {
    let Some(group) = group else {
        return Ok(None);
    };
    let lineage = lineage(connection, group)?;
    let groups: Vec<_> = lineage.iter().map(|(id, _)| *id).collect();
    let path = lineage.first().map(|(_, path)| path);
    Ok(path.map(|path| EventPlace::in_groups(path, &groups)))
}

/// A group and those above it with their paths, nearest first.
pub(super) fn lineage(connection: &Connection, group: GroupId) -> Result<Vec<(GroupId, String)>> {
    list(
        connection,
        "find a group and those above it",
        "SELECT groups.id, groups.path
         FROM group_ancestors JOIN groups ON groups.id = group_ancestors.ancestor_id
         WHERE group_ancestors.group_id = ?1 ORDER BY distance",
        [group.0],
        |row| Ok((GroupId(row.get(0)?), row.get(1)?)),
    )
}

/// What is said of a group that there is.
fn about(connection: &Connection, kind: EventKind, id: GroupId) -> Result<Event> {
    let place = group_place(connection, Some(id))?.ok_or_else(|| no_such("group", id.0))?;
    Ok(Event::new(kind)
        .subject("group", place.path(), Some(id.0))
        .place(Some(place)))
}

fn changed(connection: &Connection, id: GroupId, changes: &GroupChanges) -> Result<Event> {
    let default_upstream = changes.default_upstream.as_ref();
    let event = about(connection, EventKind::GroupChanged, id)?
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
        .detail_if("max_size", changes.max_size.map(quota_detail));
    Ok(event)
}

/// A quota as events show it: bytes, or that there is none.
pub(super) fn quota_detail(quota: Option<u64>) -> Detail {
    quota.map_or_else(
        || Detail::from("none"),
        |bytes| Detail::from(stored_size(bytes)),
    )
}

pub(super) fn group(row: &Row<'_>) -> rusqlite::Result<Group> {
    Ok(Group {
        id: GroupId(row.get(0)?),
        path: row.get(1)?,
        parent: row.get::<_, Option<i64>>(2)?.map(GroupId),
        visibility: row.get(3)?,
        dependency_proxy_enabled: row.get(4)?,
        on_read_only_miss: row.get(5)?,
        default_upstream: match row.get_ref(6)? {
            ValueRef::Null => None,
            _ => Some(decoded(row, 6, RegistryHost::parse)?),
        },
        created_at: Timestamp(row.get(7)?),
        quota: quota(row, 8)?,
        max_size: quota(row, 9)?,
    })
}

/// Reads a column as a quota.
pub(super) fn quota(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        _ => size(row, column).map(Some),
    }
}
