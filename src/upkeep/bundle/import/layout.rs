//! An OCI image layout in a tar: `skopeo copy … oci-archive:`, `podman save --format oci-archive`, and `docker save` since
//! version 25.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use super::source::Source;
use super::tar::Entries;
use super::{Archive, Form, ImportedImage, MAX_DOCUMENT, canonical, document, json, refuse_links};
use crate::error::{Error, Kind, Result};
use crate::oci::{Digest, Tag};
use crate::upkeep::bundle::{INDEX, ImageKind, LAYOUT};

/// What an image is called, in full.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// The same, or a tag alone.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

#[derive(Deserialize)]
struct Layout {
    #[serde(rename = "imageLayoutVersion")]
    version: String,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: Option<String>,
    digest: Digest,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

pub(super) fn open<'a>(source: &'a dyn Source, entries: Entries) -> Result<Archive<'a>> {
    refuse_links(&entries)?;
    let read = |name: &str| match entries.get(name) {
        Some(entry) => document(source, entry, name, MAX_DOCUMENT),
        None => Ok(Vec::new()),
    };
    let layout: Layout = json(&read(LAYOUT)?, LAYOUT)?;
    if !layout.version.starts_with("1.") {
        let what = format!(
            "the archive is an image layout of version {}, and 1 is the one that is known",
            layout.version
        );
        return Err(
            Error::new(Kind::ManifestInvalid, what).remedy("export it with another program")
        );
    }
    let index = read(INDEX)?;
    let id = Digest::of(&index);
    let index: Index = json(&index, INDEX)?;
    let images = index.manifests.into_iter().map(|descriptor| {
        Ok(ImportedImage {
            name: name_of(&descriptor)?,
            kind: ImageKind::Cached,
            digest: descriptor.digest,
            media_type: descriptor.media_type,
            referrers: Vec::new(),
        })
    });
    Ok(Archive {
        source,
        form: Form::Layout,
        id,
        images: images.collect::<Result<_>>()?,
        signed_by: None,
        files: blobs(entries),
        deltas: HashMap::new(),
        made: HashMap::new(),
    })
}

/// The files below `blobs/`, by their digest; what has another name there is not looked at.
fn blobs(entries: Entries) -> HashMap<Digest, super::Entry> {
    let blobs = entries.into_iter().filter_map(|(name, entry)| {
        let (algorithm, hex) = name.strip_prefix("blobs/")?.split_once('/')?;
        Some((Digest::parse(&format!("{algorithm}:{hex}")).ok()?, entry))
    });
    blobs.collect()
}

/// Empty where the archive does not say it: a tag alone is no name.
fn name_of(descriptor: &Descriptor) -> Result<String> {
    let said = |key: &str| descriptor.annotations.as_ref()?.get(key);
    let is_tag = |name: &&String| Tag::parse(name).is_ok();
    let name = said(CONTAINERD_NAME).or_else(|| said(REF_NAME).filter(|name| !is_tag(name)));
    name.map_or_else(|| Ok(String::new()), |name| canonical(name))
}
