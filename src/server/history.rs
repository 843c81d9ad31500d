//! What this process has done since its start, and how much of it stands in the sums by the hour already.

use parking_lot::Mutex;

use super::Appliance;
use crate::error::Result;
use crate::store::Sums;
use crate::time::Timestamp;

/// Those of the words of `X-Cache` that say that an answer was kept already.
const KEPT: [&str; 3] = ["hit", "revalidated", "stale"];

/// What is written already, since the start.
#[derive(Default)]
pub(super) struct Written(Mutex<Sums>);

impl Appliance {
    /// Adds what came since the last time to the hour of `now`.
    ///
    /// # Errors
    /// `Full`, `Busy`, `Sql`: then it is added the next time.
    pub fn write_history(&self, now: Timestamp) -> Result<()> {
        let mut written = self.written_sums.0.lock();
        let all = self.sums();
        let more = all.since(*written);
        if more != Sums::default() {
            self.store.cache.add_to_hour(&more, now)?;
        }
        *written = all;
        Ok(())
    }

    /// The hours of the database, and what is not written yet at `now`. Nothing is written between the two.
    pub(super) fn hours_until(
        &self,
        from: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<(Timestamp, Sums)>> {
        let written = self.written_sums.0.lock();
        let mut hours = self.store.cache.hours_between(from, now)?;
        hours.push((now, self.sums().since(*written)));
        Ok(hours)
    }

    /// Never less than before, whatever becomes of upstreams: what is written is the difference.
    pub(super) fn sums(&self) -> Sums {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        let mut sums = Sums {
            evicted_bytes: self.evictor.counters().evicted_bytes(),
            refused: self.observed.refused.value(),
            ..Sums::default()
        };
        for counts in self.proxy.all_counts() {
            add(&mut sums.fetched_bytes, counts.received());
            for (word, answers, bytes) in counts.served() {
                add(&mut sums.served, answers);
                add(&mut sums.served_bytes, bytes);
                if KEPT.contains(&word) {
                    add(&mut sums.served_from_cache, answers);
                    add(&mut sums.served_bytes_from_cache, bytes);
                }
            }
        }
        sums
    }
}
