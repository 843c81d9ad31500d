//! Networks that are trusted without a login, beyond GitLab.

use super::answer::{Answer, nothing};
use super::ask::Ask;
use super::table::{Role, Table};
use crate::admin::{AddNetwork, ListNetworks, RemoveNetwork};

/// `/networks`.
pub(super) fn endpoints(table: &mut Table) {
    let role = Role::Administrator;
    table.page::<_, ListNetworks>("GET /networks", role, "All network rules");
    table.one::<AddNetwork>("POST /networks", role, "Trust a network without a login");
    let summary = "Trust it no more; the slash is written as %2F";
    let removes = table.nothing::<RemoveNetwork>("DELETE /networks/:cidr", role, summary);
    removes.handler = remove;
}

/// Where no group is named, the mirror alone.
fn remove(ask: &mut Ask<'_, '_>) -> Answer {
    ask.perform(RemoveNetwork {
        mirror_only: true,
        ..ask.request()?
    })?;
    nothing()
}
