//! `breakwater export --have --deltas on`: of layers that have changed only what is new in them travels.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Instant;

use clap::ValueEnum;
use serde::Serialize;

use super::holding::{HOLD_AGAIN, Holding};
use crate::admin::{FindImages, FoundImages};
use crate::cli::output::{counted, hint, shown_size};
use crate::cli::progress::Bar;
use crate::cli::workplace::Workplace;
use crate::error::Result;
use crate::oci::Digest;
use crate::store::{BlobDir, CarriedImage};
use crate::upkeep::bundle::{BundleManifest, Deltas, Plan, WantedImage, plan};

/// So many images of a repository are looked at, newest first.
const FORMER: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum WithDeltas {
    /// Layers of which the other side has an old version travel as what has changed in them
    On,
    /// All layers travel whole
    Off,
}

/// What deltas save, for JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Saved {
    pub(super) layers: usize,
    pub(super) bytes: u64,
    /// Of the same layers whole.
    pub(super) instead_of: u64,
}

impl Saved {
    pub(super) fn of(manifest: &BundleManifest) -> Self {
        let (bytes, instead_of) = manifest.delta_bytes();
        Self {
            layers: manifest.deltas.len(),
            bytes,
            instead_of,
        }
    }
}

/// What deltas save, for people.
pub(super) fn line(manifest: &BundleManifest) -> String {
    let Saved {
        layers,
        bytes,
        instead_of,
    } = Saved::of(manifest);
    format!(
        "of {} only what has changed is in it: {} instead of {}",
        counted(layers as u64, "layer"),
        shown_size(bytes),
        shown_size(instead_of)
    )
}

/// The newest images of the repositories of those that were found: those that the other side may have.
pub(super) fn find_former(place: &Workplace, found: &FoundImages) -> Result<Vec<CarriedImage>> {
    let names = found.images.iter();
    let names = names.map(|found| found.image.image.name_without_tag());
    let names: BTreeSet<String> = names.collect();
    let patterns = names
        .iter()
        .flat_map(|name| [format!("{name}:*"), format!("{name}@*")]);
    let former = place.perform(FindImages {
        images: patterns.collect(),
        pulled_since: None,
    })?;
    let mut images: Vec<_> = former.images.into_iter().map(|found| found.image).collect();
    images.sort_by_key(|image| (Reverse(image.image.fetched_at), image.image.name()));
    let mut seen: HashMap<String, usize> = HashMap::new();
    images.retain(|image| {
        let count = seen.entry(image.image.name_without_tag()).or_default();
        *count = count.saturating_add(1);
        *count <= FORMER
    });
    Ok(images)
}

/// What is planned of the former images: as of all platforms, because nobody asked for these. Where one cannot be read, all are
/// left alone, with a word.
pub(super) fn plan_former(
    blobs: &BlobDir,
    former: &[CarriedImage],
    damaged: &BTreeSet<Digest>,
) -> Plan {
    let images = former.iter().map(|image| WantedImage {
        image: image.clone(),
        platforms: Vec::new(),
    });
    let planned = plan(blobs, &images.collect::<Vec<_>>(), damaged);
    planned.unwrap_or_else(|error| {
        hint(&format!(
            "earlier images are left alone, so that more travels: {error}"
        ));
        Plan::default()
    })
}

/// Makes the deltas of all layers that `has` does not have, as far as they are worth it.
pub(super) fn make(
    deltas: &mut Deltas<'_>,
    plan: &Plan,
    former: &Plan,
    has: &HashSet<Digest>,
    holding: &Holding<'_>,
    json: bool,
) -> Result<()> {
    let layers = plan.changed_layers(has, former);
    let all = layers
        .iter()
        .fold(0_u64, |sum, layer| sum.saturating_add(layer.size));
    let bar = Bar::new("finding what has changed in the layers", json);
    let mut done = 0_u64;
    let mut told = Instant::now();
    for layer in &layers {
        bar.show(done, all);
        deltas.make(layer)?;
        done = done.saturating_add(layer.size);
        if told.elapsed() > HOLD_AGAIN {
            told = Instant::now();
            holding.hold();
        }
    }
    Ok(())
}
