//! Layers that travel as what has changed in them: what it takes to make them again, and the making.

use std::collections::HashSet;

use super::tar::Entry;
use super::{Archive, ImportedImage, changed, digest_of};
use crate::error::{Error, Kind, Result, excerpt};
use crate::oci::Digest;
use crate::recreate::Model;
use crate::recreate::delta::{ReadAt, check};
use crate::store::BlobDir;
use crate::upkeep::bundle::delta::{Head, Remade, most_old, old_size, remake, unpack_references};
use crate::upkeep::bundle::format::{BundledDelta, ImageKind};

/// More old layers than this nobody makes a new one from.
const MOST_REFERENCES: usize = 16;

/// A delta, where it lies and what the bundle's manifest says of it.
pub(super) struct ArchivedDelta {
    pub(super) entry: Entry,
    pub(super) bundled: BundledDelta,
}

impl Archive<'_> {
    /// The old layers that it takes to make this blob; none where it does not travel as a delta.
    pub fn references(&self, digest: &Digest) -> impl Iterator<Item = &Digest> {
        let delta = self.deltas.get(digest);
        let references = delta
            .into_iter()
            .flat_map(|delta| &delta.bundled.references);
        references.map(|reference| &reference.digest)
    }

    /// Room on the disk that making this blob takes while it lasts.
    pub fn room_to_make(&self, digest: &Digest) -> u64 {
        let delta = self.deltas.get(digest);
        delta.map_or(0, |delta| old_size(&delta.bundled.references))
    }

    /// Why this blob of an image cannot be made here, where it travels as a delta; `absent`: what is not here for the image.
    pub fn hindrance(
        &self,
        image: &ImportedImage,
        digest: &Digest,
        absent: &HashSet<Digest>,
    ) -> Option<String> {
        let delta = &self.deltas.get(digest)?.bundled;
        let prefix = match image.kind {
            ImageKind::Cached => "",
            ImageKind::Hosted => "hosted:",
        };
        let whole = format!(
            "have it exported whole, by `breakwater export {prefix}{} --have HAVE --deltas off -o BUNDLE.tar`",
            excerpt(&image.name)
        );
        if Model::find(&delta.model, delta.version).is_none() {
            return Some(format!(
                "its layer {digest} travels as what has changed in it, and to make it takes the compressor {}, version {}, which is not known here (use the version here that has made the bundle, or {whole})",
                excerpt(&delta.model),
                delta.version
            ));
        }
        let mut references = delta.references.iter();
        let missing = references.find(|reference| absent.contains(&reference.digest))?;
        Some(format!(
            "its layer {digest} travels as what has changed since {}, which is not here for it ({whole})",
            missing.digest
        ))
    }

    /// Makes a blob of `size` bytes again; `take` gets its bytes, no more than these.
    pub(super) fn remake(
        &self,
        delta: &ArchivedDelta,
        size: u64,
        blobs: &BlobDir,
        take: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let ArchivedDelta { entry, bundled } = delta;
        let name = format!("the delta of {}", bundled.digest);
        if digest_of(self.source, entry, bundled.delta.algorithm())? != bundled.delta {
            return Err(changed(self.source, &name));
        }
        let made = self.remake_verified(delta, size, blobs, take);
        made.map_err(|error| match error.kind() {
            Kind::BadRequest => Error::new(Kind::ManifestInvalid, format!("{name} cannot be used"))
                .because(error)
                .remedy("have the image exported again, with `--deltas off`"),
            _ => error,
        })
    }

    fn remake_verified(
        &self,
        delta: &ArchivedDelta,
        size: u64,
        blobs: &BlobDir,
        take: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let ArchivedDelta { entry, bundled } = delta;
        let wrong = |what: &str| Err(Error::new(Kind::BadRequest, what));
        let (head, packed) = Head::read(entry.size, |buffer, at| {
            self.source
                .read_exact_at(buffer, entry.at.saturating_add(at))
        })?;
        if !head.is_that_of(bundled) {
            return wrong("it is of something else than the bundle's list says");
        }
        if head.recipe.size != size {
            return wrong("it is of a layer of another size");
        }
        if head.references.len() > MOST_REFERENCES {
            return wrong("it needs more old layers than any delta does");
        }
        let packed_size = entry.size.saturating_sub(packed);
        let (plain, old) = (head.recipe.plain_size, head.old_size());
        if old > most_old(plain) {
            return wrong("it needs much more of old layers than it makes");
        }
        check(&head.segments, size, plain, old, packed_size)?;
        // Whether there is room was asked before.
        let old = unpack_references(blobs, &head.references, 0, |_| {})?;
        let at = entry.at.saturating_add(packed);
        let to = Remade::new(&bundled.digest, take);
        remake(&head, &old, &Packed(self), at, to)
    }
}

/// The archive, to be read from anywhere.
struct Packed<'a>(&'a Archive<'a>);

impl ReadAt for Packed<'_> {
    fn fill_at(&self, buffer: &mut [u8], at: u64) -> std::io::Result<()> {
        let read = self.0.source.read_exact_at(buffer, at);
        read.map_err(std::io::Error::other)
    }
}
