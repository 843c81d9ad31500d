//! Cleanup policies of projects: which pushed tags go by themselves, and when that is due next.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::{Connection, Row, params};

use super::{AccessDb, ProjectId};
use crate::error::Result;
use crate::store::audit::{Actor, Detail, Event, EventPlace};
use crate::store::page::json_of;
use crate::store::statement::{find, list, run, words_in_sql};
use crate::time::Timestamp;
use crate::words::words;

const COLUMNS: &str =
    "enabled, cadence, keep_n, older_than, name_regex, name_regex_keep, next_run_at";

words! {
    "lowercase"
    /// How often a policy runs. A month has 30 days.
    pub enum Cadence {
        #[serde(rename = "1d")]
        #[strum(serialize = "1d")]
        Daily,
        #[serde(rename = "7d")]
        #[strum(serialize = "7d")]
        Weekly,
        #[serde(rename = "14d")]
        #[strum(serialize = "14d")]
        Fortnightly,
        #[serde(rename = "1month")]
        #[strum(serialize = "1month")]
        Monthly,
        #[serde(rename = "3month")]
        #[strum(serialize = "3month")]
        Quarterly,
    }
}

words! {
    "lowercase"
    /// How old a tag must be to go.
    pub enum OlderThan {
        #[serde(rename = "7d")]
        #[strum(serialize = "7d")]
        Days7,
        #[serde(rename = "14d")]
        #[strum(serialize = "14d")]
        Days14,
        #[serde(rename = "30d")]
        #[strum(serialize = "30d")]
        Days30,
        #[serde(rename = "60d")]
        #[strum(serialize = "60d")]
        Days60,
        #[serde(rename = "90d")]
        #[strum(serialize = "90d")]
        Days90,
    }
}

words_in_sql!(Cadence, OlderThan);

impl Cadence {
    pub fn period(self) -> Duration {
        let days = match self {
            Self::Daily => 1,
            Self::Weekly => 7,
            Self::Fortnightly => 14,
            Self::Monthly => 30,
            Self::Quarterly => 90,
        };
        days_of(days)
    }
}

impl OlderThan {
    pub fn age(self) -> Duration {
        let days = match self {
            Self::Days7 => 7,
            Self::Days14 => 14,
            Self::Days30 => 30,
            Self::Days60 => 60,
            Self::Days90 => 90,
        };
        days_of(days)
    }
}

fn days_of(days: u64) -> Duration {
    Duration::from_secs(days.saturating_mul(24 * 60 * 60))
}

/// A project's policy. The defaults are GitLab's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleanupPolicy {
    pub enabled: bool,
    pub cadence: Cadence,
    /// So many of the newest matching tags of a repository stay.
    pub keep_n: Option<u32>,
    pub older_than: Option<OlderThan>,
    /// The whole names of the tags that may go; `None`: none may.
    pub name_regex: Option<String>,
    /// The whole names of those that stay all the same.
    pub name_regex_keep: Option<String>,
    /// `None` for one that is not enabled.
    pub next_run_at: Option<Timestamp>,
}

impl Default for CleanupPolicy {
    fn default() -> Self {
        Self {
            enabled: false,
            cadence: Cadence::Daily,
            keep_n: Some(10),
            older_than: Some(OlderThan::Days90),
            name_regex: Some(".*".to_owned()),
            name_regex_keep: None,
            next_run_at: None,
        }
    }
}

impl AccessDb {
    /// The project's policy: its own, or the default.
    pub fn cleanup_policy(&self, project: ProjectId) -> Result<CleanupPolicy> {
        let found = self.database.read(|connection| {
            let text = format!("SELECT {COLUMNS} FROM cleanup_policies WHERE project_id = ?1");
            find(
                connection,
                "find a cleanup policy",
                &text,
                [project],
                |row| policy(row, 0),
            )
        })?;
        Ok(found.unwrap_or_default())
    }

    /// The policies of these projects that have their own.
    pub fn cleanup_policies(
        &self,
        projects: &[ProjectId],
    ) -> Result<HashMap<ProjectId, CleanupPolicy>> {
        let ids: Vec<i64> = projects.iter().map(|project| project.0).collect();
        let ids = json_of(&ids)?;
        let found = self.database.scan(|connection| {
            let text = format!(
                "SELECT project_id, {COLUMNS} FROM cleanup_policies
                 WHERE project_id IN (SELECT value FROM json_each(?1))"
            );
            list(connection, "list cleanup policies", &text, [ids], |row| {
                Ok((row.get(0)?, policy(row, 1)?))
            })
        })?;
        Ok(found.into_iter().collect())
    }

    /// The projects whose policies are due before or at `now`, the longest due first.
    pub fn due_cleanups(&self, now: Timestamp) -> Result<Vec<(ProjectId, Timestamp)>> {
        self.database.read(|connection| {
            list(
                connection,
                "list due cleanup policies",
                "SELECT project_id, next_run_at FROM cleanup_policies
                 WHERE next_run_at IS NOT NULL AND next_run_at <= ?1 ORDER BY next_run_at, project_id",
                [now],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
        })
    }

    /// Records what is told of a project's cleanup. A scheduled one that ends was due at the first time, and is due next at
    /// the second, unless the policy was set in between, which schedules it too.
    pub fn record_cleanup(
        &self,
        actor: &Actor,
        project: ProjectId,
        schedule: Option<(Timestamp, Timestamp)>,
        event: Event,
    ) -> Result<()> {
        self.database.change(actor, |connection| {
            if let Some((due, next)) = schedule {
                run(
                    connection,
                    "schedule a cleanup",
                    "UPDATE cleanup_policies SET next_run_at = ?3
                     WHERE project_id = ?1 AND next_run_at = ?2",
                    params![project, due, next],
                )?;
            }
            Ok(((), Some(event.clone())))
        })
    }

    /// The project as events name it.
    pub fn project_place(&self, project: ProjectId) -> Result<Option<EventPlace>> {
        self.database
            .read(|connection| super::projects::project_place(connection, project))
    }
}

/// Replaces a project's policy.
pub(super) fn set(
    connection: &Connection,
    project: ProjectId,
    policy: &CleanupPolicy,
) -> Result<()> {
    let text = format!(
        "INSERT OR REPLACE INTO cleanup_policies (project_id, {COLUMNS})
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
    );
    run(
        connection,
        "set a cleanup policy",
        &text,
        params![
            project,
            policy.enabled,
            policy.cadence,
            policy.keep_n,
            policy.older_than,
            policy.name_regex,
            policy.name_regex_keep,
            policy.next_run_at,
        ],
    )
    .map(drop)
}

/// What an event says of a policy that was set.
pub(super) fn details(event: Event, policy: &CleanupPolicy) -> Event {
    let text = |text: &Option<String>| text.as_deref().map(Detail::name);
    event
        .detail("cleanup_enabled", policy.enabled)
        .detail("cleanup_cadence", policy.cadence.as_str())
        .detail_if("cleanup_keep_n", policy.keep_n.map(i64::from))
        .detail_if(
            "cleanup_older_than",
            policy.older_than.map(OlderThan::as_str),
        )
        .detail_if("cleanup_name_regex", text(&policy.name_regex))
        .detail_if("cleanup_name_regex_keep", text(&policy.name_regex_keep))
}

fn policy(row: &Row<'_>, first: usize) -> rusqlite::Result<CleanupPolicy> {
    let at = |column: usize| first.saturating_add(column);
    Ok(CleanupPolicy {
        enabled: row.get(at(0))?,
        cadence: row.get(at(1))?,
        keep_n: row.get(at(2))?,
        older_than: row.get(at(3))?,
        name_regex: row.get(at(4))?,
        name_regex_keep: row.get(at(5))?,
        next_run_at: row.get(at(6))?,
    })
}
