//! What the blocks of both families of compressors have in common: codes for bytes, lengths and distances, how often
//! each of them occurs, and what that takes.

use super::bits::Bits;
use super::header::Header;
use super::huffman::Codes;
use super::tokens::{DISTANCES, END, Kind, LENGTHS, LITERALS, Token, distance_extra, length_extra};

/// The codes of a block.
#[derive(Default)]
pub(super) struct BlockCodes {
    pub(super) literal: Codes<LITERALS>,
    pub(super) distance: Codes<DISTANCES>,
}

/// How often each symbol of a block occurs.
#[derive(Clone)]
pub(super) struct Frequencies {
    pub(super) literal: [u32; LITERALS],
    pub(super) distance: [u32; DISTANCES],
}

impl Default for Frequencies {
    fn default() -> Self {
        Self {
            literal: [0; LITERALS],
            distance: [0; DISTANCES],
        }
    }
}

impl BlockCodes {
    /// Those that need not be told.
    pub(super) fn fixed() -> Self {
        // 288 symbols share the codes of bytes and lengths; the last two never occur.
        let shared: [u8; 288] = std::array::from_fn(|symbol| match symbol {
            144..256 => 9,
            256..280 => 7,
            _ => 8,
        });
        Self {
            literal: Codes::from_lengths(shared).first(),
            distance: Codes::from_lengths([5; 32]).first(),
        }
    }

    /// The best ones for symbols that occur so often.
    pub(super) fn of(frequencies: &Frequencies) -> Self {
        Self {
            literal: Codes::for_frequencies(&frequencies.literal, 15),
            distance: Codes::for_frequencies(&frequencies.distance, 15),
        }
    }

    /// Tells the first so many of them.
    pub(super) fn header(&self, used: (usize, usize)) -> Header {
        Header::new(&self.literal, &self.distance, used)
    }

    pub(super) fn put(&self, tokens: &[Token], bits: &mut Bits) {
        for token in tokens {
            match token.kind() {
                Kind::Byte(byte) => self.put_byte(byte, bits),
                Kind::Match { length, distance } => {
                    let code = self.literal.get(length.symbol.wrapping_add(LENGTHS));
                    let after = length.value.wrapping_shl(u32::from(code.length));
                    let count = u32::from(code.length).wrapping_add(length.extra);
                    bits.put(u32::from(code.bits) | after, count);
                    let code = self.distance.get(distance.symbol);
                    let after = distance.value.wrapping_shl(u32::from(code.length));
                    let count = u32::from(code.length).wrapping_add(distance.extra);
                    bits.put(u32::from(code.bits) | after, count);
                }
            }
        }
    }

    #[inline]
    pub(super) fn put_byte(&self, byte: u8, bits: &mut Bits) {
        self.literal.put(usize::from(byte), bits);
    }

    /// The end of the block.
    pub(super) fn put_end(&self, bits: &mut Bits) {
        self.literal.put(END, bits);
    }
}

impl Frequencies {
    pub(super) fn count(&mut self, tokens: &[Token]) {
        for token in tokens {
            match token.kind() {
                Kind::Byte(byte) => add(&mut self.literal, usize::from(byte)),
                Kind::Match { length, distance } => {
                    add(&mut self.literal, length.symbol.wrapping_add(LENGTHS));
                    add(&mut self.distance, distance.symbol);
                }
            }
        }
    }

    pub(super) fn count_bytes(&mut self, content: &[u8]) {
        for byte in content {
            add(&mut self.literal, usize::from(*byte));
        }
    }

    pub(super) fn set_end(&mut self, frequency: u32) {
        if let Some(end) = self.literal.get_mut(END) {
            *end = frequency;
        }
    }

    /// A block without matches has a code for one distance all the same: readers may insist on it.
    pub(super) fn need_a_distance(&mut self) {
        if self.distance.iter().all(|count| *count == 0) {
            add(&mut self.distance, 0);
        }
    }

    /// How many symbols there are up to the last one that occurs, of bytes and lengths and of distances.
    pub(super) fn used(&self) -> (usize, usize) {
        let used = |counts: &[u32]| {
            let last = counts.iter().rposition(|count| *count > 0);
            last.map_or(0, |last| last.saturating_add(1))
        };
        (used(&self.literal), used(&self.distance))
    }

    /// What the symbols take, in bits.
    pub(super) fn size(&self, codes: &BlockCodes) -> usize {
        let literal = codes.literal.size(&self.literal);
        literal.saturating_add(codes.distance.size(&self.distance))
    }

    /// What follows the symbols, in bits.
    pub(super) fn extra(&self) -> usize {
        let lengths = self.literal.iter().skip(LENGTHS).enumerate();
        let lengths = lengths.map(|(symbol, count)| count.wrapping_mul(length_extra(symbol)));
        let distances = self.distance.iter().enumerate();
        let distances = distances.map(|(symbol, count)| count.wrapping_mul(distance_extra(symbol)));
        lengths.chain(distances).map(|bits| bits as usize).sum()
    }
}

/// What content takes as it is, in bits.
pub(super) fn stored_size(content: &[u8]) -> usize {
    content.len().saturating_add(5).saturating_mul(8)
}

#[inline]
fn add(counts: &mut [u32], symbol: usize) {
    if let Some(count) = counts.get_mut(symbol) {
        *count = count.wrapping_add(1);
    }
}
