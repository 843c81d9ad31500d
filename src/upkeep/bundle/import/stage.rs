//! Copies from an archive to the data directory's staging what is not there yet, and makes the layers again that travel as
//! deltas. One thread reads and writes, one hashes what
//! was read, and others wait for the disk: so a file counts as staged when it is hashed and on the disk, and neither hashing nor
//! waiting holds up the copying.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use parking_lot::Mutex;

use super::{Archive, ToStage, changed};
use crate::error::{Error, Result};
use crate::oci::{Algorithm, Digest, Hasher};
use crate::store::{BlobDir, ImportDirectory, ImportedFile};

/// How much is read at once: pieces that all fit into a processor's cache take half the time of those of a megabyte.
const PIECE: usize = 128 << 10;
/// So many pieces are between the two threads, at most.
const PIECES: usize = 16;
/// So many files wait for the disk, at most; each is open.
const WAITING: usize = 32;
/// How many of them at once.
const SYNCING: usize = 4;

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Staged {
    pub files: u64,
    pub bytes: u64,
    /// Bytes that an import before this one had staged.
    pub present: u64,
}

/// To the thread that hashes.
enum Hash {
    Begin(Algorithm, Sender<Digest>),
    Piece(Arc<Vec<u8>>, usize),
    End,
}

/// A file that was written, and what its digest is.
struct Written<'d> {
    file: ImportedFile,
    digest: &'d Digest,
    hashed: Receiver<Digest>,
}

/// Copies `files`, for which `blobs` has the old layers where they are deltas; `progress` is told how many bytes of them are there.
///
/// # Errors
/// `Io` for bytes that are not what their digest says, and for what cannot be read or written; `ManifestInvalid` and `Conflict` for
/// deltas that do not make what they should; `Full`.
pub fn stage(
    archive: &Archive<'_>,
    files: &[ToStage],
    blobs: &BlobDir,
    directory: &ImportDirectory,
    progress: &dyn Fn(u64),
) -> Result<Staged> {
    let failure = Mutex::new(None);
    let (to_hash, hashing) = sync_channel(PIECES);
    let (free, pieces) = channel();
    let (finished, finishing) = sync_channel(WAITING);
    let finishing = Mutex::new(finishing);
    let staged = std::thread::scope(|scope| {
        scope.spawn(move || hash(&hashing, &free));
        for _ in 0..SYNCING {
            scope.spawn(|| finish(archive, &finishing, &failure));
        }
        let mut copying = Copying {
            archive,
            blobs,
            to_hash,
            pieces,
            spare: None,
            failure: &failure,
        };
        let copied = copying.all(files, directory, &finished, progress);
        // Both threads end when nobody can send them anything any more.
        drop((copying, finished));
        copied
    });
    if let Some(error) = failure.into_inner() {
        return Err(error);
    }
    let staged = staged?;
    directory.sync()?;
    Ok(staged)
}

struct Copying<'a, 's> {
    archive: &'a Archive<'s>,
    blobs: &'a BlobDir,
    to_hash: SyncSender<Hash>,
    pieces: Receiver<Vec<u8>>,
    spare: Option<Vec<u8>>,
    failure: &'a Mutex<Option<Error>>,
}

impl Copying<'_, '_> {
    fn all<'d>(
        &mut self,
        files: &'d [ToStage],
        directory: &ImportDirectory,
        finished: &SyncSender<Written<'d>>,
        progress: &dyn Fn(u64),
    ) -> Result<Staged> {
        let mut staged = Staged::default();
        let mut done = 0_u64;
        for ToStage { digest, size } in files {
            if directory.size_of(digest)? == Some(*size) {
                staged.present = staged.present.saturating_add(*size);
            } else {
                let told = |written: u64| progress(done.saturating_add(written));
                let Some(written) = self.one(digest, *size, directory, &told)? else {
                    return Ok(staged);
                };
                if finished.send(written).is_err() {
                    return Ok(staged);
                }
                staged.files = staged.files.saturating_add(1);
                staged.bytes = staged.bytes.saturating_add(*size);
            }
            done = done.saturating_add(*size);
            progress(done);
        }
        Ok(staged)
    }

    /// Copies one file; `None` where another one has failed.
    fn one<'d>(
        &mut self,
        digest: &'d Digest,
        size: u64,
        directory: &ImportDirectory,
        progress: &dyn Fn(u64),
    ) -> Result<Option<Written<'d>>> {
        let mut file = directory.begin(digest)?;
        let (answer, hashed) = channel();
        let ended = || Error::internal("the thread that hashes has ended");
        self.send(Hash::Begin(digest.algorithm(), answer), ended)?;
        if let Some(made) = self.archive.made.get(digest) {
            file.append(made)?;
            self.send(Hash::Piece(Arc::new(made.clone()), made.len()), ended)?;
        } else if let Some(place) = self.archive.files.get(digest) {
            let mut at = 0_u64;
            while at < place.size {
                if self.failure.lock().is_some() {
                    return Ok(None);
                }
                let free = self.spare.take().or_else(|| self.pieces.try_recv().ok());
                // What was made is no longer than it is, and comes back from the other thread as the rest does.
                let free = free.filter(|piece| piece.len() == PIECE);
                let mut piece = free.unwrap_or_else(|| vec![0; PIECE]);
                let left = usize::try_from(place.size.saturating_sub(at)).unwrap_or(usize::MAX);
                let length = left.min(PIECE);
                let room = piece.get_mut(..length).unwrap_or_default();
                self.archive
                    .source
                    .read_exact_at(room, place.at.saturating_add(at))?;
                let piece = Arc::new(piece);
                self.send(Hash::Piece(Arc::clone(&piece), length), ended)?;
                file.append(piece.get(..length).unwrap_or_default())?;
                // Whoever is done with it last has it for the next bytes.
                self.spare = Arc::into_inner(piece);
                at = at.saturating_add(length as u64);
                progress(at);
            }
        } else if let Some(delta) = self.archive.deltas.get(digest) {
            let mut at = 0_u64;
            let mut take = |bytes: &[u8]| {
                // What the other thread gives back is used again, so that there are never many.
                let mut piece = self.pieces.try_recv().unwrap_or_default();
                piece.clear();
                piece.extend_from_slice(bytes);
                self.send(Hash::Piece(Arc::new(piece), bytes.len()), ended)?;
                file.append(bytes)?;
                at = at.saturating_add(bytes.len() as u64);
                progress(at);
                Ok(())
            };
            let made = self.archive.remake(delta, size, self.blobs, &mut take);
            if let Err(error) = made {
                file.discard();
                return Err(error);
            }
        }
        self.send(Hash::End, ended)?;
        Ok(Some(Written {
            file,
            digest,
            hashed,
        }))
    }

    fn send(&self, message: Hash, ended: impl Fn() -> Error) -> Result<()> {
        self.to_hash.send(message).map_err(|_| ended())
    }
}

/// Hashes one file after the other, and gives the pieces back.
fn hash(hashing: &Receiver<Hash>, free: &Sender<Vec<u8>>) {
    let mut now = None;
    for message in hashing {
        match message {
            Hash::Begin(algorithm, answer) => now = Some((Hasher::new(algorithm), answer)),
            Hash::Piece(piece, length) => {
                if let Some((hasher, _)) = &mut now {
                    hasher.update(piece.get(..length).unwrap_or_default());
                }
                if let Some(piece) = Arc::into_inner(piece) {
                    let _ = free.send(piece);
                }
            }
            Hash::End => {
                if let Some((hasher, answer)) = now.take() {
                    // Whoever waits for it may have failed.
                    let _ = answer.send(hasher.finish());
                }
            }
        }
    }
}

/// Judges files that were written, and waits until they are on the disk.
fn finish(
    archive: &Archive<'_>,
    finishing: &Mutex<Receiver<Written<'_>>>,
    failure: &Mutex<Option<Error>>,
) {
    loop {
        let written = finishing.lock().recv();
        let Ok(Written {
            file,
            digest,
            hashed,
        }) = written
        else {
            return;
        };
        let result = match hashed.recv() {
            Ok(found) if found == *digest => file.finish(),
            _ => {
                file.discard();
                Err(changed(archive.source, &format!("the file {digest}")))
            }
        };
        if let Err(error) = result {
            failure.lock().get_or_insert(error);
        }
    }
}
