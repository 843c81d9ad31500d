//! What nobody needs any more: found and removed a few rows at a time, so that pushes do not wait long.
//!
//! Each removal asks again inside its transaction whether the row is still unneeded: a push, a mount or a HEAD
//! that came in between wins.

use rusqlite::{Connection, params};

use super::RegistryDb;
use super::blobs::drop_unneeded;
use super::manifests::remove;
use crate::error::Result;
use crate::oci::Digest;
use crate::store::ProjectId;
use crate::store::statement::{digest, list, run, size};
use crate::time::Timestamp;

/// How many rows one transaction removes.
const ROWS_AT_ONCE: u32 = 200;

/// Links that no manifest of their repository refers to and no push has relied on since `?1`.
const UNNEEDED_LINKS: &str = "
    SELECT blob_links.repository_id, blobs.id, blobs.digest, blobs.size
    FROM blob_links JOIN blobs ON blobs.id = blob_links.blob_id
    WHERE blob_links.needed_at < ?1 AND NOT EXISTS (
        SELECT 1 FROM manifest_references
        JOIN manifests ON manifests.id = manifest_references.manifest_id
        WHERE manifest_references.hash = unhex(substr(blobs.digest, 8))
        AND manifests.repository_id = blob_links.repository_id)
    LIMIT ?2";

/// Manifests that no tag leads to: neither their own, nor that of an index above them, nor, for what has a
/// subject, that of the subject. Those pushed since `?1` are left alone, and so is what hangs on them.
const UNTAGGED: &str = "
    WITH RECURSIVE needed (id, repository_id, digest) AS (
        SELECT manifests.id, manifests.repository_id, blobs.digest
        FROM manifests JOIN blobs ON blobs.id = manifests.blob_id
        WHERE manifests.pushed_at >= ?1
        OR EXISTS (SELECT 1 FROM tags WHERE tags.manifest_id = manifests.id)
        UNION
        SELECT manifests.id, manifests.repository_id, blobs.digest
        FROM needed
        JOIN manifest_references ON manifest_references.manifest_id = needed.id
        JOIN blobs
            ON blobs.digest = iif(length(hash) = 32, 'sha256:', 'sha512:') || lower(hex(hash))
        JOIN manifests ON manifests.blob_id = blobs.id
            AND manifests.repository_id = needed.repository_id
        UNION
        SELECT manifests.id, manifests.repository_id, blobs.digest
        FROM needed
        JOIN manifests ON manifests.repository_id = needed.repository_id
            AND manifests.subject = needed.digest
        JOIN blobs ON blobs.id = manifests.blob_id
    )
    SELECT manifests.id, repositories.path, blobs.digest
    FROM manifests
    JOIN repositories ON repositories.id = manifests.repository_id
    JOIN blobs ON blobs.id = manifests.blob_id
    WHERE manifests.id NOT IN (SELECT id FROM needed)
    ORDER BY repositories.path, blobs.digest";

/// What one step of the sweep removed, or would.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many links.
    pub links: u64,
    /// The blobs that they led to: their files may go, if nothing else needs them.
    pub blobs: Vec<(Digest, u64)>,
}

/// A manifest that nothing leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UntaggedManifest {
    /// Its row.
    pub id: i64,
    /// The repository's path.
    pub repository: String,
    /// The digest of its bytes.
    pub digest: Digest,
}

impl RegistryDb {
    /// Links that are unneeded since before `before`, without removing any.
    pub fn unneeded_links(&self, before: Timestamp) -> Result<Swept> {
        self.database.scan(|connection| {
            let links = unneeded(connection, before, u32::MAX)?;
            Ok(swept(&links))
        })
    }

    /// Removes links that are unneeded since before `before`, at most some hundred: call it again until nothing
    /// was removed.
    pub fn sweep_links(&self, before: Timestamp) -> Result<Swept> {
        // Most of the time there is nothing, and nobody need wait for the writer.
        if self
            .database
            .scan(|connection| Ok(unneeded(connection, before, 1)?.is_empty()))?
        {
            return Ok(Swept::default());
        }
        self.write_marked(|connection| {
            let links = unneeded(connection, before, ROWS_AT_ONCE)?;
            for link in &links {
                run(
                    connection,
                    "sweep link",
                    "DELETE FROM blob_links WHERE repository_id = ?1 AND blob_id = ?2",
                    [link.repository, link.blob],
                )?;
                drop_unneeded(connection, link.blob)?;
            }
            Ok(swept(&links))
        })
    }

    /// Manifests that nothing leads to, pushed before `before`.
    pub fn untagged(&self, before: Timestamp) -> Result<Vec<UntaggedManifest>> {
        self.database
            .scan(|connection| untagged(connection, before))
    }

    /// Removes them; their blobs stay linked for a grace from `now`.
    pub fn sweep_untagged(
        &self,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<UntaggedManifest>> {
        self.database.write(|connection| {
            let found = untagged(connection, before)?;
            for manifest in &found {
                remove(connection, manifest.id, now)?;
            }
            Ok(found)
        })
    }

    /// Projects that have repositories here.
    pub fn projects(&self) -> Result<Vec<ProjectId>> {
        self.database.scan(|connection| {
            list(
                connection,
                "list projects with repositories",
                "SELECT DISTINCT project_id FROM repositories ORDER BY 1",
                [],
                |row| row.get(0).map(ProjectId),
            )
        })
    }

    /// Removes the manifests of a project that does not exist any more. Its blobs follow as unneeded links.
    pub fn forget_project(
        &self,
        project: ProjectId,
        now: Timestamp,
    ) -> Result<Vec<UntaggedManifest>> {
        self.database.write(|connection| {
            let found = of_project(connection, project)?;
            for manifest in &found {
                remove(connection, manifest.id, now)?;
            }
            Ok(found)
        })
    }

    /// The manifests of a project.
    pub fn manifests_of_project(&self, project: ProjectId) -> Result<Vec<UntaggedManifest>> {
        self.database
            .scan(|connection| of_project(connection, project))
    }

    /// Removes repositories that hold nothing and are being pushed to by nobody.
    pub fn sweep_repositories(&self, before: Timestamp) -> Result<u64> {
        self.database.write(|connection| {
            let removed = run(
                connection,
                "sweep repositories",
                "DELETE FROM repositories WHERE created_at < ?1
                 AND NOT EXISTS (SELECT 1 FROM blob_links WHERE repository_id = repositories.id)
                 AND NOT EXISTS (SELECT 1 FROM manifests WHERE repository_id = repositories.id)
                 AND NOT EXISTS (SELECT 1 FROM uploads WHERE repository_id = repositories.id)",
                params![before.0],
            )?;
            Ok(removed as u64)
        })
    }
}

fn of_project(connection: &Connection, project: ProjectId) -> Result<Vec<UntaggedManifest>> {
    list(
        connection,
        "list manifests of a project",
        "SELECT manifests.id, repositories.path, blobs.digest
         FROM repositories
         JOIN manifests ON manifests.repository_id = repositories.id
         JOIN blobs ON blobs.id = manifests.blob_id
         WHERE repositories.project_id = ?1",
        [project.0],
        manifest,
    )
}

struct Link {
    repository: i64,
    blob: i64,
    digest: Digest,
    size: u64,
}

fn unneeded(connection: &Connection, before: Timestamp, count: u32) -> Result<Vec<Link>> {
    list(
        connection,
        "list unneeded links",
        UNNEEDED_LINKS,
        params![before.0, count],
        |row| {
            Ok(Link {
                repository: row.get(0)?,
                blob: row.get(1)?,
                digest: digest(row, 2)?,
                size: size(row, 3)?,
            })
        },
    )
}

fn swept(links: &[Link]) -> Swept {
    let mut blobs: Vec<_> = links
        .iter()
        .map(|link| (link.digest.clone(), link.size))
        .collect();
    blobs.sort();
    blobs.dedup();
    Swept {
        links: links.len() as u64,
        blobs,
    }
}

fn untagged(connection: &Connection, before: Timestamp) -> Result<Vec<UntaggedManifest>> {
    list(
        connection,
        "list untagged manifests",
        UNTAGGED,
        [before.0],
        manifest,
    )
}

fn manifest(row: &rusqlite::Row<'_>) -> rusqlite::Result<UntaggedManifest> {
    Ok(UntaggedManifest {
        id: row.get(0)?,
        repository: row.get(1)?,
        digest: digest(row, 2)?,
    })
}
