//! Upstreams as the running server knows them: those that fail, cannot be used, lie, or have few pulls left.

use std::time::Duration;

use serde_json::Value;

use super::server::RunningServer;
use super::{Finding, Severity};
use crate::time::Timestamp;

pub(super) fn find(server: &RunningServer) -> Vec<Finding> {
    let upstreams = server.upstreams.as_array().map_or(&[][..], Vec::as_slice);
    let now = Timestamp::now();
    let findings = upstreams.iter().map(|upstream| of_upstream(upstream, now));
    findings.flatten().collect()
}

fn of_upstream(upstream: &Value, now: Timestamp) -> Vec<Finding> {
    let text = |name: &str| upstream[name].as_str().unwrap_or_default();
    let number = |name: &str| upstream[name].as_u64().unwrap_or_default();
    let name = match upstream["group"].as_str() {
        Some(group) => format!("{} of {group}", text("name")),
        None => text("name").to_owned(),
    };
    let see = "see `breakwater upstream status`; what is kept is served meanwhile";
    let mut findings = Vec::new();
    let failures = number("failures_in_a_row");
    let last = match text("last_failure") {
        "" => "it did not say why",
        last => last,
    };
    if text("breaker") == "unusable" {
        let what = format!("the upstream {name} cannot be used: {last}");
        let remedy = "remove it and add it again, or put back what it needs";
        findings.push(Finding::new(
            Severity::Error,
            "upstream_unusable",
            what,
            remedy,
        ));
    } else if matches!(text("breaker"), "open" | "half-open") {
        let what = format!("the upstream {name} is failing: {last}");
        findings.push(Finding::new(Severity::Error, "upstream_fails", what, see));
    } else if failures > 0 {
        let what = format!("the upstream {name} failed when it was last asked: {last}");
        findings.push(Finding::new(Severity::Warning, "upstream_fails", what, see));
    }
    let rate = &upstream["rate_limit"];
    // Afterwards the upstream counts anew, and nobody has asked it since.
    let window_ends = rate["read_at"]
        .as_i64()
        .zip(rate["window_seconds"].as_u64());
    let window_ends =
        window_ends.map(|(at, seconds)| Timestamp(at).plus(Duration::from_secs(seconds)));
    if let (Some(limit), Some(remaining)) = (rate["limit"].as_u64(), rate["remaining"].as_u64())
        && window_ends.is_none_or(|end| end > now)
        && remaining.saturating_mul(10) <= limit
    {
        let what = format!(
            "the upstream {name} had {remaining} of {limit} pulls left when it last said so"
        );
        findings.push(Finding::new(
            Severity::Warning,
            "rate_limit",
            what,
            "give it a username and password, which have a limit of their own; what is kept is served all the same",
        ));
    }
    if number("lies") > 0 {
        let what = format!(
            "the upstream {name} has sent something else than it was asked for, {} times since the start",
            number("lies")
        );
        let remedy = "look for what changes answers on the way, such as a proxy";
        findings.push(Finding::new(
            Severity::Warning,
            "upstream_lies",
            what,
            remedy,
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_upstream_is_judged_by_what_the_server_says() {
        for (upstream, expected) in [
            (
                json!({"name": "docker.io", "breaker": "closed", "failures_in_a_row": 0, "lies": 0}),
                vec![],
            ),
            (
                json!({"name": "docker.io", "breaker": "open", "failures_in_a_row": 3,
                    "last_failure": "connection refused"}),
                vec![(
                    Severity::Error,
                    "the upstream docker.io is failing: connection refused",
                )],
            ),
            (
                json!({"name": "quay.io", "group": "acme", "breaker": "closed",
                    "failures_in_a_row": 1, "last_failure": "timeout", "lies": 2}),
                vec![
                    (
                        Severity::Warning,
                        "the upstream quay.io of acme failed when it was last asked: timeout",
                    ),
                    (
                        Severity::Warning,
                        "the upstream quay.io of acme has sent something else than it was asked for, 2 times since the start",
                    ),
                ],
            ),
            (json!({"name": "docker.io", "breaker": "offline"}), vec![]),
            (
                json!({"name": "docker.io", "breaker": "closed",
                    "rate_limit": {"limit": 100, "remaining": 11}}),
                vec![],
            ),
            (
                json!({"name": "docker.io", "breaker": "closed",
                    "rate_limit": {"limit": 100, "remaining": 0, "window_seconds": 21_600,
                        "read_at": 1_799_978_400}}),
                vec![],
            ),
            (
                json!({"name": "quay.io", "breaker": "unusable", "failures_in_a_row": 0,
                    "last_failure": "no key"}),
                vec![(
                    Severity::Error,
                    "the upstream quay.io cannot be used: no key",
                )],
            ),
            (
                json!({"name": "docker.io", "breaker": "closed",
                    "rate_limit": {"limit": 100, "remaining": 10, "window_seconds": 21_600,
                        "read_at": 1_799_978_401}}),
                vec![(
                    Severity::Warning,
                    "the upstream docker.io had 10 of 100 pulls left when it last said so",
                )],
            ),
        ] {
            let found: Vec<_> = of_upstream(&upstream, Timestamp(1_800_000_000))
                .into_iter()
                .map(|finding| (finding.severity, finding.what))
                .collect();
            let found: Vec<_> = found.iter().map(|(s, what)| (*s, what.as_str())).collect();
            assert_eq!(found, expected, "{upstream}");
        }
    }
}
