//! Which blobs somebody who may push was told of lately. A question waits for no writer: where one is at work, or
//! nothing can be written, the mark is noted in memory and written in a batch, in any case before links are swept.
//!
//! What is lost in a crash is a second of what was only noted: the push that relied on it is told that the blob is
//! missing.

use std::collections::HashMap;
use std::time::Instant;

use rusqlite::{Connection, params};

use super::repositories::OF_PATH;
use super::{HostedRepository, RegistryDb};
use crate::error::Result;
use crate::oci::Digest;
use crate::store::ProjectId;
use crate::store::deferred::Deferred;
use crate::store::statement::run;
use crate::time::Timestamp;

/// Only while nothing can be written for long are there more, which are then forgotten.
const MAX_MARKS: usize = 10_000;

/// By project, repository and digest: when somebody was told last.
pub(super) type Marks = Deferred<(ProjectId, String, Digest), Timestamp>;

pub(super) fn new() -> Marks {
    Deferred::new(MAX_MARKS)
}

impl RegistryDb {
    pub(super) fn mark(&self, repository: HostedRepository<'_>, digest: &Digest, now: Timestamp) {
        let blob = (
            repository.project,
            repository.path.to_owned(),
            digest.clone(),
        );
        let mark = HashMap::from([(blob.clone(), now)]);
        let written = self
            .database
            .write_unless_busy(|connection| write(connection, &mark));
        if written.is_err() {
            // The batch fails with the same error if it persists.
            self.marks.note(blob, now);
        }
    }

    /// Writes what was noted; the server calls it every second and at the end.
    pub fn write_marks(&self) -> Result<()> {
        self.marks
            .write(|marks| self.database.write(|connection| write(connection, marks)))
    }

    /// Runs `work` in one write transaction that begins with what was noted. Nobody is told of a blob between that
    /// and the commit: what `work` removes, nobody relies on.
    pub(super) fn write_marked<T>(&self, work: impl Fn(&Connection) -> Result<T>) -> Result<T> {
        // Held from inside the transaction until after its commit, so that nobody who has a note to make waits while
        // others write.
        let mut held = None;
        self.database.write_once(Instant::now(), |connection| {
            write(connection, &held.insert(self.marks.hold()).all())?;
            work(connection)
        })
    }
}

fn write(
    connection: &Connection,
    marks: &HashMap<(ProjectId, String, Digest), Timestamp>,
) -> Result<()> {
    for ((project, path, digest), at) in marks {
        run(
            connection,
            "mark a blob as needed",
            &format!(
                "UPDATE blob_links SET needed_at = max(needed_at, ?4)
                 WHERE repository_id IN ({OF_PATH})
                 AND blob_id = (SELECT id FROM blobs WHERE digest = ?3)"
            ),
            params![project, path, digest, at],
        )?;
    }
    Ok(())
}
