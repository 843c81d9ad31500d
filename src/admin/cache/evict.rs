//! Evicting what is worth least, when somebody asks for it; and saying what would go.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::moment::Moment;
use crate::admin::operations::recalled;
use crate::admin::{Admin, Operation};
use crate::config::Size;
use crate::error::{Error, Kind, Result, excerpt};
use crate::store::{Inventory, Scope};
use crate::time::Timestamp;
use crate::upkeep::eviction::{self, Goal, Plan, Stays, explain_all, plan};

/// So many images are listed.
pub(super) const LISTED: usize = 1_000;
/// So many tags of each.
const NAMES: usize = 20;

#[derive(Debug, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct EvictImages {
    /// How much may stay cached: 50GB, 200GiB, 0; as much as the configuration allows without it
    #[arg(long, value_name = "SIZE")]
    pub to: Option<String>,
    /// Remove nothing, only show what would go next
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
#[schemars(rename = "Eviction")]
#[serde(deny_unknown_fields)]
pub struct EvictionView {
    pub dry_run: bool,
    /// When it was worked out
    pub as_of: Timestamp,
    /// Bytes that were cached before
    pub cached_bytes: u64,
    pub images: u64,
    /// Bytes that their going frees
    pub bytes: u64,
    /// Whether no more is cached than was asked for
    pub is_enough: bool,
    /// Of a dry run: the first 1,000 that would go, in that order
    pub victims: Vec<VictimView>,
    /// What stays whatever is asked for, and why
    pub stays: Vec<StaysView>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VictimView {
    /// HOST/NAME:TAG of its tags, the first 20 of them, or HOST/NAME@DIGEST
    pub names: Vec<String>,
    /// How many tags it has beside these
    pub more_names: u64,
    /// Bytes that its going frees, after what goes before it
    pub bytes: u64,
    /// When it was last pulled or fetched
    pub used_at: Timestamp,
    /// Whether the upstream does not have it any more
    pub is_gone: bool,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StaysView {
    pub why: Stays,
    pub images: u64,
    pub bytes: u64,
}

impl Operation for EvictImages {
    const NAME: &'static str = "cache.evict";
    type View = EvictionView;
    const TAKES_LONG: bool = true;

    fn perform(self, admin: &Admin<'_>) -> Result<EvictionView> {
        let to = self.to.as_deref().map(parse_size).transpose()?;
        if let Some(server) = admin.server.filter(|_| self.dry_run && self.recall) {
            return recalled(server, &self);
        }
        let as_of = Timestamp::now();
        let moment = Moment::read(admin)?;
        let store = admin.store;
        let cached_bytes = store.cache.used()?;
        let to = match to {
            Some(to) => to,
            None => allowed(admin, cached_bytes)?,
        };
        let too_much = cached_bytes.saturating_sub(to);
        let inventory = &moment.inventory;
        let (plan, stays) = moment.ask(Goal::Bytes(too_much), |question| {
            let stays = explain_all(inventory, question).into_iter();
            let stays = stays.map(|explained| explained.stays).collect::<Vec<_>>();
            (plan(inventory, question), stays)
        });
        let mut view = EvictionView {
            dry_run: self.dry_run,
            as_of,
            cached_bytes,
            images: plan.victims.len() as u64,
            bytes: plan.frees,
            is_enough: plan.is_enough,
            victims: Vec::new(),
            stays: staying(inventory, &stays),
        };
        if self.dry_run {
            view.victims = victims(inventory, &plan);
            return Ok(view);
        }
        let is_enough = |evicted: &eviction::Evicted| evicted.bytes >= too_much;
        let evicted = eviction::evict(store, inventory, &plan, &Scope::All, false, is_enough);
        if let Some(server) = admin.server {
            server.forget_previews();
        }
        let evicted = evicted?;
        tracing::info!(
            to,
            images = evicted.images,
            bytes = evicted.bytes,
            "evicted, as somebody asked"
        );
        if evicted.images > 0 {
            let event = eviction::event("asked", &evicted);
            store.audit.record(&admin.actor, &event);
        }
        view.is_enough = store.cache.used()? <= to;
        (view.images, view.bytes) = (evicted.images, evicted.bytes);
        Ok(view)
    }
}

/// How much may be cached by `cache.max_size` and `cache.min_free`.
fn allowed(admin: &Admin<'_>, cached_bytes: u64) -> Result<u64> {
    let cache = &admin.config.cache;
    let (free, filesystem) = admin.store.blobs.space()?;
    let missing = cache.min_free.of(filesystem).saturating_sub(free);
    let allowed = cached_bytes.saturating_sub(missing);
    Ok(match cache.max_size.of(filesystem) {
        0 => allowed,
        max_size => allowed.min(max_size),
    })
}

fn parse_size(text: &str) -> Result<u64> {
    match Size::parse(text) {
        Ok(Size::Bytes(bytes)) => Ok(bytes),
        _ => {
            let what = format!("`{}` is no size", excerpt(text));
            let error = Error::new(Kind::Usage, what).about("to");
            Err(error.remedy("write 50GB, 200GiB, or 0"))
        }
    }
}

fn victims(inventory: &Inventory, plan: &Plan) -> Vec<VictimView> {
    let victims = plan.victims.iter().take(LISTED).filter_map(|victim| {
        let image = inventory.manifests.get(*victim.manifests.first()?)?;
        let mut names = inventory.names(image);
        let more_names = names.len().saturating_sub(NAMES) as u64;
        names.truncate(NAMES);
        Some(VictimView {
            names,
            more_names,
            bytes: victim.frees,
            used_at: victim.pulled_at,
            is_gone: victim.is_gone,
        })
    });
    victims.collect()
}

/// How much stays, by reason. Parts stay with what they belong to.
fn staying(inventory: &Inventory, stays: &[Option<Stays>]) -> Vec<StaysView> {
    let reasons = [Stays::Pinned, Stays::Busy, Stays::Away, Stays::Gone];
    let views = reasons.into_iter().filter_map(|why| {
        let images = stays.iter().enumerate();
        let images = images.filter(|(_, stays)| **stays == Some(why));
        let images: Vec<usize> = images.map(|(place, _)| place).collect();
        (!images.is_empty()).then(|| StaysView {
            why,
            images: super::count_images(inventory, &images),
            bytes: inventory.bytes_of(&inventory.with_parts(images)),
        })
    });
    views.collect()
}
