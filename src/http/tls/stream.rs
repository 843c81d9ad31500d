//! The byte stream of one TLS connection over a socket: what `Transport` does with it.
//!
//! Until the handshake is done it gives the bytes as they come, so that whoever waits for a whole flight can
//! see one, and costs no TLS state before the first flight is there.

use std::io::{self, BufRead, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, SendFlags};
use rustls::ServerConnection;

use super::super::pace::Pace;
use super::super::transport::{receive_from, send_to, stalled};
use super::TlsIdentity;

/// The most of a record that comes with one call of `receive_now`, before others get their turn.
const READS: usize = 8;

/// TLS over a socket.
pub(in super::super) struct TlsStream {
    socket: Arc<TcpStream>,
    identity: Arc<TlsIdentity>,
    session: Option<Box<ServerConnection>>,
    established: bool,
    stall: Duration,
    sending: Pace,
}

impl TlsStream {
    /// A connection of which nothing came yet. `sending` judges how slow its reader may be.
    pub(in super::super) fn new(
        socket: Arc<TcpStream>,
        identity: Arc<TlsIdentity>,
        stall: Duration,
        sending: Pace,
    ) -> Self {
        Self {
            socket,
            identity,
            session: None,
            established: false,
            stall,
            sending,
        }
    }

    pub(in super::super) fn socket(&self) -> &Arc<TcpStream> {
        &self.socket
    }

    /// Whether the handshake is done. Before that, `receive_now` gives records as they come.
    pub(in super::super) fn is_established(&self) -> bool {
        self.established
    }

    /// Whether nothing was made of what the client sent.
    pub(in super::super) fn is_untouched(&self) -> bool {
        self.session.is_none()
    }

    /// Takes `records`, a whole flight of the handshake, and sends what is to be said to it, as far as that
    /// goes without waiting. When the handshake is done it takes the `tail` behind them too, whole or not,
    /// and gives what stands in both beyond the handshake.
    ///
    /// # Errors
    /// The client cannot be talked to; it was told why.
    pub(in super::super) fn shake(
        &mut self,
        records: &[u8],
        tail: &[u8],
    ) -> io::Result<Option<Vec<u8>>> {
        if self.session.is_none() {
            let session = self.identity.session().map_err(io::Error::other)?;
            self.session = Some(Box::new(session));
        }
        let mut rest = records;
        while !rest.is_empty() && self.session()?.is_handshaking() {
            self.session()?.read_tls(&mut rest)?;
            self.process()?;
        }
        self.flush_now()?;
        self.established = !self.session()?.is_handshaking();
        if !self.established {
            return Ok(None);
        }
        let mut said = Vec::new();
        self.absorb(rest, &mut said)?;
        self.absorb(tail, &mut said)?;
        Ok(Some(said))
    }

    /// Decrypts `records` to the end of `said`.
    fn absorb(&mut self, records: &[u8], said: &mut Vec<u8>) -> io::Result<()> {
        let mut rest = records;
        loop {
            let ended = match self.session()?.reader().read_to_end(said) {
                Ok(_) => true,
                Err(error) => error.kind() != ErrorKind::WouldBlock,
            };
            // An end, whole or not, is found again by the next to read.
            if ended || rest.is_empty() {
                return Ok(());
            }
            self.session()?.read_tls(&mut rest)?;
            self.process()?;
        }
    }

    /// Whether `receive_now` would give something, or the end, without asking the socket.
    pub(in super::super) fn holds_input(&mut self) -> bool {
        let session = self.session.as_mut().filter(|_| self.established);
        session.is_some_and(|session| {
            let mut reader = session.reader();
            !matches!(reader.fill_buf(), Err(error) if error.kind() == ErrorKind::WouldBlock)
        })
    }

    /// As `Transport::receive_now`.
    pub(in super::super) fn receive_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.established {
            return receive_from(&self.socket, buffer, RecvFlags::DONTWAIT);
        }
        for _ in 0..READS {
            if let Some(count) = self.take(buffer)? {
                return Ok(count);
            }
            self.fill(RecvFlags::DONTWAIT)?;
        }
        // Whoever watches the socket is told of the rest.
        self.take(buffer)?.ok_or(ErrorKind::WouldBlock.into())
    }

    /// As `Transport::receive`. A record that does not come whole within a stall timeout is none.
    pub(in super::super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let begun = Instant::now();
        loop {
            if let Some(count) = self.take(buffer)? {
                return Ok(count);
            }
            if begun.elapsed() > self.stall {
                return Err(stalled(ErrorKind::WouldBlock.into()));
            }
            self.fill(RecvFlags::empty()).map_err(stalled)?;
        }
    }

    /// What was decrypted; 0 is the client's own end. A connection that just breaks off is an error.
    fn take(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.session()?.reader().read(buffer) {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Receives once, and decrypts what is whole.
    fn fill(&mut self, flags: RecvFlags) -> io::Result<()> {
        let socket = Socket {
            socket: &self.socket.clone(),
            receive: flags,
            send: SendFlags::empty(),
        };
        self.session()?.read_tls(&mut { socket })?;
        self.process()
    }

    fn process(&mut self) -> io::Result<()> {
        let processed = self.session()?.process_new_packets();
        processed.map(drop).map_err(|error| {
            // The alert says what was wrong with what came.
            let _ = self.flush_now();
            io::Error::new(ErrorKind::InvalidData, error)
        })
    }

    /// As `Transport::send_all`.
    pub(in super::super) fn send_all(
        &mut self,
        parts: &mut [IoSlice<'_>],
        flags: SendFlags,
        sent: &mut u64,
    ) -> io::Result<()> {
        let mut parts = parts;
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            let count = self.session()?.writer().write_vectored(parts)?;
            if count == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
            self.flush(flags)?;
            *sent = sent.saturating_add(count as u64);
            IoSlice::advance_slices(&mut parts, count);
        }
        Ok(())
    }

    /// Sends all that is encrypted.
    fn flush(&mut self, flags: SendFlags) -> io::Result<()> {
        let socket = self.socket.clone();
        let mut out = Socket {
            socket: &socket,
            receive: RecvFlags::empty(),
            send: flags,
        };
        while self.wants_write() {
            let before = Instant::now();
            match self.session()?.write_tls(&mut out).map_err(stalled)? {
                0 => return Err(ErrorKind::WriteZero.into()),
                count => self.sending.note(count, before.elapsed())?,
            }
        }
        Ok(())
    }

    /// Whether something waits for room in the socket's buffer.
    pub(in super::super) fn wants_write(&self) -> bool {
        let session = self.session.as_ref();
        session.is_some_and(|session| session.wants_write())
    }

    /// Sends what is encrypted as far as that goes without waiting.
    pub(in super::super) fn flush_now(&mut self) -> io::Result<()> {
        let socket = self.socket.clone();
        let mut out = Socket {
            socket: &socket,
            receive: RecvFlags::empty(),
            send: SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
        };
        while self.wants_write() {
            match self.session()?.write_tls(&mut out) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Says that nothing more will come, so that the client can tell a whole answer from a broken one.
    pub(in super::super) fn close_notify(&mut self) {
        if let Some(session) = &mut self.session {
            session.send_close_notify();
            // A client that is gone, or takes nothing, has no use for it.
            let _ = self.flush_now();
        }
    }

    fn session(&mut self) -> io::Result<&mut ServerConnection> {
        let session = self.session.as_deref_mut();
        session.ok_or_else(|| ErrorKind::NotConnected.into())
    }
}

/// The socket as rustls reads and writes it.
struct Socket<'a> {
    socket: &'a TcpStream,
    receive: RecvFlags,
    send: SendFlags,
}

impl Read for Socket<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        receive_from(self.socket, buf, self.receive)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        send_to(self.socket, &[IoSlice::new(buf)], self.send)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        send_to(self.socket, bufs, self.send)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
