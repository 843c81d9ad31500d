//! Counts connections, in all and by address, and can cut them when the server must end.
//!
//! It decides who comes in and nothing else; what a connection does is known to poller and workers.

use std::collections::HashMap;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::context::Origin;

/// Why a connection was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// There are as many as there may be at all.
    Server,
    /// There are as many as there may be from its address.
    Origin,
}

/// All connections that are open.
pub(super) struct Admission {
    most: usize,
    most_per_origin: usize,
    open: Mutex<Open>,
    emptied: Condvar,
}

#[derive(Default)]
struct Open {
    next_id: u64,
    connections: HashMap<u64, Admitted>,
    by_origin: HashMap<Origin, usize>,
    refused_by_origin: u64,
    refused_by_server: u64,
}

/// What was counted so far.
pub(super) struct Counts {
    pub(super) open: usize,
    pub(super) accepted: u64,
    pub(super) refused_by_origin: u64,
    pub(super) refused_by_server: u64,
}

struct Admitted {
    socket: Arc<TcpStream>,
    /// The last response was sent; only the client's own end is waited for.
    answered: bool,
}

impl Admission {
    pub(super) fn new(most: usize, most_per_origin: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_per_origin,
            open: Mutex::default(),
            emptied: Condvar::new(),
        })
    }

    /// Counts a connection until its permit is dropped.
    pub(super) fn admit(
        self: &Arc<Self>,
        socket: &Arc<TcpStream>,
        address: IpAddr,
    ) -> Result<Permit, Full> {
        let origin = Origin::from(address);
        let open = self.lock();
        let of_origin = open.by_origin.get(&origin).copied().unwrap_or(0);
        // The address comes first: who is over it gets no place that is made for others.
        if of_origin >= self.most_per_origin {
            return Err(Full::Origin);
        }
        if open.connections.len() >= self.most {
            return Err(Full::Server);
        }
        Ok(self.enter(open, socket, origin))
    }

    /// Counts a connection although there may be as many as there may be: our own, of which there is one.
    pub(super) fn admit_always(
        self: &Arc<Self>,
        socket: &Arc<TcpStream>,
        address: IpAddr,
    ) -> Permit {
        self.enter(self.lock(), socket, Origin::from(address))
    }

    fn enter(
        self: &Arc<Self>,
        mut open: MutexGuard<'_, Open>,
        socket: &Arc<TcpStream>,
        origin: Origin,
    ) -> Permit {
        let id = open.next_id;
        open.next_id = id.wrapping_add(1);
        let count = open.by_origin.entry(origin).or_default();
        *count = count.saturating_add(1);
        let admitted = Admitted {
            socket: socket.clone(),
            answered: false,
        };
        open.connections.insert(id, admitted);
        Permit {
            id,
            origin,
            admission: self.clone(),
        }
    }

    /// Waits until every connection is closed, for at most `within`.
    pub(super) fn wait_until_empty(&self, within: Duration) {
        let deadline = crate::time::deadline(within);
        let mut open = self.lock();
        while !open.connections.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.emptied.wait_for(&mut open, left);
        }
    }

    /// Shuts down what is open, so that whoever waits for it wakes; gives how many had no whole answer.
    pub(super) fn cut(&self) -> usize {
        let open = self.lock();
        for admitted in open.connections.values() {
            // A client that is gone already has no need to be cut.
            let _ = admitted.socket.shutdown(Shutdown::Both);
        }
        let unanswered = |admitted: &&Admitted| !admitted.answered;
        open.connections.values().filter(unanswered).count()
    }

    /// Counts a connection that was turned away for good.
    pub(super) fn note_refused(&self, full: Full) {
        let mut open = self.lock();
        let count = match full {
            Full::Origin => &mut open.refused_by_origin,
            Full::Server => &mut open.refused_by_server,
        };
        *count = count.saturating_add(1);
    }

    pub(super) fn counts(&self) -> Counts {
        let open = self.lock();
        Counts {
            open: open.connections.len(),
            accepted: open.next_id,
            refused_by_origin: open.refused_by_origin,
            refused_by_server: open.refused_by_server,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock()
    }
}

/// One connection's place; drop it before, or together with, the last use of the socket.
pub(super) struct Permit {
    id: u64,
    origin: Origin,
    admission: Arc<Admission>,
}

impl Permit {
    /// Unique among the connections of this server.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn origin(&self) -> Origin {
        self.origin
    }

    /// Notes that the last response was sent.
    pub(super) fn answered(&self) {
        if let Some(admitted) = self.admission.lock().connections.get_mut(&self.id) {
            admitted.answered = true;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.admission.lock();
        let admitted = open.connections.remove(&self.id);
        if let Some(count) = open.by_origin.get_mut(&self.origin) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.by_origin.remove(&self.origin);
            }
        }
        if open.connections.is_empty() {
            self.admission.emptied.notify_all();
        }
        drop(open);
        // Closing may take a moment, and nobody should have to wait for it.
        drop(admitted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn socket() -> Arc<TcpStream> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Arc::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap())
    }

    #[test]
    fn places_are_counted_and_given_back() {
        let admission = Admission::new(3, 2);
        let admit = |address: &str| admission.admit(&socket(), address.parse().unwrap());
        let first = admit("192.0.2.1").ok().unwrap();
        let second = admit("::ffff:192.0.2.1").ok().unwrap();
        assert_eq!(admit("192.0.2.1").err(), Some(Full::Origin));
        let third = admit("192.0.2.2").ok().unwrap();
        assert_eq!(admit("192.0.2.3").err(), Some(Full::Server));
        drop(first);
        drop(second);
        assert!(admit("192.0.2.1").is_ok());
        assert_eq!(admission.cut(), 1);
        third.answered();
        assert_eq!(admission.cut(), 0);
        drop(third);
        admission.wait_until_empty(Duration::from_secs(60));
    }
}
