//! What operations ask of the running server.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::Value;
use serde_json::value::RawValue;

use super::Appliance;
use crate::admin::{
    Activity, CacheStatisticsView, FindingsView, RefusedNetworkView, RunningServer, TroubleView,
};
use crate::auth::bans::{Ban, FailureKey, shown};
use crate::auth::keys::Keys;
use crate::error::Result;
use crate::proxy::{Proxy, UpstreamState};
use crate::store::{ImageSizes, Sums};
use crate::time::Timestamp;
use crate::upkeep::retention::Retention;

impl RunningServer for Appliance {
    fn keys(&self) -> &Keys {
        self.authenticator.jwts().keys()
    }

    fn is_offline(&self) -> bool {
        self.is_offline()
    }

    fn set_offline(&self, offline: bool) {
        if self.offline.swap(offline, Ordering::SeqCst) != offline {
            let word = if offline {
                "offline: no connection leaves this box"
            } else {
                "online again"
            };
            tracing::warn!("switched by command: {word}");
        }
    }

    fn bans(&self) -> Vec<Ban> {
        self.authenticator.list_bans(Timestamp::now())
    }

    fn lift_ban(&self, named: &str) -> Option<FailureKey> {
        let lifted = self.authenticator.lift_ban(named, Timestamp::now());
        match &lifted {
            Some(FailureKey::Address(network)) => {
                tracing::warn!(
                    "a ban is lifted: logins from {} are tried again",
                    shown(network)
                );
            }
            Some(FailureKey::Account(_)) => {
                tracing::warn!("a ban is lifted: a user's password is tried again");
            }
            None => {}
        }
        lifted
    }

    fn upstreams(&self) -> Result<Vec<UpstreamState>> {
        self.proxy.upstreams().states()
    }

    fn proxy(&self) -> &Arc<Proxy> {
        &self.proxy
    }

    fn retention(&self) -> &Retention {
        &self.retention
    }

    fn refused_networks(&self) -> Vec<RefusedNetworkView> {
        self.refused_mirror.networks(Timestamp::now())
    }

    fn refused_image(&self, first: &str) -> Option<String> {
        self.refused_mirror.image(first, Timestamp::now())
    }

    fn activity(&self) -> Activity {
        self.activity_now()
    }

    fn hours_until(&self, from: Timestamp, now: Timestamp) -> Result<Vec<(Timestamp, Sums)>> {
        self.hours_until(from, now)
    }

    fn statistics(&self) -> Option<CacheStatisticsView> {
        self.recall_statistics()
    }

    fn image_sizes(&self) -> Result<ImageSizes> {
        self.recall_image_sizes()
    }

    fn preview(&self, name: &'static str, request: Value) -> Result<Arc<RawValue>> {
        self.recall_preview(name, request)
    }

    fn forget_previews(&self) {
        self.recalled.forget_previews();
    }

    fn findings(&self) -> Option<FindingsView> {
        self.recall_findings()
    }

    fn troubles(&self) -> Vec<TroubleView> {
        self.troubles.newest()
    }
}
