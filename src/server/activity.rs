//! What the server does at this moment, for `breakwater status`.

use super::Appliance;
use crate::admin::Activity;
use crate::error::Result;
use crate::time::Timestamp;

/// Those of the words of `X-Cache` that say that an answer was kept already.
const KEPT: [&str; 3] = ["hit", "revalidated", "stale"];

impl Appliance {
    pub(super) fn activity_now(&self) -> Result<Activity> {
        let arriving = self.proxy.in_flight();
        let mut activity = Activity {
            connections: self.observed.load().map_or(0, |load| load.connections),
            fetches: arriving.blobs,
            waiting_clients: arriving.clients,
            bans: self.authenticator.active_bans(Timestamp::now()),
            served: 0,
            served_from_cache: 0,
            served_bytes: 0,
            served_bytes_from_cache: 0,
        };
        for upstream in self.proxy.upstream_figures()? {
            for (word, answers, bytes) in upstream.counts.served() {
                let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
                add(&mut activity.served, answers);
                add(&mut activity.served_bytes, bytes);
                if KEPT.contains(&word) {
                    add(&mut activity.served_from_cache, answers);
                    add(&mut activity.served_bytes_from_cache, bytes);
                }
            }
        }
        Ok(activity)
    }
}
