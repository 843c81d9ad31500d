//! The files of a bundle: written under other names, in parts where that is asked for, and renamed once all of them are on
//! the disk. The list of their digests comes last.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rustix::fs::{FlockOperation, flock};
use serde::Serialize;

use super::files::{PARTIAL, SUMS, beside, directory_of, failed, is_ours, make, name_of};
use crate::cli::output::{counted, hint, shown_size};
use crate::error::{Error, Kind, Result};
use crate::oci::{Algorithm, Digest, Hasher};
use crate::upkeep::bundle::{Chunk, Sink};

/// Names of parts have three digits, so that the shell sorts them.
const MOST_PARTS: u64 = 999;
/// So many bytes are written by one call: for larger ones Linux takes larger pages, which it fills more slowly.
const AT_ONCE: usize = 128 << 10;
/// So many pieces wait for the thread that hashes.
const WAITING: usize = 2;

/// One file of a bundle.
#[derive(Debug, Serialize)]
pub(super) struct WrittenFile {
    pub(super) name: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
}

pub(super) struct Output {
    path: PathBuf,
    /// The bytes of a part; all of it is one where none is said.
    split: Option<u64>,
    /// The files so far, under their names to be.
    files: Vec<PathBuf>,
    file: Option<File>,
    /// The bytes of the file that is being written.
    at: u64,
    hashing: Option<(SyncSender<Chunk>, JoinHandle<Vec<(Digest, u64)>>)>,
    is_done: bool,
}

impl Output {
    /// Makes the first file. What an earlier export left that was killed is removed, and said.
    ///
    /// # Errors
    /// `Conflict` where there is a bundle of that name, or another export writes it, `Full` where it cannot have room,
    /// `Usage` for too many parts, `Io`.
    pub(super) fn begin(path: &Path, split: Option<u64>, size: u64, force: bool) -> Result<Self> {
        if split.is_some_and(|split| size.div_ceil(split.max(1)) > MOST_PARTS) {
            let what = format!(
                "{} in parts of that size would be more than {MOST_PARTS} parts",
                shown_size(size)
            );
            let least = shown_size(size.div_ceil(MOST_PARTS));
            return Err(Error::new(Kind::Usage, what)
                .remedy(format!("give --split a size of at least {least}")));
        }
        let mut output = Self {
            path: path.to_owned(),
            split: split.filter(|split| *split > 0),
            files: Vec::new(),
            file: None,
            at: 0,
            hashing: None,
            is_done: false,
        };
        Self::check_name(path, force)?;
        output.clear_leftovers()?;
        output.check_room(size)?;
        output.restart()?;
        Ok(output)
    }

    /// Refuses a name that is taken: before work is spent on what it is for.
    ///
    /// # Errors
    /// `Conflict`, `Io`.
    pub(super) fn check_name(path: &Path, force: bool) -> Result<()> {
        match existing(path, false)?.into_iter().next() {
            Some(existing) if !force => {
                let what = format!("{} exists already", existing.display());
                Err(Error::new(Kind::Conflict, what)
                    .remedy("name another file, or replace the bundle with --force"))
            }
            _ => Ok(()),
        }
    }

    /// Begins anew: what was written is thrown away.
    pub(super) fn restart(&mut self) -> Result<()> {
        self.remove_partial();
        let split = self.split;
        let (sender, receiver) = sync_channel(WAITING);
        let hashing = std::thread::Builder::new()
            .name("hash".into())
            .spawn(move || hash(&receiver, split))
            .map_err(|error| Error::internal("cannot start a thread").because(error))?;
        self.hashing = Some((sender, hashing));
        self.open_next()
    }

    /// Puts everything in its place.
    ///
    /// # Errors
    /// `Full`, `Io`: then nothing is there.
    pub(super) fn finish(mut self) -> Result<Vec<WrittenFile>> {
        self.close()?;
        let hashed = self.hashing.take().map(|(sender, hashing)| {
            drop(sender);
            hashing.join()
        });
        let hashed = hashed.and_then(|joined| joined.ok());
        let hashed = hashed.ok_or_else(|| Error::internal("the thread that hashes panicked"))?;
        let files: Vec<_> = self
            .files
            .iter()
            .zip(hashed)
            .map(|(path, (digest, size))| WrittenFile {
                name: name_of(path),
                digest,
                size,
            })
            .collect();
        let sums = beside(&self.path, SUMS);
        let lines: String = files
            .iter()
            .map(|file| format!("{}  {}\n", file.digest.hex(), file.name))
            .collect();
        self.files.push(sums.clone());
        let partial = beside(&sums, PARTIAL);
        let written = make(&partial).and_then(|mut file| {
            file.write_all(lines.as_bytes())?;
            file.sync_all()
        });
        written.map_err(|error| failed("cannot write", &partial, error))?;
        // What --force replaces goes now: until here the old bundle was whole.
        for old in existing(&self.path, false)? {
            fs::remove_file(&old).map_err(|error| failed("cannot replace", &old, error))?;
        }
        for path in &self.files {
            let partial = beside(path, PARTIAL);
            fs::rename(&partial, path).map_err(|error| failed("cannot make", path, error))?;
        }
        self.is_done = true;
        let synced = File::open(directory_of(&self.path)).and_then(|parent| parent.sync_all());
        // Some filesystems of removable media cannot sync a directory.
        let _ = synced;
        Ok(files)
    }

    fn open_next(&mut self) -> Result<()> {
        let number = self.files.len().saturating_add(1);
        let path = match self.split {
            Some(_) => beside(&self.path, &format!(".{number:03}")),
            None => self.path.clone(),
        };
        let partial = beside(&path, PARTIAL);
        let file = make(&partial).map_err(|error| failed("cannot make", &partial, error))?;
        self.files.push(path);
        self.file = Some(file);
        self.at = 0;
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        let path = self.files.last().unwrap_or(&self.path);
        if let Some(file) = self.file.take() {
            file.sync_all()
                .map_err(|error| failed("cannot write", path, error))?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let path = self.files.last().unwrap_or(&self.path);
        if let Some(file) = &mut self.file {
            for some in bytes.chunks(AT_ONCE) {
                file.write_all(some)
                    .map_err(|error| failed("cannot write", path, error))?;
            }
        }
        self.at = self.at.saturating_add(bytes.len() as u64);
        Ok(())
    }

    fn clear_leftovers(&self) -> Result<()> {
        let leftovers = existing(&self.path, true)?;
        let mut bytes = 0_u64;
        for path in &leftovers {
            let file = File::open(path).map_err(|error| failed("cannot read", path, error))?;
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                let what = format!("another export is writing {}", self.path.display());
                return Err(
                    Error::new(Kind::Conflict, what).remedy("wait for it, or name another file")
                );
            }
            bytes = bytes.saturating_add(file.metadata().map_or(0, |metadata| metadata.len()));
            fs::remove_file(path).map_err(|error| failed("cannot remove", path, error))?;
        }
        if !leftovers.is_empty() {
            hint(&format!(
                "an earlier export to {} was broken off: removed {} of it ({})",
                self.path.display(),
                counted(leftovers.len() as u64, "file"),
                shown_size(bytes)
            ));
        }
        Ok(())
    }

    fn check_room(&self, size: u64) -> Result<()> {
        let directory = directory_of(&self.path);
        let space = rustix::fs::statvfs(directory)
            .map_err(|error| failed("cannot ask for the space at", directory, error.into()))?;
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        if free < size {
            let what = format!(
                "the bundle takes {}, and {} has {} free",
                shown_size(size),
                directory.display(),
                shown_size(free)
            );
            return Err(Error::new(Kind::Full, what).remedy(
                "free space there, name another place, or carry less: --have, --platform, --pulled-since",
            ));
        }
        Ok(())
    }

    fn remove_partial(&mut self) {
        self.file = None;
        // Ends the thread.
        self.hashing = None;
        for path in self.files.drain(..) {
            // What cannot be removed has a name that looks like nothing whole, and is removed by the next export.
            let _ = fs::remove_file(beside(&path, PARTIAL));
        }
    }
}

/// The files of this name that are there: the bundle, its parts and their list; or what was not finished of these.
fn existing(path: &Path, partial: bool) -> Result<Vec<PathBuf>> {
    let directory = directory_of(path);
    let base = path.file_name().unwrap_or_default();
    let entries =
        fs::read_dir(directory).map_err(|error| failed("cannot look into", directory, error))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| failed("cannot look into", directory, error))?;
        if is_ours(&entry.file_name(), base, partial) {
            found.push(directory.join(entry.file_name()));
        }
    }
    found.sort();
    Ok(found)
}

impl Sink for Output {
    fn take(&mut self, chunk: &Chunk) -> Result<()> {
        if let Some((sender, _)) = &self.hashing {
            let sent = sender.send(Chunk::clone(chunk));
            sent.map_err(|_| Error::internal("the thread that hashes has ended"))?;
        }
        let Some(split) = self.split else {
            return self.write(chunk);
        };
        let mut rest = chunk.as_slice();
        while !rest.is_empty() {
            if self.at >= split {
                self.close()?;
                self.open_next()?;
            }
            let room = usize::try_from(split.saturating_sub(self.at)).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at_checked(room).unwrap_or((rest, &[]));
            self.write(now)?;
            rest = later;
        }
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.is_done {
            self.remove_partial();
        }
    }
}

/// The digests of the files, with their sizes: of all the pieces, or of each part of them.
fn hash(receiver: &Receiver<Chunk>, split: Option<u64>) -> Vec<(Digest, u64)> {
    let mut hashed = Vec::new();
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut at = 0_u64;
    for chunk in receiver {
        let mut rest = chunk.as_slice();
        while !rest.is_empty() {
            if split.is_some_and(|split| at >= split) {
                let full = std::mem::replace(&mut hasher, Hasher::new(Algorithm::Sha256));
                hashed.push((full.finish(), at));
                at = 0;
            }
            let room = split.map_or(u64::MAX, |split| split.saturating_sub(at));
            let room = usize::try_from(room).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at_checked(room).unwrap_or((rest, &[]));
            hasher.update(now);
            at = at.saturating_add(now.len() as u64);
            rest = later;
        }
    }
    hashed.push((hasher.finish(), at));
    hashed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_hashed_where_they_are_cut() {
        for split in [1, 3, 4, 5, 10, 11] {
            let (sender, receiver) = sync_channel(10);
            for chunk in [&b"0123"[..], b"45", b"", b"6789"] {
                sender.send(Chunk::new(chunk.to_vec())).unwrap();
            }
            drop(sender);
            let expected: Vec<_> = b"0123456789"
                .chunks(usize::try_from(split).unwrap())
                .map(|part| (Digest::of(part), part.len() as u64))
                .collect();
            assert_eq!(hash(&receiver, Some(split)), expected, "{split}");
        }
    }
}
