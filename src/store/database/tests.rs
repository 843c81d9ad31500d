//! Readers, the writer and what others do to them, and a small schema for other tests of the store.

use std::sync::Barrier;

use super::reading::{MAX_LIST_READERS, MAX_READERS};
use super::*;
use crate::context;
use crate::store::statement::{list, run};

pub(in crate::store) const FIRST: &str = "CREATE TABLE things (name TEXT NOT NULL UNIQUE) STRICT;";
pub(in crate::store) const SECOND: &str =
    "ALTER TABLE things ADD COLUMN size INTEGER NOT NULL DEFAULT 7;";

pub(in crate::store) fn open(path: &Path, migrations: &[&str]) -> Result<Database> {
    Database::open(path, Synchronous::Normal, migrations)
}

pub(in crate::store) fn add(database: &Database, name: &str) -> Result<()> {
    database.write(|connection| {
        run(
            connection,
            "add thing",
            "INSERT INTO things (name) VALUES (?1)",
            [name],
        )
        .map(drop)
    })
}

pub(in crate::store) fn things(database: &Database) -> Vec<(String, i64)> {
    let read = database.read(|connection| {
        list(
            connection,
            "list things",
            "SELECT name, size FROM things ORDER BY name",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
    });
    read.unwrap()
}

#[test]
fn readers_are_bounded_reused_and_cannot_write() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(&directory.path().join("x.sqlite"), &[FIRST]).unwrap();
    let all_in = Barrier::new(MAX_READERS);
    std::thread::scope(|scope| {
        for number in 0..4 * MAX_READERS {
            let (database, all_in) = (&database, &all_in);
            scope.spawn(move || {
                let work = |_: &Connection| {
                    // Only passes if so many are open at the same time.
                    if number < MAX_READERS {
                        all_in.wait();
                    }
                    Ok(())
                };
                database.read(work).unwrap();
            });
        }
    });
    assert_eq!(
        database.reading.readers.counts(),
        (MAX_READERS, MAX_READERS)
    );
    let write = database.read(|connection| {
        run(connection, "write as a reader", "DELETE FROM things", []).map(drop)
    });
    assert_eq!(write.unwrap_err().kind(), Kind::Sql);
}

#[test]
fn an_error_rolls_back_and_says_which_statement_failed() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(&directory.path().join("x.sqlite"), &[FIRST, SECOND]).unwrap();
    let result: Result<()> = database.write(|connection| {
        run(
            connection,
            "add thing",
            "INSERT INTO things (name) VALUES ('a')",
            [],
        )?;
        Err(Error::internal("on purpose"))
    });
    assert_eq!(result.unwrap_err().what(), "on purpose");
    assert_eq!(things(&database), []);
    add(&database, "a").unwrap();
    let error = add(&database, "a").unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(error.what(), "cannot add thing");
}

#[test]
fn a_panic_in_a_transaction_breaks_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(&directory.path().join("x.sqlite"), &[FIRST, SECOND]).unwrap();
    for is_write in [true, false] {
        let work = |_: &Connection| -> Result<()> { panic!("on purpose") };
        let call = std::panic::AssertUnwindSafe(|| match is_write {
            true => database.write(work),
            false => database.read(work),
        });
        assert!(std::panic::catch_unwind(call).is_err());
    }
    add(&database, "a").unwrap();
    assert_eq!(things(&database).len(), 1);
    assert_eq!(
        database.reading.readers.counts(),
        (1, 1),
        "its reader came back"
    );
}

/// Runs for as long as it is let.
const ENDLESS: &str =
    "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT count(*) FROM n";

fn endless(connection: &Connection) -> Result<i64> {
    let statement = "count without end";
    crate::store::statement::get(connection, statement, ENDLESS, [], |row| row.get(0))
}

#[test]
fn a_query_ends_with_its_client_or_its_time_and_is_no_failure_of_the_database() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(&directory.path().join("x.sqlite"), &[FIRST, SECOND]).unwrap();
    let failures = || {
        crate::store::failures::counted()
            .iter()
            .map(|f| f.count)
            .sum::<u64>()
    };
    let before = failures();
    let serve = |is_gone: bool, work: &dyn Fn() -> Result<i64>| {
        context::serve(
            context::Origin::BOX,
            move || is_gone,
            || context::limited(Duration::from_secs(1), work),
        )
    };
    for asked in [
        &(|| database.read(endless)) as &dyn Fn() -> Result<i64>,
        &|| database.scan(endless),
    ] {
        let gone = serve(true, asked).unwrap_err();
        assert_eq!(gone.kind(), Kind::Abandoned);
        let late = serve(false, asked).unwrap_err();
        assert!(matches!(late.kind(), Kind::Unavailable { .. }));
        let sentence = "cannot count without end within 1 seconds";
        assert!(late.to_string().starts_with(sentence), "{late}");
    }
    assert_eq!(failures(), before);
    assert_eq!(things(&database), [], "its reader goes on for others");
}

#[test]
fn no_read_waits_for_scans() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(&directory.path().join("x.sqlite"), &[FIRST, SECOND]).unwrap();
    let held = Barrier::new(MAX_LIST_READERS + 1);
    let ended = Barrier::new(MAX_LIST_READERS + 1);
    std::thread::scope(|scope| {
        for _ in 0..MAX_LIST_READERS {
            scope.spawn(|| {
                let held = database.scan(|_| {
                    held.wait();
                    ended.wait();
                    Ok(())
                });
                held.unwrap();
            });
        }
        held.wait();
        // Would wait for ever on the readers that the scans have.
        assert_eq!(things(&database), []);
        ended.wait();
    });
}
