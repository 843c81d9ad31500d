//! What is remembered for whoever looks at the box: statistics of the cache, and what the doctor finds.

use std::sync::Arc;
use std::time::Duration;

use super::Appliance;
use super::remembered::{Patience, Remembered};
use crate::admin::{
    Admin, CacheStatistics, CacheStatisticsView, FindingsView, OnTheBox, Operation,
};
use crate::error::Result;
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

/// Runs the doctor's checks of this box.
pub type Examine = Arc<dyn Fn() -> Result<FindingsView> + Send + Sync>;

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

    pub(super) fn recall_image_sizes(&self) -> Option<ImageSizes> {
        let store = Arc::clone(&self.store);
        let measure = move || store.cache.image_sizes();
        let recalled = self.recalled.image_sizes.get(&STATISTICS, measure);
        recalled.map(|(sizes, _)| sizes)
    }

    pub(super) fn recall_findings(&self) -> Option<FindingsView> {
        let examine = Arc::clone(self.examine.get()?);
        let recalled = self.recalled.findings.get(&FINDINGS, move || examine());
        recalled.map(|(view, _)| view)
    }
}
