//! What the cache database remembers about the whole data directory: whether the last stop was clean, whether there was
//! a `registry.sqlite`.

use super::CacheDb;
use crate::error::Result;
use crate::store::database::Synchronous;
use crate::store::statement::{find, run};
use crate::time::Timestamp;

impl CacheDb {
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
        self.set_state("missing_registry", i64::from(had_one))
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

    fn state(&self, key: &str) -> Result<Option<i64>> {
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

    fn set_state(&self, key: &str, value: i64) -> Result<()> {
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
