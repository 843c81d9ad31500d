//! Looks into bytes that a position may be beyond the end of.

/// Four bytes, the lowest first; zero where there are fewer.
#[inline]
pub(super) fn four(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// Eight bytes, the lowest first; zero where there are fewer.
#[inline]
pub(super) fn eight(bytes: &[u8], at: usize) -> u64 {
    let bytes = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// How many bytes at `one` are the same at `other`, `most` of them at the most, and none beyond the end.
#[inline]
pub(super) fn common(bytes: &[u8], one: usize, other: usize, most: usize) -> usize {
    let from = |at: usize| bytes.get(at..).unwrap_or_default();
    let (mut one, mut other) = (from(one), from(other));
    one = one.get(..most).unwrap_or(one);
    let mut same = 0_usize;
    while let (Some((a, rest)), Some((b, other_rest))) =
        (one.split_first_chunk::<8>(), other.split_first_chunk::<8>())
    {
        let differing = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if differing != 0 {
            return same.wrapping_add((differing.trailing_zeros() >> 3) as usize);
        }
        same = same.wrapping_add(8);
        (one, other) = (rest, other_rest);
    }
    let rest = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    same.wrapping_add(rest)
}
