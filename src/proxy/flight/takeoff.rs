//! The fetching side of a flight.

use std::sync::Arc;

use super::state::{Flight, Phase};
use super::{FlightKey, Flights};
use crate::error::Error;
use crate::store::Blob;

/// The fetching side of a flight. Dropped without `land`, the flight has failed.
pub(in crate::proxy) struct Takeoff {
    pub(super) flights: Arc<Flights>,
    pub(super) key: FlightKey,
    pub(super) flight: Arc<Flight>,
}

impl Takeoff {
    /// The bytes will arrive in `blob`, of which the first `written` are there already.
    pub(in crate::proxy) fn arriving(&self, blob: Blob, total: Option<u64>, written: u64) {
        let mut state = self.flight.lock();
        state.phase = Phase::Arriving;
        state.blob = Some(blob);
        state.total = total;
        state.written = written;
        self.flight.changed.notify_all();
    }

    /// The first `written` bytes are in the file now.
    pub(in crate::proxy) fn written(&self, written: u64) {
        self.flight.lock().written = written;
        self.flight.changed.notify_all();
    }

    /// Whether the fetch should go on: somebody reads, or it is to be kept.
    pub(in crate::proxy) fn is_wanted(&self) -> bool {
        let state = self.flight.lock();
        state.keep || state.readers > 0
    }

    /// Whether somebody reads it now.
    pub(in crate::proxy) fn is_read(&self) -> bool {
        self.flight.lock().readers > 0
    }

    /// Whether somebody who may fill has joined by now.
    pub(in crate::proxy) fn keep_so_far(&self) -> bool {
        self.flight.lock().keep
    }

    /// Whether it is to be kept; from here on nobody can change it by joining.
    pub(in crate::proxy) fn decide_keep(&self) -> bool {
        let mut state = self.flight.lock();
        state.decided = true;
        state.keep
    }

    /// All bytes are there and their hash matches: readers get the last byte.
    pub(in crate::proxy) fn land(self) {
        self.flight.lock().phase = Phase::Whole;
    }

    /// It failed: no reader gets the last byte.
    pub(in crate::proxy) fn fail(self, error: Error) {
        self.flight.lock().phase = Phase::Failed(error.into());
    }
}

impl Drop for Takeoff {
    fn drop(&mut self) {
        let mut state = self.flight.lock();
        if matches!(state.phase, Phase::Asking | Phase::Arriving) {
            let lost = Error::internal("the fetch ended without a result").remedy("see the log");
            state.phase = Phase::Failed(lost.into());
        }
        let filled = state.keep;
        drop(state);
        if filled {
            self.flights.note_fill(self.key.0.clone());
        }
        self.flights.lock().remove(&self.key);
        self.flights.landed.notify_all();
        self.flight.changed.notify_all();
    }
}
