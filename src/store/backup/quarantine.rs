//! What keeps the files of pushes that a restored database does not know: they may be on the next backup's list.
//!
//! Files without a row are taken up by the comparison with rows that is due at the next start. Two notes would let
//! garbage collection remove some of them before: that of a clean stop, after which rows and files are taken to agree,
//! and those of files about to be settled, which are as old as the backup is. And a blob that nothing needed at the
//! time of the backup may have got its manifest since: its grace begins anew.

use std::path::Path;

use rusqlite::Connection;

use crate::error::Result;
use crate::store::cache::{MAY_BE_PUSHED, RESTORED};
use crate::store::database::connect;
use crate::store::statement::{list, run};
use crate::time::Timestamp;

/// Takes the old notes out of a database of what was pushed, before it is put in place.
pub(super) fn forget_old_notes(pushed: &Connection, now: Timestamp) -> Result<()> {
    run(
        pushed,
        "forget the backup's unsettled files",
        "DELETE FROM unsettled",
        [],
    )?;
    run(
        pushed,
        "begin the grace of restored links anew",
        "UPDATE blob_links SET needed_at = max(needed_at, ?1)",
        [now.0],
    )?;
    Ok(())
}

/// Makes the next start compare rows and files, and leaves no note about any. Before the databases are exchanged, so
/// that no crash in between leaves rows and files that seem to agree.
///
/// # Errors
/// `Sql`, `Full`: then nothing may be exchanged. A database that cannot even be read is no error: it holds no note, and
/// who replaces it by a new one has none either.
pub(super) fn distrust_files(data: &Path) -> Result<()> {
    let path = data.join("cache.sqlite");
    if !path.exists() {
        return Ok(());
    }
    let notes = connect(&path).and_then(|cache| {
        let tables: Vec<String> = list(
            &cache,
            "look for notes of the cache",
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name IN ('state', 'unsettled')",
            [],
            |row| row.get(0),
        )?;
        Ok((cache, tables))
    });
    let (cache, tables) = match notes {
        Ok(read) => read,
        Err(error) => {
            tracing::warn!("{error}");
            return Ok(());
        }
    };
    for table in tables {
        match table.as_str() {
            "state" => run(
                &cache,
                "forget the clean stop",
                "DELETE FROM state WHERE key = 'clean_stop'",
                [],
            )
            .and_then(|_| {
                run(
                    &cache,
                    "note that files may be pushed ones, and why",
                    "INSERT OR REPLACE INTO state (key, value) VALUES (?1, 1), (?2, 1)",
                    [MAY_BE_PUSHED, RESTORED],
                )
            }),
            _ => run(
                &cache,
                "forget the cache's unsettled files",
                "DELETE FROM unsettled",
                [],
            ),
        }?;
    }
    Ok(())
}
