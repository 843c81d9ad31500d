//! What the cache database remembers about the whole data directory: whether the last stop was clean, whether there was
//! a `registry.sqlite`, whether its own rows were lost.

use super::CacheDb;
use crate::error::Result;
use crate::store::LostRows;
use crate::store::database::Synchronous;
use crate::store::statement::{find, run};
use crate::time::Timestamp;

/// How far the scrub has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrubPlace {
    /// When this round began, or begins.
    pub begun_at: Timestamp,
    /// The number of the directory that is read next.
    pub next: usize,
    /// When the last round came to its end.
    pub ended_at: Option<Timestamp>,
}

impl ScrubPlace {
    /// At the beginning of the first round.
    pub fn begin(now: Timestamp) -> Self {
        Self {
            begun_at: now,
            next: 0,
            ended_at: None,
        }
    }
}

/// Set when rows of what was pushed were lost, or older ones were put back.
pub(in crate::store) const MAY_BE_PUSHED: &str = "unlinked_may_be_pushed";
/// Set by a restore, until the next start.
pub(in crate::store) const RESTORED: &str = "restored";

impl CacheDb {
    /// How far the scrub has come; `None`: it never ran.
    ///
    /// # Errors
    /// `Sql`.
    pub fn scrub_place(&self) -> Result<Option<ScrubPlace>> {
        let Some(begun_at) = self.state("scrub_begun_at")? else {
            return Ok(None);
        };
        let next = self.state("scrub_next")?.unwrap_or(0);
        let ended_at = self.state("scrub_ended_at")?.map(Timestamp);
        Ok(Some(ScrubPlace {
            begun_at: Timestamp(begun_at),
            next: usize::try_from(next).unwrap_or(0),
            ended_at,
        }))
    }

    /// Notes how far the scrub has come. A power cut may undo it: then a directory is read twice.
    ///
    /// # Errors
    /// `Full`, `Busy`, `Sql`.
    pub fn note_scrub_place(&self, place: ScrubPlace) -> Result<()> {
        let next = i64::try_from(place.next).unwrap_or(0);
        let notes = [
            ("scrub_begun_at", Some(place.begun_at.0)),
            ("scrub_next", Some(next)),
            ("scrub_ended_at", place.ended_at.map(|at| at.0)),
        ];
        self.database.write(|connection| {
            for (key, value) in notes {
                let text = "INSERT OR REPLACE INTO state (key, value)
                            SELECT ?1, ?2 WHERE ?2 IS NOT NULL";
                run(
                    connection,
                    "note the scrub's place",
                    text,
                    rusqlite::params![key, value],
                )?;
            }
            Ok(())
        })
    }

    /// Whether the last stop was clean; from now on, until [`Self::note_clean_stop`], it was not.
    ///
    /// On disk before it returns: were the note lost in a power cut together with later commits, the next
    /// start would take the stop for a clean one.
    pub(in crate::store) fn take_clean_stop(&self) -> Result<bool> {
        self.database.write_with(Synchronous::Full, |connection| {
            let noted = run(
                connection,
                "take the note of a clean stop",
                "DELETE FROM state WHERE key = 'clean_stop'",
                [],
            )?;
            Ok(noted > 0)
        })
    }

    /// Whether a backup was restored since the last start; only once.
    pub(in crate::store) fn take_restored(&self) -> Result<bool> {
        self.database.write(|connection| {
            let text = "DELETE FROM state WHERE key = ?1";
            let noted = run(connection, "take the note of a restore", text, [RESTORED])?;
            Ok(noted > 0)
        })
    }

    /// Notes that everything is in order on disk.
    pub(in crate::store) fn note_clean_stop(&self) -> Result<()> {
        self.database.write(|connection| {
            run(
                connection,
                "note a clean stop",
                "INSERT OR REPLACE INTO state (key, value) VALUES ('clean_stop', 1)",
                [],
            )
        })?;
        Ok(())
    }

    /// Whether a clean stop is noted and not taken yet.
    pub(in crate::store) fn has_clean_stop(&self) -> Result<bool> {
        Ok(self.state("clean_stop")?.is_some())
    }

    /// Notes that there is a `registry.sqlite`.
    pub(in crate::store) fn note_registry(&self) -> Result<()> {
        match self.state("has_registry")? {
            Some(_) => Ok(()),
            None => self.set_state("has_registry", 1),
        }
    }

    /// Notes that `registry.sqlite` is missing: until rows and files were compared, files without a row may be what
    /// was pushed. A server that goes on beside this and stops later does not take the note back.
    pub(in crate::store) fn note_missing_registry(&self) -> Result<()> {
        let had_one = self.state("has_registry")?.is_some();
        self.set_state(MAY_BE_PUSHED, 1)?;
        self.set_state("missing_registry", i64::from(had_one))
    }

    /// Somebody has said that files which nothing links may go.
    pub(crate) fn let_unlinked_go(&self) -> Result<()> {
        if self.state(MAY_BE_PUSHED)?.is_none() {
            return Ok(());
        }
        self.database.write(|connection| {
            let text = "DELETE FROM state WHERE key = ?1";
            run(connection, "let unlinked files go", text, [MAY_BE_PUSHED]).map(drop)
        })
    }

    /// Whether `registry.sqlite` was missing and rows and files were not compared since; and then, whether there
    /// had been one before.
    pub(in crate::store) fn missing_registry(&self) -> Result<Option<bool>> {
        Ok(self.state("missing_registry")?.map(|had_one| had_one != 0))
    }

    pub(in crate::store) fn forget_missing_registry(&self) -> Result<()> {
        if self.missing_registry()?.is_none() {
            return Ok(());
        }
        self.database.write(|connection| {
            run(
                connection,
                "forget that a database was missing",
                "DELETE FROM state WHERE key = 'missing_registry'",
                [],
            )
            .map(drop)
        })
    }

    /// Notes when images last went for want of room, and when the last of them had last been pulled.
    pub fn note_eviction(&self, now: Timestamp, pulled_at: Timestamp) -> Result<()> {
        self.database.write(|connection| {
            for (key, at) in [("evicted_at", now), ("evicted_pulled_at", pulled_at)] {
                run(
                    connection,
                    "note an eviction",
                    "INSERT OR REPLACE INTO state (key, value) VALUES (?1, ?2)",
                    rusqlite::params![key, at],
                )?;
            }
            Ok(())
        })
    }

    /// When images last went for want of room, and when the last of them had last been pulled.
    pub fn last_eviction(&self) -> Result<Option<(Timestamp, Timestamp)>> {
        let at = self.state("evicted_at")?;
        let pulled_at = self.state("evicted_pulled_at")?;
        Ok(at
            .zip(pulled_at)
            .map(|(at, pulled_at)| (Timestamp(at), Timestamp(pulled_at))))
    }

    /// What was noted when a lost database was replaced by saved rows.
    pub(in crate::store) fn lost_rows(&self) -> Result<Option<LostRows>> {
        let Some(at) = self.state("lost_at")? else {
            return Ok(None);
        };
        let saved_at = self.state("lost_saved_at")?.filter(|at| *at > 0);
        let files = self.state("lost_files")?;
        Ok(Some(LostRows {
            at: Timestamp(at),
            was_damaged: self.state("lost_damaged")? == Some(1),
            saved_at: saved_at.map(Timestamp),
            files: files.and_then(|files| u64::try_from(files).ok()),
        }))
    }

    /// Notes how many files the saved rows did not know; once.
    pub(in crate::store) fn note_lost_files(&self, files: u64) -> Result<()> {
        self.set_state("lost_files", i64::try_from(files).unwrap_or(i64::MAX))
    }

    pub(super) fn state(&self, key: &str) -> Result<Option<i64>> {
        self.database.read(|connection| {
            find(
                connection,
                "read a note",
                "SELECT value FROM state WHERE key = ?1",
                [key],
                |row| row.get(0),
            )
        })
    }

    pub(super) fn set_state(&self, key: &str, value: i64) -> Result<()> {
        // A power cut must not lose it and keep what came after.
        self.database.write_with(Synchronous::Full, |connection| {
            run(
                connection,
                "write a note",
                "INSERT OR REPLACE INTO state (key, value) VALUES (?1, ?2)",
                rusqlite::params![key, value],
            )
            .map(drop)
        })
    }
}
