//! A second database inside a backup's file: its bytes, cut into rows of a table.
//!
//! So a backup stays one SQLite file, which older ones without that table are too.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use rusqlite::{Connection, params};

use crate::error::{Error, Kind, Result};
use crate::store::statement::{find, list, run, sql};

/// Bytes of a row.
const PART: u64 = 1 << 20;

/// Puts the file `from` into the backup `target` under `name`.
pub(super) fn attach(target: &mut Connection, name: &str, from: &Path) -> Result<()> {
    let failed = |error| Error::io("cannot read", from, error);
    let mut file = File::open(from).map_err(failed)?;
    let transaction = target
        .transaction()
        .map_err(|error| sql("begin to attach to the backup", error))?;
    transaction
        .execute_batch(
            "CREATE TABLE attached (
                name TEXT NOT NULL, part INTEGER NOT NULL, content BLOB NOT NULL, PRIMARY KEY (name, part)
             ) STRICT",
        )
        .map_err(|error| sql("make the backup's table of attached databases", error))?;
    for part in 0_i64.. {
        let mut content = Vec::new();
        (&mut file)
            .take(PART)
            .read_to_end(&mut content)
            .map_err(failed)?;
        if content.is_empty() {
            break;
        }
        run(
            &transaction,
            "attach to the backup",
            "INSERT INTO attached (name, part, content) VALUES (?1, ?2, ?3)",
            params![name, part, content],
        )?;
    }
    transaction
        .commit()
        .map_err(|error| sql("attach to the backup", error))
}

/// Takes what is attached under `name` out of the backup `from` and into the file `to`; says whether there was
/// something. Afterwards the backup has no such table any more.
pub(super) fn detach(from: &mut Connection, name: &str, to: &Path) -> Result<bool> {
    let not_ours = super::sound::not_ours;
    let has_table = find(
        from,
        "look for attached databases",
        "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'attached'",
        [],
        |_| Ok(()),
    )
    .map_err(not_ours)?;
    if has_table.is_none() {
        return Ok(false);
    }
    let failed = |error| Error::io("cannot write", to, error);
    let mut file = File::create(to).map_err(failed)?;
    let parts: Vec<i64> = list(
        from,
        "list the parts of an attached database",
        "SELECT part FROM attached WHERE name = ?1 ORDER BY part",
        [name],
        |row| row.get(0),
    )
    .map_err(not_ours)?;
    for (expected, part) in (0..).zip(&parts) {
        let content: Option<Vec<u8>> = find(
            from,
            "read a part of an attached database",
            "SELECT content FROM attached WHERE name = ?1 AND part = ?2",
            params![name, part],
            |row| row.get(0),
        )
        .map_err(not_ours)?;
        match content.filter(|_| *part == expected) {
            Some(content) => file.write_all(&content).map_err(failed)?,
            None => {
                let what = format!("the backup is damaged: a part of its {name} is missing");
                return Err(Error::new(Kind::BadRequest, what).remedy("restore another one"));
            }
        }
    }
    file.sync_all().map_err(failed)?;
    from.execute_batch("DROP TABLE attached; VACUUM")
        .map_err(|error| not_ours(sql("take the attached databases out of the backup", error)))?;
    Ok(!parts.is_empty())
}
