//! All that is cached and what decides about it, as of one moment.

use crate::admin::Admin;
use crate::error::Result;
use crate::proxy::UpstreamState;
use crate::store::{Inventory, Scope, Store};
use crate::time::Timestamp;
use crate::upkeep::eviction::{Goal, Question, UpstreamCondition, World};
use crate::upstream::BreakerState;

pub(super) struct Moment<'a> {
    store: &'a Store,
    pub(super) inventory: Inventory,
    pub(super) world: World,
}

impl<'a> Moment<'a> {
    pub(super) fn read(admin: &Admin<'a>) -> Result<Self> {
        let store = admin.store;
        // Pulls are written in batches: one that is not written yet would not count.
        store.cache.write_notes()?;
        Ok(Self {
            store,
            world: world_of(admin)?,
            inventory: store.content.inventory()?,
        })
    }

    /// Asks what goes until the goal is reached.
    pub(super) fn ask<T>(&self, goal: Goal, work: impl FnOnce(&Question<'_>) -> T) -> T {
        self.world.ask(self.store, Scope::All, goal, work)
    }
}

pub(super) fn world_of(admin: &Admin<'_>) -> Result<World> {
    let store = admin.store;
    let is_offline = match admin.server {
        Some(server) => server.is_offline(),
        None => admin.config.offline || store.is_offline()?,
    };
    let states = admin.server.map(|server| server.upstreams()).transpose()?;
    let states = states.unwrap_or_default();
    world(store, Timestamp::now(), is_offline, states)
}

/// What decides about images beside the cache itself. Without a running server nothing is known of upstreams, and they
/// count as if they answered.
///
/// # Errors
/// `Sql`.
pub fn world(
    store: &Store,
    now: Timestamp,
    is_offline: bool,
    upstreams: Vec<UpstreamState>,
) -> Result<World> {
    let conditions = upstreams.into_iter().map(|state| {
        let status = state.status;
        let condition = UpstreamCondition {
            is_away: !matches!(status.breaker, BreakerState::Closed | BreakerState::Slow),
            heard_at: status.last_success_at,
        };
        (status.name, condition)
    });
    World::new(store, now, is_offline, conditions)
}
