//! What is cached, for `cache list` and `cache stats`: reads much, on nobody's request path.

use rusqlite::Connection;

use super::{CacheDb, CachedImage, Totals};
use crate::error::Result;
use crate::store::statement::{get, list, size};
use crate::time::Timestamp;

/// Tags, and after them the manifests that nothing names.
const IMAGES: &str = "
    WITH tag_pulls (repository_id, tag, last_at) AS (
        SELECT manifests.repository_id, pulls.tag, max(pulls.last_at)
        FROM pulls JOIN manifests ON manifests.id = pulls.manifest_id
        GROUP BY 1, 2
    )
    SELECT manifests.id, origins.upstream, repositories.name, tags.name, blobs.digest,
        manifests.media_type, manifests.fetched_at, tags.confirmed_at, tags.gone_at,
        tag_pulls.last_at
    FROM tags
    JOIN manifests ON manifests.id = tags.manifest_id
    JOIN blobs ON blobs.id = manifests.blob_id
    JOIN repositories ON repositories.id = tags.repository_id
    JOIN origins ON origins.id = repositories.origin_id
    LEFT JOIN tag_pulls ON tag_pulls.repository_id = tags.repository_id
        AND tag_pulls.tag = tags.name
    UNION ALL
    SELECT manifests.id, origins.upstream, repositories.name, NULL, blobs.digest,
        manifests.media_type, manifests.fetched_at, manifests.fetched_at, NULL,
        (SELECT max(pulls.last_at) FROM pulls WHERE pulls.manifest_id = manifests.id)
    FROM manifests
    JOIN blobs ON blobs.id = manifests.blob_id
    JOIN repositories ON repositories.id = manifests.repository_id
    JOIN origins ON origins.id = repositories.origin_id
    WHERE NOT EXISTS (SELECT 1 FROM tags WHERE tags.manifest_id = manifests.id)
    AND NOT EXISTS (
        SELECT 1 FROM manifest_children
        JOIN manifests AS parents ON parents.id = manifest_children.manifest_id
        WHERE manifest_children.digest = blobs.digest
        AND parents.repository_id = manifests.repository_id)
    ORDER BY 2, 3, 4, 5";

/// The manifest, and downwards what is here of what it refers to, each once. An index's manifests are
/// followed within their repository.
const IMAGE_SIZE: &str = "
    WITH RECURSIVE content (blob_id) AS (
        SELECT blob_id FROM manifests WHERE id = ?1
        UNION
        SELECT blobs.id FROM content
        JOIN manifests ON manifests.blob_id = content.blob_id
            AND manifests.repository_id = (SELECT repository_id FROM manifests WHERE id = ?1)
        JOIN manifest_children ON manifest_children.manifest_id = manifests.id
        JOIN blobs ON blobs.digest = manifest_children.digest
    )
    SELECT CAST(total(blobs.size) AS INTEGER) FROM content JOIN blobs ON blobs.id = content.blob_id";

impl CacheDb {
    /// Images whose `HOST/NAME[:TAG]` (`HOST/NAME@DIGEST` without a tag) holds `pattern` (`*` matches any
    /// run), sorted.
    pub fn images(&self, pattern: Option<&str>) -> Result<Vec<CachedImage>> {
        self.database.scan_consistent(|connection| {
            let mut images = list(connection, "list images", IMAGES, [], |row| {
                let id: i64 = row.get(0)?;
                let image = CachedImage {
                    upstream: row.get(1)?,
                    repository: row.get(2)?,
                    tag: row.get(3)?,
                    digest: row.get(4)?,
                    media_type: row.get(5)?,
                    size: 0,
                    fetched_at: Timestamp(row.get(6)?),
                    confirmed_at: Timestamp(row.get(7)?),
                    gone_at: row.get::<_, Option<i64>>(8)?.map(Timestamp),
                    last_pulled_at: row.get::<_, Option<i64>>(9)?.map(Timestamp),
                };
                Ok((id, image))
            })?;
            if let Some(pattern) = pattern {
                images.retain(|(_, image)| holds(&name(image), pattern));
            }
            images
                .into_iter()
                .map(|(id, image)| {
                    let size = image_size(connection, id)?;
                    Ok(CachedImage { size, ..image })
                })
                .collect()
        })
    }

    /// Counts of everything, in one consistent view.
    pub fn totals(&self) -> Result<Totals> {
        self.database.scan(|connection| {
            get(
                connection,
                "count what is cached",
                "SELECT (SELECT count(*) FROM blobs), (SELECT count(*) FROM manifests),
                     (SELECT count(*) FROM tags), (SELECT count(*) FROM repositories),
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

fn image_size(connection: &Connection, manifest: i64) -> Result<u64> {
    get(
        connection,
        "sum an image's size",
        IMAGE_SIZE,
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
