//! Rows that every pull asks for, in memory for as long as nothing is written to their database.
//!
//! A warm pull of a manifest by its tag read two of them, for which SQLite makes four of the seven system calls that the
//! answer took. All writes go through [`Database`], so it is known exactly when a row can have changed. To forget only the
//! rows that a write changes was rejected: purges, eviction, adoption and repairs would each have to name them, and one
//! that forgot to would let what is gone be served.

use std::hash::Hash;

use quick_cache::Equivalent;
use quick_cache::sync::Cache;
use rusqlite::Connection;

use super::Database;
use crate::error::Result;

/// Rows of one kind. Those that are not there are asked for each time.
pub(in crate::store) struct KeptRows<K, V> {
    /// Each with the number of changes at which it was read.
    rows: Cache<K, (u64, V)>,
}

impl<K: Eq + Hash, V: Clone> KeptRows<K, V> {
    /// Keeps at most so many.
    pub(in crate::store) fn new(count: usize) -> Self {
        Self {
            rows: Cache::new(count),
        }
    }

    /// The row of `key`, as `read` gives it where it is not in memory or the database was written to since.
    pub(in crate::store) fn find<'k, Q>(
        &self,
        database: &Database,
        key: Q,
        read: impl FnOnce(&Connection) -> Result<Option<V>>,
    ) -> Result<Option<V>>
    where
        Q: Hash + Equivalent<K> + Copy + 'k,
        K: From<Q>,
    {
        // Before the row is read: a change in between makes it too old at once.
        let changes = database.changes();
        if let Some((of, row)) = self.rows.get(&key)
            && of == changes
        {
            return Ok(Some(row));
        }
        let row = database.read(read)?;
        if let Some(row) = &row {
            self.rows.insert(K::from(key), (changes, row.clone()));
        }
        Ok(row)
    }
}

/// The key of a row that is found in a repository by a name: a tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::store) struct InRepository<T>(i64, T);

/// The same, to ask with.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::store) struct AskedIn<'a, T>(pub(in crate::store) i64, pub(in crate::store) &'a T);

impl<T> Clone for AskedIn<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for AskedIn<'_, T> {}

impl<T: Eq> Equivalent<InRepository<T>> for AskedIn<'_, T> {
    fn equivalent(&self, key: &InRepository<T>) -> bool {
        self.0 == key.0 && *self.1 == key.1
    }
}

impl<T: Clone> From<AskedIn<'_, T>> for InRepository<T> {
    fn from(asked: AskedIn<'_, T>) -> Self {
        Self(asked.0, asked.1.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::Synchronous;
    use super::*;
    use crate::store::statement::{find, run};

    #[test]
    fn a_row_is_read_once_until_something_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sqlite");
        let migrations = ["CREATE TABLE a (id INTEGER PRIMARY KEY, value INTEGER) STRICT"];
        let database = Database::open(&path, Synchronous::Normal, &migrations).unwrap();
        let rows = KeptRows::<InRepository<String>, i64>::new(10);
        let reads = Cell::new(0);
        let value = |id: i64| {
            let key = AskedIn(id, &"name".to_owned());
            let row = rows.find(&database, key, |connection| {
                reads.set(reads.get() + 1);
                let text = "SELECT value FROM a WHERE id = ?1";
                find(connection, "find", text, [id], |row| row.get(0))
            });
            (row.unwrap(), reads.take())
        };
        let set = |text: &'static str| {
            database.write(|connection| run(connection, "set", text, []).map(drop))
        };
        // What is not there is not remembered.
        assert_eq!([value(1), value(1)], [(None, 1), (None, 1)]);
        set("INSERT INTO a VALUES (1, 10), (2, 20)").unwrap();
        assert_eq!([value(1), value(1)], [(Some(10), 1), (Some(10), 0)]);
        assert_eq!([value(2), value(2)], [(Some(20), 1), (Some(20), 0)]);
        set("UPDATE a SET value = 11 WHERE id = 1").unwrap();
        assert_eq!([value(1), value(1)], [(Some(11), 1), (Some(11), 0)]);
        // What is not committed is not there yet, and what fails never is.
        let failed = database.write(|connection| {
            run(connection, "remove", "DELETE FROM a WHERE id = 1", [])?;
            assert_eq!(value(1), (Some(11), 0), "not committed yet");
            run(connection, "fail", "INSERT INTO a VALUES (2, 0)", []).map(drop)
        });
        assert!(failed.is_err());
        assert_eq!(value(1), (Some(11), 0));
        set("DELETE FROM a WHERE id = 1").unwrap();
        assert_eq!(value(1), (None, 1));
    }
}
