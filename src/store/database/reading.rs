//! The readers of one database file, or of several that are read together: those for statements that find what they
//! look for by an index, and those for lists, which no pull waits for.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::readers::{Readers, as_reader};
use super::{connect, sql};
use crate::context;
use crate::error::Result;
use crate::store::list_queue;

/// The most readers that are open at once; the next one waits until one is given back.
pub(super) const MAX_READERS: usize = 8;
/// As many for lists as may run at once, and some for the box's own work: collecting garbage, comparing rows with files.
pub(super) const MAX_LIST_READERS: usize = 6;
/// How long a query may take that finds what it looks for by an index: far longer than any does.
const QUERY_LIMIT: Duration = Duration::from_secs(10);

/// Readers that share what they read.
pub(in crate::store) struct Reading {
    files: Files,
    pub(super) readers: Readers,
    list_readers: Readers,
}

enum Files {
    One(PathBuf),
    /// Each under the name that statements call it by.
    Together(Vec<(&'static str, PathBuf)>),
}

impl Reading {
    pub(super) fn of(path: &Path) -> Self {
        Self::new(Files::One(path.to_owned()))
    }

    /// Readers of several files: one statement can ask all of them. Each file is opened when something is first read.
    pub(in crate::store) fn together(files: Vec<(&'static str, PathBuf)>) -> Self {
        Self::new(Files::Together(files))
    }

    fn new(files: Files) -> Self {
        Self {
            files,
            readers: Readers::new(MAX_READERS, true),
            // A list reads other pages than the one before it, and each of these readers would hold 2 MB of each file.
            list_readers: Readers::new(MAX_LIST_READERS, false),
        }
    }

    /// Runs `work` on a reader: it sees what was committed before.
    ///
    /// For statements that find what they look for by an index: pulls wait for these readers. What reads many rows
    /// takes [`Self::scan`].
    pub(in crate::store) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        context::waits();
        context::limited(QUERY_LIMIT, || {
            let reader = self.readers.take(|| self.connect())?;
            work(reader.connection()?)
        })
    }

    /// As [`Self::read`], for what reads many rows: on readers of its own, and for a client in the queue of lists.
    pub(in crate::store) fn scan<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        context::waits();
        list_queue::run(|| {
            context::check("go on with a list")?;
            let reader = self.list_readers.take(|| self.connect())?;
            work(reader.connection()?)
        })
    }

    /// As [`Self::scan`], in one transaction: all its statements see the same state.
    pub(in crate::store) fn scan_consistent<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        self.scan(|reader| {
            let transaction = reader
                .unchecked_transaction()
                .map_err(|error| sql("begin reading", error))?;
            work(&transaction)
        })
    }

    /// A connection of its own for a caller that keeps it.
    pub(super) fn connect(&self) -> Result<Connection> {
        let connection = match &self.files {
            Files::One(path) => connect(path)?,
            Files::Together(files) => {
                let connection = connect(Path::new(":memory:"))?;
                for (name, path) in files {
                    // As bytes, because a path need not be UTF-8.
                    let file = ValueRef::Text(path.as_os_str().as_bytes());
                    let parameters = [rusqlite::types::ToSqlOutput::Borrowed(file)];
                    connection
                        .execute(&format!("ATTACH ?1 AS {name}"), parameters)
                        .map_err(|error| sql(&format!("open {}", path.display()), error))?;
                }
                connection
            }
        };
        as_reader(connection).map_err(|error| sql("open a reader", error))
    }
}
