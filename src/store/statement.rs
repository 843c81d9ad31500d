//! Running one statement: prepared once per connection, named in its error, decoded into our types.
//!
//! Owns the translation of SQLite's failures into [`Error`]s. Holds no statement itself and no connection.
//!
//! Statements add sizes up with `CAST(total(size) AS INTEGER)`: that ends at the greatest integer, where `sum()` is an
//! error.

use std::ops::ControlFlow;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, Type, ValueRef};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Params, Row, ffi};

use crate::context;
use crate::error::{Error, Kind, Result, excerpt};
use crate::oci::Digest;
use crate::store::failures;
use crate::time::Timestamp;

/// The row that `statement` finds, if there is one.
pub(super) fn find<T>(
    connection: &Connection,
    statement: &'static str,
    text: &str,
    parameters: impl Params,
    decode: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>> {
    counted(connection, statement, text);
    connection
        .prepare_cached(text)
        .and_then(|mut prepared| prepared.query_row(parameters, decode).optional())
        .map_err(|error| sql(statement, error))
}

/// The one row that `statement` always has (an aggregate, `RETURNING`).
pub(super) fn get<T>(
    connection: &Connection,
    statement: &'static str,
    text: &str,
    parameters: impl Params,
    decode: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<T> {
    counted(connection, statement, text);
    connection
        .prepare_cached(text)
        .and_then(|mut prepared| prepared.query_row(parameters, decode))
        .map_err(|error| sql(statement, error))
}

/// All rows of `statement`.
pub(super) fn list<T>(
    connection: &Connection,
    statement: &'static str,
    text: &str,
    parameters: impl Params,
    decode: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    counted(connection, statement, text);
    connection
        .prepare_cached(text)
        .and_then(|mut prepared| prepared.query_map(parameters, decode)?.collect())
        .map_err(|error| sql(statement, error))
}

/// Shows the rows of `statement` to `see`, one after the other, until it has seen enough.
pub(super) fn visit(
    connection: &Connection,
    statement: &'static str,
    text: &str,
    parameters: impl Params,
    mut see: impl FnMut(&Row<'_>) -> rusqlite::Result<ControlFlow<()>>,
) -> Result<()> {
    counted(connection, statement, text);
    let visit = || {
        let mut prepared = connection.prepare_cached(text)?;
        let mut rows = prepared.query(parameters)?;
        while let Some(row) = rows.next()? {
            if see(row)?.is_break() {
                break;
            }
        }
        Ok(())
    };
    visit().map_err(|error| sql(statement, error))
}

/// Runs a statement that changes something; gives the number of changed rows.
pub(super) fn run(
    connection: &Connection,
    statement: &'static str,
    text: &str,
    parameters: impl Params,
) -> Result<usize> {
    counted(connection, statement, text);
    connection
        .prepare_cached(text)
        .and_then(|mut prepared| prepared.execute(parameters))
        .map_err(|error| sql(statement, error))
}

/// Notes for tests that this thread has run a statement.
fn counted(_connection: &Connection, _statement: &'static str, _text: &str) {
    #[cfg(test)]
    record::ran(_connection, _statement, _text);
}

/// What SQLite said when `statement` (a verb phrase: "find tag") failed, as an error for people.
///
/// A broken uniqueness is a `Conflict` and a broken foreign key a `NotFound`, so that callers can put
/// the name of the thing into the sentence without knowing SQLite's codes.
pub(super) fn sql(statement: &str, error: rusqlite::Error) -> Error {
    failures::note(&error);
    let extended = error
        .sqlite_error()
        .map_or(ffi::SQLITE_OK, |e| e.extended_code);
    let what = format!("cannot {statement}");
    match (error.sqlite_error_code(), extended) {
        _ if failures::is_full(&error) => {
            Error::new(Kind::Full, format!("{what}: the disk is full"))
                .remedy("free space on the filesystem of the data directory")
        }
        (Some(ErrorCode::OperationInterrupted), _) => match context::stopped() {
            Some(spent) => spent.error(statement),
            None => Error::internal(format!("{what}: it was interrupted")),
        },
        (Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked), _) => Error::new(
            Kind::Busy,
            format!("{what}: another process has kept the database locked for too long"),
        )
        .remedy("try again; if it lasts, look for a stuck process that has the file open"),
        (Some(ErrorCode::NotADatabase), _) => Error::new(
            Kind::Sql,
            format!("{what}: the file is not an SQLite database"),
        ),
        (_, ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY) => {
            Error::new(Kind::Conflict, what).because(error)
        }
        (_, ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => Error::new(
            Kind::NotFound,
            format!("{what}: what it belongs to does not exist any more"),
        ),
        (Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied), _) => {
            Error::new(Kind::Sql, what).because(error).remedy(
                "check that the data directory and its files belong to the user who runs this",
            )
        }
        _ => Error::new(Kind::Sql, what).because(error),
    }
}

/// Reads a text column with `parse`.
pub(super) fn decoded<T>(
    row: &Row<'_>,
    column: usize,
    parse: impl FnOnce(&str) -> Result<T>,
) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    parse(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
    })
}

/// Keeps an enum in the database as the word that `strum` gives it, and reads it back.
macro_rules! words_in_sql {
    ($($words:ty),+ $(,)?) => {$(
        impl rusqlite::types::ToSql for $words {
            fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
                Ok(<&'static str>::from(self).into())
            }
        }

        impl rusqlite::types::FromSql for $words {
            fn column_result(
                value: rusqlite::types::ValueRef<'_>,
            ) -> rusqlite::types::FromSqlResult<Self> {
                let word = value.as_str()?;
                word.parse().map_err(|_| {
                    let unknown = $crate::store::statement::unknown_word(stringify!($words), word);
                    rusqlite::types::FromSqlError::Other(Box::new(unknown))
                })
            }
        }
    )+};
}

pub(super) use words_in_sql;

impl ToSql for Digest {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for Digest {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::parse(value.as_str()?).map_err(|error| FromSqlError::Other(Box::new(error)))
    }
}

impl ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        i64::column_result(value).map(Self)
    }
}

/// Reads a column of bytes: SQLite's integers are signed, ours are not.
pub(super) fn size(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let bytes: i64 = row.get(column)?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// A number of bytes as SQLite keeps it.
pub(super) fn stored_size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// An error for a word in a row that this version does not know.
pub(super) fn unknown_word(column: &str, word: &str) -> Error {
    Error::new(
        Kind::Sql,
        format!("the database holds `{}` as {column}", excerpt(word)),
    )
}

#[cfg(test)]
pub(crate) mod record {
    //! Which statements a thread has run, and how SQLite runs them.

    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use rusqlite::Connection;

    /// Statements with a line of their plan each.
    pub(crate) type Plans = BTreeSet<(&'static str, String)>;

    thread_local! {
        static RAN: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
        static PLANS: RefCell<Option<Plans>> = const { RefCell::new(None) };
    }

    pub(super) fn ran(connection: &Connection, statement: &'static str, text: &str) {
        RAN.with_borrow_mut(|ran| ran.push(statement));
        PLANS.with_borrow_mut(|plans| {
            if let Some(plans) = plans {
                let lines = explain(connection, text);
                plans.extend(lines.into_iter().map(|line| (statement, line)));
            }
        });
    }

    fn explain(connection: &Connection, text: &str) -> Vec<String> {
        let mut prepared = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {text}"))
            .unwrap();
        // Parameters are null: the plan does not depend on them.
        let mut rows = prepared.raw_query();
        let mut lines = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            lines.push(row.get(3).unwrap());
        }
        lines
    }

    /// The names of the statements that this thread has run since it asked last.
    pub(crate) fn take_ran() -> Vec<&'static str> {
        RAN.take()
    }

    /// From here on this thread notes the plans of its statements.
    pub(crate) fn note_plans() {
        PLANS.set(Some(Plans::new()));
    }

    /// The plans that were noted; no more are.
    pub(crate) fn take_plans() -> Plans {
        PLANS.take().unwrap_or_default()
    }
}
