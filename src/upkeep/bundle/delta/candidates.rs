//! Which old layers may resemble a new one: those of the same repository that the other side has, newest image first, and
//! then those of other repositories that were fetched from the same host.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

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
        let mut new: BTreeMap<&Digest, (u64, Vec<Repository<'_>>)> = BTreeMap::new();
        for planned in &self.images {
            for digest in &planned.layers {
                let part = self.parts.get(digest);
                let part = part.filter(|part| part.role == Role::Layer && part.size >= LEAST);
                let Some(part) = part.filter(|_| !has.contains(digest)) else {
                    continue;
                };
                let (_, repositories) = new.entry(digest).or_insert((part.size, Vec::new()));
                if !repositories.contains(&repository(planned)) {
                    repositories.push(repository(planned));
                }
            }
        }
        let changed = new
            .into_iter()
            .filter_map(|(digest, (size, repositories))| {
                let mut candidates = known.for_layer(*repositories.first()?, size);
                // There it is made for each of its images, from what is there for that image.
                candidates.retain(|old| repositories.iter().all(|of| known.is_seen_by(*of, old)));
                let digest = digest.clone();
                (!candidates.is_empty()).then_some(ChangedLayer {
                    digest,
                    size,
                    candidates,
                })
            });
        changed.collect()
    }
}

/// Whether whoever has an image of the one may have layers from the other.
fn is_near(one: Repository<'_>, other: Repository<'_>) -> bool {
    one == other || host(one).is_some() && host(one) == host(other)
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

    /// Whether an old layer is one of a repository, or of one near it.
    fn is_seen_by(&self, of: Repository<'_>, layer: &Digest) -> bool {
        let mut near = self.0.iter().filter(|(other, _)| is_near(of, **other));
        near.any(|(_, layers)| layers.iter().any(|(digest, _)| *digest == layer))
    }

    fn for_layer(&self, of: Repository<'_>, size: u64) -> Vec<Digest> {
        let own = self.0.get(&of).into_iter().flatten();
        let mut found: Vec<&Digest> = own.map(|(digest, _)| *digest).take(OWN).collect();
        let others = self.0.iter();
        let others = others.filter(|(other, _)| **other != of && is_near(of, **other));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;
    use crate::upkeep::bundle::format::BundledImage;
    use crate::upkeep::bundle::walk::Part;

    fn layer(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    /// Images by kind, repository and layers.
    fn plan(images: &[(ImageKind, &str, &[&str])]) -> Plan {
        let mut plan = Plan::default();
        for (kind, repository, layers) in images {
            let layers: Vec<Digest> = layers.iter().map(|name| layer(name)).collect();
            plan.parts.extend(layers.iter().map(|digest| {
                let part = Part {
                    role: Role::Layer,
                    size: LEAST,
                    media_type: None,
                };
                (digest.clone(), part)
            }));
            plan.images.push(PlannedImage {
                image: BundledImage {
                    name: format!("{repository}:1"),
                    kind: *kind,
                    digest: layer(repository),
                    media_type: String::new(),
                    platforms: Vec::new(),
                    absent_platforms: Vec::new(),
                    size: 0,
                    time: Timestamp(0),
                    referrers: Vec::new(),
                },
                classic: None,
                repository: (*repository).to_owned(),
                layers,
            });
        }
        plan
    }

    #[test]
    fn a_layer_of_several_images_is_made_from_what_is_there_for_each_of_them() {
        use ImageKind::{Cached, Hosted};
        let former = plan(&[
            (Hosted, "acme/api", &["old of acme"]),
            (Hosted, "beta/web", &["old of beta", "old of both"]),
            (Hosted, "acme/app", &["old of both"]),
            (Cached, "docker.io/library/a", &["old of hub"]),
            (Cached, "quay.io/b", &["old of quay"]),
        ]);
        let has = [
            "old of acme",
            "old of beta",
            "old of both",
            "old of hub",
            "old of quay",
        ];
        let has = has.into_iter().map(layer).collect();
        let candidates = |images: &[(ImageKind, &str, &[&str])]| {
            let changed = plan(images).changed_layers(&has, &former);
            changed.into_iter().flat_map(|layer| layer.candidates)
        };
        let of = |images: &[_]| candidates(images).collect::<Vec<_>>();
        let new: &[&str] = &["new"];
        assert_eq!(of(&[(Hosted, "acme/api", new)]), [layer("old of acme")]);
        let both = [(Hosted, "acme/app", new), (Hosted, "beta/web", new)];
        assert_eq!(of(&both), [layer("old of both")]);
        assert_eq!(
            of(&[(Hosted, "acme/api", new), (Hosted, "beta/web", new)]),
            []
        );
        assert_eq!(
            of(&[
                (Hosted, "acme/api", new),
                (Cached, "docker.io/library/a", new)
            ]),
            []
        );
        // Of the same host they are had from one another.
        assert_eq!(
            of(&[(Cached, "docker.io/library/c", new)]),
            [layer("old of hub")]
        );
        let two = [
            (Cached, "docker.io/library/a", new),
            (Cached, "docker.io/library/c", new),
        ];
        assert_eq!(of(&two), [layer("old of hub")]);
        assert_eq!(
            of(&[
                (Cached, "docker.io/library/a", new),
                (Cached, "quay.io/b", new)
            ]),
            []
        );
    }
}
