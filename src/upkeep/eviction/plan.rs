//! What goes next, and what it frees: a pure question to an [`Inventory`].
//!
//! The unit is the image: a manifest with what only it needs, under all its tags. A manifest of an index that nobody has
//! pulled for a day longer than the index goes by itself. What is attached to an image, as signatures are, goes with it.
//! Worth is asked again when an image's turn comes, because what its going frees depends on what went before.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::time::Duration;

use crate::oci::RegistryHost;
use crate::store::{Frequency, Inventory, InventoryManifest, Scope};
use crate::time::Timestamp;
use crate::upkeep::eviction::order::worth;
use crate::words::words;

/// What was pulled or fetched so lately is being pulled: its layers may still be asked for.
const BUSY: Duration = Duration::from_secs(10 * 60);
/// How much longer than the index a part of it must not have been pulled to go by itself.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 60 * 60);
/// How old what no manifest explains must be: a client may push or fill its manifest last.
pub const LOOSE_FOR: Duration = Duration::from_secs(60 * 60);

/// How much is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// So many bytes of what is in scope.
    Bytes(u64),
    /// So many bytes of the disk: what was pushed too stays there.
    Disk(u64),
    /// All that was last pulled before.
    PulledBefore(Timestamp),
    /// Everything, in the order in which it would go.
    Everything,
}

/// What is asked.
pub struct Question<'a> {
    pub now: Timestamp,
    pub scope: Scope,
    pub goal: Goal,
    pub is_pinned: &'a dyn Fn(&str) -> bool,
    /// Whether an upstream does not answer, or may not be asked.
    pub is_away: &'a dyn Fn(&RegistryHost) -> bool,
    /// Whether images of upstreams that are away go too, last of all.
    pub is_hard: bool,
}

words! {
    "snake_case"
    /// Why an image stays whatever is asked for.
    pub enum Stays {
        Pinned,
        /// It was pulled or fetched in the last minutes.
        Busy,
        /// Its upstream does not answer, or may not be asked.
        Away,
        /// The upstream does not have it any more: it does not go for want of pulls.
        Gone,
        /// It is a part of an image, and goes with it.
        Part,
    }
}

/// In which order images go, before their worth: what the upstream cannot give again goes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Usual,
    Gone,
    Away,
    AwayAndGone,
}

/// One image that goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Victim {
    /// The image, and then what goes with it: places in the inventory.
    pub manifests: Vec<usize>,
    /// Bytes on the disk.
    pub frees: u64,
    /// Bytes of what is in scope.
    pub bytes: u64,
    pub pulled_at: Timestamp,
    pub is_gone: bool,
}

/// The answer.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// Loose blobs that go first: places in the inventory's list.
    pub loose: Vec<usize>,
    pub victims: Vec<Victim>,
    /// In all.
    pub frees: u64,
    pub bytes: u64,
    /// Whether the goal is reached.
    pub is_enough: bool,
}

/// What is to go. See the module.
pub fn plan(inventory: &Inventory, question: &Question<'_>) -> Plan {
    let mut planning = Planning::new(inventory, question);
    planning.loose();
    planning.images();
    let is_enough = planning.is_reached();
    Plan {
        is_enough,
        ..planning.plan
    }
}

/// What is known of each image, for whoever explains: see [`explain`].
pub struct Explained {
    /// When it, or a part of it, was last pulled or fetched.
    pub used_at: Timestamp,
    /// What only it needs.
    pub exclusive: u64,
    /// All that it needs.
    pub size: u64,
    pub stays: Option<Stays>,
}

/// How an image stands.
pub fn explain(
    inventory: &Inventory,
    question: &Question<'_>,
    manifest: usize,
) -> Option<Explained> {
    let planning = Planning::new(inventory, question);
    let node = planning.nodes.get(manifest)?;
    let bundle = planning.bundle(manifest);
    Some(Explained {
        used_at: node.used.at,
        exclusive: planning.frees(&bundle),
        size: planning.size(manifest),
        stays: planning.stays(manifest),
    })
}

/// How all images stand, by their places.
pub fn explain_all(inventory: &Inventory, question: &Question<'_>) -> Vec<Explained> {
    let planning = Planning::new(inventory, question);
    let manifests = planning.nodes.iter().enumerate();
    let explained = manifests.map(|(manifest, node)| Explained {
        used_at: node.used.at,
        exclusive: planning.frees(&planning.bundle(manifest)),
        size: planning.size(manifest),
        stays: planning.stays(manifest),
    });
    explained.collect()
}

/// What is known of a manifest while a plan is made.
#[derive(Clone)]
struct Node {
    is_in_scope: bool,
    is_pinned: bool,
    is_gone: bool,
    is_away: bool,
    /// Whether its subject is here: it goes with it.
    is_attached: bool,
    /// Manifests that need it and have not gone.
    parents: Vec<usize>,
    /// Its pulls and those of its parts.
    used: Frequency,
    has_gone: bool,
}

struct Planning<'a> {
    inventory: &'a Inventory,
    question: &'a Question<'a>,
    nodes: Vec<Node>,
    /// How many needs there are for each blob: of everybody, and of what is in scope.
    held: Vec<u32>,
    held_in_scope: Vec<u32>,
    plan: Plan,
}

impl<'a> Planning<'a> {
    fn new(inventory: &'a Inventory, question: &'a Question<'a>) -> Self {
        let nodes = inventory.manifests.iter().map(|manifest| {
            let upstream = inventory.upstream(manifest);
            Node {
                is_in_scope: match &question.scope {
                    Scope::All => true,
                    Scope::Upstream(name) => upstream == Some(name),
                    Scope::Group(group) => manifest.pulls.iter().any(|pulls| pulls.group == *group),
                },
                is_pinned: is_pinned(inventory, manifest, question.is_pinned),
                is_gone: manifest.tags.iter().any(|tag| tag.gone_at.is_some()),
                is_away: upstream.is_some_and(|upstream| (question.is_away)(upstream)),
                is_attached: false,
                parents: Vec::new(),
                used: used(manifest, &question.scope),
                has_gone: false,
            }
        });
        let mut planning = Self {
            inventory,
            question,
            nodes: nodes.collect(),
            held: vec![0; inventory.blobs.len()],
            held_in_scope: vec![0; inventory.blobs.len()],
            plan: Plan::default(),
        };
        planning.hold();
        planning.relate();
        planning
    }

    fn hold(&mut self) {
        for (manifest, node) in self.inventory.manifests.iter().zip(&self.nodes) {
            for blob in &manifest.blobs {
                add(&mut self.held, *blob, 1);
                if node.is_in_scope {
                    add(&mut self.held_in_scope, *blob, 1);
                }
            }
        }
        for loose in &self.inventory.loose {
            if loose.repository.is_some() {
                add(&mut self.held, loose.blob, 1);
            }
        }
        for (place, blob) in self.inventory.blobs.iter().enumerate() {
            if blob.is_hosted {
                add(&mut self.held, u32::try_from(place).unwrap_or(u32::MAX), 1);
            }
        }
    }

    /// What parts hand up to what needs them, and what needs them hands down. Rows are as deep as indexes of indexes with
    /// signatures of signatures are; where somebody made a circle of them, the rounds end.
    fn relate(&mut self) {
        const ROUNDS: usize = 8;
        let parts: Vec<(usize, usize, bool)> = self
            .inventory
            .manifests
            .iter()
            .enumerate()
            .flat_map(|(whole, manifest)| {
                let parts = manifest.parts.iter();
                parts.map(move |part| (whole, part.manifest, part.is_attached))
            })
            .filter(|(whole, part, _)| whole != part)
            .collect();
        for (whole, part, is_attached) in &parts {
            if let Some(node) = self.nodes.get_mut(*part) {
                node.parents.push(*whole);
                node.is_attached |= is_attached;
            }
        }
        for _ in 0..ROUNDS {
            let mut has_changed = false;
            for (whole, part, _) in &parts {
                let (Some(of), Some(to)) =
                    (self.nodes.get(*part).cloned(), self.nodes.get_mut(*whole))
                else {
                    continue;
                };
                // The greater weight, because a pull of an index is noted for the index and then for the part.
                if of.used.at > to.used.at {
                    let weight = to.used.weight_at(of.used.at).max(of.used.weight);
                    to.used = Frequency {
                        weight,
                        at: of.used.at,
                    };
                    has_changed = true;
                }
                let whole = to.clone();
                if let Some(part) = self.nodes.get_mut(*part) {
                    has_changed |=
                        (whole.is_pinned && !part.is_pinned) || (whole.is_gone && !part.is_gone);
                    part.is_pinned |= whole.is_pinned;
                    part.is_gone |= whole.is_gone;
                }
            }
            if !has_changed {
                break;
            }
        }
    }

    fn stays(&self, manifest: usize) -> Option<Stays> {
        let node = self.nodes.get(manifest)?;
        let is_unused = matches!(self.question.goal, Goal::PulledBefore(_));
        if node.is_pinned {
            Some(Stays::Pinned)
        } else if self.is_part(node) {
            Some(Stays::Part)
        } else if self.question.now.since(node.used.at) < BUSY {
            Some(Stays::Busy)
        } else if node.is_away && (!self.question.is_hard || is_unused) {
            Some(Stays::Away)
        } else if node.is_gone && is_unused {
            Some(Stays::Gone)
        } else {
            None
        }
    }

    /// Whether it goes with what needs it: unless nobody has pulled it for much longer than that.
    fn is_part(&self, node: &Node) -> bool {
        let parents = node
            .parents
            .iter()
            .filter_map(|parent| self.nodes.get(*parent));
        let mut parents = parents.filter(|parent| !parent.has_gone).peekable();
        parents.peek().is_some()
            && (node.is_attached
                || parents.any(|parent| parent.used.at.since(node.used.at) < LEFT_BEHIND))
    }

    fn rank(node: &Node) -> Rank {
        match (node.is_away, node.is_gone) {
            (false, false) => Rank::Usual,
            (false, true) => Rank::Gone,
            (true, false) => Rank::Away,
            (true, true) => Rank::AwayAndGone,
        }
    }

    fn is_reached(&self) -> bool {
        match self.question.goal {
            Goal::Bytes(bytes) => self.plan.bytes >= bytes,
            Goal::Disk(bytes) => self.plan.frees >= bytes,
            Goal::PulledBefore(_) | Goal::Everything => false,
        }
    }

    /// What no manifest explains frees room without taking anything away.
    fn loose(&mut self) {
        let Question { now, scope, .. } = self.question;
        let list = self.inventory.loose.iter().enumerate();
        let old = list.filter(|(_, loose)| now.since(loose.since) >= LOOSE_FOR);
        let meant = old.filter(|(_, loose)| match (scope, loose.repository) {
            (Scope::All, None) => !self.inventory.unlinked_may_be_pushed,
            (Scope::All, Some(_)) => true,
            (Scope::Upstream(name), Some(repository)) => {
                let repository = self.inventory.repositories.get(repository);
                repository.is_some_and(|repository| repository.upstream == *name)
            }
            (Scope::Upstream(_), None) | (Scope::Group(_), _) => false,
        });
        let meant: Vec<(usize, u32, bool)> = meant
            .map(|(place, loose)| (place, loose.blob, loose.repository.is_some()))
            .collect();
        for (place, blob, is_linked) in meant {
            if self.is_reached() {
                return;
            }
            if is_linked {
                take(&mut self.held, blob);
            }
            let size = self
                .inventory
                .blobs
                .get(blob as usize)
                .map_or(0, |blob| blob.size);
            if self.held.get(blob as usize) == Some(&0) {
                self.plan.frees = self.plan.frees.saturating_add(size);
                self.plan.bytes = self.plan.bytes.saturating_add(size);
            }
            self.plan.loose.push(place);
        }
    }

    fn images(&mut self) {
        let mut heap = BinaryHeap::new();
        for manifest in 0..self.nodes.len() {
            self.offer(&mut heap, manifest);
        }
        while !self.is_reached() {
            let Some(Reverse(turn)) = heap.pop() else {
                return;
            };
            if self
                .nodes
                .get(turn.manifest)
                .is_none_or(|node| node.has_gone)
            {
                continue;
            }
            let bundle = self.bundle(turn.manifest);
            let Some(now) = self.turn(turn.manifest, &bundle) else {
                continue;
            };
            if now > turn {
                heap.push(Reverse(now));
                continue;
            }
            for freed in self.go(turn.manifest, bundle) {
                self.offer(&mut heap, freed);
            }
        }
    }

    fn offer(&self, heap: &mut BinaryHeap<Reverse<Turn>>, manifest: usize) {
        let Some(node) = self.nodes.get(manifest) else {
            return;
        };
        if let Goal::PulledBefore(limit) = self.question.goal
            && node.used.at >= limit
        {
            return;
        }
        if node.has_gone || !node.is_in_scope || self.stays(manifest).is_some() {
            return;
        }
        if let Some(turn) = self.turn(manifest, &self.bundle(manifest)) {
            heap.push(Reverse(turn));
        }
    }

    fn turn(&self, manifest: usize, bundle: &[usize]) -> Option<Turn> {
        let node = self.nodes.get(manifest)?;
        Some(Turn {
            rank: Self::rank(node),
            worth: worth(node.used, self.part(bundle)),
            used_at: node.used.at,
            manifest,
        })
    }

    /// The image with those of its parts that only it needs.
    fn bundle(&self, manifest: usize) -> Vec<usize> {
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
    fn frees(&self, bundle: &[usize]) -> u64 {
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
    fn part(&self, bundle: &[usize]) -> u64 {
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

    fn bytes_in_scope(&self, bundle: &[usize]) -> u64 {
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
    fn size(&self, manifest: usize) -> u64 {
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

    /// Lets the image go; gives what can go by itself from now on.
    fn go(&mut self, manifest: usize, bundle: Vec<usize>) -> Vec<usize> {
        let frees = self.frees(&bundle);
        let bytes = self.bytes_in_scope(&bundle);
        let node = self.nodes.get(manifest).cloned();
        self.plan.frees = self.plan.frees.saturating_add(frees);
        self.plan.bytes = self.plan.bytes.saturating_add(bytes);
        let mut freed = Vec::new();
        for &place in &bundle {
            let Some(manifest) = self.inventory.manifests.get(place) else {
                continue;
            };
            for blob in &manifest.blobs {
                take(&mut self.held, *blob);
                take(&mut self.held_in_scope, *blob);
            }
            if let Some(node) = self.nodes.get_mut(place) {
                node.has_gone = true;
            }
            freed.extend(manifest.parts.iter().map(|part| part.manifest));
        }
        if let Some(node) = node {
            self.plan.victims.push(Victim {
                manifests: bundle,
                frees,
                bytes,
                pulled_at: node.used.at,
                is_gone: node.is_gone,
            });
        }
        freed
    }
}

/// An image's turn: the least goes first.
#[derive(Debug, Clone, Copy)]
struct Turn {
    rank: Rank,
    worth: Timestamp,
    used_at: Timestamp,
    manifest: usize,
}

impl Ord for Turn {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank
            .cmp(&other.rank)
            .then(self.worth.cmp(&other.worth))
            .then(self.used_at.cmp(&other.used_at))
            .then(self.manifest.cmp(&other.manifest))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Turn {}

/// Whether one of its names is pinned, or its digest.
fn is_pinned(
    inventory: &Inventory,
    manifest: &InventoryManifest,
    is_pinned: &dyn Fn(&str) -> bool,
) -> bool {
    let repository = inventory.repositories.get(manifest.repository);
    let by_digest = repository.is_some_and(|repository| {
        is_pinned(&format!(
            "{}/{}@{}",
            repository.upstream, repository.name, manifest.digest
        ))
    });
    by_digest || inventory.names(manifest).iter().any(|name| is_pinned(name))
}

/// How often and when it was pulled in this scope, and fetched.
fn used(manifest: &InventoryManifest, scope: &Scope) -> Frequency {
    let fetched = Frequency {
        weight: 0.0,
        at: manifest.fetched_at,
    };
    let pulls = manifest.pulls.iter().filter(|pulls| match scope {
        Scope::Group(group) => pulls.group == *group,
        Scope::All | Scope::Upstream(_) => true,
    });
    pulls.fold(fetched, |sum, pulls| sum.and(pulls.pulls))
}

fn add(counts: &mut [u32], place: u32, count: u32) {
    if let Some(held) = counts.get_mut(place as usize) {
        *held = held.saturating_add(count);
    }
}

fn take(counts: &mut [u32], place: u32) {
    if let Some(held) = counts.get_mut(place as usize) {
        *held = held.saturating_sub(1);
    }
}
