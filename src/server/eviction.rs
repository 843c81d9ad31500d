//! What decides about images that go, beside the cache itself: limits, pins, and how the upstreams are.

use std::collections::HashMap;
use std::time::Duration;

use super::Appliance;
use crate::admin::limited_parts;
use crate::error::Result;
use crate::oci::RegistryHost;
use crate::store::reserve;
use crate::time::Timestamp;
use crate::upkeep::eviction::{Limits, World};
use crate::upstream::BreakerState;

impl Appliance {
    /// Lets go of images as the limits ask for it; waits before until a fill wants room, and for no longer than `period`.
    ///
    /// # Errors
    /// `Sql`, `Io`, `Busy`: the next round goes on.
    pub fn make_room(&self, period: Duration) -> Result<()> {
        let wanted = self.store.room.wait(period);
        let now = Timestamp::now();
        let round = self.limits().and_then(|limits| {
            self.in_world(now, |world| self.evictor.round(&limits, world, wanted))
        });
        if round.is_err() {
            self.store.room.answer(false);
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

    /// Runs `work` with what decides about images now.
    pub(super) fn in_world<T>(
        &self,
        now: Timestamp,
        work: impl FnOnce(&World<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut upstreams: HashMap<String, (bool, Option<Timestamp>)> = HashMap::new();
        for state in self.proxy.upstreams().states()? {
            let status = state.status;
            let is_away = !matches!(status.breaker, BreakerState::Closed | BreakerState::Slow);
            // Groups may have upstreams of the same name: one of them that is away counts for all.
            let (away, heard_at) = upstreams.entry(status.name).or_insert((false, Some(now)));
            *away |= is_away;
            *heard_at = (*heard_at).min(status.last_success_at);
        }
        let is_offline = self.is_offline();
        let is_away = |name: &RegistryHost| {
            is_offline || upstreams.get(name.as_str()).is_some_and(|(away, _)| *away)
        };
        // What no upstream is configured for any more is as good as unused.
        let heard_at = |name: &RegistryHost| {
            upstreams
                .get(name.as_str())
                .map_or(Some(now), |(_, heard_at)| *heard_at)
        };
        let pins = self.store.access.pins()?;
        work(&World {
            now,
            is_pinned: &|name| pins.hold(name),
            is_away: &is_away,
            heard_at: &heard_at,
        })
    }
}
