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
        let all = self.sums()?;
        let more = all.since(*written);
        if more != Sums::default() {
            self.store.cache.add_to_hour(&more, now)?;
        }
        *written = all;
        Ok(())
    }

    /// What is not written yet.
    pub(super) fn unwritten_sums(&self) -> Result<Sums> {
        let written = *self.written_sums.0.lock();
        Ok(self.sums()?.since(written))
    }

    pub(super) fn sums(&self) -> Result<Sums> {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        let mut sums = Sums {
            evicted_bytes: self.evictor.counters().evicted_bytes(),
            refused: self.observed.refused.value(),
            ..Sums::default()
        };
        for upstream in self.proxy.upstream_figures()? {
            add(&mut sums.fetched_bytes, upstream.counts.received());
            for (word, answers, bytes) in upstream.counts.served() {
                add(&mut sums.served, answers);
                add(&mut sums.served_bytes, bytes);
                if KEPT.contains(&word) {
                    add(&mut sums.served_from_cache, answers);
                    add(&mut sums.served_bytes_from_cache, bytes);
                }
            }
        }
        Ok(sums)
    }
}
