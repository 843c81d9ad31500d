//! Purging images of the cache, for the box's administrator.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::evict::LISTED;
use crate::admin::operations::recalled;
use crate::admin::{Admin, Named, Operation};
use crate::error::{Error, Kind, Result};
use crate::oci::ImagePattern;
use crate::store::{Detail, Event, EventKind, Group, Inventory, Pins};
use crate::time::Timestamp;
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
    /// With `dry_run`: as it was worked out a while ago, see `as_of`; 503 while that is done for the first time
    #[arg(skip)]
    #[serde(default)]
    pub recall: bool,
}

/// What went, or would go.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Purge")]
#[serde(deny_unknown_fields)]
pub struct PurgeView {
    pub dry_run: bool,
    /// When it was worked out
    pub as_of: Timestamp,
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
        let asked = Asked::of(&self, admin)?;
        if self.dry_run {
            return match admin.server.filter(|_| self.recall) {
                Some(server) => recalled(server, &self),
                None => asked.unless_nothing(asked.plan(admin, self.pinned)?.view),
            };
        }
        let store = admin.store;
        let planned = asked.plan(admin, self.pinned)?;
        let mut view = asked.unless_nothing(planned.view)?;
        view.dry_run = false;
        let purged = purge(
            store,
            &planned.inventory,
            &asked.purge(),
            &planned.selection,
        );
        if let Some(server) = admin.server {
            server.forget_previews();
        }
        let purged = purged?;
        view.busy = view.images.saturating_sub(purged.images);
        (view.images, view.bytes) = (purged.images, purged.bytes);
        let subject = match (&asked.pattern, &asked.group) {
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
        store.audit.record(&admin.actor, &event);
        Ok(view)
    }
}

/// What somebody asks to be purged: a pattern, what a group alone has pulled, or everything.
struct Asked {
    pattern: Option<ImagePattern>,
    group: Option<Group>,
}

struct Planned {
    inventory: Inventory,
    selection: Selection,
    view: PurgeView,
}

impl Asked {
    fn of(request: &PurgeImages, admin: &Admin<'_>) -> Result<Self> {
        let group = request.group.clone();
        let group = group.map(|path| admin.group(&Named::Text(path)));
        let asked = Self {
            group: group.transpose()?,
            pattern: request.image.as_deref().map(parse).transpose()?,
        };
        match (&asked.pattern, &asked.group, request.all) {
            (Some(_), None, false) | (None, Some(_), false) | (None, None, true) => Ok(asked),
            _ => {
                let what = "name an image or a pattern, or a group, or all: one of them";
                Err(Error::new(Kind::Usage, what))
            }
        }
    }

    fn purge(&self) -> Purge<'_> {
        match (&self.pattern, &self.group) {
            (Some(pattern), _) => Purge::Images(pattern),
            (None, Some(group)) => Purge::PulledBy(group.id, &|_| true),
            (None, None) => Purge::All,
        }
    }

    fn plan(&self, admin: &Admin<'_>, with_pinned: bool) -> Result<Planned> {
        let (store, as_of) = (admin.store, Timestamp::now());
        store.cache.write_notes()?;
        let inventory = store.content.inventory()?;
        let one = self.pattern.as_ref().filter(|pattern| !pattern.is_open());
        let pins = match with_pinned || one.is_some() {
            true => Pins::default(),
            false => store.access.pins()?,
        };
        let selection = select(&inventory, &self.purge(), &pins);
        let view = PurgeView {
            dry_run: true,
            as_of,
            images: selection.images.len() as u64,
            bytes: selection.frees,
            shared_bytes: selection.shared,
            tags: selection.tags.len() as u64,
            pinned: selection.pinned,
            busy: 0,
            names: names(&inventory, &selection),
            other_tags: one.map_or(0, |pattern| other_tags(&inventory, pattern)),
        };
        Ok(Planned {
            inventory,
            selection,
            view,
        })
    }

    /// # Errors
    /// `NotFound` where nothing is called as the pattern says.
    fn unless_nothing(&self, view: PurgeView) -> Result<PurgeView> {
        let is_nothing = view.images == 0 && view.tags == 0 && view.pinned == 0;
        match self.pattern.as_ref().filter(|_| is_nothing) {
            None => Ok(view),
            Some(pattern) => {
                let what = format!("nothing is cached that is called {pattern}");
                Err(Error::new(Kind::NotFound, what).remedy("see `breakwater cache list`"))
            }
        }
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
