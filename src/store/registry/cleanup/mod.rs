//! Removal of tags by cleanup policies, and of the manifests that nothing needs any more when their last tag has gone.
//!
//! A manifest whose tag was removed is noted in `cleanup_left`, in the same transaction, and looked at afterwards: it stays
//! where another tag, an index, or a subject that is here needs it. When it goes, what it consists of and what is attached
//! to it is noted in turn. So a crash loses no work, and what is too young to go is found again later.

mod going;
mod runs;

pub use going::Going;
pub use runs::{CleanupRequest, CleanupRun};

use std::ops::ControlFlow;
use std::time::Duration;

use rusqlite::{Connection, Row, params};

use super::RegistryDb;
use super::removal::take;
use crate::error::Result;
use crate::oci::{Digest, Tag};
use crate::store::ProjectId;
use crate::store::content::reach::{REFERRED_BLOB, is_referred_to};
use crate::store::statement::{decoded, find, list, run, visit};
use crate::time::Timestamp;

/// So many manifests are looked at before it is asked again which are left.
const LEFT_AT_ONCE: u32 = 500;

/// A tag as cleanup policies judge it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedTag {
    pub name: Tag,
    pub digest: Digest,
    /// When it was last pushed.
    pub pushed_at: Timestamp,
    pub last_pulled_at: Option<Timestamp>,
    manifest: i64,
}

const TAGS: &str = "
    SELECT tags.name, blobs.digest, tags.updated_at, tags.last_pulled_at, manifests.id
    FROM tags
    CROSS JOIN manifests ON manifests.id = tags.manifest_id
    CROSS JOIN blobs ON blobs.id = manifests.blob_id";

fn pushed_tag(row: &Row<'_>) -> rusqlite::Result<PushedTag> {
    Ok(PushedTag {
        name: decoded(row, 0, Tag::parse)?,
        digest: row.get(1)?,
        pushed_at: row.get(2)?,
        last_pulled_at: row.get(3)?,
        manifest: row.get(4)?,
    })
}

/// What is to be done about a manifest that is left without the tag that it had.
#[derive(Clone, Copy)]
enum Look {
    /// It is noted that a part of it may be needed by nothing, or something that is attached to it.
    AtPart(i64),
    /// It goes itself, if nothing needs it.
    At(i64),
}

impl RegistryDb {
    /// Shows the tags of a repository to `see`, those first that were pushed last; of those of the same second, the one
    /// first whose name sorts last.
    pub fn tags_by_push(&self, repository: i64, mut see: impl FnMut(PushedTag)) -> Result<()> {
        self.database.scan(|connection| {
            let text = format!(
                "{TAGS} WHERE tags.repository_id = ?1 ORDER BY tags.updated_at DESC, tags.name DESC"
            );
            visit(
                connection,
                "list tags by their push",
                &text,
                [repository],
                |row| {
                    see(pushed_tag(row)?);
                    Ok(ControlFlow::Continue(()))
                },
            )
        })
    }

    /// Removes those of the tags that were not pushed again meanwhile, in steps; adds to `removed` how many went, also
    /// before an error. They are counted for the cleanup of the project `counted`. Their manifests are looked at by
    /// [`Self::sweep_left`] when they were pushed at least `grace` ago.
    pub fn remove_pushed_tags(
        &self,
        counted: Option<ProjectId>,
        repository: i64,
        tags: &[PushedTag],
        now: Timestamp,
        grace: Duration,
        removed: &mut u64,
    ) -> Result<()> {
        let mut gone = Vec::new();
        let went = self
            .database
            .write_each_into(&mut gone, tags, |connection, tag| {
                if !remove_tag(connection, repository, tag)? {
                    return Ok(None);
                }
                note_left(connection, tag.manifest, now, grace)?;
                if let Some(project) = counted {
                    runs::count(connection, project)?;
                }
                Ok(Some(()))
            });
        *removed = removed.saturating_add(gone.len() as u64);
        went
    }

    /// Has [`Self::sweep_left`] look at a manifest that may have no tag, now.
    pub fn note_untagged(&self, repository: i64, digest: &Digest, now: Timestamp) -> Result<()> {
        self.database.write(|connection| {
            run(
                connection,
                "note a manifest that is to go",
                "INSERT OR REPLACE INTO cleanup_left (manifest_id, due_at)
                 SELECT manifests.id, ?3 FROM blobs
                 JOIN manifests ON manifests.blob_id = blobs.id AND manifests.repository_id = ?1
                 WHERE blobs.digest = ?2",
                params![repository, digest, now],
            )
            .map(drop)
        })
    }

    /// Removes the manifests that a removed tag left and that nothing needs, in steps, with what only they consist of and
    /// what is attached to them; those that were pushed within `grace` wait. Adds to `gone` the digests of what went, also
    /// before an error: their files may follow. Their blobs have the grace of garbage, from `now`.
    pub fn sweep_left(
        &self,
        now: Timestamp,
        grace: Duration,
        gone: &mut Vec<Digest>,
    ) -> Result<()> {
        loop {
            let looks = self.database.scan(|connection| looks(connection, now))?;
            if looks.is_empty() {
                return Ok(());
            }
            self.database
                .write_each_into(gone, &looks, |connection, look| match *look {
                    Look::AtPart(part) => note_left(connection, part, now, grace).map(|()| None),
                    Look::At(manifest) => take_left(connection, manifest, now, grace),
                })?;
        }
    }
}

/// Removes a tag if it is still as it was judged; says whether it was.
fn remove_tag(connection: &Connection, repository: i64, tag: &PushedTag) -> Result<bool> {
    let removed = run(
        connection,
        "remove a tag that was judged",
        "DELETE FROM tags
         WHERE repository_id = ?1 AND name = ?2 AND manifest_id = ?3 AND updated_at = ?4
         AND EXISTS (SELECT 1 FROM repositories WHERE id = ?1 AND removed_at IS NULL)",
        params![repository, tag.name.as_str(), tag.manifest, tag.pushed_at],
    )?;
    Ok(removed > 0)
}

/// Notes that a manifest may be needed by nothing, to be looked at when it is old enough.
fn note_left(
    connection: &Connection,
    manifest: i64,
    now: Timestamp,
    grace: Duration,
) -> Result<()> {
    run(
        connection,
        "note a manifest that a tag has left",
        "INSERT INTO cleanup_left (manifest_id, due_at)
         SELECT id, max(?2, pushed_at + ?3) FROM manifests WHERE id = ?1
         ON CONFLICT DO UPDATE SET due_at = excluded.due_at",
        params![manifest, now, seconds(grace)],
    )
    .map(drop)
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// What is to be done about some of those that are due: about the parts of each first.
fn looks(connection: &Connection, now: Timestamp) -> Result<Vec<Look>> {
    let due: Vec<i64> = list(
        connection,
        "list manifests that tags have left",
        "SELECT manifest_id FROM cleanup_left WHERE due_at <= ?1 ORDER BY due_at LIMIT ?2",
        params![now, LEFT_AT_ONCE],
        |row| row.get(0),
    )?;
    let mut looks = Vec::new();
    for manifest in due {
        looks.extend(parts(connection, manifest)?.into_iter().map(Look::AtPart));
        looks.push(Look::At(manifest));
    }
    Ok(looks)
}

fn parts(connection: &Connection, manifest: i64) -> Result<Vec<i64>> {
    let text = format!(
        "SELECT part.id
         FROM manifests
         CROSS JOIN manifest_references ON manifest_references.manifest_id = manifests.id
         CROSS JOIN blobs ON {REFERRED_BLOB}
         CROSS JOIN manifests AS part
             ON part.repository_id = manifests.repository_id AND part.blob_id = blobs.id
         WHERE manifests.id = ?1
         UNION
         SELECT attached.id
         FROM manifests
         CROSS JOIN blobs ON blobs.id = manifests.blob_id
         CROSS JOIN manifests AS attached
             ON attached.repository_id = manifests.repository_id AND attached.subject = blobs.digest
         WHERE manifests.id = ?1"
    );
    list(
        connection,
        "list what belongs to a manifest",
        &text,
        [manifest],
        |row| row.get(0),
    )
}

/// Removes a manifest if nothing needs it and it is old enough; its digest, if it went. It is noted no longer, unless it
/// was pushed again within the grace.
fn take_left(
    connection: &Connection,
    manifest: i64,
    now: Timestamp,
    grace: Duration,
) -> Result<Option<Digest>> {
    let text = format!(
        "SELECT blobs.digest, manifests.pushed_at,
             repositories.removed_at IS NOT NULL
             OR EXISTS (SELECT 1 FROM tags WHERE tags.manifest_id = manifests.id)
             OR {}
             OR EXISTS (
                 SELECT 1 FROM blobs AS subject_blob
                 CROSS JOIN manifests AS subject
                     ON subject.repository_id = manifests.repository_id
                     AND subject.blob_id = subject_blob.id
                 WHERE subject_blob.digest = manifests.subject)
         FROM manifests
         JOIN repositories ON repositories.id = manifests.repository_id
         JOIN blobs ON blobs.id = manifests.blob_id
         WHERE manifests.id = ?1",
        is_referred_to("blobs.digest", "manifests.repository_id")
    );
    let found = find(
        connection,
        "look whether anything needs a manifest",
        &text,
        [manifest],
        |row| {
            Ok((
                row.get::<_, Digest>(0)?,
                row.get::<_, Timestamp>(1)?,
                row.get::<_, bool>(2)?,
            ))
        },
    )?;
    let gone = match found {
        Some((_, pushed_at, false)) if now < pushed_at.plus(grace) => {
            note_left(connection, manifest, now, grace)?;
            return Ok(None);
        }
        Some((digest, _, false)) => {
            take(connection, manifest, now)?;
            Some(digest)
        }
        _ => None,
    };
    run(
        connection,
        "note no longer that a tag has left a manifest",
        "DELETE FROM cleanup_left WHERE manifest_id = ?1",
        [manifest],
    )?;
    Ok(gone)
}
