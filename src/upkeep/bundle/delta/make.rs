//! Makes deltas: chooses the old layers that a new one resembles, packs what is new, and proves it by making the layer again.
//!
//! A layer for which there is no delta travels whole: because nobody knows how its compressor writes, because no old layer
//! resembles it, because the delta saves too little, or because it does not make the same bytes again.

use std::collections::HashMap;

use super::spool::{Hashed, Shown, Spool};
use super::{CarriedDelta, ChangedLayer, Head, Remade, remake, unpack_references};
use crate::error::{Error, Kind, Result};
use crate::oci::{Digest, Hasher};
use crate::recreate::delta::{Parts, SEGMENT, Samples, can_be_inflated, pack};
use crate::recreate::{Examined, Inflated, Recipe, examine, inflate};
use crate::store::{Blob, BlobDir};
use crate::upkeep::bundle::format::{BundledDelta, DeltaReference};

/// So many old layers a new one is made from, at the most.
const REFERENCES: usize = 4;
/// An old layer counts that has one of so many samples of the new one, and that those before it do not have.
const RESEMBLES: usize = 20;
/// A delta has to be shorter than so many hundredths of its layer.
const WORTH: u64 = 80;
/// Of so many old layers the samples are remembered: some hundred kilobytes each.
const REMEMBERED: usize = 64;

/// Deltas of layers, as they are made.
pub struct Deltas<'a> {
    blobs: &'a BlobDir,
    keep_free: u64,
    /// The segments of all deltas.
    packed: Spool<'a>,
    /// By layer; `None` of one that travels whole.
    made: HashMap<Digest, Option<Made>>,
    known: HashMap<Digest, Option<Known>>,
}

pub(super) struct Made {
    head: Head,
    text: Vec<u8>,
    at: u64,
    packed_size: u64,
    bundled: BundledDelta,
}

/// What is known of an old layer.
struct Known {
    samples: Samples,
    plain_size: u64,
}

/// A new layer, unpacked.
pub(super) struct Examining {
    pub(super) recipe: Recipe,
    plain: Blob,
    pub(super) samples: Samples,
}

impl<'a> Deltas<'a> {
    /// What is unpacked lies in the data directory, of whose disk so many bytes stay free.
    ///
    /// # Errors
    /// `Io`.
    pub fn new(blobs: &'a BlobDir, keep_free: u64) -> Result<Self> {
        Ok(Self {
            blobs,
            keep_free,
            packed: Spool::new(blobs, keep_free)?,
            made: HashMap::new(),
            known: HashMap::new(),
        })
    }

    /// Makes the delta of a layer, unless that was tried before or it has to travel whole.
    ///
    /// # Errors
    /// `Io`. What the disk has no room for travels whole, and so does what was to be made from an old layer that has gone.
    pub fn make(&mut self, layer: &ChangedLayer) -> Result<()> {
        if self.made.contains_key(&layer.digest) {
            return Ok(());
        }
        let at = self.packed.length();
        let made = match self.try_to_make(layer) {
            Err(error) if matches!(error.kind(), Kind::Full | Kind::Conflict) => None,
            made => made?,
        };
        if made.is_none() {
            self.packed.cut(at);
        }
        self.made.insert(layer.digest.clone(), made);
        Ok(())
    }

    /// The deltas of these layers, as far as there are some, sorted; and what a bundle's manifest says of each.
    pub(in crate::upkeep::bundle) fn carried<'d>(
        &self,
        layers: impl Iterator<Item = &'d Digest>,
    ) -> Result<(Vec<BundledDelta>, Vec<CarriedDelta>)> {
        let packed = self.packed.reader()?;
        let made = layers.filter_map(|digest| self.made.get(digest)?.as_ref());
        let carried = made.map(|made| {
            let carried = CarriedDelta {
                digest: made.head.target.clone(),
                head: made.text.clone(),
                packed: packed.clone(),
                at: made.at,
                packed_size: made.packed_size,
            };
            (made.bundled.clone(), carried)
        });
        let mut carried: Vec<_> = carried.collect();
        carried.sort_by(|(one, _), (other, _)| one.digest.cmp(&other.digest));
        Ok(carried.into_iter().unzip())
    }

    fn try_to_make(&mut self, layer: &ChangedLayer) -> Result<Option<Made>> {
        let Some(examining) = self.examine(&layer.digest)? else {
            return Ok(None);
        };
        let references = self.choose(&examining.samples, &layer.candidates)?;
        if references.is_empty() {
            return Ok(None);
        }
        self.pack(&layer.digest, examining, references)
    }

    /// Unpacks the layer and finds how it was compressed.
    pub(super) fn examine(&self, digest: &Digest) -> Result<Option<Examining>> {
        let Some(blob) = self.blobs.open(digest)? else {
            return Ok(None);
        };
        let mut plain = Spool::new(self.blobs, self.keep_free)?;
        let mut samples = Samples::default();
        let mut gzip = Hashed::new(&blob, digest);
        let mut to = Shown {
            to: &mut plain,
            see: |bytes: &[u8]| samples.take(bytes),
        };
        let examined = examine(&mut gzip, &mut to);
        let examined = examined.map_err(|error| plain.why(error))?;
        Ok(match examined {
            Examined::Recipe(recipe) => Some(Examining {
                recipe,
                plain: plain.reader()?,
                samples,
            }),
            Examined::Refused(_) => None,
        })
    }

    /// The old layers that have most of it, each for what those before do not have.
    pub(super) fn choose(
        &mut self,
        new: &Samples,
        candidates: &[Digest],
    ) -> Result<Vec<DeltaReference>> {
        let mut left = new.clone();
        let mut chosen: Vec<DeltaReference> = Vec::new();
        while chosen.len() < REFERENCES {
            let mut best: Option<(usize, &Digest)> = None;
            for digest in candidates {
                let Some(known) = self.known(digest)? else {
                    continue;
                };
                let (shared, of) = left.shared_with(&known.samples);
                // Of a large layer only the rarer samples are compared.
                let (_, asked) = new.shared_with(&known.samples);
                let resembles = shared.saturating_mul(RESEMBLES) >= asked && shared > 0;
                // The first one of those that have as much.
                if of > 0 && resembles && best.is_none_or(|(most, _)| shared > most) {
                    best = Some((shared, digest));
                }
            }
            let Some((_, digest)) = best else {
                break;
            };
            if let Some(known) = self.known(digest)? {
                left.remove(&known.samples);
                chosen.push(DeltaReference {
                    digest: digest.clone(),
                    plain_size: known.plain_size,
                });
            }
        }
        Ok(chosen)
    }

    /// Unpacks an old layer, if that was not done before; `None` where it cannot be.
    fn known(&mut self, digest: &Digest) -> Result<Option<&Known>> {
        if !self.known.contains_key(digest) {
            if self.known.len() >= REMEMBERED {
                self.known.clear();
            }
            let known = self.look_at(digest)?;
            self.known.insert(digest.clone(), known);
        }
        Ok(self.known.get(digest).and_then(Option::as_ref))
    }

    fn look_at(&self, digest: &Digest) -> Result<Option<Known>> {
        struct Seeing(Samples);
        impl std::io::Write for Seeing {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.take(bytes);
                Ok(bytes.len())
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let Some(blob) = self.blobs.open(digest)? else {
            return Ok(None);
        };
        let mut gzip = Hashed::new(&blob, digest);
        let mut seeing = Seeing(Samples::default());
        // One that cannot be read is none that anything is made from; `verify` tells of it.
        let Ok(inflated) = inflate(&mut gzip, u64::MAX, &mut seeing) else {
            return Ok(None);
        };
        let is_intact = gzip.finish() == *digest;
        Ok(match inflated {
            Inflated::Plain(plain_size)
                if is_intact && can_be_inflated(blob.size(), plain_size) =>
            {
                Some(Known {
                    samples: seeing.0,
                    plain_size,
                })
            }
            _ => None,
        })
    }

    pub(super) fn pack(
        &mut self,
        digest: &Digest,
        examining: Examining,
        references: Vec<DeltaReference>,
    ) -> Result<Option<Made>> {
        let Examining { recipe, plain, .. } = examining;
        if super::old_size(&references) > super::most_old(recipe.plain_size) {
            return Ok(None);
        }
        let most = (recipe.size / 100).saturating_mul(WORTH);
        let mut parts = Parts::new(super::old_size(&references));
        let is_large = parts.is_large();
        let old = unpack_references(self.blobs, &references, self.keep_free, |bytes| {
            if is_large {
                parts.take(bytes);
            }
        })?;
        let at = self.packed.length();
        let mut head = Head {
            target: digest.clone(),
            references,
            recipe,
            segments: Vec::new(),
        };
        let mut done = 0;
        while done < head.recipe.plain_size {
            let segment = read_segment(&plain, done, head.recipe.plain_size)?;
            done = done.saturating_add(segment.len() as u64);
            let (segment, packed) = pack(&parts.of(&segment), &old, &segment)?;
            self.packed.append(&packed)?;
            head.segments.push(segment);
            if self.packed.length().saturating_sub(at) > most {
                return Ok(None);
            }
        }
        // Their memory is needed for the proof.
        drop(parts);
        self.prove(head, &old, at)
    }

    /// Makes the layer again. The delta, if that gives the same bytes and is worth it.
    fn prove(&self, head: Head, old: &Blob, at: u64) -> Result<Option<Made>> {
        let packed = self.packed.reader()?;
        let mut ignore = |_: &[u8]| Ok(());
        let to = Remade::new(&head.target, &mut ignore);
        match remake(&head, old, &packed, at, to) {
            Ok(()) => {}
            Err(error) if error.kind() == Kind::BadRequest => return Ok(None),
            Err(error) => return Err(error),
        }
        let text = head.to_bytes()?;
        let packed_size = self.packed.length().saturating_sub(at);
        let size = packed_size.saturating_add(text.len() as u64);
        if size > (head.recipe.size / 100).saturating_mul(WORTH) {
            return Ok(None);
        }
        let mut hasher = Hasher::new(crate::oci::Algorithm::Sha256);
        hasher.update(&text);
        hash_part(&packed, at, packed_size, &mut hasher)?;
        let bundled = BundledDelta {
            digest: head.target.clone(),
            delta: hasher.finish(),
            size,
            model: head.recipe.model.clone(),
            version: head.recipe.version,
            references: head.references.clone(),
        };
        Ok(Some(Made {
            head,
            text,
            at,
            packed_size,
            bundled,
        }))
    }
}

fn read_segment(plain: &Blob, at: u64, plain_size: u64) -> Result<Vec<u8>> {
    use crate::recreate::delta::ReadAt as _;
    let length = plain_size.saturating_sub(at).min(SEGMENT);
    let mut segment = vec![0; usize::try_from(length).unwrap_or_default()];
    plain.fill_at(&mut segment, at).map_err(unread)?;
    Ok(segment)
}

fn hash_part(blob: &Blob, from: u64, length: u64, hasher: &mut Hasher) -> Result<()> {
    use crate::recreate::delta::ReadAt as _;
    let mut buffer = vec![0; 1 << 18];
    let mut done = 0_u64;
    while done < length {
        let left = usize::try_from(length.saturating_sub(done)).unwrap_or(usize::MAX);
        let room = left.min(buffer.len());
        let piece = buffer.get_mut(..room).unwrap_or_default();
        blob.fill_at(piece, from.saturating_add(done))
            .map_err(unread)?;
        hasher.update(piece);
        done = done.saturating_add(room as u64);
    }
    Ok(())
}

fn unread(error: std::io::Error) -> Error {
    Error::new(Kind::Io, "cannot read a temporary file").because(error)
}
