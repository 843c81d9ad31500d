//! The one thread that waits for everybody: accepts (see `accept`), collects heads, watches idle connections and
//! those that linger, and keeps their deadlines. It never blocks on a client, and runs no request.
//!
//! It uses epoll through rustix: the interface of the `polling` crate asks for `unsafe` at each
//! registration. Connections are armed for one event at a time (`EPOLLONESHOT`), so that one with a worker
//! stays in the set, silent, and comes back with a single call.

mod accept;
mod parked;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};

use super::Refused;
use super::connection::{Connection, Stage};
use super::listener::Listener;
use super::service::{Phase, Service};
use accept::ACCEPT_PAUSE;
use parked::Parked;

/// Events taken in one go.
const EVENTS: usize = 256;
/// Bytes received in one go.
const SCRATCH: usize = 16 * 1024;
/// All unfinished heads together may take so much memory before the long ones among them are refused.
const HEADS_LIMIT: usize = 32 * 1024 * 1024;
/// A head up to this length is never refused for the others' sake.
const SMALL_HEAD: usize = 4 * 1024;
/// When the server is to end, a client that has just come gets so long to say what it wants.
const LAST_WORDS: Duration = Duration::from_secs(2);
const WAKER: u64 = u64::MAX;
/// The token of the first listener; the others follow.
const LISTENERS: u64 = 1 << 63;

/// The poller's state; lives on its thread.
pub(super) struct Poller {
    service: Arc<Service>,
    epoll: OwnedFd,
    listeners: Vec<Listener>,
    /// When accepting goes on, while it pauses.
    resume_at: Option<Instant>,
    /// Until when those that have just come are waited for, once the server is draining.
    drained_at: Option<Instant>,
    warned_at: Option<Instant>,
    parked: Parked,
    scratch: Vec<u8>,
    turned_away: (Instant, u32),
}

impl Poller {
    pub(super) fn new(service: Arc<Service>, listeners: Vec<Listener>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            &service.waker,
            EventData::new_u64(WAKER),
            EventFlags::IN,
        )?;
        let mut poller = Self {
            service,
            epoll,
            listeners,
            resume_at: None,
            drained_at: None,
            warned_at: None,
            parked: Parked::default(),
            scratch: vec![0; SCRATCH],
            turned_away: (Instant::now(), 0),
        };
        poller.watch_listeners()?;
        Ok(poller)
    }

    /// Runs until the phase is `Ended`.
    pub(super) fn run(mut self) {
        let mut events = Vec::with_capacity(EVENTS);
        while self.service.phase() != Phase::Ended {
            let timeout = self.timeout().and_then(|timeout| timeout.try_into().ok());
            events.clear();
            let spare = rustix::buffer::spare_capacity(&mut events);
            if let Err(error) = epoll::wait(&self.epoll, spare, timeout.as_ref())
                && error != rustix::io::Errno::INTR
            {
                // Nothing that can be mended from here; but nothing may spin either.
                tracing::error!(%error, "cannot wait for connections");
                std::thread::sleep(ACCEPT_PAUSE);
            }
            for event in &events {
                match event.data.u64() {
                    WAKER => self.woken(),
                    token if token >= LISTENERS => {
                        self.accept(token.saturating_sub(LISTENERS) as usize)
                    }
                    id => self.ready(id),
                }
            }
            self.expire();
            self.resume();
            self.service.pool.relieve(&self.service);
        }
    }

    /// How long nothing will happen by itself.
    fn timeout(&self) -> Option<Duration> {
        let now = Instant::now();
        let until = |instant: Instant| {
            // A little more, so that a clock that is rounded down cannot make the loop spin.
            let left = instant.saturating_duration_since(now);
            left.saturating_add(Duration::from_millis(1))
        };
        let deadline = self.parked.first_deadline().map(until);
        let resume = self.resume_at.map(until);
        let relief = self.service.pool.relief_due();
        [deadline, resume, relief].into_iter().flatten().min()
    }

    fn woken(&mut self) {
        // One read resets the counter; if it fails there was nothing to reset.
        let _ = rustix::io::read(&self.service.waker, &mut [0; 8]);
        for connection in self.service.take_returned() {
            self.place(connection);
        }
        if self.service.is_draining() && !self.listeners.is_empty() {
            self.drain();
        }
    }

    /// Something came on a connection, or it ended.
    fn ready(&mut self, id: u64) {
        // It may have expired a moment ago.
        let Some(mut connection) = self.parked.take(id) else {
            return;
        };
        let alive = match connection.stage {
            Stage::Lingering(1..) => connection.drain(&mut self.scratch),
            // Nothing is read any more, so only the client's end can have come.
            Stage::Lingering(0) => return,
            _ => connection.collect(&mut self.scratch),
        };
        match alive {
            Ok(()) => self.place(connection),
            Err(_) => connection.farewell(),
        }
    }

    /// Gives a connection to the workers if it is ready for them, and keeps it otherwise.
    fn place(&mut self, mut connection: Box<Connection>) {
        let unfinished = matches!(connection.stage, Stage::Waiting | Stage::Partial);
        if unfinished
            && connection.wire.transport.holds_input()
            && connection.collect(&mut self.scratch).is_err()
        {
            return connection.farewell();
        }
        let length = connection.wire.unread().len();
        if length > SMALL_HEAD && self.parked.buffered().saturating_add(length) > HEADS_LIMIT {
            match connection.stage {
                Stage::Partial => {
                    connection.stage = Stage::Refused(Refused {
                        status: 503,
                        message: "too many long requests are arriving at once",
                    });
                }
                // Before the handshake there are no words.
                Stage::Greeting => return,
                _ => {}
            }
        }
        match connection.stage {
            Stage::Whole(_) | Stage::Refused(_) | Stage::Greeted(_) => {
                self.service.pool.push(&self.service, connection);
            }
            Stage::Greeting | Stage::Waiting | Stage::Partial if self.service.is_draining() => {
                self.last_chance(connection);
            }
            // Where it cannot be watched, it cannot be kept.
            _ => drop(self.park(connection)),
        }
    }

    fn park(&mut self, mut connection: Box<Connection>) -> io::Result<()> {
        connection.wire.shrink();
        let id = connection.permit.id();
        let mut flags = EventFlags::RDHUP | EventFlags::ONESHOT;
        flags.set(EventFlags::IN, connection.stage != Stage::Lingering(0));
        flags.set(EventFlags::OUT, connection.wire.transport.wants_write());
        let readiness = connection.wire.transport.readiness()?;
        if connection.watched {
            epoll::modify(&self.epoll, readiness, EventData::new_u64(id), flags)?;
        } else {
            epoll::add(&self.epoll, readiness, EventData::new_u64(id), flags)?;
            connection.watched = true;
        }
        let mut deadline = connection.deadline(&self.service.limits);
        if let Some(drained_at) = self.drained_at.filter(|_| connection.is_fresh()) {
            deadline = deadline.min(drained_at);
        }
        self.parked.insert(connection, deadline);
        Ok(())
    }

    /// Ends what has lasted too long.
    fn expire(&mut self) {
        let now = Instant::now();
        while let Some(mut connection) = self.parked.take_expired(now) {
            // Who sent nothing expects no answer either; a client could take it for that of its next
            // request.
            connection.farewell();
            if connection.stage == Stage::Partial && !self.service.is_draining() {
                connection.stage = Stage::Refused(Refused {
                    status: 408,
                    message: "the request's head did not arrive in time",
                });
                self.place(connection);
            }
        }
    }

    /// Closes the listeners and all connections that are owed nothing. Those that have just come are owed
    /// an answer: where another process goes on with the same listeners, no client shall notice.
    fn drain(&mut self) {
        self.drained_at = Some(crate::time::deadline(LAST_WORDS));
        self.unwatch_listeners();
        self.listeners.clear();
        self.service.note_closed();
        self.resume_at = None;
        for id in self.parked.ids() {
            if let Some(connection) = self.parked.take(id) {
                self.place(connection);
            }
        }
    }

    /// A request that lies in the kernel's buffer already is still answered while draining, and so is the
    /// first one on its connection if it comes soon.
    fn last_chance(&mut self, mut connection: Box<Connection>) {
        if connection.collect(&mut self.scratch).is_err() {
            return connection.farewell();
        }
        match connection.stage {
            Stage::Whole(_) | Stage::Refused(_) | Stage::Greeted(_) => {
                self.service.pool.push(&self.service, connection);
            }
            // Before `drain` has begun nobody is too late.
            _ if connection.is_fresh() && self.drained_at.is_none_or(|at| at > Instant::now()) => {
                drop(self.park(connection));
            }
            _ => connection.farewell(),
        }
    }
}
