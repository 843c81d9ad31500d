//! Which image goes first.
//!
//! The order is that of the last pull, corrected twice: an image that was pulled often, and one that takes little room,
//! are treated as if they had been pulled later, by one half-life of [`Frequency`] for each doubling. For pulls that is the
//! same as to let their count decay, and the order stays what it is while time goes by.
//!
//! - **Bytes are divided** among the images that need them. If an image were charged only the bytes that its own going
//!   frees, two names of one manifest would free nothing each, and neither would ever go.
//! - **Small images are favoured moderately.** To fetch an image costs a client its bytes and a number of waits, which are
//!   taken to cost as much as `WAITS` bytes. So below that size the order is by pulls per byte, which saves the most
//!   fetches for the room, and far above it by pulls alone, which saves the most bytes. To count an image's blobs instead
//!   gave the same figures, and so the constant stayed.
//!
//! `tests/eviction` replays traces against this module, and against LRU, LFU with ageing, GreedyDual-Size-Frequency with
//! two costs, and SIEVE. In bytes this order is level with the best of them, within half a percent; in whole images it is
//! ahead of all on the whole, and behind only GreedyDual with the cost of requests where there is ample room, which fetches
//! many more bytes. The manual's topic `caching` has the tables.

use crate::store::{Frequency, HALF_LIFE};
use crate::time::Timestamp;

/// How many bytes could be fetched while a client waits for answers.
const WAITS: f64 = 2e6;

/// What an image is worth, as a time: when it would have been pulled if it were pulled once and large. The earliest goes
/// first. `bytes` are those that it needs, of each blob its part: the blob's size divided by the number of images that
/// need it.
pub fn worth(used: Frequency, bytes: u64) -> Timestamp {
    // What was fetched and not pulled yet counts as if it had been pulled then.
    let often = used.weight.max(1.0).log2();
    let small = (1.0 + WAITS / bytes.max(1) as f64).log2();
    let later = HALF_LIFE.as_secs_f64() * (often + small);
    Timestamp(used.at.0.saturating_add(later as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: i64 = 24 * 60 * 60;
    const MB: u64 = 1_000_000;

    fn pulled(times: impl IntoIterator<Item = i64>) -> Frequency {
        let mut times = times.into_iter().map(Timestamp);
        let once = Frequency::once(times.next().unwrap());
        times.fold(once, Frequency::pulled)
    }

    fn on_days(days: impl IntoIterator<Item = i64>) -> Frequency {
        pulled(days.into_iter().map(|day| day * DAY))
    }

    #[test]
    fn what_goes_first() {
        let once = on_days([3]);
        let fetched = Frequency {
            weight: 0.0,
            ..once
        };
        let burst = pulled((0..100).map(|second| 3 * DAY + second));
        let popular = on_days(0..100);
        for (why, first, then) in [
            ("pulled longer ago", (on_days([2]), 50), (once, 50)),
            ("larger", (once, 50), (once, 5)),
            ("seldom", (once, 50), (on_days([1, 2, 3]), 50)),
            ("by many at once, once", (burst, 50), (on_days([2, 3]), 50)),
            ("popular last month", (popular, 50), (on_days([130]), 50)),
            (
                "seldom though smaller",
                (once, 500),
                (on_days([2, 3]), 2000),
            ),
            (
                "long ago though fetched lately",
                (on_days([2]), 50),
                (fetched, 50),
            ),
        ] {
            assert!(
                worth(first.0, first.1 * MB) < worth(then.0, then.1 * MB),
                "{why}"
            );
        }
    }

    #[test]
    fn each_doubling_is_a_half_life() {
        let half_life = HALF_LIFE.as_secs() as i64;
        for (weight, bytes, halves) in [
            (1.0, u64::MAX, 0),
            (4.0, u64::MAX, 2),
            (2.0, WAITS as u64, 2),
        ] {
            let used = Frequency {
                weight,
                at: Timestamp(DAY),
            };
            assert_eq!(worth(used, bytes).0, DAY + halves * half_life);
        }
    }

    /// Any times at all: a clock may have been set wrong.
    fn any_times() -> impl Strategy<Value = Vec<i64>> {
        let sensible = proptest::collection::vec(0..10_000 * DAY, 1..20);
        let extreme = proptest::collection::vec(any::<i64>(), 1..5);
        prop_oneof![4 => sensible, 1 => extreme].prop_map(|mut times| {
            times.sort_unstable();
            times
        })
    }

    proptest! {
        #[test]
        fn another_pull_is_never_worth_less_and_a_later_one_not_less_than_it(
            times in any_times(), bytes in any::<u64>(), after in 0..100 * DAY, later in 0..DAY,
        ) {
            let before = pulled(times);
            let one = before.pulled(Timestamp(before.at.0.saturating_add(after)));
            let other = before.pulled(Timestamp(before.at.0.saturating_add(after + later)));
            // Whole seconds, and rounding.
            let slack = |worth: Timestamp| Timestamp(worth.0.saturating_add(1));
            prop_assert!(worth(before, bytes) <= slack(worth(one, bytes)));
            prop_assert!(worth(one, bytes) <= slack(worth(other, bytes)));
            prop_assert!(worth(one, bytes) >= one.at);
        }

        #[test]
        fn more_bytes_are_never_worth_more(times in any_times(), bytes in any::<u64>(), more in any::<u64>()) {
            let pulls = pulled(times);
            prop_assert!(worth(pulls, bytes) >= worth(pulls, bytes.saturating_add(more)));
        }
    }
}
