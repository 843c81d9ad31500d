//! Tags of a repository, page by page.

use rusqlite::params;

use super::{HostedRepository, RegistryDb};
use crate::error::Result;
use crate::oci::{Digest, Tag};
use crate::store::CachedImage;
use crate::store::content::{CarriedImage, ImageFilter, Source};
use crate::store::page::{Conditions, Listing, Page, Window, page};
use crate::store::statement::{decoded, find, list, size};
use crate::time::Timestamp;

/// A tag with the manifest that it points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostedTag {
    pub name: Tag,
    pub digest: Digest,
    /// The manifest's bytes and those of what it refers to, as it says.
    pub total_size: u64,
    /// When the tag was first set.
    pub created_at: Timestamp,
    /// The last noted pull by this tag, by anybody.
    pub last_pulled_at: Option<Timestamp>,
}

/// Where lists of images find what was pushed.
const PUSHED: Source = Source {
    origin: "NULL, NULL, repositories.path",
    name: "'hosted:' || repositories.path",
    repositories: "repositories",
    upwards: None,
    arrived_at: "manifests.pushed_at",
    tag_times: "tags.updated_at, NULL",
    may_lack_parts: false,
    last_pulled_at: "manifests.last_pulled_at",
};

impl RegistryDb {
    /// The images that were pushed, sorted.
    pub fn images(&self, filter: &ImageFilter, window: Window) -> Result<Page<CachedImage>> {
        self.database.images(&PUSHED, filter, window)
    }

    /// The images that `is_meant` takes, with what belongs to them. Only those are read whose names `is_near` takes.
    pub fn carried_images(
        &self,
        is_near: impl FnMut(&str) -> bool,
        is_meant: impl FnMut(&CachedImage) -> bool,
    ) -> Result<Vec<CarriedImage>> {
        self.database.carried_images(&PUSHED, is_near, is_meant)
    }

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
                    repository.project,
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
                "SELECT tags.name, blobs.digest, manifests.total_size, tags.created_at,
                     tags.last_pulled_at
                 FROM tags
                 CROSS JOIN manifests ON manifests.id = tags.manifest_id
                 CROSS JOIN blobs ON blobs.id = manifests.blob_id
                 WHERE tags.repository_id = ?1 AND tags.name = ?2",
                params![repository, name.as_str()],
                |row| {
                    Ok(HostedTag {
                        name: decoded(row, 0, Tag::parse)?,
                        digest: row.get(1)?,
                        total_size: size(row, 2)?,
                        created_at: row.get(3)?,
                        last_pulled_at: row.get(4)?,
                    })
                },
            )
        })
    }
}
