//! What nobody needs any more: found by a reader, and removed in steps, so that pushes do not wait long.
//!
//! Each removal asks again inside its transaction whether the row is still unneeded: a push, a mount or a HEAD
//! that came in between wins.

use rusqlite::{Connection, params};

use super::RegistryDb;
use super::blobs::drop_unneeded;
use super::removal::{retire, take};
use crate::error::Result;
use crate::oci::Digest;
use crate::store::ProjectId;
use crate::store::content::reach::{ABOVE, Attached, below};
use crate::store::database::{each_in_steps, in_steps, step};
use crate::store::statement::{find, get, list, run, size};
use crate::time::Timestamp;

/// So many unneeded links are looked for at once.
const LINKS_AT_ONCE: u32 = 5_000;

/// Links that no manifest of their repository refers to, removed ones of its path included, and no push has relied on
/// since `?1`.
const UNNEEDED_LINKS: &str = "
    SELECT blob_links.repository_id, blobs.id, blobs.digest, blobs.size
    FROM blob_links
    JOIN repositories ON repositories.id = blob_links.repository_id
    JOIN blobs ON blobs.id = blob_links.blob_id
    WHERE max(blob_links.needed_at, ifnull(repositories.removed_at, 0)) < ?1 AND NOT EXISTS (
        SELECT 1 FROM manifest_references
        JOIN manifests ON manifests.id = manifest_references.manifest_id
        JOIN repositories AS holders ON holders.id = manifests.repository_id
        WHERE manifest_references.hash = unhex(substr(blobs.digest, 8))
        AND (holders.id = repositories.id
            OR (holders.removed_from = repositories.project_id AND holders.path = repositories.path)))";

/// Manifests that no tag leads to: neither their own, nor that of an index above them, nor, for what has a
/// subject, that of the subject. Those pushed since `?1` are left alone, and so is what hangs on them.
fn untagged_text() -> String {
    let needed = below(
        "needed",
        "SELECT id, repository_id FROM manifests WHERE pushed_at >= ?1
             OR EXISTS (SELECT 1 FROM tags WHERE manifest_id = manifests.id)",
        Attached::Included,
    );
    format!(
        "WITH RECURSIVE {needed}
         SELECT manifests.id, repositories.path, blobs.digest
         FROM manifests
         JOIN repositories ON repositories.id = manifests.repository_id
         JOIN blobs ON blobs.id = manifests.blob_id
         WHERE manifests.id NOT IN (SELECT id FROM needed) AND repositories.removed_at IS NULL
         ORDER BY repositories.path, blobs.digest"
    )
}

/// Whether a tag leads to the manifest `?1`, or one that was pushed since `?2`.
fn is_needed_text() -> String {
    format!(
        "WITH RECURSIVE {ABOVE}
         SELECT EXISTS (
             SELECT 1 FROM above CROSS JOIN manifests ON manifests.id = above.id
             WHERE manifests.pushed_at >= ?2
             OR EXISTS (SELECT 1 FROM tags WHERE tags.manifest_id = above.id))"
    )
}

/// What one step of the sweep removed, or would.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    pub links: u64,
    /// The blobs that they led to: their files may go, if nothing else needs them.
    pub blobs: Vec<(Digest, u64)>,
}

/// A manifest that nothing leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UntaggedManifest {
    pub id: i64,
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

    /// Removes links that are unneeded since before `before`, at most some thousand: call it again until nothing
    /// was removed.
    pub fn sweep_links(&self, before: Timestamp) -> Result<Swept> {
        let found = |connection: &Connection| unneeded(connection, before, LINKS_AT_ONCE);
        let found = self.database.scan(found)?;
        let marked = |work: &dyn Fn(&Connection) -> Result<_>| self.write_marked(work);
        let remove = |connection: &Connection, link: &_| {
            let went = remove_link(connection, link, before)?;
            Ok(went.then(|| Clone::clone(link)))
        };
        let mut removed = Vec::new();
        each_in_steps(&found, marked, remove, &mut removed)?;
        Ok(swept(&removed))
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
        let found = self.untagged(before)?;
        self.database.write_each(&found, |connection, manifest| {
            if is_needed(connection, manifest.id, before)? {
                return Ok(None);
            }
            take(connection, manifest.id, now)?;
            Ok(Some(manifest.clone()))
        })
    }

    /// Projects that have repositories here.
    pub fn projects(&self) -> Result<Vec<ProjectId>> {
        self.database.scan(|connection| {
            list(
                connection,
                "list projects with repositories",
                "SELECT DISTINCT project_id FROM repositories WHERE removed_at IS NULL ORDER BY 1",
                [],
                |row| row.get(0),
            )
        })
    }

    /// Removes the manifests of a project that does not exist any more. Its blobs follow as unneeded links.
    pub fn forget_project(
        &self,
        project: ProjectId,
        now: Timestamp,
    ) -> Result<Vec<UntaggedManifest>> {
        let found = self.manifests_of_project(project)?;
        let transaction = |connection: &Connection| {
            step(|| match repository_of(connection, project)? {
                Some(repository) => retire(connection, repository, now).map(|()| true),
                None => Ok(false),
            })
        };
        in_steps(|| self.database.write(transaction))?;
        Ok(found)
    }

    /// The manifests of a project.
    pub fn manifests_of_project(&self, project: ProjectId) -> Result<Vec<UntaggedManifest>> {
        self.database
            .scan(|connection| of_project(connection, project))
    }

    /// Removes repositories that hold nothing and are being pushed to by nobody.
    pub fn sweep_repositories(&self, before: Timestamp) -> Result<u64> {
        let empty = self.database.scan(|connection| {
            let text = format!("SELECT id FROM repositories WHERE {EMPTY}");
            list(
                connection,
                "list empty repositories",
                &text,
                [before],
                |row| row.get::<_, i64>(0),
            )
        })?;
        let removed = self.database.write_each(&empty, |connection, id| {
            let text = format!("DELETE FROM repositories WHERE id = ?2 AND {EMPTY}");
            let went = run(connection, "sweep a repository", &text, [before.0, *id])?;
            Ok((went > 0).then_some(()))
        })?;
        Ok(removed.len() as u64)
    }
}

/// The repositories that nobody pushes to, made before `?1`, without anything in them.
const EMPTY: &str = "created_at < ?1
    AND NOT EXISTS (SELECT 1 FROM blob_links WHERE repository_id = repositories.id)
    AND NOT EXISTS (SELECT 1 FROM manifests WHERE repository_id = repositories.id)
    AND NOT EXISTS (SELECT 1 FROM uploads WHERE repository_id = repositories.id)";

fn is_needed(connection: &Connection, manifest: i64, before: Timestamp) -> Result<bool> {
    get(
        connection,
        "look whether a manifest is needed",
        &is_needed_text(),
        [manifest, before.0],
        |row| row.get(0),
    )
}

/// A repository of a project that holds a manifest.
fn repository_of(connection: &Connection, project: ProjectId) -> Result<Option<i64>> {
    find(
        connection,
        "find a repository of a project",
        "SELECT id FROM repositories WHERE project_id = ?1
         AND EXISTS (SELECT 1 FROM manifests WHERE repository_id = repositories.id) LIMIT 1",
        [project],
        |row| row.get(0),
    )
}

/// Removes a link, if it is still unneeded; says whether it was.
fn remove_link(connection: &Connection, link: &Link, before: Timestamp) -> Result<bool> {
    let text =
        format!("{UNNEEDED_LINKS} AND blob_links.repository_id = ?2 AND blob_links.blob_id = ?3");
    let parameters = [before.0, link.repository, link.blob];
    let still = find(
        connection,
        "look at an unneeded link",
        &text,
        parameters,
        |_| Ok(()),
    )?;
    if still.is_none() {
        return Ok(false);
    }
    run(
        connection,
        "sweep link",
        "DELETE FROM blob_links WHERE repository_id = ?1 AND blob_id = ?2",
        [link.repository, link.blob],
    )?;
    drop_unneeded(connection, link.blob)?;
    Ok(true)
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
        [project],
        manifest,
    )
}

#[derive(Clone)]
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
        &format!("{UNNEEDED_LINKS} LIMIT ?2"),
        params![before, count],
        |row| {
            Ok(Link {
                repository: row.get(0)?,
                blob: row.get(1)?,
                digest: row.get(2)?,
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
        &untagged_text(),
        [before],
        manifest,
    )
}

fn manifest(row: &rusqlite::Row<'_>) -> rusqlite::Result<UntaggedManifest> {
    Ok(UntaggedManifest {
        id: row.get(0)?,
        repository: row.get(1)?,
        digest: row.get(2)?,
    })
}
