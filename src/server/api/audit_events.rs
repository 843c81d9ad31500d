//! Audit events: for administrators all, for owners those of their group, for maintainers those of their project.

use super::table::{Role, Table};
use crate::admin::ListAuditEvents;
use crate::store::Level;

pub(super) fn endpoints(table: &mut Table) {
    let owner = Role::Group(Some(Level::Owner));
    let maintainer = Role::Project(Some(Level::Maintainer));
    let summary = "What was changed, who was let in and who was refused";
    table.page::<_, ListAuditEvents>("GET /audit_events", Role::Administrator, summary);
    let (path, summary) = (
        "GET /groups/:id/audit_events",
        "The same of a group and what is below it",
    );
    table.page::<_, ListAuditEvents>(path, owner, summary);
    let path = "GET /projects/:id/audit_events";
    table.page::<_, ListAuditEvents>(path, maintainer, "The same of a project");
}
