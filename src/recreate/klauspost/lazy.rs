//! Levels 5 and 6: a table for four bytes and one for seven; the next byte and the end of a match may have a longer one.
//! Level 6 also tries the distance of the match before, and remembers other places of a match.

use crate::recreate::tokens::Token;

use super::history::{Found, History, MARGIN, Place, REACH, hash4, hash7, repeat};
use super::tables::Tables;

pub(super) struct Lazy {
    pub(super) history: History,
    tables: Tables,
    level: Level,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Five,
    Six,
}

/// Where the next match is looked for.
#[derive(Clone, Copy)]
struct Search {
    at: Place,
    bytes: u64,
    /// The first byte that no match has.
    literal: Place,
    limit: Place,
    /// The distance of the match before.
    repeated: i32,
}

impl Lazy {
    pub(super) fn new(level: Level) -> Self {
        Self {
            history: History::new(),
            tables: Tables::new(),
            level,
        }
    }

    /// The tokens of a block; none if nothing is found.
    pub(super) fn find(&mut self, block: &[u8], tokens: &mut Vec<Token>) {
        if let Some(gone) = self.history.renumber() {
            self.tables.renumber(gone);
        }
        let start = self.history.add(block);
        let end = self.history.bytes.len() as Place;
        let mut search = Search {
            at: start,
            bytes: self.history.eight(start),
            literal: start,
            limit: end.wrapping_sub(MARGIN),
            repeated: 1,
        };
        while search.limit >= start.wrapping_add(2)
            && let Some(found) = self.next_match(search)
        {
            let found = self
                .longest(found, search.limit)
                .with_bytes_before(search.literal, &self.history);
            self.history.literals(search.literal, found.at, tokens);
            search.repeated = found.distance();
            repeat(found.length, search.repeated, tokens);
            search.literal = found.at.wrapping_add(found.length);
            search.at = search.literal.max(found.next.wrapping_add(1));
            let is_end = search.at >= search.limit;
            match self.level {
                Level::Five if is_end => {}
                Level::Five => self.remember_thirds(&found, search.at),
                Level::Six if is_end => self.remember_seconds(&found, end.wrapping_sub(8), true),
                Level::Six => self.remember_seconds(&found, search.at.wrapping_sub(1), false),
            }
            if is_end {
                break;
            }
            search.bytes = self.history.eight(search.at);
        }
        if !tokens.is_empty() {
            self.history.literals(search.literal, end, tokens);
        }
    }

    /// The next match of at least four bytes.
    fn next_match(&mut self, search: Search) -> Option<Found> {
        let Search {
            mut bytes,
            literal,
            limit,
            ..
        } = search;
        let patience = match self.level {
            Level::Five => 6,
            Level::Six => 7,
        };
        let mut next = search.at;
        loop {
            let at = next;
            let (short, long) = (hash4(bytes), hash7(bytes));
            next = at
                .wrapping_add(1)
                .wrapping_add(at.wrapping_sub(literal) >> patience);
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
            let found = |from, length| Found {
                at,
                from,
                length,
                next,
            };
            let number = history.number(next);
            // The older place is looked at only if the newer one is not too far away.
            let is_near = at.wrapping_sub(last) < REACH;
            if is_match(last) {
                self.tables.add(later, number);
                if is_match(before) {
                    let (one, other) = (history.length(at, last), history.length(at, before));
                    return Some(if other > one {
                        found(before, other)
                    } else {
                        found(last, one)
                    });
                }
                return Some(found(last, 0));
            }
            if is_near && is_match(before) {
                self.tables.add(later, number);
                return Some(found(before, 0));
            }
            if is_match(from) {
                let longs = self.tables.long(hash7(later), history);
                self.tables.add(later, number);
                let found = found(from, history.length(at, from));
                return Some(self.or_longer(found, bytes, (later, longs), search.repeated));
            }
            bytes = later;
        }
    }

    /// The match, or a longer one that begins at one of the next places. `later` is what stands at the next one to be
    /// looked at, and where seven bytes of it were.
    fn or_longer(
        &self,
        found: Found,
        bytes: u64,
        (later, (last, before)): (u64, (Place, Place)),
        repeated: i32,
    ) -> Found {
        let history = &self.history;
        let next = found.next;
        if self.level == Level::Six {
            // As far back as the match before, from the next byte on.
            let second = found.at.wrapping_add(1);
            let from = second.wrapping_sub(repeated);
            if history.four(from) == (bytes >> 8) as u32 {
                let length = history.length(second, from);
                if length > found.length {
                    return Found {
                        at: second,
                        from,
                        length,
                        next,
                    };
                }
            }
        }
        let mut best = found;
        if next.wrapping_sub(last) < REACH {
            for from in [last, before] {
                if next.wrapping_sub(from) < REACH && later as u32 == history.four(from) {
                    let length = history.length(next, from);
                    if length > best.length {
                        best = Found {
                            at: next,
                            from,
                            length,
                            next,
                        };
                        if self.level == Level::Five {
                            break;
                        }
                    }
                }
            }
        }
        best
    }

    /// As long as the match can be, or a longer one that ends where it ends.
    fn longest(&self, found: Found, limit: Place) -> Found {
        let found = found.whole(&self.history);
        let end = found.at.wrapping_add(found.length);
        if end >= limit || self.level == Level::Five && found.length >= 30 {
            return found;
        }
        let hash = hash7(self.history.eight(end));
        let (last, before) = self.tables.long(hash, &self.history);
        let start = found.at;
        if self.level == Level::Five {
            return found.or_ending_at(last, start, &self.history);
        }
        // The older place is looked at only if the newer one is not too far away.
        if end.wrapping_sub(last) >= REACH {
            return found;
        }
        found
            .or_ending_at(last, start, &self.history)
            .or_ending_at(before, start, &self.history)
    }

    /// Every third place of a match of level 5, and the last one.
    fn remember_thirds(&mut self, found: &Found, end: Place) {
        let first = end.wrapping_sub(found.length).wrapping_add(1);
        let last = end.wrapping_sub(1);
        if first < last {
            let bytes = self.history.eight(first);
            let number = self.history.number(first);
            self.tables.add(bytes, number);
            self.tables
                .add_long(hash7(bytes >> 8), number.wrapping_add(1));
            self.tables
                .add_short(hash4(bytes >> 16), number.wrapping_add(2));
        }
        let mut at = first.wrapping_add(4);
        while at < last {
            let bytes = self.history.eight(at);
            let number = self.history.number(at);
            self.tables.add_long(hash7(bytes), number);
            self.tables
                .add_short(hash4(bytes >> 8), number.wrapping_add(1));
            at = at.wrapping_add(3);
        }
        self.tables
            .add(self.history.eight(last), self.history.number(last));
    }

    /// Every second place of a match of level 6.
    fn remember_seconds(&mut self, found: &Found, end: Place, is_end: bool) {
        let first = found.next.wrapping_add(1);
        for place in (first..end).step_by(2) {
            let bytes = self.history.eight(place);
            let number = self.history.number(place);
            self.tables.add(bytes, number);
            if !is_end {
                self.tables
                    .add_long(hash7(bytes >> 8), number.wrapping_add(1));
            }
        }
    }
}
