//! Taking images out of the cache that are worth least: rows first, in steps, the files follow by `Store::release_blob`.
//!
//! What goes was chosen from an [`crate::store::Inventory`], while others pulled and filled. So each manifest is looked at
//! again in the transaction that takes it out, and stays if it was pulled or fetched since.

use rusqlite::{Connection, params};

use super::removal::{self, Aside};
use super::{CacheDb, ManifestId, RepositoryId};
use crate::error::Result;
use crate::oci::Digest;
use crate::store::content::reach::is_referred_to;
use crate::store::content::unsettle;
use crate::store::statement::{find, get, run, size};
use crate::store::{BlobId, GroupId};
use crate::time::Timestamp;

/// A manifest that is to go, as it was when that was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eviction {
    pub manifest: ManifestId,
    pub repository: RepositoryId,
    pub fetched_at: Timestamp,
    /// When it was last pulled, by the group that it goes for, or by anybody.
    pub pulled_at: Option<Timestamp>,
    /// For whom: it goes only where no other group has pulled it. `None`: for everybody.
    pub group: Option<GroupId>,
}

/// What came of taking manifests out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakenOut {
    /// Those that went.
    pub manifests: Vec<ManifestId>,
    /// What may be needed by nobody now; whoever evicts releases each.
    pub loose: Vec<Digest>,
}

impl CacheDb {
    /// The bytes of all files that are cached.
    pub fn used(&self) -> Result<u64> {
        self.database.read(|connection| {
            get(
                connection,
                "read how much is cached",
                "SELECT max(bytes, 0) FROM used WHERE id = 1",
                [],
                |row| size(row, 0),
            )
        })
    }

    /// Takes manifests out in the order given, with the tags that point to them and the links that only they explain.
    /// An index comes before what it consists of.
    pub fn evict(&self, images: &[Eviction]) -> Result<TakenOut> {
        let _purging = self.purging().lock();
        let mut loose = self.remove_purged()?;
        let mut manifests = Vec::new();
        let mut next = images.iter().peekable();
        self.in_pieces(|connection| {
            let Some(image) = next.peek() else {
                return Ok(false);
            };
            match take_out(connection, image)? {
                Aside::Tags => return Ok(true),
                Aside::Done => manifests.push(image.manifest),
                Aside::Needed => {}
            }
            next.next();
            Ok(true)
        })?;
        loose.extend(self.remove_purged()?);
        Ok(TakenOut { manifests, loose })
    }

    /// Takes a blob out of a repository where no manifest explains its link any more, as it was at `since`; without a
    /// repository it is only looked whether its row and its file can go. Gives the digests whose files may go.
    pub fn evict_loose(
        &self,
        blobs: &[(Option<RepositoryId>, BlobId, Timestamp)],
    ) -> Result<Vec<Digest>> {
        let mut loose = Vec::new();
        let mut next = blobs.iter();
        self.in_pieces(|connection| {
            let Some(&(repository, blob, since)) = next.next() else {
                return Ok(false);
            };
            if let Some(digest) = loosen(connection, repository, blob, since)? {
                unsettle(connection, &digest)?;
                loose.push(digest);
            }
            Ok(true)
        })?;
        Ok(loose)
    }
}

fn take_out(connection: &Connection, image: &Eviction) -> Result<Aside> {
    let is_as_it_was = find(
        connection,
        "look whether an image was pulled meanwhile",
        "SELECT 1 FROM manifests
         WHERE id = ?1 AND repository_id = ?2 AND fetched_at <= ?3
         AND NOT EXISTS (SELECT 1 FROM pulls WHERE manifest_id = ?1
             AND (?5 IS NULL OR group_id = ?5) AND last_at > ?4)",
        params![
            image.manifest,
            image.repository,
            image.fetched_at,
            image.pulled_at.unwrap_or(Timestamp(i64::MIN)),
            image.group
        ],
        |_| Ok(()),
    )?;
    if is_as_it_was.is_none() {
        return Ok(Aside::Needed);
    }
    if let Some(group) = image.group {
        run(
            connection,
            "forget a group's pulls of an image",
            "DELETE FROM pulls WHERE manifest_id = ?1 AND group_id = ?2",
            params![image.manifest, group],
        )?;
        let text = "SELECT 1 FROM pulls WHERE manifest_id = ?1 LIMIT 1";
        let by_others = find(
            connection,
            "find others' pulls",
            text,
            [image.manifest],
            |_| Ok(()),
        )?;
        if by_others.is_some() {
            return Ok(Aside::Needed);
        }
    }
    removal::move_out(connection, image.repository, image.manifest)
}

fn loosen(
    connection: &Connection,
    repository: Option<RepositoryId>,
    blob: BlobId,
    since: Timestamp,
) -> Result<Option<Digest>> {
    let Some(repository) = repository else {
        let text = "SELECT digest FROM blobs WHERE id = ?1";
        return find(connection, "find a loose blob", text, [blob], |row| {
            row.get(0)
        });
    };
    let text = format!(
        "DELETE FROM blob_links WHERE repository_id = ?1 AND blob_id = ?2 AND linked_at <= ?3
         AND NOT {}
         RETURNING (SELECT digest FROM blobs WHERE id = ?2)",
        is_referred_to("(SELECT digest FROM blobs WHERE id = ?2)", "?1")
    );
    find(
        connection,
        "unlink a loose blob",
        &text,
        params![repository, blob, since],
        |row| row.get(0),
    )
}
