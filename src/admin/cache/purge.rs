//! Purging images of the cache, for the box's administrator.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::evict::LISTED;
use crate::admin::{Admin, Named, Operation};
use crate::error::{Error, Kind, Result};
use crate::oci::ImagePattern;
use crate::store::{CachedRepository, Detail, Event, EventKind, Inventory, Pins};
use crate::upkeep::purge::{Purge, Selection, purge, select};

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema, clap::Args)]
#[group(skip)]
pub struct PurgeImages {
    /// As for docker: alpine is alpine:latest; or a pattern with * for any run of characters
    #[arg(value_name = "IMAGE|PATTERN", group = "what")]
    pub image: Option<String>,
    /// What this group has pulled and no other has, by path
    #[arg(long, value_name = "PATH", group = "what")]
    pub group: Option<String>,
    /// Everything that is cached
    #[arg(long, group = "what")]
    #[serde(default)]
    pub all: bool,
    /// Pinned images too; without it they go only where one is named without *
    #[arg(long)]
    #[serde(default)]
    pub pinned: bool,
    /// Remove nothing, only show what would go
    #[arg(long)]
    #[serde(default)]
    pub dry_run: bool,
}

/// What went, or would go.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Purge")]
#[serde(deny_unknown_fields)]
pub struct PurgeView {
    pub dry_run: bool,
    pub images: u64,
    /// Bytes that went
    pub bytes: u64,
    /// Bytes that stay, because other images need them too
    pub shared_bytes: u64,
    /// Tags whose images stay, because they have other tags
    pub tags: u64,
    /// Images that were meant and stay, because they are pinned
    pub pinned: u64,
    /// Images that were meant and stay, because somebody pulled them meanwhile
    pub busy: u64,
    /// The first 1,000 images and tags: HOST/NAME:TAG, or HOST/NAME@DIGEST
    pub names: Vec<String>,
    /// Where one image was named: how many other tags of its repository stay
    pub other_tags: u64,
}

impl Operation for PurgeImages {
    const NAME: &'static str = "cache.purge";
    type View = PurgeView;
    const TAKES_LONG: bool = true;

    fn perform(self, admin: &Admin<'_>) -> Result<PurgeView> {
        let group = self.group.map(|path| admin.group(&Named::Text(path)));
        let group = group.transpose()?;
        let pattern = self.image.as_deref().map(parse).transpose()?;
        let everything = |_: &CachedRepository| true;
        let what = match (&pattern, &group, self.all) {
            (Some(pattern), None, false) => Purge::Images(pattern),
            (None, Some(group), false) => Purge::PulledBy(group.id, &everything),
            (None, None, true) => Purge::All,
            _ => {
                let what = "name an image or a pattern, or a group, or all: one of them";
                return Err(Error::new(Kind::Usage, what));
            }
        };
        let store = admin.store;
        store.cache.write_notes()?;
        let inventory = store.content.inventory()?;
        let is_one = pattern.as_ref().is_some_and(|pattern| !pattern.is_open());
        let pins = match self.pinned || is_one {
            true => Pins::default(),
            false => store.access.pins()?,
        };
        let selection = select(&inventory, &what, &pins);
        let is_nothing =
            selection.images.is_empty() && selection.tags.is_empty() && selection.pinned == 0;
        if let Some(pattern) = pattern.as_ref().filter(|_| is_nothing) {
            let what = format!("nothing is cached that is called {pattern}");
            return Err(Error::new(Kind::NotFound, what).remedy("see `breakwater cache list`"));
        }
        let mut view = PurgeView {
            dry_run: self.dry_run,
            images: selection.images.len() as u64,
            bytes: selection.frees,
            shared_bytes: selection.shared,
            tags: selection.tags.len() as u64,
            pinned: selection.pinned,
            busy: 0,
            names: names(&inventory, &selection),
            other_tags: match &pattern {
                Some(pattern) if is_one => other_tags(&inventory, pattern),
                _ => 0,
            },
        };
        if self.dry_run {
            return Ok(view);
        }
        let purged = purge(store, &inventory, &what, &selection)?;
        view.busy = view.images.saturating_sub(purged.images);
        (view.images, view.bytes) = (purged.images, purged.bytes);
        let subject = match (&pattern, &group) {
            (Some(pattern), _) => pattern.to_string(),
            (None, Some(group)) => format!("group {}", group.path),
            (None, None) => "*".to_owned(),
        };
        let number = |number: u64| Detail::from(i64::try_from(number).unwrap_or(i64::MAX));
        let event = Event::new(EventKind::CachePurged)
            .subject("images", &subject, None)
            .detail("images", number(view.images))
            .detail("tags", number(view.tags))
            .detail("bytes", number(view.bytes));
        admin.store.audit.record(&admin.actor, &event);
        Ok(view)
    }
}

fn parse(text: &str) -> Result<ImagePattern> {
    if text.starts_with("hosted:") {
        let what = "what was pushed to this box is not purged from the cache";
        let error = Error::new(Kind::Usage, what).about("image");
        return Err(error.remedy("delete it by its project's repositories in the REST API"));
    }
    ImagePattern::of_image(text).map_err(|error| error.about("image"))
}

fn names(inventory: &Inventory, selection: &Selection) -> Vec<String> {
    let images = selection.images.iter();
    let images = images.filter_map(|place| inventory.manifests.get(*place));
    let images = images.flat_map(|manifest| inventory.names(manifest));
    let tags = selection.tags.iter().filter_map(|(place, tag)| {
        let manifest = inventory.manifests.get(*place)?;
        let repository = inventory.repositories.get(manifest.repository)?;
        Some(format!("{}/{}:{tag}", repository.upstream, repository.name))
    });
    images.chain(tags).take(LISTED).collect()
}

/// How many other tags there are of the image's repository.
fn other_tags(inventory: &Inventory, pattern: &ImagePattern) -> u64 {
    let Some((name, _)) = pattern.as_str().rsplit_once(':') else {
        return 0;
    };
    let prefix = format!("{name}:");
    let names = inventory.manifests.iter();
    let names = names.filter(|manifest| !manifest.tags.is_empty());
    let names = names.flat_map(|manifest| inventory.names(manifest));
    let others = names.filter(|other| other.starts_with(&prefix) && !pattern.matches(other));
    others.count() as u64
}
