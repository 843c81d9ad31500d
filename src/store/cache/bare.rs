//! Whether anything of an image is here besides its manifests: asked by pulls, and therefore of few rows.

use rusqlite::{Connection, params};

use super::CacheDb;
use crate::error::Result;
use crate::oci::Digest;
use crate::store::RepositoryId;
use crate::store::content::reach::REFERRED_BLOB;
use crate::store::statement::{find, list};

/// So many references of a manifest are looked at.
const MOST_REFERENCES: i64 = 200;
/// So many platforms of an index, or of the indexes in it, are looked at.
const MOST_PLATFORMS: usize = 20;

pub(super) const FIND_ROW: &str = "
    SELECT manifests.id FROM blobs
    CROSS JOIN manifests ON manifests.blob_id = blobs.id AND manifests.repository_id = ?1
    WHERE blobs.digest = ?2";
/// A row where the manifest has more references than `?2`.
pub(super) const FIND_REFERENCE_BEHIND: &str =
    "SELECT 1 FROM manifest_references WHERE manifest_id = ?1 LIMIT 1 OFFSET ?2";

/// What is here of that to which the manifest `?1` of the repository `?2` refers: the row of a manifest, or none for what
/// else is linked.
pub(super) fn list_what_is_here() -> String {
    format!(
        "SELECT manifests.id FROM manifest_references
         CROSS JOIN blobs ON {REFERRED_BLOB}
         LEFT JOIN manifests ON manifests.repository_id = ?2 AND manifests.blob_id = blobs.id
         LEFT JOIN blob_links ON blob_links.repository_id = ?2 AND blob_links.blob_id = blobs.id
         WHERE manifest_references.manifest_id = ?1
         AND (manifests.id IS NOT NULL OR blob_links.blob_id IS NOT NULL)"
    )
}

impl CacheDb {
    /// Whether nothing of the image is here besides manifests, although it has more. No where that would take long to find
    /// out.
    pub fn is_bare(&self, repository: RepositoryId, digest: &Digest) -> Result<bool> {
        self.database.read(|connection| {
            let parameters = params![repository, digest];
            let row = find(connection, "find a manifest", FIND_ROW, parameters, |row| {
                row.get::<_, i64>(0)
            })?;
            row.map_or(Ok(false), |row| is_bare(connection, repository, row))
        })
    }
}

fn is_bare(connection: &Connection, repository: RepositoryId, manifest: i64) -> Result<bool> {
    let text = list_what_is_here();
    let mut manifests = vec![manifest];
    let mut at = 0_usize;
    while let Some(&manifest) = manifests.get(at) {
        at = at.saturating_add(1);
        let has_more_than = |count: i64| -> Result<bool> {
            let found = find(
                connection,
                "count references up to a limit",
                FIND_REFERENCE_BEHIND,
                [manifest, count],
                |_| Ok(()),
            )?;
            Ok(found.is_some())
        };
        // One that refers to nothing is whole.
        if !has_more_than(0)? || has_more_than(MOST_REFERENCES)? {
            return Ok(false);
        }
        let here = list(
            connection,
            "look what of an image is here",
            &text,
            [manifest, repository.0],
            |row| row.get::<_, Option<i64>>(0),
        )?;
        for part in here {
            match part {
                None => return Ok(false),
                Some(part) if manifests.contains(&part) => {}
                Some(part) => manifests.push(part),
            }
        }
        if manifests.len() > MOST_PLATFORMS.saturating_add(1) {
            return Ok(false);
        }
    }
    Ok(true)
}
