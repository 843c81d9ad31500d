//! What the server does at this moment, for `breakwater status` and `breakwater top`.

use super::Appliance;
use crate::admin::Activity;
use crate::time::Timestamp;

impl Appliance {
    pub(super) fn activity_now(&self) -> Activity {
        let arriving = self.proxy.in_flight();
        let sums = self.sums();
        Activity {
            connections: self.observed.load().map_or(0, |load| load.connections),
            fetches: arriving.blobs,
            waiting_clients: arriving.clients,
            bans: self.authenticator.active_bans(Timestamp::now()),
            served: sums.served,
            served_from_cache: sums.served_from_cache,
            served_bytes: sums.served_bytes,
            served_bytes_from_cache: sums.served_bytes_from_cache,
            pulls: self.observed.traffic.pulls(),
            sent_bytes: self.observed.traffic.sent_bytes(),
            received_bytes: sums.fetched_bytes,
            failures: self.observed.traffic.failures(),
        }
    }
}
