//! A response as the handler gives it, and the promise that its end is reported exactly once. What of it
//! goes on the wire, and how, is decided by `respond`.

use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What the body is made of. HEAD requests and 204/304 send none of it, but its length is announced.
pub enum Body {
    /// No body; `Content-Length: 0`. For HEAD it is what the handler set itself, and none if it did not.
    Empty,
    Bytes(std::sync::Arc<[u8]>),
    /// `length` bytes of `file` from `offset` on: sendfile on plain TCP.
    File {
        /// Read with positions of its own: the file may be shared.
        file: std::sync::Arc<File>,
        /// In bytes.
        offset: u64,
        /// In bytes; if the file turns out to be shorter, the connection is broken off.
        length: u64,
    },
    /// What `reader` gives. With a length: exactly that many bytes, otherwise chunked (HTTP/1.1) or until
    /// close (1.0). If the reader fails or ends early, the connection is broken off, so that the client
    /// can never take it for complete.
    Stream {
        /// What it gives in one call is sent at once.
        reader: Box<dyn Read + Send>,
        /// In bytes; the reader is not read beyond it.
        length: Option<u64>,
    },
}

/// What became of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// Body bytes that were handed to the socket.
    pub bytes: u64,
    /// Whether all of it was.
    pub complete: bool,
}

/// Who wants to know what became of a response; told exactly once, whatever happens.
#[derive(Default)]
pub(super) struct Receipt {
    then: Option<Box<dyn FnOnce(Delivery) + Send>>,
}

impl Receipt {
    /// Reports, the first time that it is called.
    pub(super) fn report(&mut self, delivery: Delivery) {
        if let Some(then) = self.then.take() {
            // A panic in an access log must not end the worker, nor escape from a destructor.
            let _ = catch_unwind(AssertUnwindSafe(|| then(delivery)));
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.report(Delivery {
            bytes: 0,
            complete: false,
        });
    }
}

/// A response: status, fields, body.
pub struct Response {
    pub status: u16,
    pub body: Body,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) reason: Option<String>,
    pub(super) receipt: Receipt,
}

impl Response {
    /// An empty response.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            body: Body::Empty,
            // As many as a manifest has.
            headers: Vec::with_capacity(12),
            reason: None,
            receipt: Receipt::default(),
        }
    }

    /// Adds a field. CR, LF and NUL in `value` are replaced by spaces: a header cannot be split.
    ///
    /// `Date`, `Content-Length`, `Transfer-Encoding` and `Connection` are set by the server; a
    /// `Content-Length` given here counts for an empty body that answers HEAD or is a 304, and
    /// `Connection: close` closes the connection.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let mut value = value.into();
        if value.contains(['\r', '\n', '\0']) {
            value = value.replace(['\r', '\n', '\0'], " ");
        }
        self.headers.push((name, value));
        self
    }

    /// Says `text` in the status line instead of the status's usual phrase: of a 5xx docker shows nothing
    /// else. What is not visible ASCII becomes a space, and it ends after 200 characters.
    #[must_use]
    pub fn reason(mut self, text: &str) -> Self {
        let visible = |c: char| if c.is_ascii_graphic() { c } else { ' ' };
        self.reason = Some(text.chars().take(200).map(visible).collect());
        self
    }

    /// The first value of `name` set so far, names without case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    #[must_use]
    pub fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// Keeps `what` until the response was delivered, or could not be.
    #[must_use]
    pub fn holding(self, what: impl Send + 'static) -> Self {
        self.on_delivered(move |_| drop(what))
    }

    /// Calls `then` once, after the last byte was sent or the connection broke (access log). A response
    /// that is dropped unsent reports that nothing was delivered. A second call adds to the first.
    #[must_use]
    pub fn on_delivered(mut self, then: impl FnOnce(Delivery) + Send + 'static) -> Self {
        self.receipt.then = match self.receipt.then.take() {
            None => Some(Box::new(then)),
            Some(first) => Some(Box::new(move |delivery| {
                first(delivery);
                then(delivery);
            })),
        };
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_header_cannot_be_split() {
        let response = Response::new(200).header("X-Name", "a\r\nSet-Cookie: b\0");
        assert_eq!(response.get("x-name"), Some("a  Set-Cookie: b "));
        assert_eq!(response.get("set-cookie"), None);
    }

    #[test]
    fn a_status_line_cannot_be_split() {
        let response = Response::new(503).reason("away\r\nX: y\u{e9}");
        assert_eq!(response.reason.as_deref(), Some("away  X: y "));
        let long = Response::new(503).reason(&"a".repeat(1_000));
        assert_eq!(long.reason.map(|reason| reason.len()), Some(200));
    }

    #[test]
    fn a_receipt_is_given_exactly_once() {
        let count = Arc::new(AtomicUsize::new(0));
        let counting = || {
            let count = count.clone();
            move |_| {
                count.fetch_add(1, Ordering::SeqCst);
            }
        };
        drop(Response::new(200).on_delivered(counting()));
        assert_eq!(count.load(Ordering::SeqCst), 1, "dropped unsent");

        let mut response = Response::new(200)
            .on_delivered(counting())
            .on_delivered(counting());
        let delivery = Delivery {
            bytes: 1,
            complete: true,
        };
        response.receipt.report(delivery);
        response.receipt.report(delivery);
        drop(response);
        assert_eq!(count.load(Ordering::SeqCst), 3, "two callbacks, once each");

        drop(Response::new(200).on_delivered(|_| panic!("a broken access log")));
    }
}
