//! HEAD and GET of blobs (distribution-spec, "Pulling blobs"), with `Range` and `If-Range` (RFC 9110,
//! sections 13.1.5 and 14). Bytes go through as they come; the caller checks the digest.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Instant;

use super::breakers::{Leave, Question};
use super::exchange::Ask;
use super::fault::{Fault, FaultKind};
use super::health::Health;
use super::transport::{Method, Reply, Transport};
use super::url::Url;
use super::{BlobHead, BlobStream, Counts, Upstream};
use crate::oci::{Digest, RepositoryName};

/// So many bytes through one connection prove an upstream alive, however often it breaks off: a large
/// blob over a bad line is resumed again and again, and must not open the breaker.
const PROOF_OF_LIFE: u64 = 1024 * 1024;

impl Upstream {
    /// HEAD of a blob. Retries.
    ///
    /// # Errors
    /// As [`FaultKind`] says.
    pub fn head_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<BlobHead, Fault> {
        let question = Question::blob(repository, digest);
        self.with_retries(&question, true, || {
            let reply = self.exchange(&Ask {
                method: Method::Head,
                question: &question,
                query: None,
                headers: Vec::new(),
                deadline: Some(self.small_answer()),
            })?;
            if reply.status != 200 {
                return Err(self.refusal(reply, Method::Head));
            }
            self.check_encoding(&reply)?;
            Ok(BlobHead {
                size: reply.content_length(),
            })
        })
    }

    /// GET of a blob from byte `from` on (`Range`, with `If-Range: etag` where given). Retries until the
    /// head is there; what happens to the body, the reader tells.
    ///
    /// # Errors
    /// `Protocol` for a range that was not asked for, and for 416: then ask again from 0. Otherwise as
    /// [`FaultKind`] says.
    pub fn get_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        from: u64,
        etag: Option<&str>,
    ) -> Result<BlobStream, Fault> {
        let mut headers = Vec::new();
        if from > 0 {
            headers.push(("Range", format!("bytes={from}-")));
            if let Some(etag) = etag {
                headers.push(("If-Range", etag.to_owned()));
            }
        }
        let question = Question::blob(repository, digest);
        self.with_retries(&question, false, || {
            let reply = self.exchange(&Ask {
                method: Method::Get,
                question: &question,
                query: None,
                headers: headers.clone(),
                deadline: None,
            })?;
            self.check_encoding(&reply)?;
            match reply.status {
                200 => Ok(self.stream(&question, reply, None)),
                206 => {
                    let range = self.checked_range(&reply, from)?;
                    Ok(self.stream(&question, reply, Some(range)))
                }
                _ => Err(self.refusal(reply, Method::Get)),
            }
        })
    }

    fn checked_range(&self, reply: &Reply, from: u64) -> Result<ContentRange, Fault> {
        let wrong = |why: String| Fault::protocol(self.transport.subject(&reply.url), why);
        let text = reply.header("content-range").unwrap_or_default();
        let range = ContentRange::parse(text)
            .ok_or_else(|| wrong("sent a part without saying which".to_owned()))?;
        if range.first != from {
            return Err(wrong(format!(
                "was asked for the bytes from {from} on and sent those from {} on",
                range.first
            )));
        }
        if reply
            .content_length()
            .is_some_and(|length| length != range.length())
        {
            return Err(wrong(
                "sent a part of another length than it says".to_owned(),
            ));
        }
        Ok(range)
    }

    fn stream(&self, question: &Question, reply: Reply, range: Option<ContentRange>) -> BlobStream {
        let length = reply.content_length();
        let (offset, total, expected) = match range {
            None => (0, length, length),
            // A part that ends before the blob does is an early end, like any other.
            Some(range) => (
                range.first,
                range.total,
                Some(
                    range
                        .total
                        .map_or(range.length(), |total| total.saturating_sub(range.first)),
                ),
            ),
        };
        let etag = reply
            .header("etag")
            .map(str::trim)
            .filter(|etag| etag.starts_with('"') && etag.ends_with('"') && etag.len() > 2)
            .map(str::to_owned);
        let Reply { url, body, .. } = reply;
        let mut reader = BlobReader {
            body: body.into_reader(),
            remaining: expected,
            received: 0,
            sized: length.is_some(),
            state: State::Arriving,
            url,
            transport: Arc::clone(&self.transport),
            health: Arc::clone(&self.health),
            leave: Leave::to_read(question.clone(), Instant::now()),
            counts: Arc::clone(self.counts()),
        };
        if expected == Some(0) {
            reader.finish();
        }
        BlobStream {
            offset,
            total,
            etag,
            reader: Box::new(reader),
        }
    }
}

/// `Content-Range: bytes FIRST-LAST/TOTAL`, whose parts fit together.
#[derive(Debug, PartialEq, Eq)]
struct ContentRange {
    first: u64,
    last: u64,
    total: Option<u64>,
}

impl ContentRange {
    fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.trim().split_once(' ')?;
        let (range, total) = rest.trim().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let number = |text: &str| -> Option<u64> {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse().ok())?
        };
        let (first, last) = (number(first)?, number(last)?);
        let total = match total {
            "*" => None,
            total => Some(number(total)?),
        };
        let fits = first <= last && last < u64::MAX && total.is_none_or(|total| last < total);
        (unit.eq_ignore_ascii_case("bytes") && fits).then_some(Self { first, last, total })
    }

    fn length(&self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }
}

/// A body on its way. It ends well only where its announced length says so; once it failed it goes on
/// failing. Where no length is announced (neither `Content-Length`, chunks nor a range) the closed
/// connection is the end, and only the digest can tell.
struct BlobReader {
    body: ureq::BodyReader<'static>,
    remaining: Option<u64>,
    received: u64,
    /// Whether `Content-Length` frames the body, rather than chunks.
    sized: bool,
    state: State,
    url: Url,
    transport: Arc<Transport>,
    health: Arc<Health>,
    leave: Leave,
    counts: Arc<Counts>,
}

enum State {
    Arriving,
    Arrived,
    Broken(io::ErrorKind, String),
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.state {
            State::Arriving if buffer.is_empty() => return Ok(0),
            State::Arriving => {}
            State::Arrived => return Ok(0),
            State::Broken(kind, why) => return Err(io::Error::new(*kind, why.clone())),
        }
        let count = match self.body.read(buffer) {
            Ok(count) => {
                self.counts.note_received(count as u64);
                count
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                let kind = error.kind();
                let fault = self.transport.body_fault(&self.url, error, None);
                return Err(self.fail(kind, fault));
            }
        };
        match self.remaining {
            Some(remaining) if count as u64 > remaining => {
                let fault = Fault::protocol(self.subject(), "sent more bytes than it announced");
                Err(self.fail(io::ErrorKind::InvalidData, fault))
            }
            Some(remaining) if count == 0 && remaining > 0 => {
                let why = format!("broke off {remaining} bytes before the end");
                let fault = Fault::new(FaultKind::Unreachable, format!("{} {why}", self.subject()));
                Err(self.fail(io::ErrorKind::UnexpectedEof, fault))
            }
            remaining => {
                self.remaining = remaining.map(|remaining| remaining.saturating_sub(count as u64));
                let before = self.received;
                self.received = before.saturating_add(count as u64);
                if count == 0 || self.remaining == Some(0) {
                    self.finish();
                } else if (before..self.received).contains(&PROOF_OF_LIFE) {
                    self.health.body_arrived(&self.leave);
                }
                Ok(count)
            }
        }
    }
}

impl BlobReader {
    fn subject(&self) -> String {
        self.transport.subject(&self.url)
    }

    fn finish(&mut self) {
        self.state = State::Arrived;
        self.health.body_arrived(&self.leave);
        if self.sized {
            // ureq takes a connection back when it has told the end, which costs no IO here.
            let _ = self.body.read(&mut [0]);
        }
    }

    fn fail(&mut self, kind: io::ErrorKind, fault: Fault) -> io::Error {
        let kind = match fault.kind {
            FaultKind::TimedOut => io::ErrorKind::TimedOut,
            FaultKind::Protocol => io::ErrorKind::InvalidData,
            _ => kind,
        };
        self.health.body_broke(&self.leave, &fault);
        self.state = State::Broken(kind, fault.message.clone());
        io::Error::new(kind, fault.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_fit_together_or_are_none() {
        type Case = (&'static str, Option<(u64, u64, Option<u64>)>);
        let cases: &[Case] = &[
            ("bytes 5-9/10", Some((5, 9, Some(10)))),
            ("Bytes 5-9/*", Some((5, 9, None))),
            ("bytes 5-5/100", Some((5, 5, Some(100)))),
            ("bytes 5-9/9", None),
            ("bytes 9-5/10", None),
            ("bytes */10", None),
            ("bytes 5-/10", None),
            ("bytes -5/10", None),
            ("bytes +5-9/10", None),
            ("bytes 0-18446744073709551615/*", None),
            ("items 5-9/10", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let read = ContentRange::parse(text).map(|r| (r.first, r.last, r.total));
            assert_eq!(read, *expected, "{text:?}");
        }
    }
}
