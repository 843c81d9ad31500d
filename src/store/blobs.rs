//! The content-addressed directory: `blobs/ALG/AB/HEX`, `staging/`.

use std::fs::File;
use std::sync::Arc;

use crate::error::Result;
use crate::oci::Digest;

/// The blob directory. A blob is visible only after hash, fsync, rename, fsync of its directory.
pub struct BlobDir {
    _private: (),
}

impl BlobDir {
    /// Opens a blob for reading, with its size; `None` where it is not.
    pub fn open(&self, _digest: &Digest) -> Result<Option<(Arc<File>, u64)>> {
        todo!()
    }
    /// Whether the file is there.
    pub fn contains(&self, _digest: &Digest) -> Result<bool> {
        todo!()
    }
    /// A new staged file under a random name (0600). Removed on drop unless committed.
    pub fn stage(&self) -> Result<Staged> {
        todo!()
    }
    /// The staged file under `name` (hex digits only), opened with what an interrupted fill left in it, or new.
    /// KEPT on drop unless committed or discarded, so that the next fill resumes.
    pub fn stage_named(&self, _name: &str) -> Result<Staged> {
        todo!()
    }
    /// An unlinked temporary file in `staging/` (O_TMPFILE, or made and unlinked): nothing of it remains, whatever happens.
    pub fn stage_unlinked(&self) -> Result<Staged> {
        todo!()
    }
    /// Writes a small blob whole (manifests): hash is the caller's `digest`, checked. Idempotent.
    pub fn put(&self, _digest: &Digest, _bytes: &[u8]) -> Result<()> {
        todo!()
    }
    /// Removes the file; rows must be gone before. Idempotent.
    pub fn remove(&self, _digest: &Digest) -> Result<()> {
        todo!()
    }
    /// Bytes free on the filesystem, and its size.
    pub fn space(&self) -> Result<(u64, u64)> {
        todo!()
    }
}

/// A file on its way to become a blob. Written with `write_all_at` through `file()` by one writer and read by many
/// meanwhile; the readers' `Arc<File>` stays good over `commit`.
pub struct Staged {
    _private: (),
}

impl Staged {
    /// The open file, for `read_at` and `write_all_at`.
    pub fn file(&self) -> &Arc<File> {
        todo!()
    }
    /// The file's length now: what an interrupted fill left, for `stage_named`.
    pub fn length(&self) -> Result<u64> {
        todo!()
    }
    /// Makes it visible under `digest`: fsync, rename (or linkat for an unlinked one), fsync of the directory. The caller has hashed
    /// the bytes: `digest` is what came out of the `oci::Hasher`. If the blob exists already, the staged file is dropped.
    pub fn commit(self, _digest: &Digest) -> Result<()> {
        todo!()
    }
    /// Throws it away.
    pub fn discard(self) {
        todo!()
    }
}
