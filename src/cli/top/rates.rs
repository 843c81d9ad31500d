//! What happened between two looks: differences of counters that only grow.

use std::time::Instant;

use serde::Serialize;

use crate::admin::ActivityView;
use crate::error::{Error, Result};
use crate::telemetry::escape_json;

/// What was seen, and when.
pub(super) struct Seen {
    pub(super) at: Instant,
    pub(super) view: ActivityView,
}

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
    /// `None` if any counter fell: the server was restarted in between, and counts from zero.
    pub(super) fn between(before: &Seen, now: &Seen) -> Option<Self> {
        let seconds = now.at.saturating_duration_since(before.at).as_secs_f64();
        let (old, new) = (&before.view.activity, &now.view.activity);
        let rate = |old: u64, new: u64| {
            let more = new.checked_sub(old)? as f64;
            Some(if seconds > 0.0 {
                rounded(more / seconds)
            } else {
                0.0
            })
        };
        let answered = new.served.checked_sub(old.served)?;
        let hits = new.served_from_cache.checked_sub(old.served_from_cache)?;
        Some(Self {
            interval_seconds: rounded(seconds),
            pulls_per_second: rate(old.pulls, new.pulls)?,
            sent_bytes_per_second: rate(old.sent_bytes, new.sent_bytes)?,
            cached_bytes_per_second: rate(
                old.served_bytes_from_cache,
                new.served_bytes_from_cache,
            )?,
            received_bytes_per_second: rate(old.received_bytes, new.received_bytes)?,
            failures_per_second: rate(old.failures, new.failures)?,
            hit_ratio: (answered > 0).then(|| rounded(hits as f64 / answered as f64)),
        })
    }
}

/// One line with the rates and with what was seen last. Without rates their keys are left out.
pub(super) fn json(rates: Option<&Rates>, view: &ActivityView) -> Result<String> {
    #[derive(Serialize)]
    struct Line<'a> {
        #[serde(flatten)]
        rates: Option<&'a Rates>,
        #[serde(flatten)]
        view: &'a ActivityView,
    }
    let line = Line { rates, view };
    serde_json::to_string(&line)
        .map(|line| escape_json(&line))
        .map_err(|error| Error::internal("an answer is no JSON").because(error))
}

/// To thousandths.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn seen(at: Instant, pulls: u64) -> Seen {
        let view = json!({
            "at": "2026-11-30T12:00:00Z", "offline": false, "arriving": [], "upstreams": [], "upstreams_in_all": 0, "troubles": [],
            "disk": { "free_bytes": 1, "bytes": 2, "max_size": null, "min_free": 1 },
            "connections": 1, "fetches": 0, "waiting_clients": 0, "bans": 0, "served": pulls, "served_from_cache": 3,
            "served_bytes": 0, "served_bytes_from_cache": 0, "pulls": pulls, "sent_bytes": 100, "received_bytes": 0,
            "failures": 0,
        });
        let view = serde_json::from_value(view).unwrap();
        Seen { at, view }
    }

    #[test]
    fn there_are_no_rates_across_a_restart_of_the_server() {
        let begun = Instant::now();
        let end = begun + Duration::from_secs(2);
        let rates = Rates::between(&seen(begun, 4), &seen(end, 8)).unwrap();
        assert_eq!(rates.pulls_per_second, 2.0);
        let now = seen(end, 3);
        assert!(Rates::between(&seen(begun, 4), &now).is_none());
        let line = json(None, &now.view).unwrap();
        assert!(!line.contains("per_second") && line.contains("\"pulls\":3"));
    }
}
