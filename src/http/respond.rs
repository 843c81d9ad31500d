//! Sends a response: its head and a small body in one write, files by sendfile, streams as they come.
//!
//! It decides nothing about the connection; it says whether the response went out whole, and the caller
//! breaks the connection off if not.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Read};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::date::DateCache;
use super::response_head::{Framed, Terms, write_head};
use super::transport::Transport;
use super::{Body, Delivery, Response, Source};
use crate::context;

/// Bytes that a stream, or a file without sendfile, is copied by.
const COPY_SIZE: usize = 32 * 1024;
/// A stream begins with so little: a thousand of them may wait for an upstream at once.
const FIRST_COPY: usize = 8 * 1024;
/// What a worker keeps from response to response. Room for copying is not among it: the next handler may
/// wait for long, and as many workers wait then as there are connections.
#[derive(Default)]
pub(super) struct Buffers {
    head: Vec<u8>,
    date: DateCache,
}

impl Buffers {
    /// Gives the memory back, before a worker waits for work.
    pub(super) fn free(&mut self) {
        self.head = Vec::new();
    }
}

/// Sends `response`, reports to whoever asked for it, and gives whether the connection stays.
///
/// # Errors
/// The response did not go out whole: the client is gone or stalls, or the body's source failed, ended
/// early or panicked. The connection must be broken off.
pub(super) fn send(
    transport: &mut Transport,
    response: Response,
    terms: Terms,
    buffers: &mut Buffers,
) -> io::Result<bool> {
    let Buffers { head, date } = buffers;
    head.clear();
    let (framed, keep) = write_head(&response, terms, date.now(), head);
    let Response {
        body, mut receipt, ..
    } = response;
    let mut bytes = 0;
    let mut out = Outgoing {
        transport,
        bytes: &mut bytes,
    };
    let attempt = catch_unwind(AssertUnwindSafe(|| out.all(head, body, framed)));
    let result = attempt.unwrap_or_else(|_| Err(io::Error::other("the body's source panicked")));
    receipt.report(Delivery {
        bytes,
        complete: result.is_ok(),
    });
    result.map(|()| keep)
}

struct Outgoing<'a> {
    transport: &'a mut Transport,
    /// Bytes of the body so far, without framing.
    bytes: &'a mut u64,
}

impl Outgoing<'_> {
    fn all(&mut self, head: &[u8], body: Body, framed: Framed) -> io::Result<()> {
        match body {
            _ if framed == Framed::Nothing => self.parts(head, &[], &[], false),
            Body::Empty => self.parts(head, &[], &[], false),
            Body::Bytes(bytes) => self.parts(head, &bytes, &[], false),
            Body::File {
                file,
                offset,
                length,
            } => {
                self.parts(head, &[], &[], length > 0)?;
                self.file(&file, offset, length)
            }
            // The head goes at once: the first byte of the body may be long in coming.
            Body::Arriving { mut source, .. } => {
                self.parts(head, &[], &[], false)?;
                let left = match framed {
                    Framed::Length(length) => Some(length),
                    Framed::UntilClose => Some(u64::MAX),
                    Framed::Chunked | Framed::Nothing => None,
                };
                match left {
                    Some(left) => self.arriving(source.as_mut(), framed, left),
                    None => self.stream(source.as_mut(), framed, u64::MAX),
                }
            }
            Body::Stream { mut reader, .. } => {
                self.parts(head, &[], &[], false)?;
                let left = match framed {
                    Framed::Length(length) => length,
                    _ => u64::MAX,
                };
                self.stream(reader.as_mut(), framed, left)
            }
        }
    }

    /// Sends framing, a piece of the body and framing in one write, and counts what of the body was sent.
    fn parts(&mut self, before: &[u8], piece: &[u8], after: &[u8], more: bool) -> io::Result<()> {
        let mut slices = [before, piece, after].map(IoSlice::new);
        let mut sent = 0;
        let result = self.transport.send_all(&mut slices, more, &mut sent);
        let of_piece = sent.saturating_sub(before.len() as u64);
        self.count(of_piece.min(piece.len() as u64));
        result
    }

    fn count(&mut self, sent: u64) {
        *self.bytes = self.bytes.saturating_add(sent);
    }

    fn file(&mut self, file: &File, offset: u64, length: u64) -> io::Result<()> {
        let end = offset.checked_add(length).ok_or(ErrorKind::InvalidInput)?;
        let mut at = offset;
        while at < end {
            let slice = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
            match self.transport.send_file(file, &mut at, slice) {
                Ok(0) => return Err(shorter()),
                Ok(count) => self.count(count as u64),
                Err(error) if error.kind() == ErrorKind::Unsupported => {
                    return self.copy_file(file, at, end);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn copy_file(&mut self, file: &File, mut at: u64, end: u64) -> io::Result<()> {
        let mut copy = vec![0; COPY_SIZE];
        while at < end {
            let rest = end.saturating_sub(at);
            let room = usize::try_from(rest).map_or(copy.len(), |rest| rest.min(copy.len()));
            match file.read_at(copy.get_mut(..room).unwrap_or_default(), at) {
                Ok(0) => return Err(shorter()),
                Ok(count) => {
                    at = at.saturating_add(count as u64);
                    let piece = copy.get(..count).unwrap_or_default();
                    self.parts(&[], piece, &[], at < end)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends what has arrived in a file from there, again and again: many clients that follow one fetch cost little more
    /// than as many that are sent a file which is there.
    fn arriving(
        &mut self,
        source: &mut dyn Source,
        framed: Framed,
        mut left: u64,
    ) -> io::Result<()> {
        context::waits();
        while left > 0 {
            let Some(part) = source.arrived()? else {
                return self.stream(source, framed, left);
            };
            let length = part.length.min(left);
            match (framed, length) {
                (Framed::UntilClose, 0) => return Ok(()),
                (_, 0) => return Err(shorter()),
                _ => self.file(&part.file, part.offset, length)?,
            }
            source.skip(length);
            left = left.saturating_sub(length);
        }
        Ok(())
    }

    /// Forwards what each read gives, without waiting for more.
    fn stream(&mut self, reader: &mut dyn Read, framed: Framed, mut left: u64) -> io::Result<()> {
        context::waits();
        let mut copy = vec![0; FIRST_COPY];
        while left > 0 {
            let room = usize::try_from(left).map_or(copy.len(), |left| left.min(copy.len()));
            let piece = match reader.read(copy.get_mut(..room).unwrap_or_default()) {
                Ok(count) => copy.get(..count).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            match (framed, piece.len()) {
                (Framed::Chunked, 0) => return self.parts(b"0\r\n\r\n", &[], &[], false),
                (Framed::UntilClose, 0) => return Ok(()),
                (_, 0) => return Err(shorter()),
                (Framed::Chunked, count) => {
                    let size = format!("{count:x}\r\n");
                    self.parts(size.as_bytes(), piece, b"\r\n", false)?;
                }
                (_, count) => {
                    left = left.saturating_sub(count as u64);
                    self.parts(&[], piece, &[], false)?;
                }
            }
            if piece.len() == FIRST_COPY {
                copy.resize(COPY_SIZE, 0);
            }
            if copy.len() == COPY_SIZE {
                // This body is long: let threads with short ones go first.
                std::thread::yield_now();
            }
        }
        Ok(())
    }
}

fn shorter() -> io::Error {
    let why = "the body's source ended before its announced length";
    io::Error::new(ErrorKind::UnexpectedEof, why)
}

/// Sends as much of a small `response` as can be sent without waiting, for a client that is turned away.
pub(super) fn send_now(transport: &mut Transport, response: Response) {
    let terms = Terms {
        head_only: false,
        modern: true,
        keep: false,
    };
    let mut out = Vec::new();
    write_head(&response, terms, DateCache::default().now(), &mut out);
    let head = out.len();
    let Response {
        body, mut receipt, ..
    } = response;
    if let Body::Bytes(bytes) = body {
        out.extend_from_slice(&bytes);
    }
    let sent = transport.send_now(&out).unwrap_or(0);
    receipt.report(Delivery {
        bytes: sent.saturating_sub(head) as u64,
        complete: sent == out.len(),
    });
}
