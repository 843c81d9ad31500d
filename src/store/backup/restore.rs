//! Putting a backup in the place of the databases of a data directory, while nobody serves it.
//!
//! Everything that can be wrong with the backup comes out before anything is changed, and no id that was given out
//! is given out again.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, params};

use super::sound::{not_ours, prepare};
use super::{
    ACCESS, DATABASE, Kept, REGISTRY, Staged, attached, beside, quarantine, remove, single_file,
    staging, sync,
};
use crate::error::{Error, Kind, Result};
use crate::store::database::connect;
use crate::store::statement::{list, run, sql};
use crate::store::{Actor, AuditDb, DataLock, Event, EventKind, Store, directory, failures};
use crate::time::Timestamp;

/// How far ids jump where the replaced database cannot say which it has given out.
const JUMP: i64 = 1_000_000;

/// What [`Store::restore`] found in the place of the restored database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// Nothing, on a box that lost it.
    Nothing,
    /// A database that could be read: ids go on behind its own.
    Readable,
    /// One that could not: ids jump by a million, so that none comes twice.
    Unreadable,
}

impl Store {
    /// Puts the access database `from` in the place of the one in the data directory, or of one that is
    /// lost, and brings it to this program's version. `from` itself is only read. Older backups hold no rows of what
    /// was pushed: then those in place stay.
    ///
    /// The files of pushes that the backup does not know are kept. No id that the replaced database has given out is
    /// given out again. `audit.sqlite` stays, and gets an event.
    ///
    /// The lock that it was done under comes back with what was replaced.
    ///
    /// # Errors
    /// `Conflict` while a process serves the directory, or a command has the database open; `BadRequest`
    /// for a file that is not an access database of ours, or is damaged; `Config` for one of a newer
    /// version; `NotFound` for a directory that is none of ours. In all these cases nothing is changed.
    pub fn restore(actor: &Actor, data: &Path, from: &mut File) -> Result<(Replaced, DataLock)> {
        let lock = Self::lock_for_restore(data)?;
        let replaced = PreparedRestore::read(&lock, data, from)?.finish(actor)?;
        Ok((replaced, lock))
    }

    /// Locks a directory of ours.
    ///
    /// # Errors
    /// `NotFound` for a directory that is none of ours; `Conflict` while a process serves it.
    pub fn lock_for_restore(data: &Path) -> Result<DataLock> {
        refuse_other_directory(data)?;
        DataLock::take(data)
    }
}

/// A backup that was judged, and has replaced nothing yet.
pub struct PreparedRestore {
    data: PathBuf,
    access: (Staged, Connection),
    /// `None`: an older backup, without rows of what was pushed.
    pushed: Option<(Staged, Connection)>,
}

impl PreparedRestore {
    /// Everything that can be wrong with the backup comes out here.
    ///
    /// # Errors
    /// As [`Store::restore`], but for those about the databases in place.
    pub fn read(_lock: &DataLock, data: &Path, from: &mut File) -> Result<Self> {
        let staged = Staged::copy(data, from, "restore")?;
        let mut new = connect(&staged.path).map_err(not_ours)?;
        let pushed = Staged::at(staging(data, "registry")?)?;
        let has_pushed = attached::detach(&mut new, REGISTRY.file, &pushed.path)?;
        prepare(&mut new, &staged.path, ACCESS)?;
        let pushed = match has_pushed {
            true => {
                let mut database = connect(&pushed.path).map_err(not_ours)?;
                prepare(&mut database, &pushed.path, REGISTRY)?;
                quarantine::forget_old_notes(&database, Timestamp::now())?;
                Some((pushed, database))
            }
            false => None,
        };
        Ok(Self {
            data: data.to_owned(),
            access: (staged, new),
            pushed,
        })
    }

    /// Puts it in the place of the databases.
    ///
    /// # Errors
    /// `Conflict` where a command has one of them open; `Io`, `Sql`.
    pub fn finish(self, actor: &Actor) -> Result<Replaced> {
        let data = self.data.as_path();
        let (staged, new) = self.access;
        let access = Exchange::begin(data, ACCESS, staged, new)?;
        let pushed = self.pushed;
        let pushed = pushed
            .map(|(staged, database)| Exchange::begin(data, REGISTRY, staged, database))
            .transpose()?;
        if let Some(pushed) = pushed {
            quarantine::distrust_files(data)?;
            pushed.finish(data)?;
        }
        let replaced = access.finish(data)?;
        match AuditDb::open(&data.join("audit.sqlite")) {
            Ok(audit) => {
                let found = match replaced {
                    Replaced::Nothing => "nothing",
                    Replaced::Readable => "a database",
                    Replaced::Unreadable => "an unreadable database",
                };
                let event = Event::new(EventKind::DatabaseRestored).detail("replaced", found);
                audit.record(actor, &event);
            }
            // It is done, and whoever did it has to know that.
            Err(error) => {
                tracing::error!(%error, "restored, but the audit cannot be opened to tell of it");
            }
        }
        Ok(replaced)
    }
}

/// A checked database, and the one whose place it takes.
struct Exchange {
    live: PathBuf,
    staged: Staged,
    old: Old,
}

impl Exchange {
    fn begin(data: &Path, kept: Kept, staged: Staged, new: Connection) -> Result<Self> {
        let live = data.join(kept.file);
        let old = Old::lay_down(&live)?;
        skip_ids(&new, &old)?;
        new.close()
            .map_err(|(_, error)| sql("close the restored database", error))?;
        sync(&staged.path)?;
        Ok(Self { live, staged, old })
    }

    fn finish(self, data: &Path) -> Result<Replaced> {
        let Self { live, staged, old } = self;
        if matches!(old, Old::Unreadable) {
            // Its log must not be applied to the file that comes in its place.
            for log in ["-wal", "-shm", "-journal"] {
                remove(&beside(&live, log))?;
            }
        }
        fs::rename(&staged.path, &live)
            .map_err(|error| Error::io("cannot put the backup in the place of", &live, error))?;
        directory::sync_directory(data)?;
        Ok(match old {
            Old::Nothing => Replaced::Nothing,
            Old::Readable { .. } => Replaced::Readable,
            Old::Unreadable => Replaced::Unreadable,
        })
    }
}

/// The database that is to be replaced, closed to everybody else until this is dropped.
enum Old {
    Nothing,
    Readable {
        /// (table, its highest id that was ever given out)
        ids: Vec<(String, i64)>,
        _closed_to_others: Connection,
    },
    Unreadable,
}

impl Old {
    /// Moves its log into it, so that nothing lies beside it that could be taken for its successor's.
    fn lay_down(live: &Path) -> Result<Self> {
        if fs::metadata(live).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            for log in ["-wal", "-shm", "-journal"] {
                remove(&beside(live, log))?;
            }
            return Ok(Self::Nothing);
        }
        let old = connect(live)?;
        let laid_down = single_file(&old)
            .and_then(|()| old.execute_batch("BEGIN EXCLUSIVE"))
            .and_then(|()| {
                old.prepare("SELECT name, seq FROM sqlite_sequence")?
                    .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect::<rusqlite::Result<Vec<_>>>()
            });
        match laid_down {
            Ok(ids) => Ok(Self::Readable {
                ids,
                _closed_to_others: old,
            }),
            // A full disk lets nothing be opened, and says nothing about the file.
            Err(error) if failures::is_full(&error) => {
                Err(sql("close the database that is to be replaced", error))
            }
            Err(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Err(Error::new(
                    Kind::Conflict,
                    "another command has the access database open",
                )
                .remedy("wait until it has ended, and try again")),
                // What is damaged, or was never ours, is what a backup is restored for.
                Some(
                    ErrorCode::NotADatabase
                    | ErrorCode::DatabaseCorrupt
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::Unknown,
                ) => Ok(Self::Unreadable),
                _ => Err(sql("close the database that is to be replaced", error)),
            },
        }
    }
}

/// Makes the new database go on behind the ids that the old one has given out.
fn skip_ids(new: &Connection, old: &Old) -> Result<()> {
    let known = match old {
        Old::Nothing => return Ok(()),
        Old::Readable { ids, .. } => ids.clone(),
        Old::Unreadable => list(
            new,
            "read the restored ids",
            "SELECT m.name, ifnull(s.seq, 0) FROM sqlite_schema m
             LEFT JOIN sqlite_sequence s ON s.name = m.name
             WHERE m.type = 'table' AND m.sql LIKE '%AUTOINCREMENT%'",
            [],
            |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.saturating_add(JUMP))),
        )?,
    };
    for (table, highest) in known {
        // `sqlite_sequence` has no key that an upsert could lean on.
        let changed = run(
            new,
            "skip ids",
            "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1",
            params![table, highest],
        )?;
        if changed == 0 {
            run(
                new,
                "skip ids of an empty table",
                "INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)",
                params![table, highest],
            )?;
        }
    }
    Ok(())
}

/// `--data /tmp` must not make a store of `/tmp`; one that lost its access database is still one.
fn refuse_other_directory(data: &Path) -> Result<()> {
    let is_store = [DATABASE, "cache.sqlite", "blobs"]
        .iter()
        .any(|name| data.join(name).exists());
    if is_store {
        return Ok(());
    }
    let what = format!("there is no store at {}", data.display());
    Err(Error::new(Kind::NotFound, what)
        .remedy("name its directory with --data, or make one with `breakwater init`"))
}
