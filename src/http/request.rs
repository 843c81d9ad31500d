//! A request as the handler sees it.

use std::io::Read;
use std::net::SocketAddr;

/// The methods that the registry protocol, REST and the probes use; anything else is `Other`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    Other(Box<str>),
}

impl Method {
    /// The method's name, upper case.
    pub fn as_str(&self) -> &str {
        todo!()
    }
}

/// Whether the connection is TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

/// Header fields in the order in which they came; names compare without case. Values are bytes that
/// were checked to hold no control characters but tab; `get` gives only those that are UTF-8.
#[derive(Debug, Clone, Default)]
pub struct Headers(pub(super) Vec<(String, Vec<u8>)>);

impl Headers {
    /// The first value of `name`, if it is UTF-8.
    pub fn get(&self, _name: &str) -> Option<&str> {
        todo!()
    }
    /// Every value of `name` that is UTF-8, in order.
    pub fn get_all<'a>(&'a self, _name: &'a str) -> Box<dyn Iterator<Item = &'a str> + 'a> {
        todo!()
    }
    /// Whether `name` is there at all.
    pub fn contains(&self, _name: &str) -> bool {
        todo!()
    }
}

/// The body, read by the handler while it arrives; reading it answers `Expect: 100-continue`.
/// `Read::read` fails with `UnexpectedEof` when the client goes before its announced length, with
/// `TimedOut` when it stalls, with `InvalidData` when its chunked framing is wrong.
pub struct RequestBody {
    _private: (),
}
impl Read for RequestBody {
    fn read(&mut self, _buf: &mut [u8]) -> std::io::Result<usize> {
        todo!()
    }
}
impl RequestBody {
    /// The announced length; `None` for chunked, `Some(0)` without a body.
    pub fn length(&self) -> Option<u64> {
        todo!()
    }
}

/// One request.
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path of the target, still percent-encoded, beginning with `/`; only visible ASCII.
    pub path: String,
    /// What stands behind `?`, still encoded; `None` without `?`.
    pub query: Option<String>,
    /// All header fields.
    pub headers: Headers,
    /// The validated `Host` (host[:port], lower case); empty for HTTP/1.0 without one.
    pub host: String,
    /// The connection's peer.
    pub peer: SocketAddr,
    /// Whether the connection is TLS.
    pub scheme: Scheme,
    /// The body.
    pub body: RequestBody,
}
