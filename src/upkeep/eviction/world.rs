//! What decides about images beside the cache itself: pins, and how the upstreams are.

use std::collections::HashMap;

use super::plan::{Goal, Question};
use crate::error::Result;
use crate::oci::RegistryHost;
use crate::store::{Pins, Scope, Store};
use crate::time::Timestamp;

pub struct World {
    pub now: Timestamp,
    pins: Pins,
    is_offline: bool,
    upstreams: HashMap<String, UpstreamCondition>,
}

/// How an upstream is, as far as a running server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamCondition {
    /// Whether it does not answer, or cannot be asked.
    pub is_away: bool,
    /// When it answered last.
    pub heard_at: Option<Timestamp>,
}

impl World {
    /// `upstreams` are by name; groups may have some of the same name, and one that is away counts for all.
    ///
    /// # Errors
    /// `Sql`.
    pub fn new(
        store: &Store,
        now: Timestamp,
        is_offline: bool,
        upstreams: impl IntoIterator<Item = (String, UpstreamCondition)>,
    ) -> Result<Self> {
        let mut by_name: HashMap<String, UpstreamCondition> = HashMap::new();
        for (name, condition) in upstreams {
            let known = by_name.entry(name).or_insert(condition);
            known.is_away |= condition.is_away;
            known.heard_at = known.heard_at.min(condition.heard_at);
        }
        Ok(Self {
            now,
            pins: store.access.pins()?,
            is_offline,
            upstreams: by_name,
        })
    }

    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Whether an upstream does not answer, or may not be asked.
    pub fn is_away(&self, name: &RegistryHost) -> bool {
        let condition = self.upstreams.get(name.as_str());
        self.is_offline || condition.is_some_and(|condition| condition.is_away)
    }

    /// When an upstream answered last. What no upstream is configured for any more is as good as unused.
    pub(super) fn heard_at(&self, name: &RegistryHost) -> Option<Timestamp> {
        let condition = self.upstreams.get(name.as_str());
        condition.map_or(Some(self.now), |condition| condition.heard_at)
    }

    /// Asks `work` what goes of `scope` for `goal`, as things are in this world.
    pub fn ask<T>(
        &self,
        store: &Store,
        scope: Scope,
        goal: Goal,
        work: impl FnOnce(&Question<'_>) -> T,
    ) -> T {
        work(&Question {
            now: self.now,
            scope,
            goal,
            is_pinned: &|name| self.pins.hold(name) || store.held.holds(name),
            filled: store.room.filled(),
            is_away: &|name| self.is_away(name),
            is_hard: false,
        })
    }
}
