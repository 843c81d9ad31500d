//! Bits in the order of deflate: the lowest first.

/// Bytes that are written bit by bit.
#[derive(Default)]
pub(super) struct Bits {
    /// The whole bytes so far; whoever takes them away empties it.
    pub(super) bytes: Vec<u8>,
    waiting: u64,
    count: u32,
}

impl Bits {
    /// Adds the lowest `count` bits of `value`, 32 at the most; the others are zero.
    #[inline]
    pub(super) fn put(&mut self, value: u32, count: u32) {
        self.waiting |= u64::from(value).wrapping_shl(self.count);
        self.count = self.count.wrapping_add(count);
        if self.count >= 32 {
            let low = self.waiting as u32;
            self.bytes.extend_from_slice(&low.to_le_bytes());
            self.waiting >>= 32;
            self.count = self.count.wrapping_sub(32);
        }
    }

    /// Fills the last byte up with zeros.
    pub(super) fn align(&mut self) {
        while self.count > 0 {
            self.bytes.push(self.waiting as u8);
            self.waiting >>= 8;
            self.count = self.count.saturating_sub(8);
        }
    }

    /// A block of bytes as they are: 65,535 at the most.
    pub(super) fn stored(&mut self, content: &[u8], is_last: bool) {
        self.put(u32::from(is_last), 3);
        self.align();
        let length = content.len() as u16;
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&(!length).to_le_bytes());
        self.bytes.extend_from_slice(content);
    }
}
