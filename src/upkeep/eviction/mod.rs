//! Letting go of what is cached and worth least: [`plan()`] says what goes, [`evict`] lets it go.
//!
//! Rows go in steps that hold the writer for a moment each, then the files, at a pace that leaves the disk to others. What
//! was pulled or fetched since the plan was made stays. Whatever a crash leaves, garbage collection takes up.

mod demand;
mod limits;
pub mod order;
mod plan;
mod sums;
mod world;

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::oci::Digest;
use crate::store::{BlobId, Eviction, Inventory, RepositoryId, Scope, Store};
use crate::time::Timestamp;

pub use limits::{Counters, Evictor, Limits, Reason};
pub use plan::{
    Explained, Goal, LOOSE_FOR, Plan, Question, Stays, Victim, explain, explain_all, plan,
};
pub use sums::event;
pub use world::{UpstreamCondition, World};

/// So many images go before their files do, and before it is looked again whether enough has gone.
const AT_ONCE: usize = 50;
/// So many files go between two changes of rows.
const FILES_AT_ONCE: usize = 500;
/// After a file has gone others have the disk for as long as that took, within these bounds.
const PAUSE: (Duration, Duration) = (Duration::ZERO, Duration::from_millis(50));

/// What an eviction came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Images, each with what only it needed.
    pub images: u64,
    /// Bytes of the files that went.
    pub bytes: u64,
    pub files: u64,
    /// When the last image that went had last been pulled or fetched.
    pub last_pulled_at: Option<Timestamp>,
}

/// Lets go what the plan says. `is_enough` is asked now and then, with the bytes that have gone so far. Pulls go before it,
/// unless it `is_awaited`: by a fill, which is a pull too.
///
/// # Errors
/// `Sql`, `Io`, `Busy`: what has gone by then is gone, and the rest is found by the next plan.
pub fn evict(
    store: &Store,
    inventory: &Inventory,
    plan: &Plan,
    scope: &Scope,
    is_awaited: bool,
    mut is_enough: impl FnMut(&Evicted) -> bool,
) -> Result<Evicted> {
    let mut evicted = Evicted::default();
    let loose: Vec<_> = plan
        .loose
        .iter()
        .filter_map(|place| loose(inventory, *place))
        .collect();
    for some in loose.chunks(AT_ONCE) {
        let files = store.cache.evict_loose(some)?;
        release(store, &files, is_awaited, &mut evicted)?;
    }
    for victims in plan.victims.chunks(AT_ONCE) {
        if is_enough(&evicted) {
            break;
        }
        // Pulls are written in batches: one that is not written yet would not keep its image.
        store.cache.write_notes()?;
        let images: Vec<Eviction> = victims
            .iter()
            .flat_map(|victim| victim.manifests.iter())
            .filter_map(|place| eviction(inventory, *place, scope))
            .collect();
        let gone = store.cache.evict(&images)?;
        for victim in victims {
            let image = victim.manifests.first();
            let image = image.and_then(|place| inventory.manifests.get(*place));
            if let Some(image) = image.filter(|image| gone.manifests.contains(&image.id)) {
                evicted.images = evicted.images.saturating_add(1);
                evicted.last_pulled_at = Some(victim.pulled_at);
                tracing::debug!(image = inventory.names(image).join(" "), bytes = victim.frees, pulled_at = %victim.pulled_at, "evicted");
            }
        }
        release(store, &gone.loose, is_awaited, &mut evicted)?;
    }
    Ok(evicted)
}

fn loose(inventory: &Inventory, place: usize) -> Option<(Option<RepositoryId>, BlobId, Timestamp)> {
    let loose = inventory.loose.get(place)?;
    let blob = inventory.blobs.get(loose.blob as usize)?;
    let repository = loose
        .repository
        .and_then(|place| inventory.repositories.get(place));
    Some((
        repository.map(|repository| repository.id),
        blob.id,
        loose.since,
    ))
}

fn eviction(inventory: &Inventory, place: usize, scope: &Scope) -> Option<Eviction> {
    let manifest = inventory.manifests.get(place)?;
    let group = match scope {
        Scope::Group(group) => Some(*group),
        Scope::All | Scope::Upstream(_) => None,
    };
    let pulls = manifest.pulls.iter();
    let pulls = pulls.filter(|pulls| group.is_none_or(|group| pulls.group == group));
    Some(Eviction {
        manifest: manifest.id,
        repository: inventory.repositories.get(manifest.repository)?.id,
        fetched_at: manifest.fetched_at,
        pulled_at: pulls.map(|pulls| pulls.pulls.at).max(),
        group,
    })
}

/// Removes files that nothing needs any more.
fn release(
    store: &Store,
    digests: &[Digest],
    is_awaited: bool,
    evicted: &mut Evicted,
) -> Result<()> {
    for some in digests.chunks(FILES_AT_ONCE) {
        let mut begun = Instant::now();
        store.release_blobs(some, is_awaited, |size| {
            evicted.files = evicted.files.saturating_add(1);
            evicted.bytes = evicted.bytes.saturating_add(size);
            std::thread::sleep(begun.elapsed().clamp(PAUSE.0, PAUSE.1));
            begun = Instant::now();
        })?;
    }
    Ok(())
}
