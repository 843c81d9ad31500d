//! Readers of one database: opened when there is work for them, kept, and lent to one closure at a time.
//!
//! A query that one of them runs for a client ends when the client is gone or has waited for too long: SQLite asks
//! [`context`] every few thousand steps.

use parking_lot::{Condvar, Mutex, MutexGuard};
use rusqlite::Connection;

use crate::context;
use crate::error::{Error, Result};

/// So many steps of SQLite's machine run between two looks: less than a millisecond's work.
const STEPS: i32 = 5_000;

pub(super) struct Readers {
    /// The most that are open at once; the next one waits until one is given back.
    most: usize,
    /// Whether one that is given back keeps the pages that it has read.
    keep_pages: bool,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Connection>,
    open: usize,
}

impl Readers {
    pub(super) fn new(most: usize, keep_pages: bool) -> Self {
        Self {
            most,
            keep_pages,
            state: Mutex::default(),
            returned: Condvar::new(),
        }
    }

    /// A reader that is idle, or one that `connect` opens.
    pub(super) fn take(&self, connect: impl FnOnce() -> Result<Connection>) -> Result<Reader<'_>> {
        let reader = |connection| Reader {
            readers: self,
            connection,
        };
        let mut state = self.lock();
        loop {
            if let Some(connection) = state.idle.pop() {
                return Ok(reader(Some(connection)));
            }
            if state.open < self.most {
                state.open = state.open.saturating_add(1);
                drop(state);
                // The guard gives the place back if the connection cannot be opened.
                let mut reader = reader(None);
                reader.connection = Some(connect()?);
                return Ok(reader);
            }
            self.returned.wait(&mut state);
        }
    }

    /// How many are open, and how many of them nobody has.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.lock();
        (state.open, state.idle.len())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// A reader that goes back to the pool when it is dropped.
pub(super) struct Reader<'a> {
    readers: &'a Readers,
    connection: Option<Connection>,
}

impl Reader<'_> {
    pub(super) fn connection(&self) -> Result<&Connection> {
        self.connection
            .as_ref()
            .ok_or_else(|| Error::internal("a reader without a connection"))
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection
            && !self.readers.keep_pages
        {
            // Best effort: what is not released now is with the next one.
            let _ = connection.release_memory();
        }
        let mut state = self.readers.lock();
        match self.connection.take() {
            Some(connection) => state.idle.push(connection),
            None => state.open = state.open.saturating_sub(1),
        }
        drop(state);
        self.readers.returned.notify_one();
    }
}

/// Makes a connection that cannot write, and whose queries end when nobody waits for them any more.
pub(super) fn as_reader(mut connection: Connection) -> rusqlite::Result<Connection> {
    let is_over = || {
        // A query of a pull does not come here. One that does lets the pulls that wait for the processor go first;
        // else they would wait for the scheduler's slice, which is some milliseconds.
        std::thread::yield_now();
        context::stopped().is_some()
    };
    connection
        .pragma_update(None, "query_only", true)
        .and_then(|()| connection.progress_handler(STEPS, Some(is_over)))?;
    Ok(connection)
}
