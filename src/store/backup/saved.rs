//! What is saved every night in `DATA/saved`, two of each: the rows of the cache, from which a box that lost them starts
//! by itself (see `lost`), and a backup of the precious databases, which `breakwater restore` takes.
//!
//! A copy takes its name only when it is whole, sound and on the disk; until then those of before stay.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use rusqlite::Connection;

use super::{PRECIOUS, Pace, ROWS, Staged, staging, sync};
use crate::error::{Error, Kind, Result};
use crate::store::statement::sql;
use crate::store::{Store, directory};
use crate::time::Timestamp;

const SAVED: &str = "saved";

impl Store {
    /// Saves the rows of all databases but the audit, a few pages at a time, so that nobody waits for the disk meanwhile.
    ///
    /// # Errors
    /// `Full`, `Io`; `Sql` for a database that is damaged. The copies of before stay. What is wrong with one
    /// database keeps the others from nothing.
    pub fn save_rows(&self, now: Timestamp) -> Result<()> {
        let cache = self.save(ROWS, now, |to| self.copy_rows(to, Pace::Gentle));
        let precious = self.save(PRECIOUS, now, |to| self.copy_database(to, Pace::Gentle));
        cache.and(precious)
    }

    /// When both were last saved; `None` where one never was.
    pub fn rows_saved_at(&self) -> Option<Timestamp> {
        let at = |name| Some(copies(&self.directory, name).first()?.at);
        Some(at(ROWS)?.min(at(PRECIOUS)?))
    }

    fn save(
        &self,
        name: &str,
        now: Timestamp,
        write: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        let databases: &[&str] = match name {
            ROWS => &[ROWS],
            _ => &["access.sqlite", "registry.sqlite"],
        };
        let sizes = databases.iter().map(|name| {
            let database = fs::metadata(self.directory.join(name));
            database.map_or(0, |database| database.len())
        });
        // The pushed rows are copied once more, into the backup.
        let needed = sizes.sum::<u64>().saturating_mul(2);
        if !self.blobs.has_room_for(needed) {
            let what = format!("the disk has no room to save {}", databases.join(" and "));
            return Err(Error::new(Kind::Full, what).remedy("free some space"));
        }
        let staged = Staged::at(staging(&self.directory, &format!("saved-{name}"))?)?;
        write(&staged.path)?;
        let failed = |error| Error::io("cannot write", &staged.path, error);
        let since = Duration::from_secs(u64::try_from(now.0).unwrap_or_default());
        let modified = UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH);
        File::options()
            .write(true)
            .open(&staged.path)
            .and_then(|file| file.set_modified(modified))
            .map_err(failed)?;
        sync(&staged.path)?;
        let folder = self.directory.join(SAVED);
        if directory::make_directory(&folder)? {
            directory::sync_directory(&self.directory)?;
        }
        let [newest, older] = paths(&self.directory, name);
        let rename = |from: &Path, to: &Path| {
            fs::rename(from, to).map_err(|error| Error::io("cannot rename to", to, error))
        };
        if newest.exists() {
            rename(&newest, &older)?;
        }
        rename(&staged.path, &newest)?;
        directory::sync_directory(&folder)
    }
}

/// A saved copy.
pub(super) struct Copy {
    pub(super) path: PathBuf,
    /// What it holds is of this time.
    pub(super) at: Timestamp,
}

/// The copies that there are, the newest first.
pub(super) fn copies(data: &Path, name: &str) -> Vec<Copy> {
    let copies = paths(data, name).into_iter().filter_map(|path| {
        let written = fs::metadata(&path).ok()?.modified().ok()?;
        let since = written.duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = Timestamp(i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        Some(Copy { path, at })
    });
    copies.collect()
}

fn paths(data: &Path, name: &str) -> [PathBuf; 2] {
    [1, 2].map(|number| data.join(SAVED).join(format!("{name}.{number}")))
}

/// Fails for a database that SQLite finds damaged; `path` is the one to name.
pub(super) fn quick_check(database: &Connection, path: &Path) -> Result<()> {
    let verdict = database.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    let why = match verdict {
        Ok(verdict) if verdict == "ok" => return Ok(()),
        Ok(verdict) => verdict,
        Err(error) => return Err(sql(&format!("check {}", path.display()), error)),
    };
    let what = format!("{} is damaged: {why}", path.display());
    Err(Error::new(Kind::Sql, what)
        .remedy("stop the server and start it again: it says what to do"))
}
