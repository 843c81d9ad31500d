//! Gzip streams made again, byte by byte, from what is in them.
//!
//! The digest of a layer is over its compressed bytes, so who wants to send only what has changed in a layer has to make
//! the same compressed bytes at the other end. What a compressor writes is decided by the compressor and by what it
//! compresses; a [`Recipe`] says which compressor it was. [`examine`] inflates a stream and finds the recipe by trying:
//! each compressor that is known ([`MODELS`]) compresses what comes out, and is dropped at the first byte that differs.
//! What is left at the end has made every byte. [`recreate`] is the way back.
//!
//! Everything is done in passing: no more is held than compressors look back, which is some megabytes for all of them
//! together, however long the stream. What comes from outside is refused where it is not as the format says; who wants a
//! limit of how much comes out of it sets it in the writer.
//!
//! A stream of several members, or with something behind it, is refused, and so is one that a compressor was made to
//! flush in between, unless it does so by itself.

mod bits;
mod block;
mod bytes;
mod checksum;
pub mod delta;
mod go;
mod header;
mod huffman;
mod inflate;
mod input;
mod klauspost;
mod model;
mod tokens;

use std::fmt;
use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

use checksum::Checksum;
use inflate::Inflate;
use input::{Input, read};
use model::Compressor;
pub use model::{MODELS, Model};

/// A header may have a name and a comment of any length; nobody writes longer ones.
const HEADER: usize = 4096;
/// A compressor that is so far behind did not write the stream.
const BEHIND: u64 = 1 << 20;

/// What it takes to make a gzip stream again from what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The name of a [`Model`], with its version.
    pub model: String,
    pub version: u32,
    /// The header of the stream, as it is.
    pub header: Vec<u8>,
    /// Of the stream, in bytes.
    pub size: u64,
    /// Of what is in it, in bytes.
    pub plain_size: u64,
    /// The checksum of what is in it, as the trailer has it.
    pub checksum: u32,
}

/// What [`examine`] finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Examined {
    Recipe(Recipe),
    /// There is none. What was written of the content is the beginning of it at the most.
    Refused(Refusal),
}

/// Why there is no recipe for a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    NotGzip,
    LongHeader,
    Truncated,
    Damaged,
    Checksum,
    Trailing,
    Unknown,
    TooLarge,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotGzip => "it is no gzip stream",
            Self::LongHeader => "its header is longer than anybody's",
            Self::Truncated => "it ends too early",
            Self::Damaged => "it is not as the format says",
            Self::Checksum => "its content is not what its trailer says",
            Self::Trailing => "something follows after its first member",
            Self::Unknown => "no compressor that is known writes it so",
            Self::TooLarge => "more comes out of it than may",
        })
    }
}

/// Why a stream cannot be read on.
enum Failure {
    Refused(Refusal),
    Read(io::Error),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A compressor that may have written the stream.
struct Candidate {
    model: &'static Model,
    compressor: Box<dyn Compressor>,
    /// How far into the stream it has written the same.
    at: u64,
}

/// Inflates `gzip` into `plain`, and finds how the stream is made again.
pub fn examine(gzip: impl Read, plain: &mut impl Write) -> Result<Examined> {
    match try_to_examine(Input::new(gzip), plain) {
        Ok(recipe) => Ok(Examined::Recipe(recipe)),
        Err(problem) => problem.refusal().map(Examined::Refused),
    }
}

/// What [`inflate`] finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inflated {
    /// So many bytes were in it.
    Plain(u64),
    Refused(Refusal),
}

/// Inflates `gzip` into `plain`, no matter who has written it. Refused, too, where more than `most` bytes are in it.
pub fn inflate(gzip: impl Read, most: u64, plain: &mut impl Write) -> Result<Inflated> {
    match try_to_inflate(Input::new(gzip), most, plain) {
        Ok(size) => Ok(Inflated::Plain(size)),
        Err(problem) => problem.refusal().map(Inflated::Refused),
    }
}

enum Problem {
    Failure(Failure),
    Write(io::Error),
}

impl Problem {
    /// Why the stream is refused, or an error if that is not the stream's fault.
    fn refusal(self) -> Result<Refusal> {
        let (what, error) = match self {
            Self::Failure(Failure::Refused(refusal)) => return Ok(refusal),
            Self::Failure(Failure::Read(error)) => ("cannot read the gzip stream", error),
            Self::Write(error) => ("cannot write what is in it", error),
        };
        Err(Error::new(Kind::of_io(&error), what).because(error))
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::Failure(refusal.into())
    }
}

fn try_to_examine<R: Read>(
    mut input: Input<R>,
    plain: &mut impl Write,
) -> std::result::Result<Recipe, Problem> {
    let header = read_header(&mut input)?;
    let at = input.position();
    let candidates = const { &MODELS }.iter().map(|model| Candidate {
        model,
        compressor: model.start(),
        at,
    });
    let mut candidates: Vec<_> = candidates.collect();
    let mut checksum = Checksum::new();
    let mut plain_size = 0_u64;
    let mut stream = Inflate::new(input);
    while stream.next()? {
        let piece = stream.piece();
        plain.write_all(piece).map_err(Problem::Write)?;
        checksum.update(piece);
        plain_size = plain_size.saturating_add(piece.len() as u64);
        candidates.retain_mut(|candidate| {
            candidate.compressor.write(piece);
            candidate.agrees(&stream.input)
        });
        let behind = candidates.iter().map(|candidate| candidate.at).min();
        stream.input.forget(behind.ok_or(Refusal::Unknown)?);
    }
    let mut input = stream.into_input();
    let end = input.position();
    candidates.retain_mut(|candidate| {
        candidate.compressor.finish();
        candidate.agrees(&input) && candidate.at == end
    });
    let size = read_trailer(&mut input, checksum.value(), plain_size)?;
    let candidate = candidates.first().ok_or(Refusal::Unknown)?;
    Ok(Recipe {
        model: candidate.model.name.to_owned(),
        version: candidate.model.version,
        header,
        size,
        plain_size,
        checksum: checksum.value(),
    })
}

fn try_to_inflate<R: Read>(
    mut input: Input<R>,
    most: u64,
    plain: &mut impl Write,
) -> std::result::Result<u64, Problem> {
    read_header(&mut input)?;
    let mut checksum = Checksum::new();
    let mut plain_size = 0_u64;
    let mut stream = Inflate::new(input);
    while stream.next()? {
        let piece = stream.piece();
        plain_size = plain_size.saturating_add(piece.len() as u64);
        if plain_size > most {
            return Err(Refusal::TooLarge.into());
        }
        plain.write_all(piece).map_err(Problem::Write)?;
        checksum.update(piece);
        stream.input.forget(u64::MAX);
    }
    let mut input = stream.into_input();
    read_trailer(&mut input, checksum.value(), plain_size)?;
    Ok(plain_size)
}

impl Candidate {
    /// Compares what it has written, as far as the stream is read.
    fn agrees<R: Read>(&mut self, input: &Input<R>) -> bool {
        let written = self.compressor.output();
        let there = input.from(self.at);
        let count = written.len().min(there.len());
        if written.get(..count) != there.get(..count) {
            return false;
        }
        written.drain(..count);
        self.at = self.at.saturating_add(count as u64);
        // What a compressor writes ahead of the stream is not its content.
        let ahead = written.len() as u64;
        ahead <= BEHIND && input.end().saturating_sub(self.at) <= BEHIND
    }
}

/// Makes the stream of a recipe again from what is in it. The bytes are those of the stream if this succeeds; whether
/// the recipe is that of the stream which is wanted is told by the digest alone.
pub fn recreate(recipe: &Recipe, mut plain: impl Read, gzip: &mut impl Write) -> Result<()> {
    let unfit = |what: &str| Error::new(Kind::BadRequest, format!("the recipe {what}"));
    let model = recipe.model().ok_or_else(|| {
        let version = recipe.version;
        let model = crate::error::excerpt(&recipe.model);
        unfit(&format!(
            "needs the compressor {model}, version {version}, which is not known here"
        ))
    })?;
    if recipe.header.len() > HEADER {
        return Err(unfit("has a header that is too long"));
    }
    let mut made = 0_u64;
    let mut write = |bytes: &[u8]| {
        made = made.saturating_add(bytes.len() as u64);
        if made > recipe.size {
            return Err(unfit("makes more than it says"));
        }
        let written = gzip.write_all(bytes);
        written.map_err(|error| {
            Error::new(Kind::of_io(&error), "cannot write the gzip stream").because(error)
        })
    };
    write(&recipe.header)?;
    let mut compressor = model.start();
    let mut checksum = Checksum::new();
    let mut left = recipe.plain_size;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = read(&mut plain, &mut buffer).map_err(|error| {
            Error::new(Kind::of_io(&error), "cannot read what is to be compressed").because(error)
        })?;
        if count == 0 {
            break;
        }
        let Some(rest) = left.checked_sub(count as u64) else {
            return Err(unfit("is for less content"));
        };
        left = rest;
        let piece = buffer.get(..count).unwrap_or_default();
        checksum.update(piece);
        compressor.write(piece);
        write(compressor.output())?;
        compressor.output().clear();
    }
    if left > 0 {
        return Err(unfit("is for more content"));
    }
    if checksum.value() != recipe.checksum {
        return Err(unfit("is for other content"));
    }
    compressor.finish();
    write(compressor.output())?;
    write(&trailer_for(recipe.checksum, recipe.plain_size))?;
    if made < recipe.size {
        return Err(unfit("makes less than it says"));
    }
    Ok(())
}

impl Recipe {
    /// The compressor that it names, if that is known here.
    pub fn model(&self) -> Option<&'static Model> {
        Model::find(&self.model, self.version)
    }
}

fn trailer_for(checksum: u32, plain_size: u64) -> [u8; 8] {
    (u64::from(checksum) | (plain_size << 32)).to_le_bytes()
}

/// Reads to the end; how long the stream is.
fn read_trailer<R: Read>(
    input: &mut Input<R>,
    checksum: u32,
    plain_size: u64,
) -> std::result::Result<u64, Failure> {
    let mut trailer = [0; 8];
    for byte in &mut trailer {
        *byte = input.byte()?.ok_or(Refusal::Truncated)?;
    }
    if trailer != trailer_for(checksum, plain_size) {
        return Err(Refusal::Checksum.into());
    }
    let size = input.position();
    match input.byte()? {
        Some(_) => Err(Refusal::Trailing.into()),
        None => Ok(size),
    }
}

fn read_header<R: Read>(input: &mut Input<R>) -> std::result::Result<Vec<u8>, Failure> {
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    const CHECKSUM: u8 = 2;
    const KNOWN: u8 = 0x1f;

    let mut header = Vec::new();
    let mut next = |refusal: Refusal| {
        let byte = input.byte()?.ok_or(refusal)?;
        header.push(byte);
        if header.len() > HEADER {
            return Err(Failure::Refused(Refusal::LongHeader));
        }
        Ok(byte)
    };
    for wanted in [0x1f, 0x8b, 8] {
        if next(Refusal::NotGzip)? != wanted {
            return Err(Refusal::NotGzip.into());
        }
    }
    let flags = next(Refusal::Truncated)?;
    if flags & !KNOWN != 0 {
        return Err(Refusal::NotGzip.into());
    }
    let mut skip = |count: u16| (0..count).try_for_each(|_| next(Refusal::Truncated).map(drop));
    skip(6)?;
    if flags & EXTRA != 0 {
        let low = next(Refusal::Truncated)?;
        let length = u16::from_le_bytes([low, next(Refusal::Truncated)?]);
        for _ in 0..length {
            next(Refusal::Truncated)?;
        }
    }
    for text in [NAME, COMMENT] {
        while flags & text != 0 && next(Refusal::Truncated)? != 0 {}
    }
    if flags & CHECKSUM != 0 {
        next(Refusal::Truncated)?;
        next(Refusal::Truncated)?;
    }
    Ok(header)
}
