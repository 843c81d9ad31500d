//! Which old layers may resemble a new one: those of the same repository that the other side has, newest image first, and
//! then those of other repositories that were fetched from the same host.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use crate::oci::Digest;
use crate::upkeep::bundle::format::ImageKind;
use crate::upkeep::bundle::plan::{Plan, PlannedImage};
use crate::upkeep::bundle::walk::Role;

/// A shorter layer is not worth it.
const LEAST: u64 = 64 << 10;
/// So many layers of the same repository are compared with a new one.
const OWN: usize = 24;
/// And so many others: those whose length is nearest to its own.
const OTHERS: usize = 4;

/// A layer that the other side lacks, with old ones that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedLayer {
    pub digest: Digest,
    pub size: u64,
    /// Those that are likeliest first.
    pub candidates: Vec<Digest>,
}

/// What belongs together: whoever has one image of a repository may see the others here.
type Repository<'a> = (ImageKind, &'a str);

fn repository(planned: &PlannedImage) -> Repository<'_> {
    (planned.image.kind, &planned.repository)
}

/// Where else a cached image may have layers from. What was pushed belongs to its project alone.
fn host(repository: Repository<'_>) -> Option<&str> {
    match repository {
        (ImageKind::Cached, name) => name.split_once('/').map(|(host, _)| host),
        (ImageKind::Hosted, _) => None,
    }
}

impl Plan {
    /// All layers of all images.
    pub fn layers(&self) -> impl Iterator<Item = &Digest> {
        self.images.iter().flat_map(|planned| &planned.layers)
    }

    /// The layers that the other side does not have, each with those that it `has` and that may resemble it, which are
    /// layers of the images that are planned here and of `former` ones.
    pub fn changed_layers(&self, has: &HashSet<Digest>, former: &Self) -> Vec<ChangedLayer> {
        let known = OldLayers::of([former, self], has);
        let mut seen = HashSet::new();
        let mut changed = Vec::new();
        for planned in &self.images {
            for digest in &planned.layers {
                let part = self.parts.get(digest);
                let part = part.filter(|part| part.role == Role::Layer && part.size >= LEAST);
                let Some(part) = part.filter(|_| !has.contains(digest)) else {
                    continue;
                };
                if seen.insert(digest) {
                    let candidates = known.for_layer(repository(planned), part.size);
                    changed.push(ChangedLayer {
                        digest: digest.clone(),
                        size: part.size,
                        candidates,
                    });
                }
            }
        }
        changed.retain(|layer| !layer.candidates.is_empty());
        changed.sort_by(|one, other| one.digest.cmp(&other.digest));
        changed
    }
}

/// The layers that the other side has, of each repository, newest image first, with their sizes.
struct OldLayers<'a>(HashMap<Repository<'a>, Vec<(&'a Digest, u64)>>);

impl<'a> OldLayers<'a> {
    fn of(plans: [&'a Plan; 2], has: &HashSet<Digest>) -> Self {
        let mut images: Vec<_> = plans
            .into_iter()
            .flat_map(|plan| plan.images.iter().map(move |planned| (plan, planned)))
            .collect();
        images.sort_by_key(|(_, planned)| (Reverse(planned.image.time), &planned.image.name));
        let mut layers: HashMap<_, Vec<_>> = HashMap::new();
        let mut seen = HashSet::new();
        for (plan, planned) in images {
            let of = repository(planned);
            let old = planned.layers.iter().filter(|digest| has.contains(*digest));
            for digest in old {
                let part = plan.parts.get(digest);
                let size = part.map_or(0, |part| part.size);
                if size >= LEAST && seen.insert((of, digest)) {
                    layers.entry(of).or_default().push((digest, size));
                }
            }
        }
        Self(layers)
    }

    fn for_layer(&self, of: Repository<'_>, size: u64) -> Vec<Digest> {
        let own = self.0.get(&of).into_iter().flatten();
        let mut found: Vec<&Digest> = own.map(|(digest, _)| *digest).take(OWN).collect();
        let host = host(of);
        let others = self.0.iter();
        let others = others
            .filter(|(other, _)| **other != of && host.is_some() && self::host(**other) == host);
        let mut others: Vec<_> = others
            .flat_map(|(_, layers)| layers)
            .map(|(digest, other)| (other.abs_diff(size), *digest))
            .collect();
        others.sort_unstable();
        others.dedup();
        others.retain(|(_, digest)| !found.contains(digest));
        found.extend(others.into_iter().take(OTHERS).map(|(_, digest)| digest));
        found.into_iter().cloned().collect()
    }
}
