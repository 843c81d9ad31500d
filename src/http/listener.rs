//! Accept, limits, admission, graceful stop.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use super::{Request, Response};
use crate::error::Result;

/// Limits of the public port.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Threads that answer requests.
    pub workers: usize,
    /// Connections at once; further ones wait in the kernel's queue or are closed.
    pub max_connections: usize,
    /// Connections at once from one address.
    pub max_connections_per_address: usize,
    /// For the whole head, from its first byte (and for the first byte after accept).
    pub head_timeout: Duration,
    /// For the next request on a kept connection.
    pub idle_timeout: Duration,
    /// For any progress in a body, in either direction.
    pub stall_timeout: Duration,
}

/// Why a request never reached the handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// 400, 408, 413, 417, 431, 501, 503 or 505.
    pub status: u16,
    /// A sentence for the client.
    pub message: &'static str,
    /// The connection's peer.
    pub peer: SocketAddr,
}

/// What answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request; runs on a worker with blocking IO.
    fn handle(&self, request: &mut Request) -> Response;
    /// Renders and logs the answer to a request that was refused before it became one. The connection
    /// is closed after it.
    fn refuse(&self, refusal: &Refusal) -> Response;
}

/// The running front door.
pub struct Server {
    _private: (),
}

impl Server {
    /// Starts the poller, the acceptors and the workers on bound listeners.
    ///
    /// # Errors
    /// `Io` when a thread or the poller cannot be made.
    pub fn start(
        _listeners: Vec<TcpListener>,
        _limits: Limits,
        _handler: Arc<dyn Handler>,
    ) -> Result<Self> {
        todo!()
    }
    /// The bound addresses, in the order of the listeners.
    pub fn addresses(&self) -> &[SocketAddr] {
        todo!()
    }
    /// Stops accepting, closes idle connections, lets answers in flight finish for at most `within`,
    /// then closes what is left. Returns how many connections were cut.
    pub fn stop(self, _within: Duration) -> usize {
        todo!()
    }
}
