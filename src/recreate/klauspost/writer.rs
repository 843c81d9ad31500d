//! How these compressors write a block: with codes of its own, the codes of the block before once more, fixed ones, or
//! as it is.

use crate::recreate::bits::Bits;
use crate::recreate::block::{BlockCodes, Frequencies, stored_size};
use crate::recreate::header::Header;
use crate::recreate::huffman::Codes;
use crate::recreate::tokens::{DISTANCES, END, LENGTHS, LITERALS, Token};

use super::estimate::estimate;

/// New codes are reckoned to be a 128th worse than they could be.
const PENALTY: u32 = 7;
/// Fixed codes are tried for fewer tokens than these.
const FEW: usize = 250;
/// What codes for bytes take to be told, before any were.
const GUESSED: usize = 70 * 8;

/// What was changed over time. Version 1.18.1 alone writes headers that are neither, and is not known here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::recreate) enum Headers {
    /// Up to 1.18.0: blocks that may be used once more tell the length of all codes.
    Full,
    /// From 1.18.2 on, and Go from 1.27 on: all blocks tell as many as they need.
    Exact,
}

/// Writes blocks.
pub(super) struct Writer {
    bits: Bits,
    headers: Headers,
    fixed: BlockCodes,
    /// Told where there is none, because there has to be one.
    one_distance: Codes<DISTANCES>,
    codes: BlockCodes,
    /// The size of the header that told the codes, while their block has not ended.
    open: Option<usize>,
    /// Whether the codes are for bytes alone.
    bytes_only: bool,
}

impl Writer {
    pub(super) fn new(headers: Headers) -> Self {
        Self {
            bits: Bits::default(),
            headers,
            fixed: BlockCodes::fixed(),
            one_distance: Codes::from_lengths(std::array::from_fn(|at| u8::from(at == 0))),
            codes: BlockCodes::default(),
            open: None,
            bytes_only: false,
        }
    }

    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.bits.bytes
    }

    pub(super) fn stored(&mut self, content: &[u8]) {
        self.close();
        self.bits.stored(content, false);
    }

    /// An empty block, which makes the bytes whole.
    pub(super) fn flush(&mut self) {
        self.stored(&[]);
    }

    pub(super) fn finish(&mut self) {
        self.close();
        self.bits.put(0b011, 3);
        self.fixed.put_end(&mut self.bits);
        self.bits.align();
    }

    /// Ends the block that is open.
    fn close(&mut self) {
        if self.open.take().is_some() {
            self.codes.put_end(&mut self.bits);
        }
    }

    /// A block of tokens, which are `content`. The last one before a flush does not stay open.
    pub(super) fn tokens(&mut self, tokens: &[Token], content: &[u8], is_last: bool) {
        let mut frequencies = Frequencies::default();
        frequencies.count(tokens);
        let counts_end = is_last || self.headers == Headers::Exact;
        frequencies.set_end(u32::from(counts_end));
        let count = tokens.len().saturating_add(usize::from(is_last));

        if self.bytes_only {
            if self.open.is_some() {
                self.bytes_only = false;
            }
            self.close();
        }
        let covers = self.codes.literal.cover(&frequencies.literal)
            && self.codes.distance.cover(&frequencies.distance);
        if !covers {
            self.close();
        }
        let used = self.used(&mut frequencies, is_last);
        let extra = frequencies.extra();

        if let Some(header) = self.open {
            let end = usize::from(self.codes.literal.get(END).length);
            let new = header.saturating_add(estimate(&frequencies, count));
            let new = new.saturating_add(end).saturating_add(new >> PENALTY);
            let old = frequencies.size(&self.codes).saturating_add(extra);
            let size = new.min(old);
            if new < old {
                self.close();
            }
            let fixed = frequencies.size(&self.fixed).saturating_add(extra);
            let is_fixed = count < FEW && fixed.saturating_add(3 + 7) < size;
            if stored_size(content) <= size {
                self.stored(content);
                return;
            }
            if is_fixed {
                self.with_fixed_codes(tokens);
                return;
            }
        }
        if self.open.is_none() {
            frequencies.set_end(1);
            self.codes = BlockCodes::of(&frequencies);
            let header = self.codes.header(used);
            let size = frequencies
                .size(&self.codes)
                .saturating_add(header.size())
                .saturating_add(extra);
            let fixed = frequencies.size(&self.fixed).saturating_add(extra);
            let fixed = fixed.saturating_add(3);
            if count < FEW && fixed <= size {
                if stored_size(content) <= fixed {
                    self.stored(content);
                } else {
                    self.with_fixed_codes(tokens);
                }
                return;
            }
            if stored_size(content) <= size {
                self.stored(content);
                return;
            }
            header.put(&mut self.bits);
            self.open = Some(header.size());
            self.bytes_only = false;
        }
        self.codes.put(tokens, &mut self.bits);
        if is_last {
            self.close();
        }
    }

    fn with_fixed_codes(&mut self, tokens: &[Token]) {
        self.close();
        self.bits.put(0b010, 3);
        self.fixed.put(tokens, &mut self.bits);
        self.fixed.put_end(&mut self.bits);
    }

    /// How many codes are told.
    fn used(&self, frequencies: &mut Frequencies, is_last: bool) -> (usize, usize) {
        if self.headers == Headers::Full && !is_last {
            return (LITERALS, DISTANCES);
        }
        let used = frequencies.used();
        frequencies.need_a_distance();
        (used.0, used.1.max(1))
    }

    /// A block of bytes without matches.
    pub(super) fn bytes(&mut self, content: &[u8], is_last: bool) {
        let mut frequencies = Frequencies::default();
        frequencies.count_bytes(content);
        if content.len() > 1024 && is_even(&frequencies, content.len()) {
            self.stored(content);
            return;
        }
        let old = self.codes.literal.cover(&frequencies.literal);
        let old = old.then(|| self.codes.literal.size(&frequencies.literal));
        frequencies.set_end(1);
        let literal = Codes::for_frequencies(&frequencies.literal, 15);
        let new = literal.size(&frequencies.literal);
        let new = new.saturating_add(self.open.unwrap_or(GUESSED));
        let new = new.saturating_add(new >> PENALTY);
        if stored_size(content) <= new {
            self.stored(content);
            return;
        }
        if old.is_none_or(|old| new < old) {
            self.close();
        }
        if self.open.is_none() {
            self.codes.literal = literal;
            let header = Header::new(&self.codes.literal, &self.one_distance, (LENGTHS, 1));
            header.put(&mut self.bits);
            self.bytes_only = true;
            self.open = Some(header.size());
        }
        for byte in content {
            self.codes.put_byte(*byte, &mut self.bits);
        }
        if is_last {
            self.close();
            self.bytes_only = false;
        }
    }
}

/// Whether all bytes are about as frequent, so that nothing is to be gained.
fn is_even(frequencies: &Frequencies, length: usize) -> bool {
    let average = length as f64 / 256.0;
    let most = length.saturating_mul(2) as f64;
    let bytes = frequencies.literal.iter().take(256);
    let sum = bytes.fold(0.0, |sum, count| {
        let difference = f64::from(*count) - average;
        sum + difference * difference
    });
    sum < most
}
