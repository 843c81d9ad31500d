//! What is cached, for `cache list` and `cache stats`.

use std::ops::ControlFlow;

use rusqlite::{Connection, Row};

use super::{CacheDb, CachedImage, Totals};
use crate::error::Result;
use crate::store::GroupId;
use crate::store::content::reach;
use crate::store::page::{Filling, Page, Window};
use crate::store::statement::{find, get, size, visit};
use crate::time::Timestamp;
use crate::words::words;

/// Manifests that nothing names, and tags, in the order of indexes: only the manifests of one repository are sorted.
const IMAGES: &str = "
    SELECT origins.upstream, origins.fingerprint, repositories.name, NULL AS tag, blobs.digest,
        manifests.id, manifests.media_type, manifests.fetched_at, manifests.fetched_at, NULL,
        (SELECT max(pulls.last_at) FROM pulls WHERE pulls.manifest_id = manifests.id)
    FROM origins
    CROSS JOIN repositories ON repositories.origin_id = origins.id
    CROSS JOIN manifests ON manifests.repository_id = repositories.id
    CROSS JOIN blobs ON blobs.id = manifests.blob_id
    WHERE repositories.removed_from IS NULL
    AND NOT EXISTS (SELECT 1 FROM tags WHERE tags.manifest_id = manifests.id)
    AND NOT {is_referred_to} {of_group}
    UNION ALL
    SELECT origins.upstream, origins.fingerprint, repositories.name, tags.name, blobs.digest,
        manifests.id, manifests.media_type, manifests.fetched_at, tags.confirmed_at, tags.gone_at,
        tags.last_pulled_at
    FROM origins
    CROSS JOIN repositories ON repositories.origin_id = origins.id
    CROSS JOIN tags ON tags.repository_id = repositories.id
    CROSS JOIN manifests ON manifests.id = tags.manifest_id
    CROSS JOIN blobs ON blobs.id = manifests.blob_id
    WHERE repositories.removed_from IS NULL {of_group}
    ORDER BY {order} 1, 2, 3, 4, 5";

words! {
    "snake_case"
    /// What comes first in a list of images.
    pub enum ImageOrder {
        /// The last pulled.
        Pulled,
        /// The largest.
        Size,
        /// The last that came from its upstream.
        Filled,
    }
}

/// Which images, and in which order: by name where none is said.
#[derive(Debug, Default)]
pub struct ImageFilter {
    /// As for [`CacheDb::images`].
    pub pattern: Option<String>,
    pub order: Option<ImageOrder>,
    /// Only what this group has pulled.
    pub group: Option<GroupId>,
}

impl CacheDb {
    /// Images whose `HOST/NAME[:TAG]` (`HOST/NAME@DIGEST` without a tag) holds `pattern` (`*` matches any
    /// run), sorted. Rows are read one by one, no further than the page and its count need.
    pub fn images(&self, pattern: Option<&str>, window: Window) -> Result<Page<CachedImage>> {
        let filter = ImageFilter {
            pattern: pattern.map(str::to_owned),
            ..ImageFilter::default()
        };
        self.list_images(&filter, window)
    }

    /// The same by other orders, or for one group.
    pub fn list_images(&self, filter: &ImageFilter, window: Window) -> Result<Page<CachedImage>> {
        let pattern = filter.pattern.as_deref();
        if filter.order == Some(ImageOrder::Size) {
            return self.largest_images(filter, window);
        }
        self.database.scan_consistent(|connection| {
            let mut page = Filling::new(window);
            let text = text(filter);
            visit(connection, "list images", &text, [], |row| {
                let image = image(row)?;
                let is_meant = pattern.is_none_or(|pattern| holds(&name(&image), pattern));
                Ok(match is_meant {
                    true => page.add((row.get::<_, i64>(5)?, image)),
                    false => ControlFlow::Continue(()),
                })
            })?;
            let Page {
                entries,
                more,
                total,
            } = page.finish();
            let sized = entries.into_iter().map(|(id, image)| {
                let size = image_size(connection, id)?;
                Ok(CachedImage { size, ..image })
            });
            Ok(Page {
                entries: sized.collect::<Result<_>>()?,
                more,
                total,
            })
        })
    }

    /// Each has to be measured before it is known which are the largest.
    fn largest_images(&self, filter: &ImageFilter, window: Window) -> Result<Page<CachedImage>> {
        let by_name = ImageFilter {
            pattern: filter.pattern.clone(),
            order: None,
            group: filter.group,
        };
        let mut images = self.list_images(&by_name, Window::ALL)?.entries;
        images.sort_by_key(|image| std::cmp::Reverse(image.size));
        Ok(Page::of(images, window))
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
                "SELECT (SELECT count(*) FROM blobs), (SELECT count(*) FROM manifests),
                     (SELECT count(*) FROM tags), (SELECT count(*) FROM repositories WHERE removed_from IS NULL),
                     (SELECT CAST(total(size) AS INTEGER) FROM blobs)",
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

/// The statement for these images.
fn text(filter: &ImageFilter) -> String {
    let is_referred_to = reach::is_referred_to("blobs.digest", "manifests.repository_id");
    let of_group = match filter.group {
        None => String::new(),
        Some(group) => format!(
            "AND EXISTS (SELECT 1 FROM pulls
                 WHERE pulls.manifest_id = manifests.id AND pulls.group_id = {})",
            group.0
        ),
    };
    let order = match filter.order {
        Some(ImageOrder::Pulled) => "11 DESC,",
        Some(ImageOrder::Filled) => "8 DESC,",
        Some(ImageOrder::Size) | None => "",
    };
    let text = IMAGES.replace("{is_referred_to}", &is_referred_to);
    text.replace("{of_group}", &of_group)
        .replace("{order}", order)
}

fn image(row: &Row<'_>) -> rusqlite::Result<CachedImage> {
    Ok(CachedImage {
        upstream: row.get(0)?,
        repository: row.get(2)?,
        tag: row.get(3)?,
        digest: row.get(4)?,
        media_type: row.get(6)?,
        size: 0,
        fetched_at: row.get(7)?,
        confirmed_at: row.get(8)?,
        gone_at: row.get(9)?,
        last_pulled_at: row.get::<_, Option<i64>>(10)?.map(Timestamp),
    })
}

fn image_size(connection: &Connection, manifest: i64) -> Result<u64> {
    let text = reach::image_size();
    get(
        connection,
        "sum an image's size",
        &text,
        [manifest],
        |row| size(row, 0),
    )
}

fn name(image: &CachedImage) -> String {
    let (separator, reference) = match &image.tag {
        Some(tag) => (':', tag),
        None => ('@', &image.digest),
    };
    format!(
        "{}/{}{separator}{reference}",
        image.upstream, image.repository
    )
}

/// Whether the pieces between the pattern's stars occur in `text`, one after the other.
fn holds(text: &str, pattern: &str) -> bool {
    let mut rest = text;
    pattern
        .split('*')
        .all(|piece| match rest.split_once(piece) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
}

#[cfg(test)]
mod tests {
    use super::holds;

    #[test]
    fn a_pattern_is_held_anywhere_and_its_star_matches_any_run() {
        for (text, pattern, expected) in [
            ("docker.io/library/alpine:3.20", "alpine", true),
            ("docker.io/library/alpine:3.20", "", true),
            ("docker.io/library/alpine:3.20", "*", true),
            ("docker.io/library/alpine:3.20", "alpine:3*0", true),
            ("docker.io/library/alpine:3.20", "docker.io/*alpine", true),
            ("docker.io/library/alpine:3.20", "alpine*docker", false),
            ("docker.io/library/alpine:3.20", "3.20*3.20", false),
            ("docker.io/library/alpine:3.20", "Alpine", false),
        ] {
            assert_eq!(holds(text, pattern), expected, "{text} {pattern}");
        }
    }
}
