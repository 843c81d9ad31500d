//! Taking `access.sqlite` and the rows of what was pushed away while others write them, and putting them back
//! while nobody serves.
//!
//! A backup is one SQLite file: the access database, with a copy of `registry.sqlite` in a table of its own (see
//! `attached`). Knows SQLite's files and what makes one of them a database of ours. Knows neither passwords nor
//! keys: `secret.key` and `keys/` are not in a backup, and neither are the bytes of pushed blobs.

mod attached;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, params};

use super::access::MIGRATIONS;
use super::database::connect;
use super::migrations::{migrate, refuse_newer};
use super::statement::{list, run, sql};
use super::{Actor, AuditDb, DataLock, Event, EventKind, Store, directory, failures};
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
/// How far ids jump where the replaced database cannot say which it has given out.
const JUMP: i64 = 1_000_000;

/// A database that is in a backup.
#[derive(Clone, Copy)]
struct Kept {
    /// Its name in the data directory.
    file: &'static str,
    migrations: &'static [&'static str],
    /// A table that every version of it has.
    telltale: &'static str,
}

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
    /// Writes what `access.sqlite` and `registry.sqlite` hold at this moment to the new file `to` (0600), whole and
    /// in one piece; others go on writing meanwhile.
    ///
    /// # Errors
    /// `Conflict` where `to` exists; `Io`, `Full`, `Sql`. What was begun is removed.
    pub fn backup(&self, actor: &Actor, to: &Path) -> Result<()> {
        directory::new_file(to).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                let what = format!("{} exists already", to.display());
                Error::new(Kind::Conflict, what).remedy("name a file that does not exist")
            }
            _ => Error::io("cannot make", to, error),
        })?;
        let copied = self.copy_database(to);
        if copied.is_err() {
            // The error that matters is the one that is returned.
            let _ = fs::remove_file(to);
        } else {
            let event = Event::new(EventKind::DatabaseBackedUp);
            self.audit.record(actor, &event);
        }
        copied
    }

    fn copy_database(&self, to: &Path) -> Result<()> {
        // What was pushed first: so every project that its rows name is in the other copy, unless it is gone.
        let pushed = Staged::at(beside(to, "-registry"))?;
        copy(&self.registry.database().dedicated_reader()?, &pushed.path)?
            .close()
            .map_err(|(_, error)| sql("close the copy of registry.sqlite", error))?;
        let mut target = copy(&self.access.database().dedicated_reader()?, to)?;
        attached::attach(&mut target, REGISTRY.file, &pushed.path)?;
        target
            .close()
            .map_err(|(_, error)| sql(&format!("back up to {}", to.display()), error))?;
        sync(to)
    }

    /// Puts the access database `from` in the place of the one in the data directory, or of one that is
    /// lost, and brings it to this program's version. `from` itself is only read. Older backups hold no rows of what
    /// was pushed: then those in place stay.
    ///
    /// No id that the replaced database has given out is given out again. `audit.sqlite` stays, and gets an event.
    ///
    /// # Errors
    /// `Conflict` while a process serves the directory, or a command has the database open; `BadRequest`
    /// for a file that is not an access database of ours, or is damaged; `Config` for one of a newer
    /// version; `NotFound` for a directory that is none of ours. In all these cases nothing is changed.
    pub fn restore(actor: &Actor, data: &Path, from: &mut File) -> Result<Replaced> {
        refuse_other_directory(data)?;
        let _lock = DataLock::take(data)?;
        let staged = Staged::copy(data, from)?;
        let mut new = connect(&staged.path).map_err(not_ours)?;
        let pushed = Staged::at(staging(data, "registry")?)?;
        let has_pushed = attached::detach(&mut new, REGISTRY.file, &pushed.path)?;
        // Everything that can be wrong with the backup comes out before anything is changed.
        prepare(&mut new, &staged.path, ACCESS)?;
        let pushed = match has_pushed {
            true => {
                let mut database = connect(&pushed.path).map_err(not_ours)?;
                prepare(&mut database, &pushed.path, REGISTRY)?;
                Some((pushed, database))
            }
            false => None,
        };
        let access = Exchange::begin(data, ACCESS, staged, new)?;
        let pushed = pushed
            .map(|(staged, database)| Exchange::begin(data, REGISTRY, staged, database))
            .transpose()?;
        if let Some(pushed) = pushed {
            pushed.finish(data)?;
            forget_clean_stop(data);
        }
        let replaced = access.finish(data)?;
        match AuditDb::open(&data.join("audit.sqlite")) {
            Ok(audit) => audit.record(actor, &Event::new(EventKind::DatabaseRestored)),
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

/// Rows and files may differ now: the next start compares them, and takes up files that no row names.
fn forget_clean_stop(data: &Path) {
    let path = data.join("cache.sqlite");
    if !path.exists() {
        return;
    }
    let forgotten = connect(&path).and_then(|cache| {
        run(
            &cache,
            "forget the clean stop",
            "DELETE FROM state WHERE key = 'clean_stop'",
            [],
        )
    });
    if let Err(error) = forgotten {
        // It can be rebuilt, and a start that finds it broken does so.
        tracing::warn!("{error}");
    }
}

/// All of a database as one file, opened.
fn copy(from: &Connection, to: &Path) -> Result<Connection> {
    let failed = |error| sql(&format!("back up to {}", to.display()), error);
    let mut target = connect(to)?;
    // All pages in one step are one reading transaction: writers neither wait nor are seen.
    match Backup::new(from, &mut target).and_then(|backup| backup.step(-1)) {
        Ok(StepResult::Done) => {}
        Ok(_) => {
            let what = format!("cannot back up to {}: the database is busy", to.display());
            return Err(Error::new(Kind::Busy, what).remedy("try again"));
        }
        Err(error) => return Err(failed(error)),
    }
    // One file, without a log beside it that a copy could forget.
    single_file(&target).map_err(failed)?;
    Ok(target)
}

/// A file that goes when it is dropped, unless it was renamed. Those in `staging/` are swept by the next start if
/// a crash left them.
struct Staged {
    path: PathBuf,
}

impl Staged {
    fn copy(data: &Path, from: &mut File) -> Result<Self> {
        let staged = Self::at(staging(data, "restore")?)?;
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

/// Checks that `database` is one of ours and sound, and migrates it.
fn prepare(database: &mut Connection, path: &Path, kept: Kept) -> Result<()> {
    single_file(database).map_err(|error| not_ours(sql("read the backup", error)))?;
    let faults = lines(database, "check the backup", "PRAGMA integrity_check").map_err(not_ours)?;
    if let Some(fault) = faults.iter().find(|line| *line != "ok") {
        let what = format!("the backup is damaged: {fault}");
        return Err(Error::new(Kind::BadRequest, what).remedy("restore another one"));
    }
    refuse_newer(database, path, kept.migrations.len()).map_err(|error| {
        Error::new(Kind::Config, "the backup was written by a newer breakwater").remedy(
            error
                .remedy_text()
                .unwrap_or("upgrade this program")
                .to_owned(),
        )
    })?;
    let mut fresh =
        Connection::open_in_memory().map_err(|error| sql("open a database in memory", error))?;
    migrate(&mut fresh, Path::new("memory"), kept.migrations)?;
    // An empty file, and another program's, can fail to be migrated: then it is not ours either.
    let tables = lines(database, "list the backup's tables", TABLES).map_err(not_ours)?;
    let telltale = format!("table {}", kept.telltale);
    if !tables.contains(&telltale) {
        let what = format!("it has no {}", kept.telltale);
        return Err(not_ours(Error::new(Kind::Sql, what)));
    }
    migrate(database, path, kept.migrations).map_err(not_ours)?;
    let things = |connection: &Connection| -> Result<BTreeSet<String>> {
        Ok(lines(connection, "list the tables", TABLES)?
            .into_iter()
            .collect())
    };
    // Triggers and views would act in our name; what is missing would fail later.
    let (ours, theirs) = (things(&fresh)?, things(database)?);
    if let Some(odd) = ours.symmetric_difference(&theirs).next() {
        let what = format!("it differs from what this program makes by the {odd}");
        return Err(not_ours(Error::new(Kind::Sql, what)));
    }
    let dangling = lines(
        database,
        "check the backup's references",
        "SELECT DISTINCT \"table\" FROM pragma_foreign_key_check",
    )?;
    match dangling.first() {
        None => Ok(()),
        Some(table) => {
            let what =
                format!("the backup is damaged: rows of {table} refer to rows that are missing");
            Err(Error::new(Kind::BadRequest, what).remedy("restore another one"))
        }
    }
}

const TABLES: &str =
    "SELECT type || ' ' || name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%'";

fn lines(connection: &Connection, statement: &'static str, text: &str) -> Result<Vec<String>> {
    list(connection, statement, text, [], |row| row.get(0))
}

/// What is wrong with this box stays what it is; whatever else goes wrong is the file's fault.
fn not_ours(error: Error) -> Error {
    if matches!(error.kind(), Kind::Full | Kind::Busy | Kind::Io) {
        return error;
    }
    let what = "the file is not a backup of Breakwater";
    Error::new(Kind::BadRequest, what)
        .because(error)
        .remedy("name a file that `breakwater backup` has made")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Level, NewToken, TokenKind, Visibility};

    /// A store with a user, a group, a project and a token, and its directory.
    fn filled() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::create(&directory.path().join("data")).unwrap();
        let user = store
            .access
            .create_user(&Actor::on_the_box(None), "alice", false, true, None)
            .unwrap();
        let group = store
            .access
            .create_group(&Actor::on_the_box(None), "acme", Visibility::Private)
            .unwrap();
        store
            .access
            .set_member(&Actor::on_the_box(None), group, user, Level::Guest)
            .unwrap();
        store
            .access
            .create_project(&Actor::on_the_box(None), "acme/api", Visibility::Private)
            .unwrap();
        let token = NewToken {
            kind: TokenKind::Personal,
            name: "t".into(),
            digest: [7; 32],
            scopes: vec!["api".into()],
            user_id: Some(user),
            group_id: None,
            project_id: None,
            username: None,
            access_level: None,
            expires_at: None,
            created_by: "box".into(),
        };
        store
            .access
            .create_token(&Actor::on_the_box(None), &token)
            .unwrap();
        (directory, store)
    }

    fn restore(data: &Path, from: &Path) -> Result<Replaced> {
        Store::restore(
            &Actor::on_the_box(None),
            data,
            &mut File::open(from).unwrap(),
        )
    }

    #[test]
    fn an_older_backup_is_brought_up_and_tables_that_it_lacked_reuse_no_id() {
        let (directory, store) = filled();
        let old = directory.path().join("old.sqlite");
        let mut connection = Connection::open(&old).unwrap();
        migrate(&mut connection, &old, &MIGRATIONS[..2]).unwrap();
        let insert =
            "INSERT INTO groups (path, visibility, created_at) VALUES ('acme', 'private', 0)";
        connection.execute(insert, []).unwrap();
        connection.close().unwrap();
        let data = store.directory().to_owned();
        let project = store.access.project_by_path("acme/api").unwrap().unwrap();
        drop(store);
        assert_eq!(restore(&data, &old).unwrap(), Replaced::Readable);
        let store = Store::open(&data).unwrap();
        assert!(store.access.users().unwrap().is_empty());
        let next =
            store
                .access
                .create_project(&Actor::on_the_box(None), "acme/api", Visibility::Private);
        assert!(next.unwrap() > project.id);
        let user = store
            .access
            .create_user(&Actor::on_the_box(None), "bob", false, true, None)
            .unwrap();
        assert!(user.0 > 1, "{user:?}");
    }

    #[test]
    fn what_acts_by_itself_or_dangles_is_refused() {
        let (directory, store) = filled();
        for (name, change, part) in [
            (
                "trigger",
                "CREATE TRIGGER t AFTER INSERT ON users BEGIN UPDATE users SET admin = 1; END",
                "trigger t",
            ),
            ("lacking", "DROP TABLE networks", "networks"),
            (
                "dangling",
                "PRAGMA foreign_keys = OFF; UPDATE tokens SET user_id = 99",
                "rows of tokens",
            ),
        ] {
            let path = directory.path().join(name);
            store.backup(&Actor::on_the_box(None), &path).unwrap();
            let connection = Connection::open(&path).unwrap();
            connection.execute_batch(change).unwrap();
            connection.close().unwrap();
            let error = restore(store.directory(), &path).unwrap_err();
            assert_eq!(error.kind(), Kind::BadRequest, "{name}: {error}");
            assert!(error.to_string().contains(part), "{name}: {error}");
        }
        assert!(store.access.user_by_name("alice").unwrap().is_some());
    }

    #[test]
    fn a_database_that_a_command_has_open_and_a_locked_directory_are_left_alone() {
        let (directory, store) = filled();
        let path = directory.path().join("backup.sqlite");
        store.backup(&Actor::on_the_box(None), &path).unwrap();
        assert_eq!(
            store
                .backup(&Actor::on_the_box(None), &path)
                .unwrap_err()
                .kind(),
            Kind::Conflict
        );
        let error = restore(store.directory(), &path).unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict, "{error}");
        assert!(error.to_string().contains("another command"), "{error}");
        let lock = store.lock().unwrap();
        let error = restore(store.directory(), &path).unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict, "{error}");
        drop(lock);
        // Still in one piece, and writable.
        store
            .access
            .create_user(&Actor::on_the_box(None), "bob", false, true, None)
            .unwrap();
        let data = store.directory().to_owned();
        drop(store);
        assert_eq!(restore(&data, &path).unwrap(), Replaced::Readable);
        let store = Store::open(&data).unwrap();
        assert!(store.access.user_by_name("bob").unwrap().is_none());
    }
}
