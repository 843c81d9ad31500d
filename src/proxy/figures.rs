//! What the proxy counts: fetches, joins, revalidations; and what it knows of its upstreams without the
//! names of groups. Additions on the requests' way, reading for whoever watches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Proxy;
use crate::error::Result;
use crate::time::Timestamp;
use crate::upstream::{Counts, RateLimit};

/// The counters; they only grow.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) begun: AtomicU64,
    pub(super) joined: AtomicU64,
    pub(super) kept: AtomicU64,
    pub(super) passed: AtomicU64,
    pub(super) present: AtomicU64,
    pub(super) unkept: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) without_room: AtomicU64,
    pub(super) resumed_after_break: AtomicU64,
    pub(super) resumed_after_restart: AtomicU64,
    pub(super) confirmed: AtomicU64,
    pub(super) moved: AtomicU64,
    pub(super) stale: AtomicU64,
}

/// Adds one.
pub(super) fn note(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What the proxy did since the start, and does at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Blobs that arrive now.
    pub in_flight: usize,
    /// Those of them that will be kept.
    pub fills: usize,
    /// Clients that are served from them.
    pub clients: usize,
    /// Fetches that were begun.
    pub begun: u64,
    /// Requests that joined one of another request.
    pub joined: u64,
    /// Fetches that ended well and were kept.
    pub kept: u64,
    /// Those that were right, and not to be kept.
    pub passed: u64,
    /// Those that found the blob kept already, after all.
    pub present: u64,
    /// Those that were right, and could not be kept.
    pub unkept: u64,
    /// Those that failed.
    pub failed: u64,
    /// Blobs that the disk had no room for.
    pub without_room: u64,
    /// Fetches that went on after the upstream broke off.
    pub resumed_after_break: u64,
    /// Fetches that went on where an earlier run had stopped.
    pub resumed_after_restart: u64,
    /// Kept tags that the upstream confirmed.
    pub confirmed: u64,
    /// Those that had moved.
    pub moved: u64,
    /// Those that the upstream did not speak of.
    pub stale: u64,
}

/// An upstream of the box, or all those of groups together.
#[derive(Debug, Clone)]
pub struct UpstreamFigures {
    /// Its name; `None`: those of groups.
    pub name: Option<String>,
    /// What was counted.
    pub counts: Arc<Counts>,
    /// States of breakers and how many are in them.
    pub states: Vec<(&'static str, usize)>,
    /// When it answered last; not for those of groups.
    pub last_success_at: Option<Timestamp>,
    /// Its rate limit; not for those of groups.
    pub rate_limit: Option<RateLimit>,
}

impl Proxy {
    /// What it did and does.
    pub fn figures(&self) -> Figures {
        let (in_flight, fills, clients) = self.flights.counts();
        let counters = &*self.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            in_flight,
            fills,
            clients,
            begun: read(&counters.begun),
            joined: read(&counters.joined),
            kept: read(&counters.kept),
            passed: read(&counters.passed),
            present: read(&counters.present),
            unkept: read(&counters.unkept),
            failed: read(&counters.failed),
            without_room: read(&counters.without_room),
            resumed_after_break: read(&counters.resumed_after_break),
            resumed_after_restart: read(&counters.resumed_after_restart),
            confirmed: read(&counters.confirmed),
            moved: read(&counters.moved),
            stale: read(&counters.stale),
        }
    }

    /// How the upstreams are.
    ///
    /// # Errors
    /// `Sql`.
    pub fn upstream_figures(&self) -> Result<Vec<UpstreamFigures>> {
        self.upstreams.figures()
    }
}
