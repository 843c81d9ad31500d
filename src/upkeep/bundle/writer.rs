//! Writing a bundle: one stream of large pieces, each file hashed on another thread while it is copied.
//!
//! What is written and what is hashed are the same pieces of memory, of which there are a few. Files are read in place: how
//! many there are and how large they are makes no difference to the memory.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::delta::CarriedDelta;
use super::made::{Bundle, length, no_json};
use super::{
    DOCKER_MANIFEST, INDEX, LAYOUT, LAYOUT_TEXT, MANIFEST, SIGNATURE, blob_entry, delta_entry,
};
use crate::error::{Error, Result};
use crate::oci::{Digest, Hasher};
use crate::store::{Blob, BlobDir};

const BLOCK: u64 = 512;
/// The longest name that stands in a header.
const NAME: usize = 100;
/// A piece of the stream.
const PIECE: usize = 2 * 1024 * 1024;
/// So many pieces wait for the thread that hashes them.
const WAITING: usize = 2;

/// A piece of a tar.
pub type Chunk = Arc<Vec<u8>>;

/// Where a tar goes, piece by piece.
pub trait Sink {
    /// Takes the next piece.
    ///
    /// # Errors
    /// `Full`, `Io`.
    fn take(&mut self, chunk: &Chunk) -> Result<()>;
}

/// How much of a tar an entry takes.
pub(super) fn entry_bytes(name: &str, size: u64) -> u64 {
    let whole = |bytes: u64| bytes.div_ceil(BLOCK).saturating_mul(BLOCK);
    let own = BLOCK.saturating_add(whole(size));
    match name.len() {
        0..=NAME => own,
        long => {
            let name = whole((long as u64).saturating_add(1));
            own.saturating_add(BLOCK).saturating_add(name)
        }
    }
}

/// Writes the bundle. The files that turned out damaged or gone; where there is one, what was written is worth nothing, and
/// the rest was only looked at. `progress` is told of the bytes that are done.
///
/// # Errors
/// `Io`, and those of `to`.
pub fn write(
    bundle: &Bundle,
    blobs: &BlobDir,
    to: &mut dyn Sink,
    progress: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<BTreeSet<Digest>> {
    let (sender, receiver) = sync_channel(WAITING);
    let is_damaged = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let hashing = std::thread::Builder::new()
            .name("hash".into())
            .spawn_scoped(scope, move || hash(receiver, is_damaged))
            .map_err(|error| Error::internal("cannot start a thread").because(error))?;
        let mut writing = Writing {
            to,
            hasher: sender,
            is_damaged,
            piece: vec![0; PIECE],
            filled: 0,
            steps: Vec::new(),
            spare: Vec::new(),
            done: 0,
            progress,
            gone: BTreeSet::new(),
        };
        let written = writing.bundle(bundle, blobs);
        let gone = std::mem::take(&mut writing.gone);
        // It ends when nobody sends any more.
        drop(writing);
        let damaged = hashing.join();
        written?;
        let mut damaged =
            damaged.map_err(|_| Error::internal("the thread that hashes panicked"))?;
        damaged.extend(gone);
        Ok(damaged)
    })
}

/// What the hashing thread does with a piece.
enum Step {
    Begin(Digest),
    Bytes(Range<usize>),
    End,
}

fn hash(receiver: Receiver<(Chunk, Vec<Step>)>, is_damaged: &AtomicBool) -> BTreeSet<Digest> {
    let mut damaged = BTreeSet::new();
    let mut current: Option<(Digest, Hasher)> = None;
    for (piece, steps) in receiver {
        for step in steps {
            match step {
                Step::Begin(digest) => {
                    let hasher = Hasher::new(digest.algorithm());
                    current = Some((digest, hasher));
                }
                Step::Bytes(range) => {
                    let bytes = piece.get(range).unwrap_or_default();
                    if let Some((_, hasher)) = &mut current {
                        hasher.update(bytes);
                    }
                }
                Step::End => {
                    if let Some((digest, hasher)) = current.take()
                        && hasher.finish() != digest
                    {
                        is_damaged.store(true, Ordering::Release);
                        damaged.insert(digest);
                    }
                }
            }
        }
    }
    damaged
}

struct Writing<'a> {
    to: &'a mut dyn Sink,
    hasher: SyncSender<(Chunk, Vec<Step>)>,
    is_damaged: &'a AtomicBool,
    /// The piece that is being filled, as long as it will be; how much of it is, and what is to be hashed of that.
    piece: Vec<u8>,
    filled: usize,
    steps: Vec<Step>,
    /// Pieces that were sent, to be used again once nobody holds them.
    spare: Vec<Chunk>,
    done: u64,
    progress: &'a mut dyn FnMut(u64) -> Result<()>,
    gone: BTreeSet<Digest>,
}

impl Writing<'_> {
    fn bundle(&mut self, bundle: &Bundle, blobs: &BlobDir) -> Result<()> {
        let Bundle {
            manifest,
            index,
            docker_manifest,
            signature,
            deltas,
        } = bundle;
        self.text(LAYOUT, LAYOUT_TEXT.as_bytes())?;
        self.header(MANIFEST, length(manifest)?)?;
        manifest
            .write(&mut *self)
            .map_err(|error| match error.downcast::<Error>() {
                Ok(own) => own,
                Err(error) => no_json(error),
            })?;
        self.pad()?;
        if let Some(signature) = signature {
            self.text(SIGNATURE, signature.as_bytes())?;
        }
        self.text(INDEX, index)?;
        self.text(DOCKER_MANIFEST, docker_manifest)?;
        for part in &manifest.manifests {
            self.file(blobs, &part.digest, part.size)?;
        }
        for blob in manifest.blobs.iter().filter(|blob| blob.in_bundle) {
            self.file(blobs, &blob.digest, blob.size)?;
        }
        for delta in deltas {
            self.delta(delta)?;
        }
        self.bytes(&[0; 1024])?;
        self.send()
    }

    fn text(&mut self, name: &str, text: &[u8]) -> Result<()> {
        self.header(name, text.len() as u64)?;
        self.bytes(text)?;
        self.pad()
    }

    fn header(&mut self, name: &str, size: u64) -> Result<()> {
        if name.len() > NAME {
            let long = [name.as_bytes(), &[0]].concat();
            self.bytes(
                header(
                    b"././@LongLink",
                    long.len() as u64,
                    tar::EntryType::GNULongName,
                )?
                .as_bytes(),
            )?;
            self.bytes(&long)?;
            self.pad()?;
        }
        let shown = name.as_bytes().get(..NAME).unwrap_or(name.as_bytes());
        self.bytes(header(shown, size, tar::EntryType::Regular)?.as_bytes())
    }

    fn file(&mut self, blobs: &BlobDir, digest: &Digest, size: u64) -> Result<()> {
        let Some(blob) = blobs
            .open_even_damaged(digest)?
            .filter(|blob| blob.size() == size)
        else {
            self.is_damaged.store(true, Ordering::Release);
            self.gone.insert(digest.clone());
            return Ok(());
        };
        self.header(&blob_entry(digest), size)?;
        self.steps.push(Step::Begin(digest.clone()));
        self.copy(&blob, 0, size, &blobs.shown_path(digest))?;
        // One that became shorter meanwhile has another digest too.
        self.steps.push(Step::End);
        self.pad()
    }

    /// What was made for this bundle was proven, and is not hashed again.
    fn delta(&mut self, delta: &CarriedDelta) -> Result<()> {
        let size = (delta.head.len() as u64).saturating_add(delta.packed_size);
        self.header(&delta_entry(&delta.digest), size)?;
        self.bytes(&delta.head)?;
        let shown = Path::new("the deltas in staging");
        self.copy(&delta.packed, delta.at, delta.packed_size, shown)?;
        self.pad()
    }

    /// Copies so many bytes of a file, as far as there are some.
    fn copy(&mut self, blob: &Blob, from: u64, size: u64, shown: &Path) -> Result<()> {
        let mut done = 0_u64;
        while done < size {
            let left = usize::try_from(size.saturating_sub(done)).unwrap_or(usize::MAX);
            let begin = self.filled;
            let end = begin.saturating_add(left).min(PIECE);
            let into = self.piece.get_mut(begin..end).unwrap_or_default();
            let read = blob
                .read_at(into, from.saturating_add(done))
                .map_err(|error| Error::io("cannot read", shown, error))?;
            if read == 0 {
                break;
            }
            self.filled = begin.saturating_add(read);
            self.steps.push(Step::Bytes(begin..self.filled));
            done = done.saturating_add(read as u64);
            if self.filled >= PIECE {
                self.send()?;
            }
        }
        Ok(())
    }

    fn bytes(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let room = PIECE.saturating_sub(self.filled);
            let (now, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            let end = self.filled.saturating_add(now.len());
            if let Some(into) = self.piece.get_mut(self.filled..end) {
                into.copy_from_slice(now);
            }
            self.filled = end;
            bytes = rest;
            if self.filled >= PIECE {
                self.send()?;
            }
        }
        Ok(())
    }

    /// Fills the block up. Pieces are whole blocks, so that this one's length says how much is missing.
    fn pad(&mut self) -> Result<()> {
        let begun = (self.filled as u64).checked_rem(BLOCK).unwrap_or(0);
        if begun == 0 {
            return Ok(());
        }
        let missing = usize::try_from(BLOCK.saturating_sub(begun)).unwrap_or(0);
        self.bytes([0; BLOCK as usize].get(..missing).unwrap_or_default())
    }

    /// Sends the piece away.
    fn send(&mut self) -> Result<()> {
        let next = self.next();
        let mut piece = std::mem::replace(&mut self.piece, next);
        // Only the last one is shorter.
        piece.truncate(self.filled);
        self.filled = 0;
        let piece = Arc::new(piece);
        let steps = std::mem::take(&mut self.steps);
        self.done = self.done.saturating_add(piece.len() as u64);
        if self.hasher.send((Arc::clone(&piece), steps)).is_err() {
            return Err(Error::internal("the thread that hashes has ended"));
        }
        if !self.is_damaged.load(Ordering::Acquire) {
            self.to.take(&piece)?;
        }
        self.spare.push(piece);
        (self.progress)(self.done)
    }

    /// Memory for the next piece: that of one that nobody holds any more, if there is one.
    fn next(&mut self) -> Vec<u8> {
        let free = self
            .spare
            .iter()
            .position(|piece| Arc::strong_count(piece) == 1);
        let free = free.and_then(|place| Arc::into_inner(self.spare.swap_remove(place)));
        free.unwrap_or_else(|| vec![0; PIECE])
    }
}

impl Write for Writing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn header(name: &[u8], size: u64, kind: tar::EntryType) -> Result<tar::Header> {
    let mut header = tar::Header::new_gnu();
    if let Some(gnu) = header.as_gnu_mut()
        && let Some(place) = gnu.name.get_mut(..name.len())
    {
        place.copy_from_slice(name);
    }
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_entry_type(kind);
    header.set_cksum();
    Ok(header)
}
