//! A response as the handler gives it, and the promise that its end is reported exactly once. What of it
//! goes on the wire, and how, is decided by `respond`.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Fields that the server sets, whatever the handler said, but for a date.
const OWN: [&str; 5] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "transfer-encoding",
];

/// What the body is made of. HEAD requests and 204/304 send none of it, but its length is announced.
pub enum Body {
    /// No body; `Content-Length: 0`. For HEAD it is what the handler set itself, and none if it did not.
    Empty,
    Bytes(Arc<[u8]>),
    /// `length` bytes of `file` from `offset` on: sendfile on plain TCP.
    File {
        /// Read with positions of its own: the file may be shared.
        file: Arc<File>,
        /// In bytes.
        offset: u64,
        /// In bytes; if the file turns out to be shorter, the connection is broken off.
        length: u64,
    },
    /// What `source` gives as it arrives in a file: the same, by sendfile where it can be.
    Arriving {
        source: Box<dyn Source>,
        /// In bytes; as that of a stream.
        length: Option<u64>,
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

/// A body that arrives in a file, and can be read there as far as it has come.
pub trait Source: Read + Send {
    /// What comes next of it, as a part of a file; nothing at the end. Waits until there is something. `None`: it does not lie
    /// in a file any more, and is read.
    ///
    /// # Errors
    /// Where no more will come.
    fn arrived(&mut self) -> io::Result<Option<FilePart>>;

    /// Notes that so many of these bytes were sent.
    fn skip(&mut self, bytes: u64);
}

/// `length` bytes of `file` from `offset` on.
pub struct FilePart {
    pub file: Arc<File>,
    pub offset: u64,
    pub length: u64,
}

impl Body {
    /// All of it, to be read by somebody else than a client.
    pub fn into_reader(self) -> Box<dyn Read + Send> {
        match self {
            Self::Empty => Box::new(io::empty()),
            Self::Bytes(bytes) => Box::new(io::Cursor::new(bytes)),
            Self::File {
                file,
                offset,
                length,
            } => Box::new(FromFile { file, offset }.take(length)),
            Self::Arriving { source, .. } => Box::new(source),
            Self::Stream { reader, .. } => reader,
        }
    }
}

struct FromFile {
    file: Arc<File>,
    offset: u64,
}

impl Read for FromFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset = self.offset.saturating_add(read as u64);
        Ok(read)
    }
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
    /// The fields as they go on the wire, each with its line end.
    pub(super) fields: String,
    /// What the handler said in fields that the server sets.
    own: Vec<(&'static str, String)>,
    pub(super) reason: Option<String>,
    pub(super) receipt: Receipt,
}

impl Response {
    /// An empty response.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            body: Body::Empty,
            // As many bytes as a manifest has of them.
            fields: String::with_capacity(512),
            own: Vec::new(),
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
    pub fn header(mut self, name: &'static str, value: impl AsRef<str>) -> Self {
        const SPLITTING: [char; 3] = ['\r', '\n', '\0'];
        let value = value.as_ref();
        let value = match value.contains(SPLITTING) {
            true => Cow::Owned(value.replace(SPLITTING, " ")),
            false => Cow::Borrowed(value),
        };
        if OWN.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            self.own.push((name, value.into_owned()));
        } else {
            for part in [name, ": ", &value, "\r\n"] {
                self.fields.push_str(part);
            }
        }
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
        let lines = self.fields.split("\r\n");
        lines
            .filter_map(|line| line.split_once(": "))
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .or_else(|| self.own(name))
    }

    /// What the handler said in a field that the server sets.
    pub(super) fn own(&self, name: &str) -> Option<&str> {
        let mut own = self.own.iter();
        own.find(|(field, _)| field.eq_ignore_ascii_case(name))
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
