//! A response as the handler gives it.

use std::fs::File;
use std::io::Read;

/// What the body is made of. HEAD requests and 204/304 send none of it, but its length is announced.
pub enum Body {
    /// No body; `Content-Length: 0` (unless the handler set one itself, as for HEAD).
    Empty,
    /// From memory.
    Bytes(std::sync::Arc<[u8]>),
    /// `length` bytes of `file` from `offset` on: sendfile on plain TCP.
    File {
        file: std::sync::Arc<File>,
        offset: u64,
        length: u64,
    },
    /// What `reader` gives. With a length: exactly that many bytes, otherwise chunked (HTTP/1.1) or until
    /// close (1.0). If the reader fails or ends early, the connection is broken off, so that the client
    /// can never take it for complete.
    Stream {
        reader: Box<dyn Read + Send>,
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

/// A response: status, fields, body.
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Body,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) on_delivered: Option<Box<dyn FnOnce(Delivery) + Send>>,
}

impl Response {
    /// An empty response.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            body: Body::Empty,
            headers: Vec::new(),
            on_delivered: None,
        }
    }
    /// Adds a field. CR, LF and NUL in `value` are replaced by spaces: a header cannot be split.
    #[must_use]
    pub fn header(self, _name: &'static str, _value: impl Into<String>) -> Self {
        todo!()
    }
    /// The first value of `name` set so far, names without case.
    pub fn get(&self, _name: &str) -> Option<&str> {
        todo!()
    }
    /// Sets the body.
    #[must_use]
    pub fn body(self, _body: Body) -> Self {
        todo!()
    }
    /// Calls `then` once, after the last byte was sent or the connection broke (access log).
    #[must_use]
    pub fn on_delivered(self, _then: impl FnOnce(Delivery) + Send + 'static) -> Self {
        todo!()
    }
}
