//! The checksum in the trailer of a gzip stream.

const TABLES: [[u32; 256]; 8] = tables();

/// CRC-32 of what went by.
#[derive(Clone, Copy)]
pub(super) struct Checksum(u32);

impl Checksum {
    pub(super) fn new() -> Self {
        Self(!0)
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        let mut sum = self.0;
        let mut chunks = bytes.chunks_exact(8);
        for chunk in chunks.by_ref() {
            let Some(eight) = chunk.first_chunk() else {
                continue;
            };
            let mixed = u64::from_le_bytes(*eight) ^ u64::from(sum);
            let each = mixed.to_le_bytes();
            sum = TABLES
                .iter()
                .zip(each.iter().rev())
                .fold(0, |sum, (table, byte)| sum ^ entry(table, *byte));
        }
        for byte in chunks.remainder() {
            let [table, ..] = &TABLES;
            sum = entry(table, *byte ^ sum as u8) ^ (sum >> 8);
        }
        self.0 = sum;
    }

    pub(super) fn value(self) -> u32 {
        !self.0
    }
}

#[inline]
fn entry(table: &[u32; 256], byte: u8) -> u32 {
    table.get(usize::from(byte)).copied().unwrap_or_default()
}

/// What a byte does to the sum, with none to seven zeros after it.
const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut bits = 8_u32;
    let mut rest = tables.as_mut_slice();
    while let Some((table, others)) = rest.split_first_mut() {
        let mut byte = 0_u32;
        let mut slots = table.as_mut_slice();
        while let Some((slot, more)) = slots.split_first_mut() {
            let mut sum = byte;
            let mut bit = 0_u32;
            while bit < bits {
                sum = if sum & 1 == 1 {
                    (sum >> 1) ^ 0xedb8_8320
                } else {
                    sum >> 1
                };
                bit = bit.wrapping_add(1);
            }
            *slot = sum;
            byte = byte.wrapping_add(1);
            slots = more;
        }
        bits = bits.wrapping_add(8);
        rest = others;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_that_of_the_format_however_the_bytes_come() {
        let mut sum = Checksum::new();
        sum.update(b"123456789");
        assert_eq!(sum.value(), 0xcbf4_3926);
        let bytes: Vec<u8> = (0..1000_u32).map(|at| (at * at) as u8).collect();
        let mut whole = Checksum::new();
        whole.update(&bytes);
        let mut parts = Checksum::new();
        bytes.chunks(7).for_each(|part| parts.update(part));
        assert_eq!(whole.value(), parts.value());
    }
}
