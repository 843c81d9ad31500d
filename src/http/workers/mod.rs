//! The pool of workers: threads that come when there is work and go when there is none, and the queue in
//! front of them, in which no address can take every place.
//!
//! A worker may be held for minutes by what is not its client's doing, such as a handler or a body's source
//! that waits for an upstream, and by a client that reads slowly. The pool cannot see which, and need not:
//! what is overdue gets a worker of its own, up to one for each connection that there may be.
//! So `workers` bounds what is started at once, and nobody's wait. Beyond it threads come slowly enough
//! that a burst of quick requests, which needs no help, does not make thousands of them.
//!
//! It hands out connections and knows nothing of what is done with them.

mod queue;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::connection::Connection;
use super::exchange::serve;
use super::poller::Poller;
use super::respond::Buffers;
use super::service::Service;
use crate::context::Origin;
use crate::time::deadline;
use queue::{Queue, Queued, SPAWN_PAUSE, Work};

/// A worker's stack. Only what is touched of it costs memory.
const STACK: usize = 512 * 1024;
/// A worker that found nothing to do for so long ends.
const IDLE: Duration = Duration::from_secs(10);

/// How often is looked for those.
const RELIEF_PAUSE: Duration = Duration::from_millis(25);
/// So many further workers are started in one go: 1,280 a second.
const RELIEF: usize = 32;
/// How long after a thread could not be started nobody complains of that again.
const WARNING_PAUSE: Duration = Duration::from_secs(10);

/// The workers and their queue.
pub(super) struct Pool {
    /// Workers that are started as soon as there is work.
    most: usize,
    /// Workers in all, with those for what is overdue.
    ceiling: usize,
    /// One address may hold so many of `most`: slow readers of large files must not make everybody wait.
    most_per_origin: usize,
    queue: Mutex<Queue>,
    filled: Condvar,
    gone: Condvar,
    backlogged: AtomicBool,
    /// Connections in all `Share::waiting` together.
    held_back: AtomicUsize,
}

impl Pool {
    /// `workers` at once, and up to `ceiling` when some of them are held up.
    pub(super) fn new(workers: usize, ceiling: usize) -> Self {
        let most = workers.max(1);
        Self {
            most,
            ceiling: ceiling.max(most),
            most_per_origin: most.saturating_sub(most / 4),
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

    /// Queues a connection whose stage is `Whole`, `Refused` or `Greeted`.
    pub(super) fn push(&self, service: &Arc<Service>, connection: Box<Connection>) {
        let mut queue = self.lock();
        if queue.closed {
            return;
        }
        let share = queue.origins.entry(connection.permit.origin()).or_default();
        let counted = share.held < self.most_per_origin;
        let queued = Queued {
            connection,
            since: Instant::now(),
            counted,
        };
        if counted {
            share.held = share.held.saturating_add(1);
            queue.ready.push_back(queued);
        } else {
            share.waiting.push_back(queued);
            self.held_back.fetch_add(1, Ordering::Relaxed);
        }
        let short = queue.to_do() > queue.idle && queue.threads < self.most;
        let starts = usize::from(short && !queue.spawn_failed_lately());
        queue.threads = queue.threads.saturating_add(starts);
        self.note_backlog(&queue);
        let unwatched = !queue.watched && self.has_backlog(&queue);
        queue.watched |= unwatched;
        drop(queue);
        if counted {
            self.filled.notify_one();
        }
        self.start(service, starts);
        if unwatched {
            service.wake();
        }
    }

    /// Starts the first thread, which is the poller.
    pub(super) fn begin(&self, service: &Arc<Service>, poller: Box<Poller>) -> io::Result<()> {
        let mut queue = self.lock();
        queue.poller = Some(poller);
        queue.threads = 1;
        drop(queue);
        spawn(service).inspect_err(|_| drop(self.lock().poller.take()))
    }

    /// Leaves the poller to an idle worker, or to a new one; the calling thread is a worker from now on.
    pub(super) fn push_poller(&self, service: &Arc<Service>, poller: Box<Poller>) {
        let mut queue = self.lock();
        queue.poller = Some(poller);
        let starts = usize::from(queue.to_do() > queue.idle);
        queue.threads = queue.threads.saturating_add(starts).saturating_add(1);
        self.note_backlog(&queue);
        drop(queue);
        self.filled.notify_one();
        let mut is_sure = self.start(service, starts);
        // Without a thread for the poller nobody is served, so this one sees to that before it waits for anything else.
        while !is_sure {
            std::thread::sleep(SPAWN_PAUSE);
            let mut queue = self.lock();
            let starts = usize::from(queue.poller.is_some());
            queue.threads = queue.threads.saturating_add(starts);
            drop(queue);
            is_sure = self.start(service, starts);
        }
    }

    /// A place for a request of `origin` on the poller's own thread; `None` where a worker has to answer it: there are others
    /// before it, or no worker is idle to whom the poller could go if that takes long.
    pub(super) fn place_here(&self, origin: Origin) -> Option<Place<'_>> {
        let mut queue = self.lock();
        let busy = queue.threads.saturating_sub(queue.idle);
        let is_free = queue.idle > queue.to_do() && busy < self.most && !queue.closed;
        let share = queue.origins.entry(origin).or_default();
        let has_place = is_free && share.held < self.most_per_origin;
        if has_place {
            share.held = share.held.saturating_add(1);
        } else if share.held == 0 && share.waiting.is_empty() {
            queue.origins.remove(&origin);
        }
        drop(queue);
        has_place.then_some(Place { pool: self, origin })
    }

    /// Notes that there is no poller any more; its thread is a worker from now on.
    pub(super) fn note_poller_ended(&self) {
        let mut queue = self.lock();
        queue.poller_ended = true;
        queue.threads = queue.threads.saturating_add(1);
        self.gone.notify_all();
    }

    /// Waits until there is none, for at most `within`.
    pub(super) fn wait_for_poller(&self, within: Duration) {
        let mut queue = self.lock();
        self.gone
            .wait_while_for(&mut queue, |queue| !queue.poller_ended, within);
    }

    /// When `relieve` must be called next, if at all before the next wake-up of the poller.
    pub(super) fn relief_due(&self) -> Option<Duration> {
        let mut queue = self.lock();
        queue.watched = self.has_backlog(&queue);
        queue.watched.then_some(RELIEF_PAUSE)
    }

    /// Finds workers for what is overdue, and starts them if none are free.
    pub(super) fn relieve(&self, service: &Arc<Service>) {
        let mut queue = self.lock();
        let lately = |at: Option<Instant>| at.is_some_and(|at| at.elapsed() < RELIEF_PAUSE);
        if !self.has_backlog(&queue) || lately(queue.relieved_at) {
            return;
        }
        queue.relieved_at = Some(Instant::now());
        let startable = match queue.spawn_failed_lately() {
            true => 0,
            false => RELIEF.min(self.ceiling.saturating_sub(queue.threads)),
        };
        // What is ready comes first: it is of addresses that have not taken their share.
        let overdue = queue.ready.iter().filter(|queued| queued.is_overdue());
        let overdue = overdue.count();
        let unclaimed = startable
            .saturating_add(queue.idle)
            .saturating_sub(queue.ready.len());
        let room = unclaimed.min(RELIEF);
        let promoted = queue.take_overdue(room);
        let count = promoted.len();
        self.held_back.fetch_sub(count, Ordering::Relaxed);
        queue.ready.extend(promoted);
        let starts = overdue
            .saturating_add(count)
            .saturating_sub(queue.idle)
            .min(startable);
        queue.threads = queue.threads.saturating_add(starts);
        self.note_backlog(&queue);
        drop(queue);
        for _ in 0..count {
            self.filled.notify_one();
        }
        self.start(service, starts);
    }

    /// Whether there is work that might become overdue.
    fn has_backlog(&self, queue: &Queue) -> bool {
        let waits = queue.ready.len() > queue.idle || self.held_back.load(Ordering::Relaxed) > 0;
        waits && !queue.closed
    }

    /// Starts workers that are counted as threads already; says whether all of them could be started.
    fn start(&self, service: &Arc<Service>, starts: usize) -> bool {
        for started in 0..starts {
            let Err(error) = spawn(service) else {
                continue;
            };
            let mut queue = self.lock();
            queue.threads = queue.threads.saturating_sub(starts.saturating_sub(started));
            let threads = queue.threads;
            let now = Instant::now();
            queue.spawn_failed_at = Some(now);
            let silent = |at: Instant| now.duration_since(at) < WARNING_PAUSE;
            let warns = !queue.warned_at.is_some_and(silent);
            if warns {
                queue.warned_at = Some(now);
            }
            self.backlogged.store(true, Ordering::Relaxed);
            let unwatched = !std::mem::replace(&mut queue.watched, true);
            self.gone.notify_all();
            drop(queue);
            if unwatched {
                service.wake();
            }
            if warns {
                tracing::warn!(%error, threads, "cannot start another worker: requests wait");
            }
            return false;
        }
        true
    }

    fn note_backlog(&self, queue: &Queue) {
        let backlogged = queue.ready.len() > queue.idle && queue.threads >= self.most;
        self.backlogged.store(backlogged, Ordering::Relaxed);
    }

    /// What there is to do at once.
    fn take_now(&self) -> Option<Work> {
        let mut queue = self.lock();
        let work = queue.next();
        self.note_backlog(&queue);
        work
    }

    /// Waits for something to do. `None` ends the worker, which is no longer counted then.
    fn take(&self) -> Option<Work> {
        let mut queue = self.lock();
        // A peak's threads go as soon as enough others are free; woken in turn, all would find some work.
        let surplus = queue.threads > self.most && queue.idle > self.most / 4;
        let deadline = deadline(if surplus { Duration::ZERO } else { IDLE });
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let work = queue.next();
            if work.is_none() && !queue.closed && !left.is_zero() {
                queue.idle = queue.idle.saturating_add(1);
                self.filled.wait_for(&mut queue, left);
                queue.idle = queue.idle.saturating_sub(1);
                continue;
            }
            if work.is_none() {
                queue.threads = queue.threads.saturating_sub(1);
                self.gone.notify_all();
            }
            self.note_backlog(&queue);
            return work;
        }
    }

    /// Gives back what a connection of `origin` held.
    fn release(&self, origin: Origin) {
        let mut queue = self.lock();
        let Some(share) = queue.origins.get_mut(&origin) else {
            return;
        };
        if let Some(queued) = share.waiting.pop_front() {
            self.held_back.fetch_sub(1, Ordering::Relaxed);
            // The place goes from one connection to the other.
            queue.ready.push_back(Queued {
                counted: true,
                ..queued
            });
            self.note_backlog(&queue);
            self.filled.notify_one();
            return;
        }
        share.held = share.held.saturating_sub(1);
        if share.held == 0 {
            queue.origins.remove(&origin);
        }
    }

    /// Ends all workers as they become free and drops what is queued; waits for them for at most `within`.
    pub(super) fn close(&self, within: Duration) {
        let deadline = deadline(within);
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
            self.gone.wait_for(&mut queue, left);
        }
        drop(queue);
        drop(dropped);
    }

    /// Threads, those of them that are busy, and connections that wait for one.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let queue = self.lock();
        let held_back = self.held_back.load(Ordering::Relaxed);
        let waiting = queue.ready.len().saturating_add(held_back);
        (
            queue.threads,
            queue.threads.saturating_sub(queue.idle),
            waiting,
        )
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }
}

/// Gives the origin's place back, also when serving panicked.
pub(super) struct Place<'a> {
    pool: &'a Pool,
    origin: Origin,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.pool.release(self.origin);
    }
}

fn spawn(service: &Arc<Service>) -> io::Result<()> {
    let service = Arc::clone(service);
    let builder = std::thread::Builder::new().name("http-worker".to_owned());
    builder
        .stack_size(STACK)
        .spawn(move || work(&service))
        .map(drop)
}

/// The life of a worker.
fn work(service: &Arc<Service>) {
    let mut buffers = Buffers::default();
    loop {
        let work = service.pool.take_now().or_else(|| {
            buffers.free();
            service.pool.take()
        });
        let queued = match work {
            None => return,
            Some(Work::Poll(poller)) => {
                poll(poller);
                continue;
            }
            Some(Work::Serve(queued)) => queued,
        };
        let connection = queued.connection;
        let place = queued.counted.then(|| Place {
            pool: &service.pool,
            origin: connection.permit.origin(),
        });
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

/// Is the poller for a while. It holds every connection that waits: there is nothing to go on with where it panics, and
/// without it nobody is answered. So the process ends at once, and whoever watches it starts it again.
fn poll(poller: Box<Poller>) {
    if catch_unwind(AssertUnwindSafe(|| poller.run())).is_err() {
        tracing::error!("the thread that waits for connections panicked: the process ends");
        std::process::abort();
    }
}
