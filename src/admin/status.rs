//! How the box is, on one screen.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::offline::{OfflineView, ShowOffline};
use super::{Admin, Operation};
use crate::error::Result;
use crate::proxy::UpstreamState;
use crate::store::{EventFilter, HostedTotals, Totals};
use crate::time::Timestamp;

/// Where no server runs, what the databases tell.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ShowStatus {}

/// How the box is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Status")]
#[serde(deny_unknown_fields)]
pub struct StatusView {
    pub version: String,
    pub offline: OfflineView,
    /// Null where no server runs.
    pub activity: Option<Activity>,
    /// Empty where no server runs.
    pub upstreams: Vec<UpstreamState>,
    pub cached: Totals,
    pub pushed: HostedTotals,
    pub disk: DiskView,
    /// When somebody last wrote a backup with `breakwater backup`.
    pub last_backup_at: Option<Timestamp>,
    /// When the databases were last copied below the data directory, as every night.
    pub rows_saved_at: Option<Timestamp>,
    pub scrub: Option<ScrubView>,
}

/// What a running server does.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
pub struct Activity {
    pub connections: usize,
    /// Blobs that arrive from upstreams.
    pub fetches: usize,
    /// Clients that are served from them.
    pub waiting_clients: usize,
    /// Addresses and users that may not log in.
    pub bans: usize,
    /// Manifests and blobs that went to clients since the start.
    pub served: u64,
    /// Those of them that were kept already.
    pub served_from_cache: u64,
    pub served_bytes: u64,
    pub served_bytes_from_cache: u64,
    /// Manifests, cached and pushed, that clients have asked for and got since the start.
    pub pulls: u64,
    /// All bytes of answers, whatever was asked for.
    pub sent_bytes: u64,
    /// Bytes that came from upstreams.
    pub received_bytes: u64,
    /// Answers with a status of 500 and more.
    pub failures: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiskView {
    pub free_bytes: u64,
    pub bytes: u64,
    /// How many bytes may be cached; null: as many as `min_free` leaves.
    pub max_size: Option<u64>,
    pub min_free: u64,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScrubView {
    /// When every kept byte had last been read again.
    pub ended_at: Option<Timestamp>,
    /// When the round that goes on began.
    pub begun_at: Timestamp,
    /// Files that are damaged or lost.
    pub damaged: u64,
}

impl DiskView {
    pub(super) fn of(admin: &Admin<'_>) -> Result<Self> {
        let (free_bytes, bytes) = admin.store.blobs.space()?;
        let cache = &admin.config.cache;
        Ok(Self {
            free_bytes,
            bytes,
            max_size: cache.max_size.limit(bytes),
            min_free: cache.min_free.of(bytes),
        })
    }
}

impl Operation for ShowStatus {
    const NAME: &'static str = "status.show";
    type View = StatusView;

    fn perform(self, admin: &Admin<'_>) -> Result<StatusView> {
        let store = admin.store;
        let upstreams = admin.server.map(|server| server.upstreams()).transpose()?;
        let activity = admin.server.map(|server| server.activity());
        let backups = EventFilter {
            kind: Some("database.backed_up".to_owned()),
            limit: Some(1),
            ..EventFilter::default()
        };
        let damaged = store.cache.repairs()?.len() as u64;
        Ok(StatusView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            offline: ShowOffline {}.perform(admin)?,
            activity,
            upstreams: upstreams.unwrap_or_default(),
            cached: store.cache.totals()?,
            pushed: store.registry.totals()?,
            disk: DiskView::of(admin)?,
            last_backup_at: store.audit.events(&backups)?.pop().map(|event| event.time),
            rows_saved_at: store.rows_saved_at(),
            scrub: store.cache.scrub_place()?.map(|place| ScrubView {
                ended_at: place.ended_at,
                begun_at: place.begun_at,
                damaged,
            }),
        })
    }
}
