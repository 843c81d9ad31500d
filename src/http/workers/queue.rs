//! What waits for a worker: in the order in which it came, and apart what is of addresses that have their share.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::context::Origin;
use crate::http::connection::Connection;
use crate::http::poller::Poller;

/// A connection that waited for so long gets a further worker.
const OVERDUE: Duration = Duration::from_millis(50);
/// After a thread could not be started, for how long none is tried.
pub(super) const SPAWN_PAUSE: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(super) struct Queue {
    /// For the next free workers.
    pub(super) ready: VecDeque<Queued>,
    pub(super) origins: HashMap<Origin, Share>,
    /// Threads that wait for work, and all of them.
    pub(super) idle: usize,
    pub(super) threads: usize,
    pub(super) closed: bool,
    /// The poller, while it waits for a thread that goes on with it. That thread is no worker then.
    pub(super) poller: Option<Box<Poller>>,
    pub(super) poller_ended: bool,
    /// Whether the poller knows that it must call `relieve`.
    pub(super) watched: bool,
    pub(super) relieved_at: Option<Instant>,
    pub(super) spawn_failed_at: Option<Instant>,
    pub(super) warned_at: Option<Instant>,
}

/// Something for a worker to do.
pub(super) enum Work {
    Serve(Queued),
    /// To be the poller.
    Poll(Box<Poller>),
}

pub(super) struct Queued {
    pub(super) connection: Box<Connection>,
    pub(super) since: Instant,
    /// Whether it takes one of its address's places, which one that was overdue does not.
    pub(super) counted: bool,
}

impl Queued {
    pub(super) fn is_overdue(&self) -> bool {
        self.since.elapsed() >= OVERDUE
    }
}

/// What one address has of the pool.
#[derive(Default)]
pub(super) struct Share {
    /// Its counted connections that are ready or with a worker.
    pub(super) held: usize,
    /// Those that must wait for one of the former, or until they are overdue.
    pub(super) waiting: VecDeque<Queued>,
}

impl Queue {
    /// Takes up to `count` connections out of those that wait for their addresses' places for too long, of
    /// each address one in turn.
    pub(super) fn take_overdue(&mut self, count: usize) -> Vec<Queued> {
        let mut taken = Vec::new();
        loop {
            let before = taken.len();
            for share in self.origins.values_mut() {
                if taken.len() < count && share.waiting.front().is_some_and(Queued::is_overdue) {
                    taken.extend(share.waiting.pop_front());
                }
            }
            if taken.len() == before {
                return taken;
            }
        }
    }

    /// What a worker does next. The poller first, because without it nothing comes; whoever takes it is no worker meanwhile.
    pub(super) fn next(&mut self) -> Option<Work> {
        if let Some(poller) = self.poller.take() {
            self.threads = self.threads.saturating_sub(1);
            return Some(Work::Poll(poller));
        }
        self.ready.pop_front().map(Work::Serve)
    }

    /// What an idle worker would find.
    pub(super) fn to_do(&self) -> usize {
        self.ready
            .len()
            .saturating_add(usize::from(self.poller.is_some()))
    }

    pub(super) fn spawn_failed_lately(&self) -> bool {
        self.spawn_failed_at
            .is_some_and(|at| at.elapsed() < SPAWN_PAUSE)
    }
}
