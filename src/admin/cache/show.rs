//! One image: what it consists of, what of that is shared, who pulled it, and why it is still here.

use std::collections::HashMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hosted::{self, Sharing, distinct_parts};
use super::kept;
use super::moment::Moment;
use super::referrers::{self, ReferrerView};
use super::{PARTS_SHOWN, TAGS_SHOWN};
use crate::admin::operations::recalled;
use crate::admin::{Admin, Operation};
use crate::context;
use crate::error::{Error, Kind, Result};
use crate::oci::{Digest, ImagePattern, Manifest, MediaType};
use crate::store::{Inventory, InventoryManifest, ManifestId, Store};
use crate::time::Timestamp;
use crate::upkeep::eviction::{Goal, Plan, Stays, explain, plan};

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ShowCachedImage {
    /// As for docker: alpine, alpine:3.20, quay.io/org/x@sha256:…; or hosted:PATH:TAG for a pushed one
    pub image: String,
    /// Leave out what takes a look at all that is cached: when it would go. Why it stays is told of pins and of upstreams that are away, and sizes of files that other images need too are found by their rows
    #[serde(default)]
    pub brief: bool,
    /// Of what takes a look at all that is cached: as it was worked out a while ago, see `as_of`; 503 while that is done for the first time
    #[serde(default)]
    pub recall: bool,
    /// Leave out of a pushed image who else needs its files: for a view that does not show that.
    #[serde(skip)]
    #[schemars(skip)]
    pub without_sharing: bool,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ImageDetails")]
#[serde(deny_unknown_fields)]
pub struct ImageDetails {
    /// When this was so
    pub as_of: Timestamp,
    /// Null for what was pushed
    pub upstream: Option<String>,
    pub repository: String,
    /// Null where it was asked for by digest
    pub tag: Option<String>,
    pub digest: String,
    pub media_type: String,
    /// All tags of this digest in its repository; the first 1,000
    pub tags: Vec<String>,
    /// Bytes of all that it consists of and that is here
    pub size: u64,
    /// Bytes that only it needs
    pub exclusive_bytes: u64,
    /// Manifests and blobs that it consists of and that are not here; of an index only platforms that were pulled count
    pub missing: u64,
    /// When its manifest came from the upstream, or was pushed
    pub fetched_at: Timestamp,
    /// Who pushed it
    pub pushed_by: Option<String>,
    /// When the upstream last said that the tag is this digest
    pub confirmed_at: Option<Timestamp>,
    pub last_pulled_at: Option<Timestamp>,
    /// Since when the upstream does not have it or denies it
    pub gone_at: Option<Timestamp>,
    /// Platforms of an index, config and layers of an image; the first 1,000
    pub parts: Vec<PartView>,
    /// Whether there are more; then `size` and `missing` may be of those alone
    pub more_parts: bool,
    /// Signatures, attestations and whatever else is attached to it and is here
    pub referrers: Vec<ReferrerView>,
    /// By group, who pulled it first at first
    pub pulls: Vec<PullsView>,
    /// The pins that keep it
    pub pins: Vec<String>,
    /// Why it would not be evicted now
    pub stays: Option<Stays>,
    /// What would be evicted before it
    pub before: Option<BeforeView>,
    /// When it goes for want of pulls, by `cache.unused_days`, if nobody pulls it
    pub unused_at: Option<Timestamp>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartView {
    pub digest: String,
    pub media_type: String,
    /// Of a manifest of an index, such as linux/arm64/v8
    pub platform: Option<String>,
    /// The manifest of the index that it belongs to
    pub of: Option<String>,
    /// Bytes; of a manifest those of its image that are here
    pub size: u64,
    pub is_cached: bool,
    /// How many other manifests need it
    pub shared_with: u64,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PullsView {
    /// Null for a group that is gone
    pub group_path: Option<String>,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub count: u64,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BeforeView {
    pub images: u64,
    pub bytes: u64,
}

impl Operation for ShowCachedImage {
    const NAME: &'static str = "cache.show";
    type View = ImageDetails;

    fn perform(self, admin: &Admin<'_>) -> Result<ImageDetails> {
        let store = admin.store;
        if let Some(image) = self.image.strip_prefix("hosted:") {
            let sharing = match self.without_sharing {
                true => Sharing::LeftOut,
                false => Sharing::Told,
            };
            return store.in_list_queue(|| hosted::show(admin, image, sharing));
        }
        let pattern = ImagePattern::of_image(&self.image)?;
        if pattern.is_open() {
            let what = format!("`{}` is a pattern, not an image", self.image);
            let error = Error::new(Kind::Usage, what).about("image");
            return Err(error.remedy(format!("see `breakwater cache list '{}'`", self.image)));
        }
        if self.brief
            && let Some(details) =
                store.in_list_queue(|| kept::show(admin, &self.image, &pattern))?
        {
            return Ok(details);
        }
        if let Some(server) = admin.server.filter(|_| self.recall) {
            return recalled(server, &self);
        }
        let moment = Moment::read(admin)?;
        let inventory = &moment.inventory;
        let is_it = |manifest: &InventoryManifest| {
            let names = inventory.all_names(manifest);
            names.into_iter().find(|name| pattern.matches(name))
        };
        let mut manifests = inventory.manifests.iter().enumerate();
        let found =
            manifests.find_map(|(place, manifest)| Some((place, manifest, is_it(manifest)?)));
        let (place, manifest, name) = found.ok_or_else(|| not_cached(&self.image, &pattern))?;
        details(admin, &moment, place, manifest, &name)
    }
}

pub(super) fn not_cached(asked: &str, image: &ImagePattern) -> Error {
    let part = image.as_str().rsplit_once(['@', ':']);
    let part = part.map_or("", |(name, _)| name);
    Error::new(Kind::NotFound, format!("`{asked}` is not cached"))
        .remedy(format!("see `breakwater cache list {part}`"))
}

fn details(
    admin: &Admin<'_>,
    moment: &Moment<'_>,
    place: usize,
    manifest: &InventoryManifest,
    name: &str,
) -> Result<ImageDetails> {
    let (inventory, cache) = (&moment.inventory, &admin.store.cache);
    let gone = || Error::new(Kind::NotFound, format!("{name} is being removed"));
    let repository = inventory
        .repositories
        .get(manifest.repository)
        .ok_or_else(gone)?;
    let tag = match name.contains('@') {
        true => None,
        false => name.rsplit_once(':').map(|(_, tag)| tag.to_owned()),
    };
    let record = cache
        .image_record(manifest.id, tag.as_deref())?
        .ok_or_else(gone)?;
    let (explained, plan) = moment.ask(Goal::Everything, |question| {
        (
            explain(inventory, question, place),
            plan(inventory, question),
        )
    });
    let explained = explained.ok_or_else(gone)?;
    let names = inventory.all_names(manifest);
    let pulls = pulls(admin, manifest.id)?;
    let store = admin.store;
    let parts = || parts(store, inventory, place, &record.media_type);
    let (parts, more_parts) = store.in_list_queue(parts)?;
    let pins = moment.world.pins().rows.iter();
    let pins = pins.filter(|pin| names.iter().any(|name| pin.pattern.matches(name)));
    Ok(ImageDetails {
        as_of: moment.world.now,
        upstream: Some(repository.upstream.to_string()),
        repository: repository.name.to_string(),
        digest: manifest.digest.to_string(),
        size: explained.size,
        exclusive_bytes: explained.exclusive,
        missing: cache.missing_parts(manifest.id)?,
        fetched_at: record.fetched_at,
        pushed_by: None,
        confirmed_at: Some(record.confirmed_at),
        last_pulled_at: pulls.iter().map(|pulls| pulls.last_at).max(),
        gone_at: record.gone_at,
        parts,
        more_parts,
        referrers: referrers::cached(admin.store, repository.id, &manifest.digest)?,
        tags: cache.tags_of(manifest.id, TAGS_SHOWN)?,
        pulls,
        pins: pins.map(|pin| pin.pattern.to_string()).collect(),
        stays: explained.stays,
        before: before(&plan, place),
        unused_at: unused_at(admin, explained.used_at, explained.stays),
        media_type: record.media_type,
        tag,
    })
}

/// By group, who pulled it first at first.
pub(super) fn pulls(admin: &Admin<'_>, manifest: ManifestId) -> Result<Vec<PullsView>> {
    let pulls = admin.store.cache.pulls_of(manifest)?.into_iter();
    let pulls = pulls.map(|pulls| {
        let group = admin.store.access.group(pulls.group)?;
        Ok(PullsView {
            group_path: group.map(|group| group.path),
            first_at: pulls.first_at,
            last_at: pulls.last_at,
            count: pulls.count,
        })
    });
    pulls.collect()
}

pub(super) fn unused_at(
    admin: &Admin<'_>,
    used_at: Timestamp,
    stays: Option<Stays>,
) -> Option<Timestamp> {
    let days = u64::from(admin.config.cache.unused_days);
    let stays = matches!(stays, Some(Stays::Pinned | Stays::Part));
    let unused = Duration::from_secs(days.saturating_mul(24 * 60 * 60));
    (days > 0 && !stays).then(|| used_at.plus(unused))
}

fn before(plan: &Plan, place: usize) -> Option<BeforeView> {
    let mut victims = plan.victims.iter();
    let turn = victims.position(|victim| victim.manifests.contains(&place))?;
    let first = plan.victims.get(..turn)?;
    Some(BeforeView {
        images: turn as u64,
        bytes: first
            .iter()
            .fold(0, |sum, victim| sum.saturating_add(victim.frees)),
    })
}

/// The bytes of a manifest that is here and whole.
pub(super) fn read(store: &Store, digest: &Digest) -> Result<Option<Vec<u8>>> {
    let Some(blob) = store.blobs.open(digest)? else {
        return Ok(None);
    };
    let content = store.blobs.intact(&blob, digest)?;
    let bytes = content.map(|content| Ok(content.read()?.into_owned()));
    bytes.transpose()
}

/// What a manifest says that it consists of, and for an index what its children that are here do; and whether there is
/// more.
fn parts(
    store: &Store,
    inventory: &Inventory,
    place: usize,
    media_type: &str,
) -> Result<(Vec<PartView>, bool)> {
    let shares = Shares::of(inventory, place);
    let mut parts = Vec::new();
    let own = (place, MediaType::parse(media_type), None);
    let mut are_more = shares.add_parts(&mut parts, store, own)?;
    let children = parts.iter().filter_map(|part| {
        let child = shares.manifests.get(&part.digest)?;
        (part.is_cached && part.of.is_none()).then(|| (part.digest.clone(), *child))
    });
    let children: Vec<_> = children.collect();
    for (digest, child) in children {
        context::check("list the parts of an image")?;
        if parts.len() >= PARTS_SHOWN {
            are_more = true;
            break;
        }
        are_more |= shares.add_parts(&mut parts, store, (child, None, Some(&digest)))?;
    }
    Ok((parts, are_more))
}

/// What is here of an image, and who else needs it.
struct Shares<'a> {
    inventory: &'a Inventory,
    /// The manifests of its repository that belong to it.
    manifests: HashMap<String, usize>,
    /// How many manifests that do not belong to it need each of its blobs.
    others: HashMap<u32, u64>,
}

impl<'a> Shares<'a> {
    fn of(inventory: &'a Inventory, place: usize) -> Self {
        let own = inventory.with_parts([place]);
        let of = |place: &usize| inventory.manifests.get(*place);
        let blobs = own
            .iter()
            .filter_map(of)
            .flat_map(|manifest| manifest.blobs.iter());
        let mut others: HashMap<u32, u64> = blobs.map(|blob| (*blob, 0)).collect();
        for (place, manifest) in inventory.manifests.iter().enumerate() {
            if own.contains(&place) {
                continue;
            }
            for blob in &manifest.blobs {
                if let Some(count) = others.get_mut(blob) {
                    *count = count.saturating_add(1);
                }
            }
        }
        let manifests = own.iter();
        let manifests = manifests.filter_map(|place| Some((of(place)?.digest.to_string(), *place)));
        Self {
            inventory,
            manifests: manifests.collect(),
            others,
        }
    }

    /// Adds those of one manifest, each digest once, for as long as there is place; whether there are more.
    fn add_parts(
        &self,
        parts: &mut Vec<PartView>,
        store: &Store,
        (place, media_type, of): (usize, Option<MediaType>, Option<&str>),
    ) -> Result<bool> {
        let Some(manifest) = self.inventory.manifests.get(place) else {
            return Ok(false);
        };
        let Some(bytes) = read(store, &manifest.digest)? else {
            return Ok(false);
        };
        let parsed = Manifest::parse(&bytes, media_type)?;
        let platforms: HashMap<_, _> = Manifest::platforms(&bytes).into_iter().collect();
        let digests = self.blobs_of(store, manifest)?;
        let mut descriptors = distinct_parts(&parsed);
        let place_left = PARTS_SHOWN.saturating_sub(parts.len());
        parts.extend(descriptors.by_ref().take(place_left).map(|descriptor| {
            let blob = digests.get(&descriptor.digest);
            let child = self.manifests.get(descriptor.digest.as_str());
            let child = child.filter(|_| parsed.media_type.is_index());
            let is_cached = match parsed.media_type.is_index() {
                true => child.is_some(),
                false => blob.is_some(),
            };
            PartView {
                digest: descriptor.digest.to_string(),
                media_type: descriptor.media_type.clone(),
                platform: platforms.get(&descriptor.digest).cloned(),
                of: of.map(str::to_owned),
                size: match child {
                    Some(child) => self
                        .inventory
                        .bytes_of(&self.inventory.with_parts([*child])),
                    None => descriptor.size,
                },
                is_cached,
                shared_with: blob
                    .and_then(|blob| self.others.get(blob))
                    .copied()
                    .unwrap_or_default(),
            }
        }));
        Ok(descriptors.next().is_some())
    }

    /// The places of what a manifest needs, by digest.
    fn blobs_of(
        &self,
        store: &Store,
        manifest: &InventoryManifest,
    ) -> Result<HashMap<Digest, u32>> {
        let places = manifest.blobs.iter().map(|place| {
            let blob = self.inventory.blobs.get(*place as usize);
            let digest = blob
                .map(|blob| store.cache.blob_digest(blob.id))
                .transpose()?;
            Ok((digest.flatten(), *place))
        });
        let places: Vec<_> = places.collect::<Result<_>>()?;
        let places = places
            .into_iter()
            .filter_map(|(digest, place)| Some((digest?, place)));
        Ok(places.collect())
    }
}
