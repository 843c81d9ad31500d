//! What is kept of the upstreams' images.

mod evict;
mod hosted;
mod kept;
mod limits;
mod moment;
mod purge;
mod pushed;
mod referrers;
mod show;
mod statistics;

pub use evict::{EvictImages, EvictionView, VictimView};
pub use limits::limited_parts;
pub use moment::world;
pub use purge::{PurgeImages, PurgeView};
pub use referrers::ReferrerView;
pub use show::{ImageDetails, PartView, ShowCachedImage};
pub use statistics::{CacheStatistics, CacheStatisticsView, RecallStatistics};

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Admin, Named, Operation};
use crate::error::{Error, Kind, Result};
use crate::store::{CachedImage, ImageFilter, ImageOrder, Inventory, Page, Window};

/// So many tags of one image are told.
const TAGS_SHOWN: u32 = 1_000;
/// No name is longer, and SQLite's `GLOB` takes no pattern of more than 50,000 bytes.
const LONGEST_SEARCH: usize = 1_000;
/// So many parts of one image.
const PARTS_SHOWN: usize = 1_000;

/// The images that are kept.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListCachedImages {
    /// A part of HOST/NAME:TAG; * for any run of characters. With hosted: before it, of what was pushed
    pub search: Option<String>,
    /// By name; or the last pulled, the largest, or the last filled first
    pub sort: Option<ImageOrder>,
    /// Only what this group has pulled, by path
    pub group: Option<String>,
    #[serde(default)]
    #[schemars(skip)]
    pub window: Window,
}

impl Operation for ListCachedImages {
    const NAME: &'static str = "cache.list";
    type View = Page<CachedImage>;

    fn perform(self, admin: &Admin<'_>) -> Result<Page<CachedImage>> {
        let (cache, registry) = (&admin.store.cache, &admin.store.registry);
        let is_hosted = self
            .search
            .as_deref()
            .is_some_and(|search| search.starts_with("hosted:"));
        if is_hosted && self.group.is_some() {
            let what = "who pulled what was pushed is not noted by group";
            let error = Error::new(Kind::Usage, what).about("group");
            return Err(error.remedy("name its repositories: hosted:GROUP/*"));
        }
        if self
            .search
            .as_ref()
            .is_some_and(|search| search.len() > LONGEST_SEARCH)
        {
            let what = format!("a search may have {LONGEST_SEARCH} bytes at most");
            return Err(Error::new(Kind::Usage, what).about("search"));
        }
        let group = self.group.map(|path| admin.group(&Named::Text(path)));
        // A page is worth less time than the whole list, for which all images are measured anyway.
        let is_page_by_size = self.sort == Some(ImageOrder::Size) && self.window != Window::ALL;
        let server = admin.server.filter(|_| is_page_by_size && !is_hosted);
        // Nothing, and stars alone, match all: of all images the pages are found sooner.
        let pattern = self.search.filter(|search| search.contains(|c| c != '*'));
        let filter = ImageFilter {
            pattern,
            order: self.sort,
            group: group.transpose()?.map(|group| group.id),
            sizes: server.map(|server| server.image_sizes()).transpose()?,
        };
        // Pulls are written in batches.
        match is_hosted {
            true => {
                registry.write_notes()?;
                registry.images(&filter, self.window)
            }
            false => {
                if filter.group.is_some() || filter.order.is_some() {
                    cache.write_notes()?;
                }
                cache.images(&filter, self.window)
            }
        }
    }
}

/// Images among these manifests, of which one that has no tag may be a part of another.
pub(super) fn count_images(inventory: &Inventory, manifests: &[usize]) -> u64 {
    let of = |place: &usize| inventory.manifests.get(*place);
    let parts = manifests
        .iter()
        .filter_map(of)
        .flat_map(|whole| &whole.parts);
    let parts: HashSet<usize> = parts.map(|part| part.manifest).collect();
    let images = manifests.iter().filter(|place| {
        let is_tagged = of(place).is_some_and(|manifest| !manifest.tags.is_empty());
        is_tagged || !parts.contains(place)
    });
    images.count() as u64
}
