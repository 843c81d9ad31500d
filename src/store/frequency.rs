//! How often something is pulled: a pull counts when it is made, and half as much after each [`HALF_LIFE`]. So one number
//! and a time tell often from seldom and lately from long ago.
//!
//! Pulls close together count as little more than one. Many machines that start the same job at once say that an image is
//! wanted now, which the time of the last pull says already; counted each, they would let what one pipeline used outlive
//! what all use every day. What a pull adds grows with the time since the one before, by [`CLOSE`]. Both numbers were chosen
//! with the traces of `tests/eviction`.

use std::time::Duration;

use crate::time::Timestamp;

/// After this a pull counts half.
pub const HALF_LIFE: Duration = Duration::from_secs(5 * 24 * 60 * 60);
/// A pull this long after the one before adds a half.
const CLOSE: Duration = Duration::from_secs(60 * 60);

/// Pulls, as of a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frequency {
    pub weight: f64,
    /// The last of them.
    pub at: Timestamp,
}

impl Frequency {
    /// One pull.
    pub fn once(at: Timestamp) -> Self {
        Self { weight: 1.0, at }
    }

    /// After another pull.
    #[must_use]
    pub fn pulled(self, now: Timestamp) -> Self {
        let at = self.at.max(now);
        let added = 1.0 - halved(at.since(self.at), CLOSE);
        Self {
            weight: self.weight_at(at) + added,
            at,
        }
    }

    /// What the pulls count at `now`.
    pub fn weight_at(self, now: Timestamp) -> f64 {
        self.weight * halved(now.since(self.at), HALF_LIFE)
    }

    /// These pulls and the others.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let at = self.at.max(other.at);
        Self {
            weight: self.weight_at(at) + other.weight_at(at),
            at,
        }
    }
}

/// What is left of one after this time.
fn halved(time: Duration, half_life: Duration) -> f64 {
    (-(time.as_secs_f64() / half_life.as_secs_f64())).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_counts_half_after_each_half_life_and_pulls_add_up_in_any_order() {
        let at =
            |halves: u64| Timestamp(1_000_000).plus(HALF_LIFE * u32::try_from(halves).unwrap());
        let once = |halves| Frequency::once(at(halves));
        for (halves, expected) in [(0, 1.0), (1, 0.5), (3, 0.125)] {
            assert!((once(0).weight_at(at(halves)) - expected).abs() < 1e-9);
        }
        let (a, b) = (once(0).and(once(2)), once(2).and(once(0)));
        assert_eq!(a, b);
        assert_eq!(a.at, at(2));
        assert!((a.weight - 1.25).abs() < 1e-9);
    }

    #[test]
    fn pulls_close_together_count_as_little_more_than_one() {
        let weight = |seconds: i64, pulls: i64| {
            let times = (1..pulls).map(|pull| Timestamp(pull * seconds));
            times
                .fold(Frequency::once(Timestamp(0)), Frequency::pulled)
                .weight
        };
        assert!(weight(1, 100) < 1.1, "{}", weight(1, 100));
        assert!((1.45..1.5).contains(&weight(60 * 60, 2)));
        assert!((1.85..1.9).contains(&weight(24 * 60 * 60, 2)));
        // All day long, for months.
        assert!((110.0..120.0).contains(&weight(60, 200_000)));
    }

    #[test]
    fn a_clock_that_went_back_takes_nothing_away() {
        let pulls = Frequency::once(Timestamp(0)).pulled(Timestamp(1_000_000));
        assert_eq!(pulls.pulled(Timestamp(500_000)), pulls);
    }
}
