//! How many bits a block would take with codes of its own, without making them. A reckoning in single precision, step
//! by step as it is done there: the result decides whether codes are used once more.

use crate::recreate::block::Frequencies;
use crate::recreate::tokens::LENGTHS;

/// In bits. `total` is the number of tokens.
pub(super) fn estimate(frequencies: &Frequencies, total: usize) -> usize {
    let mut entropy = 0_f32;
    if total > 0 {
        let share = 1.0 / total as f32;
        let bytes = frequencies.literal.iter().take(256);
        bytes.for_each(|count| add(&mut entropy, *count, share));
        // For the end of the block.
        entropy += 15.0;
        let lengths = frequencies.literal.iter().skip(LENGTHS);
        lengths.for_each(|count| add(&mut entropy, *count, share));
    }
    let lengths = frequencies.literal.iter().skip(LENGTHS);
    let matches: u32 = lengths.fold(0, |sum, count| sum.wrapping_add(*count));
    if matches > 0 {
        let share = 1.0 / matches as f32;
        let distances = frequencies.distance.iter();
        distances.for_each(|count| add(&mut entropy, *count, share));
    }
    (entropy as usize).saturating_add(frequencies.extra())
}

fn add(entropy: &mut f32, count: u32, share: f32) {
    if count > 0 {
        let count = count as f32;
        *entropy += (-logarithm(count * share)).clamp(1.0, 15.0) * count;
    }
}

/// To the base of 2, roughly.
fn logarithm(value: f32) -> f32 {
    let bits = value.to_bits();
    let power = ((bits >> 23) & 255) as i32;
    let rest = f32::from_bits((bits & 0x807f_ffff).wrapping_add(127 << 23));
    let sum = power.wrapping_sub(128) as f32;
    sum + ((-0.344_848_43 * rest + 2.024_665_8) * rest - 0.674_877_6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_nearly_one() {
        for value in [1.0_f32, 0.5, 0.3, 0.001, 3e-5] {
            let difference = logarithm(value) - value.log2();
            assert!(difference.abs() < 0.02, "{value}: {difference}");
        }
    }

    #[test]
    fn a_block_takes_about_its_entropy() {
        let mut frequencies = Frequencies::default();
        frequencies.literal[..16].fill(100);
        // 1,600 bytes of 4 bits each, and the end.
        let estimated = estimate(&frequencies, 1600);
        assert!((6400..6550).contains(&estimated), "{estimated}");
    }
}
