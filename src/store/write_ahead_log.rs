//! The log (`-wal`) that every change of a database is written to before the main file.
//!
//! Its files stay over a stop, and room is held for it: on a disk that is full, deletions and garbage collection are
//! what makes room, and they are changes too.

use std::fs::OpenOptions;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};
use rustix::fs::{FallocateFlags, fallocate};

/// Bytes that are held: some 250 pages, of which most changes take fewer than ten.
const ROOM: u64 = 1 << 20;
/// Between two tries to switch a file that others switch as well.
const TRY_AGAIN: Duration = Duration::from_millis(5);

/// Switches the database to a log. Where several connections switch a new file at once, each holds a shared lock that the others' exclusive ones
/// wait for, so SQLite calls no busy handler and fails at once: the waiting is done here.
pub(super) fn begin(writer: &Connection, patience: Duration) -> rusqlite::Result<()> {
    let deadline = crate::time::deadline(patience);
    loop {
        match writer.pragma_update(None, "journal_mode", "WAL") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && Instant::now() < deadline =>
            {
                std::thread::sleep(TRY_AGAIN);
            }
            switched => return switched,
        }
    }
}

/// Moves what is in the log into the main file, as far as readers allow, and leaves the log empty, so that a main file
/// put back by hand meets no log of another one.
pub(super) fn empty(writer: &Connection, path: &Path) -> rusqlite::Result<()> {
    let emptied = writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    // The room went with what was cut off.
    reserve(path);
    emptied
}

/// Holds room beyond the log's end. Where the disk has none, or the filesystem holds none, changes on a full disk wait
/// for somebody to free some.
pub(super) fn reserve(path: &Path) {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let reserved = OpenOptions::new()
        .write(true)
        .open(log)
        .and_then(|log| Ok(fallocate(&log, FallocateFlags::KEEP_SIZE, 0, ROOM)?));
    if let Err(error) = reserved {
        tracing::debug!(%error, database = %path.display(), "no room is held for the log");
    }
}
