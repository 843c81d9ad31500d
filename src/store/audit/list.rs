//! Reading events back: by time, kind, user, token, address and group, newest last.

use std::net::IpAddr;

use rusqlite::Row;
use serde::{Deserialize, Serialize};

use super::AuditDb;
use crate::error::{Error, Kind, Result};
use crate::network;
use crate::store::ids::{GroupId, ProjectId, TokenId, UserId};
use crate::store::page::{Conditions, Listing, Page, Window, json_of, page};
use crate::store::statement::{decoded, size};
use crate::time::Timestamp;

const COLUMNS: &str =
    "events.id, time, events.kind, actor, actor_user, address, correlation_id, subject_kind,
    subject_name, subject_id, about_user, group_path, details, count, last_time, actor_user_id,
    about_user_id, group_id, project_id";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventUser {
    Id(UserId),
    /// Those of every user who was ever called so.
    Name(String),
}

/// Of which group or project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlaceFilter {
    /// This group, and what is below it.
    Group(GroupId),
    Project(ProjectId),
    /// Whatever was ever called so, and what was below it.
    Path(String),
}

/// Which events; all conditions hold at once.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct EventFilter {
    /// Those that happened, or happened last, at this time or after it.
    pub since: Option<Timestamp>,
    /// Those that happened, or happened first, before this time.
    pub before: Option<Timestamp>,
    /// Those of this kind, such as `token.created`, or of all kinds that begin so: `token.*`.
    pub kind: Option<String>,
    /// Those of this user and its tokens, and those that concern it.
    pub user: Option<EventUser>,
    /// Those that concern this group or project, or one below it.
    pub place: Option<PlaceFilter>,
    /// What this token did, and what was done to it.
    pub token: Option<TokenId>,
    /// Those from this address, or from a network by which it was counted.
    pub address: Option<IpAddr>,
    /// The newest so many.
    pub limit: Option<u32>,
}

/// An event as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedEvent {
    /// The row; never reused.
    pub id: i64,
    /// When; of several within a minute, the first.
    pub time: Timestamp,
    /// Such as `user.created`.
    pub kind: String,
    pub actor: String,
    /// The user that the actor is, or speaks for.
    pub actor_user: Option<String>,
    pub actor_user_id: Option<UserId>,
    pub address: Option<String>,
    /// The request's id; of several, the first one's.
    pub correlation_id: Option<String>,
    /// What it was done to: `user`, `token`, …
    pub subject_kind: Option<String>,
    pub subject_name: Option<String>,
    pub subject_id: Option<i64>,
    /// The user whom it concerns.
    pub about_user: Option<String>,
    pub about_user_id: Option<UserId>,
    /// The path of the group or project that it concerns.
    pub group_path: Option<String>,
    /// The group's row; of a path that belongs to no project the nearest group's above it.
    pub group_id: Option<GroupId>,
    pub project_id: Option<ProjectId>,
    pub details: serde_json::Value,
    /// How often it happened within its minute.
    pub count: u64,
    /// When it last happened within its minute.
    pub last_time: Timestamp,
}

impl AuditDb {
    /// The newest events that the filter lets through, newest last.
    pub fn events(&self, filter: &EventFilter) -> Result<Vec<RecordedEvent>> {
        let window = Window {
            count: filter.limit.map_or(Window::ALL.count, u64::from),
            ..Window::ALL
        };
        let mut events = self.events_page(filter, window)?.entries;
        events.reverse();
        Ok(events)
    }

    /// Events that the filter lets through, newest first, whatever its limit. Those of one user, group or project by
    /// its id are found by an index, without a look at any others.
    pub fn events_page(&self, filter: &EventFilter, window: Window) -> Result<Page<RecordedEvent>> {
        let mut conditions = Conditions::default();
        let place = match &filter.place {
            Some(PlaceFilter::Group(id)) => Some(("group", id.0)),
            Some(PlaceFilter::Project(id)) => Some(("project", id.0)),
            Some(PlaceFilter::Path(_)) | None => None,
        };
        let user = match &filter.user {
            Some(EventUser::Id(id)) => Some(("user", id.0)),
            Some(EventUser::Name(_)) | None => None,
        };
        let first = place.or(user);
        if let Some((noun, id)) = first {
            conditions.and("concerned.noun = ?", noun.to_owned());
            conditions.and("concerned.id = ?", id);
        }
        // Where both are asked for, the index gives those of the place.
        if let Some((_, user)) = user.filter(|_| place.is_some()) {
            let condition = "EXISTS (SELECT 1 FROM concerned AS other
                WHERE other.noun = 'user' AND other.id = ? AND other.event = events.id)";
            conditions.and(condition, user);
        }
        if let Some(EventUser::Name(name)) = &filter.user {
            conditions.and("actor_user = ? OR about_user = ?", name.clone());
        }
        if let Some(PlaceFilter::Path(path)) = &filter.place {
            let below = "group_path = ? OR substr(group_path, 1, length(?) + 1) = ? || '/'";
            conditions.and(below, path.clone());
        }
        conditions.and_if("last_time >= ?", filter.since.map(|time| time.0));
        conditions.and_if("time < ?", filter.before.map(|time| time.0));
        match filter
            .kind
            .as_deref()
            .map(|kind| (kind, kind.strip_suffix('*')))
        {
            None => {}
            Some((_, Some(start))) => {
                let begins = "substr(events.kind, 1, length(?)) = ?";
                conditions.and(begins, start.to_owned());
            }
            Some((kind, None)) => conditions.and("events.kind = ?", kind.to_owned()),
        }
        if let Some(TokenId(id)) = filter.token {
            // Labels end so, and no user's or group's name has a space or a bracket.
            let is_token = "(subject_kind = 'token' AND subject_id = ?)
                OR (actor LIKE '% token ' || ? || ')') OR (actor LIKE '%(token ' || ? || ')')";
            conditions.and(is_token, id);
        }
        if let Some(address) = filter.address {
            let counted_as = [
                address.to_string(),
                network::of_machine(address).to_string(),
                network::of_site(address).to_string(),
            ];
            let is_from = "address IN (SELECT value FROM json_each(?))";
            conditions.and(is_from, json_of(&counted_as)?);
        }
        // CROSS: SQLite keeps this order of the loops, which gives the rows in the order that is wanted.
        let (from, order) = match first {
            None => ("FROM events", "events.id DESC"),
            Some(_) => (
                "FROM concerned CROSS JOIN events ON events.id = concerned.event",
                "concerned.event DESC",
            ),
        };
        let listing = Listing {
            statement: "list audit events",
            with: "",
            columns: COLUMNS,
            from,
            order,
        };
        self.database
            .scan(|connection| page(connection, &listing, &conditions, window, event))
    }
}

fn event(row: &Row<'_>) -> rusqlite::Result<RecordedEvent> {
    Ok(RecordedEvent {
        id: row.get(0)?,
        time: Timestamp(row.get(1)?),
        kind: row.get(2)?,
        actor: row.get(3)?,
        actor_user: row.get(4)?,
        address: row.get(5)?,
        correlation_id: row.get(6)?,
        subject_kind: row.get(7)?,
        subject_name: row.get(8)?,
        subject_id: row.get(9)?,
        about_user: row.get(10)?,
        group_path: row.get(11)?,
        details: decoded(row, 12, |text| {
            serde_json::from_str(text).map_err(|error| {
                Error::new(Kind::Sql, "an audit event's details are no JSON").because(error)
            })
        })?,
        count: size(row, 13)?,
        last_time: Timestamp(row.get(14)?),
        actor_user_id: row.get(15)?,
        about_user_id: row.get(16)?,
        group_id: row.get(17)?,
        project_id: row.get(18)?,
    })
}
