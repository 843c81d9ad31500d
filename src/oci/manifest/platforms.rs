//! Which platforms an index names.

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
}

#[derive(Deserialize)]
struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl Manifest {
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
