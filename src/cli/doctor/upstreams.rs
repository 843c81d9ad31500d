//! Upstreams as the running server knows them: those that fail, cannot be used, lie, or have few pulls left.

use std::time::Duration;

use super::server::RunningServer;
use super::{Finding, Severity, upstream_subject};
use crate::proxy::UpstreamState;
use crate::time::Timestamp;
use crate::upstream::BreakerState;

pub(super) fn find(server: &RunningServer) -> Vec<Finding> {
    let now = Timestamp::now();
    let findings = server.upstreams.iter();
    findings
        .flat_map(|upstream| of_upstream(upstream, now))
        .collect()
}

fn of_upstream(upstream: &UpstreamState, now: Timestamp) -> Vec<Finding> {
    let status = &upstream.status;
    let name = match &upstream.group {
        Some(group) => format!("{} of {group}", status.name),
        None => status.name.clone(),
    };
    let see = status.last_failure_remedy.as_deref();
    let see = see.unwrap_or("see `breakwater upstream status`; what is kept is served meanwhile");
    let mut findings = Vec::new();
    let last = status.last_failure.as_deref();
    let last = last.unwrap_or("it did not say why");
    match status.breaker {
        BreakerState::Unusable => {
            let what = format!("the upstream {name} cannot be used: {last}");
            let remedy = "remove it and add it again, or put back what it needs";
            findings.push(Finding::new(
                Severity::Error,
                "upstream_unusable",
                what,
                remedy,
            ));
        }
        BreakerState::CredentialsRefused => {
            let what = format!(
                "the upstream {name} refuses the username and password that this box has for it: only what is kept is served"
            );
            let remedy = match (upstream.by_command, &upstream.group) {
                (false, _) => {
                    "put the right one into its `password_file`, and restart the server".to_owned()
                }
                (true, None) => format!(
                    "breakwater upstream set {} username=NAME --password-stdin",
                    status.name
                ),
                (true, Some(group)) => format!(
                    "breakwater upstream set {} username=NAME --password-stdin --group {group}",
                    status.name
                ),
            };
            // A group's password is the group's affair.
            let severity = match upstream.group {
                None => Severity::Error,
                Some(_) => Severity::Warning,
            };
            findings.push(Finding::new(
                severity,
                "upstream_credentials_refused",
                what,
                remedy,
            ));
        }
        BreakerState::Open | BreakerState::HalfOpen => {
            let what = format!("the upstream {name} is failing: {last}");
            findings.push(Finding::new(Severity::Error, "upstream_fails", what, see));
        }
        _ if status.failures_in_a_row > 0 => {
            let what = format!("the upstream {name} failed when it was last asked: {last}");
            findings.push(Finding::new(Severity::Warning, "upstream_fails", what, see));
        }
        _ => {}
    }
    let subject = upstream_subject(&status.name, upstream.group.as_deref());
    let mut findings: Vec<_> = findings
        .into_iter()
        .map(|finding: Finding| finding.about(subject.clone()))
        .collect();
    if let Some(rate) = &status.rate_limit
        // Afterwards the upstream counts anew, and nobody has asked it since.
        && rate.read_at.plus(Duration::from_secs(rate.window_seconds)) > now
        && rate.remaining.saturating_mul(10) <= rate.limit
    {
        let what = format!(
            "the upstream {name} had {} of {} pulls left when it last said so",
            rate.remaining, rate.limit
        );
        findings.push(Finding::new(
            Severity::Warning,
            "rate_limit",
            what,
            "give it a username and password, which have a limit of their own; what is kept is served all the same",
        ));
    }
    if status.lies > 0 {
        let what = format!(
            "the upstream {name} has sent something else than it was asked for, {} times since the start",
            status.lies
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
                    "rate_limit": {"limit": 100, "remaining": 11, "window_seconds": 21_600,
                        "read_at": "2027-01-15T08:00:00Z"}}),
                vec![],
            ),
            (
                json!({"name": "docker.io", "breaker": "closed",
                    "rate_limit": {"limit": 100, "remaining": 0, "window_seconds": 21_600,
                        "read_at": "2027-01-15T02:00:00Z"}}),
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
                json!({"name": "quay.io", "breaker": "credentials-refused",
                    "last_failure": "quay.io refuses the username and password"}),
                vec![(
                    Severity::Error,
                    "the upstream quay.io refuses the username and password that this box has for it: only what is kept is served",
                )],
            ),
            (
                json!({"name": "quay.io", "group": "acme", "breaker": "credentials-refused"}),
                vec![(
                    Severity::Warning,
                    "the upstream quay.io of acme refuses the username and password that this box has for it: only what is kept is served",
                )],
            ),
            (
                json!({"name": "docker.io", "breaker": "closed",
                    "rate_limit": {"limit": 100, "remaining": 10, "window_seconds": 21_600,
                        "read_at": "2027-01-15T02:00:01Z"}}),
                vec![(
                    Severity::Warning,
                    "the upstream docker.io had 10 of 100 pulls left when it last said so",
                )],
            ),
        ] {
            let mut state = json!({"url": "https://registry", "by_command": false,
                "failures_in_a_row": 0, "lies": 0});
            let fields = upstream.as_object().unwrap().clone();
            state.as_object_mut().unwrap().extend(fields);
            let state = serde_json::from_value(state).unwrap();
            let found: Vec<_> = of_upstream(&state, Timestamp(1_800_000_000))
                .into_iter()
                .map(|finding| (finding.severity, finding.what))
                .collect();
            let found: Vec<_> = found.iter().map(|(s, what)| (*s, what.as_str())).collect();
            assert_eq!(found, expected, "{upstream}");
        }
    }
}
