//! What the proxy counts, and what it knows of its upstreams without the names of groups.

use std::sync::Arc;
use std::time::Duration;

use super::Proxy;
use crate::error::Result;
use crate::metrics::{Counter, counters};
use crate::time::Timestamp;
use crate::upstream::{BreakerState, Counts, RateLimit};

counters! {
    /// What the proxy did since the start.
    pub struct Counters {
        "breakwater_revalidations_total" ["result"] "Requests for kept tags older than tag_ttl by what the upstream said: confirmed, moved, or nothing (stale)." {
            confirmed = "confirmed",
            moved = "moved",
            stale = "stale",
        }
        "breakwater_fetches_begun_total" "Blobs that were begun to be fetched." { begun }
        "breakwater_fetches_ended_total" ["result"] "How they ended: kept, passed (right, and not to be kept), present (kept already, after all), unkept (right, but could not be kept), failed." {
            kept = "kept",
            passed = "passed",
            present = "present",
            unkept = "unkept",
            failed = "failed",
        }
        "breakwater_fetch_joins_total" "Requests that joined a fetch which somebody else had begun." { joined }
        "breakwater_fetch_resumes_total" ["after"] "Fetches that went on where they had stopped, after the upstream broke off (break) or an earlier run did (restart)." {
            resumed_after_break = "break",
            resumed_after_restart = "restart",
        }
        "breakwater_fetches_without_room_total" "Blobs that there was no room for, on the disk or within the limits of the cache." { without_room }
    }
}

pub(super) fn note(counter: &Counter) {
    counter.one();
}

/// What arrives from upstreams at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlight {
    pub blobs: usize,
    /// Those of them that will be kept.
    pub fills: usize,
    /// Clients that are served from them.
    pub clients: usize,
}

/// A blob on its way from an upstream.
#[derive(Debug, Clone)]
pub struct Arriving {
    pub upstream: String,
    /// The repository's name there.
    pub repository: String,
    pub digest: String,
    /// Bytes that are here.
    pub received: u64,
    /// `None` until the upstream has said it.
    pub total: Option<u64>,
    /// Clients that are served from it.
    pub clients: usize,
    pub is_kept: bool,
    pub age: Duration,
}

/// An upstream of the box, or all those of groups together.
#[derive(Debug, Clone)]
pub struct UpstreamFigures {
    /// Its name; `None`: those of groups.
    pub name: Option<String>,
    pub counts: Arc<Counts>,
    /// States of breakers and how many are in them.
    pub states: Vec<(BreakerState, usize)>,
    /// When it answered last; not for those of groups.
    pub last_success_at: Option<Timestamp>,
    /// Its rate limit; not for those of groups.
    pub rate_limit: Option<RateLimit>,
}

impl Proxy {
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    pub fn in_flight(&self) -> InFlight {
        let (blobs, fills, clients) = self.fetches.counts();
        InFlight {
            blobs,
            fills,
            clients,
        }
    }

    /// The blobs on their way, the first begun first, and no more than `most`.
    pub fn arriving(&self, most: usize) -> Vec<Arriving> {
        self.fetches.arriving(most)
    }

    /// What each upstream has counted since the start, also those that are gone: sums over them never shrink.
    pub fn all_counts(&self) -> Vec<Arc<Counts>> {
        self.upstreams.all_counts()
    }

    /// How the upstreams are.
    ///
    /// # Errors
    /// `Sql`.
    pub fn upstream_figures(&self) -> Result<Vec<UpstreamFigures>> {
        self.upstreams.figures()
    }
}
