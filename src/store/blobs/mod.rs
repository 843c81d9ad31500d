//! The content-addressed directory: `blobs/ALG/AB/HEX`, and `staging/` beside it.
//!
//! Owns the files: how they become visible (invariant 3: hash, fsync, rename, fsync of the directory), and
//! how they go. A path is built from a [`Digest`] or from a name of hex digits, from nothing else. Knows no row.

mod blob;
mod damaged;
mod imports;
mod scan;
mod staging;
mod uploads;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quick_cache::sync::Cache;

use self::staging::Staging;
use super::directory;
use crate::context;
use crate::error::{Error, Kind, Result};
use crate::oci::{Algorithm, Digest, Hasher};
use crate::spool::{Content, IN_MEMORY, Spools};
use crate::time::Timestamp;

pub use self::blob::Blob;
pub use self::imports::{Adopting, ImportDirectory, ImportedFile};
pub(crate) use self::scan::BlobPrefix;
pub use self::staging::{BlobWriter, reserve};
pub use self::uploads::StagedUpload;

/// So many long manifests need not be hashed again.
const HASHES_KEPT: usize = 1_000;
/// The algorithms, each a directory below `blobs/`.
const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

/// The blob directory. A blob is visible only after hash, fsync, rename, fsync of its directory.
pub struct BlobDir {
    /// `DATA/blobs`.
    root: PathBuf,
    staging: Arc<Staging>,
    /// Files of long manifests that were hashed, and whether they are what they should be.
    hashed: Cache<Digest, (Version, bool)>,
}

/// What of a file changes when anybody writes to it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Version {
    file: (u64, u64),
    length: u64,
    changed: (i64, i64),
}

impl Version {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Without the times, which a change of its mode sets too.
    fn identity(self) -> ((u64, u64), u64) {
        (self.file, self.length)
    }
}

impl BlobDir {
    /// Opens `DATA/blobs` and `DATA/staging`, makes what is missing; says whether `blobs/` was new.
    pub(super) fn open_directory(data: &Path) -> Result<(Self, bool)> {
        let root = data.join("blobs");
        let staging = data.join("staging");
        let is_new = directory::make_directory(&root)?;
        let mut has_new = directory::make_directory(&staging)? || is_new;
        for algorithm in ALGORITHMS {
            has_new |= directory::make_directory(&root.join(algorithm.as_str()))?;
        }
        if has_new {
            directory::sync_directory(&root)?;
            directory::sync_directory(data)?;
        }
        Ok((Self::of(data), is_new))
    }

    /// That of a data directory, or of a copy of one, of which nothing is made: for reading alone.
    pub(super) fn of(data: &Path) -> Self {
        let (root, staging) = (data.join("blobs"), data.join("staging"));
        Self {
            staging: Arc::new(Staging::new(staging, root.clone())),
            root,
            hashed: Cache::new(HASHES_KEPT),
        }
    }

    /// Opens a blob for reading; `None` where it is not, or is known to be damaged.
    pub fn open(&self, digest: &Digest) -> Result<Option<Blob>> {
        if self.staging.damaged.contains(digest) {
            return Ok(None);
        }
        self.open_even_damaged(digest)
    }

    /// As [`Self::open`], for whoever looks whether it is damaged.
    pub(crate) fn open_even_damaged(&self, digest: &Digest) -> Result<Option<Blob>> {
        context::waits();
        let path = self.path(digest);
        let failed = |error| Error::io("cannot open the blob", &path, error);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(
                Error::new(Kind::Io, format!("{} is not a file", path.display()))
                    .remedy("run `breakwater verify`"),
            );
        }
        Ok(Some(Blob::new(Arc::new(file), metadata.len())))
    }

    /// What is in a manifest's file, in memory if it is short and otherwise in that file; `None` if it is not what
    /// `digest` is of. A long one is hashed once for any number of readers, and again after it was written to.
    pub fn intact(&self, blob: &Blob, digest: &Digest) -> Result<Option<Content>> {
        let content = blob.content();
        if blob.size() <= IN_MEMORY as u64 {
            let bytes = content.read()?;
            let is_intact = Digest::of_with(digest.algorithm(), &bytes) == *digest;
            return Ok(is_intact.then(|| bytes.into_owned().into()));
        }
        let now = blob
            .version()
            .map_err(|error| Error::io("cannot read", &self.path(digest), error))?;
        let hashed = || -> Result<(Version, bool)> {
            Ok((now, digest_of(&content, digest.algorithm())? == *digest))
        };
        let (version, is_intact) = match self.hashed.get_or_insert_with(digest, hashed)? {
            (version, _) if version != now => hashed()?,
            known => known,
        };
        self.hashed.insert(digest.clone(), (version, is_intact));
        Ok(is_intact.then_some(content))
    }

    /// Whether the file is there.
    pub fn contains(&self, digest: &Digest) -> Result<bool> {
        Ok(self.size_of(digest)?.is_some())
    }

    /// The file's size; `None` where it is not.
    pub(crate) fn size_of(&self, digest: &Digest) -> Result<Option<u64>> {
        size_of(&self.path(digest))
    }

    /// Whether the bytes are known to be damaged or gone.
    pub(crate) fn is_known_damaged(&self, digest: &Digest) -> bool {
        self.staging.damaged.contains(digest)
    }

    /// Whether that is known of any blob.
    pub(crate) fn has_damaged(&self) -> bool {
        self.staging.damaged.any()
    }

    /// From now on nobody is given these bytes.
    pub(super) fn hide_damaged(&self, digest: &Digest) {
        self.staging.damaged.insert(digest.clone());
    }

    /// From now on whoever asks gets what there is.
    pub(super) fn show_again(&self, digest: &Digest) {
        self.staging.damaged.remove(digest);
    }

    /// Moves the file into the directory `to`, which is made; idempotent.
    pub(super) fn move_aside(&self, digest: &Digest, to: &Path) -> Result<()> {
        directory::make_directory(to)?;
        let from = self.path(digest);
        let name = format!("{}-{}", digest.algorithm().as_str(), digest.hex());
        match fs::rename(&from, to.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("cannot set aside the blob", &from, error))
            }
            _ => directory::sync_directory(from.parent().unwrap_or(&self.root)),
        }
    }

    /// When the file was last written to; `None` where it is not.
    pub(crate) fn written_at(&self, digest: &Digest) -> Result<Option<Timestamp>> {
        let path = self.path(digest);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(Timestamp(metadata.mtime()))),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("cannot read", &path, error)),
        }
    }

    /// Whether what lies under the digest is what was `seen`, at its length; `None`: nothing.
    pub(super) fn is_still(&self, digest: &Digest, seen: Option<&Blob>) -> Result<bool> {
        let path = self.path(digest);
        let failed = |error| Error::io("cannot read", &path, error);
        let now = match fs::symlink_metadata(&path) {
            Ok(metadata) => Some(Version::of(&metadata).identity()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        let seen = seen.map(Blob::version).transpose().map_err(failed)?;
        Ok(now == seen.map(Version::identity))
    }

    /// A new staged file under a random name (0600). Removed on drop unless committed.
    pub fn stage(&self) -> Result<BlobWriter> {
        Staging::stage(&self.staging)
    }

    /// The staged file under `name` (hex digits only), opened with what an interrupted fill left in it, or new.
    /// KEPT on drop unless committed or discarded, so that the next fill resumes: discard it when the disk is
    /// full, or its bytes turned out wrong.
    ///
    /// While another `BlobWriter` has the name open (a fill that is just ending), a new file under a random name is
    /// given instead: two writers never share one.
    pub fn stage_named(&self, name: &str) -> Result<BlobWriter> {
        Staging::stage_named(&self.staging, name)
    }

    /// An unlinked temporary file in `staging/` (O_TMPFILE, or made and unlinked): nothing of it remains, whatever happens.
    pub fn stage_unlinked(&self) -> Result<BlobWriter> {
        Staging::stage_unlinked(&self.staging)
    }

    /// Writes a small blob whole (manifests): hash is the caller's `digest`, checked. Idempotent; a kept file
    /// with other bytes is replaced. Holds no more than a piece of it in memory.
    pub fn put(&self, digest: &Digest, content: impl Into<Content>) -> Result<()> {
        let content = content.into();
        let found = digest_of(&content, digest.algorithm())?;
        if found != *digest {
            return Err(Error::new(
                Kind::DigestInvalid,
                format!("the bytes to be kept as {digest} have the digest {found}"),
            ));
        }
        let path = self.path(digest);
        let kept = match File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file))) {
            Ok((length, file)) => Some(Content::kept(Arc::new(file), length)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::io("cannot read the blob", &path, error)),
        };
        if let Some(kept) = kept.filter(|kept| kept.length() == content.length())
            && digest_of(&kept, digest.algorithm())? == *digest
        {
            self.staging.damaged.remove(digest);
            return directory::sync_directory(path.parent().unwrap_or(&self.root));
        }
        // What is damaged is replaced; whoever reads the old file keeps it.
        let mut staged = self.stage()?;
        let mut at = 0_u64;
        content.for_each_piece(|piece| {
            let written = staged.write(piece, at);
            at = at.saturating_add(piece.len() as u64);
            written
                .map_err(|error| error.context(format!("cannot write the blob {}", path.display())))
        })?;
        staged.replace(digest)
    }

    /// Bytes on their way, in unlinked files of `staging/`, which take their room on the disk as blobs do.
    pub(super) fn spools(&self) -> Arc<Spools> {
        let staging = Arc::clone(&self.staging);
        Spools::new(move || staging.temporary_file())
    }

    /// Removes the file; rows must be gone before. Idempotent.
    pub fn remove(&self, digest: &Digest) -> Result<()> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("cannot remove the blob", &path, error))
            }
            _ => Ok(()),
        }
    }

    /// Whether the disk has room for so many bytes more (and any at all), beside what files on their way have
    /// taken and what stays free for the databases.
    pub fn has_room_for(&self, bytes: u64) -> bool {
        self.staging.ledger().has_room_for(bytes)
    }

    /// Bytes of the disk that files on their way have taken and not written yet.
    pub fn room_taken(&self) -> u64 {
        self.staging.ledger().taken()
    }

    /// Bytes free on the filesystem, for whoever is not root, and its size.
    pub fn space(&self) -> Result<(u64, u64)> {
        let space = rustix::fs::statvfs(&self.root)
            .map_err(|error| Error::io("cannot ask for the space at", &self.root, error.into()))?;
        Ok((
            space.f_bavail.saturating_mul(space.f_frsize),
            space.f_blocks.saturating_mul(space.f_frsize),
        ))
    }

    /// Clears `staging/` of what no fill can resume; see [`Staging::sweep`].
    pub(super) fn sweep_staging(&self) -> Result<()> {
        self.staging.sweep(std::time::SystemTime::now(), true)
    }

    /// Removes interrupted fills that are older than a day, and the oldest beyond 64, so that an upstream
    /// that breaks off again and again does not fill the disk. Fills and writes in progress stay.
    ///
    /// # Errors
    /// `Io` with the path.
    pub fn forget_old_fills(&self) -> Result<()> {
        self.staging.sweep(std::time::SystemTime::now(), false)
    }

    /// How many files lie in `staging/`.
    pub(crate) fn staged_files(&self) -> Result<u64> {
        self.staging.count()
    }

    /// `DATA/blobs`.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        blob_path(&self.root, digest)
    }
}

/// The digest of all of it, which is read piece by piece.
///
/// # Errors
/// `Io`.
pub fn digest_of(content: &Content, algorithm: Algorithm) -> Result<Digest> {
    let mut hasher = Hasher::new(algorithm);
    content.for_each_piece(|piece| {
        hasher.update(piece);
        Ok(())
    })?;
    Ok(hasher.finish())
}

/// `ROOT/ALG/AB/HEX`: safe because a digest is an algorithm's word and hex digits.
fn blob_path(root: &Path, digest: &Digest) -> PathBuf {
    let hex = digest.hex();
    root.join(digest.algorithm().as_str())
        .join(hex.get(..2).unwrap_or(hex))
        .join(hex)
}

fn size_of(path: &Path) -> Result<Option<u64>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("cannot read", path, error)),
    }
}
