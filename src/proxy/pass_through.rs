//! One blob for one client, past the disk: where the disk has no room for it, it is passed on as it comes.
//!
//! As in a fetch, the last byte is held back until the hash matched, and a broken connection is resumed.
//! Nothing is kept, and nobody joins.

use std::io::{self, Read};

use super::Target;
use super::failed::Failed;
use crate::error::Result;
use crate::oci::{Digest, Hasher};
use crate::upstream::BlobStream;

/// One read from the upstream.
const CHUNK: usize = 32 * 1024;
/// Broken connections in all, after which it gives up.
const TRIES: u32 = 16;

/// A blob that is passed on.
pub(super) struct PassThrough {
    target: Target,
    digest: Digest,
    stream: BlobStream,
    /// Bytes of this connection that were there already.
    known: u64,
    hasher: Option<Hasher>,
    total: Option<u64>,
    received: u64,
    tries: u32,
    buffer: Box<[u8]>,
    /// The part of the buffer that was not given yet.
    held: std::ops::Range<usize>,
    /// The offset in the blob of the first held byte.
    at: u64,
    from: u64,
    end: Option<u64>,
}

impl PassThrough {
    /// Asks the upstream for the blob.
    ///
    /// # Errors
    /// As the upstream's; `UpstreamLied` for an empty blob that should not be one.
    pub(super) fn open(target: &Target, digest: &Digest) -> Result<Self, Failed> {
        let stream = target
            .upstream
            .get_blob(&target.repository, digest, 0, None)?;
        let passing = Self {
            target: target.clone(),
            digest: digest.clone(),
            total: stream.total,
            known: 0,
            stream,
            hasher: Some(Hasher::new(digest.algorithm())),
            received: 0,
            tries: 0,
            buffer: vec![0; CHUNK].into_boxed_slice(),
            held: 0..0,
            at: 0,
            from: 0,
            end: None,
        };
        // Of nothing there is no last byte to hold back.
        if passing.total == Some(0) && Hasher::new(digest.algorithm()).finish() != *digest {
            return Err(Failed::Lied(passing.lied("it has no bytes")));
        }
        Ok(passing)
    }

    /// The blob's size, if the upstream said it.
    pub(super) fn total(&self) -> Option<u64> {
        self.total
    }

    /// Gives `length` bytes from `offset` on (`None`: to the end).
    pub(super) fn part(mut self, offset: u64, length: Option<u64>) -> Self {
        self.from = offset;
        self.end = length.map(|length| offset.saturating_add(length));
        self
    }

    /// Reads on from the upstream, behind what is held; at its end compares the hash.
    fn refill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.held.clone(), 0);
        self.held = 0..self.held.len();
        let room = self.held.end;
        let read = match self
            .stream
            .reader
            .read(self.buffer.get_mut(room..).unwrap_or_default())
        {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return self.resume(error),
        };
        if read == 0 {
            return self.finish();
        }
        let known = usize::try_from(self.known).map_or(read, |known| known.min(read));
        self.known = self.known.saturating_sub(known as u64);
        let news = read.saturating_sub(known);
        let arrived = room.saturating_add(known)..room.saturating_add(read);
        self.buffer.copy_within(arrived, room);
        self.received = self.received.saturating_add(news as u64);
        if self.total.is_some_and(|total| self.received > total) {
            return Err(io::Error::other(
                self.lied("it sent more bytes than it announced"),
            ));
        }
        self.held.end = room.saturating_add(news);
        if let Some(hasher) = &mut self.hasher {
            let news = self.buffer.get(room..self.held.end);
            hasher.update(news.unwrap_or_default());
        }
        Ok(())
    }

    /// Goes on with another connection where the last one broke off.
    fn resume(&mut self, error: io::Error) -> io::Result<()> {
        self.tries = self.tries.saturating_add(1);
        if self.tries >= TRIES {
            return Err(error);
        }
        tracing::info!(blob = %self.digest, repository = self.target.shown(), at = self.received,
            "the upstream broke off, resuming: {error}");
        let (upstream, repository) = (&self.target.upstream, &self.target.repository);
        let etag = self.stream.etag.clone();
        let stream = upstream
            .get_blob(repository, &self.digest, self.received, etag.as_deref())
            .map_err(io::Error::other)?;
        if stream.total.is_some() && self.total.is_some() && stream.total != self.total {
            return Err(io::Error::other(self.lied("its size changed on the way")));
        }
        self.known = self.received.saturating_sub(stream.offset);
        self.stream = stream;
        Ok(())
    }

    /// Leaves so many of the held bytes behind.
    fn advance(&mut self, bytes: usize) {
        self.held.start = self.held.start.saturating_add(bytes);
        self.at = self.at.saturating_add(bytes as u64);
    }

    fn finish(&mut self) -> io::Result<()> {
        let matches = self
            .hasher
            .take()
            .is_some_and(|hasher| hasher.finish() == self.digest);
        if !matches || self.total.is_some_and(|total| total != self.received) {
            return Err(io::Error::other(
                self.lied("its bytes do not match the digest"),
            ));
        }
        Ok(())
    }

    fn lied(&self, why: &str) -> String {
        let upstream = self.target.upstream.name();
        let shown = self.target.shown();
        let sentence = format!(
            "{upstream} lied about blob {} of {shown}: {why}",
            self.digest
        );
        self.target.upstream.note_lie(&sentence);
        sentence
    }
}

impl Read for PassThrough {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = self
                .end
                .map_or(u64::MAX, |end| end.saturating_sub(self.at.max(self.from)));
            if left == 0 || buffer.is_empty() {
                return Ok(0);
            }
            // The hasher goes when the hash matched.
            let is_whole = self.hasher.is_none();
            let free = self.held.len().saturating_sub(usize::from(!is_whole));
            let before = self.from.saturating_sub(self.at);
            let skipped = usize::try_from(before).map_or(free, |before| before.min(free));
            self.advance(skipped);
            let given = free
                .saturating_sub(skipped)
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            let held = self.buffer.get(self.held.clone()).unwrap_or_default();
            let mut next = held.get(..given).unwrap_or_default();
            let given = next.read(buffer)?;
            if given > 0 {
                self.advance(given);
                return Ok(given);
            }
            if is_whole {
                return Ok(0);
            }
            self.refill()?;
        }
    }
}
