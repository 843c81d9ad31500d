//! A transport together with what was received from it too early: the rest of a read that held the end of
//! one message and the beginning of the next. It moves with the right to read: poller, worker, body.

use std::time::Duration;

use super::transport::Transport;

/// A transport, and the bytes that were received from it but belong to nobody yet.
#[derive(Default)]
pub(super) struct Wire {
    pub(super) transport: Transport,
    input: Vec<u8>,
    consumed: usize,
    pub(super) stall_timeout: Duration,
}

impl Wire {
    pub(super) fn new(transport: Transport, stall_timeout: Duration) -> Self {
        Self {
            transport,
            input: Vec::new(),
            consumed: 0,
            stall_timeout,
        }
    }

    /// What was received and not consumed.
    pub(super) fn unread(&self) -> &[u8] {
        self.input.get(self.consumed..).unwrap_or_default()
    }

    /// The transport, and what was received from it and not consumed.
    pub(super) fn parts(&mut self) -> (&mut Transport, &[u8]) {
        let unread = self.input.get(self.consumed..).unwrap_or_default();
        (&mut self.transport, unread)
    }

    /// Whether nothing is unread, and the client has nothing more to say at its end, as it has under TLS.
    pub(super) fn is_plain_and_empty(&self) -> bool {
        self.unread().is_empty() && !matches!(self.transport, Transport::Tls(_))
    }

    /// Gives up the first `count` unread bytes.
    pub(super) fn consume(&mut self, count: usize) {
        self.consumed = self.consumed.saturating_add(count);
        if self.consumed >= self.input.len() {
            self.input.clear();
            self.consumed = 0;
        }
    }

    /// Adds what was received elsewhere.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        if self.consumed > 0 {
            self.input.drain(..self.consumed);
            self.consumed = 0;
        }
        self.input.extend_from_slice(bytes);
    }

    /// Gives memory back that nothing stands in: a parked connection must cost little.
    pub(super) fn shrink(&mut self) {
        if self.unread().is_empty() {
            self.input = Vec::new();
            self.consumed = 0;
        }
    }
}
