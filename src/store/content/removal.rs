//! How a large image's rows go, the same for both databases: its manifest is moved into a row of `repositories` that nobody
//! asks for, and what hangs on it there is removed a few rows at a time, so that others write in between. What a crash
//! leaves is found by that row.

use rusqlite::{Connection, params};

use crate::error::Result;
use crate::oci::Digest;
use crate::store::statement::{find, get, list, run};

/// So many rows go between two looks at the clock.
pub(in crate::store) const PIECE: i64 = 50;

/// A file that something needed that has just gone.
pub(in crate::store) enum Left {
    /// The manifest's own, with its row.
    Manifest { blob: i64, digest: Digest },
    /// What the manifest referred to, here or not.
    Referred(Digest),
}

/// Removes some tags of a manifest; says whether there were any.
pub(in crate::store) fn remove_tags(
    connection: &Connection,
    manifest: i64,
    most: i64,
) -> Result<bool> {
    let removed = run(
        connection,
        "remove tags of a manifest",
        "DELETE FROM tags WHERE (repository_id, name) IN (
             SELECT repository_id, name FROM tags WHERE manifest_id = ?1 LIMIT ?2)",
        params![manifest, most],
    )?;
    Ok(removed > 0)
}

/// Takes a manifest out of its repository, into a row that waits for its end.
pub(in crate::store) fn move_to(
    connection: &Connection,
    manifest: i64,
    waiting: i64,
) -> Result<()> {
    run(
        connection,
        "take a manifest out of its repository",
        "UPDATE manifests SET repository_id = ?2 WHERE id = ?1",
        params![manifest, waiting],
    )
    .map(drop)
}

/// Removes a few rows of what waits in a row of `repositories`, and tells `leave` of the files that they were about; false
/// where no tag and no manifest is left there.
pub(in crate::store) fn remove_piece(
    connection: &Connection,
    waiting: i64,
    mut leave: impl FnMut(Left) -> Result<()>,
) -> Result<bool> {
    let tags = run(
        connection,
        "remove tags",
        "DELETE FROM tags WHERE repository_id = ?1 AND name IN (
             SELECT name FROM tags WHERE repository_id = ?1 LIMIT ?2)",
        [waiting, PIECE],
    )?;
    if tags > 0 {
        return Ok(true);
    }
    let manifest: Option<i64> = find(
        connection,
        "find a manifest to remove",
        "SELECT id FROM manifests WHERE repository_id = ?1 LIMIT 1",
        [waiting],
        |row| row.get(0),
    )?;
    let Some(manifest) = manifest else {
        return Ok(false);
    };
    let referred: Vec<Digest> = list(
        connection,
        "remove references of a manifest",
        "DELETE FROM manifest_references WHERE manifest_id = ?1 AND hash IN (
             SELECT hash FROM manifest_references WHERE manifest_id = ?1 LIMIT ?2)
         RETURNING iif(length(hash) = 32, 'sha256:', 'sha512:') || lower(hex(hash))",
        [manifest, PIECE],
        |row| row.get(0),
    )?;
    if referred.is_empty() {
        let own = get(
            connection,
            "remove a manifest",
            "DELETE FROM manifests WHERE id = ?1
             RETURNING blob_id, (SELECT digest FROM blobs WHERE id = blob_id)",
            [manifest],
            |row| {
                Ok(Left::Manifest {
                    blob: row.get(0)?,
                    digest: row.get(1)?,
                })
            },
        )?;
        leave(own)?;
    }
    referred
        .into_iter()
        .try_for_each(|digest| leave(Left::Referred(digest)))?;
    Ok(true)
}
