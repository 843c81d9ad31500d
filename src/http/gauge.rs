//! How busy the public port is, for metrics and probes. Reads counters and changes nothing.

use std::sync::Weak;

use super::service::Service;
use crate::time::Timestamp;

/// A look at a server that does not keep it alive.
#[derive(Clone)]
pub struct Gauge(Weak<Service>);

/// The public port at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    pub connections: usize,
    /// How many there may be.
    pub max_connections: usize,
    /// Connections let in since the start.
    pub accepted: u64,
    /// Turned away because there were too many in all, since the start.
    pub refused_by_server: u64,
    /// Turned away because there were too many from their address.
    pub refused_by_address: u64,
    pub workers: usize,
    /// Those that serve a connection.
    pub busy: usize,
    /// Requests that wait for one.
    pub queued: usize,
    /// When the first of the certificates in use ends; `None` without TLS.
    pub certificate_ends: Option<Timestamp>,
    /// Whether files of a certificate have changed into what is of no use, and an older one is in use.
    pub certificate_is_outdated: bool,
    /// Whether no new connections are let in because the server is being stopped.
    pub is_stopping: bool,
}

impl Gauge {
    pub(super) fn new(service: Weak<Service>) -> Self {
        Self(service)
    }

    /// `None` once the server has ended.
    pub fn read(&self) -> Option<Load> {
        let service = self.0.upgrade()?;
        let counts = service.admission.counts();
        let (workers, busy, queued) = service.pool.counts();
        Some(Load {
            connections: counts.open,
            max_connections: service.limits.max_connections,
            accepted: counts.accepted,
            refused_by_server: counts.refused_by_server,
            refused_by_address: counts.refused_by_origin,
            workers,
            busy,
            queued,
            certificate_ends: service.certificate_ends(),
            certificate_is_outdated: service.certificate_is_outdated(),
            is_stopping: service.is_draining(),
        })
    }
}
