//! The two lists by which other programs find the images of a bundle: `index.json` of an OCI image layout, and docker's
//! `manifest.json`.
//!
//! skopeo and podman find an image by `org.opencontainers.image.ref.name`, which is compared letter by letter with what
//! stands behind `oci-archive:FILE:`; containerd and docker find it by `io.containerd.image.name`. Both are the whole name.
//! podman takes an archive with several names for docker's, so `podman load` reads `manifest.json` too. The names in it are
//! whole, although docker itself writes `alpine:3.20`: podman would make `localhost/alpine:3.20` of that.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::Serialize;

use super::blob_entry;
use super::format::ImageKind;
use super::plan::{Plan, PlannedImage};
use crate::error::{Error, Result};
use crate::oci::{Digest, MediaType};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<Descriptor<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    media_type: &'a str,
    digest: &'a Digest,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<Annotations>,
}

#[derive(Serialize)]
struct Annotations {
    #[serde(rename = "io.containerd.image.name")]
    image: String,
    #[serde(rename = "org.opencontainers.image.ref.name")]
    reference: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// The text of `index.json`.
pub(super) fn index(plan: &Plan, host: &str) -> Result<Vec<u8>> {
    let mut named: BTreeMap<String, &Digest> = BTreeMap::new();
    let mut unnamed: BTreeSet<&Digest> = BTreeSet::new();
    for planned in &plan.images {
        named.insert(whole_name(planned, host), &planned.image.digest);
        for referrer in &planned.image.referrers {
            match &referrer.tag {
                Some(tag) => {
                    let name = format!("{}:{tag}", whole_repository(planned, host));
                    named.insert(name, &referrer.digest);
                }
                None => {
                    unnamed.insert(&referrer.digest);
                }
            }
        }
    }
    let with_tag: HashSet<&Digest> = named.values().copied().collect();
    let named = named.into_iter().map(|(name, digest)| (Some(name), digest));
    let unnamed = unnamed
        .into_iter()
        .filter(|digest| !with_tag.contains(digest));
    let descriptors = named.chain(unnamed.map(|digest| (None, digest)));
    let descriptors = descriptors.filter_map(|(name, digest)| {
        let part = plan.parts.get(digest)?;
        Some(Descriptor {
            media_type: part.media_type?.as_str(),
            digest,
            size: part.size,
            annotations: name.map(|name| Annotations {
                image: name.clone(),
                reference: name,
            }),
        })
    });
    json(&Index {
        schema_version: 2,
        media_type: MediaType::OciIndex.as_str(),
        manifests: descriptors.collect(),
    })
}

/// The text of `manifest.json`: what is whole without what is left out.
pub(super) fn docker_manifest(
    plan: &Plan,
    left_out: &HashSet<&Digest>,
    host: &str,
) -> Result<Vec<u8>> {
    let mut images: BTreeMap<(&Digest, &[Digest]), BTreeSet<String>> = BTreeMap::new();
    for planned in &plan.images {
        let Some(classic) = &planned.classic else {
            continue;
        };
        let mut files = std::iter::once(&classic.config).chain(&classic.layers);
        if files.any(|digest| left_out.contains(digest)) {
            continue;
        }
        let names = images
            .entry((&classic.config, &classic.layers))
            .or_default();
        if !planned.image.name.contains('@') {
            names.insert(whole_name(planned, host));
        }
    }
    let images: Vec<_> = images
        .into_iter()
        .map(|((config, layers), names)| DockerImage {
            config: blob_entry(config),
            repo_tags: Some(names.into_iter().collect()).filter(|names: &Vec<_>| !names.is_empty()),
            layers: layers.iter().map(blob_entry).collect(),
        })
        .collect();
    json(&images)
}

fn whole_repository(planned: &PlannedImage, host: &str) -> String {
    match planned.image.kind {
        ImageKind::Cached => planned.repository.clone(),
        ImageKind::Hosted => format!("{host}/{}", planned.repository),
    }
}

fn whole_name(planned: &PlannedImage, host: &str) -> String {
    let repository = whole_repository(planned, host);
    let rest = planned.image.name.strip_prefix(&planned.repository);
    format!("{repository}{}", rest.unwrap_or_default())
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::internal("a list is no JSON").because(error))
}
