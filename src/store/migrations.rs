//! Bringing a database to this program's version: `PRAGMA user_version` counts the applied migrations.
//!
//! The lists themselves stand beside their tables, in `access::schema` and `cache::schema`.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::statement::{get, sql};
use crate::error::{Error, Kind, Result};

fn version(connection: &Connection, path: &Path) -> Result<usize> {
    let version = get(
        connection,
        "read the database's version",
        "PRAGMA user_version",
        [],
        |row| row.get::<_, i64>(0),
    )
    .map_err(|error| error.context(path.display()))?;
    usize::try_from(version).map_err(|_| {
        Error::new(
            Kind::Sql,
            format!("{} has the version {version}", path.display()),
        )
    })
}

/// Fails for a database that a newer program wrote: what it holds is not known here.
pub(super) fn refuse_newer(connection: &Connection, path: &Path, known: usize) -> Result<()> {
    let found = version(connection, path)?;
    if found <= known {
        return Ok(());
    }
    Err(Error::new(
        Kind::Config,
        format!(
            "{} was written by a newer breakwater: its version is {found}, this program knows {known}",
            path.display()
        ),
    )
    .remedy("upgrade this program, or restore a backup that it made"))
}

/// Applies what is missing of `migrations`, each in a transaction of its own.
pub(super) fn migrate(connection: &mut Connection, path: &Path, migrations: &[&str]) -> Result<()> {
    let failed = |number: usize| {
        move |error| {
            sql(
                &format!("apply migration {number} to {}", path.display()),
                error,
            )
        }
    };
    for (number, migration) in (1_usize..).zip(migrations) {
        if version(connection, path)? >= number {
            continue;
        }
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed(number))?;
        // Another process may have done it while this one waited for the lock.
        if version(&transaction, path)? < number {
            transaction
                .execute_batch(migration)
                .and_then(|()| {
                    transaction.pragma_update(None, "user_version", i64::try_from(number).ok())
                })
                .map_err(failed(number))?;
        }
        transaction.commit().map_err(failed(number))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::database::tests::{FIRST, SECOND, add, open, things};
    use crate::store::statement::list;

    const BROKEN: &str = "CREATE TABLE others (name TEXT) STRICT; CREATE TABLE things (x);";

    #[test]
    fn migrations_go_on_where_they_stopped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.sqlite");
        // The file may be there and empty: a crash right after it was made.
        std::fs::write(&path, "").unwrap();
        add(&open(&path, &[FIRST]).unwrap(), "old").unwrap();
        for _ in 0..2 {
            let database = open(&path, &[FIRST, SECOND]).unwrap();
            assert_eq!(things(&database), [("old".to_owned(), 7)]);
        }
        let error = open(&path, &[FIRST]).map(drop).unwrap_err();
        assert_eq!(error.kind(), Kind::Config, "{error}");
    }

    #[test]
    fn a_migration_that_fails_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.sqlite");
        let error = open(&path, &[FIRST, BROKEN]).map(drop).unwrap_err();
        assert!(error.to_string().contains("apply migration 2"), "{error}");
        let database = open(&path, &[FIRST, SECOND]).unwrap();
        add(&database, "new").unwrap();
        assert_eq!(things(&database), [("new".to_owned(), 7)]);
        let others = database.read(|connection| {
            list(
                connection,
                "look for the broken table",
                "SELECT 1 FROM sqlite_schema WHERE name = 'others'",
                [],
                |_| Ok(()),
            )
        });
        assert_eq!(others.unwrap().len(), 0);
    }

    /// The switch to WAL is a race that few runs lose, so it is run often.
    #[test]
    fn many_may_open_a_new_database_at_once() {
        for _ in 0..60 {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("x.sqlite");
            let start = std::sync::Barrier::new(8);
            std::thread::scope(|scope| {
                for number in 0..8 {
                    let (path, start) = (&path, &start);
                    scope.spawn(move || {
                        start.wait();
                        let database = open(path, &[FIRST, SECOND]).unwrap();
                        add(&database, &number.to_string()).unwrap();
                    });
                }
            });
            assert_eq!(things(&open(&path, &[FIRST, SECOND]).unwrap()).len(), 8);
        }
    }
}
