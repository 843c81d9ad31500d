//! Purging what a group has pulled and nobody else has: rows first, the files follow by `Store::release_blob`.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, params};

use super::{CacheDb, RepositoryId};
use crate::error::Result;
use crate::oci::{Digest, RegistryHost, RepositoryName};
use crate::store::GroupId;
use crate::store::statement::{decoded, digest, list, run};

/// A repository that a group has pulled from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PulledRepository {
    /// The row.
    pub id: RepositoryId,
    /// The upstream's name.
    pub host: RegistryHost,
    /// The name there.
    pub name: RepositoryName,
}

/// What a purge took out of one repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purged {
    /// How many manifests.
    pub manifests: u64,
    /// What may be needed by nobody now; whoever purges releases each.
    pub loose: Vec<Digest>,
}

/// A manifest of the repository.
struct Row {
    digest: Digest,
    by_group: bool,
    by_others: bool,
    children: Vec<Digest>,
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
                 WHERE pulls.group_id = ?1 ORDER BY 2, 3",
                [group.0],
                |row| {
                    Ok(PulledRepository {
                        id: RepositoryId(row.get(0)?),
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
        self.database.write(|connection| {
            let rows = rows(connection, group, repository)?;
            let gone = unneeded(&rows);
            run(
                connection,
                "forget a group's pulls",
                "DELETE FROM pulls WHERE group_id = ?2
                 AND manifest_id IN (SELECT id FROM manifests WHERE repository_id = ?1)",
                [repository.0, group.0],
            )?;
            let mut loose = HashSet::new();
            for id in &gone {
                run(
                    connection,
                    "purge manifest",
                    "DELETE FROM manifests WHERE id = ?1",
                    [id],
                )?;
                if let Some(row) = rows.get(id) {
                    loose.extend(row.children.iter().cloned());
                    loose.insert(row.digest.clone());
                }
            }
            for digest in &loose {
                unlink(connection, repository, digest)?;
                // Whatever a crash makes of the files, garbage collection looks at them.
                run(
                    connection,
                    "note a purged file",
                    "INSERT INTO unsettled (digest) VALUES (?1) ON CONFLICT DO NOTHING",
                    [digest.as_str()],
                )?;
            }
            run(
                connection,
                "forget the lists of an empty repository",
                "DELETE FROM listings WHERE repository_id = ?1
                 AND NOT EXISTS (SELECT 1 FROM manifests WHERE repository_id = ?1)",
                [repository.0],
            )?;
            Ok(Purged {
                manifests: gone.len() as u64,
                loose: loose.into_iter().collect(),
            })
        })
    }
}

/// The repository's manifests by id.
fn rows(
    connection: &Connection,
    group: GroupId,
    repository: RepositoryId,
) -> Result<HashMap<i64, Row>> {
    let manifests = list(
        connection,
        "list manifests with who has pulled them",
        "SELECT manifests.id, blobs.digest,
             EXISTS (SELECT 1 FROM pulls WHERE manifest_id = manifests.id AND group_id = ?2),
             EXISTS (SELECT 1 FROM pulls WHERE manifest_id = manifests.id AND group_id <> ?2)
         FROM manifests JOIN blobs ON blobs.id = manifests.blob_id WHERE repository_id = ?1",
        [repository.0, group.0],
        |row| {
            let manifest = Row {
                digest: digest(row, 1)?,
                by_group: row.get(2)?,
                by_others: row.get(3)?,
                children: Vec::new(),
            };
            Ok((row.get(0)?, manifest))
        },
    )?;
    let mut rows: HashMap<i64, Row> = manifests.into_iter().collect();
    let children = list(
        connection,
        "list what a repository's manifests refer to",
        "SELECT manifest_id, digest FROM manifest_children
         WHERE manifest_id IN (SELECT id FROM manifests WHERE repository_id = ?1)",
        [repository.0],
        |row| Ok((row.get::<_, i64>(0)?, digest(row, 1)?)),
    )?;
    for (id, child) in children {
        if let Some(row) = rows.get_mut(&id) {
            row.children.push(child);
        }
    }
    Ok(rows)
}

/// Those that only the group has pulled, with what they refer to and nobody has pulled; without what a manifest
/// that stays refers to.
fn unneeded(rows: &HashMap<i64, Row>) -> HashSet<i64> {
    let by_digest: HashMap<&Digest, i64> =
        rows.iter().map(|(id, row)| (&row.digest, *id)).collect();
    let follow = |from: Vec<i64>| {
        let mut seen: HashSet<i64> = HashSet::new();
        let mut next = from;
        while let Some(id) = next.pop() {
            if seen.insert(id)
                && let Some(row) = rows.get(&id)
            {
                next.extend(row.children.iter().filter_map(|child| by_digest.get(child)));
            }
        }
        seen
    };
    let own = |row: &Row| row.by_group && !row.by_others;
    let ids = |wanted: &dyn Fn(&Row) -> bool| -> Vec<i64> {
        let found = rows.iter().filter(|(_, row)| wanted(row));
        found.map(|(id, _)| *id).collect()
    };
    let reached = follow(ids(&own));
    let stays = |id: &i64| rows.get(id).is_some_and(|row| row.by_others) || !reached.contains(id);
    let kept = follow(rows.keys().copied().filter(|id| stays(id)).collect());
    reached.difference(&kept).copied().collect()
}

/// Takes a blob out of the repository, unless a manifest that stays needs it.
fn unlink(connection: &Connection, repository: RepositoryId, digest: &Digest) -> Result<()> {
    run(
        connection,
        "unlink a purged blob",
        "DELETE FROM blob_links WHERE repository_id = ?1
         AND blob_id = (SELECT id FROM blobs WHERE digest = ?2)
         AND NOT EXISTS (
             SELECT 1 FROM manifest_children
             JOIN manifests ON manifests.id = manifest_children.manifest_id
             WHERE manifest_children.digest = ?2 AND manifests.repository_id = ?1)",
        params![repository.0, digest.as_str()],
    )?;
    Ok(())
}
