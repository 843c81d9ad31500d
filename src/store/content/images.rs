//! Lists of images: the same statement for what was fetched and for what was pushed.

use std::ops::ControlFlow;

use rusqlite::{Connection, Row};

use super::reach;
use crate::error::Result;
use crate::store::database::Database;
use crate::store::page::{Filling, Page, Window};
use crate::store::statement::{get, size, visit};
use crate::store::{CachedImage, GroupId};
use crate::words::words;

/// Manifests that nothing names, and tags, in the order of indexes: only the manifests of one repository are sorted.
const IMAGES: &str = "
    SELECT {origin}, NULL AS tag, blobs.digest,
        manifests.id, manifests.media_type, {arrived_at}, {arrived_at}, NULL, {last_pulled_at}
    FROM {repositories}
    CROSS JOIN manifests ON manifests.repository_id = repositories.id
    CROSS JOIN blobs ON blobs.id = manifests.blob_id
    WHERE repositories.removed_from IS NULL
    AND NOT EXISTS (SELECT 1 FROM tags WHERE tags.manifest_id = manifests.id)
    AND NOT {is_referred_to} {of_group}
    UNION ALL
    SELECT {origin}, tags.name, blobs.digest,
        manifests.id, manifests.media_type, {arrived_at}, {tag_times}, tags.last_pulled_at
    FROM {repositories}
    CROSS JOIN tags ON tags.repository_id = repositories.id
    CROSS JOIN manifests ON manifests.id = tags.manifest_id
    CROSS JOIN blobs ON blobs.id = manifests.blob_id
    WHERE repositories.removed_from IS NULL {of_group}
    ORDER BY {order} 1, 2, 3, 4, 5";

/// What the two databases call differently, as SQL.
pub(in crate::store) struct Source {
    /// Upstream, credentials, name.
    pub(in crate::store) origin: &'static str,
    pub(in crate::store) repositories: &'static str,
    /// When a manifest came.
    pub(in crate::store) arrived_at: &'static str,
    /// When a tag was last confirmed, and since when it is gone.
    pub(in crate::store) tag_times: &'static str,
    /// Whether manifests are kept without all that they refer to.
    pub(in crate::store) may_lack_parts: bool,
    /// Of a manifest without a tag.
    pub(in crate::store) last_pulled_at: &'static str,
}

words! {
    "snake_case"
    /// What comes first in a list of images.
    pub enum ImageOrder {
        /// The last pulled.
        Pulled,
        /// The largest.
        Size,
        /// The last that came: from its upstream, or by a push.
        Filled,
    }
}

/// Which images, and in which order: by name where none is said.
#[derive(Debug, Clone, Default)]
pub struct ImageFilter {
    /// A part of `HOST/NAME[:TAG]` (`HOST/NAME@DIGEST` without a tag); `*` matches any run.
    pub pattern: Option<String>,
    pub order: Option<ImageOrder>,
    /// Only what this group has pulled; nobody notes that of what was pushed.
    pub group: Option<GroupId>,
}

impl Database {
    /// The images that the filter means. Rows are read one by one, no further than the page and its count need.
    pub(in crate::store) fn images(
        &self,
        source: &Source,
        filter: &ImageFilter,
        window: Window,
    ) -> Result<Page<CachedImage>> {
        self.scan_consistent(|connection| {
            let page = match filter.order {
                Some(ImageOrder::Size) => {
                    // Each has to be measured before it is known which are the largest.
                    let mut images = filtered(connection, source, filter, Window::ALL)?.entries;
                    images.sort_by_key(|(_, image)| std::cmp::Reverse(image.size));
                    Page::of(images, window)
                }
                _ => filtered(connection, source, filter, window)?,
            };
            page.try_map(|(id, image)| {
                let missing = match source.may_lack_parts {
                    true => missing_parts(connection, id)?,
                    false => 0,
                };
                Ok(CachedImage { missing, ..image })
            })
        })
    }
}

/// The images in the order of the statement, with their manifests' rows and their sizes.
fn filtered(
    connection: &Connection,
    source: &Source,
    filter: &ImageFilter,
    window: Window,
) -> Result<Page<(i64, CachedImage)>> {
    let pattern = filter.pattern.as_deref();
    let mut page = Filling::new(window);
    let text = text(source, filter);
    visit(connection, "list images", &text, [], |row| {
        let image = image(row)?;
        let is_meant = pattern.is_none_or(|pattern| holds(&image.name(), pattern));
        Ok(match is_meant {
            true => page.add((row.get::<_, i64>(5)?, image)),
            false => ControlFlow::Continue(()),
        })
    })?;
    page.finish().try_map(|(id, image)| {
        let size = image_size(connection, id)?;
        Ok((id, CachedImage { size, ..image }))
    })
}

/// The statement for these images.
pub(super) fn text(source: &Source, filter: &ImageFilter) -> String {
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
    IMAGES
        .replace("{origin}", source.origin)
        .replace("{repositories}", source.repositories)
        .replace("{arrived_at}", source.arrived_at)
        .replace("{tag_times}", source.tag_times)
        .replace("{last_pulled_at}", source.last_pulled_at)
        .replace("{is_referred_to}", &is_referred_to)
        .replace("{of_group}", &of_group)
        .replace("{order}", order)
}

/// A line of it; the manifest's row is its fifth column.
pub(super) fn image(row: &Row<'_>) -> rusqlite::Result<CachedImage> {
    Ok(CachedImage {
        upstream: row.get(0)?,
        repository: row.get(2)?,
        tag: row.get(3)?,
        digest: row.get(4)?,
        media_type: row.get(6)?,
        size: 0,
        missing: 0,
        fetched_at: row.get(7)?,
        confirmed_at: row.get(8)?,
        gone_at: row.get(9)?,
        last_pulled_at: row.get(10)?,
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

/// How many parts of the image of this manifest are not here.
pub(in crate::store) fn missing_parts(connection: &Connection, manifest: i64) -> Result<u64> {
    get(
        connection,
        "look which parts of an image are here",
        &reach::missing_parts(),
        [manifest],
        |row| size(row, 0),
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
