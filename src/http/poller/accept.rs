//! New connections: welcomed, turned away with or without words, or left in the kernel's queue for a moment.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};

use super::{LISTENERS, Poller};
use crate::http::Refused;
use crate::http::admission::Full;
use crate::http::connection::Connection;
use crate::http::respond::send_now;
use crate::http::tls::TlsIdentity;
use crate::http::transport::Transport;
use crate::http::wire::Wire;
use crate::time::deadline;

/// Connections accepted in one go, before others get their turn.
const ACCEPTS: usize = 64;
/// Accepting pauses so long when it fails, for example because descriptors are used up.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A failure to accept is logged so often at most.
const WARNING_PAUSE: Duration = Duration::from_secs(10);
/// A connection that sent nothing for so long makes place for a new one when there are too many.
const EVICTABLE: Duration = Duration::from_secs(1);
/// So many connections a second are turned away with words; a flood gets none.
const TURNED_AWAY_POLITELY: u32 = 50;

impl Poller {
    pub(super) fn accept(&mut self, index: usize) {
        for _ in 0..ACCEPTS {
            let Some(listener) = self.listeners.get(index) else {
                return;
            };
            match listener.socket.accept() {
                Ok((socket, peer)) => {
                    let identity = listener.identity.clone();
                    self.welcome(socket, peer, identity);
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return,
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                    _ => return self.pause(&error),
                },
            }
        }
    }

    fn welcome(&mut self, socket: TcpStream, peer: SocketAddr, identity: Option<Arc<TlsIdentity>>) {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let socket = Arc::new(socket);
        let stall_timeout = self.service.limits.stall_timeout;
        let is_probe = self.service.is_probe(peer);
        let transport = match identity.filter(|_| !is_probe) {
            Some(identity) => Transport::tls(socket.clone(), identity, stall_timeout),
            None => Transport::plain(socket.clone(), stall_timeout),
        };
        let Ok(mut transport) = transport else {
            return;
        };
        let admission = self.service.admission.clone();
        let mut admitted = match is_probe {
            true => Ok(admission.admit_always(&socket, peer.ip())),
            false => admission.admit(&socket, peer.ip()),
        };
        if matches!(admitted, Err(Full::Server)) && self.evict() {
            admitted = admission.admit(&socket, peer.ip());
        }
        let permit = match admitted {
            Ok(permit) => permit,
            Err(full) => return self.turn_away(&mut transport, peer, full),
        };
        let wire = Wire::new(transport, stall_timeout);
        let mut connection = Box::new(Connection::new(permit, peer, wire));
        // The request is often there already, and then the set need not know of the connection.
        if connection.collect(&mut self.scratch).is_ok() {
            self.place(connection);
        }
    }

    /// Closes the connection that has waited longest with nothing to say.
    fn evict(&mut self) -> bool {
        match self.parked.longest_silent() {
            Some((since, id)) if since.elapsed() >= EVICTABLE => {
                let evicted = self.parked.take(id);
                evicted
                    .map(|mut connection| connection.farewell())
                    .is_some()
            }
            _ => false,
        }
    }

    fn turn_away(&mut self, transport: &mut Transport, peer: SocketAddr, full: Full) {
        self.service.admission.note_refused(full);
        let (second, count) = &mut self.turned_away;
        if second.elapsed() >= Duration::from_secs(1) {
            (*second, *count) = (Instant::now(), 0);
        }
        *count = count.saturating_add(1);
        if *count > TURNED_AWAY_POLITELY {
            return;
        }
        let message = match full {
            Full::Server => "there are too many connections",
            Full::Origin => "there are too many connections from this address",
        };
        let refused = Refused {
            status: 503,
            message,
        };
        // What is left unread would make a reset of the end, which can overtake the answer.
        let _ = transport.receive_now(&mut self.scratch);
        send_now(transport, self.service.refusal(refused, peer));
        transport.finish();
    }

    /// Stops accepting for a moment. The clients meanwhile wait in the kernel's queue.
    fn pause(&mut self, error: &io::Error) {
        if self
            .warned_at
            .is_none_or(|at| at.elapsed() >= WARNING_PAUSE)
        {
            tracing::warn!(%error, "cannot accept connections: trying again and again");
            self.warned_at = Some(Instant::now());
        }
        // It is mostly descriptors that are missing, and this gives one back.
        self.evict();
        self.unwatch_listeners();
        self.resume_at = Some(deadline(ACCEPT_PAUSE));
    }

    pub(super) fn resume(&mut self) {
        if self.resume_at.is_some_and(|at| at <= Instant::now()) {
            self.resume_at = None;
            if self.watch_listeners().is_err() {
                self.unwatch_listeners();
                self.resume_at = Some(deadline(ACCEPT_PAUSE));
            }
        }
    }

    pub(super) fn watch_listeners(&mut self) -> io::Result<()> {
        for (token, listener) in (LISTENERS..).zip(&self.listeners) {
            epoll::add(
                &self.epoll,
                &listener.socket,
                EventData::new_u64(token),
                EventFlags::IN,
            )?;
        }
        Ok(())
    }

    /// By hand and not by closing: another process may hold the same listener.
    pub(super) fn unwatch_listeners(&mut self) {
        let epoll: BorrowedFd<'_> = self.epoll.as_fd();
        for listener in &self.listeners {
            // It is not in the set while accepting pauses.
            let _ = epoll::delete(epoll, &listener.socket);
        }
    }
}
