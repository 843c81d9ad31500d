//! Codes of different lengths for symbols of different frequency, made as both families of compressors make them.
//!
//! The lengths are those of package-merge with a limit, where a package goes before a symbol of the same weight: it
//! decides which of several codes that are equally good is written.

use super::bits::Bits;

/// The codes of `N` symbols.
pub(super) struct Codes<const N: usize>([Code; N]);

/// A code, its bits in the order in which they are written. A length of 0: the symbol has none.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) bits: u16,
    pub(super) length: u8,
}

impl<const N: usize> Default for Codes<N> {
    fn default() -> Self {
        Self([Code::default(); N])
    }
}

impl<const N: usize> Codes<N> {
    /// The best codes of at most `longest` bits for symbols that occur so often.
    pub(super) fn for_frequencies(frequencies: &[u32; N], longest: usize) -> Self {
        let mut used: Vec<(u32, usize)> = frequencies
            .iter()
            .enumerate()
            .filter(|(_, frequency)| **frequency > 0)
            .map(|(symbol, frequency)| (*frequency, symbol))
            .collect();
        let mut lengths = [0; N];
        if used.len() <= 2 {
            for (_, symbol) in used {
                set(&mut lengths, symbol, 1);
            }
            return Self::from_lengths(lengths);
        }
        used.sort_unstable();
        let weights: Vec<u32> = used.iter().map(|(frequency, _)| *frequency).collect();
        for leaves in leaves_by_level(&weights, longest) {
            for (_, symbol) in used.iter().take(leaves) {
                let length = lengths.get(*symbol).copied().unwrap_or_default();
                set(&mut lengths, *symbol, length.saturating_add(1));
            }
        }
        Self::from_lengths(lengths)
    }

    /// The codes that the format lays down for symbols with codes of so many bits.
    pub(super) fn from_lengths(lengths: [u8; N]) -> Self {
        let mut next = [0_u16; 17];
        for length in lengths.iter().filter(|length| **length > 0) {
            if let Some(count) = next.get_mut(usize::from(*length).saturating_add(1)) {
                *count = count.wrapping_add(1);
            }
        }
        let mut code = 0_u16;
        for count in &mut next {
            code = code.wrapping_add(*count).wrapping_shl(1);
            *count = code;
        }
        Self(lengths.map(|length| {
            let Some(next) = next.get_mut(usize::from(length)).filter(|_| length > 0) else {
                return Code::default();
            };
            let code = *next;
            *next = next.wrapping_add(1);
            let unused = 16_u32.saturating_sub(u32::from(length));
            let bits = code.wrapping_shl(unused).reverse_bits();
            Code { bits, length }
        }))
    }

    /// Those of the first symbols.
    pub(super) fn first<const M: usize>(&self) -> Codes<M> {
        Codes(std::array::from_fn(|symbol| self.get(symbol)))
    }

    #[inline]
    pub(super) fn get(&self, symbol: usize) -> Code {
        self.0.get(symbol).copied().unwrap_or_default()
    }

    #[inline]
    pub(super) fn put(&self, symbol: usize, bits: &mut Bits) {
        let code = self.get(symbol);
        bits.put(u32::from(code.bits), u32::from(code.length));
    }

    /// The length of each code.
    pub(super) fn lengths(&self) -> impl Iterator<Item = u8> {
        self.0.iter().map(|code| code.length)
    }

    /// The bits that symbols take which occur so often.
    pub(super) fn size(&self, frequencies: &[u32]) -> usize {
        let each = self.lengths().zip(frequencies);
        each.map(|(length, frequency)| usize::from(length).wrapping_mul(*frequency as usize))
            .sum()
    }

    /// Whether each symbol that occurs has a code.
    pub(super) fn cover(&self, frequencies: &[u32]) -> bool {
        let mut each = self.lengths().zip(frequencies);
        each.all(|(length, frequency)| length > 0 || *frequency == 0)
    }
}

fn set(lengths: &mut [u8], symbol: usize, length: u8) {
    if let Some(slot) = lengths.get_mut(symbol) {
        *slot = length;
    }
}

/// Package-merge: for each level how many of the rarest symbols have a bit of their code there. `weights` is in
/// ascending order and has at least three.
fn leaves_by_level(weights: &[u32], longest: usize) -> Vec<usize> {
    let longest = longest.min(weights.len().saturating_sub(1));
    // Of each level, from the lowest, which items of its row are symbols rather than packages of two of the row before.
    let mut rows: Vec<Vec<bool>> = Vec::with_capacity(longest);
    let mut before: Vec<u32> = Vec::new();
    for _ in 0..longest {
        let mut packages = before
            .chunks_exact(2)
            .map(|two| {
                two.iter()
                    .fold(0_u32, |sum, weight| sum.saturating_add(*weight))
            })
            .peekable();
        let mut leaves = weights.iter().copied().peekable();
        let mut row = Vec::with_capacity(weights.len().saturating_mul(2));
        let mut sums = Vec::with_capacity(weights.len().saturating_mul(2));
        loop {
            let is_leaf = match (leaves.peek(), packages.peek()) {
                (Some(leaf), Some(package)) => leaf < package,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => break,
            };
            let weight = if is_leaf {
                leaves.next()
            } else {
                packages.next()
            };
            row.push(is_leaf);
            sums.push(weight.unwrap_or_default());
        }
        rows.push(row);
        before = sums;
    }
    let mut needed = weights.len().saturating_mul(2).saturating_sub(2);
    let mut counts = Vec::with_capacity(longest);
    for row in rows.iter().rev() {
        let leaves = row.iter().take(needed).filter(|is_leaf| **is_leaf).count();
        counts.push(leaves);
        needed = needed.saturating_sub(leaves).saturating_mul(2);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths<const N: usize>(frequencies: [u32; N], longest: usize) -> Vec<u8> {
        Codes::for_frequencies(&frequencies, longest)
            .lengths()
            .collect()
    }

    #[test]
    fn frequent_symbols_have_short_codes_and_no_code_is_too_long() {
        assert_eq!(lengths([0, 7, 0], 15), [0, 1, 0]);
        assert_eq!(lengths([1, 0, 900], 15), [1, 0, 1]);
        assert_eq!(lengths([1, 1, 2, 4], 15), [3, 3, 2, 1]);
        assert_eq!(lengths([1, 1, 2, 4], 2), [2, 2, 2, 2]);
        let doubling: [u32; 20] = std::array::from_fn(|at| 1 << at);
        let lengths = lengths(doubling, 7);
        assert_eq!(lengths.iter().max(), Some(&7));
        let room: u32 = lengths.iter().map(|length| 128 >> length).sum();
        assert_eq!(room, 128, "no code is left over");
    }

    #[test]
    fn codes_ascend_with_the_symbols_of_a_length() {
        // The example of RFC 1951, 3.2.2.
        let codes = Codes::from_lengths([3, 3, 3, 3, 3, 2, 4, 4]);
        let shown: Vec<u16> = (0..8)
            .map(|symbol| codes.get(symbol))
            .map(|code| code.bits.reverse_bits() >> (16 - code.length))
            .collect();
        assert_eq!(
            shown,
            [0b010, 0b011, 0b100, 0b101, 0b110, 0b00, 0b1110, 0b1111]
        );
    }
}
