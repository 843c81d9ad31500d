//! What waits for everybody, on one thread: accepts (see `accept`), collects heads, watches idle connections and those that
//! linger, and keeps their deadlines. It never waits for a client.
//!
//! It answers requests itself that are likely to be answered from memory, as a server of files does it: for each there are
//! one call that receives and one that sends, and no thread is woken. Where one has to wait all the same, its thread first
//! gives the poller to an idle worker, and goes on as a worker (see `here`).
//!
//! It uses epoll through rustix: the interface of the `polling` crate asks for `unsafe` at each
//! registration. A connection that waits stays armed from request to request; one that goes to a worker stays in the set,
//! silent, and comes back with a single call.

mod accept;
mod here;
mod parked;

use std::collections::HashMap;
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::thread::set_name;

use super::Refused;
use super::connection::{Connection, Stage, Watch};
use super::listener::Listener;
use super::respond::Buffers;
use super::service::{Phase, Service};
use crate::context::{self, Origin};
use accept::ACCEPT_PAUSE;
pub(super) use here::is_here;
use parked::Parked;

/// Events taken in one go.
const EVENTS: usize = 256;
/// Bytes received in one go.
const SCRATCH: usize = 16 * 1024;
/// All unfinished heads together may take so much memory before the long ones among them are refused.
const HEADS_LIMIT: usize = 32 * 1024 * 1024;
/// A head up to this length is never refused for the others' sake.
const SMALL_HEAD: usize = 4 * 1024;
/// So many requests of one address are answered between two looks at who else asks.
const ANSWERS: u32 = 32;
/// When the server is to end, a client that has just come gets so long to say what it wants.
const LAST_WORDS: Duration = Duration::from_secs(2);
const WAKER: u64 = u64::MAX;
/// The token of the first listener; the others follow.
const LISTENERS: u64 = 1 << 63;

/// The poller's state; lives on the thread that is the poller.
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
    /// How many requests of which addresses were answered since the last look.
    answered: HashMap<Origin, u32>,
    /// The connection whose request is being answered, while it is armed.
    answering: Option<(Arc<TcpStream>, u64)>,
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
            answered: HashMap::new(),
            answering: None,
        };
        poller.watch_listeners()?;
        Ok(poller)
    }

    /// Runs until the phase is `Ended`, or another thread goes on.
    pub(super) fn run(mut self: Box<Self>) {
        context::before_waiting(here::leave);
        // For whoever looks at the threads; without it they have the name of workers.
        let _ = set_name(c"http-poller");
        let mut events = Vec::with_capacity(EVENTS);
        let mut buffers = Buffers::default();
        while self.service.phase() != Phase::Ended {
            // Before each look, so that it is done whatever becomes of the poller afterwards.
            self.expire();
            self.resume();
            self.service.pool.relieve(&self.service);
            let timeout = self.timeout().and_then(|timeout| timeout.try_into().ok());
            events.clear();
            self.answered.clear();
            let spare = rustix::buffer::spare_capacity(&mut events);
            if let Err(error) = epoll::wait(&self.epoll, spare, timeout.as_ref())
                && error != rustix::io::Errno::INTR
            {
                // Nothing that can be mended from here; but nothing may spin either.
                tracing::error!(%error, "cannot wait for connections");
                std::thread::sleep(ACCEPT_PAUSE);
            }
            if self.parked.has_left_some() {
                // The kernel tells of the same ones first again, as long as they ask again and no more are ready than it tells of
                // at once.
                events
                    .sort_by_cached_key(|event: &epoll::Event| self.parked.turn(event.data.u64()));
            }
            for event in &events {
                match event.data.u64() {
                    WAKER => self.woken(),
                    token if token >= LISTENERS => {
                        self.accept(token.saturating_sub(LISTENERS) as usize)
                    }
                    id => match self.ready(id, &mut buffers) {
                        Some(poller) => self = poller,
                        // What else is ready is told to whoever has it now.
                        None => return,
                    },
                }
            }
        }
        let service = Arc::clone(&self.service);
        // With it go its connections and listeners, which whoever waits for its end counts on.
        drop(self);
        service.pool.note_poller_ended();
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

    /// Something came on a connection, or it ended. `None`: another thread is the poller now.
    fn ready(mut self: Box<Self>, id: u64, buffers: &mut Buffers) -> Option<Box<Self>> {
        if let Some(origin) = self.parked.origin(id)
            && self
                .answered
                .get(&origin)
                .is_some_and(|&count| count >= ANSWERS)
        {
            // It is told again.
            self.parked.leave(id);
            return Some(self);
        }
        // It may have expired a moment ago.
        let Some(mut connection) = self.parked.take(id) else {
            return Some(self);
        };
        let alive = match connection.stage {
            Stage::Lingering(1..) => connection.drain(&mut self.scratch),
            // Nothing is read any more, so only the client's end can have come.
            Stage::Lingering(0) => return Some(self),
            _ => connection.collect(&mut self.scratch),
        };
        match alive {
            Err(_) => connection.farewell(),
            Ok(()) if self.answers(&connection) => return self.answer(connection, buffers),
            Ok(()) => self.place(connection),
        }
        Some(self)
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
            Stage::Whole(_) | Stage::Refused(_) | Stage::Greeted(_) => self.push(connection),
            Stage::Greeting | Stage::Waiting | Stage::Partial if self.service.is_draining() => {
                self.last_chance(connection);
            }
            // Where it cannot be watched, it cannot be kept.
            _ => drop(self.park(connection)),
        }
    }

    /// Gives a connection to the workers.
    fn push(&mut self, mut connection: Box<Connection>) {
        if let (Watch::For(_), Ok(socket)) =
            (connection.watch, connection.wire.transport.readiness())
            && silence(&self.epoll, socket, connection.permit.id()).is_err()
        {
            // Events of it would keep the poller busy.
            return;
        }
        connection.watch.silence();
        self.service.pool.push(&self.service, connection);
    }

    fn park(&mut self, mut connection: Box<Connection>) -> io::Result<()> {
        connection.wire.shrink();
        let id = connection.permit.id();
        let mut flags = EventFlags::RDHUP;
        flags.set(EventFlags::IN, connection.stage != Stage::Lingering(0));
        flags.set(EventFlags::OUT, connection.wire.transport.wants_write());
        let readiness = connection.wire.transport.readiness()?;
        let id_of_events = EventData::new_u64(id);
        match connection.watch {
            Watch::For(told) if told == flags => {}
            Watch::For(_) | Watch::Silent => {
                epoll::modify(&self.epoll, readiness, id_of_events, flags)?;
            }
            Watch::No => epoll::add(&self.epoll, readiness, id_of_events, flags)?,
        }
        connection.watch = Watch::For(flags);
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
            Stage::Whole(_) | Stage::Refused(_) | Stage::Greeted(_) => self.push(connection),
            // Before `drain` has begun nobody is too late.
            _ if connection.is_fresh() && self.drained_at.is_none_or(|at| at > Instant::now()) => {
                drop(self.park(connection));
            }
            _ => connection.farewell(),
        }
    }
}

/// Has nothing told of a connection any more, while it stays in the set. Without `EPOLLONESHOT` its end would be told all the
/// same, again and again.
fn silence(epoll: &OwnedFd, socket: impl AsFd, id: u64) -> io::Result<()> {
    epoll::modify(epoll, socket, EventData::new_u64(id), EventFlags::ONESHOT)?;
    Ok(())
}
