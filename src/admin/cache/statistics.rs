//! How much is cached: of which upstream, for which group, and how much of that only one of them needs.

use std::collections::HashMap;
use std::hash::Hash;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::limits::limited_parts;
use super::pushed::PushedView;
use crate::admin::{Admin, Operation};
use crate::error::Result;
use crate::store::{GroupId, Inventory, Scope, Totals};
use crate::time::Timestamp;

/// How much is kept, counted now: that takes seconds where a million blobs are kept.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CacheStatistics {}

/// How much is kept, as a running server remembers it where counting takes long.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RecallStatistics {}

/// How much is kept, and how much room there is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CacheStatistics", extend("additionalProperties" = false))]
pub struct CacheStatisticsView {
    /// When it was counted: on a large box some minutes ago, at most an hour
    pub as_of: Timestamp,
    #[serde(flatten)]
    pub totals: Totals,
    pub disk_free_bytes: u64,
    pub disk_bytes: u64,
    /// How many bytes may be cached; null: as many as `cache.min_free` leaves
    pub max_size: Option<u64>,
    /// How many bytes of the filesystem stay free
    pub min_free: u64,
    /// When images last went for want of room; null: never
    pub last_eviction_at: Option<Timestamp>,
    /// How long the last of them had not been pulled then
    pub eviction_age_seconds: Option<u64>,
    /// Bytes of files that more than one repository needs; null, as are the shares, while it is counted for the first time
    pub shared_bytes: Option<u64>,
    pub upstreams: Option<Vec<UpstreamShare>>,
    /// What each group has pulled
    pub groups: Option<Vec<GroupShare>>,
    /// What was pushed to this box: it is kept beside the cache
    pub pushed: Option<PushedView>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamShare {
    pub name: String,
    pub images: u64,
    /// Each file once
    pub bytes: u64,
    /// Bytes that no other upstream's images need
    pub exclusive_bytes: u64,
    /// How many bytes may be cached of it; null: no limit of its own
    pub max_size: Option<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupShare {
    pub group_id: GroupId,
    /// Null for a group that is gone
    pub group_path: Option<String>,
    pub images: u64,
    /// Each file once
    pub bytes: u64,
    /// Bytes that no other group's images need
    pub exclusive_bytes: u64,
    /// How many bytes may be cached of it; null: no limit of its own
    pub max_size: Option<u64>,
}

impl Operation for RecallStatistics {
    const NAME: &'static str = "cache.recall_statistics";
    type View = CacheStatisticsView;

    fn perform(self, admin: &Admin<'_>) -> Result<CacheStatisticsView> {
        let Some(server) = admin.server else {
            return CacheStatistics {}.perform(admin);
        };
        match server.statistics() {
            Some(view) => Ok(view),
            None => CacheStatisticsView::without_shares(admin),
        }
    }
}

impl CacheStatisticsView {
    /// What costs little to find out.
    fn without_shares(admin: &Admin<'_>) -> Result<Self> {
        let store = admin.store;
        let (disk_free_bytes, disk_bytes) = store.blobs.space()?;
        let limits = &admin.config.cache;
        let evicted = store.cache.last_eviction()?;
        Ok(Self {
            as_of: Timestamp::now(),
            totals: store.cache.totals()?,
            disk_free_bytes,
            disk_bytes,
            max_size: limits.max_size.limit(disk_bytes),
            min_free: limits.min_free.of(disk_bytes),
            last_eviction_at: evicted.map(|(at, _)| at),
            eviction_age_seconds: evicted.map(|(at, pulled_at)| at.since(pulled_at).as_secs()),
            shared_bytes: None,
            upstreams: None,
            groups: None,
            pushed: None,
        })
    }
}

impl Operation for CacheStatistics {
    const NAME: &'static str = "cache.statistics";
    type View = CacheStatisticsView;

    fn perform(self, admin: &Admin<'_>) -> Result<CacheStatisticsView> {
        let store = admin.store;
        let view = CacheStatisticsView::without_shares(admin)?;
        let inventory = store.content.inventory()?;
        let by_repository = shares(&inventory, |place| {
            let manifest = inventory.manifests.get(place)?;
            Some(vec![manifest.repository])
        });
        let everything: Vec<_> = (0..inventory.manifests.len()).collect();
        let exclusive = by_repository.values();
        let exclusive = exclusive.fold(0_u64, |sum, share| sum.saturating_add(share.exclusive));
        let by_upstream = shares(&inventory, |place| {
            let manifest = inventory.manifests.get(place)?;
            inventory.upstream(manifest).cloned().map(|host| vec![host])
        });
        let by_group = shares(&inventory, |place| {
            let manifest = inventory.manifests.get(place)?;
            let mut groups: Vec<_> = manifest.pulls.iter().map(|pulls| pulls.group).collect();
            groups.dedup();
            Some(groups)
        });
        let parts = limited_parts(store, admin.config, view.disk_bytes)?;
        let limit_of = |scope: &Scope| {
            let part = parts.iter().find(|(limited, _)| limited == scope);
            part.map(|(_, most)| *most)
        };
        let upstreams = by_upstream.into_iter();
        let upstreams = upstreams.map(|(host, share)| UpstreamShare {
            name: host.to_string(),
            images: share.images,
            bytes: share.bytes,
            exclusive_bytes: share.exclusive,
            max_size: limit_of(&Scope::Upstream(host)),
        });
        let mut upstreams: Vec<_> = upstreams.collect();
        upstreams.sort_by(|one, other| one.name.cmp(&other.name));
        let groups = by_group.into_iter().map(|(id, share)| {
            Ok(GroupShare {
                group_id: id,
                group_path: store.access.group(id)?.map(|group| group.path),
                images: share.images,
                bytes: share.bytes,
                exclusive_bytes: share.exclusive,
                max_size: limit_of(&Scope::Group(id)),
            })
        });
        let mut groups: Vec<_> = groups.collect::<Result<_>>()?;
        groups.sort_by_key(|share| share.group_id.0);
        Ok(CacheStatisticsView {
            shared_bytes: Some(inventory.bytes_of(&everything).saturating_sub(exclusive)),
            upstreams: Some(upstreams),
            groups: Some(groups),
            pushed: Some(PushedView::read(admin)?),
            ..view
        })
    }
}

#[derive(Default)]
struct Share {
    images: u64,
    bytes: u64,
    exclusive: u64,
}

/// What belongs to each owner, by the owners of each manifest.
fn shares<O: Clone + Eq + Hash>(
    inventory: &Inventory,
    owners_of: impl Fn(usize) -> Option<Vec<O>>,
) -> HashMap<O, Share> {
    let mut manifests: HashMap<O, Vec<usize>> = HashMap::new();
    for place in 0..inventory.manifests.len() {
        for owner in owners_of(place).unwrap_or_default() {
            manifests.entry(owner).or_default().push(place);
        }
    }
    // The owners of each file, as far as it matters: none, one, or more.
    let mut owners: Vec<Option<Option<usize>>> = vec![None; inventory.blobs.len()];
    let mut shares = Vec::new();
    for (number, (owner, manifests)) in manifests.into_iter().enumerate() {
        let with_parts = inventory.with_parts(manifests.iter().copied());
        for place in &with_parts {
            let manifest = inventory.manifests.get(*place);
            for blob in manifest.into_iter().flat_map(|manifest| &manifest.blobs) {
                if let Some(known) = owners.get_mut(*blob as usize) {
                    *known = match known {
                        None => Some(Some(number)),
                        Some(Some(one)) if *one == number => Some(Some(number)),
                        Some(_) => Some(None),
                    };
                }
            }
        }
        let share = Share {
            images: super::count_images(inventory, &manifests),
            bytes: inventory.bytes_of(&with_parts),
            exclusive: 0,
        };
        shares.push((owner, share));
    }
    for (blob, owner) in inventory.blobs.iter().zip(owners) {
        let share = owner.flatten().and_then(|number| shares.get_mut(number));
        if let Some((_, share)) = share {
            share.exclusive = share.exclusive.saturating_add(blob.size);
        }
    }
    shares.into_iter().collect()
}
