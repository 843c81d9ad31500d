//! One cached image by its own rows, without a look at all that is cached.

use super::TAGS_SHOWN;
use super::hosted::{Rows, Sharing, distinct, parts};
use super::moment::world_of;
use super::referrers;
use super::show::{ImageDetails, not_cached, pulls, unused_at};
use crate::admin::Admin;
use crate::error::Result;
use crate::oci::{ImageName, ImagePattern, Reference};
use crate::store::KeptImage;
use crate::time::Timestamp;
use crate::upkeep::eviction::Stays;

/// `None` for a digest without a name, which is looked for among all that is cached.
///
/// # Errors
/// `NotFound`, and those of the store.
pub(super) fn show(
    admin: &Admin<'_>,
    asked: &str,
    pattern: &ImagePattern,
) -> Result<Option<ImageDetails>> {
    let Ok(named) = ImageName::parse(pattern.as_str()) else {
        return Ok(None);
    };
    let (Some(upstream), Some(reference)) = (&named.host, &named.reference) else {
        return Ok(None);
    };
    let (store, cache) = (admin.store, &admin.store.cache);
    // Pulls are written in batches.
    cache.write_notes()?;
    let name = named.repository.as_str();
    let kept = cache.image_named(upstream.as_str(), name, reference)?;
    let kept = kept.ok_or_else(|| not_cached(asked, pattern))?;
    let tag = match reference {
        Reference::Tag(tag) => Some(tag.as_str().to_owned()),
        Reference::Digest(_) => None,
    };
    let record = cache.image_record(kept.manifest, tag.as_deref())?;
    let record = record.ok_or_else(|| not_cached(asked, pattern))?;
    let KeptImage { repository, .. } = kept;
    let digest = &kept.digest;
    let parts = parts(admin, Rows::Cached(repository), digest, Sharing::Told)?;
    let own = store.content.sizes(digest)?.into_iter().max();
    let (size, exclusive_bytes) = distinct(store, (digest, own.unwrap_or_default()), &parts)?;
    let pulls = pulls(admin, kept.manifest)?;
    let last_pulled_at = pulls.iter().map(|pulls| pulls.last_at).max();
    let tags = cache.tags_of(kept.manifest, TAGS_SHOWN)?;
    let names = tags.iter().map(|tag| format!("{upstream}/{name}:{tag}"));
    let names: Vec<_> = names
        .chain([format!("{upstream}/{name}@{digest}")])
        .collect();
    let world = world_of(admin)?;
    let pins = world.pins().rows.iter();
    let pins = pins.filter(|pin| names.iter().any(|name| pin.pattern.matches(name)));
    let pins: Vec<_> = pins.map(|pin| pin.pattern.to_string()).collect();
    let stays = match pins.is_empty() {
        false => Some(Stays::Pinned),
        true => world.is_away(upstream).then_some(Stays::Away),
    };
    let used_at = last_pulled_at.map_or(record.fetched_at, |at| at.max(record.fetched_at));
    Ok(Some(ImageDetails {
        as_of: Timestamp::now(),
        upstream: Some(upstream.to_string()),
        repository: name.to_owned(),
        tag,
        digest: digest.to_string(),
        media_type: record.media_type,
        tags,
        size,
        exclusive_bytes,
        missing: cache.missing_parts(kept.manifest)?,
        fetched_at: record.fetched_at,
        pushed_by: None,
        confirmed_at: Some(record.confirmed_at),
        last_pulled_at,
        gone_at: record.gone_at,
        referrers: referrers::cached(store, repository, digest)?,
        pulls,
        pins,
        stays,
        before: None,
        unused_at: unused_at(admin, used_at, stays),
        parts: parts.shown,
        more_parts: parts.are_more,
    }))
}
