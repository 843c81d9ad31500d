//! What is cached, for `cache list` and `cache stats`.

use std::ops::ControlFlow;

use rusqlite::{Connection, Row};

use super::{CacheDb, CachedImage, Totals};
use crate::error::Result;
use crate::store::content::reach;
use crate::store::page::{Filling, Page, Window};
use crate::store::statement::{find, get, size, visit};
use crate::time::Timestamp;

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
    AND NOT {is_referred_to}
    UNION ALL
    SELECT origins.upstream, origins.fingerprint, repositories.name, tags.name, blobs.digest,
        manifests.id, manifests.media_type, manifests.fetched_at, tags.confirmed_at, tags.gone_at,
        tags.last_pulled_at
    FROM origins
    CROSS JOIN repositories ON repositories.origin_id = origins.id
    CROSS JOIN tags ON tags.repository_id = repositories.id
    CROSS JOIN manifests ON manifests.id = tags.manifest_id
    CROSS JOIN blobs ON blobs.id = manifests.blob_id
    ORDER BY 1, 2, 3, 4, 5";

impl CacheDb {
    /// Images whose `HOST/NAME[:TAG]` (`HOST/NAME@DIGEST` without a tag) holds `pattern` (`*` matches any
    /// run), sorted. Rows are read one by one, no further than the page and its count need.
    pub fn images(&self, pattern: Option<&str>, window: Window) -> Result<Page<CachedImage>> {
        self.database.scan_consistent(|connection| {
            let mut page = Filling::new(window);
            let is_referred_to = reach::is_referred_to("blobs.digest", "manifests.repository_id");
            let text = IMAGES.replace("{is_referred_to}", &is_referred_to);
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
