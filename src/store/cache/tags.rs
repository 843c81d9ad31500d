//! Tags: which manifest one points to, when that was last confirmed, and since when it is gone upstream.

use rusqlite::{Connection, params};

use super::{CacheDb, CachedTag, ManifestId, RepositoryId};
use crate::error::Result;
use crate::oci::{Digest, Tag};
use crate::store::database::AskedIn;
use crate::store::statement::{find, list, run};
use crate::time::Timestamp;

pub(super) const FIND_TAG: &str = "SELECT blobs.digest, tags.confirmed_at, tags.gone_at
     FROM tags JOIN manifests ON manifests.id = tags.manifest_id
     JOIN blobs ON blobs.id = manifests.blob_id
     WHERE tags.repository_id = ?1 AND tags.name = ?2";

impl CacheDb {
    /// The tag as it was last seen.
    pub fn tag(&self, repository: RepositoryId, tag: &Tag) -> Result<Option<CachedTag>> {
        let asked = AskedIn(repository.0, tag);
        self.rows.tags.find(&self.database, asked, |connection| {
            find(
                connection,
                "find tag",
                FIND_TAG,
                params![repository, tag.as_str()],
                |row| {
                    Ok(CachedTag {
                        digest: row.get(0)?,
                        confirmed_at: row.get(1)?,
                        gone_at: row.get(2)?,
                    })
                },
            )
        })
    }

    /// The upstream still says this digest: extends `confirmed_at` and clears `gone_at`, if the tag points to
    /// it. If it was moved since the upstream was asked, the word is out of date and changes nothing.
    pub fn confirm_tag(
        &self,
        repository: RepositoryId,
        tag: &Tag,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<()> {
        // Confirmed in this second already: many requests find out the same at once.
        if self.tag(repository, tag)?.is_some_and(|kept| {
            kept.digest == *digest && kept.confirmed_at == now && kept.gone_at.is_none()
        }) {
            return Ok(());
        }
        self.database.write_soon(|connection| {
            run(
                connection,
                "confirm tag",
                "UPDATE tags SET confirmed_at = ?4, gone_at = NULL
                 WHERE repository_id = ?1 AND name = ?2 AND manifest_id IN (
                     SELECT manifests.id FROM manifests JOIN blobs ON blobs.id = manifests.blob_id
                     WHERE manifests.repository_id = ?1 AND blobs.digest = ?3)",
                params![repository, tag.as_str(), digest, now],
            )
        })?;
        Ok(())
    }

    /// The upstream does not have the tag any more, or denies it. The first time counts.
    pub fn mark_gone(&self, repository: RepositoryId, tag: &Tag, now: Timestamp) -> Result<()> {
        if self
            .tag(repository, tag)?
            .is_none_or(|kept| kept.gone_at.is_some())
        {
            return Ok(());
        }
        self.database.write_soon(|connection| {
            run(
                connection,
                "mark tag as gone",
                "UPDATE tags SET gone_at = ?3
                 WHERE repository_id = ?1 AND name = ?2 AND gone_at IS NULL",
                params![repository, tag.as_str(), now],
            )
        })?;
        Ok(())
    }

    /// Lets a tag go whose manifest stays, if it still points there.
    pub fn remove_tag(&self, manifest: ManifestId, tag: &str) -> Result<()> {
        self.database.write(|connection| {
            run(
                connection,
                "remove tag",
                "DELETE FROM tags WHERE name = ?2 AND manifest_id = ?1
                 AND repository_id = (SELECT repository_id FROM manifests WHERE id = ?1)",
                params![manifest, tag],
            )
        })?;
        Ok(())
    }

    /// Tags kept of a repository, sorted, after `last`, at most `n`.
    pub fn tags(
        &self,
        repository: RepositoryId,
        last: Option<&str>,
        n: usize,
    ) -> Result<Vec<String>> {
        self.database.scan(|connection| {
            list(
                connection,
                "list tags",
                "SELECT name FROM tags WHERE repository_id = ?1 AND name > ?2
                 ORDER BY name LIMIT ?3",
                params![
                    repository,
                    last.unwrap_or_default(),
                    i64::try_from(n).unwrap_or(i64::MAX)
                ],
                |row| row.get(0),
            )
        })
    }

    /// Tags whose manifest's row is missing, as `UPSTREAM/REPOSITORY:TAG`: never in a sound database.
    pub(crate) fn dangling_tags(&self) -> Result<Vec<String>> {
        self.database.scan(|connection| {
            list(
                connection,
                "list dangling tags",
                "SELECT ifnull(origins.upstream, '?') || '/' || ifnull(repositories.name, '?')
                     || ':' || tags.name
                 FROM tags LEFT JOIN manifests ON manifests.id = tags.manifest_id
                 LEFT JOIN repositories ON repositories.id = tags.repository_id
                 LEFT JOIN origins ON origins.id = repositories.origin_id
                 WHERE manifests.id IS NULL",
                [],
                |row| row.get(0),
            )
        })
    }
}

/// Makes the tag point to the manifest, as seen at `now`, also where it was seen later than that before: the
/// clock was ahead then.
pub(super) fn point(
    connection: &Connection,
    repository: RepositoryId,
    tag: &Tag,
    manifest: i64,
    now: Timestamp,
) -> Result<()> {
    run(
        connection,
        "set tag",
        "INSERT INTO tags (repository_id, name, manifest_id, confirmed_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (repository_id, name) DO UPDATE SET
             manifest_id = excluded.manifest_id, gone_at = NULL,
             confirmed_at = excluded.confirmed_at",
        params![repository, tag.as_str(), manifest, now],
    )?;
    Ok(())
}
