//! What a running server does at this moment. It is asked for every second, so that what is answered is in memory, its lists
//! have bounded lengths, and no table is read for it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::status::{Activity, DiskView};
use super::{Admin, Operation};
use crate::error::{Error, Kind, Result};
use crate::proxy::{Arriving, UpstreamState};
use crate::time::Timestamp;
use crate::upstream::BreakerState;

/// Fetches, and upstreams, that are shown.
const MOST: usize = 20;

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ShowActivity {}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ActivityView {
    pub at: Timestamp,
    pub offline: bool,
    #[serde(flatten)]
    pub activity: Activity,
    /// Blobs that arrive, the first begun first; no more than twenty.
    pub arriving: Vec<ArrivingView>,
    /// Those in trouble first; no more than twenty.
    pub upstreams: Vec<UpstreamState>,
    pub upstreams_in_all: usize,
    /// The last requests that were refused or failed, the newest first.
    pub troubles: Vec<TroubleView>,
    pub disk: DiskView,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ArrivingView {
    pub upstream: String,
    pub repository: String,
    pub digest: String,
    pub received_bytes: u64,
    /// Null until the upstream has said it.
    pub bytes: Option<u64>,
    pub clients: usize,
    /// Whether it will be kept.
    pub is_kept: bool,
    pub seconds: u64,
}

/// A request that was refused or failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TroubleView {
    /// When it last came.
    pub at: Timestamp,
    /// How often it came while it was among the last.
    pub times: u64,
    pub status: u16,
    pub path: String,
    pub address: String,
    pub why: Option<String>,
}

impl TroubleView {
    /// Whether it differs in nothing but when, how often, and the reason, which may count seconds.
    pub fn is_same(&self, other: &Self) -> bool {
        self.status == other.status && self.path == other.path && self.address == other.address
    }
}

impl From<Arriving> for ArrivingView {
    fn from(arriving: Arriving) -> Self {
        Self {
            upstream: arriving.upstream,
            repository: arriving.repository,
            digest: arriving.digest,
            received_bytes: arriving.received,
            bytes: arriving.total,
            clients: arriving.clients,
            is_kept: arriving.is_kept,
            seconds: arriving.age.as_secs(),
        }
    }
}

impl ShowActivity {
    pub fn without_server() -> Error {
        let what = "no server runs here, and so nothing is going on";
        Error::new(Kind::Conflict, what).remedy(
            "start it, by `systemctl start breakwater` or `breakwater serve`; `breakwater status` shows what the databases tell",
        )
    }
}

impl Operation for ShowActivity {
    const NAME: &'static str = "activity.show";
    type View = ActivityView;

    fn perform(self, admin: &Admin<'_>) -> Result<ActivityView> {
        let server = admin.server.ok_or_else(Self::without_server)?;
        let mut upstreams = server.upstreams()?;
        let upstreams_in_all = upstreams.len();
        upstreams.sort_by_key(|upstream| upstream.status.breaker == BreakerState::Closed);
        upstreams.truncate(MOST);
        let arriving = server.proxy().arriving(MOST);
        Ok(ActivityView {
            at: Timestamp::now(),
            offline: server.is_offline(),
            activity: server.activity(),
            arriving: arriving.into_iter().map(ArrivingView::from).collect(),
            upstreams,
            upstreams_in_all,
            troubles: server.troubles(),
            disk: DiskView::of(admin)?,
        })
    }
}
