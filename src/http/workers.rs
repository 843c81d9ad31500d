//! The pool of workers: threads that come when there is work and go when there is none, and the queue in
//! front of them, in which no address can take every place.
//!
//! It hands out connections and knows nothing of what is done with them.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::admission::Origin;
use super::connection::Connection;
use super::exchange::serve;
use super::respond::Buffers;
use super::service::Service;

/// A worker's stack. Only what is touched of it costs memory.
const STACK: usize = 512 * 1024;
/// A worker that found nothing to do for so long ends.
const IDLE: Duration = Duration::from_secs(10);

/// The workers and their queue.
pub(super) struct Pool {
    most: usize,
    /// One address may hold so many workers: slow readers of large files must not shut everybody out.
    most_per_origin: usize,
    queue: Mutex<Queue>,
    filled: Condvar,
    gone: Condvar,
    backlogged: AtomicBool,
    /// Connections in all `Share::waiting` together.
    held_back: AtomicUsize,
}

#[derive(Default)]
struct Queue {
    /// For the next free workers.
    ready: VecDeque<Box<Connection>>,
    origins: HashMap<Origin, Share>,
    /// Threads that wait for work, and all of them.
    idle: usize,
    threads: usize,
    closed: bool,
}

/// What one address has of the pool.
#[derive(Default)]
struct Share {
    /// Its connections that are ready or with a worker.
    held: usize,
    /// Those that must wait for one of the former.
    waiting: VecDeque<Box<Connection>>,
}

impl Pool {
    pub(super) fn new(workers: usize) -> Self {
        let most = workers.max(1);
        Self {
            most,
            most_per_origin: most - most / 4,
            queue: Mutex::default(),
            filled: Condvar::new(),
            gone: Condvar::new(),
            backlogged: AtomicBool::new(false),
            held_back: AtomicUsize::new(0),
        }
    }

    /// Whether a worker that has answered a request of `origin` should turn to another connection: one
    /// that waits although there are as many workers as there may be, or as `origin` may have.
    pub(super) fn should_yield(&self, origin: Origin) -> bool {
        if self.backlogged.load(Ordering::Relaxed) {
            return true;
        }
        self.held_back.load(Ordering::Relaxed) > 0
            && self
                .lock()
                .origins
                .get(&origin)
                .is_some_and(|share| !share.waiting.is_empty())
    }

    /// Queues a connection whose stage is `Whole` or `Refused`.
    pub(super) fn push(&self, service: &Arc<Service>, connection: Box<Connection>) {
        let mut queue = self.lock();
        if queue.closed {
            return;
        }
        let share = queue.origins.entry(connection.permit.origin()).or_default();
        if share.held >= self.most_per_origin {
            share.waiting.push_back(connection);
            self.held_back.fetch_add(1, Ordering::Relaxed);
            return;
        }
        share.held += 1;
        queue.ready.push_back(connection);
        self.staff(service, queue);
        self.filled.notify_one();
    }

    /// Tries again to start a worker, if there is work and none could be started before.
    pub(super) fn revive(&self, service: &Arc<Service>) {
        self.staff(service, self.lock());
    }

    /// Whether there is work that nobody can do, so that `revive` must be called.
    pub(super) fn is_stuck(&self) -> bool {
        let queue = self.lock();
        queue.threads == 0 && !queue.ready.is_empty()
    }

    /// Starts a worker if none is free for what is ready.
    fn staff(&self, service: &Arc<Service>, mut queue: MutexGuard<'_, Queue>) {
        let short = queue.ready.len() > queue.idle && !queue.closed;
        if !short || queue.threads >= self.most {
            return self.note_backlog(&queue);
        }
        queue.threads += 1;
        drop(queue);
        let service_of_worker = service.clone();
        let spawned = std::thread::Builder::new()
            .name("http-worker".to_owned())
            .stack_size(STACK)
            .spawn(move || work(&service_of_worker));
        if let Err(error) = spawned {
            let mut queue = self.lock();
            queue.threads -= 1;
            let threads = queue.threads;
            self.backlogged.store(true, Ordering::Relaxed);
            drop(queue);
            tracing::warn!(%error, threads, "cannot start another worker: requests wait");
        }
    }

    fn note_backlog(&self, queue: &Queue) {
        let backlogged = queue.ready.len() > queue.idle && queue.threads >= self.most;
        self.backlogged.store(backlogged, Ordering::Relaxed);
    }

    /// The next connection, if there is one at once.
    fn take_now(&self) -> Option<Box<Connection>> {
        let mut queue = self.lock();
        let connection = queue.ready.pop_front();
        self.note_backlog(&queue);
        connection
    }

    /// Waits for the next connection. `None` ends the worker, which is no longer counted then.
    fn take(&self) -> Option<Box<Connection>> {
        let mut queue = self.lock();
        let deadline = Instant::now() + IDLE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let connection = queue.ready.pop_front();
            if connection.is_none() && !queue.closed && !left.is_zero() {
                queue.idle += 1;
                let woken = self.filled.wait_timeout(queue, left);
                queue = woken.unwrap_or_else(PoisonError::into_inner).0;
                queue.idle -= 1;
                continue;
            }
            if connection.is_none() {
                queue.threads -= 1;
                self.gone.notify_all();
            }
            self.note_backlog(&queue);
            return connection;
        }
    }

    /// Gives back what a connection of `origin` held.
    fn release(&self, origin: Origin) {
        let mut queue = self.lock();
        let Some(share) = queue.origins.get_mut(&origin) else {
            return;
        };
        if let Some(connection) = share.waiting.pop_front() {
            self.held_back.fetch_sub(1, Ordering::Relaxed);
            // The place goes from one connection to the other.
            queue.ready.push_back(connection);
            self.note_backlog(&queue);
            self.filled.notify_one();
            return;
        }
        share.held -= 1;
        if share.held == 0 {
            queue.origins.remove(&origin);
        }
    }

    /// Ends all workers as they become free and drops what is queued; waits for them for at most `within`.
    pub(super) fn close(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let mut queue = self.lock();
        queue.closed = true;
        let dropped = (
            std::mem::take(&mut queue.ready),
            std::mem::take(&mut queue.origins),
        );
        self.filled.notify_all();
        while queue.threads > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let woken = self.gone.wait_timeout(queue, left);
            queue = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(queue);
        drop(dropped);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the origin's place back, also when serving panicked.
struct Place<'a> {
    pool: &'a Pool,
    origin: Origin,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.pool.release(self.origin);
    }
}

/// The life of a worker.
fn work(service: &Arc<Service>) {
    let mut buffers = Buffers::default();
    loop {
        let connection = service.pool.take_now().or_else(|| {
            buffers.free();
            service.pool.take()
        });
        let Some(connection) = connection else {
            return;
        };
        let place = Place {
            pool: &service.pool,
            origin: connection.permit.origin(),
        };
        // The handler's panics are caught where they can still be answered; this is for our own.
        let served = catch_unwind(AssertUnwindSafe(|| {
            serve(service, connection, &mut buffers)
        }));
        if served.is_err() {
            tracing::error!("a worker panicked: its connection was dropped");
        }
        drop(place);
    }
}
