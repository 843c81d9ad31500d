//! Taking `access.sqlite` and the rows of what was pushed away while others write them. Putting them back is
//! `restore`'s, judging a file before that `sound`'s.
//!
//! A backup is one SQLite file: the access database, with a copy of `registry.sqlite` in a table of its own (see
//! `attached`). Knows SQLite's files and what makes one of them a database of ours. Knows neither passwords nor
//! keys: `secret.key` and `keys/` are not in a backup, and neither are the bytes of pushed blobs.

mod attached;
mod lost;
mod quarantine;
mod restore;
mod saved;
mod sound;
#[cfg(test)]
mod tests;
mod whole;

pub use lost::LostRows;
pub(super) use lost::{ASIDE, refuse_missing};
pub use restore::{PreparedRestore, Replaced};
pub use whole::{
    BackupDirectory, CopiedFiles, PRECIOUS, ROWS, RestOfBackup, copy_files, refuse_data_directory,
};

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::access::MIGRATIONS;
use super::database::connect;
use super::statement::sql;
use super::{Actor, Event, EventKind, Store, directory};
use crate::error::{Error, Kind, Result};

const DATABASE: &str = "access.sqlite";
/// The two databases that are put back, by their own rules.
const ACCESS: Kept = Kept {
    file: DATABASE,
    migrations: MIGRATIONS,
    telltale: "users",
};
const REGISTRY: Kept = Kept {
    file: "registry.sqlite",
    migrations: super::registry::MIGRATIONS,
    telltale: "repositories",
};
const CACHE: Kept = Kept {
    file: "cache.sqlite",
    migrations: super::cache::MIGRATIONS,
    telltale: "origins",
};

/// A database of which there are copies.
#[derive(Clone, Copy)]
struct Kept {
    /// Its name in the data directory.
    file: &'static str,
    migrations: &'static [&'static str],
    /// A table that every version of it has.
    telltale: &'static str,
}

impl Store {
    /// Writes what `access.sqlite` and `registry.sqlite` hold at this moment to the new file `to` (0600), whole and
    /// in one piece; others go on writing meanwhile.
    ///
    /// # Errors
    /// `Conflict` where `to` exists; `Io`, `Full`, `Sql`. What was begun is removed.
    pub fn backup(&self, actor: &Actor, to: &Path) -> Result<()> {
        new_copy(to, || self.copy_database(to, Pace::AtOnce))?;
        let event = Event::new(EventKind::DatabaseBackedUp);
        self.audit.record(actor, &event);
        Ok(())
    }

    /// The same to `precious`, and the rows of the cache to `rows`, for a backup that is not done with that: its end is to be
    /// told by [`Self::note_whole_backup`].
    ///
    /// # Errors
    /// As [`Self::backup`].
    pub fn backup_all(&self, precious: &Path, rows: &Path) -> Result<()> {
        new_copy(precious, || self.copy_database(precious, Pace::Gentle))?;
        new_copy(rows, || self.copy_rows(rows, Pace::Gentle))
    }

    /// Tells the audit that a backup with images was made.
    pub fn note_whole_backup(&self, actor: &Actor) {
        let event = Event::new(EventKind::DatabaseBackedUp).detail("with_images", true);
        self.audit.record(actor, &event);
    }

    fn copy_rows(&self, to: &Path, pace: Pace) -> Result<()> {
        let reader = self.cache.database().dedicated_reader()?;
        copy(&reader, to, pace)?
            .close()
            .map_err(|(_, error)| sql("close the copy of cache.sqlite", error))
    }

    fn copy_database(&self, to: &Path, pace: Pace) -> Result<()> {
        // What was pushed first: so every project that its rows name is in the other copy, unless it is gone.
        let pushed = Staged::at(beside(to, "-registry"))?;
        let reader = self.registry.database().dedicated_reader()?;
        copy(&reader, &pushed.path, pace)?
            .close()
            .map_err(|(_, error)| sql("close the copy of registry.sqlite", error))?;
        let mut target = copy(&self.access.database().dedicated_reader()?, to, pace)?;
        attached::attach(&mut target, REGISTRY.file, &pushed.path)?;
        target
            .close()
            .map_err(|(_, error)| sql(&format!("back up to {}", to.display()), error))?;
        sync(to)
    }
}

/// Makes the new file `to` and has it written; what was begun is removed.
fn new_copy(to: &Path, write: impl FnOnce() -> Result<()>) -> Result<()> {
    directory::new_file(to).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            let what = format!("{} exists already", to.display());
            Error::new(Kind::Conflict, what).remedy("name a file that does not exist")
        }
        _ => Error::io("cannot make", to, error),
    })?;
    let written = write();
    if written.is_err() {
        // The error that matters is the one that is returned.
        let _ = fs::remove_file(to);
    }
    written
}

/// How fast a database is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// Somebody waits for it.
    AtOnce,
    /// In small steps with pauses, and checked at the end: nobody waits for it.
    Gentle,
}

impl Pace {
    /// So many pages in one step; -1: all.
    fn pages(self) -> std::ffi::c_int {
        match self {
            Self::AtOnce => -1,
            Self::Gentle => 64,
        }
    }
}

/// Between two steps of a gentle copy.
const PAUSE: Duration = Duration::from_millis(3);

/// All of a database as one file, opened.
fn copy(from: &Connection, to: &Path, pace: Pace) -> Result<Connection> {
    let failed = |error| sql(&format!("copy a database to {}", to.display()), error);
    let mut target = connect(to)?;
    // One reading transaction around all steps: writers neither wait nor are seen, and no change of theirs makes the copy
    // begin anew.
    let reading = from.unchecked_transaction().map_err(failed)?;
    reading
        .query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
        .map_err(failed)?;
    let backup = Backup::new(&reading, &mut target).map_err(failed)?;
    loop {
        match backup.step(pace.pages()).map_err(failed)? {
            StepResult::Done => break,
            StepResult::More => std::thread::sleep(PAUSE),
            _ => {
                let what = format!("cannot back up to {}: the database is busy", to.display());
                return Err(Error::new(Kind::Busy, what).remedy("try again"));
            }
        }
    }
    drop(backup);
    // One file, without a log beside it that a copy could forget.
    single_file(&target).map_err(failed)?;
    if pace == Pace::Gentle {
        saved::quick_check(&target, Path::new(from.path().unwrap_or_default()))?;
    }
    Ok(target)
}

/// A file that goes when it is dropped, unless it was renamed. Those in `staging/` are swept by the next start if
/// a crash left them.
struct Staged {
    path: PathBuf,
}

impl Staged {
    /// A copy in `staging/`; `what` tells it apart from others of this process.
    fn copy(data: &Path, from: &mut File, what: &str) -> Result<Self> {
        let staged = Self::at(staging(data, what)?)?;
        let failed = |error| Error::io("cannot write", &staged.path, error);
        let mut to = File::options()
            .write(true)
            .open(&staged.path)
            .map_err(failed)?;
        io::copy(from, &mut to).map_err(failed)?;
        Ok(staged)
    }

    /// A new empty file.
    fn at(path: PathBuf) -> Result<Self> {
        remove(&path)?;
        directory::new_file(&path).map_err(|error| Error::io("cannot write", &path, error))?;
        Ok(Self { path })
    }
}

/// A name in `staging/` that only this process uses.
fn staging(data: &Path, what: &str) -> Result<PathBuf> {
    let directory = data.join("staging");
    directory::make_directory(&directory)?;
    Ok(directory.join(format!("{what}-{}.sqlite", std::process::id())))
}

impl Drop for Staged {
    fn drop(&mut self) {
        for end in ["", "-journal", "-wal", "-shm"] {
            // Already renamed, or left to the next start.
            let _ = fs::remove_file(beside(&self.path, end));
        }
    }
}

/// A backup's file must be in one piece; `journal_mode` says what it is afterwards, and is busy where
/// somebody else has the file open.
fn single_file(connection: &Connection) -> rusqlite::Result<()> {
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get(0))?;
    if mode == "delete" {
        return Ok(());
    }
    Err(rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
        None,
    ))
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("cannot remove", path, error))
        }
        _ => Ok(()),
    }
}

fn sync(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| Error::io("cannot sync", path, error))
}
