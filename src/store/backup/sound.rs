//! Whether a file is a database of ours, and sound: judged, and brought to this program's version, before it is
//! trusted with the place of the real one.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::Connection;

use super::{Kept, single_file};
use crate::error::{Error, Kind, Result};
use crate::store::migrations::{migrate, refuse_newer};
use crate::store::statement::{list, sql};

/// Checks that `database` is one of ours and sound, and migrates it.
pub(super) fn prepare(database: &mut Connection, path: &Path, kept: Kept) -> Result<()> {
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
pub(super) fn not_ours(error: Error) -> Error {
    if matches!(error.kind(), Kind::Full | Kind::Busy | Kind::Io) {
        return error;
    }
    let what = "the file is not a backup of Breakwater";
    Error::new(Kind::BadRequest, what)
        .because(error)
        .remedy("name a file that `breakwater backup` has made")
}
