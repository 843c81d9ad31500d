//! What is known of each manifest before anything goes: what it is needed by, how it was used, and why it stays.

use std::time::Duration;

use super::bytes::add;
use super::{Goal, Plan, Planning, Question, Stays};
use crate::store::{Frequency, Inventory, InventoryManifest, Scope};

/// What was pulled or fetched so lately is being pulled: its layers may still be asked for.
const BUSY: Duration = Duration::from_secs(10 * 60);
/// And so lately, where something of its repository is being fetched: the pull may wait for that.
const BUSY_WHILE_FETCHED: Duration = Duration::from_secs(6 * 60 * 60);
/// How much longer than the index a part of it must not have been pulled to go by itself.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 60 * 60);
/// In which order images go, before their worth: what the upstream cannot give again goes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Usual,
    Gone,
    Away,
    AwayAndGone,
}

/// What is known of a manifest while a plan is made.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) is_in_scope: bool,
    pub(super) is_pinned: bool,
    pub(super) is_gone: bool,
    pub(super) is_away: bool,
    /// Whether something of its repository is being fetched.
    pub(super) is_filled: bool,
    /// Whether its subject is here: it goes with it.
    pub(super) is_attached: bool,
    /// Manifests that need it and have not gone.
    pub(super) parents: Vec<usize>,
    /// Its pulls and those of its parts.
    pub(super) used: Frequency,
    pub(super) has_gone: bool,
}

impl<'a> Planning<'a> {
    pub(super) fn new(inventory: &'a Inventory, question: &'a Question<'a>) -> Self {
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
                is_filled: inventory
                    .repositories
                    .get(manifest.repository)
                    .is_some_and(|repository| question.filled.contains(&repository.id)),
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

    pub(super) fn stays(&self, manifest: usize) -> Option<Stays> {
        let node = self.nodes.get(manifest)?;
        let is_unused = matches!(self.question.goal, Goal::PulledBefore(_));
        if node.is_pinned {
            Some(Stays::Pinned)
        } else if self.is_part(node) {
            Some(Stays::Part)
        } else if self.is_busy(node) {
            Some(Stays::Busy)
        } else if node.is_away && (!self.question.is_hard || is_unused) {
            Some(Stays::Away)
        } else if node.is_gone && is_unused {
            Some(Stays::Gone)
        } else {
            None
        }
    }

    fn is_busy(&self, node: &Node) -> bool {
        let busy = match node.is_filled {
            true => BUSY_WHILE_FETCHED,
            false => BUSY,
        };
        self.question.now.since(node.used.at) < busy
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

    pub(super) fn rank(node: &Node) -> Rank {
        match (node.is_away, node.is_gone) {
            (false, false) => Rank::Usual,
            (false, true) => Rank::Gone,
            (true, false) => Rank::Away,
            (true, true) => Rank::AwayAndGone,
        }
    }
}

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
