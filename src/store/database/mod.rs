//! One SQLite file: its migrations, its one writer, its readers, and those for lists, which no pull waits for.
//!
//! Knows how connections are opened and shared, and no table. A reader is handed out for one closure and
//! must not be asked for again inside it: the pool is bounded, and nested readers could wait for each other.

mod kept_rows;
mod readers;
mod reading;
mod steps;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::directory;
use super::migrations::{migrate, refuse_newer};
use super::statement::sql;
use super::write_ahead_log;
use crate::context;
use crate::error::{Error, Kind, Result};
pub(super) use kept_rows::{AskedIn, InRepository, KeptRows};
pub(super) use reading::Reading;
pub(super) use steps::{each_in_steps, in_steps, step};

/// How long a statement waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// As long as that waits what an answer to a pull depends on, but can do without.
const SOON: Duration = Duration::from_millis(500);
/// What is left at least to one that has waited for others of this process: so that those who queue up behind a
/// stuck process do not wait for it one after the other.
const LEFT_AT_LEAST: Duration = Duration::from_millis(100);
/// Enough for every statement of one database, so that each is parsed once per connection.
const STATEMENTS_KEPT: usize = 96;

/// When a commit reaches the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "UPPERCASE")]
pub(super) enum Synchronous {
    /// Before the commit returns: for what cannot be had again.
    Full,
    /// At the next checkpoint: a power cut may undo the last commits, never damage the file.
    Normal,
}

impl Synchronous {
    fn as_str(self) -> &'static str {
        self.into()
    }
}

/// An SQLite file in WAL mode, opened and migrated.
pub(super) struct Database {
    path: PathBuf,
    /// When its commits reach the disk, unless one says otherwise.
    synchronous: Synchronous,
    writer: Mutex<Connection>,
    /// Goes up before and after each change.
    changes: AtomicU64,
    reading: Reading,
}

impl Database {
    /// Opens `path`, makes it (0600) if it is missing, and applies what is missing of `migrations`.
    ///
    /// `PRAGMA user_version` counts how many were applied: so from the first release on they are only ever appended, and
    /// until then they may change.
    pub(super) fn open(path: &Path, synchronous: Synchronous, migrations: &[&str]) -> Result<Self> {
        // SQLite gives -wal and -shm the mode of the main file, so making it first settles all three.
        directory::make_file(path)?;
        let mut writer = connect(path)?;
        refuse_newer(&writer, path, migrations.len())?;
        write_ahead_log::begin(&writer, BUSY_TIMEOUT)
            .and_then(|()| writer.pragma_update(None, "synchronous", synchronous.as_str()))
            .and_then(|()| writer.pragma_update(None, "journal_size_limit", 64 << 20))
            .map_err(|error| sql(&format!("open {}", path.display()), error))?;
        migrate(&mut writer, path, migrations)?;
        write_ahead_log::reserve(path);
        Ok(Self {
            path: path.to_owned(),
            synchronous,
            writer: Mutex::new(writer),
            changes: AtomicU64::new(0),
            reading: Reading::of(path),
        })
    }

    /// See [`Reading::read`].
    pub(super) fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.reading.read(work)
    }

    /// See [`Reading::scan`].
    pub(super) fn scan<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.reading.scan(work)
    }

    /// See [`Reading::scan_consistent`].
    pub(super) fn scan_consistent<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        self.reading.scan_consistent(work)
    }

    /// Runs `work` in one write transaction and commits it; an error rolls back.
    ///
    /// Everybody else's writes wait meanwhile: no network, no streaming of a body in here. `work` could run twice: it
    /// changes rows and nothing else, and what it found out it returns. Counters, locks and memory are the caller's,
    /// after the commit.
    pub(super) fn write<T>(&self, work: impl Fn(&Connection) -> Result<T>) -> Result<T> {
        self.write_since(Instant::now(), work)
    }

    /// As [`Self::write`], for one that has waited since `asked` already, for this database or for another.
    pub(super) fn write_since<T>(
        &self,
        asked: Instant,
        work: impl Fn(&Connection) -> Result<T>,
    ) -> Result<T> {
        self.write_once(asked, work)
    }

    /// As [`Self::write_since`], for work that can run only once, because it changes more than rows of this database. Each
    /// caller says why that cannot wait until after the commit.
    pub(super) fn write_once<T>(
        &self,
        asked: Instant,
        work: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        self.commit(&mut self.writer(), left_of_busy_timeout(asked), work)
    }

    /// As [`Self::write`], for a change of each item of a list, in transactions of a moment each: what `change` gave of
    /// them.
    pub(super) fn write_each<I, T>(
        &self,
        items: &[I],
        change: impl Fn(&Connection, &I) -> Result<Option<T>>,
    ) -> Result<Vec<T>> {
        let mut all = Vec::new();
        self.write_each_into(&mut all, items, change)?;
        Ok(all)
    }

    /// As [`Self::write_each`], for whoever also has to know what was changed before an error.
    pub(super) fn write_each_into<I, T>(
        &self,
        all: &mut Vec<T>,
        items: &[I],
        change: impl Fn(&Connection, &I) -> Result<Option<T>>,
    ) -> Result<()> {
        each_in_steps(items, |work| self.write(work), change, all)
    }

    /// As [`Self::write`], for what nobody shall wait long for: gives up after half a second.
    ///
    /// # Errors
    /// `Busy` also where others of this process are writing for longer.
    pub(super) fn write_soon<T>(&self, work: impl Fn(&Connection) -> Result<T>) -> Result<T> {
        self.write_within(SOON, work)
    }

    /// As [`Self::write_soon`], without waiting for anybody.
    pub(super) fn write_unless_busy<T>(
        &self,
        work: impl Fn(&Connection) -> Result<T>,
    ) -> Result<T> {
        self.write_within(Duration::ZERO, work)
    }

    fn write_within<T>(
        &self,
        patience: Duration,
        work: impl Fn(&Connection) -> Result<T>,
    ) -> Result<T> {
        context::waits();
        let asked = Instant::now();
        let writer = self.writer.try_lock_for(patience);
        let mut writer = writer.ok_or_else(|| {
            let what = "cannot begin writing: others are writing to the database";
            Error::new(Kind::Busy, what).remedy("try again")
        })?;
        self.commit(&mut writer, patience.saturating_sub(asked.elapsed()), work)
    }

    /// As [`Self::write`], reaching the disk as `synchronous` says instead of the database's usual way.
    pub(super) fn write_with<T>(
        &self,
        synchronous: Synchronous,
        work: impl Fn(&Connection) -> Result<T>,
    ) -> Result<T> {
        let asked = Instant::now();
        let mut writer = self.writer();
        let set = |writer: &Connection, synchronous: Synchronous| {
            writer
                .pragma_update(None, "synchronous", synchronous.as_str())
                .map_err(|error| sql("set synchronous", error))
        };
        set(&writer, synchronous)?;
        let result = self.commit(&mut writer, left_of_busy_timeout(asked), work);
        set(&writer, self.synchronous)?;
        result
    }

    /// Moves the write-ahead log into the main file, as far as readers allow. Its room stays.
    pub(super) fn checkpoint(&self) -> Result<()> {
        write_ahead_log::empty(&self.writer(), &self.path)
            .map_err(|error| sql("move the write-ahead log into the database", error))
    }

    /// A connection of its own for a caller that keeps it.
    pub(super) fn dedicated_reader(&self) -> Result<Connection> {
        self.reading.connect()
    }

    /// Whether it can be read at this moment: the schema is, so a file that went bad or away shows.
    pub(super) fn probe(&self) -> Result<()> {
        self.read(|connection| {
            let text = "SELECT count(*) FROM sqlite_schema";
            super::statement::get(connection, "look into the database", text, [], |_| Ok(()))
        })
    }

    /// Takes the lock of writers, and gives it back.
    ///
    /// # Errors
    /// `Busy` where another process keeps it.
    pub(super) fn lock_for_a_moment(&self) -> Result<()> {
        self.write(|_| Ok(()))
    }

    /// What SQLite itself finds wrong with the file: `PRAGMA integrity_check`, at most 100 lines.
    pub(super) fn integrity_faults(&self) -> Result<Vec<String>> {
        self.scan(|connection| {
            let lines = super::statement::list(
                connection,
                "check the database's integrity",
                "PRAGMA integrity_check",
                [],
                |row| row.get::<_, String>(0),
            )?;
            Ok(lines.into_iter().filter(|line| line != "ok").collect())
        })
    }

    /// Rows whose parent row is missing: (table, parent's table, how many).
    pub(super) fn foreign_key_faults(&self) -> Result<Vec<(String, String, u64)>> {
        self.scan(|connection| {
            super::statement::list(
                connection,
                "check foreign keys",
                "SELECT \"table\", \"parent\", count(*) FROM pragma_foreign_key_check GROUP BY 1, 2",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, super::statement::size(row, 2)?)),
            )
        })
    }

    /// Runs `work` in a transaction that waits for another process's lock for as long as `patience`.
    fn commit<T>(
        &self,
        writer: &mut Connection,
        patience: Duration,
        work: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        writer
            .busy_timeout(patience)
            .map_err(|error| sql("set the busy timeout", error))?;
        let transaction = writer
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| sql("begin writing", error))?;
        let value = work(&transaction)?;
        let _changing = Changing::begin(&self.changes);
        transaction.commit().map_err(|error| sql("commit", error))?;
        Ok(value)
    }

    /// A number that is another one after each change. A row that was read when it was this one is still the same while it
    /// is.
    fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// A poisoned lock is taken all the same: a panic rolled its transaction back.
    fn writer(&self) -> MutexGuard<'_, Connection> {
        context::waits();
        self.writer.lock()
    }
}

/// SQLite's own move of the log into the file at the last close is off, because it removes the log's files as well.
impl Drop for Database {
    fn drop(&mut self) {
        let writer = self.writer.get_mut();
        // Whoever uses it now, or finds no room for it, leaves it to the next one: nothing is lost in the log.
        let _ = writer
            .busy_timeout(Duration::ZERO)
            .and_then(|()| write_ahead_log::empty(writer, &self.path));
    }
}

/// A commit in progress. Somebody who reads meanwhile sees the state before it or after it, so the number goes up at both
/// ends: what was read in between is kept for neither.
struct Changing<'a>(&'a AtomicU64);

impl<'a> Changing<'a> {
    fn begin(changes: &'a AtomicU64) -> Self {
        changes.fetch_add(1, Ordering::AcqRel);
        Self(changes)
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// How long one may still wait for another process who asked at `asked`, and waited for its own since.
fn left_of_busy_timeout(asked: Instant) -> Duration {
    BUSY_TIMEOUT
        .saturating_sub(asked.elapsed())
        .max(LEFT_AT_LEAST)
}

pub(super) fn connect(path: &Path) -> Result<Connection> {
    // No mutex of SQLite's own: each connection is used by one thread at a time.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)
        .map_err(|error| sql(&format!("open {}", path.display()), error))?;
    connection
        .busy_timeout(BUSY_TIMEOUT)
        .and_then(|()| connection.pragma_update(None, "foreign_keys", true))
        .and_then(|()| connection.pragma_update(None, "trusted_schema", false))
        .and_then(|()| connection.pragma_update(None, "temp_store", "MEMORY"))
        // The files of the log stay when the last connection closes: so a start on a full disk finds their room.
        .and_then(|()| connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true))
        .map_err(|error| sql(&format!("open {}", path.display()), error))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(connection)
}

#[cfg(test)]
pub(super) mod tests;
