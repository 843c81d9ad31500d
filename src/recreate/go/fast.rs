//! Level 1, the fastest: one table of where four bytes were last, and the longer nothing is found, the fewer places are
//! looked at.

use crate::recreate::bytes::{common, eight, four};
use crate::recreate::tokens::{LONGEST, STORED, Token, WINDOW};

use super::writer::Writer;

const HASHES: usize = 1 << 14;
/// So close to the end of a block nothing is looked for.
const MARGIN: usize = 15;
/// Before the first place, so that an empty entry of the table is out of reach.
const FIRST: u32 = 2 * WINDOW as u32;
/// Above it the places are counted anew.
const RENUMBER: u32 = 1 << 30;

/// Go's compressor at level 1.
pub(in crate::recreate) struct Fast {
    writer: Writer,
    /// What matches reach of the blocks before, and the block.
    buffer: Vec<u8>,
    /// Where the block starts in it.
    start: usize,
    /// The number of the buffer's first place.
    base: u32,
    table: Box<[Entry]>,
    tokens: Vec<Token>,
}

/// Four bytes, and the number of their place.
#[derive(Clone, Copy, Default)]
struct Entry {
    bytes: u32,
    place: u32,
}

impl Fast {
    pub(in crate::recreate) fn new() -> Self {
        Self {
            writer: Writer::new(),
            buffer: Vec::with_capacity(WINDOW + STORED),
            start: 0,
            base: FIRST,
            table: vec![Entry::default(); HASHES].into_boxed_slice(),
            tokens: Vec::with_capacity(STORED),
        }
    }

    pub(in crate::recreate) fn write(&mut self, mut content: &[u8]) {
        while !content.is_empty() {
            let wanted = STORED.saturating_sub(self.block_length());
            let (now, later) = content
                .split_at_checked(wanted)
                .unwrap_or((content, Default::default()));
            self.buffer.extend_from_slice(now);
            content = later;
            if self.block_length() == STORED {
                self.end_block();
            }
        }
    }

    pub(in crate::recreate) fn finish(&mut self) {
        let block = self.buffer.get(self.start..).unwrap_or_default();
        match block.len() {
            0 => {}
            1..=16 => self.writer.bits.stored(block, false),
            17..128 => self.writer.bytes(block),
            _ => self.end_block(),
        }
        self.writer.finish();
    }

    pub(in crate::recreate) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.writer.bits.bytes
    }

    fn block_length(&self) -> usize {
        self.buffer.len().saturating_sub(self.start)
    }

    fn end_block(&mut self) {
        self.find();
        let block = self.buffer.get(self.start..).unwrap_or_default();
        let few = block.len().saturating_sub(block.len() >> 4);
        if self.tokens.len() > few {
            self.writer.bytes(block);
        } else {
            self.writer.own(&self.tokens, block);
        }
        self.tokens.clear();

        let gone = self.buffer.len().saturating_sub(WINDOW);
        self.buffer.drain(..gone);
        self.start = self.buffer.len();
        self.base = self.base.wrapping_add(gone as u32);
        if self.base > RENUMBER {
            let gone = self.base.wrapping_sub(FIRST);
            self.base = FIRST;
            for entry in &mut self.table {
                entry.place = entry.place.saturating_sub(gone);
            }
        }
    }

    /// The tokens of the block.
    fn find(&mut self) {
        let limit = self.buffer.len().saturating_sub(MARGIN);
        let mut at = self.start;
        let mut literal = at;
        let mut bytes = four(&self.buffer, at);
        'block: loop {
            // A step goes one place farther after 32 places without a match, and so on.
            let mut skip = 32_usize;
            let mut next = at;
            let mut distance;
            loop {
                at = next;
                let step = skip >> 5;
                next = at.wrapping_add(step);
                skip = skip.wrapping_add(step);
                if next > limit {
                    break 'block;
                }
                let entry = self.exchange(bytes, at);
                distance = self.distance(entry, at);
                if distance <= WINDOW && entry.bytes == bytes {
                    break;
                }
                bytes = four(&self.buffer, next);
            }
            self.literals(literal, at);
            loop {
                let after = at.wrapping_add(4);
                let more = common(
                    &self.buffer,
                    after,
                    after.wrapping_sub(distance),
                    LONGEST - 4,
                );
                let length = more.wrapping_add(4);
                self.tokens
                    .push(Token::repeat(length as u32, distance as u32));
                at = at.wrapping_add(length);
                literal = at;
                if at >= limit {
                    break 'block;
                }
                let around = eight(&self.buffer, at.wrapping_sub(1));
                self.exchange(around as u32, at.wrapping_sub(1));
                bytes = (around >> 8) as u32;
                let entry = self.exchange(bytes, at);
                distance = self.distance(entry, at);
                if distance > WINDOW || entry.bytes != bytes {
                    bytes = (around >> 16) as u32;
                    at = at.wrapping_add(1);
                    break;
                }
            }
        }
        self.literals(literal, self.buffer.len());
    }

    /// Remembers where the bytes are; gives what was there before.
    #[inline]
    fn exchange(&mut self, bytes: u32, at: usize) -> Entry {
        let hash = bytes.wrapping_mul(0x1e35_a7bd) >> 18;
        let place = self.base.wrapping_add(at as u32);
        let slot = self.table.get_mut(hash as usize);
        slot.map(|slot| std::mem::replace(slot, Entry { bytes, place }))
            .unwrap_or_default()
    }

    #[inline]
    fn distance(&self, entry: Entry, at: usize) -> usize {
        let here = self.base.wrapping_add(at as u32);
        here.wrapping_sub(entry.place) as usize
    }

    fn literals(&mut self, from: usize, to: usize) {
        let bytes = self.buffer.get(from..to).unwrap_or_default();
        self.tokens.extend(bytes.iter().copied().map(Token::byte));
    }
}
