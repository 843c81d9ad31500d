//! Samples of content: hashes of what stands before places that the content itself chooses, so that the same bytes give the
//! same samples wherever they stand.

use std::collections::{HashMap, HashSet};

use super::{PREFIX, Part};

/// One place of so many is a sample, by and large: 8 KiB lie between two.
const RARITY: u32 = 13;
/// In so many bytes the old content is divided to find what of it resembles a segment.
const BLOCK: u64 = 1 << 20;
/// So many samples of old content are kept at the most, to find its parts: those of 32 GiB.
const MOST: usize = 4 << 20;
/// And so many to compare it with other content.
const COMPARED: usize = 1 << 16;

/// A number for each byte (splitmix64).
const NUMBERS: [u64; 256] = {
    let mut numbers = [0; 256];
    let mut state = 0x6272_6561_6b77_6174_u64;
    let mut rest: &mut [u64] = &mut numbers;
    while let Some((first, others)) = rest.split_first_mut() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = state;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        *first = number ^ (number >> 31);
        rest = others;
    }
    numbers
};

/// Finds the samples of content that comes in pieces.
#[derive(Clone, Default)]
struct Sampler {
    /// Of the last 64 bytes.
    hash: u64,
    at: u64,
}

impl Sampler {
    fn take(&mut self, bytes: &[u8], mut see: impl FnMut(u64, u64)) {
        for byte in bytes {
            let number = NUMBERS.get(usize::from(*byte)).copied().unwrap_or_default();
            let hash = (self.hash << 1).wrapping_add(number);
            if hash.leading_zeros() >= RARITY && hash != self.hash {
                see(hash, self.at);
            }
            self.hash = hash;
            self.at = self.at.wrapping_add(1);
        }
    }
}

/// The samples of a content, to tell how much of it another has too: of a large one only those that are rarer still.
#[derive(Clone)]
pub struct Samples {
    sampler: Sampler,
    /// So many bits of a sample are zeros.
    rarity: u32,
    found: HashSet<u64>,
}

impl Default for Samples {
    fn default() -> Self {
        Self {
            sampler: Sampler::default(),
            rarity: RARITY,
            found: HashSet::new(),
        }
    }
}

impl Samples {
    /// Adds what comes next.
    pub fn take(&mut self, bytes: &[u8]) {
        let (found, rarity) = (&mut self.found, &mut self.rarity);
        self.sampler.take(bytes, |hash, _| {
            if hash.leading_zeros() >= *rarity {
                found.insert(hash);
            }
            if found.len() > COMPARED {
                *rarity = rarity.saturating_add(1);
                found.retain(|hash| hash.leading_zeros() >= *rarity);
            }
        });
    }

    /// How many of its samples the other has too, and of how many that was asked.
    pub fn shared_with(&self, other: &Self) -> (usize, usize) {
        let rarity = self.rarity.max(other.rarity);
        let asked = self.found.iter();
        let asked = asked.filter(|hash| hash.leading_zeros() >= rarity);
        asked.fold((0, 0), |(shared, of), hash| {
            let is_shared = other.found.contains(hash);
            (
                usize::from(is_shared).saturating_add(shared),
                of.saturating_add(1),
            )
        })
    }

    /// Leaves those that the other does not have.
    pub fn remove(&mut self, other: &Self) {
        self.rarity = self.rarity.max(other.rarity);
        let rarity = self.rarity;
        self.found
            .retain(|hash| hash.leading_zeros() >= rarity && !other.found.contains(hash));
    }
}

/// Which parts of the old content stand before which segment.
pub struct Parts {
    size: u64,
    sampler: Sampler,
    /// By sample, the first block that has it. Nothing where all of the old content is a prefix.
    blocks: HashMap<u64, u32>,
}

impl Parts {
    /// Of old content of `size` bytes.
    pub fn new(size: u64) -> Self {
        Self {
            size,
            sampler: Sampler::default(),
            blocks: HashMap::new(),
        }
    }

    /// Whether the old content has to be shown to it.
    pub fn is_large(&self) -> bool {
        self.size > PREFIX
    }

    /// Adds what comes next of the old content.
    pub fn take(&mut self, bytes: &[u8]) {
        let blocks = &mut self.blocks;
        self.sampler.take(bytes, |hash, at| {
            let block = u32::try_from(at / BLOCK).unwrap_or(u32::MAX);
            if blocks.len() < MOST {
                blocks.entry(hash).or_insert(block);
            }
        });
    }

    /// For a segment: all of the old content, or the blocks that share most samples with it, in their order.
    pub fn of(&self, segment: &[u8]) -> Vec<Part> {
        if !self.is_large() {
            let all = Part {
                at: 0,
                length: self.size,
            };
            return Vec::from_iter((self.size > 0).then_some(all));
        }
        let mut shared: HashMap<u32, u32> = HashMap::new();
        Sampler::default().take(segment, |hash, _| {
            if let Some(block) = self.blocks.get(&hash) {
                let count = shared.entry(*block).or_default();
                *count = count.saturating_add(1);
            }
        });
        let mut best: Vec<_> = shared.into_iter().collect();
        best.sort_by_key(|(block, count)| (std::cmp::Reverse(*count), *block));
        best.truncate(usize::try_from(PREFIX / BLOCK).unwrap_or_default());
        let mut blocks: Vec<_> = best.into_iter().map(|(block, _)| block).collect();
        blocks.sort_unstable();
        let mut parts: Vec<Part> = Vec::new();
        for block in blocks {
            let at = u64::from(block).saturating_mul(BLOCK);
            let length = self.size.saturating_sub(at).min(BLOCK);
            match parts.last_mut() {
                Some(last) if last.at.saturating_add(last.length) == at => {
                    last.length = last.length.saturating_add(length);
                }
                _ => parts.push(Part { at, length }),
            }
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    fn samples(bytes: &[u8]) -> Samples {
        let mut samples = Samples::default();
        bytes.chunks(1000).for_each(|piece| samples.take(piece));
        samples
    }

    #[test]
    fn the_same_bytes_give_the_same_samples_wherever_they_stand() {
        let (one, other) = (noise(1, 400_000), noise(2, 400_000));
        let moved = [&other[..77], &one].concat();
        let (one, other, moved) = (samples(&one), samples(&other), samples(&moved));
        let (shared, of) = one.shared_with(&moved);
        assert!((20..100).contains(&of), "{of}");
        assert!(shared + 1 >= of, "{shared} of {of}");
        assert_eq!(one.shared_with(&other), (0, of));
        let mut left = moved;
        left.remove(&one);
        assert!(left.found.len() <= 1, "{}", left.found.len());
    }

    #[test]
    fn large_content_is_compared_with_small_by_the_rarer_samples() {
        let mut large = Samples::default();
        let common = 1 << (63 - RARITY);
        large.found = (0..COMPARED as u64).map(|number| common + number).collect();
        let small = samples(&noise(1, 400_000));
        large.take(&noise(1, 400_000));
        assert_eq!(large.rarity, RARITY + 1);
        let (shared, of) = small.shared_with(&large);
        assert!(
            shared == of && of > 10 && of < small.found.len(),
            "{shared} of {of}"
        );
    }

    #[test]
    fn what_is_all_the_same_has_no_samples() {
        for byte in 0..=255 {
            let samples = samples(&[byte; 300]);
            assert!(samples.found.len() <= 1, "{byte}: {}", samples.found.len());
        }
    }

    #[test]
    fn of_large_old_content_the_parts_that_resemble_stand_before_a_segment() {
        let block = usize::try_from(BLOCK).unwrap();
        let mut parts = Parts::new(PREFIX + BLOCK);
        let blocks: Vec<_> = (1..=4).map(|seed| noise(seed, block)).collect();
        blocks.iter().for_each(|block| parts.take(block));
        let new = [&blocks[2][100..], &noise(9, 50_000), &blocks[1][..200_000]].concat();
        let found = parts.of(&new);
        let (at, length) = (BLOCK, 2 * BLOCK);
        assert_eq!(found, [Part { at, length }]);
        assert_eq!(parts.of(&noise(9, 50_000)), []);
        let small = Parts::new(5);
        assert_eq!(small.of(&new), [Part { at: 0, length: 5 }]);
        assert_eq!(Parts::new(0).of(&new), []);
    }
}
