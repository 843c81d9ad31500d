//! How a block tells its codes: their lengths, run by run, coded once more.

use super::bits::Bits;
use super::huffman::Codes;
use super::tokens::{DISTANCES, LITERALS};

/// The symbols that tell lengths: 0 to 15 for themselves, then those for runs.
const SYMBOLS: usize = 19;
/// The last length again, 3 to 6 times.
const AGAIN: u8 = 16;
/// No code, 3 to 10 times.
const NONE: u8 = 17;
/// No code, 11 to 138 times.
const NONE_OFTEN: u8 = 18;
/// In this order the lengths of the codes for lengths are told.
const ORDER: [usize; SYMBOLS] = [
    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
];

/// The beginning of a block with codes of its own.
pub(super) struct Header {
    literals: usize,
    distances: usize,
    /// Symbols, and the number that follows them.
    runs: Vec<(u8, u8)>,
    codes: Codes<SYMBOLS>,
    frequencies: [u32; SYMBOLS],
    /// How many of [`ORDER`] are told.
    told: usize,
}

impl Header {
    /// For the first so many of these codes.
    pub(super) fn new(
        literal: &Codes<LITERALS>,
        distance: &Codes<DISTANCES>,
        (literals, distances): (usize, usize),
    ) -> Self {
        let lengths = literal.lengths().take(literals);
        let runs = runs(lengths.chain(distance.lengths().take(distances)));
        let mut frequencies = [0_u32; SYMBOLS];
        for (symbol, _) in &runs {
            if let Some(count) = frequencies.get_mut(usize::from(*symbol)) {
                *count = count.saturating_add(1);
            }
        }
        let is_used = |symbol: &usize| frequencies.get(*symbol).is_some_and(|count| *count > 0);
        let told = ORDER.iter().rposition(is_used);
        let told = told.map_or(0, |last| last.saturating_add(1)).max(4);
        Self {
            literals,
            distances,
            codes: Codes::for_frequencies(&frequencies, 7),
            runs,
            frequencies,
            told,
        }
    }

    /// In bits.
    pub(super) fn size(&self) -> usize {
        let extra = self.runs.iter().map(|(symbol, _)| extra(*symbol) as usize);
        let codes = self.codes.size(&self.frequencies);
        let told = self.told.saturating_mul(3).saturating_add(3 + 5 + 5 + 4);
        told.saturating_add(codes).saturating_add(extra.sum())
    }

    pub(super) fn put(&self, bits: &mut Bits) {
        // Of a block that is not the last.
        bits.put(0b100, 3);
        bits.put(self.literals.saturating_sub(257) as u32, 5);
        bits.put(self.distances.saturating_sub(1) as u32, 5);
        bits.put(self.told.saturating_sub(4) as u32, 4);
        for symbol in ORDER.iter().take(self.told) {
            bits.put(u32::from(self.codes.get(*symbol).length), 3);
        }
        for (symbol, number) in &self.runs {
            self.codes.put(usize::from(*symbol), bits);
            bits.put(u32::from(*number), extra(*symbol));
        }
    }
}

/// The bits of the number that follows a symbol.
fn extra(symbol: u8) -> u32 {
    match symbol {
        AGAIN => 2,
        NONE => 3,
        NONE_OFTEN => 7,
        _ => 0,
    }
}

fn runs(lengths: impl Iterator<Item = u8>) -> Vec<(u8, u8)> {
    let mut runs = Vec::new();
    let mut lengths = lengths.peekable();
    while let Some(length) = lengths.next() {
        let mut count = 1_u16;
        while lengths.next_if_eq(&length).is_some() {
            count = count.saturating_add(1);
        }
        if length > 0 {
            runs.push((length, 0));
            count = take(&mut runs, count.saturating_sub(1), AGAIN, 3, 6);
        } else {
            count = take(&mut runs, count, NONE_OFTEN, 11, 138);
            // Fewer than 11 are left.
            count = take(&mut runs, count, NONE, 3, 10);
        }
        runs.extend(std::iter::repeat_n((length, 0), usize::from(count)));
    }
    runs
}

/// Adds `symbol` for `most` at a time while there are `least`; says how many are left.
fn take(runs: &mut Vec<(u8, u8)>, mut count: u16, symbol: u8, least: u16, most: u16) -> u16 {
    while count >= least {
        let taken = count.min(most);
        runs.push((symbol, taken.saturating_sub(least) as u8));
        count = count.saturating_sub(taken);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_told_run_by_run() {
        let told = |lengths: &[u8]| runs(lengths.iter().copied());
        assert_eq!(told(&[5, 5, 5]), [(5, 0), (5, 0), (5, 0)]);
        assert_eq!(told(&[5, 5, 5, 5, 0, 0]), [(5, 0), (16, 0), (0, 0), (0, 0)]);
        assert_eq!(told(&[7; 12]), [(7, 0), (16, 3), (16, 2)]);
        assert_eq!(told(&[0; 12]), [(18, 1)]);
        assert_eq!(told(&[0; 150]), [(18, 127), (18, 1)]);
        assert_eq!(told(&[0; 10]), [(17, 7)]);
    }
}
