//! The upstreams of rows as they were last read, with the client of each, and the groups that they are looked up by.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::oci::RegistryHost;
use crate::store::{Group, GroupId, UpstreamRow};
use crate::upstream::Upstream;

/// When an upstream that could not be used is tried again: its key may be back.
const RETRY: Duration = Duration::from_secs(5);

/// What was read from `access.sqlite`, and the clients that it makes.
pub(super) struct Table {
    /// When the rows were last compared with the database's.
    pub(super) generation: AtomicU64,
    pub(super) built: Instant,
    pub(super) rows: Vec<UpstreamRow>,
    pub(super) groups: HashMap<GroupId, Place>,
    /// One for each row, in the same order.
    pub(super) clients: Vec<Client>,
    /// Positions in `clients`.
    pub(super) by_name: HashMap<(Option<GroupId>, RegistryHost), usize>,
}

/// What matters of a group here.
#[derive(PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: String,
    pub(super) parent: Option<GroupId>,
    pub(super) default_upstream: Option<RegistryHost>,
}

#[derive(Clone)]
pub(super) enum Client {
    Ready(Arc<Upstream>),
    /// Why it cannot be used.
    Unusable(String),
}

impl Table {
    pub(super) fn empty() -> Self {
        Self {
            generation: AtomicU64::new(u64::MAX),
            built: Instant::now(),
            rows: Vec::new(),
            groups: HashMap::new(),
            clients: Vec::new(),
            by_name: HashMap::new(),
        }
    }

    pub(super) fn is_of(&self, generation: u64) -> bool {
        self.generation.load(Ordering::Acquire) == generation && !self.is_retry_due()
    }

    pub(super) fn is_retry_due(&self) -> bool {
        self.built.elapsed() >= RETRY
            && self
                .clients
                .iter()
                .any(|client| matches!(client, Client::Unusable(_)))
    }

    /// The group and those above it, nearest first.
    pub(super) fn upward(&self, group: GroupId) -> impl Iterator<Item = (GroupId, &Place)> {
        let place = |id: GroupId| Some((id, self.groups.get(&id)?));
        // Bounded: a cycle of parents, should there ever be one, ends too.
        std::iter::successors(place(group), move |(_, at)| place(at.parent?))
            .take(self.groups.len())
    }

    pub(super) fn path(&self, group: Option<GroupId>) -> Option<String> {
        Some(self.groups.get(&group?)?.path.clone())
    }
}

/// What matters of each group.
pub(super) fn places(groups: Vec<Group>) -> HashMap<GroupId, Place> {
    let places = groups.into_iter().map(|group| {
        let place = Place {
            path: group.path,
            parent: group.parent,
            default_upstream: group.default_upstream,
        };
        (group.id, place)
    });
    places.collect()
}
