//! Which blobs somebody who may push was told of lately. A question waits for no writer: where one is at work, or
//! nothing can be written, the mark is noted in memory and written in a batch, in any case before links are swept.
//!
//! What is lost in a crash is a second of what was only noted: the push that relied on it is told that the blob is
//! missing.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};

use rusqlite::{Connection, params};

use super::repositories::OF_PATH;
use super::{HostedRepository, RegistryDb};
use crate::error::Result;
use crate::oci::Digest;
use crate::store::ProjectId;
use crate::store::statement::run;
use crate::time::Timestamp;

/// Only while nothing can be written for long are there more, which are then forgotten.
const MAX_MARKS: usize = 10_000;

/// By project, repository and digest: when somebody was told last.
pub(super) type Marks = HashMap<(ProjectId, String, Digest), Timestamp>;

impl RegistryDb {
    pub(super) fn mark(&self, repository: HostedRepository<'_>, digest: &Digest, now: Timestamp) {
        let key = (
            repository.project,
            repository.path.to_owned(),
            digest.clone(),
        );
        let mark = Marks::from([(key.clone(), now)]);
        let written = self
            .database
            .write_unless_busy(|connection| write(connection, &mark));
        if written.is_ok() {
            return;
        }
        // Whatever is in the way is told by the batch, if it is still there.
        let mut marks = self.marks();
        if marks.len() < MAX_MARKS || marks.contains_key(&key) {
            marks.insert(key, now);
        }
    }

    /// Writes what was noted; the server calls it every second and at the end. What could not be written is kept
    /// for the next call.
    pub fn write_marks(&self) -> Result<()> {
        let noted = self.marks().clone();
        if noted.is_empty() {
            return Ok(());
        }
        self.database
            .write(|connection| write(connection, &noted))?;
        // Those of meanwhile stay for the next call.
        self.marks()
            .retain(|blob, at| noted.get(blob).is_none_or(|written| written < at));
        Ok(())
    }

    /// Runs `work` in one write transaction that begins with what was noted. Nobody is told of a blob between that
    /// and the commit: what `work` removes, nobody relies on.
    pub(super) fn write_marked<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        // Taken inside the transaction, so that nobody waits for it while another process has the database.
        let mut held = None;
        let done = self.database.write(|connection| {
            let marks: &Marks = held.insert(self.marks());
            write(connection, marks)?;
            work(connection)
        });
        if let (Ok(_), Some(mut marks)) = (&done, held) {
            marks.clear();
        }
        done
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(connection: &Connection, marks: &Marks) -> Result<()> {
    for ((project, path, digest), at) in marks {
        run(
            connection,
            "mark a blob as needed",
            &format!(
                "UPDATE blob_links SET needed_at = max(needed_at, ?4)
                 WHERE repository_id IN ({OF_PATH})
                 AND blob_id = (SELECT id FROM blobs WHERE digest = ?3)"
            ),
            params![project.0, path, digest.as_str(), at.0],
        )?;
    }
    Ok(())
}
