//! How rows and files are kept in step where they come and go: under the digest's lock, a file before its first row, and the
//! last row before the file.

use parking_lot::{Mutex, MutexGuard};

use super::{Blob, Store};
use crate::error::Result;
use crate::oci::Digest;
use crate::priority::after_pulls;
use crate::time::Timestamp;

/// Enough that fills of different blobs seldom wait for each other.
const LOCKS: usize = 256;

/// By the digest's last byte: held while a blob is kept, and while one is removed.
pub(super) struct Settling([Mutex<()>; LOCKS]);

impl Settling {
    pub(super) fn new() -> Self {
        Self([const { Mutex::new(()) }; LOCKS])
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "there is one for each value of a byte"
    )]
    pub(super) fn lock(&self, digest: &Digest) -> MutexGuard<'_, ()> {
        self.0[usize::from(Self::place(digest))].lock()
    }

    /// Which of the locks is a digest's: its last byte, because the first is the directory's.
    pub(super) fn place(digest: &Digest) -> u8 {
        let hex = digest.hex();
        let last = hex.get(hex.len().saturating_sub(2)..).unwrap_or_default();
        u8::from_str_radix(last, 16).unwrap_or_default()
    }
}

impl Store {
    /// Makes the cache forget a blob, and removes its file if nothing hosted needs it, in this order. Idempotent.
    ///
    /// A fill that found the file in place and has not written its row yet is waited for: it runs
    /// [`Self::while_kept`].
    pub fn remove_blob(&self, digest: &Digest) -> Result<()> {
        let _settling = self.settling.lock(digest);
        self.cache.forget_blob(digest)?;
        self.remove_unneeded(digest).map(drop)
    }

    /// As [`Self::remove_blob`], for damage: only if what lies there is still the file that was `seen`
    /// (`None`: nothing). Another one was put there by a fill meanwhile, and stays. Says whether it went.
    ///
    /// A file that something hosted needs stays, damaged as it is: what was pushed is not dropped silently, and the next fill
    /// or push puts a good file in its place. A fill of a blob does so only where the length differs: damage of the same
    /// length is for [`Self::set_aside`].
    pub fn remove_damaged(&self, digest: &Digest, seen: Option<&Blob>) -> Result<bool> {
        let _settling = self.settling.lock(digest);
        // What is noted to be fetched again keeps its rows until then.
        if self.blobs.is_known_damaged(digest) || !self.blobs.is_still(digest, seen)? {
            return Ok(false);
        }
        self.cache.forget_blob(digest)?;
        self.remove_unneeded(digest)
    }

    /// Removes a file after a row that needed it has gone, if no row of either database is left; a row of the cache
    /// that nothing links is none. Says whether it went.
    pub fn release_blob(&self, digest: &Digest) -> Result<bool> {
        let _settling = self.settling.lock(digest);
        self.cache.forget_unlinked(digest)?;
        let went = self.remove_unneeded(digest)?;
        for database in [self.registry.database(), self.cache.database()] {
            database.settle(digest)?;
        }
        Ok(went)
    }

    /// As [`Self::release_blob`], for many: their rows and notes go in steps, and the files one by one, while pulls go first
    /// unless it `is_awaited`. `removed` is told the bytes of each.
    pub fn release_blobs(
        &self,
        digests: &[Digest],
        is_awaited: bool,
        mut removed: impl FnMut(u64) + Send,
    ) -> Result<()> {
        self.cache.forget_all_unlinked(digests)?;
        let mut remove_all = || {
            for digest in digests {
                let size = self.blobs.size_of(digest)?.unwrap_or_default();
                let went = {
                    let _settling = self.settling.lock(digest);
                    self.remove_unneeded(digest)?
                };
                if went {
                    removed(size);
                }
            }
            Ok(())
        };
        match is_awaited {
            true => remove_all()?,
            false => after_pulls("release", remove_all)?,
        }
        for database in [self.registry.database(), self.cache.database()] {
            database.settle_all(digests)?;
        }
        Ok(())
    }

    /// As [`Self::release_blob`], for a file that no row ever named: only if it was last written before
    /// `before`, so that a push or a fill that has not written its row yet is left alone.
    pub fn release_stray(&self, digest: &Digest, before: Timestamp) -> Result<bool> {
        let _settling = self.settling.lock(digest);
        match self.blobs.written_at(digest)? {
            Some(written) if written < before => self.remove_unneeded(digest),
            _ => Ok(false),
        }
    }

    /// Removes the rows of images that were deleted or purged, and the files that nothing needs any more: what
    /// deletions leave for later, and what a crash left of them. The server calls it every second.
    ///
    /// # Errors
    /// `Io`, `Sql`: the rest is found the next time.
    pub fn finish_removals(&self) -> Result<()> {
        let (deleted, purged) = (
            self.registry.finish_removals()?,
            self.cache.finish_purges()?,
        );
        if deleted || purged {
            for digest in self.content.unsettled()? {
                self.release_blob(&digest)?;
            }
        }
        Ok(())
    }

    /// Runs `work`, which puts a blob's file in place and then its rows, while nobody removes that blob.
    pub fn while_kept<T>(&self, digest: &Digest, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let _settling = self.settling.lock(digest);
        work()
    }

    /// As [`Self::while_kept`], for pushes: should the box crash between file and rows, the file is found.
    pub fn while_pushed<T>(&self, digest: &Digest, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.while_kept(digest, || {
            self.registry.database().unsettle(digest)?;
            work()
        })
    }

    /// Removes a file that nothing needs; says whether it went. The caller holds the digest's lock, under which alone
    /// the first row of a file is made.
    fn remove_unneeded(&self, digest: &Digest) -> Result<bool> {
        let is_needed = self.content.needs(digest)?;
        if !is_needed {
            self.blobs.remove(digest)?;
        }
        Ok(!is_needed)
    }
}
