//! The upstreams, beyond GitLab: how they are, and changing and asking those that were added by command.

use super::table::{Role, Table};
use crate::admin::{SetUpstream, TestUpstream, UpstreamStates};
use crate::store::Level;

/// `/upstreams` and `/groups/:id/upstreams`.
pub(super) fn endpoints(table: &mut Table) {
    let role = Role::Administrator;
    let summary = "The upstreams, with what is known of each: breaker, failures, rate limit";
    table.page::<_, UpstreamStates>("GET /upstreams", role, summary);
    let change = "Change an upstream that was added by command; it is asked whether it can be used so. What was kept of it under another url, login or ca is not served any more";
    let test = "Ask an upstream whether it can be used as it is configured; costs no pull";
    table.one::<SetUpstream>("PUT /upstreams/:name", role, change);
    let asks = table.one::<TestUpstream>("POST /upstreams/:name/test", role, test);
    asks.gives.0 = 200;
    let owner = Role::Group(Some(Level::Owner));
    let summary = "The upstreams that a group brings itself, with what is known of each";
    table.page::<_, UpstreamStates>("GET /groups/:id/upstreams", owner, summary);
    table.one::<SetUpstream>("PUT /groups/:id/upstreams/:name", owner, change);
    let asks = table.one::<TestUpstream>("POST /groups/:id/upstreams/:name/test", owner, test);
    asks.gives.0 = 200;
}
