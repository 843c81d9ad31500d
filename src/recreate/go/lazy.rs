//! Level 6, the default: chains of places with the same four bytes, and a match waits whether the next byte starts a
//! longer one.

use crate::recreate::bytes::{common, four};
use crate::recreate::tokens::{LONGEST, Token, WINDOW};

use super::writer::Writer;

/// The fewest bytes that are looked for, which is one more than the format would allow.
const SHORTEST: usize = 4;
/// So many bytes are wanted ahead before the next one is decided about.
const AHEAD: usize = SHORTEST + LONGEST;
/// A block ends with so many tokens.
const TOKENS: usize = 1 << 14;
const HASHES: usize = 1 << 17;
/// A match of so many bytes is taken without a look at the next byte.
const LAZY: usize = 16;
/// A match of so many bytes is not compared with others.
const NICE: usize = 128;
/// So many places are tried.
const CHAIN: usize = 128;
/// A match of the fewest bytes must not be farther away: it would take more than it saves.
const NEAR: usize = 4096;
/// Above it the places are counted anew.
const RENUMBER: u32 = 1 << 30;

/// Go's compressor at level 6.
pub(in crate::recreate) struct Lazy {
    writer: Writer,
    window: Box<[u8; 2 * WINDOW]>,
    /// What is filled of the window.
    end: usize,
    /// What is decided of it.
    at: usize,
    /// The number of the window's first place; 0 is no place.
    base: u32,
    /// By hash, the last place with it.
    heads: Box<[u32]>,
    /// By place, the one before with the same hash.
    before: Box<[u32; WINDOW]>,
    /// Of the place that was hashed last, the one before with the same hash.
    chain: u32,
    tokens: Vec<Token>,
    /// Where the block starts, unless it has left the window.
    block: Option<usize>,
    /// The match that waits, and how far back it is.
    length: usize,
    distance: usize,
    /// Whether a byte waits.
    has_byte: bool,
}

impl Lazy {
    pub(in crate::recreate) fn new() -> Self {
        Self {
            writer: Writer::new(),
            window: Box::new([0; 2 * WINDOW]),
            end: 0,
            at: 0,
            base: 1,
            heads: vec![0; HASHES].into_boxed_slice(),
            before: Box::new([0; WINDOW]),
            chain: 0,
            tokens: Vec::with_capacity(TOKENS),
            block: Some(0),
            length: SHORTEST - 1,
            distance: 0,
            has_byte: false,
        }
    }

    pub(in crate::recreate) fn write(&mut self, mut content: &[u8]) {
        while !content.is_empty() {
            if self.end == self.window.len() {
                self.compress(false);
                self.slide();
            }
            let free = self.window.get_mut(self.end..).unwrap_or_default();
            let taken = free.len().min(content.len());
            let (now, later) = content.split_at_checked(taken).unwrap_or_default();
            for (to, from) in free.iter_mut().zip(now) {
                *to = *from;
            }
            self.end = self.end.wrapping_add(taken);
            content = later;
        }
    }

    pub(in crate::recreate) fn finish(&mut self) {
        self.compress(true);
        self.writer.finish();
    }

    pub(in crate::recreate) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.writer.bits.bytes
    }

    /// The second half of the window becomes the first.
    fn slide(&mut self) {
        self.window.copy_within(WINDOW.., 0);
        self.at = self.at.saturating_sub(WINDOW);
        self.end = self.end.saturating_sub(WINDOW);
        self.block = self.block.and_then(|block| block.checked_sub(WINDOW));
        self.base = self.base.wrapping_add(WINDOW as u32);
        if self.base > RENUMBER {
            let gone = self.base.wrapping_sub(1);
            let places = self.heads.iter_mut().chain(self.before.iter_mut());
            for place in places.chain([&mut self.base, &mut self.chain]) {
                *place = place.saturating_sub(gone);
            }
        }
    }

    /// Decides about all that has enough bytes ahead, or about everything.
    fn compress(&mut self, to_the_end: bool) {
        let hashed = self.end.saturating_sub(SHORTEST - 1);
        loop {
            let ahead = self.end.saturating_sub(self.at);
            if ahead < AHEAD && !to_the_end {
                return;
            }
            if ahead == 0 {
                if self.has_byte {
                    self.has_byte = false;
                    self.tokens.push(Token::byte(self.last_byte()));
                }
                if !self.tokens.is_empty() {
                    self.end_block();
                }
                return;
            }
            if self.at < hashed {
                self.chain = self.hash(self.at);
            }
            let (length, distance) = (self.length, self.distance);
            (self.length, self.distance) = (SHORTEST - 1, 0);
            if ahead > length
                && length < LAZY
                && let Some(found) = self.find(ahead)
            {
                (self.length, self.distance) = found;
            }
            if length >= SHORTEST && self.length <= length {
                // The match that waited: it started a byte ago.
                self.tokens
                    .push(Token::repeat(length as u32, distance as u32));
                let next = self.at.wrapping_add(length).wrapping_sub(1);
                for at in self.at.wrapping_add(1)..next.min(hashed) {
                    self.hash(at);
                }
                self.at = next;
                self.has_byte = false;
                self.length = SHORTEST - 1;
                if self.tokens.len() == TOKENS {
                    self.end_block();
                }
                continue;
            }
            if self.has_byte {
                self.tokens.push(Token::byte(self.last_byte()));
                if self.tokens.len() == TOKENS {
                    self.end_block();
                }
            }
            self.at = self.at.wrapping_add(1);
            self.has_byte = true;
        }
    }

    /// The longest match at the place, of more than three bytes, with its distance.
    #[inline]
    fn find(&self, ahead: usize) -> Option<(usize, usize)> {
        let window = self.window.as_slice();
        let first = self.at.saturating_sub(WINDOW);
        let most = LONGEST.min(ahead);
        let nice = NICE.min(most);
        let mut length = SHORTEST - 1;
        let mut found = None;
        let byte = |at: usize| window.get(at).copied().unwrap_or_default();
        let mut last = byte(self.at.wrapping_add(length));
        let mut place = self.place(self.chain).filter(|place| *place >= first)?;
        for _ in 0..CHAIN {
            if last == byte(place.wrapping_add(length)) {
                let same = common(window, self.at, place, most);
                let distance = self.at.wrapping_sub(place);
                if same > length && (same > SHORTEST || distance <= NEAR) {
                    length = same;
                    found = Some((length, distance));
                    if same >= nice {
                        break;
                    }
                    last = byte(self.at.wrapping_add(same));
                }
            }
            if place <= first {
                break;
            }
            let before = self.before.get(place & (WINDOW - 1));
            match self.place(before.copied().unwrap_or_default()) {
                Some(before) if before >= first => place = before,
                _ => break,
            }
        }
        found
    }

    /// Where in the window a numbered place is, unless it has left.
    #[inline]
    fn place(&self, number: u32) -> Option<usize> {
        number.checked_sub(self.base).map(|place| place as usize)
    }

    /// Remembers the place; says which one with the same hash was before.
    #[inline]
    fn hash(&mut self, at: usize) -> u32 {
        let bytes = four(self.window.as_slice(), at).swap_bytes();
        let hash = bytes.wrapping_mul(0x1e35_a7bd) >> 15;
        let Some(head) = self.heads.get_mut(hash as usize) else {
            return 0;
        };
        let before = *head;
        *head = self.base.wrapping_add(at as u32);
        if let Some(slot) = self.before.get_mut(at & (WINDOW - 1)) {
            *slot = before;
        }
        before
    }

    fn last_byte(&self) -> u8 {
        let last = self.window.get(self.at.wrapping_sub(1));
        last.copied().unwrap_or_default()
    }

    fn end_block(&mut self) {
        let start = self.block.replace(self.at);
        let content = start.and_then(|start| self.window.get(start..self.at));
        self.writer.shortest(&self.tokens, content);
        self.tokens.clear();
    }
}
