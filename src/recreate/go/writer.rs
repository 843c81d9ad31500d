//! How Go's compressors write a block: whichever of stored, fixed and own codes is the shortest, by their reckoning.

use crate::recreate::bits::Bits;
use crate::recreate::block::{BlockCodes, Frequencies, stored_size};
use crate::recreate::header::Header;
use crate::recreate::tokens::{LENGTHS, STORED, Token};

/// Writes blocks.
pub(super) struct Writer {
    pub(super) bits: Bits,
    fixed: BlockCodes,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self {
            bits: Bits::default(),
            fixed: BlockCodes::fixed(),
        }
    }

    /// The shortest of stored, fixed and own codes. `content` is what the block is of, where it can still be stored.
    pub(super) fn shortest(&mut self, tokens: &[Token], content: Option<&[u8]>) {
        let frequencies = frequencies(tokens);
        let codes = BlockCodes::of(&frequencies);
        let header = codes.header(frequencies.used());
        let content = content.filter(|content| content.len() <= STORED);
        // It is the same for both kinds of codes.
        let extra = content.map_or(0, |_| frequencies.extra());

        let fixed = frequencies.size(&self.fixed).saturating_add(3);
        let own = frequencies.size(&codes).saturating_add(header.size());
        let size = fixed.min(own).saturating_add(extra);
        if let Some(content) = content.filter(|content| stored_size(content) < size) {
            self.bits.stored(content, false);
        } else if own < fixed {
            self.with_codes(tokens, &header, &codes);
        } else {
            self.bits.put(0b010, 3);
            self.fixed.put(tokens, &mut self.bits);
            self.fixed.put_end(&mut self.bits);
        }
    }

    /// Own codes, unless these save less than a sixteenth.
    pub(super) fn own(&mut self, tokens: &[Token], content: &[u8]) {
        let frequencies = frequencies(tokens);
        let codes = BlockCodes::of(&frequencies);
        let header = codes.header(frequencies.used());
        let size = frequencies.size(&codes).saturating_add(header.size());
        if saves_little(size, content) {
            self.bits.stored(content, false);
        } else {
            self.with_codes(tokens, &header, &codes);
        }
    }

    /// As [`Self::own`], of bytes without matches.
    pub(super) fn bytes(&mut self, content: &[u8]) {
        let mut frequencies = Frequencies::default();
        frequencies.count_bytes(content);
        frequencies.set_end(1);
        frequencies.need_a_distance();
        let codes = BlockCodes::of(&frequencies);
        let header = codes.header((LENGTHS, 1));
        let size = frequencies.size(&codes).saturating_add(header.size());
        if saves_little(size, content) {
            self.bits.stored(content, false);
            return;
        }
        header.put(&mut self.bits);
        for byte in content {
            codes.put_byte(*byte, &mut self.bits);
        }
        codes.put_end(&mut self.bits);
    }

    /// The end of the stream.
    pub(super) fn finish(&mut self) {
        self.bits.stored(&[], true);
    }

    fn with_codes(&mut self, tokens: &[Token], header: &Header, codes: &BlockCodes) {
        header.put(&mut self.bits);
        codes.put(tokens, &mut self.bits);
        codes.put_end(&mut self.bits);
    }
}

fn frequencies(tokens: &[Token]) -> Frequencies {
    let mut frequencies = Frequencies::default();
    frequencies.count(tokens);
    frequencies.set_end(1);
    frequencies.need_a_distance();
    frequencies
}

fn saves_little(size: usize, content: &[u8]) -> bool {
    stored_size(content) < size.saturating_add(size >> 4)
}
