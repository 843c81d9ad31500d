//! What is cached, for `cache list` and `cache stats`.

use rusqlite::Connection;

use super::{CacheDb, CachedImage, Totals};
use crate::error::Result;
use crate::store::ManifestId;
use crate::store::content::{CarriedImage, ImageFilter, ImageSizes, Source, missing_parts, reach};
use crate::store::page::{Page, Window};
use crate::store::statement::{find, get, list, size};

/// Where lists of images find what was fetched.
const FETCHED: Source = Source {
    origin: "origins.upstream, origins.fingerprint, repositories.name",
    name: "origins.upstream || '/' || repositories.name",
    repositories: "origins CROSS JOIN repositories ON repositories.origin_id = origins.id",
    upwards: Some(
        "repositories ON repositories.id = manifests.repository_id
         CROSS JOIN origins ON origins.id = repositories.origin_id",
    ),
    arrived_at: "manifests.fetched_at",
    tag_times: "tags.confirmed_at, tags.gone_at",
    may_lack_parts: true,
    last_pulled_at: "(SELECT max(pulls.last_at) FROM pulls WHERE pulls.manifest_id = manifests.id)",
};

/// How many manifests are looked at in one go.
const PAGE: i64 = 500;

impl CacheDb {
    /// The images that are kept of upstreams, sorted.
    pub fn images(&self, filter: &ImageFilter, window: Window) -> Result<Page<CachedImage>> {
        self.database.images(&FETCHED, filter, window)
    }

    /// The sizes of all images, which takes as long as they are many.
    pub fn image_sizes(&self) -> Result<ImageSizes> {
        self.database.image_sizes()
    }

    /// The images that `is_meant` takes, with what belongs to them. Only those are read whose names `is_near` takes.
    pub fn carried_images(
        &self,
        is_near: impl FnMut(&str) -> bool,
        is_meant: impl FnMut(&CachedImage) -> bool,
    ) -> Result<Vec<CarriedImage>> {
        self.database.carried_images(&FETCHED, is_near, is_meant)
    }

    /// How many parts of an image are not here. Of an index only what was pulled counts: see [`CachedImage::missing`].
    pub fn missing_parts(&self, manifest: ManifestId) -> Result<u64> {
        self.database
            .scan(|connection| missing_parts(connection, manifest.0))
    }

    /// The names of images of which parts are not here, with their number: of the manifests behind the row `after`, as
    /// many as one page has. Gives the row to go on behind; `None` at the end.
    pub fn incomplete_images(&self, after: i64) -> Result<(Vec<(String, u64)>, Option<i64>)> {
        self.database.scan(|connection| {
            let rows = list(
                connection,
                "list manifests for what they lack",
                "SELECT id FROM manifests WHERE id > ?1 ORDER BY id LIMIT ?2",
                [after, PAGE],
                |row| row.get::<_, i64>(0),
            )?;
            let mut named = Vec::new();
            for &id in &rows {
                let missing = missing_parts(connection, id)?;
                if missing > 0 {
                    let names = image_names(connection, id)?.into_iter();
                    named.extend(names.map(|name| (name, missing)));
                }
            }
            Ok((named, rows.last().copied()))
        })
    }

    /// A repository of the upstream whose name is `first`, or begins with it and `/`, and of which an image is kept.
    pub fn kept_below(&self, upstream: &str, first: &str) -> Result<Option<String>> {
        self.database.read(|connection| {
            find(
                connection,
                "find an image below a name",
                "SELECT repositories.name
                 FROM origins CROSS JOIN repositories ON repositories.origin_id = origins.id
                 WHERE origins.upstream = ?1
                 AND (repositories.name = ?2
                     OR (repositories.name > ?2 || '/' AND repositories.name < ?2 || '0'))
                 AND EXISTS (SELECT 1 FROM manifests WHERE repository_id = repositories.id)
                 ORDER BY repositories.name LIMIT 1",
                [upstream, first],
                |row| row.get(0),
            )
        })
    }

    /// Counts of everything, in one consistent view.
    pub fn totals(&self) -> Result<Totals> {
        self.database.scan(|connection| {
            get(
                connection,
                "count what is cached",
                "SELECT (SELECT max(blobs, 0) FROM used), (SELECT count(*) FROM manifests),
                     (SELECT count(*) FROM tags), (SELECT count(*) FROM repositories WHERE removed_from IS NULL),
                     (SELECT max(bytes, 0) FROM used)",
                [],
                |row| {
                    Ok(Totals {
                        blobs: size(row, 0)?,
                        manifests: size(row, 1)?,
                        tags: size(row, 2)?,
                        repositories: size(row, 3)?,
                        bytes: size(row, 4)?,
                    })
                },
            )
        })
    }
}

/// The tags of a manifest, or its digest where it has none and belongs to no other image.
fn image_names(connection: &Connection, manifest: i64) -> Result<Vec<String>> {
    let is_part = reach::is_part("blobs.digest", "manifests.repository_id");
    let text = format!(
        "SELECT origins.upstream || '/' || repositories.name
             || ifnull(':' || tags.name, '@' || blobs.digest)
         FROM manifests
         CROSS JOIN blobs ON blobs.id = manifests.blob_id
         CROSS JOIN repositories ON repositories.id = manifests.repository_id
         CROSS JOIN origins ON origins.id = repositories.origin_id
         LEFT JOIN tags ON tags.manifest_id = manifests.id
         WHERE manifests.id = ?1 AND repositories.removed_from IS NULL
         AND (tags.name IS NOT NULL OR NOT {is_part})"
    );
    list(connection, "name a manifest", &text, [manifest], |row| {
        row.get(0)
    })
}
