//! Bans after failed logins, beyond GitLab.

use super::table::{Role, Table};
use crate::admin::{ListBans, RemoveBan};

/// `/bans`.
pub(super) fn endpoints(table: &mut Table) {
    let role = Role::Administrator;
    let summary = "Addresses and users that may not log in, and until when";
    table.page::<_, ListBans>("GET /bans", role, summary);
    let summary = "Lift the ban of an address or user; a slash is written as %2F";
    table.nothing::<RemoveBan>("DELETE /bans/:name", role, summary);
}
