//! One's own sessions of the operator's page, beyond GitLab.

use super::table::{Role, Table};
use crate::admin::{EndSession, ListSessions};

/// `/user/sessions`.
pub(super) fn endpoints(table: &mut Table) {
    let role = Role::Anyone;
    let summary = "The browsers that one is signed in with on the page";
    table.all::<_, ListSessions>("GET /user/sessions", role, summary);
    let summary = "Sign such a browser out";
    table.nothing::<EndSession>("DELETE /user/sessions/:session_id", role, summary);
}
