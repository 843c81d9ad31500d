//! What imports have brought and nobody has adopted yet: `staging/import-HEX/`, in which each file is named by the hex
//! digits of its digest, and by these and `.part` until it is whole, hashed and on the disk. Nothing in it is served.
//!
//! The command that imports writes here, in a process of its own while a server runs. The directory outlives a break, so
//! that the import goes on where it was, and goes when it was adopted, or some days after it was last written to.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::staging::Staging;
use super::{Blob, BlobDir, blob_path, size_of};
use crate::error::{Error, Kind, Result};
use crate::oci::{Algorithm, Digest};
use crate::store::directory;

const PREFIX: &str = "import-";
const PART: &str = ".part";
/// Held by the command, so that no other one imports the same.
const LOCK: &str = "lock";
/// Held by whoever changes the files: the command while it writes them, then whoever adopts them. A command may have been killed
/// while the server adopts what it had staged.
const CHANGING: &str = "changing";
/// How long a broken-off import can go on.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The directory of one import, for whoever writes to it: one process at a time.
pub struct ImportDirectory {
    path: PathBuf,
    _lock: File,
    changing: File,
}

/// What keeps commands from writing while the files are adopted.
#[derive(Debug)]
pub struct Adopting {
    _changing: File,
}

/// A file that an import is writing.
pub struct ImportedFile {
    file: File,
    part: PathBuf,
    whole: PathBuf,
}

impl ImportDirectory {
    /// That of the import `id` in the data directory, made if it is not there. A server that still adopts what another
    /// command had staged is waited for.
    ///
    /// # Errors
    /// `Conflict` while another process has it; `Io` and `Full` with the path.
    pub fn open(data: &Path, id: &Digest) -> Result<Self> {
        let staging = data.join("staging");
        directory::make_directory(&staging)?;
        let path = staging.join(name(id)?);
        loop {
            if directory::make_directory(&path)? {
                directory::sync_directory(&staging)?;
            }
            let lock = open_lock(&path.join(LOCK))?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => {
                    let what = "another import of the same bundle is running";
                    return Err(Error::new(Kind::Conflict, what).remedy("wait until it is done"));
                }
                Err(fs::TryLockError::Error(error)) => {
                    return Err(Error::io("cannot lock", &path.join(LOCK), error));
                }
            }
            let changing = lock_changing(&path)?;
            // Whoever adopted removes the directory at the end.
            if path.join(CHANGING).exists() {
                return Ok(Self {
                    path,
                    _lock: lock,
                    changing,
                });
            }
        }
    }

    /// Everything is staged, and somebody is about to be asked to adopt it.
    ///
    /// # Errors
    /// `Io`.
    pub fn hand_over(&self) -> Result<()> {
        let unlocked = self.changing.unlock();
        unlocked.map_err(|error| Error::io("cannot unlock", &self.path, error))
    }

    /// The size of a file that is whole.
    ///
    /// # Errors
    /// `Io`.
    pub fn size_of(&self, digest: &Digest) -> Result<Option<u64>> {
        size_of(&self.path.join(digest.hex()))
    }

    /// A new file for these bytes, in place of one that is not whole.
    ///
    /// # Errors
    /// `Io`, `Full`.
    pub fn begin(&self, digest: &Digest) -> Result<ImportedFile> {
        let whole = self.path.join(digest.hex());
        let part = self.path.join(format!("{}{PART}", digest.hex()));
        remove_if_there(&part)?;
        let file =
            directory::new_file(&part).map_err(|error| Error::io("cannot make", &part, error))?;
        Ok(ImportedFile { file, part, whole })
    }

    /// Makes the names of what is whole survive a power cut.
    ///
    /// # Errors
    /// `Io`.
    pub fn sync(&self) -> Result<()> {
        directory::sync_directory(&self.path)
    }
}

impl ImportedFile {
    /// # Errors
    /// `Io`, `Full`.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes);
        written.map_err(|error| Error::io("cannot write", &self.part, error))
    }

    /// The bytes are all there, and their digest is the one that they are staged under: the file counts from now on.
    ///
    /// # Errors
    /// `Io`, `Full`.
    pub fn finish(self) -> Result<()> {
        let synced = self.file.sync_all();
        synced.map_err(|error| Error::io("cannot sync", &self.part, error))?;
        fs::rename(&self.part, &self.whole)
            .map_err(|error| Error::io("cannot rename", &self.part, error))
    }

    /// Throws it away.
    pub fn discard(self) {
        // What stays is written over by the next import, or goes with the directory.
        let _ = fs::remove_file(&self.part);
    }
}

impl BlobDir {
    /// Waits until no command writes to the import `id`; `None` where there is none, because all of it was adopted.
    ///
    /// # Errors
    /// `Io`.
    pub fn begin_adoption(&self, id: &Digest) -> Result<Option<Adopting>> {
        let path = self.import_path(id)?;
        if !path.exists() {
            return Ok(None);
        }
        let _changing = lock_changing(&path)?;
        Ok(Some(Adopting { _changing }))
    }

    /// What the import `id` has brought under this digest, if that is whole.
    ///
    /// # Errors
    /// `Io`.
    pub fn imported(&self, id: &Digest, digest: &Digest) -> Result<Option<Blob>> {
        let path = self.import_path(id)?.join(digest.hex());
        let failed = |error| Error::io("cannot open", &path, error);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let size = file.metadata().map_err(failed)?.len();
        Ok(Some(Blob::new(Arc::new(file), size)))
    }

    /// Makes visible what the import `id` has brought under this digest; false where it has not, or did so before. What was
    /// damaged in its place is mended by it.
    ///
    /// # Errors
    /// `Io`, `Full`.
    pub fn adopt(&self, id: &Digest, digest: &Digest) -> Result<bool> {
        let from = self.import_path(id)?.join(digest.hex());
        let Some(size) = size_of(&from)? else {
            return Ok(false);
        };
        let to = blob_path(&self.root, digest);
        if size_of(&to)? == Some(size) && !self.staging.damaged.contains(digest) {
            remove_if_there(&from)?;
            directory::sync_directory(to.parent().unwrap_or(&to))?;
            return Ok(true);
        }
        self.staging.publish(&from, digest)?;
        Ok(true)
    }

    /// Removes what an import has staged: all of it was adopted.
    ///
    /// # Errors
    /// `Io`.
    pub fn end_import(&self, id: &Digest) -> Result<()> {
        remove(&self.import_path(id)?)
    }

    fn import_path(&self, id: &Digest) -> Result<PathBuf> {
        Ok(self.staging.directory().join(name(id)?))
    }
}

impl Staging {
    /// Removes the import in `path` if nobody has written to it for some days.
    pub(super) fn forget_import(path: &Path, written: SystemTime, now: SystemTime) -> Result<()> {
        let name = path.file_name().and_then(|name| name.to_str());
        let is_import = name.is_some_and(|name| name.starts_with(PREFIX));
        let is_old = now.duration_since(written).is_ok_and(|age| age > KEPT_FOR);
        if !is_import || !is_old {
            return Ok(());
        }
        let is_locked =
            |name| File::open(path.join(name)).is_ok_and(|lock| lock.try_lock().is_err());
        let is_held = is_locked(LOCK) || is_locked(CHANGING);
        match is_held {
            true => Ok(()),
            false => remove(path),
        }
    }
}

/// An import is named by what it imports: the digest of the document that says what is in it.
fn name(id: &Digest) -> Result<String> {
    match id.algorithm() {
        Algorithm::Sha256 => Ok(format!("{PREFIX}{}", id.hex())),
        Algorithm::Sha512 => Err(Error::internal("an import is named by another digest")),
    }
}

fn open_lock(path: &Path) -> Result<File> {
    directory::make_file(path)?;
    let opened = fs::OpenOptions::new().write(true).open(path);
    opened.map_err(|error| Error::io("cannot open", path, error))
}

fn lock_changing(import: &Path) -> Result<File> {
    let path = import.join(CHANGING);
    let file = open_lock(&path)?;
    let locked = file.lock();
    locked.map_err(|error| Error::io("cannot lock", &path, error))?;
    Ok(file)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("cannot remove", path, error))
        }
        _ => Ok(()),
    }
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("cannot remove", path, error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_staged_is_adopted_once_and_an_old_import_goes() {
        let data = tempfile::tempdir().unwrap();
        let (blobs, _) = BlobDir::open_directory(data.path()).unwrap();
        let (id, digest) = (Digest::of(b"bundle"), Digest::of(b"layer"));
        let import = ImportDirectory::open(data.path(), &id).unwrap();
        let again = ImportDirectory::open(data.path(), &id).err().unwrap();
        assert_eq!(again.kind(), Kind::Conflict);
        let mut file = import.begin(&digest).unwrap();
        file.append(b"layer").unwrap();
        assert!(blobs.imported(&id, &digest).unwrap().is_none());
        assert!(!blobs.adopt(&id, &digest).unwrap());
        file.finish().unwrap();
        import.sync().unwrap();
        import.hand_over().unwrap();
        let adopting = blobs.begin_adoption(&id).unwrap();
        assert!(adopting.is_some());
        drop(adopting);
        assert_eq!(import.size_of(&digest).unwrap(), Some(5));
        assert!(!blobs.contains(&digest).unwrap());
        assert!(blobs.adopt(&id, &digest).unwrap());
        assert!(!blobs.adopt(&id, &digest).unwrap());
        assert_eq!(blobs.size_of(&digest).unwrap(), Some(5));

        let path = data.path().join("staging").join(name(&id).unwrap());
        let now = SystemTime::now();
        let later = now + Duration::from_secs(8 * 24 * 60 * 60);
        blobs.staging.sweep(now, true).unwrap();
        blobs.staging.sweep(later, true).unwrap();
        assert!(path.exists(), "somebody holds it");
        drop(import);
        blobs.staging.sweep(now, true).unwrap();
        assert!(path.exists(), "it is young");
        blobs.staging.sweep(later, false).unwrap();
        assert!(!path.exists());
    }
}
