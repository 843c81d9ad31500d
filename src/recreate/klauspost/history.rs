//! What matches reach, and the numbers of its places.

use crate::recreate::bytes::{common, four};
use crate::recreate::tokens::{LONGEST, STORED, Token, WINDOW};

/// A place in the history, or before or behind it.
pub(super) type Place = i32;

/// So much is held.
const SIZE: usize = STORED * 5;
/// The number of the first place: an empty entry of a table is out of reach.
const FIRST: i32 = STORED as i32;
/// So close to the end of a block nothing is looked for.
pub(super) const MARGIN: Place = 11;
/// Farther back than this, less one, only level 1 looks.
pub(super) const REACH: Place = WINDOW as Place;
/// The bits of all hashes.
const BITS: u32 = 15;
/// Above it the places are counted anew.
const RENUMBER: i32 = 1 << 30;

/// The bytes before a block, and the block.
pub(super) struct History {
    pub(super) bytes: Vec<u8>,
    /// The number of the first place.
    base: i32,
}

impl History {
    pub(super) fn new() -> Self {
        Self {
            bytes: Vec::with_capacity(SIZE),
            base: FIRST,
        }
    }

    /// Adds a block; says where it starts. When there is no more room, only what matches reach is kept.
    pub(super) fn add(&mut self, block: &[u8]) -> Place {
        if self.bytes.len().saturating_add(block.len()) > SIZE {
            let gone = self.bytes.len().saturating_sub(WINDOW);
            self.bytes.drain(..gone);
            self.base = self.base.wrapping_add(gone as i32);
        }
        let start = self.bytes.len() as Place;
        self.bytes.extend_from_slice(block);
        start
    }

    /// Everything so far is out of reach.
    pub(super) fn restart(&mut self) {
        let gone = self.bytes.len().saturating_add(WINDOW);
        self.base = self.base.wrapping_add(gone as i32);
        self.bytes.clear();
    }

    /// Before a block: by how much all numbers are to be made smaller, if they have become large.
    pub(super) fn renumber(&mut self) -> Option<i32> {
        let gone = self.base.checked_sub(FIRST)?;
        (self.base > RENUMBER).then(|| {
            self.base = FIRST;
            gone
        })
    }

    /// The number of a place.
    #[inline]
    pub(super) fn number(&self, place: Place) -> i32 {
        self.base.wrapping_add(place)
    }

    /// The place of a number.
    #[inline]
    pub(super) fn place(&self, number: i32) -> Place {
        number.wrapping_sub(self.base)
    }

    #[inline]
    pub(super) fn byte(&self, place: Place) -> u8 {
        let byte = self.bytes.get(place as usize);
        byte.copied().unwrap_or_default()
    }

    #[inline]
    pub(super) fn four(&self, place: Place) -> u32 {
        four(&self.bytes, place as usize)
    }

    #[inline]
    pub(super) fn eight(&self, place: Place) -> u64 {
        crate::recreate::bytes::eight(&self.bytes, place as usize)
    }

    /// How many bytes are the same at both places, no matter how many.
    #[inline]
    pub(super) fn common(&self, one: Place, other: Place) -> i32 {
        common(&self.bytes, one as usize, other as usize, usize::MAX) as i32
    }

    /// How many bytes before both places are the same, back to `first` at the most.
    #[inline]
    pub(super) fn common_before(&self, mut at: Place, mut from: Place, first: Place) -> i32 {
        let start = at;
        while from > 0
            && at > first
            && self.byte(from.wrapping_sub(1)) == self.byte(at.wrapping_sub(1))
        {
            at = at.wrapping_sub(1);
            from = from.wrapping_sub(1);
        }
        start.wrapping_sub(at)
    }

    /// How long the match is that starts with four bytes that are known to be the same, up to the longest one.
    #[inline]
    pub(super) fn length(&self, at: Place, from: Place) -> i32 {
        let (at, from) = (at.wrapping_add(4), from.wrapping_add(4));
        let more = common(&self.bytes, at as usize, from as usize, LONGEST - 4);
        (more as i32).wrapping_add(4)
    }

    pub(super) fn literals(&self, from: Place, to: Place, tokens: &mut Vec<Token>) {
        let bytes = self.bytes.get(from as usize..to as usize);
        let bytes = bytes.unwrap_or_default().iter();
        tokens.extend(bytes.copied().map(Token::byte));
    }
}

/// As many matches as the length needs, none of them shorter than the format allows.
pub(super) fn repeat(mut length: i32, distance: i32, tokens: &mut Vec<Token>) {
    const LONG: i32 = LONGEST as i32;
    while length > 0 {
        let now = match length {
            ..=LONG => length,
            259..=261 => LONG - 3,
            _ => LONG,
        };
        tokens.push(Token::repeat(now as u32, distance as u32));
        length = length.wrapping_sub(now);
    }
}

/// A match that was found.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) at: Place,
    pub(super) from: Place,
    /// 0 if it is not known yet.
    pub(super) length: i32,
    /// The place that was to be looked at next.
    pub(super) next: Place,
}

impl Found {
    /// As long as the match can be.
    pub(super) fn whole(mut self, history: &History) -> Self {
        if self.length == 0 || self.length == LONGEST as i32 {
            let known = self.length.max(4);
            let (at, from) = (self.at.wrapping_add(known), self.from.wrapping_add(known));
            self.length = history.common(at, from).wrapping_add(known);
        }
        self
    }

    /// The match that ends where seven bytes were at `place`, if it is longer. The first two bytes are not compared: if
    /// they are the same they are found when going back.
    pub(super) fn or_ending_at(self, place: Place, start: Place, history: &History) -> Self {
        const SKIPPED: i32 = 2;
        let from = place.wrapping_sub(self.length).wrapping_add(SKIPPED);
        let at = start.wrapping_add(SKIPPED);
        let distance = at.wrapping_sub(from);
        if from < 0 || distance <= 0 || distance >= REACH {
            return self;
        }
        match history.common(at, from) {
            length if length > self.length => Self {
                at,
                from,
                length,
                ..self
            },
            _ => self,
        }
    }

    /// With the bytes before that are the same, back to `first` at the most.
    pub(super) fn with_bytes_before(mut self, first: Place, history: &History) -> Self {
        let back = history.common_before(self.at, self.from, first);
        self.at = self.at.wrapping_sub(back);
        self.from = self.from.wrapping_sub(back);
        self.length = self.length.wrapping_add(back);
        self
    }

    pub(super) fn distance(&self) -> i32 {
        self.at.wrapping_sub(self.from)
    }
}

/// A hash of the first four bytes.
#[inline]
pub(super) fn hash4(bytes: u64) -> u32 {
    (bytes as u32).wrapping_mul(2_654_435_761) >> (32 - BITS)
}

/// A hash of the first five bytes.
#[inline]
pub(super) fn hash5(bytes: u64) -> u32 {
    ((bytes << 24).wrapping_mul(889_523_592_379) >> (64 - BITS)) as u32
}

/// A hash of the first seven bytes.
#[inline]
pub(super) fn hash7(bytes: u64) -> u32 {
    ((bytes << 8).wrapping_mul(58_295_818_150_454_627) >> (64 - BITS)) as u32
}
