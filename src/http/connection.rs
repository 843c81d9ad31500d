//! A connection between two requests: what it has sent of the next one, and how long that may take.
//!
//! It is held by exactly one side at a time, the poller or a worker, and goes from hand to hand as a whole.
//! It waits for nothing here; who waits, and how, is decided by its holder.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;

use super::admission::Permit;
use super::head_scan::HeadScan;
use super::tls::{Flight, next_flight};
use super::transport::Transport;
use super::wire::Wire;
use super::{Limits, Refused};

/// After the last response a client gets so long to read it and to close.
const LINGER: Duration = Duration::from_secs(2);
/// So much of what it still sends is read meanwhile; beyond that it has to stop by itself.
const LINGER_LIMIT: usize = 256 * 1024;

/// Where a connection stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// The next flight of a TLS handshake has not come whole.
    Greeting,
    /// It has: so many bytes of the wire's buffer.
    Greeted(usize),
    /// Nothing of the next request has come.
    Waiting,
    /// A part of its head has.
    Partial,
    /// Its head lies whole in the wire's buffer, at this place.
    Whole(Range<usize>),
    /// It cannot become a request.
    Refused(Refused),
    /// The last response was sent, and the client's end is waited for, so that a reset cannot overtake
    /// the response (RFC 9112 section 9.6). So many bytes may still be read.
    Lingering(usize),
}

/// What the poller's set has of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    No,
    /// It is in the set, and nothing is told of it.
    Silent,
    /// These events are told, again and again for as long as they hold.
    For(EventFlags),
}

impl Watch {
    /// Notes that nothing is told any more.
    pub(super) fn silence(&mut self) {
        if matches!(self, Self::For(_)) {
            *self = Self::Silent;
        }
    }
}

/// A connection. Its permit is dropped first, see `Permit`.
pub(super) struct Connection {
    pub(super) permit: Permit,
    pub(super) peer: SocketAddr,
    pub(super) wire: Wire,
    pub(super) stage: Stage,
    pub(super) watch: Watch,
    scan: HeadScan,
    /// When the stage began; a head begins with its first byte, and a handshake with the connection.
    since: Instant,
    /// Whether a request was answered on it.
    used: bool,
}

impl Connection {
    pub(super) fn new(permit: Permit, peer: SocketAddr, wire: Wire) -> Self {
        let stage = match wire.transport.is_established() {
            true => Stage::Waiting,
            false => Stage::Greeting,
        };
        Self {
            permit,
            peer,
            wire,
            stage,
            watch: Watch::No,
            scan: HeadScan::default(),
            since: Instant::now(),
            used: false,
        }
    }

    /// When its stage began.
    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// Whether nothing of a request has come, so that its end costs a client little.
    pub(super) fn is_silent(&self) -> bool {
        matches!(self.stage, Stage::Waiting | Stage::Greeting)
    }

    /// Whether its client has not had any answer yet.
    pub(super) fn is_fresh(&self) -> bool {
        !self.used && !matches!(self.stage, Stage::Lingering(_))
    }

    /// Until when its stage may last.
    pub(super) fn deadline(&self, limits: &Limits) -> Instant {
        let within = match self.stage {
            Stage::Waiting if self.used => limits.idle_timeout,
            Stage::Lingering(_) => LINGER,
            _ => limits.head_timeout,
        };
        crate::time::after(self.since, within)
    }

    /// Receives what is there of the next head, without waiting.
    ///
    /// # Errors
    /// The client is gone, or has ended its side before a whole head.
    pub(super) fn collect(&mut self, scratch: &mut [u8]) -> io::Result<()> {
        self.wire.transport.flush_now()?;
        loop {
            let count = match self.wire.transport.receive_now(scratch) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.wire.append(scratch.get(..count).unwrap_or_default());
            self.look()?;
            let unfinished = matches!(
                self.stage,
                Stage::Greeting | Stage::Waiting | Stage::Partial
            );
            if !unfinished || count < scratch.len() {
                return Ok(());
            }
        }
    }

    /// Looks whether what was received is a whole head, or a whole flight of a handshake.
    fn look(&mut self) -> io::Result<()> {
        if self.stage == Stage::Greeting {
            return self.look_at_flight();
        }
        self.look_at_head();
        Ok(())
    }

    fn look_at_head(&mut self) {
        if self.wire.unread().is_empty() {
            return;
        }
        if self.stage == Stage::Waiting {
            self.enter(Stage::Partial);
        }
        match self.scan.advance(self.wire.unread()) {
            Ok(None) => {}
            Ok(Some(head)) => self.stage = Stage::Whole(head),
            Err(refused) => self.stage = Stage::Refused(refused),
        }
    }

    fn look_at_flight(&mut self) -> io::Result<()> {
        let first = matches!(&self.wire.transport, Transport::Tls(stream) if stream.is_untouched());
        match next_flight(self.wire.unread(), first) {
            Flight::Partial => {}
            Flight::Whole(length) => self.stage = Stage::Greeted(length),
            Flight::PlainHttp => {
                self.wire.transport.give_up_tls(self.wire.stall_timeout);
                self.stage = Stage::Refused(Refused::bad(
                    "this port speaks TLS, and the request came without it: use https",
                ));
            }
            Flight::Nonsense => return Err(ErrorKind::InvalidData.into()),
        }
        Ok(())
    }

    /// Goes on with the TLS handshake, whose next flight is the first `length` bytes of the buffer. Waits for
    /// nothing.
    ///
    /// # Errors
    /// The client cannot be talked to.
    pub(super) fn shake(&mut self, length: usize) -> io::Result<()> {
        let (transport, received) = self.wire.parts();
        let (Transport::Tls(stream), Some((records, tail))) =
            (transport, received.split_at_checked(length))
        else {
            return Err(ErrorKind::NotConnected.into());
        };
        match stream.shake(records, tail)? {
            None => {
                self.wire.consume(length);
                // The deadline is that of the whole handshake.
                self.stage = Stage::Greeting;
            }
            Some(said) => {
                self.wire.consume(self.wire.unread().len());
                self.wire.append(&said);
                self.enter(Stage::Waiting);
            }
        }
        self.look()
    }

    /// Begins with the next request, of which a part or all may be there already.
    pub(super) fn next_request(&mut self) {
        self.used = true;
        self.scan = HeadScan::default();
        self.enter(Stage::Waiting);
        self.look_at_head();
    }

    /// Ends a connection that owes its client nothing, so that the client can tell this from an end in the
    /// middle of something.
    pub(super) fn farewell(&mut self) {
        if self.stage == Stage::Waiting {
            self.wire.transport.finish();
        }
    }

    /// Ends our side of the connection; the poller waits for the client's.
    pub(super) fn linger(&mut self) {
        self.wire.transport.finish();
        self.wire.consume(self.wire.unread().len());
        self.permit.answered();
        self.enter(Stage::Lingering(LINGER_LIMIT));
    }

    /// Reads and forgets what a lingering client still sends.
    ///
    /// # Errors
    /// The client is gone, which is what was waited for.
    pub(super) fn drain(&mut self, scratch: &mut [u8]) -> io::Result<()> {
        while let Stage::Lingering(left @ 1..) = &mut self.stage {
            match self.wire.transport.receive_now(scratch) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => *left = left.saturating_sub(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.since = Instant::now();
    }
}
