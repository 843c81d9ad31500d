//! What a block consists of: bytes as they are, and matches, which repeat bytes of before.

/// The number of symbols for bytes, for the end of a block and for lengths.
pub(super) const LITERALS: usize = 286;
/// The number of symbols for distances.
pub(super) const DISTANCES: usize = 30;
/// The symbol for the end of a block.
pub(super) const END: usize = 256;
/// The symbol of the shortest length.
pub(super) const LENGTHS: usize = 257;
/// The most bytes that one match repeats.
pub(super) const LONGEST: usize = 258;
/// As far back as a match reaches.
pub(super) const WINDOW: usize = 32768;
/// The most bytes that a stored block holds.
pub(super) const STORED: usize = 65535;

const MATCH: u32 = 1 << 31;

/// A byte, or a match.
#[derive(Clone, Copy)]
pub(super) struct Token(u32);

/// What a [`Token`] is.
pub(super) enum Kind {
    Byte(u8),
    Match { length: Coded, distance: Coded },
}

/// A length or a distance as it is written: a symbol, and so many more bits.
#[derive(Clone, Copy)]
pub(super) struct Coded {
    /// Of lengths, counted from [`LENGTHS`].
    pub(super) symbol: usize,
    pub(super) extra: u32,
    pub(super) value: u32,
}

impl Token {
    #[inline]
    pub(super) fn byte(byte: u8) -> Self {
        Self(u32::from(byte))
    }

    /// A match of 3 to [`LONGEST`] bytes, from 1 to [`WINDOW`] bytes back.
    #[inline]
    pub(super) fn repeat(length: u32, distance: u32) -> Self {
        let length = length.wrapping_sub(3) & 0xff;
        let distance = distance.wrapping_sub(1) & 0x7fff;
        Self(MATCH | (length << 16) | distance)
    }

    #[inline]
    pub(super) fn kind(self) -> Kind {
        if self.0 & MATCH == 0 {
            return Kind::Byte(self.0 as u8);
        }
        Kind::Match {
            length: coded_length((self.0 >> 16) & 0xff),
            distance: coded_distance(self.0 & 0x7fff),
        }
    }
}

/// Of a length less 3: eight symbols for one length each, then four for each power of two, and one for the longest.
#[inline]
fn coded_length(length: u32) -> Coded {
    coded(length, 2, length == 255, 28)
}

/// Of a distance less 1: four symbols for one distance each, then two for each power of two.
#[inline]
fn coded_distance(distance: u32) -> Coded {
    coded(distance, 1, false, 0)
}

/// Symbols of which `1 << fine` share a power of two.
#[inline]
fn coded(number: u32, fine: u32, is_special: bool, special: usize) -> Coded {
    let power = (number | 1).ilog2();
    let extra = power.saturating_sub(fine);
    if is_special || extra == 0 {
        let symbol = if is_special { special } else { number as usize };
        return Coded {
            symbol,
            extra: 0,
            value: 0,
        };
    }
    let high = number.wrapping_shr(extra);
    let symbol = extra.wrapping_shl(fine).wrapping_add(high);
    Coded {
        symbol: symbol as usize,
        extra,
        value: number & 1u32.wrapping_shl(extra).wrapping_sub(1),
    }
}

/// The bits that follow the symbol of a length, counted from [`LENGTHS`].
pub(super) fn length_extra(symbol: usize) -> u32 {
    match symbol {
        0..8 | 28.. => 0,
        _ => (symbol as u32 >> 2).saturating_sub(1),
    }
}

/// The bits that follow the symbol of a distance.
pub(super) fn distance_extra(symbol: usize) -> u32 {
    (symbol as u32 >> 1).saturating_sub(1)
}

/// The shortest length of a symbol, counted from [`LENGTHS`].
pub(super) fn length_base(symbol: usize) -> u32 {
    match symbol as u32 {
        symbol @ 0..8 => symbol.saturating_add(3),
        28 => LONGEST as u32,
        symbol => {
            let extra = length_extra(symbol as usize);
            ((symbol & 3) | 4).wrapping_shl(extra).wrapping_add(3)
        }
    }
}

/// The shortest distance of a symbol.
pub(super) fn distance_base(symbol: usize) -> u32 {
    match symbol as u32 {
        symbol @ 0..4 => symbol.saturating_add(1),
        symbol => {
            let extra = distance_extra(symbol as usize);
            ((symbol & 1) | 2).wrapping_shl(extra).wrapping_add(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_distances_are_coded_as_the_format_says() {
        let shown = |coded: Coded| (coded.symbol, coded.extra, coded.value);
        for (length, symbol, extra, value) in [
            (3, 0, 0, 0),
            (10, 7, 0, 0),
            (11, 8, 1, 0),
            (12, 8, 1, 1),
            (19, 12, 2, 0),
            (257, 27, 5, 30),
            (258, 28, 0, 0),
        ] {
            assert_eq!(shown(coded_length(length - 3)), (symbol, extra, value));
        }
        for (distance, symbol, extra, value) in [
            (1, 0, 0, 0),
            (4, 3, 0, 0),
            (5, 4, 1, 0),
            (8, 5, 1, 1),
            (32768, 29, 13, 8191),
        ] {
            assert_eq!(shown(coded_distance(distance - 1)), (symbol, extra, value));
        }
    }

    #[test]
    fn each_length_and_distance_is_read_as_it_is_written() {
        for length in 3..=258 {
            let coded = coded_length(length - 3);
            assert_eq!(coded.extra, length_extra(coded.symbol));
            assert_eq!(length_base(coded.symbol) + coded.value, length);
        }
        for distance in 1..=32768 {
            let coded = coded_distance(distance - 1);
            assert_eq!(coded.extra, distance_extra(coded.symbol));
            assert_eq!(distance_base(coded.symbol) + coded.value, distance);
        }
    }
}
