//! Which images are in a list, and in which order: only what names and sorts them, because long lists are read for short
//! pages.

use std::ops::ControlFlow;

use rusqlite::{Connection, Row, ToSql, params_from_iter};

use super::{ImageFilter, ImageOrder, Source};
use crate::error::Result;
use crate::store::content::reach;
use crate::store::page::{Filling, MAX_COUNTED, Page, Window, json_of};
use crate::store::statement::{find, get, stored_size, visit};
use crate::time::Timestamp;

/// Tags, and manifests that nothing names, in the order of indexes, so that only the images of one repository are sorted.
const BY_NAME: &str = "
    FROM {repositories}
    CROSS JOIN manifests ON manifests.repository_id = repositories.id
    LEFT JOIN tags ON tags.manifest_id = manifests.id
    WHERE repositories.removed_from IS NULL
    AND (tags.name IS NOT NULL OR NOT {is_part}) {of_group} {of_pattern}
    ORDER BY {order} 1, 2, 3, 4, 5 LIMIT ?1";

/// The same by an index of when manifests came, which SQLite does not take by itself.
const BY_ARRIVAL: &str = "
    FROM manifests INDEXED BY manifests_fetched
    CROSS JOIN {upwards}
    LEFT JOIN tags ON tags.manifest_id = manifests.id
    WHERE repositories.removed_from IS NULL
    AND (tags.name IS NOT NULL OR NOT {is_part})
    ORDER BY {arrived_at} DESC, 1, 2, 3, 4, 5 LIMIT ?1";

/// The same of what was pulled at `?2` or later, by the indexes of that.
const BY_PULL: &str = "
    FROM (
        SELECT manifest_id, name, last_pulled_at AS pulled_at FROM tags WHERE last_pulled_at >= ?2
        UNION ALL
        SELECT manifest_id, NULL, max(last_at) FROM pulls WHERE last_at >= ?2
        AND NOT EXISTS (SELECT 1 FROM tags WHERE tags.manifest_id = pulls.manifest_id)
        GROUP BY +manifest_id) AS tags
    CROSS JOIN manifests ON manifests.id = tags.manifest_id
    CROSS JOIN {upwards}
    WHERE repositories.removed_from IS NULL
    AND (tags.name IS NOT NULL OR NOT {is_part})
    ORDER BY tags.pulled_at DESC, 1, 2, 3, 4, 5 LIMIT ?1";

/// The same of the manifests of a JSON list, in its order.
const OF_LIST: &str = "
    FROM json_each(?1)
    CROSS JOIN manifests ON manifests.id = json_each.value
    CROSS JOIN {upwards}
    LEFT JOIN tags ON tags.manifest_id = manifests.id
    WHERE repositories.removed_from IS NULL
    AND (tags.name IS NOT NULL OR NOT {is_part})
    ORDER BY json_each.key, 4";

const DIGEST: &str = "(SELECT digest FROM blobs WHERE blobs.id = manifests.blob_id)";

/// An image in a list, before anything else is read about it.
pub(in crate::store::content) struct Key {
    pub(super) upstream: Option<String>,
    pub(super) repository: String,
    pub(super) tag: Option<String>,
    pub(in crate::store::content) manifest: i64,
}

impl Key {
    pub(super) fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            upstream: row.get(0)?,
            repository: row.get(2)?,
            tag: row.get(3)?,
            manifest: row.get(5)?,
        })
    }
}

/// The images in the order of the filter, but for that of sizes.
pub(super) fn keys(
    connection: &Connection,
    source: &Source,
    filter: &ImageFilter,
    window: Window,
) -> Result<Page<Key>> {
    let upwards = source.upwards.filter(|_| filter.is_open());
    let is_long = upwards.is_some() && is_long(connection)?;
    let mut page = Filling::new(window, is_long);
    let needed = window.rows_needed(is_long);
    let see = |row: &Row<'_>| page.add(|| Key::of(row));
    let since = match filter.order {
        Some(ImageOrder::Pulled) if upwards.is_some() => pulled(connection, needed)?,
        _ => None,
    };
    match (upwards, filter.order, since) {
        (Some(upwards), Some(ImageOrder::Filled), _) => {
            let text = text_upwards(source, BY_ARRIVAL, upwards);
            visit(connection, "list images as they came", &text, [needed], see)?;
        }
        (Some(upwards), Some(ImageOrder::Pulled), Some(since)) => {
            let text = text_upwards(source, BY_PULL, upwards);
            let bounds = (needed, since);
            visit(
                connection,
                "list images as they were pulled",
                &text,
                bounds,
                see,
            )?;
        }
        _ => visit_by_name(connection, source, filter, needed, see)?,
    }
    Ok(page.finish())
}

/// Shows those of these manifests to `see`, in the order of the list.
pub(super) fn visit_listed(
    connection: &Connection,
    source: &Source,
    upwards: &str,
    manifests: &[i64],
    see: impl FnMut(&Row<'_>) -> rusqlite::Result<ControlFlow<()>>,
) -> Result<()> {
    let text = text_upwards(source, OF_LIST, upwards);
    visit(
        connection,
        "list images of some manifests",
        &text,
        [json_of(&manifests)?],
        see,
    )
}

/// Whether there are more than are counted. Each tag is an image.
pub(super) fn is_long(connection: &Connection) -> Result<bool> {
    get(
        connection,
        "look whether there are very many images",
        "SELECT EXISTS (SELECT 1 FROM tags LIMIT 1 OFFSET ?1)",
        [stored_size(MAX_COUNTED)],
        |row| row.get(0),
    )
}

/// When the last of so many tags was pulled; `None` where fewer were.
fn pulled(connection: &Connection, count: i64) -> Result<Option<Timestamp>> {
    let found = find(
        connection,
        "look how long ago so many tags were pulled",
        "SELECT last_pulled_at FROM tags ORDER BY last_pulled_at DESC LIMIT 1 OFFSET ?1 - 1",
        [count],
        |row| row.get(0),
    )?;
    Ok(found.flatten())
}

/// Those whose names `is_meant` takes, in the order of their names; a key is made of no other.
pub(in crate::store::content) fn keys_named(
    connection: &Connection,
    source: &Source,
    mut is_meant: impl FnMut(&str) -> bool,
) -> Result<Vec<Key>> {
    let (mut keys, mut name) = (Vec::new(), String::new());
    let filter = ImageFilter::default();
    visit_by_name(connection, source, &filter, i64::MAX, |row| {
        write_name(row, &mut name)?;
        if is_meant(&name) {
            keys.push(Key::of(row)?);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(keys)
}

/// Shows to `see` what the filter means, sorted by name, or by the filter's order where that is not by size.
pub(super) fn visit_by_name(
    connection: &Connection,
    source: &Source,
    filter: &ImageFilter,
    needed: i64,
    see: impl FnMut(&Row<'_>) -> rusqlite::Result<ControlFlow<()>>,
) -> Result<()> {
    let pattern = filter.pattern.as_deref().map(glob);
    let parameters = [&needed as &dyn ToSql].into_iter();
    let parameters = parameters.chain(pattern.as_ref().map(|pattern| pattern as &dyn ToSql));
    visit(
        connection,
        "list images",
        &text_by_name(source, filter),
        params_from_iter(parameters),
        see,
    )
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

/// The statement for the images that the filter means.
fn text_by_name(source: &Source, filter: &ImageFilter) -> String {
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
    let order = match filter.order {
        Some(ImageOrder::Pulled) => &format!(
            "CASE WHEN tags.name IS NULL THEN {} ELSE tags.last_pulled_at END DESC,",
            source.last_pulled_at
        ),
        Some(ImageOrder::Filled) => &format!("{} DESC,", source.arrived_at),
        Some(ImageOrder::Size) | None => "",
    };
    let text = BY_NAME.replace("{repositories}", source.repositories);
    let text = text.replace("{of_group}", &of_group);
    let text = text.replace("{of_pattern}", &of_pattern);
    select(source, &text.replace("{order}", order))
}

/// A statement that goes from manifests to their repositories.
fn text_upwards(source: &Source, text: &str, upwards: &str) -> String {
    let text = text.replace("{upwards}", upwards);
    select(source, &text.replace("{arrived_at}", source.arrived_at))
}

/// What is read of each image: all these statements give the same columns.
fn select(source: &Source, from: &str) -> String {
    let is_part = reach::is_part(DIGEST, "manifests.repository_id");
    format!(
        "SELECT {}, tags.name, CASE WHEN tags.name IS NULL THEN {DIGEST} END, manifests.id {}",
        source.origin,
        from.replace("{is_part}", &is_part)
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
