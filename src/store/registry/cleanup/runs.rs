//! How cleanups of projects went, and deletions of many tags that somebody has asked for.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::{Connection, Row, params};

use super::seconds;
use crate::error::{Error, Kind, Result};
use crate::store::ProjectId;
use crate::store::page::json_of;
use crate::store::registry::RegistryDb;
use crate::store::statement::{get, list, run, size, stored_size};
use crate::time::Timestamp;

/// The last cleanup of a project, or the one that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleanupRun {
    pub started_at: Timestamp,
    /// `None`: it goes on, or goes on after a restart.
    pub finished_at: Option<Timestamp>,
    pub removed_tags: u64,
    /// Of those that it looked at.
    pub kept_tags: u64,
    /// Why it ended before its time.
    pub error: Option<String>,
}

/// A deletion of many tags of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleanupRequest {
    pub repository: i64,
    /// As of a policy.
    pub name_regex_delete: String,
    pub name_regex_keep: Option<String>,
    pub keep_n: Option<u64>,
    pub older_than: Option<Duration>,
    pub requested_at: Timestamp,
}

const RUN: &str = "started_at, finished_at, removed_tags, kept_tags, error";

impl RegistryDb {
    /// Notes that a cleanup of the project begins; one that a crash ended goes on.
    pub fn begin_cleanup(&self, project: ProjectId, now: Timestamp) -> Result<()> {
        self.database.write(|connection| {
            run(
                connection,
                "begin a cleanup",
                "INSERT INTO cleanup_runs (project_id, started_at) VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET
                     started_at = excluded.started_at, removed_tags = 0, kept_tags = 0,
                     finished_at = NULL, error = NULL
                 WHERE finished_at IS NOT NULL",
                params![project, now],
            )
            .map(drop)
        })
    }

    /// Notes that it has ended; how it went.
    pub fn end_cleanup(
        &self,
        project: ProjectId,
        kept_tags: u64,
        error: Option<&str>,
        now: Timestamp,
    ) -> Result<CleanupRun> {
        let text = format!(
            "UPDATE cleanup_runs SET finished_at = ?2, kept_tags = ?3, error = ?4
             WHERE project_id = ?1 RETURNING {RUN}"
        );
        self.database.write(|connection| {
            get(
                connection,
                "end a cleanup",
                &text,
                params![project, now, stored_size(kept_tags), error],
                |row| cleanup_run(row, 0),
            )
        })
    }

    /// How it went last, for those of the projects that had one.
    pub fn cleanup_runs(&self, projects: &[ProjectId]) -> Result<HashMap<ProjectId, CleanupRun>> {
        let ids: Vec<i64> = projects.iter().map(|project| project.0).collect();
        let ids = json_of(&ids)?;
        let text = format!(
            "SELECT project_id, {RUN} FROM cleanup_runs
             WHERE project_id IN (SELECT value FROM json_each(?1))"
        );
        let found = self.database.scan(|connection| {
            list(connection, "list cleanups", &text, [ids], |row| {
                Ok((row.get(0)?, cleanup_run(row, 1)?))
            })
        })?;
        Ok(found.into_iter().collect())
    }

    /// Notes a deletion of many tags, which the server then makes.
    ///
    /// # Errors
    /// `Conflict` where one of that repository is noted already.
    pub fn request_cleanup(&self, request: &CleanupRequest) -> Result<()> {
        let noted = self.database.write(|connection| {
            run(
                connection,
                "note a deletion of tags",
                "INSERT INTO cleanup_requests
                     (repository_id, name_regex_delete, name_regex_keep, keep_n, older_than, requested_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    request.repository,
                    request.name_regex_delete,
                    request.name_regex_keep,
                    request.keep_n.map(stored_size),
                    request.older_than.map(seconds),
                    request.requested_at,
                ],
            )
            .map(drop)
        });
        noted.map_err(|error| match error.kind() {
            Kind::Conflict => Error::new(
                Kind::Conflict,
                "this request has already been made, and is being worked on",
            )
            .remedy("wait until it is done"),
            _ => error,
        })
    }

    /// Those that are noted, in the order in which they came.
    pub fn cleanup_requests(&self) -> Result<Vec<CleanupRequest>> {
        self.database.read(|connection| {
            list(
                connection,
                "list noted deletions of tags",
                "SELECT repository_id, name_regex_delete, name_regex_keep, keep_n, older_than, requested_at
                 FROM cleanup_requests ORDER BY requested_at, repository_id",
                [],
                request,
            )
        })
    }

    /// It is done.
    pub fn end_cleanup_request(&self, repository: i64) -> Result<()> {
        self.database.write(|connection| {
            run(
                connection,
                "end a deletion of tags",
                "DELETE FROM cleanup_requests WHERE repository_id = ?1",
                [repository],
            )
            .map(drop)
        })
    }
}

/// Counts a removed tag for the project's cleanup.
pub(super) fn count(connection: &Connection, project: ProjectId) -> Result<()> {
    run(
        connection,
        "count what a cleanup has removed",
        "UPDATE cleanup_runs SET removed_tags = removed_tags + 1
         WHERE project_id = ?1",
        [project],
    )
    .map(drop)
}

fn cleanup_run(row: &Row<'_>, first: usize) -> rusqlite::Result<CleanupRun> {
    let at = |column: usize| first.saturating_add(column);
    Ok(CleanupRun {
        started_at: row.get(at(0))?,
        finished_at: row.get(at(1))?,
        removed_tags: size(row, at(2))?,
        kept_tags: size(row, at(3))?,
        error: row.get(at(4))?,
    })
}

fn request(row: &Row<'_>) -> rusqlite::Result<CleanupRequest> {
    let whole = |number: i64| u64::try_from(number).unwrap_or(0);
    Ok(CleanupRequest {
        repository: row.get(0)?,
        name_regex_delete: row.get(1)?,
        name_regex_keep: row.get(2)?,
        keep_n: row.get::<_, Option<i64>>(3)?.map(whole),
        older_than: row
            .get::<_, Option<i64>>(4)?
            .map(|seconds| Duration::from_secs(whole(seconds))),
        requested_at: row.get(5)?,
    })
}
