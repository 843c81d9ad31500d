//! What is in the cache, beyond GitLab.

use serde_json::json;

use super::answer::{Answer, object};
use super::ask::Ask;
use super::table::{Role, Shape, Table};
use crate::admin::{
    AddPin, EvictImages, ListCachedImages, ListPins, PinView, PurgeImages, RecallStatistics,
    RemovePin, ShowCachedImage, ShowHistory,
};

/// `/cache/images`, `/cache/image`, `/cache/statistics`, `/cache/history`, `/cache/evict`, `/cache/pins`.
pub(super) fn endpoints(table: &mut Table) {
    let role = Role::Administrator;
    table.page::<_, ListCachedImages>("GET /cache/images", role, "The images that are kept");
    let summary =
        "How much is kept, and how much room there is; on a large box as it was some minutes ago";
    table.one::<RecallStatistics>("GET /cache/statistics", role, summary);

    let summary =
        "What was served over time, how much of it was kept already, what came, and what went";
    table.one::<ShowHistory>("GET /cache/history", role, summary);

    let summary = "One image: what it consists of, who pulled it, and when it would go";
    table.one::<ShowCachedImage>("GET /cache/image", role, summary);
    let summary = "Remove an image, those of a pattern, those that a group alone pulled, or all";
    table.one::<PurgeImages>("DELETE /cache/images", role, summary);
    let summary = "Let the images go that are worth least, or say which would";
    table
        .one::<EvictImages>("POST /cache/evict", role, summary)
        .gives
        .0 = 200;
    table.page::<_, ListPins>("GET /cache/pins", role, "All pins, with what each keeps");
    let shape = Shape::One(table.view::<PinView>());
    let summary = "Keep cached images whatever has to go, those too that come later";
    table.row::<AddPin>("POST /cache/pins", role, summary, shape, pin);
    let summary = "Let pinned images go when it is their turn";
    table.nothing::<RemovePin>("DELETE /cache/pins", role, summary);
}

fn pin(ask: &mut Ask<'_, '_>) -> Answer {
    let added = ask.perform::<AddPin>(ask.request()?)?;
    object(ask.status(), &json!(added.pin))
}
