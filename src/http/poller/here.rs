//! Requests that the poller's own thread answers, and the poller's way to another thread when one of them has to wait.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rustix::thread::set_name;

use super::{Poller, silence};
use crate::context;
use crate::http::connection::{Connection, Stage};
use crate::http::exchange::serve;
use crate::http::respond::Buffers;

thread_local! {
    /// The poller, while its thread answers a request.
    static POLLER: Cell<Option<Box<Poller>>> = const { Cell::new(None) };
}

/// Whether this thread is still the poller, in the middle of a request.
pub(in crate::http) fn is_here() -> bool {
    let poller = POLLER.take();
    let is_here = poller.is_some();
    POLLER.set(poller);
    is_here
}

/// Gives the poller to another thread, where this one has it: it is about to wait.
pub(super) fn leave() {
    let Some(mut poller) = POLLER.take() else {
        return;
    };
    if let Some((socket, id)) = poller.answering.take()
        && let Err(error) = silence(&poller.epoll, &socket, id)
    {
        // Then the client's next words make the poller look for a connection that it does not have, until this is over.
        tracing::warn!(%error, "cannot stop watching a connection");
    }
    let _ = set_name(c"http-worker");
    let service = Arc::clone(&poller.service);
    service.pool.push_poller(&service, poller);
}

impl Poller {
    /// Whether this thread answers the request of a connection itself.
    pub(super) fn answers(&self, connection: &Connection) -> bool {
        let Stage::Whole(head) = &connection.stage else {
            return false;
        };
        let head = connection.wire.unread().get(head.clone());
        let transport = &connection.wire.transport;
        (self.service).may_answer_from_memory(transport, head.unwrap_or_default())
    }

    /// Answers it, if there is a worker to whom the poller could go meanwhile. `None`: it has gone.
    pub(super) fn answer(
        mut self: Box<Self>,
        connection: Box<Connection>,
        buffers: &mut Buffers,
    ) -> Option<Box<Self>> {
        let service = Arc::clone(&self.service);
        let origin = connection.permit.origin();
        let Some(place) = service.pool.place_here(origin) else {
            self.place(connection);
            return Some(self);
        };
        let count = self.answered.entry(origin).or_default();
        *count = count.saturating_add(1);
        let socket = connection.wire.transport.socket().ok().cloned();
        self.answering = socket.map(|socket| (socket, connection.permit.id()));
        context::begins();
        POLLER.set(Some(self));
        let served = catch_unwind(AssertUnwindSafe(|| serve(&service, connection, buffers)));
        if served.is_err() {
            tracing::error!(
                "a request panicked outside of its handler: its connection was dropped"
            );
        }
        drop(place);
        let mut poller = POLLER.take()?;
        poller.answering = None;
        if let Ok(Some(connection)) = served {
            poller.place(connection);
        }
        Some(poller)
    }
}
