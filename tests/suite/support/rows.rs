//! What stands in the databases of a store and which files lie beside them: to be compared before and after what
//! must change nothing.

#![allow(dead_code, reason = "each suite uses its part of it")]

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};

/// All databases of a store.
pub(crate) const DATABASES: [&str; 4] = [
    "access.sqlite",
    "cache.sqlite",
    "registry.sqlite",
    "audit.sqlite",
];
/// What the server writes by itself, now and then.
const STATISTICS: [&str; 4] = ["pulls", "hours", "token_uses", "sqlite_sequence"];

/// Every row of every table, without statistics and without logins and refusals, and every file but the databases'
/// own and `but`.
pub(crate) fn contents(data: &Path, but: &[&str]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for name in DATABASES {
        rows(&data.join(name), name, &mut all);
    }
    files(data, data, but, &mut all);
    all
}

fn rows(path: &Path, name: &str, all: &mut BTreeSet<String>) {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut tables = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")
        .unwrap();
    let tables: Vec<String> = tables
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .filter(|table: &String| !STATISTICS.contains(&table.as_str()))
        .collect();
    for table in tables {
        let of_changes = match table.as_str() {
            "events" => " WHERE class = 'change'",
            "concerned" => " WHERE event IN (SELECT id FROM events WHERE class = 'change')",
            _ => "",
        };
        let text = format!("SELECT * FROM \"{table}\"{of_changes}");
        let mut statement = connection.prepare(&text).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<Value> = (0..columns).map(|at| row.get(at).unwrap()).collect();
            all.insert(format!("{name} {table} {values:?}"));
        }
    }
}

fn files(data: &Path, below: &Path, but: &[&str], all: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(below).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        let shown = path.strip_prefix(data).unwrap().display().to_string();
        if but.iter().any(|prefix| shown.starts_with(prefix)) || shown.contains(".sqlite") {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            files(data, &path, but, all);
        }
        all.insert(format!("file {shown}"));
    }
}
