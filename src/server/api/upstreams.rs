//! How the upstreams are, beyond GitLab.

use super::table::{Role, Table};
use crate::admin::UpstreamStates;

/// `/upstreams`.
pub(super) fn endpoints(table: &mut Table) {
    let summary = "The upstreams, with what is known of each: breaker, failures, rate limit";
    table.page::<_, UpstreamStates>("GET /upstreams", Role::Administrator, summary);
}
