//! What goes into a bundle: which images can go, and which files each of them needs.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::Serialize;

use super::format::{
    BundleManifest, BundledBlob, BundledFile, BundledImage, BundledManifest, BundledReferrer,
    FORMAT, FORMAT_WITH_DELTAS, ImageKind,
};
use super::made::Bundle;
use super::walk::{Classic, Missing, Part, Role, Stop, Walk, Walked};
use super::writer::entry_bytes;
use super::{
    DOCKER_MANIFEST, Deltas, INDEX, LAYOUT, LAYOUT_TEXT, MANIFEST, MANIFEST_LIMIT, SIGNATURE,
    blob_entry, delta_entry, layout,
};
use crate::error::{Error, Kind, Result};
use crate::oci::{Digest, Platform};
use crate::store::{BlobDir, CarriedImage};
use crate::time::Timestamp;

/// The two zero blocks at the end of a tar.
const END_BYTES: u64 = 1024;
/// A signature is shorter than a block.
const SIGNATURE_BYTES: u64 = 512;

/// What the names of pushed images begin with on the command line.
const HOSTED: &str = "hosted:";

/// What would go, and what cannot.
#[derive(Debug, Default)]
pub struct Plan {
    pub(super) images: Vec<PlannedImage>,
    pub(super) parts: BTreeMap<Digest, Part>,
    pub left_out: Vec<LeftOut>,
    /// What is attached to images that go, and does not go with them because it is not whole here.
    pub broken_referrers: Vec<LeftOut>,
}

/// One name, with what it goes as.
#[derive(Debug)]
pub(super) struct PlannedImage {
    pub(super) image: BundledImage,
    pub(super) classic: Option<Classic>,
    /// The name without tag and digest.
    pub(super) repository: String,
    /// The layers of it and of what is attached to it.
    pub(super) layers: Vec<Digest>,
}

/// What cannot go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    pub name: String,
    pub why: String,
}

/// An image that is to go.
#[derive(Debug)]
pub struct WantedImage {
    pub image: CarriedImage,
    /// Of an index only these; all where none is said.
    pub platforms: Vec<Platform>,
}

/// What goes of these images. What was found damaged counts as not here.
///
/// # Errors
/// `Io`.
pub fn plan(blobs: &BlobDir, images: &[WantedImage], damaged: &BTreeSet<Digest>) -> Result<Plan> {
    let walk = Walk { blobs, damaged };
    let mut plan = Plan::default();
    let mut attached = HashSet::new();
    let mut walked = Vec::new();
    for WantedImage { image, platforms } in images {
        match walk.image(image, platforms) {
            Ok(all) => {
                let repository = image.image.name_without_tag();
                let referrers = all.referrers.iter();
                attached.extend(referrers.map(|(digest, tag)| {
                    let tag = tag.clone();
                    (
                        repository.clone(),
                        tag.unwrap_or_else(|| digest.to_string()),
                    )
                }));
                walked.push((image, all));
            }
            Err(Stop::Failed(error)) => return Err(error),
            Err(Stop::Missing(missing)) => plan.left_out.push(LeftOut {
                name: image.image.name(),
                why: why(&missing),
            }),
        }
    }
    for (image, all) in walked {
        let reference = image.image.tag.as_ref().unwrap_or(&image.image.digest);
        // It goes with what it is attached to, which says more of it than its name.
        if !attached.contains(&(image.image.name_without_tag(), reference.clone())) {
            plan.add(image, all)?;
        }
    }
    plan.images.sort_by(|one, other| {
        let key = |planned: &PlannedImage| (planned.image.name.clone(), planned.image.kind as u8);
        key(one).cmp(&key(other))
    });
    Ok(plan)
}

fn plain(name: &str) -> String {
    name.strip_prefix(HOSTED).unwrap_or(name).to_owned()
}

fn why(missing: &Missing) -> String {
    match missing {
        Missing::Damaged(digest) => {
            format!("its file {digest} is damaged or gone: see `breakwater verify --repair`")
        }
        Missing::NotHere(digest) => {
            format!("it is here in part only, {digest} is missing: pull all of it first")
        }
        Missing::NoPlatform => "no platform of it that was asked for is here".to_owned(),
    }
}

impl Plan {
    fn add(&mut self, image: &CarriedImage, walked: Walked) -> Result<()> {
        let CarriedImage { image, parts } = image;
        let size = walked.parts.values();
        let size = size.fold(0_u64, |sum, part| sum.saturating_add(part.size));
        let of_parts = parts
            .iter()
            .filter(|part| walked.parts.contains_key(&part.digest));
        let time = of_parts.map(|part| part.arrived_at).max();
        let name = image.name();
        for digest in &walked.broken_referrers {
            self.broken_referrers.push(LeftOut {
                name: name.clone(),
                why: format!("{digest}, which is attached to it, is here in part only"),
            });
        }
        let platforms = walked.platforms.into_iter();
        let mut referrers: Vec<_> = walked
            .referrers
            .into_iter()
            .map(|(digest, tag)| BundledReferrer { digest, tag })
            .collect();
        referrers.sort();
        let layers = walked.parts.iter();
        let layers = layers.filter(|(_, part)| part.role == Role::Layer);
        let layers = layers.map(|(digest, _)| digest.clone()).collect();
        let classic = walked.classic;
        let of_amd64 = classic.iter().find(|image| image.is_amd64);
        self.images.push(PlannedImage {
            classic: of_amd64.or(classic.first()).cloned(),
            repository: plain(&image.name_without_tag()),
            layers,
            image: BundledImage {
                name: plain(&name),
                kind: match image.upstream {
                    Some(_) => ImageKind::Cached,
                    None => ImageKind::Hosted,
                },
                digest: Digest::parse(&image.digest)?,
                media_type: image.media_type.clone(),
                platforms: platforms.collect(),
                absent_platforms: walked.absent.into_iter().collect(),
                size,
                time: image.confirmed_at.max(time.unwrap_or(image.fetched_at)),
                referrers,
            },
        });
        for (digest, part) in walked.parts {
            let known = self.parts.get(&digest);
            if known.is_none_or(|known| part.role < known.role) {
                self.parts.insert(digest, part);
            }
        }
        Ok(())
    }

    /// Whether nothing can go.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// Every manifest and blob, sorted.
    pub fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.parts.keys()
    }

    /// Whether it is a blob of the bundle: those the other side may have.
    pub fn has_blob(&self, digest: &Digest) -> bool {
        let part = self.parts.get(digest);
        part.is_some_and(|part| !part.role.is_manifest())
    }

    /// The bundle: without the blobs that the other side has, and with the deltas of layers where there are any. What was pushed is named as of `host` where that counts, so
    /// that docker does not take it for an image of Docker Hub.
    ///
    /// # Errors
    /// `Internal`.
    pub fn bundle(
        &self,
        had: &HashSet<Digest>,
        deltas: Option<&Deltas<'_>>,
        maker: &str,
        host: &str,
        is_signed: bool,
    ) -> Result<Bundle> {
        let deltas = deltas.map(|deltas| deltas.carried(self.digests()));
        let (deltas, carried) = deltas.transpose()?.unwrap_or_default();
        let changed = deltas.iter().map(|delta| &delta.digest);
        let left_out: HashSet<&Digest> = had.iter().chain(changed).collect();
        let index = layout::index(self, host)?;
        let docker_manifest = layout::docker_manifest(self, &left_out, host)?;
        let mut parts: Vec<_> = self.parts.iter().collect();
        parts.sort_by_key(|(digest, part)| (part.role, *digest));
        let (manifests, blobs): (Vec<_>, Vec<_>) = parts
            .into_iter()
            .partition(|(_, part)| part.role.is_manifest());
        let file = |name: &str, bytes: &[u8]| BundledFile {
            name: name.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
        };
        let relies_on = blobs.iter().filter(|(digest, _)| had.contains(*digest));
        let times = self.images.iter().map(|planned| planned.image.time);
        let mut manifest = BundleManifest {
            format: match deltas.is_empty() {
                true => FORMAT,
                false => FORMAT_WITH_DELTAS,
            },
            maker: maker.to_owned(),
            time: times.max().unwrap_or(Timestamp(0)),
            size: 0,
            images: self
                .images
                .iter()
                .map(|planned| planned.image.clone())
                .collect(),
            files: vec![
                file(LAYOUT, LAYOUT_TEXT.as_bytes()),
                file(INDEX, &index),
                file(DOCKER_MANIFEST, &docker_manifest),
            ],
            relies_on: relies_on.map(|(digest, _)| (*digest).clone()).collect(),
            manifests: manifests
                .into_iter()
                .map(|(digest, part)| BundledManifest {
                    digest: digest.clone(),
                    media_type: part.media_type.map_or("", |of| of.as_str()).to_owned(),
                    size: part.size,
                })
                .collect(),
            blobs: blobs
                .into_iter()
                .map(|(digest, part)| BundledBlob {
                    digest: digest.clone(),
                    size: part.size,
                    in_bundle: !left_out.contains(digest),
                })
                .collect(),
            deltas,
        };
        manifest.relies_on.sort();
        set_size(&mut manifest, is_signed)?;
        Ok(Bundle {
            manifest,
            index,
            docker_manifest,
            signature: None,
            deltas: carried,
        })
    }
}

/// Says how long the tar will be, in which that number stands itself: a longer one can make it longer.
fn set_size(manifest: &mut BundleManifest, is_signed: bool) -> Result<()> {
    let files = manifest
        .files
        .iter()
        .map(|file| entry_bytes(&file.name, file.size));
    let manifests = manifest
        .manifests
        .iter()
        .map(|part| (&part.digest, part.size));
    let blobs = manifest.blobs.iter().filter(|blob| blob.in_bundle);
    let blobs = manifests.chain(blobs.map(|blob| (&blob.digest, blob.size)));
    let blobs = blobs.map(|(digest, size)| entry_bytes(&blob_entry(digest), size));
    let deltas = manifest.deltas.iter();
    let deltas = deltas.map(|delta| entry_bytes(&delta_entry(&delta.digest), delta.size));
    let mut others = files
        .chain(blobs)
        .chain(deltas)
        .fold(END_BYTES, u64::saturating_add);
    if is_signed {
        others = others.saturating_add(entry_bytes(SIGNATURE, SIGNATURE_BYTES));
    }
    loop {
        let length = super::made::length(manifest)?;
        if length > MANIFEST_LIMIT {
            let what = "so many files in one bundle are more than can be read again";
            return Err(
                Error::new(Kind::Usage, what).remedy("export these images in several bundles")
            );
        }
        let size = others.saturating_add(entry_bytes(MANIFEST, length));
        if size == manifest.size {
            return Ok(());
        }
        manifest.size = size;
    }
}
