//! All that is cached and what decides about it, as of one moment.

use std::collections::HashSet;

use crate::admin::Admin;
use crate::error::Result;
use crate::oci::RegistryHost;
use crate::store::{Inventory, Pins, RepositoryId, Scope};
use crate::time::Timestamp;
use crate::upkeep::eviction::{Goal, Question};
use crate::upstream::BreakerState;

pub(super) struct Moment {
    pub(super) inventory: Inventory,
    pub(super) pins: Pins,
    pub(super) now: Timestamp,
    is_offline: bool,
    filled: HashSet<RepositoryId>,
    /// The names of upstreams that do not answer, as far as a running server knows.
    away: HashSet<String>,
}

impl Moment {
    pub(super) fn read(admin: &Admin<'_>) -> Result<Self> {
        // Pulls are written in batches: one that is not written yet would not count.
        admin.store.cache.write_notes()?;
        let is_offline = match admin.server {
            Some(server) => server.is_offline(),
            None => admin.config.offline || admin.store.is_offline()?,
        };
        let states = admin.server.map(|server| server.upstreams()).transpose()?;
        let states = states.into_iter().flatten().map(|state| state.status);
        let away = states
            .filter(|status| !matches!(status.breaker, BreakerState::Closed | BreakerState::Slow));
        Ok(Self {
            away: away.map(|status| status.name).collect(),
            is_offline,
            filled: admin.store.room.filled(),
            pins: admin.store.access.pins()?,
            now: Timestamp::now(),
            inventory: admin.store.content.inventory()?,
        })
    }

    /// Asks what goes until the goal is reached.
    pub(super) fn ask<T>(&self, goal: Goal, work: impl FnOnce(&Question<'_>) -> T) -> T {
        work(&Question {
            now: self.now,
            scope: Scope::All,
            goal,
            is_pinned: &|name: &str| self.pins.hold(name),
            filled: self.filled.clone(),
            is_away: &|upstream: &RegistryHost| {
                self.is_offline || self.away.contains(upstream.as_str())
            },
            is_hard: false,
        })
    }
}
