//! The body of a request, read by the handler while it arrives, and what becomes of it when nobody does.
//!
//! It owns the connection's wire while the handler runs and gives it back afterwards. It allocates nothing
//! by an announced length, and never reads beyond the body but into the buffer of the next head.

use std::io::{self, Cursor, ErrorKind, IoSlice, Read};
use std::time::{Duration, Instant};

use super::chunked::ChunkedDecoder;
use super::head::Framing;
use super::pace::Pace;
use super::wire::Wire;
use crate::context;

/// An unread body of at most so many bytes is skipped to keep the connection; a longer one costs it.
const DISCARD_LIMIT: u64 = 256 * 1024;
/// For so long a worker waits for the rest of an unread body: enough for a client that sends head and
/// body one right after the other. The poller waits for the others, see `poller`.
const DISCARD_WAIT: Duration = Duration::from_millis(50);
/// A client that stays below so many bytes in a whole stall timeout of waiting holds a worker for nothing.
const LEAST_PROGRESS: usize = 1024;

/// The body, read by the handler while it arrives; reading it answers `Expect: 100-continue`.
/// `Read::read` fails with `UnexpectedEof` when the client goes before its announced length, with
/// `TimedOut` when it stalls, with `InvalidData` when its chunked framing is wrong.
///
/// `From<Vec<u8>>` makes one without a connection, for the tests of handlers.
pub struct RequestBody {
    source: Source,
}

enum Source {
    Wire(Incoming),
    Memory(Cursor<Vec<u8>>),
}

struct Incoming {
    wire: Wire,
    rest: Rest,
    /// Whether the client still waits for `100 Continue`.
    expects_continue: bool,
    /// Why nothing more can be read, once something went wrong.
    failed: Option<ErrorKind>,
    pace: Pace,
}

enum Rest {
    Sized { total: u64, left: u64 },
    Chunked(ChunkedDecoder),
}

/// Whether `Incoming::pull` may wait for the client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Stall,
    None,
}

impl RequestBody {
    /// The body of a request whose head was just consumed from `wire`.
    pub(super) fn incoming(wire: Wire, framing: Framing, expects_continue: bool) -> Self {
        let rest = match framing {
            Framing::Length(total) => Rest::Sized { total, left: total },
            Framing::Chunked => Rest::Chunked(ChunkedDecoder::new()),
        };
        Self {
            source: Source::Wire(Incoming {
                pace: Pace::new(LEAST_PROGRESS, wire.stall_timeout),
                wire,
                rest,
                expects_continue,
                failed: None,
            }),
        }
    }

    /// The announced length; `None` for chunked, `Some(0)` without a body.
    pub fn length(&self) -> Option<u64> {
        match &self.source {
            Source::Wire(Incoming {
                rest: Rest::Sized { total, .. },
                ..
            }) => Some(*total),
            Source::Wire(_) => None,
            Source::Memory(bytes) => Some(bytes.get_ref().len() as u64),
        }
    }

    /// Whether all of it was read.
    pub(super) fn is_done(&self) -> bool {
        match &self.source {
            Source::Wire(incoming) => incoming.is_done(),
            Source::Memory(_) => false,
        }
    }

    /// Skips what the handler left, if that is little and at hand; says whether the next request can begin.
    pub(super) fn discard(&mut self) -> bool {
        match &mut self.source {
            Source::Wire(incoming) => incoming.discard(),
            Source::Memory(_) => false,
        }
    }

    /// Gives the wire back; a closed one if the handler put another body in this one's place.
    pub(super) fn into_wire(self) -> Wire {
        match self.source {
            Source::Wire(incoming) => incoming.wire,
            Source::Memory(_) => Wire::default(),
        }
    }
}

impl From<Vec<u8>> for RequestBody {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            source: Source::Memory(Cursor::new(bytes)),
        }
    }
}

impl Read for RequestBody {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.source {
            Source::Wire(incoming) => incoming.read(buf),
            Source::Memory(bytes) => bytes.read(buf),
        }
    }
}

impl Incoming {
    fn is_done(&self) -> bool {
        match &self.rest {
            Rest::Sized { left, .. } => *left == 0,
            Rest::Chunked(decoder) => decoder.is_done(),
        }
    }

    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(kind) = self.failed {
            return Err(io::Error::new(kind, "the request's body broke off before"));
        }
        if buf.is_empty() || self.is_done() {
            return Ok(0);
        }
        let result = self.invite().and_then(|()| self.pull(buf, Waiting::Stall));
        if let Err(error) = &result {
            self.failed = Some(error.kind());
        }
        result
    }

    /// Sends `100 Continue` if the client waits for it; one that has begun to send does not.
    fn invite(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.expects_continue) || !self.wire.unread().is_empty() {
            return Ok(());
        }
        let mut line = [IoSlice::new(b"HTTP/1.1 100 Continue\r\n\r\n")];
        self.wire.transport.send_all(&mut line, false, &mut 0)
    }

    /// Gives the next bytes of data; 0 only at the end of the body.
    fn pull(&mut self, buf: &mut [u8], waiting: Waiting) -> io::Result<usize> {
        loop {
            if self.is_done() {
                return Ok(0);
            }
            let unread = self.wire.unread();
            let produced = match &mut self.rest {
                Rest::Sized { left, .. } => {
                    let count = unread.take(*left).read(buf)?;
                    *left = left.saturating_sub(count as u64);
                    self.wire.consume(count);
                    count
                }
                Rest::Chunked(decoder) => {
                    let decoded = decoder
                        .decode(unread, buf)
                        .map_err(|bad| io::Error::new(ErrorKind::InvalidData, bad.0))?;
                    self.wire.consume(decoded.consumed);
                    decoded.produced
                }
            };
            if produced > 0 {
                return Ok(produced);
            }
            if !self.is_done() {
                let received = self.receive(buf, waiting)?;
                if received > 0 {
                    return Ok(received);
                }
            }
        }
    }

    /// Receives straight into `buf` if data comes next, and gives how much; otherwise receives some framing
    /// into the wire's buffer and gives 0.
    fn receive(&mut self, buf: &mut [u8], waiting: Waiting) -> io::Result<usize> {
        let ahead = match &self.rest {
            Rest::Sized { left, .. } => *left,
            Rest::Chunked(decoder) => decoder.data_ahead(),
        };
        if ahead == 0 {
            let mut piece = [0; 8 * 1024];
            let count = self.receive_some(&mut piece, waiting)?;
            self.wire.append(piece.get(..count).unwrap_or_default());
            return Ok(0);
        }
        let room = at_most(buf.len(), ahead);
        let count = self.receive_some(buf.get_mut(..room).unwrap_or_default(), waiting)?;
        match &mut self.rest {
            Rest::Sized { left, .. } => *left = left.saturating_sub(count as u64),
            Rest::Chunked(decoder) => decoder.advance(count as u64),
        }
        Ok(count)
    }

    fn receive_some(&mut self, buf: &mut [u8], waiting: Waiting) -> io::Result<usize> {
        let count = if waiting == Waiting::None {
            self.wire.transport.receive_now(buf)?
        } else {
            let before = Instant::now();
            let count = self.wire.transport.receive(buf)?;
            self.pace.note(count, before.elapsed())?;
            count
        };
        if count == 0 {
            let why = "the client went before the end of its body";
            return Err(io::Error::new(ErrorKind::UnexpectedEof, why));
        }
        Ok(count)
    }

    fn discard(&mut self) -> bool {
        if self.is_done() {
            return true;
        }
        let waits = self.expects_continue && self.wire.unread().is_empty();
        let long = matches!(self.rest, Rest::Sized { left, .. } if left > DISCARD_LIMIT);
        if self.failed.is_some() || waits || long {
            return false;
        }
        let deadline = crate::time::deadline(DISCARD_WAIT);
        let mut sink = [0; 8 * 1024];
        let mut skipped = 0_u64;
        while skipped <= DISCARD_LIMIT {
            match self.pull(&mut sink, Waiting::None) {
                Ok(0) => return true,
                Ok(count) => skipped = skipped.saturating_add(count as u64),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    context::waits();
                    let within = deadline.saturating_duration_since(Instant::now());
                    if !matches!(self.wire.transport.wait_readable(within), Ok(true)) {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
        false
    }
}

/// `length`, or less if only `limit` is left.
fn at_most(length: usize, limit: u64) -> usize {
    usize::try_from(limit).map_or(length, |limit| limit.min(length))
}

#[cfg(test)]
mod tests {
    use super::super::transport::Transport;
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;

    const STALL: Duration = Duration::from_millis(300);

    /// A client's socket and the wire that it is connected to.
    fn connection() -> (TcpStream, Wire) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let transport = Transport::plain(Arc::new(server), STALL).unwrap();
        (client, Wire::new(transport, STALL))
    }

    #[test]
    fn a_body_comes_from_buffer_and_socket_and_leaves_what_follows() {
        let cases: &[(Framing, &str, &str)] = &[
            (Framing::Length(5), "", "helloNEXT"),
            (Framing::Length(5), "he", "lloNEXT"),
            (Framing::Length(5), "helloNE", "XT"),
            (Framing::Chunked, "", "5\r\nhello\r\n0\r\n\r\nNEXT"),
            (Framing::Chunked, "5\r\nhe", "llo\r\n0\r\n\r\nNEXT"),
            (Framing::Chunked, "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\nNE", "XT"),
        ];
        for (framing, buffered, sent) in cases {
            let (mut client, mut wire) = connection();
            wire.append(buffered.as_bytes());
            client.write_all(sent.as_bytes()).unwrap();
            let mut body = RequestBody::incoming(wire, *framing, false);
            let mut text = String::new();
            body.read_to_string(&mut text).unwrap();
            assert_eq!(text, "hello", "{framing:?} {buffered:?}");
            assert!(body.is_done());
            drop(client);
            let mut wire = body.into_wire();
            let mut rest = wire.unread().to_vec();
            let mut piece = [0; 16];
            while let Ok(count @ 1..) = wire.transport.receive(&mut piece) {
                rest.extend_from_slice(&piece[..count]);
            }
            assert_eq!(rest, b"NEXT", "{framing:?} {buffered:?}");
        }
    }

    #[test]
    fn each_way_to_fail_has_its_kind() {
        struct Case<'a> {
            framing: Framing,
            sent: &'a str,
            hangs_up: bool,
            kind: ErrorKind,
        }
        let cases: &[Case<'_>] = &[
            Case {
                framing: Framing::Length(9),
                sent: "hello",
                hangs_up: true,
                kind: ErrorKind::UnexpectedEof,
            },
            Case {
                framing: Framing::Chunked,
                sent: "9\r\nhello",
                hangs_up: true,
                kind: ErrorKind::UnexpectedEof,
            },
            Case {
                framing: Framing::Chunked,
                sent: "9",
                hangs_up: true,
                kind: ErrorKind::UnexpectedEof,
            },
            Case {
                framing: Framing::Length(9),
                sent: "hello",
                hangs_up: false,
                kind: ErrorKind::TimedOut,
            },
            Case {
                framing: Framing::Chunked,
                sent: "2\r\nhello",
                hangs_up: false,
                kind: ErrorKind::InvalidData,
            },
        ];
        for Case {
            framing,
            sent,
            hangs_up,
            kind,
        } in cases
        {
            let (mut client, wire) = connection();
            client.write_all(sent.as_bytes()).unwrap();
            let client = (!hangs_up).then_some(client);
            let mut body = RequestBody::incoming(wire, *framing, false);
            let error = body.read_to_end(&mut Vec::new()).unwrap_err();
            assert_eq!(error.kind(), *kind, "{framing:?} {sent:?}");
            let again = body.read(&mut [0; 8]).unwrap_err();
            assert_eq!(again.kind(), *kind, "a second read of {framing:?} {sent:?}");
            assert!(!body.discard());
            drop(client);
        }
    }

    #[test]
    fn a_trickle_is_a_stall() {
        let (mut client, wire) = connection();
        let sender = std::thread::spawn(move || {
            // Each byte comes within the stall timeout, so that only their sum can be what is refused.
            while client.write_all(b"x").is_ok() {
                std::thread::sleep(STALL / 6);
            }
        });
        let mut body = RequestBody::incoming(wire, Framing::Length(1 << 40), false);
        let error = io::copy(&mut body, &mut io::sink()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        drop(body);
        sender.join().unwrap();
    }

    #[test]
    fn short_rests_are_discarded_and_others_are_not() {
        let long = "x".repeat(300 * 1024);
        let chunked = "1;e\r\nx\r\n".repeat(100) + "0\r\n\r\n";
        struct Case<'a> {
            framing: Framing,
            sent: &'a str,
            expects_continue: bool,
            expected: bool,
        }
        let cases: &[Case<'_>] = &[
            Case {
                framing: Framing::Length(0),
                sent: "",
                expects_continue: false,
                expected: true,
            },
            Case {
                framing: Framing::Length(5),
                sent: "hello",
                expects_continue: false,
                expected: true,
            },
            Case {
                framing: Framing::Length(5),
                sent: "hell",
                expects_continue: false,
                expected: false,
            },
            Case {
                framing: Framing::Length(5),
                sent: "",
                expects_continue: true,
                expected: false,
            },
            Case {
                framing: Framing::Chunked,
                sent: &chunked,
                expects_continue: false,
                expected: true,
            },
            Case {
                framing: Framing::Chunked,
                sent: "z",
                expects_continue: false,
                expected: false,
            },
            Case {
                framing: Framing::Length(300 * 1024),
                sent: &long,
                expects_continue: false,
                expected: false,
            },
            Case {
                framing: Framing::Length(40_000_000_000),
                sent: "x",
                expects_continue: false,
                expected: false,
            },
        ];
        for Case {
            framing,
            sent,
            expects_continue,
            expected,
        } in cases
        {
            let (mut client, wire) = connection();
            let sent = sent.to_string();
            let sender = std::thread::spawn(move || {
                let _ = client.write_all(sent.as_bytes());
                client
            });
            let mut body = RequestBody::incoming(wire, *framing, *expects_continue);
            assert_eq!(body.discard(), *expected, "{framing:?}");
            drop(body);
            drop(sender.join().unwrap());
        }
    }
}
