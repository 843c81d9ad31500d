//! The cache's rows against files after an unclean stop, one directory at a time, beside traffic.
//!
//! Everything that looks wrong is looked at again inside the write transaction that mends it. No file is removed here.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use rayon::prelude::*;

use super::content::BlobRow;
use super::settling::Settling;
use super::{BlobPrefix, LostRows, Store};
use crate::error::Result;
use crate::oci::Digest;
use crate::time::Timestamp;

/// How many rows one transaction changes, so that requests that keep something do not wait long.
const ROWS_AT_ONCE: usize = 500;

/// So many files of pushed images are looked for by [`Store::missing_pushed`]: a restore without files lacks nearly all.
const MOST_LOOKED_AT: u64 = 20_000;

/// What [`Store::missing_pushed`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MissingPushed {
    pub missing: u64,
    pub looked_at: u64,
    pub images: String,
}

/// What [`Store::reconcile`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reconciled {
    /// Files that had no row: now rows that nothing links.
    pub adopted_files: u64,
    /// Rows whose file was gone.
    pub dropped_rows: u64,
    /// Rows of what was pushed whose file is gone: they stay, as nobody can give them back.
    pub missing_pushed: u64,
}

impl Store {
    /// Compares rows and files directory by directory, after an unclean stop; safe beside traffic:
    /// adopts stray files as blobs that nothing links, drops rows whose file is gone.
    pub fn reconcile(&self) -> Result<Reconciled> {
        let done = BlobPrefix::all()
            .into_par_iter()
            .map(|prefix| self.reconcile_directory(prefix))
            .try_reduce(Reconciled::default, |a, b| {
                Ok(Reconciled {
                    adopted_files: a.adopted_files.saturating_add(b.adopted_files),
                    dropped_rows: a.dropped_rows.saturating_add(b.dropped_rows),
                    missing_pushed: a.missing_pushed.saturating_add(b.missing_pushed),
                })
            })?;
        self.cache.forget_missing_registry()?;
        if let Some(lost) = self.cache.lost_rows()?.filter(|lost| lost.files.is_none()) {
            self.cache.note_lost_files(done.adopted_files)?;
            let files = Some(done.adopted_files);
            tracing::error!("{}", LostRows { files, ..lost }.sentence());
        }
        self.agreed.store(true, Ordering::Release);
        Ok(done)
    }

    /// How many files of pushed images are missing among the first that are looked at, how many those are, and the images
    /// of one of them. What is noted as damaged is told by its note.
    ///
    /// # Errors
    /// `Sql`, `Io`.
    pub fn missing_pushed(&self) -> Result<MissingPushed> {
        let mut found = MissingPushed::default();
        for prefix in BlobPrefix::all() {
            let rows = self.content.blobs_in(prefix)?;
            for row in rows.iter().filter(|row| row.is_hosted) {
                if found.looked_at >= MOST_LOOKED_AT {
                    return Ok(found);
                }
                found.looked_at = found.looked_at.saturating_add(1);
                let digest = &row.digest;
                if self.blobs.is_known_damaged(digest) || self.blobs.contains(digest)? {
                    continue;
                }
                if !self.registry.needs(digest)? {
                    continue;
                }
                if found.missing == 0 {
                    found.images = self.images_with(digest)?;
                }
                found.missing = found.missing.saturating_add(1);
            }
        }
        Ok(found)
    }

    fn reconcile_directory(&self, prefix: BlobPrefix) -> Result<Reconciled> {
        // Rows before files: a file comes before its row, so a row seen here has its file below, unless both
        // went in between, which the second look finds out.
        let rows = self.content.blobs_in(prefix)?;
        let mut files: HashSet<Digest> = self.blobs.listing(prefix)?.digests.into_iter().collect();
        let (hosted, cached): (Vec<BlobRow>, Vec<BlobRow>) =
            rows.into_iter().partition(|row| row.is_hosted);
        let missing: Vec<Digest> = cached
            .into_iter()
            .filter_map(|row| (!files.remove(&row.digest)).then_some(row.digest))
            // Its file was set aside, and is fetched again.
            .filter(|digest| !self.blobs.is_known_damaged(digest))
            .collect();
        let size_of = |digest: &Digest| self.blobs.size_of(digest);
        let mut done = Reconciled::default();
        // What hosted content needs is no stray, and a hosted row whose file is gone stays: it is precious, and
        // `verify` reports it.
        for row in &hosted {
            if !files.remove(&row.digest)
                && size_of(&row.digest)?.is_none()
                && self.registry.needs(&row.digest)?
            {
                done.missing_pushed = done.missing_pushed.saturating_add(1);
            }
        }
        let mut strays: Vec<Digest> = files.into_iter().collect();
        for digests in missing.chunks(ROWS_AT_ONCE) {
            let dropped = self.cache.forget_missing(digests, size_of)?;
            done.dropped_rows = done.dropped_rows.saturating_add(dropped);
        }
        // Each under its lock, because a removal takes the row and then the file: adopted in between, the file
        // would stay, damaged as it may be.
        let now = Timestamp::now();
        strays.sort_by_key(Settling::place);
        for alike in strays.chunk_by(|a, b| Settling::place(a) == Settling::place(b)) {
            for digests in alike.chunks(ROWS_AT_ONCE) {
                let adopt = || self.cache.adopt_blobs(digests, now, size_of);
                let adopted = digests
                    .first()
                    .map_or(Ok(0), |first| self.while_kept(first, adopt))?;
                done.adopted_files = done.adopted_files.saturating_add(adopted);
            }
        }
        Ok(done)
    }
}
