//! What is in a repository, page by page: tags, and the referrers of a manifest.

use rusqlite::{Connection, params};

use super::{HostedRepository, RegistryDb};
use crate::error::Result;
use crate::oci::{Digest, Tag};
use crate::store::page::{Conditions, Listing, Page, Window, page};
use crate::store::statement::{decoded, digest, find, list, size};
use crate::time::Timestamp;

/// A tag with the manifest that it points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostedTag {
    /// Its name.
    pub name: Tag,
    /// The manifest's digest.
    pub digest: Digest,
    /// The manifest's bytes and those of what it refers to, as it says.
    pub total_size: u64,
    /// When the tag was first set.
    pub created_at: Timestamp,
}

/// A manifest that has a subject, as the list of referrers shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrer {
    /// The digest of its bytes.
    pub digest: Digest,
    /// What it was pushed as.
    pub media_type: String,
    /// Its own bytes.
    pub size: u64,
    /// Its `artifactType`, or its config's media type.
    pub artifact_type: Option<String>,
    /// Its annotations as JSON.
    pub annotations: Option<String>,
}

impl RegistryDb {
    /// Names of tags behind `after`, sorted, at most `count`.
    pub fn tags(
        &self,
        repository: HostedRepository<'_>,
        after: &str,
        count: u64,
    ) -> Result<Vec<String>> {
        self.database.scan(|connection| {
            list(
                connection,
                "list hosted tags",
                "SELECT tags.name FROM repositories
                 CROSS JOIN tags ON tags.repository_id = repositories.id AND tags.name > ?3
                 WHERE repositories.project_id = ?1 AND repositories.path = ?2
                 ORDER BY tags.name LIMIT ?4",
                params![
                    repository.project.0,
                    repository.path,
                    after,
                    i64::try_from(count).unwrap_or(i64::MAX)
                ],
                |row| row.get(0),
            )
        })
    }

    /// Names of tags, sorted.
    pub fn tag_names(&self, repository: i64, window: Window) -> Result<Page<String>> {
        let listing = Listing {
            statement: "list tags of a repository",
            with: "",
            columns: "name",
            from: "FROM tags",
            order: "name",
        };
        let mut conditions = Conditions::default();
        conditions.and("repository_id = ?", repository);
        self.database
            .scan(|connection| page(connection, &listing, &conditions, window, |row| row.get(0)))
    }

    /// The tag of this name.
    pub fn tag(&self, repository: i64, name: &Tag) -> Result<Option<HostedTag>> {
        self.database.read(|connection| {
            find(
                connection,
                "find hosted tag",
                "SELECT tags.name, blobs.digest, manifests.total_size, tags.created_at
                 FROM tags
                 CROSS JOIN manifests ON manifests.id = tags.manifest_id
                 CROSS JOIN blobs ON blobs.id = manifests.blob_id
                 WHERE tags.repository_id = ?1 AND tags.name = ?2",
                params![repository, name.as_str()],
                |row| {
                    Ok(HostedTag {
                        name: decoded(row, 0, Tag::parse)?,
                        digest: digest(row, 1)?,
                        total_size: size(row, 2)?,
                        created_at: Timestamp(row.get(3)?),
                    })
                },
            )
        })
    }

    /// Manifests of the repository whose subject is `subject`, of one artifact type or of all, by digest, behind
    /// `after`: at most `count`, and at most `bytes` of them, but always one if there is one; and whether there are
    /// more. The subject itself need not be here.
    pub fn referrers(
        &self,
        repository: HostedRepository<'_>,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: &str,
        count: u64,
        bytes: usize,
    ) -> Result<(Vec<Referrer>, bool)> {
        self.database.scan(|connection| {
            // Only ids are sorted: annotations are megabytes that whoever pushes chooses.
            let ids: Vec<i64> = list(
                connection,
                "list hosted referrers",
                "SELECT manifests.id
                 FROM repositories
                 CROSS JOIN manifests ON manifests.repository_id = repositories.id
                     AND manifests.subject = ?3
                 CROSS JOIN blobs ON blobs.id = manifests.blob_id
                 WHERE repositories.project_id = ?1 AND repositories.path = ?2
                 AND (?4 IS NULL OR manifests.artifact_type = ?4) AND blobs.digest > ?5
                 ORDER BY blobs.digest LIMIT ?6",
                params![
                    repository.project.0,
                    repository.path,
                    subject.as_str(),
                    artifact_type,
                    after,
                    i64::try_from(count.saturating_add(1)).unwrap_or(i64::MAX)
                ],
                |row| row.get(0),
            )?;
            let mut referrers = Vec::new();
            let mut taken = 0;
            for id in ids {
                // One that was deleted since is left out.
                let Some(referrer) = referrer(connection, id)? else {
                    continue;
                };
                taken += referrer.weight();
                let is_full = referrers.len() as u64 >= count;
                if is_full || (taken > bytes && !referrers.is_empty()) {
                    return Ok((referrers, true));
                }
                referrers.push(referrer);
            }
            Ok((referrers, false))
        })
    }
}

impl Referrer {
    /// About how many bytes it is in a list.
    fn weight(&self) -> usize {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        512 + length(&self.artifact_type) + length(&self.annotations)
    }
}

fn referrer(connection: &Connection, id: i64) -> Result<Option<Referrer>> {
    find(
        connection,
        "find hosted referrer",
        "SELECT blobs.digest, manifests.media_type, blobs.size, manifests.artifact_type,
             manifests.annotations
         FROM manifests JOIN blobs ON blobs.id = manifests.blob_id
         WHERE manifests.id = ?1",
        [id],
        |row| {
            Ok(Referrer {
                digest: digest(row, 0)?,
                media_type: row.get(1)?,
                size: size(row, 2)?,
                artifact_type: row.get(3)?,
                annotations: row.get(4)?,
            })
        },
    )
}
