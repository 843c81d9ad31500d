//! What `cache.sqlite` and `registry.sqlite` have in common: tables, rows, what an image consists of (`reach`), the note
//! of files that are about to get a row or to lose it, and questions to both at once.
//!
//! Each file has a writer of its own, because they differ in when a commit reaches the disk: no fill waits while a push
//! is synced. No transaction has to write to both. Whoever adds the first row of a file, or removes the file, holds the
//! digest's lock of [`super::Store`]; so an answer of [`Content`] about one digest stays true while the lock is held.

mod carried;
mod images;
mod inventory;
pub(super) mod reach;
pub(super) mod removal;
mod rows;
mod schema;
mod sharing;
mod unsettled;

use std::ops::ControlFlow;
use std::path::Path;

use rusqlite::params;

use super::database::Reading;
use super::statement::{get, list, size, visit};
use crate::error::Result;
use crate::oci::Digest;
use crate::store::blobs::BlobPrefix;
use crate::time::Timestamp;

pub use carried::{CarriedImage, CarriedPart};
pub use images::{ImageFilter, ImageOrder, ImageSizes};
pub(super) use images::{Source, missing_parts};
pub use inventory::{
    CachedRepository, Inventory, InventoryBlob, InventoryManifest, InventoryPulls, InventoryTag,
    LooseBlob, Part,
};
pub use rows::StoredManifest;
pub(super) use rows::{add_references, ensure_blob, note_tag_pulled};
pub(super) use schema::shared_tables;
pub(super) use unsettled::{settle, unsettle};

/// The rows of what was fetched and of what was pushed, to be read together.
pub struct Content {
    reading: Reading,
}

/// A row that says that a file is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlobRow {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    /// Whether something needs it that was pushed; otherwise it is the cache's row.
    pub(crate) is_hosted: bool,
}

impl Content {
    pub(super) fn of(data: &Path) -> Self {
        let files = ["cache", "registry"].map(|name| (name, data.join(format!("{name}.sqlite"))));
        Self {
            reading: Reading::together(files.into()),
        }
    }

    /// Whether anything needs the file: then it may not be removed.
    pub fn needs(&self, digest: &Digest) -> Result<bool> {
        Ok(!self.sizes(digest)?.is_empty())
    }

    /// How many manifests refer to a file, or are it: counts them one by one, as a list.
    pub fn needs_of(&self, digest: &Digest) -> Result<u64> {
        self.reading.scan(|connection| {
            get(
                connection,
                "count who needs a file",
                "SELECT (SELECT count(*) FROM cache.manifest_references WHERE hash = ?1)
                     + (SELECT count(*) FROM registry.manifest_references WHERE hash = ?1)
                     + (SELECT count(*) FROM cache.blobs
                        CROSS JOIN cache.manifests ON manifests.blob_id = blobs.id
                        WHERE blobs.digest = ?2)
                     + (SELECT count(*) FROM registry.blobs
                        CROSS JOIN registry.manifests ON manifests.blob_id = blobs.id
                        WHERE blobs.digest = ?2)",
                params![digest.hash(), digest],
                |row| size(row, 0),
            )
        })
    }

    /// The sizes that rows give a file; none where nothing needs it.
    pub(crate) fn sizes(&self, digest: &Digest) -> Result<Vec<u64>> {
        self.reading.read(|connection| {
            list(
                connection,
                "look whether a file is needed",
                "SELECT size FROM cache.blobs WHERE digest = ?1
                 UNION ALL SELECT size FROM registry.blobs WHERE digest = ?1",
                [digest],
                |row| size(row, 0),
            )
        })
    }

    /// The rows of all files of one directory of the blob directory.
    pub(crate) fn blobs_in(&self, prefix: BlobPrefix) -> Result<Vec<BlobRow>> {
        let (from, to) = prefix.digest_range();
        self.reading.scan(|connection| {
            list(
                connection,
                "list blobs of a directory",
                "SELECT digest, size, FALSE FROM cache.blobs WHERE digest >= ?1 AND digest < ?2
                 UNION ALL
                 SELECT digest, size, TRUE FROM registry.blobs WHERE digest >= ?1 AND digest < ?2",
                [from, to],
                |row| {
                    Ok(BlobRow {
                        digest: row.get(0)?,
                        size: size(row, 1)?,
                        is_hosted: row.get(2)?,
                    })
                },
            )
        })
    }

    /// Digest and media type, as written, of every manifest of one directory of the blob directory, each once.
    pub(crate) fn manifests_in(&self, prefix: BlobPrefix) -> Result<Vec<(Digest, String)>> {
        let (from, to) = prefix.digest_range();
        self.reading.scan(|connection| {
            list(
                connection,
                "list manifests of a directory",
                "SELECT digest, media_type FROM cache.blobs AS blobs
                 JOIN cache.manifests AS manifests ON manifests.blob_id = blobs.id
                 WHERE digest >= ?1 AND digest < ?2
                 UNION
                 SELECT digest, media_type FROM registry.blobs AS blobs
                 JOIN registry.manifests AS manifests ON manifests.blob_id = blobs.id
                 WHERE digest >= ?1 AND digest < ?2",
                [from, to],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
        })
    }

    /// Bytes of all files, at least: what both need is one file.
    pub(crate) fn bytes_at_least(&self) -> Result<u64> {
        let text = "SELECT max((SELECT CAST(total(size) AS INTEGER) FROM cache.blobs),
                               (SELECT CAST(total(size) AS INTEGER) FROM registry.blobs))";
        self.reading
            .scan(|connection| get(connection, "sum up blobs", text, [], |row| size(row, 0)))
    }

    /// Files that were taken up before `before`, and that nothing refers to.
    pub(crate) fn unreferenced(&self, before: Timestamp) -> Result<Vec<Digest>> {
        self.reading.scan(|connection| {
            list(
                connection,
                "list unreferenced blobs",
                "SELECT digest FROM cache.blobs AS blobs WHERE added_at < ?1
                 AND NOT EXISTS (SELECT 1 FROM cache.blob_links WHERE blob_id = blobs.id)
                 AND NOT EXISTS (SELECT 1 FROM cache.manifests WHERE blob_id = blobs.id)
                 AND NOT EXISTS (SELECT 1 FROM cache.manifest_references
                                 WHERE hash = unhex(substr(blobs.digest, 8)))
                 AND NOT EXISTS (SELECT 1 FROM registry.blobs AS hosted
                                 WHERE hosted.digest = blobs.digest)
                 ORDER BY digest",
                [before],
                |row| row.get(0),
            )
        })
    }

    /// Shows every digest that has a row, in order, without holding them all.
    pub fn each_digest(&self, mut see: impl FnMut(Digest) -> Result<()>) -> Result<()> {
        self.reading.scan(|connection| {
            let mut failed = Ok(());
            visit(
                connection,
                "list all digests",
                "SELECT digest FROM cache.blobs UNION SELECT digest FROM registry.blobs ORDER BY 1",
                [],
                |row| {
                    failed = see(row.get(0)?);
                    Ok(match failed {
                        Ok(()) => ControlFlow::Continue(()),
                        Err(_) => ControlFlow::Break(()),
                    })
                },
            )?;
            failed
        })
    }

    /// The files that are noted as about to get a row, or about to go after theirs.
    pub fn unsettled(&self) -> Result<Vec<Digest>> {
        self.reading.scan(|connection| {
            list(
                connection,
                "list unsettled files",
                "SELECT digest FROM cache.unsettled UNION SELECT digest FROM registry.unsettled",
                [],
                |row| row.get(0),
            )
        })
    }
}
