//! How often something is pulled: each pull counts one when it is made, and half as much after each [`HALF_LIFE`]. So one
//! number and a time tell often from seldom and lately from long ago.

use std::time::Duration;

use crate::time::Timestamp;

const HALF_LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Pulls, as of a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frequency {
    pub weight: f64,
    /// The last of them.
    pub at: Timestamp,
}

impl Frequency {
    /// What the pulls count at `now`.
    pub fn weight_at(self, now: Timestamp) -> f64 {
        let halves = now.since(self.at).as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.weight * (-halves).exp2()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_counts_half_after_each_half_life_and_pulls_add_up_in_any_order() {
        let at =
            |halves: u64| Timestamp(1_000_000).plus(HALF_LIFE * u32::try_from(halves).unwrap());
        let once = |halves| Frequency {
            weight: 1.0,
            at: at(halves),
        };
        for (halves, expected) in [(0, 1.0), (1, 0.5), (3, 0.125)] {
            assert!((once(0).weight_at(at(halves)) - expected).abs() < 1e-9);
        }
        let (a, b) = (once(0).and(once(2)), once(2).and(once(0)));
        assert_eq!(a, b);
        assert_eq!(a.at, at(2));
        assert!((a.weight - 1.25).abs() < 1e-9);
    }
}
