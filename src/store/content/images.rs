//! Lists of images: the same statement for what was fetched and for what was pushed.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use rusqlite::{Connection, Row, ToSql, params_from_iter};

use super::reach;
use crate::error::Result;
use crate::store::database::Database;
use crate::store::page::{Filling, Page, Window};
use crate::store::statement::{get, list, size, visit};
use crate::store::{CachedImage, GroupId};
use crate::words::words;

/// Tags, and manifests that nothing names: only what names and sorts them, because long lists are read for short pages.
/// In the order of indexes, so that only the images of one repository are sorted.
const KEYS: &str = "
    SELECT {origin}, tags.name, CASE WHEN tags.name IS NULL THEN {digest} END, manifests.id, {at}
    FROM {repositories}
    CROSS JOIN manifests ON manifests.repository_id = repositories.id
    LEFT JOIN tags ON tags.manifest_id = manifests.id
    WHERE repositories.removed_from IS NULL
    AND (tags.name IS NOT NULL OR NOT {is_referred_to}) {of_group} {of_pattern}
    ORDER BY {order} 1, 2, 3, 4, 5 LIMIT ?1";

/// The same manifests, by their rows alone.
const MANIFESTS: &str = "
    SELECT manifests.id
    FROM {repositories}
    CROSS JOIN manifests ON manifests.repository_id = repositories.id
    WHERE repositories.removed_from IS NULL
    AND (EXISTS (SELECT 1 FROM tags WHERE tags.manifest_id = manifests.id) OR NOT {is_referred_to})";
const DIGEST: &str = "(SELECT digest FROM blobs WHERE blobs.id = manifests.blob_id)";

fn is_referred_to() -> String {
    reach::is_referred_to(DIGEST, "manifests.repository_id")
}

/// What the two databases call differently, as SQL.
pub(in crate::store) struct Source {
    /// Upstream, credentials, name.
    pub(in crate::store) origin: &'static str,
    /// As [`CachedImage::name_without_tag`].
    pub(in crate::store) name: &'static str,
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

/// The sizes of images by the rows of their manifests, as they were a while ago.
pub type ImageSizes = Arc<HashMap<i64, u64>>;

/// Which images, and in which order: by name where none is said.
#[derive(Debug, Clone, Default)]
pub struct ImageFilter {
    /// A part of `HOST/NAME[:TAG]` (`HOST/NAME@DIGEST` without a tag); `*` matches any run.
    pub pattern: Option<String>,
    pub order: Option<ImageOrder>,
    /// Only what this group has pulled; nobody notes that of what was pushed.
    pub group: Option<GroupId>,
    /// To sort by, where they are known: to measure all images takes long.
    pub sizes: Option<ImageSizes>,
}

/// An image in a list, before anything else is read about it.
pub(super) struct Key {
    upstream: Option<String>,
    repository: String,
    tag: Option<String>,
    pub(super) manifest: i64,
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
            let keys = match filter.order {
                Some(ImageOrder::Size) => largest(connection, source, filter, window)?,
                _ => keys(connection, source, filter, window)?,
            };
            keys.try_map(|key| {
                let image = image(connection, source, &key)?;
                Ok(CachedImage {
                    size: image_size(connection, key.manifest)?,
                    missing: match source.may_lack_parts {
                        true => missing_parts(connection, key.manifest)?,
                        false => 0,
                    },
                    ..image
                })
            })
        })
    }

    /// The sizes of all images.
    pub(in crate::store) fn image_sizes(&self, source: &Source) -> Result<ImageSizes> {
        let text = MANIFESTS
            .replace("{repositories}", source.repositories)
            .replace("{is_referred_to}", &is_referred_to());
        self.scan_consistent(|connection| {
            let manifest = |row: &Row<'_>| row.get::<_, i64>(0);
            let manifests = list(connection, "list images to measure", &text, [], manifest)?;
            let sized = manifests.into_iter();
            let sized = sized.map(|id| Ok((id, image_size(connection, id)?)));
            Ok(Arc::new(sized.collect::<Result<_>>()?))
        })
    }
}

/// Each has to be measured before it is known which are the largest; no more of them are held than two pages.
fn largest(
    connection: &Connection,
    source: &Source,
    filter: &ImageFilter,
    window: Window,
) -> Result<Page<Key>> {
    let needed = usize::try_from(window.rows_needed()).unwrap_or(usize::MAX);
    let (mut met, mut largest, mut failed) = (0_u64, Vec::new(), None);
    visit_keys(connection, source, filter, Window::ALL, |row| {
        let key = Key::of(row)?;
        let known = filter.sizes.as_ref();
        let size = match known.and_then(|sizes| sizes.get(&key.manifest)) {
            Some(size) => *size,
            None => match image_size(connection, key.manifest) {
                Ok(size) => size,
                Err(error) => {
                    failed = Some(error);
                    return Ok(ControlFlow::Break(()));
                }
            },
        };
        met = met.saturating_add(1);
        largest.push((Reverse(size), met, key));
        if largest.len() >= needed.saturating_mul(2) {
            largest.sort_unstable_by_key(|(size, met, _)| (*size, *met));
            largest.truncate(needed);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    largest.sort_unstable_by_key(|(size, met, _)| (*size, *met));
    let keys = largest.into_iter().map(|(_, _, key)| key);
    Ok(Page::of(keys.collect(), window))
}

/// The images in the order of the statement.
fn keys(
    connection: &Connection,
    source: &Source,
    filter: &ImageFilter,
    window: Window,
) -> Result<Page<Key>> {
    let mut page = Filling::new(window);
    visit_keys(connection, source, filter, window, |row| {
        page.add(|| Key::of(row))
    })?;
    Ok(page.finish())
}

/// Those whose names `is_meant` takes, in the order of their names; a key is made of no other.
pub(super) fn keys_named(
    connection: &Connection,
    source: &Source,
    mut is_meant: impl FnMut(&str) -> bool,
) -> Result<Vec<Key>> {
    let (mut keys, mut name) = (Vec::new(), String::new());
    let filter = ImageFilter::default();
    visit_keys(connection, source, &filter, Window::ALL, |row| {
        write_name(row, &mut name)?;
        if is_meant(&name) {
            keys.push(Key::of(row)?);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(keys)
}

/// As many rows of the statement as a page of this window needs.
fn visit_keys(
    connection: &Connection,
    source: &Source,
    filter: &ImageFilter,
    window: Window,
    see: impl FnMut(&Row<'_>) -> rusqlite::Result<ControlFlow<()>>,
) -> Result<()> {
    let needed = window.rows_needed();
    let pattern = filter.pattern.as_deref().map(glob);
    let parameters = [&needed as &dyn ToSql].into_iter();
    let parameters = parameters.chain(pattern.as_ref().map(|pattern| pattern as &dyn ToSql));
    visit(
        connection,
        "list images",
        &text(source, filter),
        params_from_iter(parameters),
        see,
    )
}

impl Key {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            upstream: row.get(0)?,
            repository: row.get(2)?,
            tag: row.get(3)?,
            manifest: row.get(5)?,
        })
    }
}

/// As [`CachedImage::name`].
fn write_name(row: &Row<'_>, name: &mut String) -> rusqlite::Result<()> {
    let text = |column| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str_or_null()?);
    name.clear();
    match text(0)? {
        Some(upstream) => name.extend([upstream, "/"]),
        None => name.push_str("hosted:"),
    }
    name.push_str(text(2)?.unwrap_or_default());
    match text(3)? {
        Some(tag) => name.extend([":", tag]),
        None => name.extend(["@", text(4)?.unwrap_or_default()]),
    }
    Ok(())
}

/// The statement for these images.
fn text(source: &Source, filter: &ImageFilter) -> String {
    let of_group = match filter.group {
        None => String::new(),
        Some(group) => format!(
            "AND EXISTS (SELECT 1 FROM pulls
                 WHERE pulls.manifest_id = manifests.id AND pulls.group_id = {})",
            group.0
        ),
    };
    let of_pattern = match filter.pattern {
        None => String::new(),
        Some(_) => format!(
            "AND {} || CASE WHEN tags.name IS NULL THEN '@' || {DIGEST} ELSE ':' || tags.name END GLOB ?2",
            source.name
        ),
    };
    let pulled_at = format!(
        "CASE WHEN tags.name IS NULL THEN {} ELSE tags.last_pulled_at END",
        source.last_pulled_at
    );
    let (order, at) = match filter.order {
        Some(ImageOrder::Pulled) => ("7 DESC,", pulled_at.as_str()),
        Some(ImageOrder::Filled) => ("7 DESC,", source.arrived_at),
        Some(ImageOrder::Size) | None => ("", "NULL"),
    };
    KEYS.replace("{origin}", source.origin)
        .replace("{repositories}", source.repositories)
        .replace("{digest}", DIGEST)
        .replace("{is_referred_to}", &is_referred_to())
        .replace("{of_group}", &of_group)
        .replace("{of_pattern}", &of_pattern)
        .replace("{at}", at)
        .replace("{order}", order)
}

/// What is known of an image, but for its size and what is missing of it.
pub(super) fn image(connection: &Connection, source: &Source, key: &Key) -> Result<CachedImage> {
    let (of_tag, times, pulled_at) = match key.tag {
        Some(_) => (
            "CROSS JOIN tags ON tags.repository_id = manifests.repository_id AND tags.name = ?2",
            source.tag_times,
            "tags.last_pulled_at",
        ),
        None => ("", "NULL, NULL", source.last_pulled_at),
    };
    let text = format!(
        "SELECT blobs.digest, manifests.media_type, {}, {times}, {pulled_at}
         FROM manifests {of_tag}
         CROSS JOIN blobs ON blobs.id = manifests.blob_id
         WHERE manifests.id = ?1",
        source.arrived_at
    );
    let parameters = [&key.manifest as &dyn ToSql].into_iter();
    let parameters = parameters.chain(key.tag.as_ref().map(|tag| tag as &dyn ToSql));
    let parameters = params_from_iter(parameters);
    get(
        connection,
        "show an image of a list",
        &text,
        parameters,
        |row| {
            let fetched_at = row.get(2)?;
            Ok(CachedImage {
                upstream: key.upstream.clone(),
                repository: key.repository.clone(),
                tag: key.tag.clone(),
                digest: row.get(0)?,
                media_type: row.get(1)?,
                size: 0,
                missing: 0,
                fetched_at,
                confirmed_at: row.get::<_, Option<_>>(3)?.unwrap_or(fetched_at),
                gone_at: row.get(4)?,
                last_pulled_at: row.get(5)?,
            })
        },
    )
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

/// What SQLite's `GLOB` takes for a pattern that may begin and end anywhere, and whose only sign is the star.
fn glob(pattern: &str) -> String {
    let mut glob = String::from("*");
    for character in pattern.chars() {
        match character {
            '?' | '[' => glob.extend(['[', character, ']']),
            other => glob.push(other),
        }
    }
    glob + "*"
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::glob;

    #[test]
    fn a_pattern_is_held_anywhere_and_its_star_matches_any_run() {
        let connection = Connection::open_in_memory().unwrap();
        for (text, pattern, expected) in [
            ("docker.io/library/alpine:3.20", "alpine", true),
            ("docker.io/library/alpine:3.20", "", true),
            ("docker.io/library/alpine:3.20", "*", true),
            ("docker.io/library/alpine:3.20", "alpine:3*0", true),
            ("docker.io/library/alpine:3.20", "docker.io/*alpine", true),
            ("docker.io/library/alpine:3.20", "alpine*docker", false),
            ("docker.io/library/alpine:3.20", "3.20*3.20", false),
            ("docker.io/library/alpine:3.20", "Alpine", false),
            ("docker.io/library/alpine:3.20", "alpin?", false),
            ("docker.io/library/alpine:3.20", "[a]lpine", false),
            ("a [b]? c", "[b]?", true),
        ] {
            let found: bool = connection
                .query_row("SELECT ?1 GLOB ?2", [text, &glob(pattern)], |row| {
                    row.get(0)
                })
                .unwrap();
            assert_eq!(found, expected, "{text} {pattern}");
        }
    }
}
