//! What is in a new layer, as what of it is not in old ones: zstd with parts of the old content as its prefix.
//!
//! The old content, that of all references one behind the other, may be larger than memory, and so may the new one. The new
//! content is cut into segments of [`SEGMENT`] bytes, and each has a prefix of its own: all of the old content where that is
//! no longer than [`PREFIX`], and otherwise those parts of it of which the segment has samples ([`Parts`]). One segment with
//! its prefix is in memory at a time, at both ends.
//!
//! Whoever reads what a stranger made calls [`check`] first; then no more comes out than that says.

mod sample;

use std::io::{self, ErrorKind, Read};

use serde::{Deserialize, Serialize};
use zstd_safe::{CCtx, CParameter, DCtx, compress_bound, get_error_name};

use crate::error::{Error, Kind, Result};
pub use sample::{Parts, Samples};

/// So much of the new content is packed at once. All segments but the last one are as long.
pub const SEGMENT: u64 = 64 << 20;
/// So much of the old content is the prefix of a segment, at the most.
pub const PREFIX: u64 = 128 << 20;
/// Higher levels take many times as long, and save little.
const LEVEL: i32 = 3;
/// The window reaches over a prefix and a segment.
const WINDOW: u32 = 28;
/// Deflate makes no more than this of a byte.
const DEFLATED: u64 = 1032;

/// Bytes that can be read from anywhere.
pub trait ReadAt {
    /// Fills the buffer.
    ///
    /// # Errors
    /// `UnexpectedEof` behind the end.
    fn fill_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()>;
}

/// A part of the old content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    pub at: u64,
    pub length: u64,
}

/// How a part of the new content is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// What stands before it, one behind the other.
    pub prefix: Vec<Part>,
    /// Its bytes.
    pub plain_size: u64,
    /// The bytes that it is packed into.
    pub packed_size: u64,
}

/// Packs a segment.
///
/// # Errors
/// `Io` where the prefix cannot be read, `Internal`.
pub fn pack(prefix: &[Part], old: &dyn ReadAt, plain: &[u8]) -> Result<(Segment, Vec<u8>)> {
    let before = read_parts(prefix, old).map_err(|error| {
        Error::new(Kind::of_io(&error), "cannot read the old content").because(error)
    })?;
    let packed = pack_behind(&before, plain)
        .map_err(|code| Error::internal(format!("zstd cannot pack: {}", get_error_name(code))))?;
    let segment = Segment {
        prefix: prefix.to_vec(),
        plain_size: plain.len() as u64,
        packed_size: packed.len() as u64,
    };
    Ok((segment, packed))
}

fn pack_behind(prefix: &[u8], plain: &[u8]) -> std::result::Result<Vec<u8>, usize> {
    let mut context = CCtx::create();
    for parameter in [
        CParameter::CompressionLevel(LEVEL),
        CParameter::WindowLog(WINDOW),
        CParameter::EnableLongDistanceMatching(true),
    ] {
        context.set_parameter(parameter)?;
    }
    context.ref_prefix(prefix)?;
    let mut packed = Vec::with_capacity(compress_bound(plain.len()));
    context.compress2(&mut packed, plain)?;
    Ok(packed)
}

fn read_parts(parts: &[Part], old: &dyn ReadAt) -> io::Result<Vec<u8>> {
    let length = parts
        .iter()
        .fold(0_u64, |sum, part| sum.saturating_add(part.length));
    if length > PREFIX {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            "a prefix is too long",
        ));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    let mut rest = bytes.as_mut_slice();
    for part in parts {
        let length = usize::try_from(part.length).unwrap_or_default();
        let (now, later) = rest.split_at_mut_checked(length).unwrap_or_default();
        old.fill_at(now, part.at)?;
        rest = later;
    }
    Ok(bytes)
}

/// Checks what somebody says of a delta, for content of `plain_size` bytes that belongs to a stream of `size` bytes, from
/// `old_size` bytes of old content and `packed_size` packed ones.
///
/// # Errors
/// `BadRequest` with what is wrong.
pub fn check(
    segments: &[Segment],
    size: u64,
    plain_size: u64,
    old_size: u64,
    packed_size: u64,
) -> Result<()> {
    let wrong = |what: &str| Err(Error::new(Kind::BadRequest, format!("the delta {what}")));
    if !can_be_inflated(size, plain_size) {
        return wrong("says of its content that it is larger than can be in such a layer");
    }
    let (mut plain, mut packed) = (0_u64, 0_u64);
    for segment in segments {
        let left = plain_size.saturating_sub(plain);
        if segment.plain_size == 0 || segment.plain_size != left.min(SEGMENT) {
            return wrong("has a segment that is not as long as it has to be");
        }
        let mut prefix = 0_u64;
        for part in &segment.prefix {
            prefix = prefix.saturating_add(part.length);
            if part.at.saturating_add(part.length) > old_size {
                return wrong("names a part of the old content that is not there");
            }
        }
        if prefix > PREFIX {
            return wrong("has a prefix that is too long");
        }
        let most = usize::try_from(segment.plain_size).map_or(0, compress_bound) as u64;
        if segment.packed_size > most {
            return wrong("has a segment that is packed into more than it is");
        }
        plain = plain.saturating_add(segment.plain_size);
        packed = packed.saturating_add(segment.packed_size);
    }
    match (plain == plain_size, packed == packed_size) {
        (true, true) => Ok(()),
        (false, _) => wrong("makes less or more than it says"),
        (true, false) => wrong("is longer or shorter than it says"),
    }
}

/// Whether a gzip stream of `size` bytes can have so many in it.
pub fn can_be_inflated(size: u64, plain_size: u64) -> bool {
    plain_size <= size.saturating_mul(DEFLATED)
}

/// The new content, as a delta makes it.
pub struct Unpacking<'a> {
    segments: std::slice::Iter<'a, Segment>,
    old: &'a dyn ReadAt,
    packed: &'a dyn ReadAt,
    /// How far into `packed` it is.
    at: u64,
    plain: Vec<u8>,
    /// Where in `plain` the next byte is.
    next: usize,
    is_damaged: bool,
}

impl<'a> Unpacking<'a> {
    /// The segments have been checked, or were made here. `packed` has them from `at` on.
    pub fn new(
        segments: &'a [Segment],
        old: &'a dyn ReadAt,
        packed: &'a dyn ReadAt,
        at: u64,
    ) -> Self {
        Self {
            segments: segments.iter(),
            old,
            packed,
            at,
            plain: Vec::new(),
            next: 0,
            is_damaged: false,
        }
    }

    /// Whether it ended because the packed bytes are not what they should be.
    pub fn is_damaged(&self) -> bool {
        self.is_damaged
    }

    fn unpack(&mut self, segment: &Segment) -> io::Result<()> {
        let prefix = read_parts(&segment.prefix, self.old)?;
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or_default();
        let mut packed = vec![0; size(segment.packed_size)];
        self.packed.fill_at(&mut packed, self.at)?;
        self.at = self.at.saturating_add(segment.packed_size);
        self.next = 0;
        // Not one byte more than this is written.
        self.plain = Vec::with_capacity(size(segment.plain_size));
        let mut context = DCtx::create();
        let unpacked = context
            .ref_prefix(&prefix)
            .and_then(|_| context.decompress(&mut self.plain, &packed));
        let why = match unpacked {
            Ok(made) if made as u64 == segment.plain_size => return Ok(()),
            Ok(_) => "it makes less than the delta says",
            Err(code) => get_error_name(code),
        };
        self.plain.clear();
        self.is_damaged = true;
        let what = format!("a segment cannot be unpacked: {why}");
        Err(io::Error::new(ErrorKind::InvalidData, what))
    }
}

impl Read for Unpacking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = self.plain.get(self.next..).unwrap_or_default();
            let count = left.len().min(buffer.len());
            if count > 0 || buffer.is_empty() {
                if let (Some(to), Some(from)) = (buffer.get_mut(..count), left.get(..count)) {
                    to.copy_from_slice(from);
                }
                self.next = self.next.saturating_add(count);
                return Ok(count);
            }
            // Its memory is needed for the next one.
            self.plain = Vec::new();
            self.next = 0;
            match self.segments.next() {
                Some(segment) => self.unpack(segment)?,
                None => return Ok(0),
            }
        }
    }
}

#[cfg(test)]
impl ReadAt for &[u8] {
    fn fill_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let from = usize::try_from(at).ok().and_then(|at| self.get(at..));
        match from.and_then(|from| from.get(..buffer.len())) {
            Some(from) => {
                buffer.copy_from_slice(from);
                Ok(())
            }
            None => Err(ErrorKind::UnexpectedEof.into()),
        }
    }
}

#[cfg(test)]
mod tests;
