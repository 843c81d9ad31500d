//! What happened between two looks: differences of counters that only grow.

use std::time::Instant;

use serde::Serialize;

use crate::admin::ActivityView;
use crate::error::{Error, Result};

/// What was seen, and when.
pub(super) struct Seen {
    pub(super) at: Instant,
    pub(super) view: ActivityView,
}

/// A server that began anew in between has counted from zero: then nothing is said of it.
#[derive(Debug, Serialize)]
pub(super) struct Rates {
    pub(super) interval_seconds: f64,
    pub(super) pulls_per_second: f64,
    pub(super) sent_bytes_per_second: f64,
    pub(super) cached_bytes_per_second: f64,
    pub(super) received_bytes_per_second: f64,
    pub(super) failures_per_second: f64,
    /// Of the manifests and blobs that were answered; null where none were.
    pub(super) hit_ratio: Option<f64>,
}

impl Rates {
    pub(super) fn between(before: &Seen, now: &Seen) -> Self {
        let seconds = now.at.saturating_duration_since(before.at).as_secs_f64();
        let (old, new) = (&before.view.activity, &now.view.activity);
        let rate = |old: u64, new: u64| match seconds > 0.0 {
            true => rounded(new.saturating_sub(old) as f64 / seconds),
            false => 0.0,
        };
        let answered = new.served.saturating_sub(old.served);
        let hits = new.served_from_cache.saturating_sub(old.served_from_cache);
        Self {
            interval_seconds: rounded(seconds),
            pulls_per_second: rate(old.pulls, new.pulls),
            sent_bytes_per_second: rate(old.sent_bytes, new.sent_bytes),
            cached_bytes_per_second: rate(old.served_bytes_from_cache, new.served_bytes_from_cache),
            received_bytes_per_second: rate(old.received_bytes, new.received_bytes),
            failures_per_second: rate(old.failures, new.failures),
            hit_ratio: (answered > 0).then(|| rounded(hits as f64 / answered as f64)),
        }
    }

    /// One line with these and with what was seen last.
    pub(super) fn json(&self, view: &ActivityView) -> Result<String> {
        #[derive(Serialize)]
        struct Line<'a> {
            #[serde(flatten)]
            rates: &'a Rates,
            #[serde(flatten)]
            view: &'a ActivityView,
        }
        let line = Line { rates: self, view };
        serde_json::to_string(&line)
            .map_err(|error| Error::internal("an answer is no JSON").because(error))
    }
}

/// To thousandths.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
