//! What is in the cache, beyond GitLab.

use serde_json::{Value, json};

use super::answer::{Answer, object, page};
use super::ask::Ask;
use super::parameters::{Type, optional};
use super::table::{Endpoint, Role, Scope, Shape};
use crate::store::CachedImage;

/// `/cache/images`, `/cache/statistics`.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: "GET",
        path: "/cache/images",
        scope: Scope::Read,
        role: Role::Administrator,
        parameters: &[optional(
            "search",
            Type::Text,
            "a part of HOST/NAME:TAG; * for any run of characters",
        )],
        gives: (200, Shape::Page("CachedImage")),
        summary: "The images that are kept",
        handler: images,
    },
    Endpoint {
        method: "GET",
        path: "/cache/statistics",
        scope: Scope::Read,
        role: Role::Administrator,
        parameters: &[],
        gives: (200, Shape::One("CacheStatistics")),
        summary: "How much is kept, and how much room there is",
        handler: statistics,
    },
];

fn shape(image: &CachedImage) -> Value {
    json!({
        "upstream": image.upstream,
        "repository": image.repository,
        "tag": image.tag,
        "digest": image.digest,
        "media_type": image.media_type,
        "size": image.size,
        "fetched_at": image.fetched_at.to_string(),
        "confirmed_at": image.confirmed_at.to_string(),
        "last_pulled_at": image.last_pulled_at.map(|at| at.to_string()),
        "gone_at": image.gone_at.map(|at| at.to_string()),
    })
}

fn images(ask: &mut Ask<'_, '_>) -> Answer {
    let (cache, pattern) = (&ask.store().cache, ask.fields.text("search"));
    page(
        ask,
        |window| cache.images(pattern, window),
        |image| Ok(shape(image)),
    )
}

fn statistics(ask: &mut Ask<'_, '_>) -> Answer {
    let totals = ask.store().cache.totals()?;
    let (free, disk) = ask.store().blobs.space()?;
    object(
        200,
        &json!({
            "repositories": totals.repositories,
            "tags": totals.tags,
            "manifests": totals.manifests,
            "blobs": totals.blobs,
            "bytes": totals.bytes,
            "disk_free_bytes": free,
            "disk_bytes": disk,
        }),
    )
}
