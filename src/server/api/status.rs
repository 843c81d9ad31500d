//! How the box is, beyond GitLab.

use super::table::{Role, Table};
use crate::admin::ShowStatus;

pub(super) fn endpoints(table: &mut Table) {
    let summary = "What the box does now, its upstreams, what is kept, its disk, its last backup";
    table.one::<ShowStatus>("GET /status", Role::Administrator, summary);
}
