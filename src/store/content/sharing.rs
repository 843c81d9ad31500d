//! What images consist of together, as an [`Inventory`] has it.

use std::collections::HashSet;

use super::{Inventory, InventoryManifest};

impl Inventory {
    /// What a manifest may be called by a pattern: [`Self::names`], and `HOST/NAME@DIGEST` in any case.
    pub fn all_names(&self, manifest: &InventoryManifest) -> Vec<String> {
        let mut names = self.names(manifest);
        if let Some(repository) = self.repositories.get(manifest.repository)
            && !manifest.tags.is_empty()
        {
            let (upstream, name) = (&repository.upstream, &repository.name);
            names.push(format!("{upstream}/{name}@{}", manifest.digest));
        }
        names
    }

    /// These manifests with all that belongs to them, what is attached too; each once.
    pub fn with_parts(&self, manifests: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let mut all: Vec<usize> = manifests.into_iter().collect();
        let mut known: HashSet<usize> = all.iter().copied().collect();
        let mut next = 0;
        while let Some(place) = all.get(next) {
            next = next.saturating_add(1);
            let manifest = self.manifests.get(*place);
            for part in manifest.into_iter().flat_map(|manifest| &manifest.parts) {
                if known.insert(part.manifest) {
                    all.push(part.manifest);
                }
            }
        }
        all
    }

    /// The bytes of what these manifests need, each file once.
    pub fn bytes_of(&self, manifests: &[usize]) -> u64 {
        let manifests = manifests
            .iter()
            .filter_map(|place| self.manifests.get(*place));
        let blobs: HashSet<u32> = manifests
            .flat_map(|manifest| manifest.blobs.iter().copied())
            .collect();
        let blobs = blobs
            .iter()
            .filter_map(|place| self.blobs.get(*place as usize));
        blobs.fold(0, |sum, blob| sum.saturating_add(blob.size))
    }
}
