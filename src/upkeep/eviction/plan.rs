//! What goes next, and what it frees: a pure question to an [`Inventory`].
//!
//! The unit is the image: a manifest with what only it needs, under all its tags. A manifest of an index that nobody has
//! pulled for a day longer than the index goes by itself. What is attached to an image, as signatures are, goes with it.
//! Worth is asked again when an image's turn comes, because what its going frees depends on what went before.

mod bytes;
mod explain;
mod nodes;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::time::Duration;

use super::order::worth;
use crate::oci::RegistryHost;
use crate::store::{Inventory, RepositoryId, Scope};
use crate::time::Timestamp;
use crate::words::words;
use bytes::take;
use nodes::{Node, Rank};

pub use explain::{Explained, explain, explain_all};

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
#[derive(Clone)]
pub struct Question<'a> {
    pub now: Timestamp,
    pub scope: Scope,
    pub goal: Goal,
    pub is_pinned: &'a dyn Fn(&str) -> bool,
    /// Repositories that something is being fetched for.
    pub filled: HashSet<RepositoryId>,
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
        /// It was pulled or fetched in the last minutes, or in the last hours and something of its repository is being fetched.
        Busy,
        /// Its upstream does not answer, or may not be asked.
        Away,
        /// The upstream does not have it any more: it does not go for want of pulls.
        Gone,
        /// It is a part of an image, and goes with it.
        Part,
    }
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

struct Planning<'a> {
    inventory: &'a Inventory,
    question: &'a Question<'a>,
    nodes: Vec<Node>,
    /// How many needs there are for each blob: of everybody, and of what is in scope.
    held: Vec<u32>,
    held_in_scope: Vec<u32>,
    plan: Plan,
}

impl Planning<'_> {
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
