//! What is remembered for whoever looks at the box: statistics of the cache, and what the doctor finds.

use std::sync::Arc;
use std::time::Duration;

use super::Appliance;
use super::remembered::{Patience, Remembered, lower_priority};
use crate::admin::{
    Admin, CacheStatistics, CacheStatisticsView, FindingsView, OnTheBox, Operation,
};
use crate::error::{Error, Kind, Result};
use crate::store::{Actor, ImageSizes};

/// On a box where this takes no time, what was just changed is in it.
const STATISTICS: Patience = Patience {
    age: Duration::from_secs(5 * 60),
    quick: Duration::from_millis(250),
    first: Duration::from_millis(25),
    again: Duration::from_secs(2),
};
const FINDINGS: Patience = Patience {
    age: Duration::from_secs(60),
    quick: Duration::ZERO,
    first: Duration::from_millis(25),
    again: Duration::ZERO,
};

/// Whoever wants a list by size cannot do without, and waits almost as long as a list may take.
const SIZES: Patience = Patience {
    first: Duration::from_secs(8),
    again: Duration::from_secs(8),
    ..STATISTICS
};
/// When to come again for a list by size.
const COME_AGAIN: Duration = Duration::from_secs(10);

/// Runs the doctor's checks of this box, and calls what it is given when it holds nothing that pulls wait for.
pub type Examine = Arc<dyn Fn(fn()) -> Result<FindingsView> + Send + Sync>;

pub(super) struct Recalled {
    statistics: Arc<Remembered<CacheStatisticsView>>,
    findings: Arc<Remembered<FindingsView>>,
    image_sizes: Arc<Remembered<ImageSizes>>,
}

impl Default for Recalled {
    fn default() -> Self {
        Self {
            statistics: Remembered::new("how much is cached"),
            findings: Remembered::new("what the doctor says"),
            image_sizes: Remembered::new("how large cached images are"),
        }
    }
}

impl Appliance {
    /// From here on it can say what the doctor finds. The checks are the command line's, which this room does not know.
    pub fn examine_by(&self, examine: Examine) {
        // There is only one doctor, so it is set once.
        let _ = self.examine.set(examine);
    }

    pub(super) fn recall_statistics(&self) -> Option<CacheStatisticsView> {
        let (store, config) = (Arc::clone(&self.store), self.config.clone());
        let count = move || {
            lower_priority();
            CacheStatistics {}.perform(&Admin {
                store: &store,
                actor: Actor::server(),
                caller: &OnTheBox,
                config: &config,
                server: None,
                watch: None,
            })
        };
        let recalled = self.recalled.statistics.get(&STATISTICS, count);
        recalled.map(|(view, _)| view)
    }

    /// Waits in the queue of lists for what is measured outside of it: once, for however many ask.
    pub(super) fn recall_image_sizes(&self) -> Result<ImageSizes> {
        let store = Arc::clone(&self.store);
        let measure = move || {
            lower_priority();
            store.cache.image_sizes()
        };
        let recall = || Ok(self.recalled.image_sizes.get(&SIZES, measure));
        let recalled = self.store.in_list_queue::<_, Error>(recall)?;
        let (sizes, _) = recalled.ok_or_else(|| {
            let retry_after = COME_AGAIN;
            let what = "it is still being measured how large the cached images are";
            Error::new(Kind::Unavailable { retry_after }, what).remedy("try again later")
        })?;
        Ok(sizes)
    }

    pub(super) fn recall_findings(&self) -> Option<FindingsView> {
        let examine = Arc::clone(self.examine.get()?);
        let recalled = self
            .recalled
            .findings
            .get(&FINDINGS, move || examine(lower_priority));
        recalled.map(|(view, _)| view)
    }

    /// Forgets what nobody has asked for within the hour: called now and then.
    pub fn forget_unasked(&self) {
        self.recalled.statistics.forget_unasked();
        self.recalled.findings.forget_unasked();
        self.recalled.image_sizes.forget_unasked();
    }
}
