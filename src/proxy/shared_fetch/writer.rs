//! The fetching side of a fetch.

use std::sync::Arc;

use super::state::{Phase, SharedFetch};
use super::{FetchKey, SharedFetches};
use crate::error::Error;
use crate::store::Blob;

/// The fetching side of a fetch. Dropped without `finish`, the fetch has failed.
pub(in crate::proxy) struct FetchWriter {
    pub(super) fetches: Arc<SharedFetches>,
    pub(super) key: FetchKey,
    pub(super) fetch: Arc<SharedFetch>,
}

impl FetchWriter {
    /// The bytes will arrive in `blob`, of which the first `written` are there already.
    pub(in crate::proxy) fn arriving(&self, blob: Blob, total: Option<u64>, written: u64) {
        let mut state = self.fetch.lock();
        state.phase = Phase::Arriving;
        state.blob = Some(blob);
        state.total = total;
        state.written = written;
        self.fetch.changed.notify_all();
    }

    /// The first `written` bytes are in the file now.
    pub(in crate::proxy) fn written(&self, written: u64) {
        self.fetch.lock().written = written;
        self.fetch.changed.notify_all();
    }

    /// Whether the fetch should go on: somebody reads, or it is to be kept.
    pub(in crate::proxy) fn is_wanted(&self) -> bool {
        let state = self.fetch.lock();
        state.keep || state.readers > 0
    }

    /// Whether somebody reads it now.
    pub(in crate::proxy) fn is_read(&self) -> bool {
        self.fetch.lock().readers > 0
    }

    /// Whether somebody who may fill has joined by now.
    pub(in crate::proxy) fn keep_so_far(&self) -> bool {
        self.fetch.lock().keep
    }

    /// Whether it is to be kept; from here on nobody can change it by joining.
    pub(in crate::proxy) fn decide_keep(&self) -> bool {
        let mut state = self.fetch.lock();
        state.decided = true;
        state.keep
    }

    /// There is no room to keep it, whoever joins.
    pub(in crate::proxy) fn give_up_keeping(&self) {
        let mut state = self.fetch.lock();
        state.decided = true;
        state.is_without_room = true;
        state.keep = false;
    }

    /// All bytes are there and their hash matches: readers get the last byte.
    pub(in crate::proxy) fn finish(self) {
        self.fetch.lock().phase = Phase::Whole;
    }

    /// It failed: no reader gets the last byte.
    pub(in crate::proxy) fn fail(self, error: Error) {
        self.fetch.lock().phase = Phase::Failed(error.into());
    }
}

impl Drop for FetchWriter {
    fn drop(&mut self) {
        let mut state = self.fetch.lock();
        if matches!(state.phase, Phase::Asking | Phase::Arriving) {
            let lost = Error::internal("the fetch ended without a result").remedy("see the log");
            state.phase = Phase::Failed(lost.into());
        }
        let filled = state.keep;
        drop(state);
        if filled {
            self.fetches.note_fill(self.key.0.clone());
        }
        self.fetches.lock().remove(&self.key);
        self.fetches.ended.notify_all();
        self.fetch.changed.notify_all();
    }
}
