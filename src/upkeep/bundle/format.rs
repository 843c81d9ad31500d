//! `breakwater-bundle.json`: what is in a bundle, for whoever imports it and for the carrier's paperwork.
//!
//! A bundle is made by one version and read by another, so fields are only ever added, and a reader passes over those that
//! it does not know. A change that a reader must know of raises [`FORMAT`].

use std::collections::HashMap;
use std::io::{Read, Write};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::oci::Digest;
use crate::time::Timestamp;
use crate::words::words;

/// The version of the format of bundles without deltas, so that older versions of the program read them.
pub const FORMAT: u32 = 1;
/// That of bundles with deltas, and the newest one that is read.
pub const FORMAT_WITH_DELTAS: u32 = 2;

/// What is in a bundle. Everything that a signature of it has to cover stands in it by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleManifest {
    pub format: u32,
    /// The program that made it, with its version.
    pub maker: String,
    /// The newest time at which anything in it was fetched, confirmed or pushed. When the bundle was made is not in it, so
    /// that the same content gives the same bytes; the signature's comment says it.
    pub time: Timestamp,
    /// Bytes of the tar.
    pub size: u64,
    /// By name.
    pub images: Vec<BundledImage>,
    /// The entries that are no blobs, in their order: all but this one and its signature.
    pub files: Vec<BundledFile>,
    /// Every manifest, in the order of the entries: indexes, then others, each by digest. All of them are in the bundle.
    pub manifests: Vec<BundledManifest>,
    /// Every config and layer, in the order of the entries: configs, then layers, each by digest.
    pub blobs: Vec<BundledBlob>,
    /// The blobs that are not in the bundle, because the other side said that it has them.
    pub relies_on: Vec<Digest>,
    /// The layers of which only what has changed is in the bundle, by digest. Of these `in_bundle` is false.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deltas: Vec<BundledDelta>,
}

words! {
    "snake_case"
    /// Where an image was.
    pub enum ImageKind {
        /// Fetched from an upstream: its name is `HOST/NAME:TAG` or `HOST/NAME@DIGEST`.
        Cached,
        /// Pushed to the box: its name is `PATH:TAG` or `PATH@DIGEST`.
        Hosted,
    }
}

/// One name of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundledImage {
    pub name: String,
    pub kind: ImageKind,
    pub digest: Digest,
    pub media_type: String,
    /// Of an index the platforms whose images are in the bundle, as docker writes them.
    pub platforms: Vec<String>,
    /// Of an index the platforms that it names and the bundle does not have.
    pub absent_platforms: Vec<String>,
    /// Bytes of all that it consists of, with what is attached to it and what it relies on.
    pub size: u64,
    /// When it was last fetched or confirmed, or pushed.
    pub time: Timestamp,
    /// What is attached to it: signatures, attestations. These are manifests of the same repository.
    pub referrers: Vec<BundledReferrer>,
}

/// A manifest that is attached to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BundledReferrer {
    pub digest: Digest,
    /// The tag that says what it is attached to, such as `sha256-HEX.sig`; null where its `subject` does.
    pub tag: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundledFile {
    pub name: String,
    pub digest: Digest,
    pub size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundledManifest {
    pub digest: Digest,
    pub media_type: String,
    pub size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundledBlob {
    pub digest: Digest,
    pub size: u64,
    pub in_bundle: bool,
}

/// What has changed in a layer. With it the other side makes the layer again, byte by byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundledDelta {
    /// Of the layer.
    pub digest: Digest,
    /// The digest and the size of the delta's entry.
    pub delta: Digest,
    pub size: u64,
    /// The compressor that has written the layer, as `recreate` calls it, with its version.
    pub model: String,
    pub version: u32,
    /// The old layers that the other side must have.
    pub references: Vec<DeltaReference>,
}

/// An old layer that a new one is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeltaReference {
    pub digest: Digest,
    /// Bytes of what is in it.
    pub plain_size: u64,
}

impl BundleManifest {
    /// Reads it.
    ///
    /// # Errors
    /// `BadRequest` for what is none, or of a format that this version does not know.
    pub fn read(from: impl Read) -> Result<Self> {
        let not_ours = |error| {
            Error::new(Kind::BadRequest, "breakwater-bundle.json cannot be read").because(error)
        };
        let manifest: Self = serde_json::from_reader(from).map_err(not_ours)?;
        if !(FORMAT..=FORMAT_WITH_DELTAS).contains(&manifest.format) {
            let what = format!(
                "the bundle is of format {}, made by {}, and {FORMAT_WITH_DELTAS} is the newest that is read here",
                manifest.format, manifest.maker
            );
            return Err(Error::new(Kind::BadRequest, what)
                .remedy("use the same version on both sides, or a newer one here"));
        }
        Ok(manifest)
    }

    /// Writes it as it stands in a bundle.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write(&self, mut to: impl Write) -> std::io::Result<()> {
        serde_json::to_writer_pretty(&mut to, self).map_err(std::io::Error::from)?;
        to.write_all(b"\n")
    }

    /// Bytes of the blobs that are in the bundle whole.
    pub fn carried_bytes(&self) -> u64 {
        let carried = self.blobs.iter().filter(|blob| blob.in_bundle);
        carried.fold(0, |sum, blob| sum.saturating_add(blob.size))
    }

    /// Bytes of the deltas, and of the layers that travel as these.
    pub fn delta_bytes(&self) -> (u64, u64) {
        let sizes: HashMap<_, _> = self
            .blobs
            .iter()
            .map(|blob| (&blob.digest, blob.size))
            .collect();
        self.deltas.iter().fold((0, 0), |(bytes, whole), delta| {
            let layer = sizes.get(&delta.digest).copied().unwrap_or_default();
            (
                bytes.saturating_add(delta.size),
                layer.saturating_add(whole),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_another_format_is_refused() {
        let digest = Digest::of(b"x");
        let manifest = BundleManifest {
            format: FORMAT,
            maker: "breakwater 1.2.3".to_owned(),
            time: Timestamp(1_795_392_000),
            size: 10_240,
            images: vec![BundledImage {
                name: "docker.io/library/alpine:3.20".to_owned(),
                kind: ImageKind::Cached,
                digest: digest.clone(),
                media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
                platforms: vec!["linux/amd64".to_owned()],
                absent_platforms: vec!["linux/arm64/v8".to_owned()],
                size: 1,
                time: Timestamp(1_795_392_000),
                referrers: vec![BundledReferrer {
                    digest: digest.clone(),
                    tag: None,
                }],
            }],
            files: Vec::new(),
            manifests: Vec::new(),
            blobs: vec![BundledBlob {
                digest: digest.clone(),
                size: 1,
                in_bundle: false,
            }],
            relies_on: vec![digest],
            deltas: Vec::new(),
        };
        let mut text = Vec::new();
        manifest.write(&mut text).unwrap();
        assert_eq!(BundleManifest::read(text.as_slice()).unwrap(), manifest);
        let text = String::from_utf8(text).unwrap();
        for part in [
            "\"format\": 1,\n",
            "\"kind\": \"cached\"",
            "\"time\": \"2026-11-23T00:00:00Z\"",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(!text.contains("deltas"), "{text}");
        let later = text.replacen("\"format\": 1", "\"format\": 3", 1);
        let refused = BundleManifest::read(later.as_bytes()).unwrap_err();
        assert!(refused.to_string().contains("of format 3"), "{refused}");
        // A field of a later version that this one need not know.
        let more = text.replacen('{', "{\"more\": 1,", 1);
        assert_eq!(BundleManifest::read(more.as_bytes()).unwrap(), manifest);
    }
}
