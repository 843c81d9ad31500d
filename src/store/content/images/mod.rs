//! Lists of images: the same statement for what was fetched and for what was pushed.

mod keys;
mod sizes;

use rusqlite::{Connection, ToSql, params_from_iter};

use super::reach;
use crate::error::Result;
use crate::store::database::Database;
use crate::store::page::{Page, Window};
use crate::store::statement::{get, size};
use crate::store::{CachedImage, GroupId};
use crate::words::words;

use keys::keys;
pub(super) use keys::{Key, keys_named};
pub use sizes::ImageSizes;
use sizes::largest;

/// What the two databases call differently, as SQL.
pub(in crate::store) struct Source {
    /// Upstream, credentials, name.
    pub(in crate::store) origin: &'static str,
    /// As [`CachedImage::name_without_tag`].
    pub(in crate::store) name: &'static str,
    pub(in crate::store) repositories: &'static str,
    /// From a manifest to its repository and origin, where indexes have the orders of all images; `None`: they are sorted.
    pub(in crate::store) upwards: Option<&'static str>,
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
    /// To sort by, where they are known: to measure all images takes long.
    pub sizes: Option<ImageSizes>,
}

impl ImageFilter {
    /// Whether all images are meant.
    fn is_open(&self) -> bool {
        self.pattern.is_none() && self.group.is_none()
    }
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
