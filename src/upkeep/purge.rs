//! Purging: taking out of the cache what somebody names, now. [`select`] says what goes, [`purge`] lets it go by the steps
//! of eviction. What was pulled or fetched since it was selected stays.
//!
//! What is pinned stays too, unless the purge is told otherwise.

use std::collections::{HashMap, HashSet};

use crate::error::Result;
use crate::oci::ImagePattern;
use crate::store::{CachedRepository, GroupId, Inventory, InventoryManifest, Pins, Scope, Store};
use crate::upkeep::eviction::{self, Evicted, Plan, Victim};

/// What is to go.
pub enum Purge<'a> {
    All,
    Images(&'a ImagePattern),
    /// What this group has pulled and no other has, of repositories that may be purged.
    PulledBy(GroupId, &'a dyn Fn(&CachedRepository) -> bool),
}

/// What goes: places in the inventory.
#[derive(Debug, Default)]
pub struct Selection {
    pub images: Vec<usize>,
    /// What goes with them.
    pub parts: Vec<usize>,
    /// Tags of images that stay, because of another tag.
    pub tags: Vec<(usize, String)>,
    /// Images that stay because other groups have pulled them; this one's pulls are forgotten.
    forgotten: Vec<usize>,
    /// Images that stay because they are pinned.
    pub pinned: u64,
    /// Repositories that may not be purged.
    pub protected: u64,
    /// Bytes of files that go, and of those that stay because something else needs them.
    pub frees: u64,
    pub shared: u64,
}

/// Says what goes. `pins` is what stays although it is meant.
pub fn select(inventory: &Inventory, purge: &Purge<'_>, pins: &Pins) -> Selection {
    let mut selecting = Selecting {
        inventory,
        purge,
        parents: parents(inventory),
        kept: kept_by(inventory, pins),
        going: HashSet::new(),
        selection: Selection::default(),
    };
    selecting.named(pins);
    selecting.follow_parts();
    selecting.divide();
    selecting.measure();
    selecting.selection
}

/// Takes out what was selected.
///
/// # Errors
/// `Sql`, `Io`, `Busy`: what has gone by then is gone.
pub fn purge(
    store: &Store,
    inventory: &Inventory,
    purge: &Purge<'_>,
    selection: &Selection,
) -> Result<Evicted> {
    let manifest = |place: &usize| inventory.manifests.get(*place);
    for (place, tag) in &selection.tags {
        if let Some(manifest) = manifest(place) {
            store.cache.remove_tag(manifest.id, tag)?;
        }
    }
    let images = selection.images.iter().chain(&selection.forgotten);
    let mut victims: Vec<_> = images
        .filter_map(|place| {
            Some(Victim {
                manifests: vec![*place],
                frees: 0,
                bytes: 0,
                pulled_at: manifest(place)?.fetched_at,
                is_gone: false,
            })
        })
        .collect();
    // After all that may need them.
    match victims.last_mut() {
        Some(last) => last.manifests.extend(&selection.parts),
        None => return Ok(Evicted::default()),
    }
    let plan = Plan {
        victims,
        ..Plan::default()
    };
    let scope = match purge {
        Purge::PulledBy(group, _) => Scope::Group(*group),
        Purge::All | Purge::Images(_) => Scope::All,
    };
    let evicted = eviction::evict(store, inventory, &plan, &scope, false, |_| false)?;
    let places = selection.images.iter().filter_map(manifest);
    let repositories: HashSet<usize> = places.map(|manifest| manifest.repository).collect();
    for place in repositories {
        if let Some(repository) = inventory.repositories.get(place) {
            store.cache.forget_lists_of_empty(repository.id)?;
        }
    }
    Ok(evicted)
}

struct Selecting<'a> {
    inventory: &'a Inventory,
    purge: &'a Purge<'a>,
    /// The manifests that need each.
    parents: HashMap<usize, Vec<usize>>,
    /// What pins keep, with its parts.
    kept: HashSet<usize>,
    going: HashSet<usize>,
    selection: Selection,
}

impl Selecting<'_> {
    fn named(&mut self, pins: &Pins) {
        let mut protected = HashSet::new();
        for (place, manifest) in self.inventory.manifests.iter().enumerate() {
            let tags = manifest.tags.len();
            let (is_whole, named) = match self.purge {
                Purge::All => (true, Vec::new()),
                Purge::Images(pattern) => self.called(manifest, pattern),
                Purge::PulledBy(group, may_purge) => {
                    let repository = self.inventory.repositories.get(manifest.repository);
                    let is_pulled = manifest.pulls.iter().any(|pulls| pulls.group == *group);
                    match repository.filter(|_| is_pulled) {
                        Some(repository) if may_purge(repository) => {}
                        Some(_) => {
                            protected.insert(manifest.repository);
                            continue;
                        }
                        None => continue,
                    }
                    if is_pulled_by_others(manifest, *group) {
                        self.selection.forgotten.push(place);
                        continue;
                    }
                    (true, Vec::new())
                }
            };
            let is_meant = is_whole || (tags > 0 && named.len() == tags);
            if is_meant && self.kept.contains(&place) {
                let is_part = self.parents.contains_key(&place) && tags == 0;
                let pinned = &mut self.selection.pinned;
                *pinned = pinned.saturating_add(u64::from(!is_part));
            } else if is_meant {
                self.going.insert(place);
            } else {
                let repository = self.inventory.names(manifest);
                let names = manifest.tags.iter().zip(repository);
                let names =
                    names.filter(|(tag, name)| named.contains(&tag.name) && !pins.hold(name));
                let tags = names.map(|(tag, _)| (place, tag.name.clone()));
                self.selection.tags.extend(tags);
            }
        }
        self.selection.protected = protected.len() as u64;
    }

    /// Whether the digest is meant, and which tags are.
    fn called(&self, manifest: &InventoryManifest, pattern: &ImagePattern) -> (bool, Vec<String>) {
        let Some(repository) = self.inventory.repositories.get(manifest.repository) else {
            return (false, Vec::new());
        };
        let name = format!("{}/{}", repository.upstream, repository.name);
        let tags = manifest.tags.iter().map(|tag| &tag.name);
        let tags = tags.filter(|tag| pattern.matches(&format!("{name}:{tag}")));
        let is_whole = pattern.matches(&format!("{name}@{}", manifest.digest));
        (is_whole, tags.cloned().collect())
    }

    /// What only belongs to what goes, goes too.
    fn follow_parts(&mut self) {
        let mut next: Vec<usize> = self.going.iter().copied().collect();
        while let Some(place) = next.pop() {
            let Some(manifest) = self.inventory.manifests.get(place) else {
                continue;
            };
            for part in &manifest.parts {
                let Some(of) = self.inventory.manifests.get(part.manifest) else {
                    continue;
                };
                let parents = self.parents.get(&part.manifest);
                let mut parents = parents.into_iter().flatten();
                let goes = (part.is_attached || of.tags.is_empty())
                    && !self.kept.contains(&part.manifest)
                    && !self.is_others(of)
                    && parents.all(|parent| self.going.contains(parent));
                if goes && self.going.insert(part.manifest) {
                    next.push(part.manifest);
                }
            }
        }
        // What a group pulled by its digest stays while it is a part of what others pulled.
        while matches!(self.purge, Purge::PulledBy(..)) {
            let needed = self.going.iter().copied().filter(|place| {
                let parents = self.parents.get(place);
                let mut parents = parents.into_iter().flatten();
                parents.any(|parent| !self.going.contains(parent))
            });
            let needed: Vec<_> = needed.collect();
            if needed.is_empty() {
                break;
            }
            for place in needed {
                self.going.remove(&place);
            }
        }
    }

    fn is_others(&self, manifest: &InventoryManifest) -> bool {
        matches!(self.purge, Purge::PulledBy(group, _) if is_pulled_by_others(manifest, *group))
    }

    fn divide(&mut self) {
        let mut going: Vec<usize> = self.going.iter().copied().collect();
        going.sort_unstable();
        let is_part = |place: &usize| {
            let parents = self.parents.get(place);
            let mut parents = parents.into_iter().flatten();
            let is_tagged = self
                .inventory
                .manifests
                .get(*place)
                .is_some_and(|manifest| !manifest.tags.is_empty());
            !is_tagged && parents.any(|parent| self.going.contains(parent) && parent != place)
        };
        let (parts, images) = going.into_iter().partition::<Vec<_>, _>(is_part);
        (self.selection.parts, self.selection.images) = (parts, images);
        if self.selection.images.is_empty() {
            // They are parts of each other, which nobody can make without breaking a hash.
            self.selection.images = std::mem::take(&mut self.selection.parts);
        }
    }

    fn measure(&mut self) {
        let mut needed = HashSet::new();
        let mut goes = HashSet::new();
        for (place, manifest) in self.inventory.manifests.iter().enumerate() {
            match self.going.contains(&place) {
                true => goes.extend(manifest.blobs.iter().copied()),
                false => needed.extend(manifest.blobs.iter().copied()),
            }
        }
        let linked = self.inventory.loose.iter();
        let linked = linked.filter(|loose| loose.repository.is_some());
        needed.extend(linked.map(|loose| loose.blob));
        for place in goes {
            let Some(blob) = self.inventory.blobs.get(place as usize) else {
                continue;
            };
            let sum = match blob.is_hosted || needed.contains(&place) {
                true => &mut self.selection.shared,
                false => &mut self.selection.frees,
            };
            *sum = sum.saturating_add(blob.size);
        }
    }
}

fn is_pulled_by_others(manifest: &InventoryManifest, group: GroupId) -> bool {
    manifest.pulls.iter().any(|pulls| pulls.group != group)
}

fn parents(inventory: &Inventory) -> HashMap<usize, Vec<usize>> {
    let mut parents: HashMap<usize, Vec<usize>> = HashMap::new();
    for (place, manifest) in inventory.manifests.iter().enumerate() {
        for part in &manifest.parts {
            parents.entry(part.manifest).or_default().push(place);
        }
    }
    parents
}

fn kept_by(inventory: &Inventory, pins: &Pins) -> HashSet<usize> {
    let manifests = inventory.manifests.iter().enumerate();
    let pinned = manifests.filter(|(_, manifest)| {
        let names = inventory.all_names(manifest);
        names.iter().any(|name| pins.hold(name))
    });
    let pinned = pinned.map(|(place, _)| place);
    inventory.with_parts(pinned).into_iter().collect()
}
