//! Files on their way to become blobs: the directory `staging/`, who has which file of it open, and its sweep.
//! A single file is `writer`'s.
//!
//! Names of hex digits belong to fills that can be resumed, those with the prefix of uploads to pushes (see `uploads`),
//! directories with the prefix of imports to those (see `imports`); everything else in `staging/` is a leftover.

mod room;
mod writer;

pub use writer::BlobWriter;

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rustix::fs::{Mode, OFlags};

use super::damaged::Damaged;
use super::{ALGORITHMS, blob_path};
use crate::error::{Error, Kind, Result};
use crate::oci::{Algorithm, Digest};
use crate::spool::TemporaryFile;
use crate::store::directory;
pub use room::reserve;
use room::{Ledger, Room};
use writer::Place;

/// How long an interrupted fill can be resumed.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// How many interrupted fills are kept.
const KEPT_AT_MOST: usize = 64;
/// Tells a random name from one that a fill chose; no hex digit.
const RANDOM_PREFIX: &str = "new-";

/// `staging/`, shared by the directory and the files that are open in it.
pub(super) struct Staging {
    directory: PathBuf,
    /// `DATA/blobs`, where commits go.
    blobs: PathBuf,
    /// The room on the disk that the files take.
    ledger: Arc<Ledger>,
    /// Names that a `BlobWriter` has open now.
    named: Mutex<HashSet<String>>,
    /// Blobs of which what lies in place is known to be damaged.
    pub(super) damaged: Damaged,
    /// Per algorithm and first byte: whether this process made sure that the directory is there for good.
    durable: [[AtomicBool; 256]; ALGORITHMS.len()],
}

/// A named file, or what stood against opening it.
type Opened = std::result::Result<BlobWriter, (PathBuf, io::Error)>;

impl Staging {
    pub(super) fn new(directory: PathBuf, blobs: PathBuf) -> Self {
        Self {
            ledger: Arc::new(Ledger::new(directory.clone())),
            directory,
            blobs,
            named: Mutex::default(),
            damaged: Damaged::default(),
            durable: [const { [const { AtomicBool::new(false) }; 256] }; ALGORITHMS.len()],
        }
    }

    pub(super) fn stage(self: &Arc<Self>) -> Result<BlobWriter> {
        let path = self.random_path()?;
        let file = directory::new_file(&path)
            .map_err(|error| Error::io("cannot make the staged file", &path, error))?;
        Ok(self.staged(file, Place::Random(path)))
    }

    pub(super) fn stage_named(self: &Arc<Self>, name: &str) -> Result<BlobWriter> {
        if !is_fill_name(name) {
            return Err(Error::internal(
                "a staged file's name is not made of hex digits",
            ));
        }
        match self.open_named(name)? {
            Some(staged) => Ok(staged),
            None => self.stage(),
        }
    }

    /// The file of this name, with what is in it, or new; `None` while another `BlobWriter` has it open.
    pub(super) fn open_named(self: &Arc<Self>, name: &str) -> Result<Option<BlobWriter>> {
        let opened = self.hold(name, |path| match directory::new_file(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open_again(path),
            other => other,
        });
        opened
            .transpose()
            .map_err(|(path, error)| Error::io("cannot open the staged file", &path, error))
    }

    /// As [`Self::open_named`], but never makes one.
    ///
    /// # Errors
    /// `NotFound` where there is none, `Io`.
    pub(super) fn open_existing(self: &Arc<Self>, name: &str) -> Result<Option<BlobWriter>> {
        let opened = self.hold(name, open_again);
        opened.transpose().map_err(|(path, error)| {
            if error.kind() == io::ErrorKind::NotFound {
                Error::new(Kind::NotFound, "the staged file has gone")
            } else {
                Error::io("cannot open the staged file", &path, error)
            }
        })
    }

    /// What `open` makes of this name's path, for one `BlobWriter` at a time; `None` while another has it.
    fn hold(
        self: &Arc<Self>,
        name: &str,
        open: impl FnOnce(&Path) -> io::Result<File>,
    ) -> Option<Opened> {
        let is_free = self.named.lock().insert(name.to_owned());
        if !is_free {
            return None;
        }
        let path = self.directory.join(name);
        Some(match open(&path) {
            Ok(file) => {
                let name = name.to_owned();
                Ok(self.staged(file, Place::Named { name, path }))
            }
            Err(error) => {
                self.release(name);
                Err((path, error))
            }
        })
    }

    /// The room on the disk that the files take.
    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// `staging/` itself.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn stage_unlinked(self: &Arc<Self>) -> Result<BlobWriter> {
        Ok(self.staged(self.unlinked_file()?, Place::Unlinked))
    }

    /// A temporary file without a name, for others than blobs.
    pub(super) fn temporary_file(&self) -> Result<TemporaryFile> {
        let mut room = Room::new(&self.ledger, 0);
        let mut before = 0;
        Ok(TemporaryFile {
            file: self.unlinked_file()?,
            let_in: Box::new(move |to| {
                // What it was let in for before has been written. No more than that is taken: there are many of
                // these files, and most are short.
                room.wrote(before);
                room.expect(Some(to))?;
                before = to;
                Ok(())
            }),
        })
    }

    /// A file without a name.
    fn unlinked_file(&self) -> Result<File> {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        match rustix::fs::open(&self.directory, flags, Mode::RUSR | Mode::WUSR) {
            Ok(descriptor) => {
                let file = File::from(descriptor);
                // The umask may have taken bits away.
                file.set_permissions(Permissions::from_mode(directory::FILE_MODE))
                    .map_err(|error| {
                        Error::io("cannot set the mode of a file in", &self.directory, error)
                    })?;
                Ok(file)
            }
            Err(error) if error == rustix::io::Errno::NOSPC => Err(Error::io(
                "cannot make a temporary file in",
                &self.directory,
                error.into(),
            )),
            // Not every filesystem has O_TMPFILE; each refuses it with an error of its own.
            Err(_) => {
                let path = self.random_path()?;
                directory::new_file(&path)
                    .and_then(|file| fs::remove_file(&path).map(|()| file))
                    .map_err(|error| Error::io("cannot make the temporary file", &path, error))
            }
        }
    }

    /// Of interrupted fills removes those that are older than a day, and the oldest beyond 64. What a
    /// `BlobWriter` of this process has open under a fill's name stays. What lies under random names is a
    /// leftover if `leftovers` says so: only at the start does nobody write there.
    pub(super) fn sweep(&self, now: SystemTime, leftovers: bool) -> Result<()> {
        let failed = |error| Error::io("cannot clear", &self.directory, error);
        let named = self.named.lock();
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let metadata = match entry.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(failed)?,
            };
            if metadata.is_dir() {
                let written = metadata.modified().unwrap_or(now);
                Self::forget_import(&entry.path(), written, now)?;
                continue;
            }
            let name = entry.file_name();
            let name = name.to_str().unwrap_or_default();
            if named.contains(name) || crate::store::blobs::uploads::id_of(name).is_some() {
                continue;
            }
            let written = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let is_young =
                now.duration_since(written).is_ok_and(|age| age <= KEPT_FOR) || written > now;
            let is_fill = metadata.is_file() && is_fill_name(name);
            if is_fill && is_young {
                kept.push((written, entry.path()));
            } else if is_fill || leftovers {
                remove_if_there(&entry.path())?;
            }
        }
        kept.sort();
        let too_many = kept.len().saturating_sub(KEPT_AT_MOST);
        for (_, path) in kept.iter().take(too_many) {
            remove_if_there(path)?;
        }
        Ok(())
    }

    pub(super) fn count(&self) -> Result<u64> {
        fs::read_dir(&self.directory)
            .map(|entries| entries.count() as u64)
            .map_err(|error| Error::io("cannot read", &self.directory, error))
    }

    fn staged(self: &Arc<Self>, file: File, place: Place) -> BlobWriter {
        let written = file.metadata().map_or(0, |metadata| metadata.len());
        BlobWriter {
            staging: Arc::clone(self),
            file: Arc::new(file),
            place,
            room: Room::new(&self.ledger, written),
        }
    }

    fn release(&self, name: &str) {
        self.named.lock().remove(name);
    }

    fn random_path(&self) -> Result<PathBuf> {
        let number = getrandom::u64()
            .map_err(|error| Error::internal("the system gives no random bytes").because(error))?;
        Ok(self.directory.join(format!("{RANDOM_PREFIX}{number:016x}")))
    }

    /// Moves a synced file to its place, with its name and every directory above it on disk.
    pub(super) fn publish(&self, from: &Path, digest: &Digest) -> Result<()> {
        let to = blob_path(&self.blobs, digest);
        self.make_durable_directory(digest)?;
        let mut renamed = fs::rename(from, &to);
        if matches!(&renamed, Err(error) if error.kind() == io::ErrorKind::NotFound) {
            // Somebody removed the directory under us.
            if let Some(flag) = self.durable_flag(digest) {
                flag.store(false, Ordering::Relaxed);
            }
            self.make_durable_directory(digest)?;
            renamed = fs::rename(from, &to);
        }
        renamed.map_err(|error| Error::io("cannot move the staged file to", &to, error))?;
        self.damaged.remove(digest);
        directory::sync_directory(to.parent().unwrap_or(&self.blobs))
    }

    /// Makes `ALG/AB` and syncs `ALG`, once in a process: afterwards the directory outlives a power cut.
    fn make_durable_directory(&self, digest: &Digest) -> Result<()> {
        let flag = self.durable_flag(digest);
        if flag.is_some_and(|flag| flag.load(Ordering::Acquire)) {
            return Ok(());
        }
        let above = self.blobs.join(digest.algorithm().as_str());
        directory::make_directory(&above.join(digest.hex().get(..2).unwrap_or_default()))?;
        // Also when it was there: another thread may have made it and not synced it yet.
        directory::sync_directory(&above)?;
        if let Some(flag) = flag {
            flag.store(true, Ordering::Release);
        }
        Ok(())
    }

    fn durable_flag(&self, digest: &Digest) -> Option<&AtomicBool> {
        let algorithm = match digest.algorithm() {
            Algorithm::Sha256 => 0,
            Algorithm::Sha512 => 1,
        };
        let byte = u8::from_str_radix(digest.hex().get(..2)?, 16).ok()?;
        self.durable.get(algorithm)?.get(usize::from(byte))
    }
}

fn open_again(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("cannot remove", path, error))
        }
        _ => Ok(()),
    }
}

/// Lower-case hex digits, and no longer than a digest of SHA-512: what `stage_named` takes.
fn is_fill_name(name: &str) -> bool {
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (1..=128).contains(&name.len()) && name.bytes().all(is_hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_names_are_told_from_those_of_fills() {
        let directory = tempfile::tempdir().unwrap();
        let (blobs, _) = crate::store::BlobDir::open_directory(directory.path()).unwrap();
        let path = blobs.staging.random_path().unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(!is_fill_name(name), "{name}");
        assert!(is_fill_name(Digest::of(b"").hex()));
    }
}
