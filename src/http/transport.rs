//! The byte stream below a connection: what may wait, what never waits, and how it ends.
//!
//! This is the only place that makes system calls on a connection's socket, for TLS too: another variant of
//! `Transport` with the same operations, of which `send_file` is `Unsupported`.
//! Sockets stay in blocking mode with the stall timeout set on them once; what must not wait says so per
//! call (`MSG_DONTWAIT`). So a connection changes hands between poller and workers without system calls.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

use super::Scheme;
use super::pace::Pace;
use super::tls::{TlsIdentity, TlsStream};
use crate::context;

/// A reader that takes less than this in a whole stall timeout of waiting for it is cut off. With the
/// default of a minute that is 1.1 KB/s: three layers at once over a line of 64 kbit/s get more than twice
/// that each, and less would keep a thread busy for a day with 100 MB.
const LEAST_TAKEN: usize = 64 * 1024;

/// Bytes for one call of sendfile, which goes on for as long as the client takes anything at all. The kernel
/// moves no more than this at a time anyway.
const SENDFILE_SLICE: usize = 64 * 1024;

/// A connection's byte stream. Its socket is shared with `Admission`, which may shut it down at any time.
#[derive(Default)]
pub(super) enum Transport {
    /// Taken away or broken off: every operation fails.
    #[default]
    Closed,
    /// TCP without encryption.
    Plain {
        socket: Arc<TcpStream>,
        sending: Pace,
    },
    /// TLS, or the way to it.
    Tls(Box<TlsStream>),
}

impl Transport {
    /// Prepares an accepted, blocking socket. `stall` bounds each wait in `receive` and `send`.
    pub(super) fn plain(socket: Arc<TcpStream>, stall: Duration) -> io::Result<Self> {
        prepare(&socket, stall)?;
        let sending = Pace::new(LEAST_TAKEN, stall);
        Ok(Self::Plain { socket, sending })
    }

    /// As `plain`, for a client that is to begin with a handshake.
    pub(super) fn tls(
        socket: Arc<TcpStream>,
        identity: Arc<TlsIdentity>,
        stall: Duration,
    ) -> io::Result<Self> {
        prepare(&socket, stall)?;
        let sending = Pace::new(LEAST_TAKEN, stall);
        let stream = TlsStream::new(socket, identity, stall, sending);
        Ok(Self::Tls(Box::new(stream)))
    }

    pub(super) fn scheme(&self) -> Scheme {
        match self {
            Self::Closed | Self::Plain { .. } => Scheme::Http,
            Self::Tls(_) => Scheme::Https,
        }
    }

    /// Whether bytes of requests can come, or those of a handshake first.
    pub(super) fn is_established(&self) -> bool {
        match self {
            Self::Closed | Self::Plain { .. } => true,
            Self::Tls(stream) => stream.is_established(),
        }
    }

    /// Goes on without TLS, to tell a client that began without it.
    pub(super) fn give_up_tls(&mut self, stall: Duration) {
        if let Self::Tls(stream) = self {
            let socket = stream.socket().clone();
            let sending = Pace::new(LEAST_TAKEN, stall);
            *self = Self::Plain { socket, sending };
        }
    }

    /// Whether it is TCP without encryption.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain { .. })
    }

    /// The socket; never to be read or written around this type.
    pub(super) fn socket(&self) -> io::Result<&Arc<TcpStream>> {
        match self {
            Self::Closed => Err(ErrorKind::NotConnected.into()),
            Self::Plain { socket, .. } => Ok(socket),
            Self::Tls(stream) => Ok(stream.socket()),
        }
    }

    /// The descriptor whose readiness says that `receive_now` may give something.
    pub(super) fn readiness(&self) -> io::Result<BorrowedFd<'_>> {
        Ok(self.socket()?.as_fd())
    }

    /// Whether `receive_now` would give something that the socket's readiness does not tell of.
    pub(super) fn holds_input(&mut self) -> bool {
        match self {
            Self::Closed | Self::Plain { .. } => false,
            Self::Tls(stream) => stream.holds_input(),
        }
    }

    /// Whether `flush_now` waits for room in the socket's buffer.
    pub(super) fn wants_write(&self) -> bool {
        match self {
            Self::Closed | Self::Plain { .. } => false,
            Self::Tls(stream) => stream.wants_write(),
        }
    }

    /// Sends what TLS wants to have sent by itself, as far as that goes without waiting.
    pub(super) fn flush_now(&mut self) -> io::Result<()> {
        match self {
            Self::Closed | Self::Plain { .. } => Ok(()),
            Self::Tls(stream) => stream.flush_now(),
        }
    }

    /// Receives what is there. `WouldBlock` if nothing is; 0 at the end of the stream.
    pub(super) fn receive_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tls(stream) => stream.receive_now(buffer),
            _ => receive_from(self.socket()?, buffer, RecvFlags::DONTWAIT),
        }
    }

    /// Receives at least a byte; 0 at the end of the stream. `TimedOut` if nothing comes in time.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        context::waits();
        match self {
            Self::Tls(stream) => stream.receive(buffer),
            _ => receive_from(self.socket()?, buffer, RecvFlags::empty()).map_err(stalled),
        }
    }

    /// Waits until `receive_now` may give something or the end; false if `within` passed before.
    pub(super) fn wait_readable(&mut self, within: Duration) -> io::Result<bool> {
        if self.holds_input() {
            return Ok(true);
        }
        let mut descriptors = [PollFd::new(self.socket()?, PollFlags::IN)];
        let timeout = within.try_into().map_err(io::Error::other)?;
        match rustix::event::poll(&mut descriptors, Some(&timeout)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// What tells whether the client has ended its side or broken the connection off, for whoever cannot watch the
    /// socket because the transport is in other hands. Bytes that it sent before do not hide it.
    pub(super) fn hang_up_detector(&self) -> impl Fn() -> bool + 'static {
        let socket = self.socket().ok().cloned();
        move || {
            let Some(socket) = &socket else {
                return true;
            };
            let mut descriptors = [PollFd::new(socket, PollFlags::RDHUP)];
            let polled = rustix::event::poll(&mut descriptors, Some(&Timespec::default()));
            // Errors and the end of both sides are told without being asked for.
            polled.is_ok_and(|ready| ready > 0)
        }
    }

    /// Sends all of `parts`. `TimedOut` if the client takes nothing, or too little, in a stall timeout of
    /// waiting. `more` says that other bytes follow at once, so that they can share a packet. Adds to `sent`
    /// as it goes.
    pub(super) fn send_all(
        &mut self,
        parts: &mut [IoSlice<'_>],
        more: bool,
        sent: &mut u64,
    ) -> io::Result<()> {
        let mut flags = SendFlags::NOSIGNAL;
        flags.set(SendFlags::MORE, more);
        if let Self::Tls(stream) = self {
            context::waits();
            return stream.send_all(parts, flags, sent);
        }
        let mut parts = parts;
        let mut waiting = SendFlags::DONTWAIT;
        // Also drops empty parts at the front.
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            let before = Instant::now();
            let count = match send_to(self.socket()?, parts, flags | waiting) {
                Err(error) if error.kind() == ErrorKind::WouldBlock && !waiting.is_empty() => {
                    context::waits();
                    waiting = SendFlags::empty();
                    continue;
                }
                other => other.map_err(stalled)?,
            };
            if count == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
            *sent = sent.saturating_add(count as u64);
            self.took(count, before)?;
            IoSlice::advance_slices(&mut parts, count);
        }
        Ok(())
    }

    /// Sends up to `count` bytes of `file` as they are, from `at`, which it moves on; 0 at the file's end.
    /// `Unsupported` if that cannot be done, as under TLS, and they must be copied. `TimedOut` as for
    /// `send_all`.
    pub(super) fn send_file(
        &mut self,
        file: &File,
        at: &mut u64,
        count: usize,
    ) -> io::Result<usize> {
        if matches!(self, Self::Tls(_)) {
            return Err(ErrorKind::Unsupported.into());
        }
        context::waits();
        let count = count.min(SENDFILE_SLICE);
        let before = Instant::now();
        let count = loop {
            match rustix::fs::sendfile(self.socket()?, file, Some(at), count) {
                Ok(count) => break count,
                Err(Errno::INTR) => {}
                // The file lies on a filesystem that cannot do it.
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    return Err(ErrorKind::Unsupported.into());
                }
                Err(error) => return Err(stalled(error.into())),
            }
        };
        self.took(count, before).map(|()| count)
    }

    /// Counts what the client took for the time it let us wait.
    fn took(&mut self, count: usize, before: Instant) -> io::Result<()> {
        match self {
            // The latter counts by itself.
            Self::Closed | Self::Tls(_) => Ok(()),
            Self::Plain { sending, .. } => sending.note(count, before.elapsed()),
        }
    }

    /// Sends as much of `bytes` as fits into the socket's buffer without waiting. `Unsupported` under TLS:
    /// without a handshake there is nothing that could be said.
    pub(super) fn send_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if matches!(self, Self::Tls(_)) {
            return Err(ErrorKind::Unsupported.into());
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        send_to(self.socket()?, &[IoSlice::new(bytes)], flags)
    }

    /// Tells the client that nothing more will come; what was sent still arrives.
    pub(super) fn finish(&mut self) {
        if let Self::Tls(stream) = self {
            stream.close_notify();
        }
        if let Ok(socket) = self.socket() {
            // The peer may be gone already, which is what was wanted.
            let _ = socket.shutdown(Shutdown::Write);
        }
    }

    /// Breaks the connection off with a reset, so that no client takes what it got for complete: a plain
    /// end would look like one to HTTP/1.0, and to clients that do not count. Under TLS the end that was not
    /// announced says the same.
    pub(super) fn abort(&mut self) {
        let ended = std::mem::take(self);
        if let Ok(socket) = ended.socket() {
            // If the option cannot be set, the early end alone must do.
            // The reset leaves when the connection's permit is dropped too, and with it the descriptor.
            let _ = socket2::SockRef::from(&**socket).set_linger(Some(Duration::ZERO));
        }
    }
}

fn prepare(socket: &TcpStream, stall: Duration) -> io::Result<()> {
    // Without it every small answer on a kept connection waits up to 40 ms for the peer's ACK.
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(stall))?;
    socket.set_write_timeout(Some(stall))
}

pub(super) fn receive_from(
    socket: &TcpStream,
    buffer: &mut [u8],
    flags: RecvFlags,
) -> io::Result<usize> {
    loop {
        match rustix::net::recv(socket, &mut *buffer, flags) {
            Ok((_, count)) => return Ok(count),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

pub(super) fn send_to(
    socket: &TcpStream,
    parts: &[IoSlice<'_>],
    flags: SendFlags,
) -> io::Result<usize> {
    loop {
        let mut control = SendAncillaryBuffer::default();
        match rustix::net::sendmsg(socket, parts, &mut control, flags) {
            Ok(count) => return Ok(count),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A socket timeout comes as `WouldBlock`, which would mislead whoever does not know about it.
pub(super) fn stalled(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::WouldBlock {
        return io::Error::new(ErrorKind::TimedOut, "the client stalled");
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    const STALL: Duration = Duration::from_millis(1500);
    const LENGTH: usize = 1 << 20;

    /// A transport with small buffers, and a client that takes `step` bytes again and again.
    fn sending_to(step: usize, pause: Duration) -> (Transport, std::thread::JoinHandle<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let kind = socket2::Type::STREAM;
        let client = socket2::Socket::new(socket2::Domain::IPV4, kind, None).unwrap();
        client.set_recv_buffer_size(4096).unwrap();
        let address = listener.local_addr().unwrap();
        client.connect(&address.into()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let small = socket2::SockRef::from(&server).set_send_buffer_size(4096);
        small.unwrap();
        let mut client: TcpStream = client.into();
        let reader = std::thread::spawn(move || {
            let mut piece = vec![0; step];
            let mut taken = 0;
            while let Ok(count @ 1..) = client.read(&mut piece) {
                taken += count;
                std::thread::sleep(pause);
            }
            taken
        });
        (Transport::plain(Arc::new(server), STALL).unwrap(), reader)
    }

    /// Sends from memory, in large and small pieces, and from a file.
    fn send(transport: &mut Transport, way: &str) -> io::Result<()> {
        let bytes = vec![7; LENGTH];
        match way {
            "at once" => transport.send_all(&mut [IoSlice::new(&bytes)], false, &mut 0),
            "in pieces" => bytes.chunks(1024).try_for_each(|piece| {
                transport.send_all(&mut [IoSlice::new(piece)], false, &mut 0)
            }),
            _ => {
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(&bytes).unwrap();
                let mut at = 0;
                while at < LENGTH as u64 {
                    transport.send_file(&file, &mut at, LENGTH)?;
                }
                Ok(())
            }
        }
    }

    #[test]
    fn a_reader_that_trickles_is_a_stall_and_one_that_is_slow_is_not() {
        // (bytes, pause): 10 KB a second is less than is asked for here, 400 KB is more.
        let cases = [(500, 50, false), (20_000, 50, true)];
        std::thread::scope(|scope| {
            for (step, pause, served) in cases {
                for way in ["at once", "in pieces", "from a file"] {
                    scope.spawn(move || {
                        let pause = Duration::from_millis(pause);
                        let (mut transport, reader) = sending_to(step, pause);
                        let sent = send(&mut transport, way);
                        match &sent {
                            Ok(()) => transport.finish(),
                            Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut, "{way}"),
                        }
                        assert_eq!(sent.is_ok(), served, "{step} {way}: {sent:?}");
                        transport.abort();
                        drop(transport);
                        let taken = reader.join().unwrap();
                        assert!(taken > step, "{step} {way}: {taken}");
                    });
                }
            }
        });
    }
}
