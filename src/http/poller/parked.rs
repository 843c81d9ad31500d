//! The connections that wait in the poller's set: by id, by deadline, and by how long they have been silent.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use crate::context::Origin;
use crate::http::connection::Connection;

/// The connections that wait; none of them changes meanwhile.
#[derive(Default)]
pub(super) struct Parked {
    /// Each with its deadline.
    connections: HashMap<u64, (Box<Connection>, Instant)>,
    deadlines: BTreeSet<(Instant, u64)>,
    /// The silent ones, the longest waiting first.
    silent: BTreeSet<(Instant, u64)>,
    /// Those that have asked and were left for a later look, each with its turn.
    left: HashMap<u64, u64>,
    next_turn: u64,
    buffered: usize,
}

impl Parked {
    pub(super) fn insert(&mut self, connection: Box<Connection>, deadline: Instant) {
        let id = connection.permit.id();
        self.deadlines.insert((deadline, id));
        if connection.is_silent() {
            self.silent.insert((connection.since(), id));
        }
        self.buffered = self.buffered.saturating_add(connection.wire.unread().len());
        self.connections.insert(id, (connection, deadline));
    }

    /// Whose connection it is.
    pub(super) fn origin(&self, id: u64) -> Option<Origin> {
        let (connection, _) = self.connections.get(&id)?;
        Some(connection.permit.origin())
    }

    /// Leaves the request of a connection for a later look; its turn comes after those that were left before it.
    pub(super) fn leave(&mut self, id: u64) {
        self.left.entry(id).or_insert(self.next_turn);
        self.next_turn = self.next_turn.saturating_add(1);
    }

    /// When the turn of each comes: those first that were left, as long as they wait.
    pub(super) fn turn(&self, id: u64) -> u64 {
        self.left.get(&id).copied().unwrap_or(u64::MAX)
    }

    pub(super) fn has_left_some(&self) -> bool {
        !self.left.is_empty()
    }

    pub(super) fn take(&mut self, id: u64) -> Option<Box<Connection>> {
        let (connection, deadline) = self.connections.remove(&id)?;
        self.deadlines.remove(&(deadline, id));
        self.silent.remove(&(connection.since(), id));
        if !self.left.is_empty() {
            self.left.remove(&id);
        }
        self.buffered = self.buffered.saturating_sub(connection.wire.unread().len());
        Some(connection)
    }

    /// One whose deadline has come.
    pub(super) fn take_expired(&mut self, now: Instant) -> Option<Box<Connection>> {
        let &(_, id) = self
            .deadlines
            .first()
            .filter(|(deadline, _)| *deadline <= now)?;
        self.take(id)
    }

    pub(super) fn first_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// The one that has been silent longest, and since when.
    pub(super) fn longest_silent(&self) -> Option<(Instant, u64)> {
        self.silent.first().copied()
    }

    pub(super) fn ids(&self) -> Vec<u64> {
        self.connections.keys().copied().collect()
    }

    /// Bytes in the buffers of all of them.
    pub(super) fn buffered(&self) -> usize {
        self.buffered
    }
}
