//! One fetch: what its fetch and its readers tell each other.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::FetchReader;
use crate::error::{Error, Kind};
use crate::store::Blob;

/// One blob on its way.
pub(super) struct SharedFetch {
    pub(super) begun: Instant,
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
}

/// What is known of it now.
pub(super) struct State {
    pub(super) phase: Phase,
    /// The staged file, once there is one.
    pub(super) blob: Option<Blob>,
    /// The blob's size, once the upstream said it.
    pub(super) total: Option<u64>,
    /// Bytes in the file.
    pub(super) written: u64,
    /// Whether somebody who may fill takes part: then it is kept, and goes on when all have left.
    pub(super) keep: bool,
    /// Whether `keep` has been read for the last time.
    pub(super) decided: bool,
    /// Whether there is no room to keep it, whoever joins.
    pub(super) is_without_room: bool,
    pub(super) readers: usize,
}

/// How far it is.
pub(super) enum Phase {
    Asking,
    Arriving,
    Whole,
    Failed(Failure),
}

impl SharedFetch {
    pub(super) fn new(keep: bool) -> Self {
        let state = State {
            phase: Phase::Asking,
            blob: None,
            total: None,
            written: 0,
            keep,
            decided: false,
            is_without_room: false,
            readers: 1,
        };
        Self {
            begun: Instant::now(),
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// A reader, or `None` where the fetch will not be kept any more though the caller may fill.
    pub(super) fn join(fetch: &Arc<Self>, fill: bool) -> Option<FetchReader> {
        let mut state = fetch.lock();
        if fill && state.decided && !state.keep && !state.is_without_room {
            return None;
        }
        if !state.decided {
            state.keep |= fill;
        }
        state.readers = state.readers.saturating_add(1);
        Some(FetchReader(Arc::clone(fetch)))
    }

    pub(super) fn wait(&self, state: &mut MutexGuard<'_, State>) {
        self.changed.wait(state);
    }
}

/// Why a fetch failed, to be told to all of its readers.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    pub(super) message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Whether the disk failed, by which nobody may lose the blob: the upstream has it.
pub(in crate::proxy) fn is_of_the_disk(kind: Kind) -> bool {
    matches!(kind, Kind::Full | Kind::Io)
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            kind: error.kind(),
            message: error.to_string(),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::new(failure.kind, failure.message)
    }
}
