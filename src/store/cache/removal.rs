//! How the rows of what is cached go: see [`removal`]. What is purged or evicted waits in a row of its own for each
//! repository.

use std::collections::HashSet;
use std::time::Instant;

use parking_lot::Mutex;
use rusqlite::{Connection, params};

use super::{CacheDb, ManifestId, RepositoryId};
use crate::error::Result;
use crate::oci::Digest;
use crate::store::content::reach::is_referred_to;
use crate::store::content::removal::{self, Left};
use crate::store::content::unsettle;
use crate::store::database::{in_steps, step};
use crate::store::statement::{find, get, run};

impl CacheDb {
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

/// Moves a manifest out of its repository, once its tags have gone.
pub(super) fn move_out(
    connection: &Connection,
    repository: RepositoryId,
    id: ManifestId,
) -> Result<Aside> {
    if removal::remove_tags(connection, id.0, removal::PIECE)? {
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
    let waiting = get(
        connection,
        "find the place of what is purged",
        "SELECT id FROM repositories WHERE removed_from = ?1",
        [repository],
        |row| row.get(0),
    )?;
    removal::move_to(connection, id.0, waiting)?;
    Ok(Aside::Done)
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
    let Some((waiting, repository)) = next(connection)? else {
        return Ok(false);
    };
    let has_more = removal::remove_piece(connection, waiting, |left| {
        let (Left::Manifest { digest, .. } | Left::Referred(digest)) = left;
        unlink(connection, repository, &digest)?;
        // Whatever a crash makes of the files, garbage collection looks at them.
        unsettle(connection, &digest)?;
        loose.insert(digest);
        Ok(())
    })?;
    if !has_more {
        let text = "DELETE FROM repositories WHERE id = ?1";
        run(connection, "forget what is purged", text, [waiting])?;
    }
    Ok(true)
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
