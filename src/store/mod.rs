//! What is on disk: `access.sqlite`, `cache.sqlite`, the blob directory. The only place that knows rusqlite.
mod access;
mod blobs;
mod cache;

pub use access::{
    Ability, AccessDb, Group, GroupId, Level, Member, Network, NewToken, Token, TokenId, TokenKind,
    User, UserId, Visibility,
};
pub use blobs::{BlobDir, Staged};
pub use cache::{
    CacheDb, CachedImage, CachedManifest, CachedTag, KeptListing, ListingKind, NewManifest,
    OriginId, Pull, RepositoryId, Totals,
};

use std::path::{Path, PathBuf};

use crate::error::Result;

/// The data directory, opened.
pub struct Store {
    /// Users, tokens, rules, flags: precious.
    pub access: AccessDb,
    /// What is cached: can be rebuilt.
    pub cache: CacheDb,
    /// The content-addressed directory.
    pub blobs: BlobDir,
    directory: PathBuf,
}

impl Store {
    /// Makes the data directory (0700) and what is missing in it; opens it. Idempotent.
    pub fn create(_directory: &Path) -> Result<Self> {
        todo!()
    }
    /// Opens an existing one; the error names the path that was not found.
    pub fn open(_directory: &Path) -> Result<Self> {
        todo!()
    }
    /// The data directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
    /// Takes `lock` exclusively for this process's life (flock); `Conflict` with a sentence if another has it.
    pub fn lock(&self) -> Result<DataLock> {
        todo!()
    }
    /// What start-up does: clears `staging/`, notes whether the last stop was clean.
    /// Quick at a million blobs: touches no blob. Returns whether `reconcile` is due.
    pub fn start_up(&self) -> Result<bool> {
        todo!()
    }
    /// Compares rows and files directory by directory, after an unclean stop; safe beside traffic:
    /// adopts stray files as blobs that nothing links, drops rows whose file is gone.
    pub fn reconcile(&self) -> Result<Reconciled> {
        todo!()
    }
    /// Notes a clean stop, writes what was deferred.
    pub fn shut_down(&self) -> Result<()> {
        todo!()
    }
}

/// Holds `DATA/lock`.
pub struct DataLock {
    _file: std::fs::File,
}

/// What [`Store::reconcile`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconciled {
    pub adopted_files: u64,
    pub dropped_rows: u64,
}
