//! Deletion of manifests and repositories, however large: what goes is out of everybody's sight in one short
//! transaction, and its rows follow in steps, between which others write.
//!
//! A repository that goes stays as a row that belongs to no project: `project_id` is its own id, negated, so that whoever
//! asks by project and path misses it and all that hangs on it. Its blobs can be pushed again by the path that it had,
//! for a grace from `removed_at`, and quotas count them until they are gone. A manifest with many references is moved
//! into such a row. What a crash leaves of either is found there.
//!
//! Rejected: a mark on each manifest and tag, which takes as long to set as they take to delete.

use std::collections::HashSet;

use rusqlite::{Connection, params};

use super::blobs::drop_unneeded;
use super::manifests::{remove, tags_that_need};
use super::repositories::OF_PATH;
use super::{HostedRepository, RegistryDb, repositories};
use crate::error::Result;
use crate::oci::{Digest, Tag};
use crate::store::content::removal::{self, Left};
use crate::store::database::{in_steps, step};
use crate::store::statement::{decoded, find, get, list, run};
use crate::time::Timestamp;

/// So many tags are judged while the writer is held; more are judged before.
const JUDGED_AT_ONCE: usize = 100;
/// So many tags of a manifest go in one transaction.
const TAGS_AT_ONCE: i64 = 500;
/// A manifest with no more references goes at once.
const REFERENCES_AT_ONCE: i64 = 300;

/// How far a deletion has come.
enum Deletion {
    /// There is nothing to delete.
    Unknown,
    /// There are more tags than may be judged meanwhile: nothing was changed.
    Unjudged,
    /// Some of its tags have gone.
    Begun,
    /// It is out of sight.
    Done,
}

/// A tag, and whether what goes is only attached to its image.
type Needing = (Tag, bool);

/// A row of what was removed.
struct Removed {
    id: i64,
    from: i64,
    path: String,
    at: Timestamp,
}

impl RegistryDb {
    /// Removes a manifest and the tags that point to it; says whether there was one. Its blobs stay linked, for
    /// a grace from `now`. More than a few hundred tags go first, in steps.
    ///
    /// `judge` is asked about every tag whose image this would take away or break before anything goes: those that point
    /// to the manifest, and to an index above it; and about those that it is only attached to (`true`), because they point
    /// to its subject, or to what is above that. What comes in between is judged inside the transaction.
    ///
    /// # Errors
    /// What `judge` says.
    pub fn delete_manifest(
        &self,
        repository: HostedRepository<'_>,
        digest: &Digest,
        now: Timestamp,
        judge: impl Fn(&Tag, bool) -> Result<()>,
    ) -> Result<bool> {
        let needing = |connection: &Connection| match manifest(connection, repository, digest)? {
            Some(id) => tags_that_need(connection, id),
            None => Ok(Vec::new()),
        };
        let judge = |(tag, is_attached): &Needing| judge(tag, *is_attached);
        self.delete(needing, judge, |connection, judged| {
            let Some(id) = manifest(connection, repository, digest)? else {
                return Ok(Deletion::Unknown);
            };
            if !judged.covers(tags_that_need(connection, id)?)? {
                return Ok(Deletion::Unjudged);
            }
            if remove_tags(connection, id)? {
                return Ok(Deletion::Begun);
            }
            take(connection, id, now).map(|()| Deletion::Done)
        })
    }

    /// Removes all manifests of a repository with their tags, or nothing; says whether there were any. Their blobs stay
    /// linked, for a grace from `now`; files go with the garbage. `judge` is asked about every tag before, as for
    /// [`Self::delete_manifest`].
    ///
    /// # Errors
    /// What `judge` says; then nothing was changed.
    pub fn delete_repository(
        &self,
        repository: HostedRepository<'_>,
        now: Timestamp,
        judge: impl Fn(&Tag) -> Result<()>,
    ) -> Result<bool> {
        let all = |connection: &Connection| match repositories::id(connection, repository)? {
            Some(id) => tags(connection, id, i64::MAX),
            None => Ok(Vec::new()),
        };
        self.delete(
            all,
            |(tag, _)| judge(tag),
            |connection, judged| {
                let Some(id) = repositories::id(connection, repository)? else {
                    return Ok(Deletion::Unknown);
                };
                let most = match judged.known.is_empty() {
                    true => (JUDGED_AT_ONCE as i64).saturating_add(1),
                    false => i64::MAX,
                };
                if !judged.covers(tags(connection, id, most)?)? {
                    return Ok(Deletion::Unjudged);
                }
                match holds_manifests(connection, id)? {
                    true => retire(connection, id, now).map(|()| Deletion::Done),
                    false => Ok(Deletion::Unknown),
                }
            },
        )
    }

    /// Runs transactions until what is to be deleted is. Where there are many tags, `tags` lists them for a judgement
    /// that holds up nobody.
    fn delete(
        &self,
        tags: impl Fn(&Connection) -> Result<Vec<Needing>>,
        judge: impl Fn(&Needing) -> Result<()>,
        transaction: impl Fn(&Connection, &Judged<'_>) -> Result<Deletion>,
    ) -> Result<bool> {
        let mut judged = Judged {
            judge: &judge,
            known: HashSet::new(),
        };
        let mut was_there = false;
        in_steps(|| {
            match self
                .database
                .write(|connection| transaction(connection, &judged))?
            {
                Deletion::Unknown => return Ok(false),
                Deletion::Unjudged => {
                    let tags = self.database.scan(&tags)?;
                    tags.iter().try_for_each(&judge)?;
                    judged.known = tags.into_iter().collect();
                }
                Deletion::Begun => {}
                Deletion::Done => {
                    was_there = true;
                    return Ok(false);
                }
            }
            Ok(true)
        })?;
        Ok(was_there)
    }

    /// Removes the rows of what was deleted, in steps; says whether there were any. The files whose rows go are noted as
    /// unsettled.
    pub fn finish_removals(&self) -> Result<bool> {
        // Mostly there is nothing, and nobody need wait for the writer.
        if self.database.read(next)?.is_none() {
            return Ok(false);
        }
        in_steps(|| {
            let transaction = |connection: &Connection| step(|| remove_piece(connection));
            self.database.write(transaction)
        })?;
        Ok(true)
    }
}

/// What was judged before the transaction.
struct Judged<'a> {
    judge: &'a dyn Fn(&Needing) -> Result<()>,
    known: HashSet<Needing>,
}

impl Judged<'_> {
    /// Judges the others of `tags`; false where they are too many for that.
    fn covers(&self, tags: Vec<Needing>) -> Result<bool> {
        let others: Vec<_> = tags
            .iter()
            .filter(|tag| !self.known.contains(tag))
            .collect();
        if others.len() > JUDGED_AT_ONCE {
            return Ok(false);
        }
        others.into_iter().try_for_each(self.judge)?;
        Ok(true)
    }
}

fn manifest(
    connection: &Connection,
    repository: HostedRepository<'_>,
    digest: &Digest,
) -> Result<Option<i64>> {
    find(
        connection,
        "find manifest to delete",
        "SELECT manifests.id
         FROM repositories
         CROSS JOIN blobs ON blobs.digest = ?3
         CROSS JOIN manifests ON manifests.repository_id = repositories.id
             AND manifests.blob_id = blobs.id
         WHERE repositories.project_id = ?1 AND repositories.path = ?2",
        params![repository.project, repository.path, digest],
        |row| row.get(0),
    )
}

fn tags(connection: &Connection, repository: i64, most: i64) -> Result<Vec<Needing>> {
    list(
        connection,
        "list tags to delete",
        "SELECT name FROM tags WHERE repository_id = ?1 ORDER BY name LIMIT ?2",
        [repository, most],
        |row| Ok((decoded(row, 0, Tag::parse)?, false)),
    )
}

fn holds_manifests(connection: &Connection, repository: i64) -> Result<bool> {
    get(
        connection,
        "look whether a repository holds a manifest",
        "SELECT EXISTS (SELECT 1 FROM manifests WHERE repository_id = ?1)",
        [repository],
        |row| row.get(0),
    )
}

/// Removes tags of a manifest that has too many for one transaction; says whether it has.
fn remove_tags(connection: &Connection, manifest: i64) -> Result<bool> {
    let has_many = get(
        connection,
        "look whether a manifest has many tags",
        "SELECT EXISTS (SELECT 1 FROM tags WHERE manifest_id = ?1 LIMIT 1 OFFSET ?2)",
        [manifest, TAGS_AT_ONCE],
        |row| row.get(0),
    )?;
    match has_many {
        true => removal::remove_tags(connection, manifest, TAGS_AT_ONCE),
        false => Ok(false),
    }
}

/// Takes a manifest out of its repository, with the tags that point to it: its rows too, unless they are too many.
pub(super) fn take(connection: &Connection, manifest: i64, now: Timestamp) -> Result<()> {
    let references: i64 = get(
        connection,
        "count references of a manifest",
        "SELECT count(*) FROM (
             SELECT 1 FROM manifest_references WHERE manifest_id = ?1 LIMIT ?2 + 1)",
        [manifest, REFERENCES_AT_ONCE],
        |row| row.get(0),
    )?;
    if references <= REFERENCES_AT_ONCE {
        return remove(connection, manifest, now);
    }
    removal::remove_tags(connection, manifest, i64::MAX)?;
    let waiting = get(
        connection,
        "add a row for what is removed",
        "INSERT INTO repositories (project_id, path, created_at, removed_from, removed_at)
         SELECT 0, repositories.path, ?2, repositories.project_id, ?2
         FROM manifests JOIN repositories ON repositories.id = manifests.repository_id
         WHERE manifests.id = ?1 RETURNING id",
        [manifest, now.0],
        |row| row.get::<_, i64>(0),
    )?;
    run(
        connection,
        "take a row from its project",
        "UPDATE repositories SET project_id = -id WHERE id = ?1",
        [waiting],
    )?;
    removal::move_to(connection, manifest, waiting)
}

/// Takes a repository from its project. Its uploads go on: in a new row of the same path.
pub(super) fn retire(connection: &Connection, repository: i64, now: Timestamp) -> Result<()> {
    run(
        connection,
        "take a repository from its project",
        "UPDATE repositories SET project_id = -id, removed_from = project_id, removed_at = ?2
         WHERE id = ?1",
        [repository, now.0],
    )?;
    let has_uploads = "EXISTS (SELECT 1 FROM uploads WHERE repository_id = ?1)";
    let fresh: Option<i64> = find(
        connection,
        "add a repository for uploads",
        &format!(
            "INSERT INTO repositories (project_id, path, created_at)
             SELECT removed_from, path, ?2 FROM repositories WHERE id = ?1 AND {has_uploads}
             RETURNING id"
        ),
        [repository, now.0],
        |row| row.get(0),
    )?;
    if let Some(fresh) = fresh {
        run(
            connection,
            "move uploads to another repository",
            "UPDATE uploads SET repository_id = ?2 WHERE repository_id = ?1",
            [repository, fresh],
        )?;
    }
    Ok(())
}

/// A row of what was removed that still has tags or manifests.
fn next(connection: &Connection) -> Result<Option<Removed>> {
    find(
        connection,
        "find what was removed",
        "SELECT id, removed_from, path, removed_at FROM repositories
         WHERE removed_at IS NOT NULL
         AND (EXISTS (SELECT 1 FROM manifests WHERE repository_id = repositories.id)
             OR EXISTS (SELECT 1 FROM tags WHERE repository_id = repositories.id))
         LIMIT 1",
        [],
        |row| {
            Ok(Removed {
                id: row.get(0)?,
                from: row.get(1)?,
                path: row.get(2)?,
                at: row.get(3)?,
            })
        },
    )
}

/// Removes a few rows of what was removed; says whether there may be more. As long as a reference is there, garbage
/// collection leaves the link alone, and from then on it has its grace.
fn remove_piece(connection: &Connection) -> Result<bool> {
    let Some(removed) = next(connection)? else {
        return Ok(false);
    };
    removal::remove_piece(connection, removed.id, |left| match left {
        Left::Referred(digest) => mark(connection, &removed, &digest),
        Left::Manifest { blob, .. } => {
            drop_unneeded(connection, blob)?;
            run(
                connection,
                "forget what was removed",
                "DELETE FROM repositories WHERE id = ?1
                 AND NOT EXISTS (SELECT 1 FROM manifests WHERE repository_id = ?1)
                 AND NOT EXISTS (SELECT 1 FROM tags WHERE repository_id = ?1)
                 AND NOT EXISTS (SELECT 1 FROM uploads WHERE repository_id = ?1)
                 AND NOT EXISTS (SELECT 1 FROM blob_links WHERE repository_id = ?1)",
                [removed.id],
            )
            .map(drop)
        }
    })
}

/// Gives the grace to the links of a blob that a removed manifest referred to.
fn mark(connection: &Connection, removed: &Removed, digest: &Digest) -> Result<()> {
    run(
        connection,
        "mark a blob of a removed manifest",
        &format!(
            "UPDATE blob_links SET needed_at = max(needed_at, ?4)
             WHERE repository_id IN ({OF_PATH})
             AND blob_id = (SELECT id FROM blobs WHERE digest = ?3)"
        ),
        params![removed.from, removed.path, digest, removed.at],
    )
    .map(drop)
}
