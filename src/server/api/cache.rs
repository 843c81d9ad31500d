//! What is in the cache, beyond GitLab.

use super::table::{Role, Table};
use crate::admin::{CacheStatistics, ListCachedImages};

/// `/cache/images`, `/cache/statistics`.
pub(super) fn endpoints(table: &mut Table) {
    let role = Role::Administrator;
    table.page::<_, ListCachedImages>("GET /cache/images", role, "The images that are kept");
    let summary = "How much is kept, and how much room there is";
    table.one::<CacheStatistics>("GET /cache/statistics", role, summary);
}
