//! Deltas: of a layer that the other side lacks only what is not in old layers that it has.
//!
//! - `candidates`: which old layers may resemble a new one
//! - `make`: chooses among them, packs what is new, and proves that the layer can be made again from that
//! - `remake`: makes the layer again, where it is proven and at the other side
//! - `spool`: what is in layers, in files that nobody else sees
//!
//! The entry of a delta begins with [`MAGIC`] and the length of its [`Head`], a number of four bytes with the lowest first;
//! then come the head, which is JSON, and the segments. What the other side needs is said in the bundle's manifest too, so
//! that it can tell before it writes anything.
//!
//! One layer is worked on at a time. Its content and that of the old layers lie in unlinked files; in memory are a segment,
//! what stands before it, what is packed of it, and where samples of the old content lie: less than 400 MB.

mod candidates;
mod make;
mod remake;
mod spool;

use serde::{Deserialize, Serialize};

use super::format::{BundledDelta, DeltaReference};
use crate::error::{Error, Kind, Result};
use crate::oci::Digest;
use crate::recreate::Recipe;
use crate::recreate::delta::Segment;
use crate::store::Blob;
pub use candidates::ChangedLayer;
pub use make::Deltas;
pub(super) use remake::{Remade, remake};
pub(super) use spool::unpack_references;

/// What every delta begins with.
const MAGIC: &[u8; 8] = b"bw-delta";
/// What stands before the head.
const BEFORE_HEAD: u64 = 12;
/// The longest head: that of a layer of 50 GB.
const MOST_HEAD: u64 = 4 << 20;

/// How a layer is made again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    pub(super) target: Digest,
    /// Their contents one behind the other are the old content.
    pub(super) references: Vec<DeltaReference>,
    pub(super) recipe: Recipe,
    pub(super) segments: Vec<Segment>,
}

/// A delta that can be written into a bundle.
#[derive(Debug, Clone)]
pub(super) struct CarriedDelta {
    /// Of the layer.
    pub(super) digest: Digest,
    /// All that stands before the segments.
    pub(super) head: Vec<u8>,
    /// Has the segments, from `at` on.
    pub(super) packed: Blob,
    pub(super) at: u64,
    pub(super) packed_size: u64,
}

impl Head {
    fn to_bytes(&self) -> Result<Vec<u8>> {
        let json = serde_json::to_vec(self)
            .map_err(|error| Error::internal("a delta's head is no JSON").because(error))?;
        let length = u32::try_from(json.len())
            .ok()
            .filter(|length| u64::from(*length) <= MOST_HEAD);
        let length = length.ok_or_else(|| Error::internal("a delta's head is too long"))?;
        Ok([&MAGIC[..], &length.to_le_bytes(), &json].concat())
    }

    /// Reads what [`Self::to_bytes`] has written at the beginning of an entry, and how long that was.
    ///
    /// # Errors
    /// `BadRequest`, and those of `read_at`.
    pub(super) fn read(
        size: u64,
        read_at: impl Fn(&mut [u8], u64) -> Result<()>,
    ) -> Result<(Self, u64)> {
        let wrong = |what: &str| Error::new(Kind::BadRequest, format!("it {what}"));
        if size < BEFORE_HEAD {
            return Err(wrong("is shorter than any delta"));
        }
        let mut before = [0; BEFORE_HEAD as usize];
        read_at(&mut before, 0)?;
        let (magic, length) = before.split_at_checked(MAGIC.len()).unwrap_or_default();
        let length = length.try_into().map(u32::from_le_bytes);
        let length = length.map(u64::from).unwrap_or_default();
        let end = BEFORE_HEAD.saturating_add(length);
        if magic != MAGIC || length > MOST_HEAD || end > size {
            return Err(wrong("does not begin as a delta does"));
        }
        let mut json = vec![0; usize::try_from(length).unwrap_or_default()];
        read_at(&mut json, BEFORE_HEAD)?;
        let head = serde_json::from_slice(&json)
            .map_err(|error| wrong("says in no known way what it is").because(error))?;
        Ok((head, end))
    }

    /// Whether it is what the bundle's manifest says of it.
    pub(super) fn is_that_of(&self, bundled: &BundledDelta) -> bool {
        self.target == bundled.digest
            && self.references == bundled.references
            && self.recipe.model == bundled.model
            && self.recipe.version == bundled.version
    }

    /// How long the old content is.
    pub(super) fn old_size(&self) -> u64 {
        old_size(&self.references)
    }
}

/// Bytes of what is in all of these.
pub(super) fn old_size(references: &[DeltaReference]) -> u64 {
    let sizes = references.iter().map(|reference| reference.plain_size);
    sizes.fold(0, u64::saturating_add)
}

/// How long the old content may be that so many bytes are made from: so long deltas for little cannot have this box unpack
/// much.
pub(super) fn most_old(plain_size: u64) -> u64 {
    plain_size.saturating_mul(64).saturating_add(128 << 20)
}

#[cfg(test)]
mod tests;
