//! Purging what a group has pulled and nobody else has: rows first, the files follow by `Store::release_blob`.
//!
//! A reader finds what goes; then, in steps between which others write, each manifest is looked at again and moved out of
//! its repository, into a row that nobody asks for, and what hangs on it there is removed a few rows at a time. What a
//! crash leaves is found by that row.

use std::collections::HashSet;
use std::time::Instant;

use parking_lot::Mutex;
use rusqlite::{Connection, params};

use super::{CacheDb, ManifestId, RepositoryId};
use crate::error::Result;
use crate::oci::{Digest, RegistryHost, RepositoryName};
use crate::store::GroupId;
use crate::store::content::reach::{Attached, below, is_referred_to};
use crate::store::content::unsettle;
use crate::store::database::{in_steps, step};
use crate::store::statement::{decoded, find, list, run};

/// So many rows go between two looks at the clock.
const PIECE: i64 = 50;

/// A repository that a group has pulled from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PulledRepository {
    pub id: RepositoryId,
    pub host: RegistryHost,
    pub name: RepositoryName,
}

/// What a purge took out of one repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purged {
    pub manifests: u64,
    /// What may be needed by nobody now; whoever purges releases each.
    pub loose: Vec<Digest>,
}

impl CacheDb {
    /// The repositories that a group has pulled from, as far as that was written.
    pub fn repositories_pulled_by(&self, group: GroupId) -> Result<Vec<PulledRepository>> {
        self.database.scan(|connection| {
            list(
                connection,
                "list the repositories that a group has pulled from",
                "SELECT DISTINCT repositories.id, origins.upstream, repositories.name
                 FROM pulls JOIN manifests ON manifests.id = pulls.manifest_id
                 JOIN repositories ON repositories.id = manifests.repository_id
                 JOIN origins ON origins.id = repositories.origin_id
                 WHERE pulls.group_id = ?1 AND repositories.removed_from IS NULL
                 ORDER BY 2, 3",
                [group],
                |row| {
                    Ok(PulledRepository {
                        id: row.get(0)?,
                        host: decoded(row, 1, RegistryHost::parse)?,
                        name: decoded(row, 2, RepositoryName::parse)?,
                    })
                },
            )
        })
    }

    /// Forgets that the group pulled from this repository, and with it the manifests that no other group has
    /// pulled and that no manifest that stays refers to; their tags go with them, and the links of their blobs.
    pub fn purge_repository(&self, group: GroupId, repository: RepositoryId) -> Result<Purged> {
        // Otherwise `finish_purges` would take a part of what is counted here.
        let _purging = self.purging.lock();
        // A place that a crash left is emptied first: the same manifest may have been fetched since.
        let mut loose = self.remove_purged()?;
        let mut manifests = 0_u64;
        let mut found = self
            .database
            .scan(|connection| unneeded(connection, group, repository))?;
        // Some are needed by others that go: until those have gone.
        loop {
            let (before, mut left) = (manifests, Vec::new());
            let mut next = found.into_iter().peekable();
            self.in_pieces(|connection| {
                let Some(&id) = next.peek() else {
                    return Ok(false);
                };
                match set_aside(connection, group, repository, id)? {
                    Aside::Tags => {}
                    Aside::Done => {
                        manifests = manifests.saturating_add(1);
                        next.next();
                    }
                    Aside::Needed => left.extend(next.next()),
                }
                Ok(true)
            })?;
            if manifests == before {
                break;
            }
            found = left;
        }
        loose.extend(self.remove_purged()?);
        self.in_pieces(|connection| forget_pulls(connection, group, repository))?;
        self.in_pieces(|connection| forget_listings(connection, repository))?;
        Ok(Purged { manifests, loose })
    }

    /// Forgets the lists that were kept of a repository, where no manifest of it is left.
    pub fn forget_lists_of_empty(&self, repository: RepositoryId) -> Result<()> {
        self.in_pieces(|connection| forget_listings(connection, repository))
    }

    /// Removes what a crash left of a purge, in steps; says whether there was anything. The files whose rows go are noted
    /// as unsettled. Does nothing while another purge is running.
    pub fn finish_purges(&self) -> Result<bool> {
        match self.purging.try_lock() {
            None => Ok(false),
            Some(_purging) => Ok(!self.remove_purged()?.is_empty()),
        }
    }

    /// Held by whoever purges or evicts.
    pub(super) fn purging(&self) -> &Mutex<()> {
        &self.purging
    }

    pub(super) fn remove_purged(&self) -> Result<Vec<Digest>> {
        let mut loose = HashSet::new();
        // Mostly there is nothing, and nobody need wait for the writer.
        if self.database.read(next)?.is_some() {
            self.in_pieces(|connection| remove_piece(connection, &mut loose))?;
        }
        Ok(loose.into_iter().collect())
    }

    pub(super) fn in_pieces(
        &self,
        mut piece: impl FnMut(&Connection) -> Result<bool>,
    ) -> Result<()> {
        // Pieces remember how far they got in their lists; the first error ends all of them.
        in_steps(|| {
            self.database
                .write_once(Instant::now(), |connection| step(|| piece(connection)))
        })
    }
}

/// What became of a manifest that was to go.
pub(super) enum Aside {
    /// Some of its tags have gone, and there may be more.
    Tags,
    /// It is out of its repository.
    Done,
    /// Another group has pulled it since, or a manifest refers to it that stays.
    Needed,
}

/// Moves a manifest out of its repository, if it is still unneeded.
fn set_aside(
    connection: &Connection,
    group: GroupId,
    repository: RepositoryId,
    id: i64,
) -> Result<Aside> {
    let unneeded = find(
        connection,
        "look whether a manifest is needed",
        &format!(
            "SELECT 1 FROM manifests JOIN blobs ON blobs.id = manifests.blob_id
             WHERE manifests.id = ?1 AND manifests.repository_id = ?2
             AND NOT EXISTS (SELECT 1 FROM pulls WHERE manifest_id = ?1 AND group_id <> ?3)
             AND NOT {}",
            is_referred_to("blobs.digest", "?2")
        ),
        params![id, repository, group],
        |_| Ok(()),
    )?;
    if unneeded.is_none() {
        return Ok(Aside::Needed);
    }
    move_out(connection, repository, ManifestId(id))
}

/// Moves a manifest out of its repository, once its tags have gone.
pub(super) fn move_out(
    connection: &Connection,
    repository: RepositoryId,
    id: ManifestId,
) -> Result<Aside> {
    let tags = run(
        connection,
        "purge tags",
        "DELETE FROM tags WHERE repository_id = ?1 AND name IN (
             SELECT name FROM tags WHERE manifest_id = ?2 LIMIT ?3)",
        params![repository, id, PIECE],
    )?;
    if tags > 0 {
        return Ok(Aside::Tags);
    }
    run(
        connection,
        "make a place for what is purged",
        "INSERT INTO repositories (origin_id, name, removed_from)
         SELECT origin_id, '/' || id, id FROM repositories WHERE id = ?1
         ON CONFLICT DO NOTHING",
        [repository],
    )?;
    run(
        connection,
        "take a manifest out of its repository",
        "UPDATE manifests SET repository_id
             = (SELECT id FROM repositories WHERE removed_from = ?2) WHERE id = ?1",
        params![id, repository],
    )?;
    Ok(Aside::Done)
}

/// Forgets a few of the group's pulls; says whether there may be more.
fn forget_pulls(connection: &Connection, group: GroupId, repository: RepositoryId) -> Result<bool> {
    let forgotten = run(
        connection,
        "forget a group's pulls",
        "DELETE FROM pulls WHERE (manifest_id, group_id, tag) IN (
             SELECT manifest_id, group_id, tag FROM manifests
             CROSS JOIN pulls ON pulls.manifest_id = manifests.id AND pulls.group_id = ?2
             WHERE manifests.repository_id = ?1 LIMIT ?3)",
        [repository.0, group.0, PIECE],
    )?;
    Ok(forgotten > 0)
}

/// Forgets a few lists of an empty repository; says whether there may be more.
fn forget_listings(connection: &Connection, repository: RepositoryId) -> Result<bool> {
    let forgotten = run(
        connection,
        "forget the lists of an empty repository",
        "DELETE FROM listings WHERE rowid IN (
             SELECT rowid FROM listings WHERE repository_id = ?1 LIMIT 1)
         AND NOT EXISTS (SELECT 1 FROM manifests WHERE repository_id = ?1)",
        [repository],
    )?;
    Ok(forgotten > 0)
}

/// A place of what is purged, and the repository that it was in.
fn next(connection: &Connection) -> Result<Option<(i64, RepositoryId)>> {
    find(
        connection,
        "find what is purged",
        "SELECT id, removed_from FROM repositories WHERE removed_from IS NOT NULL LIMIT 1",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

/// Removes a few rows of what is purged; says whether there may be more.
fn remove_piece(connection: &Connection, loose: &mut HashSet<Digest>) -> Result<bool> {
    let Some((place, repository)) = next(connection)? else {
        return Ok(false);
    };
    let manifest = find(
        connection,
        "find a purged manifest",
        "SELECT manifests.id, blobs.digest FROM manifests
         JOIN blobs ON blobs.id = manifests.blob_id WHERE repository_id = ?1 LIMIT 1",
        [place],
        |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)),
    )?;
    let Some((manifest, own)) = manifest else {
        let text = "DELETE FROM repositories WHERE id = ?1";
        return run(connection, "forget what is purged", text, [place]).map(|_| true);
    };
    let mut digests: Vec<Digest> = list(
        connection,
        "list what a purged manifest refers to",
        "DELETE FROM manifest_references WHERE manifest_id = ?1 AND hash IN (
             SELECT hash FROM manifest_references WHERE manifest_id = ?1 LIMIT ?2)
         RETURNING iif(length(hash) = 32, 'sha256:', 'sha512:') || lower(hex(hash))",
        [manifest, PIECE],
        |row| row.get(0),
    )?;
    if digests.is_empty() {
        let text = "DELETE FROM manifests WHERE id = ?1";
        run(connection, "purge manifest", text, [manifest])?;
        digests.push(own);
    }
    for digest in digests {
        unlink(connection, repository, &digest)?;
        // Whatever a crash makes of the files, garbage collection looks at them.
        unsettle(connection, &digest)?;
        loose.insert(digest);
    }
    Ok(true)
}

/// The manifests that only the group has pulled, with what they consist of and nobody else has pulled; without what a
/// manifest that stays consists of. What refers to others was mostly fetched before them, and comes first.
fn unneeded(connection: &Connection, group: GroupId, repository: RepositoryId) -> Result<Vec<i64>> {
    let by_others =
        "EXISTS (SELECT 1 FROM pulls WHERE manifest_id = manifests.id AND group_id <> ?2)";
    let own = format!(
        "SELECT id, repository_id FROM manifests WHERE repository_id = ?1
         AND EXISTS (SELECT 1 FROM pulls WHERE manifest_id = manifests.id AND group_id = ?2)
         AND NOT {by_others}"
    );
    let stays = format!(
        "SELECT id, repository_id FROM manifests WHERE repository_id = ?1
         AND (id NOT IN (SELECT id FROM own) OR {by_others})"
    );
    let text = format!(
        "WITH RECURSIVE {}, {}
         SELECT id FROM own WHERE id NOT IN (SELECT id FROM kept) ORDER BY id",
        below("own", &own, Attached::Excluded),
        below("kept", &stays, Attached::Excluded)
    );
    list(
        connection,
        "list manifests that only a group has pulled",
        &text,
        [repository.0, group.0],
        |row| row.get(0),
    )
}

/// Takes a blob out of the repository, unless a manifest that stays needs it.
fn unlink(connection: &Connection, repository: RepositoryId, digest: &Digest) -> Result<()> {
    run(
        connection,
        "unlink a purged blob",
        &format!(
            "DELETE FROM blob_links WHERE repository_id = ?1
             AND blob_id = (SELECT id FROM blobs WHERE digest = ?2) AND NOT {}",
            is_referred_to("?2", "?1")
        ),
        params![repository, digest],
    )?;
    Ok(())
}
