//! The byte stream below a connection: what may wait, what never waits, and how it ends.
//!
//! This is the only place that makes system calls on a connection's socket, and the place where TLS comes
//! in: another variant of `Transport` with the same operations, without the capability of sendfile.
//! Sockets stay in blocking mode with the stall timeout set on them once; what must not wait says so per
//! call (`MSG_DONTWAIT`). So a connection changes hands between poller and workers without system calls.

use std::io::{self, ErrorKind, IoSlice};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

use super::Scheme;

/// A connection's byte stream.
#[derive(Default)]
pub(super) enum Transport {
    /// Taken away or broken off: every operation fails.
    #[default]
    Closed,
    /// TCP without encryption. The socket is shared with `Admission`, which may shut it down at any time.
    Plain(Arc<TcpStream>),
}

impl Transport {
    /// Prepares an accepted, blocking socket. `stall` bounds each wait in `receive` and `send`.
    pub(super) fn plain(socket: Arc<TcpStream>, stall: Duration) -> io::Result<Self> {
        // Without it every small answer on a kept connection waits up to 40 ms for the peer's ACK.
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(stall))?;
        socket.set_write_timeout(Some(stall))?;
        Ok(Self::Plain(socket))
    }

    pub(super) fn scheme(&self) -> Scheme {
        Scheme::Http
    }

    /// The socket, for readiness and for `sendfile`'s sake; never to be read or written around this type.
    fn socket(&self) -> io::Result<&TcpStream> {
        match self {
            Self::Closed => Err(ErrorKind::NotConnected.into()),
            Self::Plain(socket) => Ok(socket),
        }
    }

    /// The descriptor whose readiness says that `receive_now` may give something.
    pub(super) fn readiness(&self) -> io::Result<BorrowedFd<'_>> {
        Ok(self.socket()?.as_fd())
    }

    /// Where `sendfile` may write, if the bytes of a file may go out as they are.
    pub(super) fn sendfile_target(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Closed => None,
            Self::Plain(socket) => Some(socket.as_fd()),
        }
    }

    /// Receives what is there. `WouldBlock` if nothing is; 0 at the end of the stream.
    pub(super) fn receive_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive_with(buffer, RecvFlags::DONTWAIT)
    }

    /// Receives at least a byte; 0 at the end of the stream. `TimedOut` if nothing comes in time.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive_with(buffer, RecvFlags::empty())
            .map_err(stalled)
    }

    fn receive_with(&mut self, buffer: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
        let socket = self.socket()?;
        loop {
            match rustix::net::recv(socket, &mut *buffer, flags) {
                Ok((_, count)) => return Ok(count),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until `receive_now` would give something or the end; false if `within` passed before.
    pub(super) fn wait_readable(&mut self, within: Duration) -> io::Result<bool> {
        let mut descriptors = [PollFd::new(self.socket()?, PollFlags::IN)];
        let timeout = within.try_into().map_err(io::Error::other)?;
        match rustix::event::poll(&mut descriptors, Some(&timeout)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends all of `parts`, waiting no longer than the stall timeout for each bit of progress. `more` says
    /// that other bytes follow at once, so that they can share a packet. Adds to `sent` as it goes.
    pub(super) fn send_all(
        &mut self,
        parts: &mut [IoSlice<'_>],
        more: bool,
        sent: &mut u64,
    ) -> io::Result<()> {
        let mut flags = SendFlags::NOSIGNAL;
        flags.set(SendFlags::MORE, more);
        let mut parts = parts;
        // Also drops empty parts at the front.
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            let count = self.send_with(parts, flags).map_err(stalled)?;
            if count == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
            *sent += count as u64;
            IoSlice::advance_slices(&mut parts, count);
        }
        Ok(())
    }

    /// Sends as much of `bytes` as fits into the socket's buffer without waiting.
    pub(super) fn send_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        self.send_with(&[IoSlice::new(bytes)], flags)
    }

    fn send_with(&mut self, parts: &[IoSlice<'_>], flags: SendFlags) -> io::Result<usize> {
        let socket = self.socket()?;
        loop {
            let mut control = SendAncillaryBuffer::default();
            match rustix::net::sendmsg(socket, parts, &mut control, flags) {
                Ok(count) => return Ok(count),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Tells the client that nothing more will come; what was sent still arrives.
    pub(super) fn finish(&mut self) {
        if let Self::Plain(socket) = self {
            // The peer may be gone already, which is what was wanted.
            let _ = socket.shutdown(Shutdown::Write);
        }
    }

    /// Breaks the connection off with a reset, so that no client takes what it got for complete: a plain
    /// end would look like one to HTTP/1.0, and to clients that do not count.
    pub(super) fn abort(&mut self) {
        if let Self::Plain(socket) = std::mem::take(self) {
            // If the option cannot be set, the early end alone must do.
            // The reset leaves when the connection's permit is dropped too, and with it the descriptor.
            let _ = socket2::SockRef::from(&*socket).set_linger(Some(Duration::ZERO));
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
