//! Lists of images by their sizes, for which all have to be measured.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use rusqlite::Connection;

use super::keys::{Key, is_long, visit_by_name, visit_listed};
use super::{ImageFilter, Source, image_size};
use crate::error::{Error, Result};
use crate::store::database::Database;
use crate::store::page::{Filling, Page, Window};
use crate::store::statement::list;

/// So many are looked up at once.
const AT_ONCE: usize = 500;

/// The sizes of all manifests with what they consist of, as they were a while ago.
pub type ImageSizes = Arc<Measured>;

#[derive(Debug)]
pub struct Measured {
    by_manifest: HashMap<i64, u64>,
    largest_first: Vec<(Reverse<u64>, i64)>,
}

impl Database {
    /// Measures everything, which takes as long as there are many.
    pub(in crate::store) fn image_sizes(&self) -> Result<ImageSizes> {
        self.scan_consistent(|connection| {
            let largest_first = measured_behind(connection, 0)?;
            let sizes = largest_first.iter();
            Ok(Arc::new(Measured {
                by_manifest: sizes.map(|(size, manifest)| (*manifest, size.0)).collect(),
                largest_first,
            }))
        })
    }
}

/// The largest images that the filter means.
pub(super) fn largest(
    connection: &Connection,
    source: &Source,
    filter: &ImageFilter,
    window: Window,
) -> Result<Page<Key>> {
    match (&filter.sizes, source.upwards) {
        (Some(sizes), Some(upwards)) if filter.is_open() => {
            largest_of_all(connection, source, upwards, sizes, window)
        }
        _ => largest_of_some(connection, source, filter, window),
    }
}

/// In the order in which they were measured; what came since is measured now.
fn largest_of_all(
    connection: &Connection,
    source: &Source,
    upwards: &str,
    sizes: &Measured,
    window: Window,
) -> Result<Page<Key>> {
    let newest = sizes.by_manifest.keys().max().copied();
    let mut all = measured_behind(connection, newest.unwrap_or_default())?;
    all.extend(&sizes.largest_first);
    // Both are sorted, so this takes one look at each.
    all.sort();
    let mut page = Filling::new(window, is_long(connection)?);
    for some in all.chunks(AT_ONCE) {
        let manifests: Vec<_> = some.iter().map(|(_, manifest)| *manifest).collect();
        let mut flow = ControlFlow::Continue(());
        visit_listed(connection, source, upwards, &manifests, |row| {
            flow = page.add(|| Key::of(row))?;
            Ok(flow)
        })?;
        if flow.is_break() {
            break;
        }
    }
    Ok(page.finish())
}

/// Those of the filter have to be found first; no more of them are held than two pages.
fn largest_of_some(
    connection: &Connection,
    source: &Source,
    filter: &ImageFilter,
    window: Window,
) -> Result<Page<Key>> {
    let rows = window.rows_needed(false);
    let needed = usize::try_from(rows).unwrap_or(usize::MAX);
    let (mut met, mut largest, mut failed) = (0_u64, Vec::new(), None);
    visit_by_name(connection, source, filter, i64::MAX, |row| {
        let key = Key::of(row)?;
        let known = filter.sizes.as_ref();
        let known = known.and_then(|sizes| sizes.by_manifest.get(&key.manifest));
        let size = match known {
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

/// The manifests behind this row, the largest first.
fn measured_behind(connection: &Connection, manifest: i64) -> Result<Vec<(Reverse<u64>, i64)>> {
    let manifests: Vec<i64> = list(
        connection,
        "list manifests to measure",
        "SELECT id FROM manifests WHERE id > ?1",
        [manifest],
        |row| row.get(0),
    )?;
    let measured = manifests.into_iter();
    let measured = measured.map(|id| Ok((Reverse(image_size(connection, id)?), id)));
    let mut measured = measured.collect::<Result<Vec<_>, Error>>()?;
    measured.sort_unstable();
    Ok(measured)
}
