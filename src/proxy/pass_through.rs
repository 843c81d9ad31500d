//! One blob for one client, past the disk: where the disk has no room for it, it is passed on as it comes.
//!
//! As in a fetch, the last byte is held back until the hash matched, and a broken connection is resumed.
//! Nothing is kept, and nobody joins.

use std::io::{self, Read};

use super::Target;
use super::download::{CHUNK, Download, DownloadFailure};
use super::failed::Failed;
use crate::oci::Digest;

/// Broken connections in all, after which it gives up.
const TRIES: u32 = 16;

/// A blob that is passed on.
pub(super) struct PassThrough {
    target: Target,
    digest: Digest,
    download: Download,
    /// All bytes came, and are right.
    is_whole: bool,
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
        let mut download = Download::new(target, digest);
        match download.connect() {
            Ok(()) => {}
            Err(DownloadFailure::Lied(lie)) => return Err(Failed::Lied(download.lied(lie))),
            Err(DownloadFailure::Fault(fault)) => return Err(fault.into()),
            Err(DownloadFailure::Broken(error)) => return Err(Failed::Lied(error.to_string())),
        }
        Ok(Self {
            target: target.clone(),
            digest: digest.clone(),
            download,
            is_whole: false,
            tries: 0,
            buffer: vec![0; CHUNK].into_boxed_slice(),
            held: 0..0,
            at: 0,
            from: 0,
            end: None,
        })
    }

    /// The blob's size, if the upstream said it.
    pub(super) fn total(&self) -> Option<u64> {
        self.download.total()
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
        let room = self.held.len();
        self.held = 0..room;
        let free = self.buffer.get_mut(room..).unwrap_or_default();
        match self.download.read(free) {
            Ok(Some(news)) => {
                let arrived = room.saturating_add(news.start)..room.saturating_add(news.end);
                self.buffer.copy_within(arrived, room);
                self.held.end = room.saturating_add(news.len());
                Ok(())
            }
            Ok(None) => {
                let finished = self.download.finish();
                self.is_whole = finished.is_ok();
                finished.map_err(|lie| io::Error::other(self.download.lied(lie)))
            }
            Err(DownloadFailure::Broken(error)) => self.resume(error),
            Err(failure) => Err(self.failed(failure)),
        }
    }

    /// Goes on with another connection where the last one broke off.
    fn resume(&mut self, error: io::Error) -> io::Result<()> {
        self.tries = self.tries.saturating_add(1);
        if self.tries >= TRIES {
            return Err(error);
        }
        tracing::info!(blob = %self.digest, repository = self.target.shown(), at = self.download.received(),
            "the upstream broke off, resuming: {error}");
        let connected = self.download.connect();
        connected.map_err(|failure| self.failed(failure))
    }

    fn failed(&self, failure: DownloadFailure) -> io::Error {
        match failure {
            DownloadFailure::Lied(lie) => io::Error::other(self.download.lied(lie)),
            DownloadFailure::Fault(fault) => io::Error::other(fault),
            DownloadFailure::Broken(error) => error,
        }
    }

    /// Leaves so many of the held bytes behind.
    fn advance(&mut self, bytes: usize) {
        self.held.start = self.held.start.saturating_add(bytes);
        self.at = self.at.saturating_add(bytes as u64);
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
            let free = self.held.len().saturating_sub(usize::from(!self.is_whole));
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
            if self.is_whole {
                return Ok(0);
            }
            self.refill()?;
        }
    }
}
