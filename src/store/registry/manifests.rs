//! Rows of manifests and tags: pushed, and found. How they go is in `removal`.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::blobs::{drop_unneeded, find_link, keep_link};
use super::quota::{Counted, keep_within};
use super::{
    HostedRepository, NewHostedManifest, NewTag, PutManifest, RegistryDb, StorageLimit,
    repositories,
};
use crate::error::{Error, Kind, Result};
use crate::oci::{Digest, Reference, Tag};
use crate::store::content::reach::{self, REFERRED_BLOB};
use crate::store::content::{StoredManifest, add_references, ensure_blob, settle};
use crate::store::statement::{decoded, find, get, list, run, stored_size};
use crate::time::Timestamp;

pub(super) const FIND_BY_DIGEST: &str = "
    SELECT blobs.digest, manifests.media_type, blobs.size, manifests.pushed_at
    FROM repositories
    CROSS JOIN blobs ON blobs.digest = ?3
    CROSS JOIN manifests ON manifests.repository_id = repositories.id AND manifests.blob_id = blobs.id
    WHERE repositories.project_id = ?1 AND repositories.path = ?2";

pub(super) const FIND_BY_TAG: &str = "
    SELECT blobs.digest, manifests.media_type, blobs.size, manifests.pushed_at
    FROM repositories
    CROSS JOIN tags ON tags.repository_id = repositories.id AND tags.name = ?3
    CROSS JOIN manifests ON manifests.id = tags.manifest_id
    CROSS JOIN blobs ON blobs.id = manifests.blob_id
    WHERE repositories.project_id = ?1 AND repositories.path = ?2";

impl RegistryDb {
    /// The manifest of this tag or digest in this repository.
    pub fn manifest(
        &self,
        repository: HostedRepository<'_>,
        reference: &Reference,
    ) -> Result<Option<StoredManifest>> {
        let text = match reference {
            Reference::Tag(_) => FIND_BY_TAG,
            Reference::Digest(_) => FIND_BY_DIGEST,
        };
        self.database.read(|connection| {
            find(
                connection,
                "find hosted manifest",
                text,
                params![repository.project, repository.path, reference.as_str()],
                StoredManifest::of,
            )
        })
    }

    /// Which of `required` are not linked to the repository.
    pub fn missing_blobs(
        &self,
        repository: HostedRepository<'_>,
        required: &[Digest],
    ) -> Result<Vec<Digest>> {
        self.database
            .read(|connection| missing(connection, repository, required))
    }

    /// Keeps a manifest whose file is in place, and points its tags to it: all of it or nothing. Idempotent.
    ///
    /// # Errors
    /// `Denied` where it would be beyond one of `limits`, or a tag that may not move points elsewhere;
    /// `ManifestInvalid` where it is kept as another type.
    pub fn put_manifest(
        &self,
        repository: HostedRepository<'_>,
        manifest: &NewHostedManifest,
        limits: &[StorageLimit],
    ) -> Result<PutManifest> {
        self.database.write(|connection| {
            let missing = missing(connection, repository, &manifest.required)?;
            if !missing.is_empty() {
                return Ok(PutManifest::Missing(missing));
            }
            let file = Counted {
                digest: &manifest.digest,
                size: manifest.size,
            };
            keep_within(connection, limits, repository, &file, || {
                let id = repositories::ensure(connection, repository, manifest.now)?;
                for digest in &manifest.required {
                    keep_link(connection, repository, id, digest, manifest.now)?;
                }
                let blob = ensure_blob(connection, &manifest.digest, manifest.size, manifest.now)?;
                settle(connection, &manifest.digest)?;
                let row = keep(connection, id, blob, manifest)?;
                for tag in &manifest.tags {
                    point(connection, id, tag, row, manifest.now)?;
                }
                Ok(PutManifest::Kept)
            })
        })
    }

    /// Removes a tag; the manifest stays. Says whether there was one.
    pub fn delete_tag(&self, repository: HostedRepository<'_>, tag: &Tag) -> Result<bool> {
        self.database.write(|connection| {
            let removed = run(
                connection,
                "delete tag",
                "DELETE FROM tags WHERE name = ?3 AND repository_id =
                     (SELECT id FROM repositories WHERE project_id = ?1 AND path = ?2)",
                params![repository.project, repository.path, tag.as_str()],
            )?;
            Ok(removed > 0)
        })
    }
}

/// The tags that point to a manifest, or to what refers to it in its repository, however far above; and (`true`)
/// those of its subject in the same way.
pub(super) fn tags_that_need(connection: &Connection, manifest: i64) -> Result<Vec<(Tag, bool)>> {
    list(
        connection,
        "list tags that need a manifest",
        &format!(
            "WITH RECURSIVE {}
             SELECT tags.name, min(above.is_attached)
             FROM above CROSS JOIN tags ON tags.manifest_id = above.id
             GROUP BY tags.name ORDER BY tags.name",
            reach::ABOVE
        ),
        [manifest],
        |row| Ok((decoded(row, 0, Tag::parse)?, row.get(1)?)),
    )
}

/// Which of `required` are not linked to the repository.
fn missing(
    connection: &Connection,
    repository: HostedRepository<'_>,
    required: &[Digest],
) -> Result<Vec<Digest>> {
    let mut missing = Vec::new();
    for digest in required {
        if find_link(connection, repository, digest)?.is_none() {
            missing.push(digest.clone());
        }
    }
    Ok(missing)
}

/// The row of a manifest, with what it refers to: found, or made.
///
/// One that is found keeps its type and who pushed it, because tags that the pusher may not touch can point to it;
/// only its grace begins anew.
fn keep(
    connection: &Connection,
    repository: i64,
    blob: i64,
    manifest: &NewHostedManifest,
) -> Result<i64> {
    let kept = find(
        connection,
        "find a pushed manifest",
        "UPDATE manifests SET pushed_at = ?3 WHERE repository_id = ?1 AND blob_id = ?2
         RETURNING id, media_type",
        params![repository, blob, manifest.now],
        |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)),
    )?;
    match kept {
        None => add(connection, repository, blob, manifest),
        Some((row, kept_type)) if kept_type == manifest.media_type.as_str() => Ok(row),
        Some((_, kept_type)) => {
            let what = format!(
                "the manifest {} is kept as {kept_type} already, and cannot become {}",
                manifest.digest,
                manifest.media_type.as_str()
            );
            Err(Error::new(Kind::ManifestInvalid, what)
                .remedy("push it with the type that it has, or delete it first"))
        }
    }
}

/// The row of a manifest that is new in its repository, with what it refers to.
fn add(
    connection: &Connection,
    repository: i64,
    blob: i64,
    manifest: &NewHostedManifest,
) -> Result<i64> {
    // A manifest may name the same layer twice.
    let references: BTreeMap<Digest, u64> = manifest.references.iter().cloned().collect();
    let content = references
        .values()
        .fold(manifest.size, |sum, size| sum.saturating_add(*size));
    let row = get(
        connection,
        "add hosted manifest",
        "INSERT INTO manifests
             (repository_id, blob_id, media_type, artifact_type, subject, annotations, total_size,
              reference_count, pushed_at, pushed_by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) RETURNING id",
        params![
            repository,
            blob,
            manifest.media_type.as_str(),
            manifest.artifact_type,
            manifest.subject,
            manifest.annotations,
            stored_size(content),
            stored_size(references.len() as u64),
            manifest.now,
            manifest.pushed_by
        ],
        |row| row.get(0),
    )?;
    add_references(connection, row, references.keys())?;
    Ok(row)
}

fn point(
    connection: &Connection,
    repository: i64,
    tag: &NewTag,
    manifest: i64,
    now: Timestamp,
) -> Result<()> {
    let moved = run(
        connection,
        "set tag",
        "INSERT INTO tags (repository_id, name, manifest_id, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?4)
         ON CONFLICT (repository_id, name) DO UPDATE SET
             manifest_id = excluded.manifest_id, updated_at = excluded.updated_at
         WHERE ?5 OR manifest_id = excluded.manifest_id",
        params![
            repository,
            tag.name.as_str(),
            manifest,
            now,
            tag.immutable_by.is_none()
        ],
    )?;
    if moved == 0 {
        return Err(immutable(tag));
    }
    Ok(())
}

fn immutable(tag: &NewTag) -> Error {
    let what = format!("tag {} is immutable and names another image", tag.name);
    let error = match &tag.immutable_by {
        Some(by) if by.is_shown => Error::new(Kind::Denied, format!("{what}: {}", by.rule)),
        Some(by) => Error::new(Kind::Denied, &what).logged(format!("{what}: {}", by.rule)),
        None => Error::new(Kind::Denied, what),
    };
    error.remedy("push under another tag")
}

/// Removes a manifest's row, by cascade its tags and references, and its file's row if nothing else needs it.
pub(super) fn remove(connection: &Connection, manifest: i64, now: Timestamp) -> Result<()> {
    run(
        connection,
        "mark a deleted manifest's blobs",
        &format!(
            "UPDATE blob_links SET needed_at = max(needed_at, ?2)
         WHERE repository_id = (SELECT repository_id FROM manifests WHERE id = ?1)
         AND blob_id IN (
             SELECT blobs.id FROM manifest_references
             CROSS JOIN blobs ON {REFERRED_BLOB}
             WHERE manifest_references.manifest_id = ?1)"
        ),
        params![manifest, now],
    )?;
    let blob = get(
        connection,
        "delete manifest",
        "DELETE FROM manifests WHERE id = ?1 RETURNING blob_id",
        [manifest],
        |row| row.get(0),
    )?;
    drop_unneeded(connection, blob)
}
