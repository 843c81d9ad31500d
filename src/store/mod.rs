//! What is on disk: `access.sqlite`, `cache.sqlite`, `registry.sqlite`, `audit.sqlite`, the blob directory. The only place
//! that knows rusqlite.
//!
//! Knows rows and files and keeps them in step: files before rows, rows gone before files, a stray file is
//! harmless and a dangling row is not. Judges nothing, asks no network, and holds no transaction while a body streams.

mod access;
mod audit;
mod backup;
mod blobs;
mod cache;
mod check;
mod condition;
mod content;
mod database;
mod deferred;
mod directory;
mod failures;
mod frequency;
mod held;
mod ids;
mod list_queue;
mod lock;
mod migrations;
mod notices;
mod offline;
mod origin_key;
mod page;
mod reconcile;
mod registry;
mod repairs;
mod room;
mod settling;
mod statement;
mod write_ahead_log;

pub use access::{
    Ability, AccessDb, Cadence, CleanupPolicy, ExternalRegistry, ExternalRegistryId, Feature,
    Group, GroupChanges, GroupId, Level, MAX_RULES, Maker, Member, MemberFilter, MinimumLevel,
    NamesOf, Network, NewToken, NewUpstream, NewWebhook, OlderThan, OnReadOnlyMiss, Pin, Pins,
    Project, ProjectChanges, ProjectId, ProtectionRule, RuleId, RuleOwner, SeenFilter, Session,
    SessionId, SignedIn, SigningAlgorithm, TagRule, Token, TokenFilter, TokenId, TokenKind,
    UpstreamId, UpstreamRow, User, UserFilter, UserId, Viewer, Visibility, Webhook, WebhookChanges,
    WebhookId,
};
pub use audit::{
    Actor, AuditDb, Delivery, Detail, Event, EventFilter, EventKind, EventPlace, EventUser,
    NewDelivery, PlaceFilter, Receiver, RecordedEvent, UNRECORDED,
};
pub use backup::{
    BackupDirectory, CopiedFiles, LostRows, PRECIOUS, PreparedRestore, ROWS, Replaced,
    RestOfBackup, copy_files, refuse_data_directory,
};
pub(crate) use blobs::BlobPrefix;
pub use blobs::{
    Adopting, Blob, BlobDir, BlobWriter, ImportDirectory, ImportedFile, StagedUpload, digest_of,
    reserve,
};
pub use cache::{
    BlobId, CacheDb, CachedImage, CachedTag, Eviction, FetchedFrom, GroupPulls, ImageRecord,
    KeptImage, KeptListing, ListingKind, ManifestId, NewManifest, OriginId, Pull, Repair,
    RepositoryId, ScrubPlace, Sums, TakenOut, Totals,
};
pub(crate) use check::DatabaseFault;
pub use condition::{Condition, Space};
pub use content::{
    CachedRepository, CarriedImage, CarriedPart, Content, ImageFilter, ImageOrder, ImageSizes,
    Inventory, InventoryBlob, InventoryManifest, InventoryPulls, InventoryTag, LooseBlob, Part,
    StoredManifest,
};
pub use failures::{DatabaseFailures, FailureReason};
pub use frequency::{Frequency, HALF_LIFE};
pub use held::HeldImages;
pub use lock::DataLock;
pub use notices::{EvictedFor, Notice, NoticeKind, Notices, Told};
pub use page::{Page, Window};
pub use reconcile::{MissingPushed, Reconciled};
pub use registry::{
    CleanupRequest, CleanupRun, FoundReferrer, Going, HostedRepository, HostedTag, HostedTotals,
    HostedUpload, ImmutableBy, NewHostedManifest, NewTag, PushRecord, PushedTag, PutManifest,
    Referrer, RegistryDb, RepositoryRow, StorageLimit, Swept, UnlinkBlob, UntaggedManifest,
};
pub use repairs::{RepairCounters, Repaired, SetAside};
pub use room::{Asked, CacheRoom, FillRoom, Limit, LimitedPart, RoomLimits, Scope};
#[cfg(test)]
pub(crate) use statement::record;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Kind, Result};
use crate::spool::Spools;
use crate::time::Timestamp;
use settling::Settling;

/// The data directory, opened.
pub struct Store {
    /// Users, tokens, rules, flags: precious.
    pub access: AccessDb,
    /// Who changed what, who was let in and who was not.
    pub audit: Arc<AuditDb>,
    /// What is cached: can be rebuilt.
    pub cache: CacheDb,
    /// What was pushed here: precious.
    pub registry: RegistryDb,
    /// The rows of the two above, read together.
    pub content: Content,
    pub blobs: BlobDir,
    /// What is on its way, in unlinked files of `DATA/staging`.
    pub spools: Arc<Spools>,
    /// How much the cache may take.
    pub room: Arc<CacheRoom>,
    directory: PathBuf,
    /// Whether this process knows that rows and files agree.
    agreed: AtomicBool,
    /// Whether the note of the last clean stop is still to be taken, which a full disk or another process refused.
    owes_note: AtomicBool,
    /// Images that are being carried away.
    pub held: HeldImages,
    /// What was found damaged, and became of it.
    pub repairs: RepairCounters,
    settling: Settling,
}

/// Whether it is the disk or another process that is in the way now: what is kept can be served meanwhile.
fn is_passing(error: &Error) -> bool {
    matches!(error.kind(), Kind::Full | Kind::Busy)
}

impl Store {
    /// Makes the data directory (0700) and what is missing in it; opens it. Idempotent.
    ///
    /// # Errors
    /// `Config` for what is not a directory, holds other things and is open to other users, or was written
    /// by a newer version; `Io` and `Full` with the path.
    pub fn create(directory: &Path) -> Result<Self> {
        directory::make_data_directory(directory)?;
        Self::open_parts(directory)
    }

    /// Opens an existing one. Its databases are migrated; a missing `cache.sqlite`, which can be rebuilt, or
    /// `audit.sqlite` is made. So is a missing `registry.sqlite`, and then reconciliation is due, which takes up the
    /// files that lost their rows, before anything takes them for garbage.
    ///
    /// # Errors
    /// `NotFound`, with the path that was not found; otherwise as [`Self::create`].
    pub fn open(directory: &Path) -> Result<Self> {
        directory::check_data_directory(directory)?;
        Self::open_parts(directory)
    }

    /// Makes the data directory alone, so that its lock can be taken before anything in it is opened.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn make_directory(directory: &Path) -> Result<()> {
        directory::make_data_directory(directory)
    }

    fn open_parts(directory: &Path) -> Result<Self> {
        backup::refuse_missing(directory)?;
        let audit = Arc::new(AuditDb::open(&directory.join("audit.sqlite"))?);
        let access = AccessDb::open(&directory.join("access.sqlite"), Arc::clone(&audit))?;
        let cache = CacheDb::open(&directory.join("cache.sqlite"))?;
        let (blobs, is_new) = BlobDir::open_directory(directory)?;
        let registry = directory.join("registry.sqlite");
        if !is_new && directory::is_missing(&registry) {
            // Before it is made, so that a crash in between does not make it look as if it had always been there.
            cache.note_missing_registry()?;
        }
        let registry = RegistryDb::open(&registry)?;
        match cache.note_registry() {
            // Said at every opening until it can be noted; until then a missing one counts as new.
            Err(error) if is_passing(&error) => tracing::warn!("{error}"),
            noted => noted?,
        }
        if is_new {
            // No rows and no files: nothing to reconcile at the first start.
            cache.note_clean_stop()?;
        }
        for repair in cache.repairs()? {
            if repair.lost_at.is_none() {
                blobs.hide_damaged(&repair.digest);
            }
        }
        Ok(Self {
            access,
            audit,
            cache,
            registry,
            held: HeldImages::default(),
            repairs: RepairCounters::default(),
            content: Content::of(directory),
            spools: blobs.spools(),
            blobs,
            room: Arc::default(),
            directory: directory.to_owned(),
            agreed: AtomicBool::new(false),
            owes_note: AtomicBool::new(false),
            settling: Settling::new(),
        })
    }

    /// The files of a data directory alone, for a command that copies them while a server may run.
    ///
    /// # Errors
    /// `Io` with the path.
    pub fn open_files(directory: &Path) -> Result<BlobDir> {
        Ok(BlobDir::open_directory(directory)?.0)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Runs `work`, which makes a list for a client, when it is its turn: see `list_queue`.
    ///
    /// # Errors
    /// `Unavailable` where too many lists are asked for, or it took too long; `Abandoned`; those of `work`.
    pub fn in_list_queue<T, E: From<Error>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        list_queue::run(work)
    }

    /// How often statements failed in this process, by reason.
    pub fn database_failures(&self) -> Vec<DatabaseFailures> {
        failures::counted()
    }

    /// Takes `lock` exclusively for this process's life (flock); `Conflict` with a sentence if another has it.
    pub fn lock(&self) -> Result<DataLock> {
        DataLock::take(&self.directory)
    }

    /// What start-up does, for whoever holds the lock: clears `staging/`, notes whether the last stop was clean.
    /// Quick at a million blobs: touches no blob. Returns whether `reconcile` is due.
    ///
    /// Fills that can be resumed stay in `staging/` for a day, at most 64 of them; uploads stay until they expire.
    pub fn start_up(&self) -> Result<bool> {
        self.blobs.sweep_staging()?;
        self.forget_half_uploads()?;
        let was_clean = match self.cache.take_clean_stop() {
            Err(error) if is_passing(&error) => {
                tracing::warn!("starting as if the last stop had not been clean: {error}");
                self.owes_note.store(true, Ordering::Release);
                false
            }
            taken => {
                let path = self.directory.join("cache.sqlite");
                taken.map_err(|error| error.context(path.display()))?
            }
        };
        let missing = self.cache.missing_registry()?;
        if let Some(had_one) = missing {
            self.tell_missing_registry(had_one);
        }
        let agreed = was_clean && missing.is_none();
        self.agreed.store(agreed, Ordering::Release);
        Ok(!agreed)
    }

    /// Whether a backup was restored since the last start; says so once.
    ///
    /// # Errors
    /// `Sql`, `Full`.
    pub fn take_restored(&self) -> Result<bool> {
        self.cache.take_restored()
    }

    /// Takes the note that a full disk, or a lock of another process, kept [`Self::start_up`] from taking;
    /// otherwise, or once it is taken, does nothing. To be tried often: a crash before would look like a clean stop.
    ///
    /// # Errors
    /// `Full` or `Busy`, as long as it is.
    pub fn take_owed_note(&self) -> Result<()> {
        if self.owes_note.load(Ordering::Acquire) {
            self.cache.take_clean_stop()?;
            self.owes_note.store(false, Ordering::Release);
            tracing::info!("the database can be written again: this run is noted");
        }
        Ok(())
    }

    fn tell_missing_registry(&self, had_one: bool) {
        let path = self.directory.join("registry.sqlite");
        if had_one {
            tracing::error!(
                "{} was missing, and is empty now: which images were pushed here is lost, their files are kept (stop the server and restore a backup with `breakwater restore`)",
                path.display()
            );
        } else {
            tracing::info!(
                "{} was made for the first time: comparing rows with files",
                path.display()
            );
        }
    }

    /// Whether a file without a row may be taken for garbage: rows and files were compared, or the last stop was
    /// clean. Otherwise the rows may be lost rather than the file left over.
    pub fn may_remove_strays(&self) -> Result<bool> {
        if self.agreed.load(Ordering::Acquire) {
            return Ok(true);
        }
        Ok(self.cache.missing_registry()?.is_none() && self.cache.has_clean_stop()?)
    }

    /// What a crash left of an upload: a file without its row, or a row without its file.
    fn forget_half_uploads(&self) -> Result<()> {
        let mut files: Vec<_> = self
            .blobs
            .uploads()?
            .into_iter()
            .map(|file| file.id)
            .collect();
        for upload in self.registry.uploads()? {
            match files.iter().position(|id| *id == upload.id) {
                Some(at) => drop(files.swap_remove(at)),
                None => drop(self.registry.end_upload(&upload.id)?),
            }
        }
        for id in files {
            self.blobs.remove_upload(&id)?;
        }
        Ok(())
    }

    /// Notes a clean stop, writes what was deferred.
    ///
    /// Statistics that cannot be written, on a full disk for example, do not make the stop unclean.
    pub fn shut_down(&self) -> Result<()> {
        let notes = self
            .cache
            .write_notes()
            .and(self.registry.write_marks())
            .and(self.registry.write_notes())
            .and(self.audit.write_notes(Timestamp::now()));
        self.cache.note_clean_stop()?;
        self.cache.database().checkpoint()?;
        self.access.database().checkpoint()?;
        self.registry.database().checkpoint()?;
        self.audit.database().checkpoint()?;
        notes
    }
}
