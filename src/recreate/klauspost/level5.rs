//! Level 5: a table for four bytes and one for seven; the next byte and the end of a match may have a longer one.

use crate::recreate::tokens::Token;

use super::history::{Found, History, MARGIN, Place, REACH, hash4, hash7, repeat};
use super::tables::Tables;

pub(super) struct Level5 {
    pub(super) history: History,
    tables: Tables,
}

impl Level5 {
    pub(super) fn new() -> Self {
        Self {
            history: History::new(),
            tables: Tables::new(),
        }
    }

    /// The tokens of a block; none if nothing is found.
    pub(super) fn find(&mut self, block: &[u8], tokens: &mut Vec<Token>) {
        if let Some(gone) = self.history.renumber() {
            self.tables.renumber(gone);
        }
        let start = self.history.add(block);
        let end = self.history.bytes.len() as Place;
        let limit = end.wrapping_sub(MARGIN);
        let mut literal = start;
        let mut at = start;
        let mut bytes = self.history.eight(at);
        while limit >= start.wrapping_add(2)
            && let Some(found) = self.next_match(at, bytes, literal, limit)
        {
            let found = self
                .longest(found, limit)
                .with_bytes_before(literal, &self.history);
            self.history.literals(literal, found.at, tokens);
            repeat(found.length, found.distance(), tokens);
            literal = found.at.wrapping_add(found.length);
            at = literal.max(found.next.wrapping_add(1));
            if at >= limit {
                break;
            }
            self.remember(at.wrapping_sub(found.length).wrapping_add(1), at);
            let before = at.wrapping_sub(1);
            let around = self.history.eight(before);
            self.tables.add(around, self.history.number(before));
            bytes = around >> 8;
        }
        if !tokens.is_empty() {
            self.history.literals(literal, end, tokens);
        }
    }

    /// The next match of at least four bytes.
    fn next_match(
        &mut self,
        start: Place,
        mut bytes: u64,
        literal: Place,
        limit: Place,
    ) -> Option<Found> {
        let mut next = start;
        loop {
            let at = next;
            let (short, long) = (hash4(bytes), hash7(bytes));
            next = at
                .wrapping_add(1)
                .wrapping_add(at.wrapping_sub(literal) >> 6);
            if next > limit {
                return None;
            }
            let history = &self.history;
            let from = self.tables.short(short, history);
            let (last, before) = self.tables.long(long, history);
            let later = history.eight(next);
            let number = history.number(at);
            self.tables.add_short(short, number);
            self.tables.add_long(long, number);

            let is_match =
                |from: Place| at.wrapping_sub(from) < REACH && bytes as u32 == history.four(from);
            let found = |from, length| {
                Some(Found {
                    at,
                    from,
                    length,
                    next,
                })
            };
            let number = history.number(next);
            // The older place is looked at only if the newer one is not too far away.
            let is_near = at.wrapping_sub(last) < REACH;
            if is_match(last) {
                self.tables.add(later, number);
                if is_match(before) {
                    let (one, other) = (history.length(at, last), history.length(at, before));
                    return if other > one {
                        found(before, other)
                    } else {
                        found(last, one)
                    };
                }
                return found(last, 0);
            }
            if is_near && is_match(before) {
                self.tables.add(later, number);
                return found(before, 0);
            }
            if is_match(from) {
                let one = history.length(at, from);
                let (last, before) = self.tables.long(hash7(later), history);
                self.tables.add(later, number);
                // The next place may have a longer one.
                if next.wrapping_sub(last) < REACH {
                    for from in [last, before] {
                        if next.wrapping_sub(from) < REACH && later as u32 == history.four(from) {
                            let other = history.length(next, from);
                            if other > one {
                                return Some(Found {
                                    at: next,
                                    from,
                                    length: other,
                                    next,
                                });
                            }
                        }
                    }
                }
                return found(from, one);
            }
            bytes = later;
        }
    }

    /// As long as the match can be, or a longer one that ends where it ends.
    fn longest(&self, found: Found, limit: Place) -> Found {
        let found = found.whole(&self.history);
        let end = found.at.wrapping_add(found.length);
        if found.length >= 30 || end >= limit {
            return found;
        }
        let hash = hash7(self.history.eight(end));
        let (last, _) = self.tables.long(hash, &self.history);
        found.or_ending_at(last, found.at, &self.history)
    }

    /// Every third place of a match.
    fn remember(&mut self, first: Place, end: Place) {
        let last = end.wrapping_sub(1);
        if first >= last {
            return;
        }
        let bytes = self.history.eight(first);
        let number = self.history.number(first);
        self.tables.add(bytes, number);
        self.tables
            .add_long(hash7(bytes >> 8), number.wrapping_add(1));
        self.tables
            .add_short(hash4(bytes >> 16), number.wrapping_add(2));
        let mut at = first.wrapping_add(4);
        while at < last {
            let bytes = self.history.eight(at);
            let number = self.history.number(at);
            self.tables.add_long(hash7(bytes), number);
            self.tables
                .add_short(hash4(bytes >> 8), number.wrapping_add(1));
            at = at.wrapping_add(3);
        }
    }
}
