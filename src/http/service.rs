//! What poller and workers share: the limits, the handler, the way back to the poller, and the phase.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::admission::Admission;
use super::connection::Connection;
use super::exchange::plain;
use super::transport::Transport;
use super::workers::Pool;
use super::{Handler, Limits, Refusal, Refused, Response, TlsIdentity};
use crate::time::Timestamp;

/// How far the server is on its way to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Running,
    /// No new connections; each one ends with the answer it is owed.
    Draining,
    /// Nothing more is done.
    Ended,
}

/// The one thing that all threads of a server hold.
pub(super) struct Service {
    pub(super) limits: Limits,
    pub(super) handler: Arc<dyn Handler>,
    /// Those of the listeners that speak TLS.
    identities: Vec<Arc<TlsIdentity>>,
    pub(super) admission: Arc<Admission>,
    pub(super) pool: Pool,
    /// An eventfd in the poller's set.
    pub(super) waker: OwnedFd,
    /// The address of `Probe`, while it asks.
    pub(super) probe: Mutex<Option<SocketAddr>>,
    phase: AtomicU8,
    /// Whether the listeners are closed, so that no further connection can come.
    closed: Mutex<bool>,
    closing: Condvar,
    /// Connections on their way from a worker to the poller.
    #[allow(clippy::vec_box, reason = "connections change hands as pointers")]
    returned: Mutex<Vec<Box<Connection>>>,
}

impl Service {
    pub(super) fn new(
        limits: Limits,
        handler: Arc<dyn Handler>,
        identities: Vec<Arc<TlsIdentity>>,
        waker: OwnedFd,
    ) -> Arc<Self> {
        Arc::new(Self {
            admission: Admission::new(limits.max_connections, limits.max_connections_per_address),
            // No connection can use more than one worker.
            pool: Pool::new(limits.workers, limits.max_connections),
            limits,
            handler,
            identities,
            waker,
            probe: Mutex::default(),
            phase: AtomicU8::new(Phase::Running as u8),
            closed: Mutex::default(),
            closing: Condvar::new(),
            returned: Mutex::default(),
        })
    }

    /// When the first certificate ends.
    pub(super) fn certificate_ends(&self) -> Option<Timestamp> {
        let ends = self.identities.iter();
        ends.map(|identity| identity.summary().not_after).min()
    }

    /// Whether newer files of a certificate are of no use.
    pub(super) fn certificate_is_outdated(&self) -> bool {
        let mut identities = self.identities.iter();
        identities.any(|identity| identity.is_outdated())
    }

    /// Whether it is ourselves who ask from there.
    pub(super) fn is_probe(&self, peer: SocketAddr) -> bool {
        *self.probe.lock() == Some(peer)
    }

    /// Whether the poller's thread may answer the request of this head itself.
    pub(super) fn may_answer_from_memory(&self, transport: &Transport, head: &[u8]) -> bool {
        // To encrypt an answer takes longer than to make it.
        transport.is_plain() && self.handler.may_answer_from_memory(head)
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::SeqCst) {
            phase if phase == Phase::Running as u8 => Phase::Running,
            phase if phase == Phase::Draining as u8 => Phase::Draining,
            _ => Phase::Ended,
        }
    }

    /// Goes on to `phase` and lets the poller know.
    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::SeqCst);
        self.wake();
    }

    pub(super) fn is_draining(&self) -> bool {
        self.phase() != Phase::Running
    }

    /// Notes that the listeners are closed.
    pub(super) fn note_closed(&self) {
        *self.closed.lock() = true;
        self.closing.notify_all();
    }

    /// Waits for that, for at most `within`.
    pub(super) fn wait_until_closed(&self, within: Duration) {
        let mut closed = self.closed.lock();
        self.closing
            .wait_while_for(&mut closed, |closed| !*closed, within);
    }

    /// Leaves a connection to the poller.
    pub(super) fn park(&self, connection: Box<Connection>) {
        if self.phase() == Phase::Ended {
            return;
        }
        let mut returned = self.returned.lock();
        returned.push(connection);
        let first = returned.len() == 1;
        drop(returned);
        if first {
            self.wake();
        }
    }

    /// What workers left since the last call.
    #[allow(clippy::vec_box, reason = "connections change hands as pointers")]
    pub(super) fn take_returned(&self) -> Vec<Box<Connection>> {
        std::mem::take(&mut *self.returned.lock())
    }

    /// Makes the poller look around.
    pub(super) fn wake(&self) {
        // The only way for it to fail is a counter that is full, and then the poller is awake.
        let _ = rustix::io::write(&self.waker, &1u64.to_ne_bytes());
    }

    /// The handler's answer to what is no request.
    pub(super) fn refusal(&self, refused: Refused, peer: SocketAddr) -> Response {
        let Refused { status, message } = refused;
        let refusal = Refusal {
            status,
            message,
            peer,
        };
        catch_unwind(AssertUnwindSafe(|| self.handler.refuse(&refusal)))
            .unwrap_or_else(|_| plain(status, message))
    }
}
