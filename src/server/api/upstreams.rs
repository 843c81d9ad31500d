//! How the upstreams are, beyond GitLab.

use serde_json::{Value, json};

use super::answer::{Answer, page};
use super::ask::Ask;
use super::table::{Endpoint, Role, Scope, Shape};
use crate::proxy::UpstreamState;
use crate::store::Page;

/// `/upstreams`.
pub(super) const ENDPOINTS: &[Endpoint] = &[Endpoint {
    method: "GET",
    path: "/upstreams",
    scope: Scope::Read,
    role: Role::Administrator,
    parameters: &[],
    gives: (200, Shape::Page("Upstream")),
    summary: "The upstreams, with what is known of each: breaker, failures, rate limit",
    handler: list,
}];

fn shape(state: &UpstreamState) -> Value {
    let status = &state.status;
    let limit = status.rate_limit.as_ref().map(|limit| {
        json!({
            "limit": limit.limit,
            "remaining": limit.remaining,
            "window_seconds": limit.window_seconds,
            "source": limit.source,
            "read_at": limit.read_at.to_string(),
        })
    });
    json!({
        "name": status.name,
        "group": state.group,
        "by_command": state.by_command,
        "url": status.url,
        "breaker": status.breaker,
        "failures_in_a_row": status.failures_in_a_row,
        "last_failure": status.last_failure,
        "last_failure_at": status.last_failure_at.map(|at| at.to_string()),
        "last_success_at": status.last_success_at.map(|at| at.to_string()),
        "rate_limit": limit,
        "lies": status.lies,
    })
}

fn list(ask: &mut Ask<'_, '_>) -> Answer {
    let states = ask.appliance.upstreams()?;
    page(
        ask,
        |window| Ok(Page::of(states, window)),
        |state| Ok(shape(state)),
    )
}
