//! Upstreams that were added by command: rows of `upstreams`. Passwords come here sealed, and stay so.

use rusqlite::types::ValueRef;
use rusqlite::{Row, params};

use super::groups::{group_place, quota};
use super::{AccessDb, GroupId, UpstreamId, taken};
use crate::error::{Error, Kind, Result};
use crate::oci::RegistryHost;
use crate::store::audit::{Actor, Detail, Event, EventKind};
use crate::store::statement::{decoded, find, get, list, run, stored_size};
use crate::time::Timestamp;

/// An upstream that was added by command.
#[derive(Clone, PartialEq, Eq)]
pub struct UpstreamRow {
    pub id: UpstreamId,
    /// When it was added.
    pub created_at: Timestamp,
    /// How it is reached, and whose it is.
    pub upstream: NewUpstream,
}

/// An upstream to be added. `Debug` is missing, as it holds what may be tried for a password.
#[derive(Clone, PartialEq, Eq)]
pub struct NewUpstream {
    /// The word in paths and in `ns=`; unique in its group.
    pub name: RegistryHost,
    /// The group that brings it; `None`: the box's.
    pub group: Option<GroupId>,
    /// `https://HOST[:PORT]`
    pub url: String,
    /// The username and, sealed by `auth::seal`, the password; `None`: anonymous.
    pub credentials: Option<(String, Vec<u8>)>,
    /// A token realm (URL) on another host that may get the credentials.
    pub auth_realm: Option<String>,
    /// Further roots, as PEM.
    pub ca: Option<String>,
    /// Whether it may resolve to loopback, link-local or private addresses.
    pub allow_private_addresses: bool,
    /// The most bytes that may be cached of what comes from it; `None`: no limit of its own.
    pub max_size: Option<u64>,
}

impl AccessDb {
    /// `Conflict` if the group (or the box) has an upstream of that name; `NotFound` if the group is gone.
    pub fn add_upstream(&self, actor: &Actor, upstream: &NewUpstream) -> Result<UpstreamId> {
        let (username, password) = match &upstream.credentials {
            Some((username, password)) => (Some(username), Some(password)),
            None => (None, None),
        };
        self.database
            .change(actor, |connection| {
                let id = get(
                    connection,
                    "add upstream",
                    "INSERT INTO upstreams (name, group_id, url, username, password_sealed,
                         auth_realm, ca, allow_private, created_at, max_size)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) RETURNING id",
                    params![
                        upstream.name.as_str(),
                        upstream.group.map(|group| group.0),
                        upstream.url,
                        username,
                        password,
                        upstream.auth_realm,
                        upstream.ca,
                        upstream.allow_private_addresses,
                        Timestamp::now().0,
                        upstream.max_size.map(stored_size),
                    ],
                    |row| row.get(0).map(UpstreamId),
                )?;
                let event = Event::new(EventKind::UpstreamAdded)
                    .subject("upstream", upstream.name.as_str(), Some(id.0))
                    .place(group_place(connection, upstream.group)?)
                    .detail("url", Detail::name(&upstream.url))
                    .detail("has_credentials", upstream.credentials.is_some())
                    .detail("allow_private_addresses", upstream.allow_private_addresses)
                    .detail_if("max_size", upstream.max_size.map(stored_size));
                Ok((id, Some(event)))
            })
            .map_err(|error| {
                taken(error, || {
                    format!("there is an upstream `{}` already", upstream.name)
                })
            })
    }

    /// Gives an upstream other settings, where it still is as in `before`: otherwise what somebody else changed meanwhile
    /// would be undone, and `false` is answered. Its name and whose it is stay as they are.
    ///
    /// # Errors
    /// `NotFound` if it is gone.
    pub fn set_upstream(
        &self,
        actor: &Actor,
        before: &UpstreamRow,
        upstream: &NewUpstream,
        changed: &[String],
    ) -> Result<bool> {
        let id = before.id;
        let (username, password) = match &upstream.credentials {
            Some((username, password)) => (Some(username), Some(password)),
            None => (None, None),
        };
        self.database.change(actor, |connection| {
            let now = find(
                connection,
                "find upstream",
                &select("WHERE id = ?1"),
                [id.0],
                self::upstream,
            )?;
            let Some(now) = now else {
                let what = format!("the upstream {} is gone", upstream.name);
                return Err(Error::new(Kind::NotFound, what));
            };
            if now != *before {
                return Ok((false, None));
            }
            run(
                connection,
                "change upstream",
                "UPDATE upstreams SET url = ?2, username = ?3, password_sealed = ?4, auth_realm = ?5, ca = ?6,
                     allow_private = ?7, max_size = ?8 WHERE id = ?1",
                params![
                    id.0,
                    upstream.url,
                    username,
                    password,
                    upstream.auth_realm,
                    upstream.ca,
                    upstream.allow_private_addresses,
                    upstream.max_size.map(stored_size),
                ],
            )?;
            let event = Event::new(EventKind::UpstreamChanged)
                .subject("upstream", upstream.name.as_str(), Some(id.0))
                .place(group_place(connection, upstream.group)?)
                .detail("changed", Detail::names(changed))
                .detail("url", Detail::name(&upstream.url))
                .detail("has_credentials", upstream.credentials.is_some())
                .detail("allow_private_addresses", upstream.allow_private_addresses)
                .detail_if("max_size", upstream.max_size.map(stored_size));
            Ok((true, Some(event)))
        })
    }

    /// All upstreams that were added by command: the box's first, then by group, by name.
    pub fn upstreams(&self) -> Result<Vec<UpstreamRow>> {
        self.database.read(|connection| {
            list(
                connection,
                "list upstreams",
                &select("ORDER BY ifnull(group_id, 0), name"),
                [],
                upstream,
            )
        })
    }

    /// Whether there was such an upstream. What was fetched from it stays, and is found again if it is
    /// added again with the same URL and credentials.
    pub fn remove_upstream(
        &self,
        actor: &Actor,
        name: &RegistryHost,
        group: Option<GroupId>,
    ) -> Result<bool> {
        self.database.change(actor, |connection| {
            let removed = find(
                connection,
                "remove upstream",
                "DELETE FROM upstreams WHERE name = ?1 AND ifnull(group_id, 0) = ?2 RETURNING id",
                params![name.as_str(), group.map_or(0, |group| group.0)],
                |row| row.get::<_, i64>(0),
            )?;
            let Some(id) = removed else {
                return Ok((false, None));
            };
            let event = Event::new(EventKind::UpstreamRemoved)
                .subject("upstream", name.as_str(), Some(id))
                .place(group_place(connection, group)?);
            Ok((true, Some(event)))
        })
    }
}

fn select(which: &str) -> String {
    format!(
        "SELECT id, name, group_id, url, username, password_sealed, auth_realm, ca,
             allow_private, created_at, max_size
         FROM upstreams {which}"
    )
}

fn upstream(row: &Row<'_>) -> rusqlite::Result<UpstreamRow> {
    let credentials = match row.get_ref(4)? {
        ValueRef::Null => None,
        _ => Some((row.get(4)?, row.get(5)?)),
    };
    Ok(UpstreamRow {
        id: UpstreamId(row.get(0)?),
        created_at: Timestamp(row.get(9)?),
        upstream: NewUpstream {
            name: decoded(row, 1, RegistryHost::parse)?,
            group: row.get::<_, Option<i64>>(2)?.map(GroupId),
            url: row.get(3)?,
            credentials,
            auth_realm: row.get(6)?,
            ca: row.get(7)?,
            allow_private_addresses: row.get(8)?,
            max_size: quota(row, 10)?,
        },
    })
}
