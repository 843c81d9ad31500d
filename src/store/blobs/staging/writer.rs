//! One file on its way to become a blob, and the commit that makes it visible.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD};

use super::Staging;
use super::room::Room;
use crate::error::{Error, Kind, Result};
use crate::oci::Digest;
use crate::store::blobs::{Blob, blob_path, size_of};
use crate::store::directory;

/// A file on its way to become a blob. Written with [`Self::write`] by one writer, and read through [`Self::reader`] by
/// many meanwhile.
pub struct BlobWriter {
    pub(super) staging: Arc<Staging>,
    pub(super) file: Arc<File>,
    pub(super) place: Place,
    pub(super) room: Room,
}

/// Where a staged file can be found, which decides what a drop does.
pub(super) enum Place {
    /// Under a random name: removed.
    Random(PathBuf),
    /// Under the fill's name: kept.
    Named { name: String, path: PathBuf },
    /// Under no name: the kernel removes it.
    Unlinked,
    /// Committed or discarded: nothing is left to do.
    Settled,
}

impl BlobWriter {
    /// What is in it until now and what will be written, for any number of readers. It stays good over `commit`.
    ///
    /// # Errors
    /// `Io`.
    pub fn reader(&self) -> Result<Blob> {
        Ok(Blob::new(Arc::clone(&self.file), self.length()?))
    }

    /// The file's length now: what an interrupted fill left, for `stage_named`.
    pub fn length(&self) -> Result<u64> {
        self.file
            .metadata()
            .map(|metadata| metadata.len())
            .map_err(|error| Error::io("cannot read", self.shown_path(), error))
    }

    /// Takes room on the disk for a file that will be `length` bytes long in all (`None`: nobody knows), before
    /// anything is written.
    ///
    /// # Errors
    /// `Full` where there is not as much beside what stays free for the databases.
    pub fn expect(&mut self, length: Option<u64>) -> Result<()> {
        self.room.expect(length)
    }

    /// Writes at an offset, and takes more room if need be.
    ///
    /// # Errors
    /// `Full` where there is none, `Io`.
    pub fn write(&mut self, bytes: &[u8], at: u64) -> Result<()> {
        let end = at.saturating_add(bytes.len() as u64);
        self.room.let_in(end)?;
        self.file
            .write_all_at(bytes, at)
            .map_err(|error| Error::io("cannot write", self.shown_path(), error))?;
        self.room.wrote(end);
        Ok(())
    }

    /// Throws away what is in it, to begin anew.
    ///
    /// # Errors
    /// `Io`.
    pub fn restart(&mut self) -> Result<()> {
        self.file
            .set_len(0)
            .map_err(|error| Error::io("cannot empty", self.shown_path(), error))?;
        self.room = Room::new(&self.staging.ledger, 0);
        Ok(())
    }

    /// Writes what is in it to the disk, so that the commit need not wait for that any more.
    pub fn sync(&self) -> Result<()> {
        self.file
            .sync_all()
            .map_err(|error| Error::io("cannot sync", self.shown_path(), error))
    }

    /// Makes it visible under `digest`: fsync, rename (or linkat for an unlinked one), fsync of the directory. The caller has hashed
    /// the bytes: `digest` is what came out of the `oci::Hasher`. If the blob exists already, the staged file is dropped;
    /// one of another length, or that is known to be damaged, is replaced.
    pub fn commit(mut self, digest: &Digest) -> Result<()> {
        let to = blob_path(&self.staging.blobs, digest);
        if size_of(&to)? == Some(self.length()?) && !self.staging.damaged.contains(digest) {
            self.settle(true);
            // Whoever renamed it may not have synced the directory yet, and rows are about to be written.
            return directory::sync_directory(to.parent().unwrap_or(&to));
        }
        self.replace(digest)
    }

    /// As [`Self::commit`], over whatever is in place: what was damaged there is mended by it.
    pub fn replace(mut self, digest: &Digest) -> Result<()> {
        if let Err(error) = self.file.sync_all() {
            let failed = Error::io("cannot sync", self.shown_path(), error);
            // The kernel tells of this once. Whoever opened the file again would find its bytes in memory, sync it without an
            // error, and keep what is not on the disk.
            self.settle(true);
            return Err(failed);
        }
        let staging = Arc::clone(&self.staging);
        match &self.place {
            Place::Random(path) | Place::Named { path, .. } => {
                let result = staging.publish(path, digest);
                // What a full disk refuses must not go on filling it.
                let is_full = matches!(&result, Err(error) if error.kind() == Kind::Full);
                if is_full || result.is_ok() {
                    self.settle(is_full);
                }
                result
            }
            Place::Unlinked => {
                let path = self.link()?;
                let result = staging.publish(&path, digest);
                if result.is_err() {
                    // The error that counts is the first one.
                    let _ = fs::remove_file(&path);
                }
                result
            }
            Place::Settled => Err(Error::internal("a staged file was committed twice")),
        }
    }

    pub fn discard(mut self) {
        self.settle(true);
    }

    /// Gives an unlinked file a name in `staging/`; by a copy where the kernel does not.
    fn link(&self) -> Result<PathBuf> {
        let path = self.staging.random_path()?;
        let descriptor = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        if rustix::fs::linkat(CWD, &descriptor, CWD, &path, AtFlags::SYMLINK_FOLLOW).is_ok() {
            return Ok(path);
        }
        let mut of_copy = Room::new(&self.staging.ledger, 0);
        of_copy.expect(Some(self.length()?))?;
        let failed = |error| Error::io("cannot copy the temporary file to", &path, error);
        let result = directory::new_file(&path)
            .and_then(|copy| copy_all(&self.file, &copy))
            .map_err(failed);
        if result.is_err() {
            let _ = fs::remove_file(&path);
        }
        result.map(|()| path)
    }

    /// Ends the staged file's life, once.
    fn settle(&mut self, remove: bool) {
        match std::mem::replace(&mut self.place, Place::Settled) {
            Place::Random(path) => {
                if remove {
                    // A leftover is cleared at the next start.
                    let _ = fs::remove_file(path);
                }
            }
            Place::Named { name, path } => {
                if remove {
                    let _ = fs::remove_file(path);
                }
                self.staging.release(&name);
            }
            Place::Unlinked | Place::Settled => {}
        }
    }

    fn shown_path(&self) -> &Path {
        match &self.place {
            Place::Random(path) | Place::Named { path, .. } => path,
            Place::Unlinked | Place::Settled => &self.staging.directory,
        }
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        let remove = matches!(self.place, Place::Random(_));
        self.settle(remove);
    }
}

/// Copies from the start, whatever the file's position is, and syncs.
fn copy_all(from: &File, to: &File) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0_u64;
    loop {
        match from.read_at(&mut buffer, at) {
            Ok(0) => return to.sync_all(),
            Ok(read) => {
                to.write_all_at(buffer.get(..read).unwrap_or_default(), at)?;
                at = at.saturating_add(read as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::BlobDir;

    #[test]
    fn an_unlinked_file_that_cannot_be_linked_is_copied() {
        let directory = tempfile::tempdir().unwrap();
        let (blobs, _) = BlobDir::open_directory(directory.path()).unwrap();
        let staging = &blobs.staging;
        // As on a filesystem without O_TMPFILE: made and removed, so that linkat finds no file.
        let path = staging.random_path().unwrap();
        let file = directory::new_file(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let bytes = vec![9; (2 << 20) + 5];
        file.write_all_at(&bytes, 0).unwrap();
        let digest = Digest::of(&bytes);
        staging
            .staged(file, Place::Unlinked)
            .commit(&digest)
            .unwrap();
        let path = blob_path(&staging.blobs, &digest);
        assert_eq!(fs::read(&path).unwrap(), bytes);
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(
            std::os::unix::fs::MetadataExt::mode(&metadata) & 0o7777,
            0o600
        );
        assert_eq!(staging.count().unwrap(), 0);
    }
}
