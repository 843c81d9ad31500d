//! Which platforms an index names, and which of its children are about other ones.

use std::collections::HashMap;

use serde::Deserialize;

use super::Manifest;
use crate::oci::Digest;

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Child>,
}

#[derive(Deserialize)]
struct Child {
    digest: String,
    platform: Option<Platform>,
    annotations: Option<HashMap<String, String>>,
}

#[derive(Deserialize)]
struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

/// How BuildKit says which image of the index an attestation is about.
const ATTESTED: &str = "vnd.docker.reference.digest";

impl Manifest {
    /// The children that are attestations, with the child that each is about.
    pub fn attestations(bytes: &[u8]) -> Vec<(Digest, Digest)> {
        let index: Option<Index> = serde_json::from_slice(bytes).ok();
        let children = index.into_iter().flat_map(|index| index.manifests);
        let attestations = children.filter_map(|child| {
            let of = Digest::parse(child.annotations?.get(ATTESTED)?).ok()?;
            Some((Digest::parse(&child.digest).ok()?, of))
        });
        attestations.collect()
    }

    /// The platform of each child that has one, as docker writes it: `linux/arm64/v8`. None for what is no index.
    pub fn platforms(bytes: &[u8]) -> Vec<(Digest, String)> {
        let index: Option<Index> = serde_json::from_slice(bytes).ok();
        let children = index.into_iter().flat_map(|index| index.manifests);
        let platforms = children.filter_map(|child| {
            let Platform {
                os,
                architecture,
                variant,
            } = child.platform?;
            let variant = variant
                .map(|variant| format!("/{variant}"))
                .unwrap_or_default();
            let digest = Digest::parse(&child.digest).ok()?;
            Some((digest, format!("{os}/{architecture}{variant}")))
        });
        platforms.collect()
    }
}
