//! When a fetch that nobody reads any more is too slow to go on.

use std::time::{Duration, Instant};

/// Bytes a second that a fetch without readers must bring, so that it does not hold its place for days.
const LEAST_RATE: u64 = 16 * 1024;
/// For how long that is averaged.
const PACE_WINDOW: Duration = Duration::from_secs(60);

/// How fast a fetch goes on while nobody reads.
pub(super) struct Pace {
    since: Instant,
    at: u64,
}

impl Pace {
    /// From here on, with so many bytes there already.
    pub(super) fn new(written: u64) -> Self {
        Self {
            since: Instant::now(),
            at: written,
        }
    }

    /// Whether a fetch that has `written` so many bytes should end: nobody reads, and it was slower than
    /// `LEAST_RATE` through `PACE_WINDOW`.
    pub(super) fn is_lost(&mut self, now: Instant, written: u64, is_read: bool) -> bool {
        let passed = now.saturating_duration_since(self.since);
        if !is_read && passed < PACE_WINDOW {
            return false;
        }
        let least = LEAST_RATE.saturating_mul(passed.as_secs());
        let is_lost = !is_read && written.saturating_sub(self.at) < least;
        (self.since, self.at) = (now, written);
        is_lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_slow_fetch_that_nobody_reads_is_given_up() {
        let least = LEAST_RATE * PACE_WINDOW.as_secs();
        // bytes in a window, whether somebody reads, whether it is given up
        for (bytes, is_read, expected) in [
            (0, false, true),
            (least - 1, false, true),
            (least, false, false),
            (0, true, false),
        ] {
            let since = Instant::now();
            let mut pace = Pace { since, at: 100 };
            assert!(!pace.is_lost(since + PACE_WINDOW / 2, 100, is_read));
            let lost = pace.is_lost(since + PACE_WINDOW * 2, 100 + 2 * bytes, is_read);
            assert_eq!(lost, expected, "{bytes} {is_read}");
        }
        // Who hung up a moment ago did not leave it slow.
        let since = Instant::now();
        let mut pace = Pace { since, at: 0 };
        assert!(!pace.is_lost(since + PACE_WINDOW * 9, 1, true));
        assert!(!pace.is_lost(since + PACE_WINDOW * 9, 1, false));
    }
}
