//! The public port: its limits, what answers behind it, its start and its graceful stop. The work itself is
//! done by `poller` and `workers`.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use super::poller::Poller;
use super::probe::Probe;
use super::service::{Phase, Service};
use super::{Gauge, Request, Response, Scheme, TlsIdentity};
use crate::error::{Error, Kind, Result};

/// Connections that the kernel completes and keeps while the poller is busy or pauses, or while another
/// process takes over the listeners; it cuts this to its own limit.
const BACKLOG: i32 = 4096;
/// How long `stop` waits for its threads after everything was cut. A handler that waits for something else
/// than its client cannot be interrupted, and is left behind.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Limits of the public port.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Threads that answer requests. When they are held up, what has waited for 50 ms gets further ones, up
    /// to `max_connections` in all.
    pub workers: usize,
    /// Connections at once; further ones take the place of one that has nothing to say, or get a 503.
    pub max_connections: usize,
    /// Connections at once from one address (from one /64 in IPv6).
    pub max_connections_per_address: usize,
    /// For the whole head, from its first byte (and for the first byte after accept).
    pub head_timeout: Duration,
    /// For the next request on a kept connection.
    pub idle_timeout: Duration,
    /// For enough progress in a body, in either direction; at least a millisecond. Enough is 1 KiB from a
    /// client and 64 KiB to it; only time spent waiting for the client counts.
    pub stall_timeout: Duration,
}

/// Why a request never reached the handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// 400, 408, 417, 431, 501, 503 or 505.
    pub status: u16,
    /// A sentence for the client.
    pub message: &'static str,
    pub peer: SocketAddr,
}

/// A refusal before it is known whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: u16,
    pub(super) message: &'static str,
}

impl Refused {
    /// 400: what came is not HTTP, or not safely.
    pub(super) const fn bad(message: &'static str) -> Self {
        Self {
            status: 400,
            message,
        }
    }
}

/// What answers requests. A panic in either method costs its connection and nothing else.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request; runs on a worker with blocking IO, unless [`Self::may_answer_from_memory`].
    fn handle(&self, request: &mut Request) -> Response;
    /// Whether the request of this head is likely to be answered from memory: then the poller's thread may do so itself.
    /// Whatever waits all the same says so before ([`crate::context::waits`]).
    fn may_answer_from_memory(&self, _head: &[u8]) -> bool {
        false
    }
    /// Renders and logs the answer to a request that was refused before it became one. The connection
    /// is closed after it. It may run on the poller's thread, so it must not wait for anything.
    fn refuse(&self, refusal: &Refusal) -> Response;
}

/// A bound socket, and what is spoken on it.
pub struct Listener {
    pub(super) socket: TcpListener,
    pub(super) identity: Option<Arc<TlsIdentity>>,
}

impl Listener {
    /// TLS, under the name that `identity` proves.
    pub fn tls(socket: TcpListener, identity: Arc<TlsIdentity>) -> Self {
        Self {
            socket,
            identity: Some(identity),
        }
    }

    /// What requests that come in by it have.
    pub fn scheme(&self) -> Scheme {
        match self.identity {
            Some(_) => Scheme::Https,
            None => Scheme::Http,
        }
    }

    /// The bound address.
    ///
    /// # Errors
    /// `Io` where the system does not say.
    pub fn address(&self) -> Result<SocketAddr> {
        self.socket.local_addr().map_err(|error| {
            Error::new(Kind::Io, "cannot find the address of a listener").because(error)
        })
    }
}

/// Plain HTTP.
impl From<TcpListener> for Listener {
    fn from(socket: TcpListener) -> Self {
        Self {
            socket,
            identity: None,
        }
    }
}

/// The running server. Dropping it ends it at once, without grace.
pub struct Server {
    service: Arc<Service>,
    addresses: Vec<SocketAddr>,
    ended: bool,
}

impl Server {
    /// Starts the poller, the acceptors and the workers on bound listeners.
    ///
    /// # Errors
    /// `Io` when a thread or the poller cannot be made.
    pub fn start(
        listeners: impl IntoIterator<Item = impl Into<Listener>>,
        limits: Limits,
        handler: Arc<dyn Handler>,
    ) -> Result<Self> {
        let failed = |doing: &str, error: std::io::Error| {
            Error::new(Kind::Io, format!("cannot {doing} for the public port")).because(error)
        };
        let listeners: Vec<Listener> = listeners.into_iter().map(Into::into).collect();
        let mut addresses = Vec::with_capacity(listeners.len());
        for listener in &listeners {
            listener
                .socket
                .set_nonblocking(true)
                .map_err(|error| failed("prepare a listener", error))?;
            // The standard library asks for 128, which a burst of clients exceeds.
            socket2::SockRef::from(&listener.socket)
                .listen(BACKLOG)
                .map_err(|error| failed("listen", error))?;
            addresses.push(listener.address()?);
        }
        let flags = rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK;
        let waker = rustix::event::eventfd(0, flags)
            .map_err(|error| failed("make an eventfd", error.into()))?;
        let identities = listeners.iter().filter_map(|one| one.identity.clone());
        let service = Service::new(limits, handler, identities.collect(), waker);
        let poller = Poller::new(service.clone(), listeners)
            .map_err(|error| failed("make an epoll set", error))?;
        service
            .pool
            .begin(&service, Box::new(poller))
            .map_err(|error| failed("start a thread", error))?;
        Ok(Self {
            service,
            addresses,
            ended: false,
        })
    }

    /// The bound addresses, in the order of the listeners.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What asks this server whether it answers.
    pub fn probe(&self) -> Probe {
        Probe::new(self.service.clone(), self.addresses.clone())
    }

    pub fn gauge(&self) -> Gauge {
        Gauge::new(Arc::downgrade(&self.service))
    }

    /// Stops accepting, closes idle connections, lets answers in flight finish for at most `within`,
    /// then closes what is left. Returns how many connections were cut.
    pub fn stop(mut self, within: Duration) -> usize {
        self.service.enter(Phase::Draining);
        // Before that, nobody being there does not mean that nobody comes.
        self.service.wait_until_closed(LAST_MOMENT.min(within));
        self.service.admission.wait_until_empty(within);
        let cut = self.service.admission.cut();
        self.end();
        self.service.pool.close(LAST_MOMENT);
        cut
    }

    /// Ends the poller, and with it all connections that no worker has.
    fn end(&mut self) {
        self.ended = true;
        self.service.enter(Phase::Ended);
        self.service.pool.wait_for_poller(LAST_MOMENT);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.ended {
            self.service.admission.cut();
            self.end();
            self.service.pool.close(Duration::ZERO);
        }
    }
}
