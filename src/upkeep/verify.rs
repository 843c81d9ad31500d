//! The scrub: every blob hashed again, rows of what is cached and of what was pushed against files, the databases,
//! all modes. Reads only; what is damaged is shown to whoever mends it (`repair`).
//!
//! Runs beside traffic: what looks wrong is looked at again before it is called damage, because a fill may have
//! added a file and not its row yet, and a removal takes the row first and then the file.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::oci::{Digest, Hasher, MAX_MANIFEST_SIZE, Manifest, MediaType};
use crate::store::{Blob, BlobPrefix, DatabaseFault, Store};

/// How much of a file is in memory at once, per thread.
const BUFFER: usize = 1 << 20;
/// How often a file is hashed anew because another one took its place meanwhile.
const ATTEMPTS: usize = 3;

/// What [`verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Files that were hashed.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong, sorted.
    pub damage: Vec<Damage>,
    /// Sound files without a row: left by a crash, harmless, taken up by the next fill or reconciliation.
    pub unreferenced: u64,
    /// Cached images of which a part is not here. That is no damage: nobody has pulled the rest, or it went.
    pub incomplete: Vec<String>,
    /// Files in `staging/`: fills that go on now or can be resumed; never damage.
    pub staged: u64,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.damage.is_empty()
    }

    /// Whether nothing is wrong but with the bytes of files, which can be fetched again.
    pub fn is_clean_but_for_bytes(&self) -> bool {
        use DamageKind::{MissingFile, Unreadable, WrongHash, WrongSize};
        let of_bytes = |kind| matches!(kind, MissingFile | Unreadable | WrongHash | WrongSize);
        self.damage.iter().all(|damage| of_bytes(damage.kind))
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Damage {
    /// What kind of thing.
    pub kind: DamageKind,
    /// Which one, and how: a sentence for a person.
    pub what: String,
}

/// The kinds of damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DamageKind {
    /// A row whose file is not there.
    MissingFile,
    /// A file that has not the length that its row says.
    WrongSize,
    /// A file whose bytes do not have the digest that it is named by.
    WrongHash,
    /// A file or directory that cannot be read.
    Unreadable,
    /// A name in the blob directory that has no place there.
    StrayName,
    /// A file or directory that is open to other users.
    WidePermissions,
    /// Kept as a manifest, and not one of the type that its row says.
    InvalidManifest,
    /// A tag that points to a manifest that is not kept.
    DanglingTag,
    /// Rows whose parent row is missing.
    DanglingRow,
    /// What SQLite itself finds wrong.
    Database,
}

/// Checks everything and changes nothing. `progress` gets bytes done and bytes in all, from many threads, for
/// large files every MiB; the second number grows where files turn up that no row knows.
///
/// # Errors
/// Only for what keeps it from looking at all (a database that cannot be read); what it finds is in the report.
pub fn verify(store: &Store, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<Report> {
    verify_with(store, progress, &|_, _| None)
}

/// As [`verify`]; `mend` is shown each file that is damaged or missing, as it was seen, and says what it did about it.
pub(super) fn verify_with(
    store: &Store,
    progress: &(dyn Fn(u64, u64) + Sync),
    mend: Mend<'_>,
) -> Result<Report> {
    let scan = Scan {
        store,
        progress,
        mend,
        total: store.content.bytes_at_least()?,
        done: AtomicU64::new(0),
        one_by_one: false,
    };
    (scan.progress)(0, scan.total);
    let mut report = BlobPrefix::all()
        .into_par_iter()
        .map(|prefix| scan.directory(prefix))
        .try_reduce(Report::default, |a, b| Ok(a.joined(b)))?;
    for fault in store.database_faults()? {
        let (kind, what) = match fault {
            DatabaseFault::Integrity(what) => (DamageKind::Database, what),
            DatabaseFault::Dangling(what) => (DamageKind::DanglingRow, what),
            DatabaseFault::DanglingTag(tag) => (
                DamageKind::DanglingTag,
                format!("{tag} points to a manifest that is not kept"),
            ),
        };
        report.add(kind, what);
    }
    for path in store.blobs.strays_above()? {
        report.add_stray(&path);
    }
    for (path, mode) in store.wide_paths()? {
        report.add_wide(&path, mode);
    }
    report.staged = store.blobs.staged_files()?;
    // What was found of damage is worth more than this list.
    if let Err(error) = add_incomplete(store, &mut report.incomplete) {
        tracing::warn!("not all images of which a part is not here are listed: {error}");
    }
    report.damage.sort();
    Ok(report)
}

fn add_incomplete(store: &Store, incomplete: &mut Vec<String>) -> Result<()> {
    let mut after = Some(0);
    while let Some(row) = after {
        let named;
        (named, after) = store.cache.incomplete_images(row)?;
        let sentence = |(name, missing)| format!("{name} lacks {missing} parts");
        incomplete.extend(named.into_iter().map(sentence));
    }
    incomplete.sort();
    Ok(())
}

/// Hashes the files of one directory again, on this thread, and compares them with rows.
pub(super) fn verify_directory(
    store: &Store,
    prefix: BlobPrefix,
    progress: &(dyn Fn(u64, u64) + Sync),
    mend: Mend<'_>,
) -> Result<Report> {
    let scan = Scan {
        store,
        progress,
        mend,
        total: 0,
        done: AtomicU64::new(0),
        one_by_one: true,
    };
    scan.directory(prefix)
}

/// What is done about a damaged file; `None`: nothing.
pub(super) type Mend<'a> = &'a (dyn Fn(&Digest, Option<&Blob>) -> Option<String> + Sync);

impl Report {
    /// Adds what is wrong with a file, and what was done about it.
    fn add_mended(&mut self, kind: DamageKind, what: String, mended: Option<String>) {
        match mended {
            Some(mended) => self.add(kind, format!("{what}: {mended}")),
            None => self.add(kind, what),
        }
    }

    fn add(&mut self, kind: DamageKind, what: impl Into<String>) {
        let what = what.into();
        self.damage.push(Damage { kind, what });
    }

    fn add_stray(&mut self, path: &Path) {
        // Debug escapes what a name from elsewhere may hold.
        self.add(
            DamageKind::StrayName,
            format!("{path:?} has no place in the blob directory"),
        );
    }

    fn add_wide(&mut self, path: &Path, mode: u32) {
        self.add(
            DamageKind::WidePermissions,
            format!("{path:?} is open to other users (mode {mode:04o})"),
        );
    }

    fn joined(mut self, mut other: Self) -> Self {
        self.blobs = self.blobs.saturating_add(other.blobs);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.unreferenced = self.unreferenced.saturating_add(other.unreferenced);
        self.damage.append(&mut other.damage);
        self
    }
}

struct Scan<'a> {
    store: &'a Store,
    progress: &'a (dyn Fn(u64, u64) + Sync),
    mend: Mend<'a>,
    total: u64,
    done: AtomicU64,
    /// On this thread, rather than on all that there are.
    one_by_one: bool,
}

impl Scan<'_> {
    fn directory(&self, prefix: BlobPrefix) -> Result<Report> {
        let Store { content, blobs, .. } = self.store;
        // Rows before files: see `store::reconcile`.
        let mut rows: HashMap<Digest, Vec<u64>> = HashMap::new();
        for row in content.blobs_in(prefix)? {
            rows.entry(row.digest).or_default().push(row.size);
        }
        let mut report = Report::default();
        let listing = match blobs.listing(prefix) {
            Ok(listing) => listing,
            Err(error) => {
                report.add(DamageKind::Unreadable, error.to_string());
                return Ok(report);
            }
        };
        for path in &listing.strays {
            report.add_stray(path);
        }
        let files: Vec<(Digest, Vec<u64>)> = listing
            .digests
            .into_iter()
            .map(|digest| {
                let sizes = rows.remove(&digest).unwrap_or_default();
                (digest, sizes)
            })
            .collect();
        for digest in rows.into_keys() {
            self.missing(&mut report, &digest)?;
        }
        let check = |(digest, sizes): (Digest, Vec<u64>)| self.file(&digest, sizes);
        let checked = if self.one_by_one {
            let mut files = files.into_iter().map(check);
            files.try_fold(Report::default(), |a, b| Ok::<_, Error>(a.joined(b?)))?
        } else {
            let files = files.into_par_iter().map(check);
            files.try_reduce(Report::default, |a, b| Ok(a.joined(b)))?
        };
        let mut report = report.joined(checked);
        for (digest, media_type) in content.manifests_in(prefix)? {
            self.manifest(&mut report, prefix, &digest, &media_type)?;
        }
        Ok(report)
    }

    /// A row without a file, as it seemed.
    fn missing(&self, report: &mut Report, digest: &Digest) -> Result<()> {
        let Store { content, blobs, .. } = self.store;
        if content.needs(digest)? && !blobs.contains(digest)? && content.needs(digest)? {
            let path = blobs.shown_path(digest);
            let images = self.store.images_with(digest)?;
            report.add_mended(
                DamageKind::MissingFile,
                format!("{} of {images} is missing", path.display()),
                (self.mend)(digest, None),
            );
        }
        Ok(())
    }

    fn file(&self, digest: &Digest, expected: Vec<u64>) -> Result<Report> {
        let mut report = Report::default();
        let blobs = &self.store.blobs;
        let path = blobs.shown_path(digest);
        let of = |digest| Ok::<_, Error>(format!("of {}", self.store.images_with(digest)?));
        for _ in 0..ATTEMPTS {
            let blob = match blobs.open_even_damaged(digest) {
                Ok(Some(opened)) => opened,
                Ok(None) => {
                    self.missing(&mut report, digest)?;
                    return Ok(report);
                }
                Err(error) => {
                    report.add(DamageKind::Unreadable, error.to_string());
                    return Ok(report);
                }
            };
            let size = blob.size();
            let found = match self.hash(&blob, digest) {
                Ok(found) => found,
                Err(error) => {
                    let what = Error::io("cannot read", &path, error).to_string();
                    let mended = (self.mend)(digest, Some(&blob));
                    report.add_mended(DamageKind::Unreadable, what, mended);
                    return Ok(report);
                }
            };
            let fits = |rows: &[u64]| rows.iter().all(|row| *row == size);
            let rows = if !expected.is_empty() && fits(&expected) {
                expected.clone()
            } else {
                self.store.content.sizes(digest)?
            };
            let is_sound = found == *digest && fits(&rows);
            if !is_sound && !self.is_in_place(&blob, digest) {
                continue;
            }
            report.blobs = report.blobs.saturating_add(1);
            report.bytes = report.bytes.saturating_add(size);
            let mend = || (self.mend)(digest, Some(&blob));
            if let Some(row) = rows.iter().find(|row| **row != size) {
                let what = format!(
                    "{} {} has {size} bytes, not {row}",
                    path.display(),
                    of(digest)?
                );
                report.add_mended(DamageKind::WrongSize, what, mend());
            } else if found != *digest {
                let what = format!("{} {} has the digest {found}", path.display(), of(digest)?);
                report.add_mended(DamageKind::WrongHash, what, mend());
            } else if rows.is_empty() {
                report.unreferenced = report.unreferenced.saturating_add(1);
            }
            let mode = blob.mode().unwrap_or(0);
            if mode & 0o177 != 0 {
                report.add_wide(&path, mode & 0o7777);
            }
            break;
        }
        Ok(report)
    }

    /// Whether the digest still leads to what was read.
    fn is_in_place(&self, read: &Blob, digest: &Digest) -> bool {
        match self.store.blobs.open_even_damaged(digest) {
            Ok(Some(now)) => now.is_same_as(read).unwrap_or(false),
            Ok(None) | Err(_) => false,
        }
    }

    fn hash(&self, blob: &Blob, digest: &Digest) -> std::io::Result<Digest> {
        let mut hasher = Hasher::new(digest.algorithm());
        // Most blobs are small: they shall not cost a MiB each.
        let room = usize::try_from(blob.size()).map_or(BUFFER, |size| size.clamp(1, BUFFER));
        blob.read_up_to(u64::MAX, room, |bytes| {
            hasher.update(bytes);
            let read = bytes.len() as u64;
            let done = self.done.fetch_add(read, Ordering::Relaxed);
            let done = done.saturating_add(read);
            (self.progress)(done, self.total.max(done));
        })?;
        Ok(hasher.finish())
    }

    /// Whether what is kept as a manifest is one. A file that is missing or wrong was found above.
    fn manifest(
        &self,
        report: &mut Report,
        prefix: BlobPrefix,
        digest: &Digest,
        media_type: &str,
    ) -> Result<()> {
        let Ok(Some(blob)) = self.store.blobs.open(digest) else {
            return Ok(());
        };
        let why = if blob.size() > MAX_MANIFEST_SIZE {
            "it is larger than 4 MiB".to_owned()
        } else {
            let content = blob.content();
            let Ok(bytes) = content.read() else {
                return Ok(());
            };
            if Digest::of_with(digest.algorithm(), &bytes) != *digest {
                return Ok(());
            }
            match MediaType::parse(media_type) {
                None => "its row has a media type that is not known".to_owned(),
                Some(media_type) => match Manifest::parse(&bytes, Some(media_type)) {
                    Ok(_) => return Ok(()),
                    Err(error) => error.to_string(),
                },
            }
        };
        let is_kept = |(kept, _): &(Digest, String)| kept == digest;
        if self.store.content.manifests_in(prefix)?.iter().any(is_kept) {
            report.add(
                DamageKind::InvalidManifest,
                format!("{digest} is kept as {}: {why}", media_type.escape_debug()),
            );
        }
        Ok(())
    }
}
