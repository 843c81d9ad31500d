//! Which platforms an index names, and which of its children belong to those that somebody wants.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::Manifest;
use crate::oci::{Digest, Platform};

/// By which annotation buildkit says what image of the index an attestation is of.
const ATTESTED: &str = "vnd.docker.reference.digest";

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Child>,
}

#[derive(Deserialize)]
struct Child {
    digest: String,
    platform: Option<ChildPlatform>,
    annotations: Option<BTreeMap<String, Value>>,
}

#[derive(Deserialize)]
struct ChildPlatform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl Child {
    /// Which image it is an attestation of, if it says that it is one.
    fn attested(&self) -> Option<&str> {
        self.annotations.as_ref()?.get(ATTESTED)?.as_str()
    }
}

impl ChildPlatform {
    /// As docker writes it: `linux/arm64/v8`.
    fn shown(&self) -> String {
        let variant = self.variant.iter();
        let variant: String = variant.map(|variant| format!("/{variant}")).collect();
        format!("{}/{}{variant}", self.os, self.architecture)
    }

    fn is_unknown(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }
}

/// The children of an index that somebody wants.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ChosenChildren {
    pub images: Vec<Digest>,
    /// What describes them, or the whole.
    pub attestations: Vec<Digest>,
    /// The platforms of the images that say theirs.
    pub platforms: Vec<String>,
    /// Wanted platforms that the index does not have.
    pub absent: Vec<Platform>,
}

/// The children of an index; none of what is no index.
fn children(bytes: &[u8]) -> impl Iterator<Item = (Digest, Child)> {
    let index: Option<Index> = serde_json::from_slice(bytes).ok();
    let children = index.into_iter().flat_map(|index| index.manifests);
    children.filter_map(|child| Some((Digest::parse(&child.digest).ok()?, child)))
}

impl Manifest {
    /// The children that are attestations, with the child that each is about.
    pub fn attestations(bytes: &[u8]) -> Vec<(Digest, Digest)> {
        let attestations = children(bytes)
            .filter_map(|(digest, child)| Some((digest, Digest::parse(child.attested()?).ok()?)));
        attestations.collect()
    }

    /// The platform of each child that has one, as docker writes it: `linux/arm64/v8`. None for what is no index.
    pub fn platforms(bytes: &[u8]) -> Vec<(Digest, String)> {
        let platforms = children(bytes)
            .filter_map(|(digest, child)| Some((digest, child.platform.as_ref()?.shown())));
        platforms.collect()
    }

    /// The children of an index for some platforms (none: for all), with the attestations of what is chosen. A child that
    /// names no platform is for all.
    pub fn choose(bytes: &[u8], wanted: &[Platform]) -> ChosenChildren {
        let mut chosen = ChosenChildren {
            absent: wanted.to_vec(),
            ..ChosenChildren::default()
        };
        let mut attestations = Vec::new();
        for (digest, child) in children(bytes) {
            let platform = match &child.platform {
                Some(platform) if platform.is_unknown() => {
                    attestations.push((digest, child));
                    continue;
                }
                platform => platform.as_ref().map(ChildPlatform::shown),
            };
            if let Some(shown) = platform {
                let platform = shown.parse::<Platform>().ok();
                let is_meant = |wanted: &Platform| {
                    platform
                        .as_ref()
                        .is_some_and(|there| wanted.includes(there))
                };
                if platform.is_some() && !wanted.is_empty() && !wanted.iter().any(is_meant) {
                    continue;
                }
                chosen.absent.retain(|wanted| !is_meant(wanted));
                chosen.platforms.push(shown);
            }
            chosen.images.push(digest);
        }
        for (digest, child) in attestations {
            let attested = child.attested();
            if attested.is_none_or(|of| chosen.images.iter().any(|image| image.as_str() == of)) {
                chosen.attestations.push(digest);
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attestations_go_with_what_they_are_of() {
        let digest = |name: &str| Digest::of(name.as_bytes());
        let child = |name: &str, rest: &str| {
            format!(r#"{{"digest": "{}", "size": 1{rest}}}"#, digest(name))
        };
        let platform = |os: &str, architecture: &str| {
            format!(r#", "platform": {{"os": "{os}", "architecture": "{architecture}"}}"#)
        };
        let attests = |name: &str| {
            let unknown = platform("unknown", "unknown");
            format!(
                r#"{unknown}, "annotations": {{"{ATTESTED}": "{}"}}"#,
                digest(name)
            )
        };
        let children = [
            child("amd", &platform("linux", "amd64")),
            child("arm", &platform("linux", "arm64")),
            child("of-amd", &attests("amd")),
            child("of-arm", &attests("arm")),
            child("of-all", &platform("unknown", "unknown")),
            child("bare", ""),
        ];
        let index = format!(r#"{{"manifests": [{}]}}"#, children.join(","));
        let wanted = ["linux/amd64", "linux/s390x"].map(|text| text.parse().unwrap());
        let digests = |names: &[&str]| names.iter().map(|name| digest(name)).collect::<Vec<_>>();
        assert_eq!(
            Manifest::choose(index.as_bytes(), &wanted),
            ChosenChildren {
                images: digests(&["amd", "bare"]),
                attestations: digests(&["of-amd", "of-all"]),
                platforms: vec!["linux/amd64".into()],
                absent: vec!["linux/s390x".parse().unwrap()],
            }
        );
        let all = Manifest::choose(index.as_bytes(), &[]);
        assert_eq!(all.images, digests(&["amd", "arm", "bare"]));
        assert_eq!(all.attestations, digests(&["of-amd", "of-arm", "of-all"]));
    }
}
