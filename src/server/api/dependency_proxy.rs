//! A group's dependency proxy: purging what it has pulled.

use super::answer::{Answer, Failure, accepted};
use super::ask::Ask;
use super::table::{Nothing, Role, Shape, Table};
use crate::admin::RunningServer as _;
use crate::store::{CachedRepository, Level};
use crate::upkeep::purge::{Purge, purge as remove, select};

/// `/groups/:id/dependency_proxy/cache`.
pub(super) fn endpoints(table: &mut Table) {
    let (role, shape) = (Role::Group(Some(Level::Owner)), Shape::One("Message"));
    let summary = "Remove the images that this group has pulled and no other has, but for those that are pinned or that rules protect";
    let path = "DELETE /groups/:id/dependency_proxy/cache";
    table
        .row::<Nothing>(path, role, summary, shape, purge)
        .gives
        .0 = 202;
}

fn purge(ask: &mut Ask<'_, '_>) -> Answer {
    let group = ask.group()?;
    let verdict = ask.appliance.authorize_group(&ask.identity, &group.path)?;
    // What is left to refuse here is a dependency proxy that is switched off.
    let off = || Failure::not_found("Dependency Proxy");
    let grant = verdict.granted().ok_or_else(off)?;
    let rules = ask.appliance.authenticator.group_rules(group.id)?;
    let may_purge =
        |place: &CachedRepository| grant.may_purge(&rules, &place.upstream, &place.name);
    let what = Purge::PulledBy(grant.group(), &may_purge);
    let store = ask.store();
    // Pulls are written in batches: one that is not written yet would keep its image.
    store.cache.write_notes()?;
    let inventory = store.content.inventory()?;
    let selection = select(&inventory, &what, &store.access.pins()?);
    let removed = remove(store, &inventory, &what, &selection);
    ask.appliance.forget_previews();
    let purged = removed?;
    tracing::info!(
        request_id = ask.call.id,
        group = group.path,
        images = purged.images,
        blobs = purged.files,
        pinned = selection.pinned,
        protected = selection.protected,
        "purged what the group had pulled"
    );
    accepted()
}
