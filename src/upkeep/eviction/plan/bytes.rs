//! What the going of an image frees, and what goes with it.

use std::collections::{HashMap, HashSet};

use super::Planning;

impl Planning<'_> {
    /// The image with those of its parts that only it needs.
    pub(super) fn bundle(&self, manifest: usize) -> Vec<usize> {
        let mut bundle = vec![manifest];
        let mut known: HashSet<usize> = bundle.iter().copied().collect();
        let mut next = 0;
        while let Some(whole) = bundle.get(next) {
            next = next.saturating_add(1);
            let Some(whole) = self.inventory.manifests.get(*whole) else {
                continue;
            };
            for part in &whole.parts {
                let Some(node) = self.nodes.get(part.manifest) else {
                    continue;
                };
                let tagged = self.inventory.manifests.get(part.manifest);
                let is_tagged = tagged.is_some_and(|part| !part.tags.is_empty());
                let is_needed = node.parents.iter().any(|parent| {
                    !known.contains(parent)
                        && self.nodes.get(*parent).is_some_and(|node| !node.has_gone)
                });
                let goes = !node.has_gone
                    && !node.is_pinned
                    && node.is_in_scope
                    && (part.is_attached || !is_tagged)
                    && !is_needed;
                if goes && known.insert(part.manifest) {
                    bundle.push(part.manifest);
                }
            }
        }
        bundle
    }

    /// The bytes of the disk that the going of these manifests frees.
    pub(super) fn frees(&self, bundle: &[usize]) -> u64 {
        let needs = self.needs(bundle).into_iter();
        let only = needs.filter(|(blob, times)| {
            let held = self.held.get(*blob as usize);
            held.is_some_and(|held| held <= times)
        });
        self.bytes(only.map(|(blob, _)| blob))
    }

    fn bytes(&self, blobs: impl Iterator<Item = u32>) -> u64 {
        let blobs = blobs.filter_map(|blob| self.inventory.blobs.get(blob as usize));
        blobs.fold(0, |sum, blob| sum.saturating_add(blob.size))
    }

    /// The bytes of these manifests, each blob's divided by the number of those that need it.
    pub(super) fn part(&self, bundle: &[usize]) -> u64 {
        let parts = self.needs(bundle).into_iter().map(|(blob, times)| {
            let held = self.held.get(blob as usize).copied().unwrap_or_default();
            let blob = self.inventory.blobs.get(blob as usize);
            let all = blob
                .map_or(0, |blob| blob.size)
                .saturating_mul(u64::from(times));
            all.checked_div(u64::from(held)).unwrap_or(all)
        });
        parts.fold(0, u64::saturating_add)
    }

    pub(super) fn bytes_in_scope(&self, bundle: &[usize]) -> u64 {
        let needs = self.needs(bundle).into_iter();
        let only = needs.filter(|(blob, times)| {
            let held = self.held_in_scope.get(*blob as usize);
            held.is_some_and(|held| held <= times)
        });
        only.filter_map(|(blob, _)| self.inventory.blobs.get(blob as usize))
            .fold(0, |sum, blob| sum.saturating_add(blob.size))
    }

    /// How often these manifests need each blob.
    fn needs(&self, bundle: &[usize]) -> HashMap<u32, u32> {
        let mut needs: HashMap<u32, u32> = HashMap::new();
        let manifests = bundle
            .iter()
            .filter_map(|place| self.inventory.manifests.get(*place));
        for blob in manifests.flat_map(|manifest| manifest.blobs.iter()) {
            let times = needs.entry(*blob).or_default();
            *times = times.saturating_add(1);
        }
        needs
    }

    /// All that the image needs that is here, each once.
    pub(super) fn size(&self, manifest: usize) -> u64 {
        let (mut parts, mut next) = (vec![manifest], 0);
        while let Some(whole) = parts
            .get(next)
            .and_then(|place| self.inventory.manifests.get(*place))
        {
            next = next.saturating_add(1);
            for part in &whole.parts {
                if !part.is_attached && !parts.contains(&part.manifest) {
                    parts.push(part.manifest);
                }
            }
        }
        self.bytes(self.needs(&parts).into_keys())
    }
}

pub(super) fn add(counts: &mut [u32], place: u32, count: u32) {
    if let Some(held) = counts.get_mut(place as usize) {
        *held = held.saturating_add(count);
    }
}

pub(super) fn take(counts: &mut [u32], place: u32) {
    if let Some(held) = counts.get_mut(place as usize) {
        *held = held.saturating_sub(1);
    }
}
