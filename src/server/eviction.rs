//! Making room in the cache, by the limits that were configured.

use std::time::Duration;

use super::Appliance;
use crate::admin::{limited_parts, world};
use crate::error::Result;
use crate::store::{Asked, reserve};
use crate::time::Timestamp;
use crate::upkeep::eviction::Limits;

impl Appliance {
    /// Lets go of images as the limits ask for it; waits before until a fill wants room, and for no longer than `period`.
    ///
    /// # Errors
    /// `Sql`, `Io`, `Busy`: the next round goes on.
    pub fn make_room(&self, period: Duration) -> Result<()> {
        let asked = self.store.room.wait(period);
        let round = self.round(&asked);
        if round.is_err() {
            for limit in asked.keys() {
                self.store.room.answer(limit, false);
            }
        }
        round
    }

    fn round(&self, asked: &Asked) -> Result<()> {
        let upstreams = self.proxy.upstreams().states()?;
        let world = world(&self.store, Timestamp::now(), self.is_offline(), upstreams)?;
        let before = self.evictor.counters().evicted_bytes();
        let round = self.evictor.round(&self.limits()?, &world, asked);
        if round.is_err() || self.evictor.counters().evicted_bytes() != before {
            self.recalled.forget_finished_previews();
        }
        round
    }

    /// What was configured, and what groups and upstreams may take.
    pub(super) fn limits(&self) -> Result<Limits> {
        let cache = &self.config.cache;
        let (_, filesystem) = self.store.blobs.space()?;
        Ok(Limits {
            max_size: cache.max_size.limit(filesystem),
            // Below the reserve nothing is kept any more: so room is made before.
            min_free: cache.min_free.of(filesystem).max(reserve(filesystem)),
            unused_days: cache.unused_days,
            parts: limited_parts(&self.store, &self.config, filesystem)?,
        })
    }
}
