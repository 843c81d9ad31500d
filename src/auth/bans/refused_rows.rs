//! The rate at which one credential that exists is refused. Pure but for its own memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use crate::time::Timestamp;

/// How often each credential that exists, and is refused all the same, was sent within this minute: a machine that
/// goes on with a token that was revoked is answered without a ban of its address, but not without bound.
#[derive(Debug)]
pub struct RefusedRows<Row> {
    minute: i64,
    counts: HashMap<Row, u32>,
}

/// So often in a minute the refusal of one credential is looked into, and told to the audit.
const PER_MINUTE: u32 = 60;
const MINUTE: Duration = Duration::from_secs(60);

impl<Row> Default for RefusedRows<Row> {
    fn default() -> Self {
        Self {
            minute: 0,
            counts: HashMap::new(),
        }
    }
}

impl<Row: Eq + Hash> RefusedRows<Row> {
    /// Counts one; how long to wait where there were too many.
    pub fn note(&mut self, row: Row, now: Timestamp) -> Option<Duration> {
        // Requests come with the times at which they began: an older one is of the minute that is counted.
        let minute = self.minute.max(now.0.div_euclid(60));
        if self.minute != minute {
            // As many at most as there are credentials.
            self.counts.clear();
            self.minute = minute;
        }
        let count = self.counts.entry(row).or_default();
        *count = count.saturating_add(1);
        let next = Timestamp(minute.saturating_add(1).saturating_mul(60));
        (*count > PER_MINUTE).then(|| next.since(now).min(MINUTE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_that_is_refused_has_a_rate_of_its_own() {
        let mut rows = RefusedRows::default();
        for _ in 0..PER_MINUTE {
            assert_eq!(rows.note(7, Timestamp(130)), None);
        }
        assert_eq!(rows.note(7, Timestamp(130)), Some(Duration::from_secs(50)));
        assert_eq!(rows.note(8, Timestamp(130)), None);
        // A request that began before the minute did clears nothing.
        assert_eq!(rows.note(8, Timestamp(110)), None);
        assert_eq!(rows.note(7, Timestamp(110)), Some(MINUTE));
        assert_eq!(rows.note(7, Timestamp(131)), Some(Duration::from_secs(49)));
        assert_eq!(rows.note(7, Timestamp(180)), None);
    }
}
