//! Reading events back: by time, user and group, newest last.

use rusqlite::{Row, params};
use serde::Serialize;

use super::AuditDb;
use crate::error::{Error, Kind, Result};
use crate::store::statement::{decoded, list, size};
use crate::time::Timestamp;

/// Which events; all conditions hold at once.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Those that happened, or happened last, at this time or after it.
    pub since: Option<Timestamp>,
    /// Those of this user and its tokens, and those that concern it.
    pub user: Option<String>,
    /// Those that concern this group or project, or one below it.
    pub group: Option<String>,
    /// The newest so many.
    pub limit: Option<u32>,
}

/// An event as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordedEvent {
    /// The row; never reused.
    pub id: i64,
    /// When; of several within a minute, the first.
    pub time: Timestamp,
    /// Such as `user.created`.
    pub kind: String,
    /// Who.
    pub actor: String,
    /// The user that the actor is, or speaks for.
    pub actor_user: Option<String>,
    /// From where.
    pub address: Option<String>,
    /// The request's id; of several, the first one's.
    pub correlation_id: Option<String>,
    /// What it was done to: `user`, `token`, …
    pub subject_kind: Option<String>,
    /// Its name.
    pub subject_name: Option<String>,
    /// Its row's id.
    pub subject_id: Option<i64>,
    /// The user whom it concerns.
    pub about_user: Option<String>,
    /// The group or project that it concerns.
    pub group_path: Option<String>,
    /// A small object.
    pub details: serde_json::Value,
    /// How often it happened within its minute.
    pub count: u64,
    /// When it last happened within its minute.
    pub last_time: Timestamp,
}

impl AuditDb {
    /// The newest events that the filter lets through, newest last.
    pub fn events(&self, filter: &EventFilter) -> Result<Vec<RecordedEvent>> {
        self.database.read(|connection| {
            list(
                connection,
                "list audit events",
                "SELECT * FROM (
                     SELECT id, time, kind, actor, actor_user, address, correlation_id, subject_kind,
                         subject_name, subject_id, about_user, group_path, details, count, last_time
                     FROM events
                     WHERE (?1 IS NULL OR last_time >= ?1)
                         AND (?2 IS NULL OR actor_user = ?2 OR about_user = ?2)
                         AND (?3 IS NULL OR group_path = ?3
                             OR substr(group_path, 1, length(?3) + 1) = ?3 || '/')
                     ORDER BY id DESC LIMIT ifnull(?4, -1))
                 ORDER BY id",
                params![
                    filter.since.map(|time| time.0),
                    filter.user,
                    filter.group,
                    filter.limit
                ],
                event,
            )
        })
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
    })
}
