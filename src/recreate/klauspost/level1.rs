//! Level 1: one table of where five bytes were last.

use crate::recreate::tokens::Token;

use super::history::{History, MARGIN, Place, REACH, hash5, repeat};

const HASHES: usize = 1 << 15;

pub(super) struct Level1 {
    pub(super) history: History,
    table: Box<[i32; HASHES]>,
}

impl Level1 {
    pub(super) fn new() -> Self {
        Self {
            history: History::new(),
            table: Box::new([0; HASHES]),
        }
    }

    /// The tokens of a block; none if nothing is found.
    pub(super) fn find(&mut self, block: &[u8], tokens: &mut Vec<Token>) {
        if let Some(gone) = self.history.renumber() {
            for number in self.table.iter_mut() {
                *number = number.saturating_sub(gone).max(0);
            }
        }
        let start = self.history.add(block);
        let end = self.history.bytes.len() as Place;
        let literal = self.find_from(start, end, tokens);
        if !tokens.is_empty() {
            self.history.literals(literal, end, tokens);
        }
    }

    /// Says where the bytes are that are left.
    fn find_from(&mut self, start: Place, end: Place, tokens: &mut Vec<Token>) -> Place {
        let limit = end.wrapping_sub(MARGIN);
        if limit < start.wrapping_add(2) {
            return start;
        }
        let mut at = start;
        let mut literal = start;
        let mut bytes = self.history.eight(at);
        loop {
            let mut next;
            let mut from;
            // Two places at a time; the longer nothing is found, the farther the next two.
            loop {
                let hash = hash5(bytes);
                next = at
                    .wrapping_add(2)
                    .wrapping_add(at.wrapping_sub(literal) >> 5);
                if next > limit {
                    return literal;
                }
                let mut later = self.history.eight(next);
                from = self.exchange(hash, at);
                let hash = hash5(later);
                if self.is_match(at, from, bytes) {
                    self.exchange(hash, next);
                    break;
                }
                bytes = later;
                at = next;
                next = next.wrapping_add(1);
                later >>= 8;
                from = self.exchange(hash, at);
                if self.is_match(at, from, bytes) {
                    self.exchange(hash, next);
                    break;
                }
                bytes = later;
                at = next;
            }
            loop {
                let same = |place: Place| place.wrapping_add(4);
                let mut length = self.history.common(same(at), same(from)).wrapping_add(4);
                let back = self.history.common_before(at, from, literal);
                at = at.wrapping_sub(back);
                from = from.wrapping_sub(back);
                length = length.wrapping_add(back);
                self.history.literals(literal, at, tokens);
                repeat(length, at.wrapping_sub(from), tokens);
                at = at.wrapping_add(length);
                literal = at;
                if next >= at {
                    at = next.wrapping_add(1);
                }
                if at >= limit {
                    if at.wrapping_add(length).wrapping_add(8) < end {
                        self.exchange(hash5(self.history.eight(at)), at);
                    }
                    return literal;
                }
                let around = self.history.eight(at.wrapping_sub(2));
                self.exchange(hash5(around), at.wrapping_sub(2));
                bytes = around >> 16;
                from = self.exchange(hash5(bytes), at);
                let distance = at.wrapping_sub(from);
                if distance > REACH || bytes as u32 != self.history.four(from) {
                    bytes >>= 8;
                    at = at.wrapping_add(1);
                    break;
                }
            }
        }
    }

    #[inline]
    fn is_match(&self, at: Place, from: Place, bytes: u64) -> bool {
        at.wrapping_sub(from) < REACH && bytes as u32 == self.history.four(from)
    }

    /// Remembers a place; gives the one that was there before.
    #[inline]
    fn exchange(&mut self, hash: u32, place: Place) -> Place {
        let number = self.history.number(place);
        let slot = self.table.get_mut(hash as usize);
        let before = slot.map(|slot| std::mem::replace(slot, number));
        self.history.place(before.unwrap_or_default())
    }
}
