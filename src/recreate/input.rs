//! The gzip stream as it is read: bit by bit by who inflates it, and byte by byte by who compares.

use std::io::{self, ErrorKind, Read};

use super::{Failure, Refusal};

/// So much is read at a time.
const CHUNK: usize = 64 * 1024;

/// What is read of a stream, with what of it somebody still wants to compare.
pub(super) struct Input<R> {
    reader: R,
    bytes: Vec<u8>,
    /// How far into the stream `bytes` starts.
    start: u64,
    /// Where in `bytes` the next one is.
    next: usize,
    /// What is taken of `bytes` and not yet used up.
    waiting: u64,
    count: u32,
    /// How often the reader was asked since [`Self::start_counting`].
    reads: usize,
}

impl<R: Read> Input<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            bytes: Vec::new(),
            start: 0,
            next: 0,
            waiting: 0,
            count: 0,
            reads: 0,
        }
    }

    /// How far into the stream everything is read, by whole bytes.
    pub(super) fn position(&self) -> u64 {
        let ahead = self.count as usize >> 3;
        let next = self.next.saturating_sub(ahead);
        self.start.saturating_add(next as u64)
    }

    /// How far into the stream there are bytes.
    pub(super) fn end(&self) -> u64 {
        self.start.saturating_add(self.bytes.len() as u64)
    }

    /// What there is from a place in the stream on.
    pub(super) fn from(&self, place: u64) -> &[u8] {
        let at = place.checked_sub(self.start).map(|at| at as usize);
        at.and_then(|at| self.bytes.get(at..)).unwrap_or_default()
    }

    /// Nobody wants what is before a place in the stream.
    pub(super) fn forget(&mut self, place: u64) {
        let gone = place.min(self.position()).saturating_sub(self.start) as usize;
        if gone >= CHUNK {
            self.bytes.drain(..gone);
            self.next = self.next.saturating_sub(gone);
            self.start = self.start.saturating_add(gone as u64);
        }
    }

    pub(super) fn start_counting(&mut self) {
        self.reads = 0;
    }

    pub(super) fn reads(&self) -> usize {
        self.reads
    }

    /// Sees to it that 56 bits are there, unless the stream ends before.
    #[inline]
    pub(super) fn refill(&mut self) -> Result<(), Failure> {
        if self.count >= 56 {
            return Ok(());
        }
        let bytes = self.bytes.get(self.next..).unwrap_or_default();
        if let Some(eight) = bytes.first_chunk() {
            // Of the bits beyond the whole bytes that are counted the same will be added once more.
            self.waiting |= u64::from_le_bytes(*eight).wrapping_shl(self.count);
            let taken = 63_u32.wrapping_sub(self.count) >> 3;
            self.next = self.next.wrapping_add(taken as usize);
            self.count = self.count.wrapping_add(taken.wrapping_mul(8));
            return Ok(());
        }
        self.refill_slowly()
    }

    #[cold]
    fn refill_slowly(&mut self) -> Result<(), Failure> {
        while self.count < 56 {
            let Some(byte) = self.bytes.get(self.next).copied() else {
                if self.fill()? {
                    continue;
                }
                break;
            };
            self.next = self.next.wrapping_add(1);
            let bit = u64::from(byte).wrapping_shl(self.count);
            self.waiting |= bit;
            self.count = self.count.wrapping_add(8);
        }
        Ok(())
    }

    /// The next bits, without going on: zeros after the end.
    #[inline]
    pub(super) fn peek(&self) -> u32 {
        self.waiting as u32
    }

    /// Goes on by so many bits.
    #[inline]
    pub(super) fn skip(&mut self, count: u32) -> Result<(), Failure> {
        if count > self.count {
            return Err(Refusal::Truncated.into());
        }
        self.waiting = self.waiting.wrapping_shr(count);
        self.count = self.count.wrapping_sub(count);
        Ok(())
    }

    /// The next bits, 16 at the most, of those that [`Self::refill`] saw to.
    #[inline]
    pub(super) fn take(&mut self, count: u32) -> Result<u32, Failure> {
        let bits = self.peek() & 1_u32.wrapping_shl(count).wrapping_sub(1);
        self.skip(count)?;
        Ok(bits)
    }

    /// The next bits, 16 at the most.
    pub(super) fn bits(&mut self, count: u32) -> Result<u32, Failure> {
        self.refill()?;
        self.take(count)
    }

    /// Leaves out what is left of the byte.
    pub(super) fn skip_to_byte(&mut self) -> Result<(), Failure> {
        self.skip(self.count & 7)
    }

    /// Goes back to the next whole byte, behind which [`Self::byte`] and [`Self::run`] go on.
    pub(super) fn align(&mut self) {
        let ahead = self.count as usize >> 3;
        self.next = self.next.saturating_sub(ahead);
        (self.waiting, self.count) = (0, 0);
    }

    /// The next byte of a stream that is aligned; nothing at its end.
    pub(super) fn byte(&mut self) -> Result<Option<u8>, Failure> {
        if self.next == self.bytes.len() && !self.fill()? {
            return Ok(None);
        }
        let byte = self.bytes.get(self.next).copied();
        self.next = self.next.saturating_add(1);
        Ok(byte)
    }

    /// So many bytes at the most of a stream that is aligned, and one at least; nothing at its end.
    pub(super) fn run(&mut self, most: usize) -> Result<&[u8], Failure> {
        if self.next == self.bytes.len() {
            self.fill()?;
        }
        let from = self.next;
        self.next = from.saturating_add(most).min(self.bytes.len());
        Ok(self.bytes.get(from..self.next).unwrap_or_default())
    }

    /// Reads on; says whether there was anything.
    fn fill(&mut self) -> Result<bool, Failure> {
        self.reads = self.reads.saturating_add(1);
        let length = self.bytes.len();
        self.bytes.resize(length.saturating_add(CHUNK), 0);
        let read = read(
            &mut self.reader,
            self.bytes.get_mut(length..).unwrap_or_default(),
        );
        let count = read.as_ref().map_or(0, |count| *count);
        self.bytes.truncate(length.saturating_add(count));
        Ok(read.map_err(Failure::Read)? > 0)
    }
}

/// What a reader has, however often it is interrupted.
pub(super) fn read(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read.map(|count| count.min(buffer.len())),
        }
    }
}
