//! Databases that are damaged or missing at the start. The cache's is replaced by its newest sound saved rows, or by an
//! empty one, and the damaged file is set aside; the comparison of rows with files, which is due then, does the rest.
//! The precious ones are never replaced silently: the start fails, and says which copy `breakwater restore` takes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, ffi};

use super::saved::{self, Copy};
use super::{ACCESS, CACHE, Kept, PRECIOUS, REGISTRY, Staged, beside, remove, staging, sync};
use crate::error::{Error, Kind, Result};
use crate::store::database::connect;
use crate::store::migrations::{migrate, refuse_newer};
use crate::store::statement::{run, sql};
use crate::store::{DataLock, Store, directory, failures};
use crate::time::Timestamp;

/// So long it is said that rows were lost.
const SAID_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long a start looks through a database after a clean stop, so that a large one costs a start no more than that, and
/// after any other: enough for millions of blobs. What it does not come to is found when the rows are saved.
const CHECKED_FOR: Duration = Duration::from_secs(1);
const CHECKED_FOR_AFTER_CRASH: Duration = Duration::from_secs(10);
/// After so many of SQLite's steps it is looked whether that is over.
const STEPS: std::ffi::c_int = 10_000;
/// Where what is damaged is kept, for whoever wants to look at it.
pub(in crate::store) const ASIDE: &str = "damaged";

/// What is known of rows of the cache that were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostRows {
    /// When it was noticed.
    pub at: Timestamp,
    /// Whether the database was damaged; otherwise it was missing.
    pub was_damaged: bool,
    /// Of when the rows are that took their place; `None`: there were none.
    pub saved_at: Option<Timestamp>,
    /// Files without a row; `None`: they are still being counted.
    pub files: Option<u64>,
}

impl LostRows {
    /// What happened, for a person.
    pub fn sentence(&self) -> String {
        let how = if self.was_damaged {
            "damaged"
        } else {
            "missing"
        };
        let instead = match self.saved_at {
            Some(at) => format!("the rows saved at {at} are in use"),
            None => "there were no saved rows, and it was made anew".to_owned(),
        };
        let files = match self.files {
            Some(0) => "no file was fetched that they do not know".to_owned(),
            Some(1) => {
                "1 file that they do not know is fetched again when it is asked for".to_owned()
            }
            Some(files) => {
                format!(
                    "{files} files that they do not know are fetched again when they are asked for"
                )
            }
            None => "what was fetched since is being looked through".to_owned(),
        };
        format!("cache.sqlite was {how} at {}; {instead}; {files}", self.at)
    }

    fn is_worth_saying(&self, now: Timestamp) -> bool {
        now.since(self.at) < SAID_FOR
    }
}

/// How a database's file is.
enum Judged {
    /// Or it cannot be told at this moment: whoever opens it will see.
    Usable,
    Missing,
    Damaged(String),
}

impl Store {
    /// Looks at the databases of a data directory before they are opened, and replaces that of the cache if it is lost:
    /// what is known of that. A directory that is new has nothing to look at.
    ///
    /// # Errors
    /// `Sql` for a precious database that is damaged, `NotFound` for one that is missing and of which there is a copy;
    /// `Full`, `Io`.
    pub fn mend_databases(
        data: &Path,
        _lock: &DataLock,
        now: Timestamp,
    ) -> Result<Option<LostRows>> {
        refuse_missing_precious(data)?;
        let limit = match was_stopped(data) {
            true => CHECKED_FOR,
            false => CHECKED_FOR_AFTER_CRASH,
        };
        for kept in [ACCESS, REGISTRY] {
            if let Judged::Damaged(why) = judge(&data.join(kept.file), limit) {
                return Err(precious(
                    data,
                    kept,
                    Kind::Sql,
                    &format!("is damaged: {why}"),
                ));
            }
        }
        let is_new = !data.join("blobs").exists();
        match judge(&data.join(CACHE.file), limit) {
            Judged::Usable => Ok(None),
            Judged::Missing if is_new => Ok(None),
            Judged::Missing => replace(data, now, None).map(Some),
            Judged::Damaged(why) => replace(data, now, Some(&why)).map(Some),
        }
    }

    /// The rows of the cache that were lost within the last week.
    ///
    /// # Errors
    /// `Sql`.
    pub fn lost_rows(&self, now: Timestamp) -> Result<Option<LostRows>> {
        let lost = self.cache.lost_rows()?;
        Ok(lost.filter(|lost| lost.is_worth_saying(now)))
    }
}

/// Fails for a database that is missing although there is a copy: one without rows must not take its place.
///
/// # Errors
/// `NotFound`.
pub(in crate::store) fn refuse_missing(data: &Path) -> Result<()> {
    refuse_missing_precious(data)?;
    let path = data.join(CACHE.file);
    match saved::copies(data, CACHE.file).first() {
        Some(Copy { at, .. }) if directory::is_missing(&path) => {
            let what = format!("{} is missing", path.display());
            let remedy = format!("start the server: it takes the rows that were saved at {at}");
            Err(Error::new(Kind::NotFound, what).remedy(remedy))
        }
        _ => Ok(()),
    }
}

fn refuse_missing_precious(data: &Path) -> Result<()> {
    let has_copy = !saved::copies(data, PRECIOUS).is_empty();
    for kept in [ACCESS, REGISTRY] {
        if has_copy && directory::is_missing(&data.join(kept.file)) {
            return Err(precious(data, kept, Kind::NotFound, "is missing"));
        }
    }
    Ok(())
}

fn precious(data: &Path, kept: Kept, kind: Kind, why: &str) -> Error {
    let what = format!("{} {why}", data.join(kept.file).display());
    let error = Error::new(kind, what);
    match saved::copies(data, PRECIOUS).first() {
        Some(Copy { path, at }) => error.remedy(format!(
            "`breakwater restore {}` puts back users, tokens and the rows of pushed images as they were saved at {at}",
            path.display()
        )),
        None => error.remedy("restore a backup with `breakwater restore FILE`"),
    }
}

/// Whether the last stop was noted as a clean one.
fn was_stopped(data: &Path) -> bool {
    let path = data.join(CACHE.file);
    if directory::is_missing(&path) {
        return false;
    }
    let text = "SELECT 1 FROM state WHERE key = 'clean_stop'";
    let noted = connect(&path).map(|cache| cache.query_row(text, [], |_| Ok(())));
    matches!(noted, Ok(Ok(())))
}

fn judge(path: &Path, limit: Duration) -> Judged {
    if directory::is_missing(path) {
        return Judged::Missing;
    }
    let checked = connect(path).map(|mut database| {
        // Whoever keeps it locked is no damage, and is waited for when it is opened.
        database.busy_timeout(Duration::ZERO)?;
        let begun = Instant::now();
        let is_over = move || begun.elapsed() > limit;
        database.progress_handler(STEPS, Some(is_over))?;
        database.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
    });
    match checked {
        Ok(Ok(verdict)) if verdict != "ok" => Judged::Damaged(verdict),
        Ok(Err(error)) if is_damage(&error) => Judged::Damaged(error.to_string()),
        _ => Judged::Usable,
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    let extended = error.sqlite_error().map(|error| error.extended_code);
    match error.sqlite_error_code() {
        _ if failures::is_full(error) => false,
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => true,
        // A page that the disk does not give.
        _ => matches!(
            extended,
            Some(
                ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_CORRUPTFS
            )
        ),
    }
}

/// Puts the newest sound saved rows, or none, in the place of the cache's database.
fn replace(data: &Path, now: Timestamp, damage: Option<&str>) -> Result<LostRows> {
    let live = data.join(CACHE.file);
    let (mut staged, mut saved_at) = (None, None);
    for copy in saved::copies(data, CACHE.file) {
        match stage(data, &copy) {
            Ok(sound) => {
                (staged, saved_at) = (Some(sound), Some(copy.at));
                break;
            }
            Err(error) => tracing::error!(
                "the saved rows {} are of no use: {error}",
                copy.path.display()
            ),
        }
    }
    let lost = LostRows {
        at: now,
        was_damaged: damage.is_some(),
        saved_at,
        files: None,
    };
    let (staged, mut database) = match staged {
        Some(staged) => staged,
        None => {
            let staged = Staged::at(staging(data, "cache")?)?;
            let database = connect(&staged.path)?;
            (staged, database)
        }
    };
    // Named by its place, where what is said of it is looked for.
    migrate(&mut database, &live, CACHE.migrations)?;
    note(&database, &lost)?;
    database
        .close()
        .map_err(|(_, error)| sql("close the saved rows", error))?;
    sync(&staged.path)?;
    if let Some(why) = damage {
        let aside = set_aside(data, now)?;
        tracing::error!(
            "{} was damaged ({why}), and is {} now",
            live.display(),
            aside.display()
        );
    }
    // A log without its file would be applied to the one that comes in its place.
    for log in ["-wal", "-shm", "-journal"] {
        remove(&beside(&live, log))?;
    }
    fs::rename(&staged.path, &live)
        .map_err(|error| Error::io("cannot put saved rows in the place of", &live, error))?;
    directory::sync_directory(data)?;
    tracing::error!("{}", lost.sentence());
    Ok(lost)
}

/// A sound copy of saved rows, opened. On a full disk it is the saved file itself: there is an older one.
fn stage(data: &Path, copy: &Copy) -> Result<(Staged, Connection)> {
    let failed = |error| Error::io("cannot read", &copy.path, error);
    let mut from = fs::File::open(&copy.path).map_err(failed)?;
    let staged = match Staged::copy(data, &mut from, "rows") {
        Err(error) if error.kind() == Kind::Full => {
            let staged = Staged::at(staging(data, "cache")?)?;
            fs::rename(&copy.path, &staged.path).map_err(failed)?;
            staged
        }
        staged => staged?,
    };
    let database = connect(&staged.path)?;
    saved::quick_check(&database, &copy.path)?;
    refuse_newer(&database, &copy.path, CACHE.migrations.len())?;
    let telltale = format!("SELECT 1 FROM {} LIMIT 1", CACHE.telltale);
    match database.query_row(&telltale, [], |_| Ok(())) {
        Ok(()) | Err(rusqlite::Error::QueryReturnedNoRows) => Ok((staged, database)),
        Err(error) => Err(sql("read the saved rows", error)),
    }
}

/// Notes for later starts what was lost. Notes of the copy about files are as old as it is.
fn note(database: &Connection, lost: &LostRows) -> Result<()> {
    let forget = "DELETE FROM state WHERE key IN ('clean_stop', 'lost_files')";
    run(database, "forget old notes", forget, [])?;
    run(
        database,
        "forget old unsettled files",
        "DELETE FROM unsettled",
        [],
    )?;
    for (key, value) in [
        ("lost_at", lost.at.0),
        ("lost_damaged", i64::from(lost.was_damaged)),
        ("lost_saved_at", lost.saved_at.map_or(0, |at| at.0)),
    ] {
        let text = "INSERT OR REPLACE INTO state (key, value) VALUES (?1, ?2)";
        run(
            database,
            "note that rows were lost",
            text,
            rusqlite::params![key, value],
        )?;
    }
    Ok(())
}

/// Moves the damaged database away, with its log; where it is now.
fn set_aside(data: &Path, now: Timestamp) -> Result<PathBuf> {
    let folder = data.join(ASIDE);
    directory::make_directory(&folder)?;
    let to = folder.join(format!("{}.{now}", CACHE.file));
    let live = data.join(CACHE.file);
    // The log first: should the box crash in between, the file is found damaged again, and its log is kept already.
    for end in ["-wal", "-shm", "-journal", ""] {
        match fs::rename(beside(&live, end), beside(&to, end)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("cannot set aside", &live, error));
            }
            _ => {}
        }
    }
    directory::sync_directory(&folder)?;
    Ok(to)
}
