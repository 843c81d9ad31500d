//! What lies around the tokens: networks, the first password, upstreams and their passwords.

use serde_json::Value;

use super::{Finding, Severity};
use crate::auth::seal::{Owner, SealingKeys};
use crate::cli::words::ability_word;
use crate::cli::workplace::Workplace;
use crate::error::Result;
use crate::server::{INITIAL_ROOT_PASSWORD, ROOT};
use crate::store::{Ability, Store};

pub(super) fn find(place: &Workplace, store: &Store) -> Result<Vec<Finding>> {
    let mut findings = networks(place, store)?;
    findings.extend(first_password(store));
    findings.extend(sealed_passwords(store)?);
    findings.extend(upstreams(place)?);
    Ok(findings)
}

/// Rules that trust every address there is.
fn networks(place: &Workplace, store: &Store) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for network in store.access.networks()? {
        if network.cidr.prefix_len() > 0 {
            continue;
        }
        let group = match network.group {
            Some(id) => store.access.group(id)?.map(|group| group.path),
            None => Some(place.config.mirror.group.clone()),
        };
        // Strangers who read use the box; strangers who fill choose what others get.
        let severity = match network.ability {
            Ability::Fill => Severity::Error,
            Ability::Read => Severity::Warning,
        };
        findings.push(Finding::new(
            severity,
            "network_trusts_everybody",
            format!(
                "every address of {} may {} {} without a login",
                network.cidr,
                ability_word(network.ability),
                group.unwrap_or_default(),
            ),
            format!(
                "name your own networks with `breakwater network add`, then `breakwater network remove {}`",
                network.cidr
            ),
        ));
    }
    Ok(findings)
}

fn first_password(store: &Store) -> Option<Finding> {
    let path = store.directory().join(INITIAL_ROOT_PASSWORD);
    path.exists().then(|| {
        Finding::new(
            Severity::Warning,
            "initial_password",
            format!("{ROOT}'s first password still lies in {}", path.display()),
            format!("change it with `breakwater user passwd {ROOT} --password-stdin`"),
        )
    })
}

/// Passwords of upstreams that no key at hand opens.
fn sealed_passwords(store: &Store) -> Result<Vec<Finding>> {
    let rows = store.access.upstreams()?;
    let keys = SealingKeys::find(store.directory())?;
    let mut findings = Vec::new();
    for row in rows {
        let upstream = row.upstream;
        let Some((_, sealed)) = &upstream.credentials else {
            continue;
        };
        let owner = Owner::upstream(&upstream.name, upstream.group);
        if let Err(error) = keys.open(&owner, sealed) {
            findings.push(Finding::new(
                Severity::Error,
                "upstream_password",
                format!(
                    "the password of the upstream {} cannot be read: {}",
                    upstream.name,
                    error.what()
                ),
                "put back the secret.key that it was stored with, or remove the upstream and add it again",
            ));
        }
    }
    Ok(findings)
}

/// What the running server knows of its upstreams.
fn upstreams(place: &Workplace) -> Result<Vec<Finding>> {
    let Some(server) = place.running_server()? else {
        return Ok(vec![Finding::new(
            Severity::Note,
            "no_server",
            "no server runs: whether upstreams answer is not known",
            "start it with `breakwater serve`",
        )]);
    };
    let answer = server.get("/upstreams")?;
    let upstreams = answer.as_array().map_or(&[][..], Vec::as_slice);
    Ok(upstreams.iter().flat_map(of_upstream).collect())
}

fn of_upstream(upstream: &Value) -> Vec<Finding> {
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
    if matches!(text("breaker"), "open" | "half-open") {
        let what = format!("the upstream {name} is failing: {last}");
        findings.push(Finding::new(Severity::Error, "upstream_fails", what, see));
    } else if failures > 0 {
        let what = format!("the upstream {name} failed when it was last asked: {last}");
        findings.push(Finding::new(Severity::Warning, "upstream_fails", what, see));
    }
    let rate = &upstream["rate_limit"];
    if let (Some(limit), Some(remaining)) = (rate["limit"].as_u64(), rate["remaining"].as_u64())
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
                    "rate_limit": {"limit": 100, "remaining": 10}}),
                vec![(
                    Severity::Warning,
                    "the upstream docker.io had 10 of 100 pulls left when it last said so",
                )],
            ),
        ] {
            let found: Vec<_> = of_upstream(&upstream)
                .into_iter()
                .map(|finding| (finding.severity, finding.what))
                .collect();
            let found: Vec<_> = found.iter().map(|(s, what)| (*s, what.as_str())).collect();
            assert_eq!(found, expected, "{upstream}");
        }
    }
}
