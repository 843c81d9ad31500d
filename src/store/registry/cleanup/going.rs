//! What would go with a tag, a manifest or a whole repository, and the files that nothing else that was pushed needs.

use std::collections::{BTreeMap, HashSet};

use rusqlite::{Connection, params};

use super::{PushedTag, parts, pushed_tag};
use crate::error::Result;
use crate::oci::{Digest, Reference, Tag};
use crate::store::content::reach::REFERRED_BLOB;
use crate::store::registry::RegistryDb;
use crate::store::statement::{find, list, size, stored_size};

/// What would go.
#[derive(Debug, Default)]
pub struct Going {
    pub tags: Vec<PushedTag>,
    /// Of the manifest that one of its tags was asked for of: they stay, and it with them.
    pub other_tags: Vec<Tag>,
    pub manifests: Vec<Digest>,
    /// With their bytes: files that no other manifest and no other repository needs. The cache may have them too.
    pub files: Vec<(Digest, u64)>,
    /// A manifest that needs the one that was asked for, which stays because of it.
    pub needed_by: Option<Digest>,
}

impl RegistryDb {
    /// What would go from the repository with a tag, with a manifest and its tags, or (`None`) with all of it; `None` where
    /// there is nothing of that name.
    pub fn going(&self, repository: i64, named: Option<&Reference>) -> Result<Option<Going>> {
        self.database.scan_consistent(|connection| {
            let Some(reference) = named else {
                let manifests = manifests_of(connection, repository)?;
                let tags = tags_of(connection, repository, None)?;
                return going(connection, repository, tags, manifests).map(Some);
            };
            let Some(manifest) = manifest(connection, repository, reference)? else {
                return Ok(None);
            };
            let mut tags = tags_of(connection, repository, Some(manifest))?;
            let mut other_tags = Vec::new();
            if let Reference::Tag(name) = reference {
                let others = tags.extract_if(.., |tag| tag.name != *name);
                other_tags = others.map(|tag| tag.name).collect();
            }
            let mut manifests = HashSet::new();
            let mut needed_by = None;
            if other_tags.is_empty() {
                needed_by = needs(connection, manifest, &manifests)?;
                if needed_by.is_none() {
                    take_parts(connection, manifest, &mut manifests)?;
                }
            }
            let found = going(connection, repository, tags, manifests)?;
            Ok(Some(Going {
                needed_by,
                other_tags,
                ..found
            }))
        })
    }
}

/// Adds the manifest, and whatever then is needed by nothing.
fn take_parts(connection: &Connection, manifest: i64, going: &mut HashSet<i64>) -> Result<()> {
    let mut next = vec![manifest];
    while let Some(manifest) = next.pop() {
        going.insert(manifest);
        for part in parts(connection, manifest)? {
            let is_tagged = find(
                connection,
                "look whether a manifest has a tag",
                "SELECT 1 FROM tags WHERE manifest_id = ?1 LIMIT 1",
                [part],
                |_| Ok(()),
            )?;
            if !going.contains(&part)
                && is_tagged.is_none()
                && needs(connection, part, going)?.is_none()
            {
                next.push(part);
            }
        }
    }
    Ok(())
}

/// A manifest that refers to this one, or is its subject, and does not go.
fn needs(connection: &Connection, manifest: i64, going: &HashSet<i64>) -> Result<Option<Digest>> {
    let needing = list(
        connection,
        "list what needs a manifest",
        "SELECT parent.id, parent_blob.digest
         FROM manifests AS part
         CROSS JOIN blobs ON blobs.id = part.blob_id
         CROSS JOIN manifest_references ON hash = unhex(substr(blobs.digest, 8))
         CROSS JOIN manifests AS parent ON parent.id = manifest_references.manifest_id
             AND parent.repository_id = part.repository_id
         CROSS JOIN blobs AS parent_blob ON parent_blob.id = parent.blob_id
         WHERE part.id = ?1
         UNION
         SELECT subject.id, subject_blob.digest
         FROM manifests AS part
         CROSS JOIN blobs AS subject_blob ON subject_blob.digest = part.subject
         CROSS JOIN manifests AS subject ON subject.blob_id = subject_blob.id
             AND subject.repository_id = part.repository_id
         WHERE part.id = ?1",
        [manifest],
        |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Digest>(1)?)),
    )?;
    let mut staying = needing.into_iter().filter(|(id, _)| !going.contains(id));
    Ok(staying.next().map(|(_, digest)| digest))
}

fn going(
    connection: &Connection,
    repository: i64,
    tags: Vec<PushedTag>,
    manifests: HashSet<i64>,
) -> Result<Going> {
    let mut going = Going {
        tags,
        ..Going::default()
    };
    let mut files = BTreeMap::new();
    for &manifest in &manifests {
        let text = format!(
            "SELECT blobs.id, blobs.digest, blobs.size, TRUE
             FROM manifests CROSS JOIN blobs ON blobs.id = manifests.blob_id WHERE manifests.id = ?1
             UNION ALL
             SELECT blobs.id, blobs.digest, blobs.size, FALSE
             FROM manifest_references CROSS JOIN blobs ON {REFERRED_BLOB}
             WHERE manifest_references.manifest_id = ?1"
        );
        let found = list(
            connection,
            "list files of a manifest",
            &text,
            [manifest],
            |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, Digest>(1)?,
                    size(row, 2)?,
                    row.get::<_, bool>(3)?,
                ))
            },
        )?;
        for (blob, digest, size, is_itself) in found {
            if is_itself {
                going.manifests.push(digest.clone());
            }
            files.insert(blob, (digest, size));
        }
    }
    going.manifests.sort();
    for (blob, file) in files {
        if !is_needed(connection, repository, blob, &manifests)? {
            going.files.push(file);
        }
    }
    Ok(going)
}

/// Whether another manifest or repository needs a file: more than the manifests that go can be found for it.
fn is_needed(
    connection: &Connection,
    repository: i64,
    blob: i64,
    going: &HashSet<i64>,
) -> Result<bool> {
    let holders = list(
        connection,
        "list what needs a file",
        "SELECT id FROM manifests WHERE blob_id = ?1
         UNION
         SELECT manifest_references.manifest_id
         FROM blobs
         CROSS JOIN manifest_references ON hash = unhex(substr(blobs.digest, 8))
         CROSS JOIN manifests ON manifests.id = manifest_references.manifest_id
             AND manifests.repository_id = ?2
         WHERE blobs.id = ?1
         UNION ALL
         SELECT -repository_id FROM blob_links WHERE blob_id = ?1 AND repository_id <> ?2
         LIMIT ?3",
        params![
            blob,
            repository,
            stored_size((going.len() as u64).saturating_add(1))
        ],
        |row| row.get::<_, i64>(0),
    )?;
    Ok(holders.iter().any(|holder| !going.contains(holder)))
}

fn manifest(
    connection: &Connection,
    repository: i64,
    reference: &Reference,
) -> Result<Option<i64>> {
    let text = match reference {
        Reference::Tag(_) => "SELECT manifest_id FROM tags WHERE repository_id = ?1 AND name = ?2",
        Reference::Digest(_) => {
            "SELECT manifests.id FROM blobs
             CROSS JOIN manifests ON manifests.blob_id = blobs.id AND manifests.repository_id = ?1
             WHERE blobs.digest = ?2"
        }
    };
    let parameters = params![repository, reference.as_str()];
    find(connection, "find what is to go", text, parameters, |row| {
        row.get(0)
    })
}

fn manifests_of(connection: &Connection, repository: i64) -> Result<HashSet<i64>> {
    let found = list(
        connection,
        "list manifests of a repository",
        "SELECT id FROM manifests WHERE repository_id = ?1",
        [repository],
        |row| row.get(0),
    )?;
    Ok(found.into_iter().collect())
}

fn tags_of(
    connection: &Connection,
    repository: i64,
    manifest: Option<i64>,
) -> Result<Vec<PushedTag>> {
    let text = format!(
        "{} WHERE tags.repository_id = ?1 AND (?2 IS NULL OR tags.manifest_id = ?2) ORDER BY tags.name",
        super::TAGS
    );
    let parameters = params![repository, manifest];
    list(
        connection,
        "list tags that are to go",
        &text,
        parameters,
        pushed_tag,
    )
}
