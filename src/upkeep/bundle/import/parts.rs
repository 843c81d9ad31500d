//! What an image consists of, read from its manifests, and which of that lies in the archive.

use std::collections::{HashMap, HashSet};

use super::{Archive, ImportedImage, changed};
use crate::error::{Error, Kind, Result};
use crate::oci::{Digest, Manifest, MediaType};

/// An index names images, and seldom another index.
const MAX_DEPTH: usize = 4;

/// What an image consists of.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ImageParts {
    /// The manifests that are in the archive: those of absent platforms are not in here.
    pub manifests: Vec<Digest>,
    /// Configs and layers, with their sizes, wherever they are.
    pub blobs: Vec<(Digest, u64)>,
}

/// A file to be copied from the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToStage {
    pub digest: Digest,
    pub size: u64,
}

impl Archive<'_> {
    /// What an image and what is attached to it consist of.
    ///
    /// # Errors
    /// `ManifestInvalid` where a manifest is missing or is none, or a file has not the size that a manifest says; `Io` for one
    /// that was changed.
    pub fn parts_of(&self, image: &ImportedImage) -> Result<ImageParts> {
        let mut parts = ImageParts::default();
        let mut seen = HashSet::new();
        let referrers = image
            .referrers
            .iter()
            .map(|referrer| (&referrer.digest, None));
        let own = [(&image.digest, image.media_type.as_deref())];
        for (digest, media_type) in own.into_iter().chain(referrers) {
            let is_there = self.add(digest, media_type, MAX_DEPTH, &mut parts, &mut seen);
            if !is_there.map_err(|error| error.context(&image.name))? {
                let what = format!("the archive lacks the manifest {digest} of {}", image.name);
                return Err(Error::new(Kind::ManifestInvalid, what).remedy("export it again"));
            }
        }
        Ok(parts)
    }

    /// Adds a manifest with what is below it; false where it is not in the archive.
    fn add(
        &self,
        digest: &Digest,
        media_type: Option<&str>,
        depth: usize,
        parts: &mut ImageParts,
        seen: &mut HashSet<Digest>,
    ) -> Result<bool> {
        let Some(bytes) = self.manifest(digest)? else {
            return Ok(false);
        };
        if !seen.insert(digest.clone()) {
            return Ok(true);
        }
        let invalid =
            |what: String| Error::new(Kind::ManifestInvalid, what).remedy("export it again");
        let manifest = Manifest::parse(&bytes, media_type.and_then(MediaType::parse))?;
        parts.manifests.push(digest.clone());
        let below = depth.checked_sub(1);
        let mut has_platform = manifest.manifests.is_empty();
        for child in &manifest.manifests {
            let Some(below) = below else {
                return Err(invalid(format!(
                    "the index {digest} lies too deep in others"
                )));
            };
            let media_type = Some(child.media_type.as_str());
            has_platform |= self.add(&child.digest, media_type, below, parts, seen)?;
        }
        if !has_platform {
            let what = format!("the archive has none of the images that the index {digest} names");
            return Err(invalid(what));
        }
        for blob in &manifest.blobs {
            let place = self.files.get(&blob.digest);
            if place.is_some_and(|place| place.size != blob.size) {
                return Err(changed(self.source, &format!("the blob {}", blob.digest)));
            }
            let is_there = place.is_some() || self.deltas.contains_key(&blob.digest);
            // A foreign layer is had elsewhere.
            if (is_there || !blob.is_foreign()) && seen.insert(blob.digest.clone()) {
                parts.blobs.push((blob.digest.clone(), blob.size));
            }
        }
        Ok(true)
    }
}

/// What is to be copied: all manifests, and those blobs that an image needs and this box has not for it. Each once, in the
/// order in which they lie in the archive.
pub fn to_stage<'p>(
    archive: &Archive<'_>,
    parts: impl IntoIterator<Item = (&'p ImageParts, &'p HashSet<Digest>)>,
) -> Vec<ToStage> {
    let mut sizes: HashMap<&Digest, u64> = HashMap::new();
    for (parts, absent) in parts {
        for manifest in &parts.manifests {
            let made = archive.made.get(manifest).map(|made| made.len() as u64);
            let place = archive.files.get(manifest).map(|place| place.size);
            sizes.extend(made.or(place).map(|size| (manifest, size)));
        }
        let blobs = parts
            .blobs
            .iter()
            .filter(|(digest, _)| absent.contains(digest));
        sizes.extend(blobs.map(|(digest, size)| (digest, *size)));
    }
    let place = |digest: &Digest| {
        let delta = archive.deltas.get(digest).map(|delta| &delta.entry);
        archive.files.get(digest).or(delta).map(|place| place.at)
    };
    let mut staged: Vec<_> = sizes
        .into_iter()
        .map(|(digest, size)| (place(digest), digest, size))
        .collect();
    staged.sort();
    let staged = staged.into_iter().map(|(_, digest, size)| ToStage {
        digest: digest.clone(),
        size,
    });
    staged.collect()
}
