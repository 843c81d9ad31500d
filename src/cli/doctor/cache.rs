//! Whether the cache is large enough for what is pulled, as far as it has limits.

use std::time::Duration;

use super::{Finding, Severity};
use crate::cli::output::shown_size;
use crate::cli::workplace::Workplace;
use crate::error::Result;
use crate::store::{Inventory, InventoryManifest, Store};
use crate::time::Timestamp;

const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// An eviction that is longer ago says nothing about today.
const LATELY: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Pins that take so many hundredths of what the cache may take leave too little to what is pulled otherwise.
const MANY_PINS: u64 = 80;

pub(super) fn find(place: &Workplace, store: &Store) -> Result<Vec<Finding>> {
    let now = Timestamp::now();
    let mut findings = Vec::new();
    findings.extend(of_age(store, now)?);
    let (free, filesystem) = store.blobs.space()?;
    let cache = &place.config.cache;
    let by_disk = store
        .cache
        .used()?
        .saturating_add(free)
        .saturating_sub(cache.min_free.of(filesystem));
    let (limit, key) = match cache.max_size.of(filesystem) {
        0 => (by_disk, "what cache.min_free leaves"),
        most if most <= by_disk => (most, "cache.max_size"),
        _ => (by_disk, "what cache.min_free leaves"),
    };
    let inventory = store.content.inventory()?;
    findings.extend(of_pins(store, &inventory, limit, key)?);
    findings.extend(of_week(&inventory, limit, key, now));
    Ok(findings)
}

fn of_age(store: &Store, now: Timestamp) -> Result<Option<Finding>> {
    let Some((at, pulled_at)) = store.cache.last_eviction()? else {
        return Ok(None);
    };
    let age = at.since(pulled_at);
    if now.since(at) >= LATELY || age >= WEEK {
        return Ok(None);
    }
    let hours = age.as_secs() / 3600;
    let age = match hours {
        0..48 => format!("{hours} hours"),
        _ => format!("{} days", hours / 24),
    };
    Ok(Some(Finding::new(
        Severity::Warning,
        "cache_small",
        format!(
            "images go for want of room that were pulled {age} before: the cache is too small for this farm"
        ),
        "give it more disk, or raise cache.max_size; see `breakwater cache stats` and `breakwater help caching`",
    )))
}

fn of_pins(store: &Store, inventory: &Inventory, limit: u64, key: &str) -> Result<Option<Finding>> {
    let pins = store.access.pins()?;
    if pins.rows.is_empty() {
        return Ok(None);
    }
    let pinned = bytes_of(inventory, |manifest| {
        inventory.names(manifest).iter().any(|name| pins.hold(name))
    });
    let is_much = pinned > (limit / 100).saturating_mul(MANY_PINS);
    Ok(is_much.then(|| {
        Finding::new(
            Severity::Warning,
            "cache_pins",
            format!(
                "pinned images take {} of {} ({key}): little is left for what is pulled otherwise",
                shown_size(pinned),
                shown_size(limit)
            ),
            "see `breakwater cache pins`, and unpin what nobody needs",
        )
    }))
}

fn of_week(inventory: &Inventory, limit: u64, key: &str, now: Timestamp) -> Option<Finding> {
    let pulled = bytes_of(inventory, |manifest| {
        let mut pulls = manifest.pulls.iter();
        pulls.any(|pulls| now.since(pulls.pulls.at) < WEEK)
    });
    (pulled > limit).then(|| {
        Finding::new(
            Severity::Warning,
            "cache_limit_below_use",
            format!(
                "{} were pulled within a week, and the cache may take {} ({key})",
                shown_size(pulled),
                shown_size(limit)
            ),
            "give it more disk, or raise cache.max_size",
        )
    })
}

/// The bytes of the images that are meant, with their parts, each file once.
fn bytes_of(inventory: &Inventory, is_meant: impl Fn(&InventoryManifest) -> bool) -> u64 {
    let manifests = inventory.manifests.iter().enumerate();
    let meant = manifests.filter(|(_, manifest)| is_meant(manifest));
    inventory.bytes_of(&inventory.with_parts(meant.map(|(place, _)| place)))
}
