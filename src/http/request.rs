//! A request as the handler sees it: types and look-ups, no parsing and no IO (`head` and `request_body`).

use std::net::SocketAddr;

use super::RequestBody;

/// The methods that the registry protocol, REST and the probes use; anything else is `Other`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "their names are what there is to say")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    /// A valid token that is none of the others, as it was sent: methods are told apart by case.
    Other(Box<str>),
}

impl Method {
    /// The method's name as it stands on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Other(name) => name,
        }
    }

    pub(super) fn from_name(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            other => Self::Other(other.into()),
        }
    }
}

/// Whether the connection is TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain TCP.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// The port where a URL names none.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Header fields in the order in which they came; names compare without case. Values are bytes that
/// were checked to hold no control characters but tab; `get` gives only those that are UTF-8.
#[derive(Debug, Clone, Default)]
pub struct Headers {
    /// All names and values, one after the other: so a request costs two allocations, and not two for each field.
    bytes: Vec<u8>,
    /// Where each name ends, and its value; the name begins where the value before it ends.
    ends: Vec<(usize, usize)>,
}

impl Headers {
    pub(super) fn with_capacity(fields: usize, bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            ends: Vec::with_capacity(fields),
        }
    }

    pub(super) fn push(&mut self, name: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(name);
        let end_of_name = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.ends.push((end_of_name, self.bytes.len()));
    }

    /// Names and values, in order.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut begin = 0;
        self.ends.iter().map(move |&(of_name, of_value)| {
            let name = self.bytes.get(begin..of_name).unwrap_or_default();
            let value = self.bytes.get(of_name..of_value).unwrap_or_default();
            begin = of_value;
            (name, value)
        })
    }

    /// The first value of `name`, if it is UTF-8.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.raw(name)
            .next()
            .and_then(|value| str::from_utf8(value).ok())
    }

    /// Every value of `name` that is UTF-8, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> Box<dyn Iterator<Item = &'a str> + 'a> {
        Box::new(
            self.raw(name)
                .filter_map(|value| str::from_utf8(value).ok()),
        )
    }

    /// Whether `name` is there at all.
    pub fn contains(&self, name: &str) -> bool {
        self.raw(name).next().is_some()
    }

    /// The values of `name` as bytes, in order.
    pub(super) fn raw<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let fields = self.fields();
        fields
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }
}

/// For requests that are made in memory, as the tests of a handler do; nothing is checked.
impl<N: Into<String>, V: Into<Vec<u8>>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Self {
        let mut headers = Self::default();
        for (name, value) in fields {
            headers.push(name.into().as_bytes(), &value.into());
        }
        headers
    }
}

pub struct Request {
    pub method: Method,
    /// The path of the target, still percent-encoded, beginning with `/`; only visible ASCII. The one
    /// exception is `OPTIONS *`, whose path is `*`.
    pub path: String,
    /// What stands behind `?`, still encoded; `None` without `?`.
    pub query: Option<String>,
    pub headers: Headers,
    /// The validated `Host` (`host[:port]`, lower case), or the authority of a target in absolute form;
    /// empty for HTTP/1.0 without one.
    pub host: String,
    /// The connection's peer; an IPv4 address that came through an IPv6 socket is IPv4 here.
    pub peer: SocketAddr,
    /// Whether the connection is TLS.
    pub scheme: Scheme,
    /// Whether it is HTTP/1.0, and not 1.1.
    pub is_http_1_0: bool,
    /// The body. It must stay in its request: the connection goes with it.
    pub body: RequestBody,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_without_case_and_in_order() {
        let headers: Headers = [
            ("Accept", &b"a"[..]),
            ("ACCEPT", b"\xff"),
            ("accept", b"b"),
            ("X-Bytes", b"\xff"),
        ]
        .into_iter()
        .collect();
        assert_eq!(headers.get("aCCept"), Some("a"));
        assert_eq!(headers.get_all("Accept").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(headers.get("x-bytes"), None);
        assert!(headers.contains("x-bytes"));
        assert!(!headers.contains("x"));
    }

    #[test]
    fn methods_keep_their_names() {
        for name in [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", "BREW",
        ] {
            let method = Method::from_name(name);
            assert_eq!(method.as_str(), name);
            assert_eq!(
                matches!(method, Method::Other(_)),
                ["get", "BREW"].contains(&name)
            );
        }
    }
}
