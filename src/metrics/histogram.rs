//! Durations in buckets: noting one is two additions, the buckets are summed up when they are read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds in seconds: from a small answer out of memory to a large image over a slow line.
const BOUNDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 60.0, 180.0, 600.0,
];
/// The same in microseconds.
const MICROSECONDS: [u64; 14] = [
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    100_000,
    250_000,
    1_000_000,
    2_500_000,
    10_000_000,
    30_000_000,
    60_000_000,
    180_000_000,
    600_000_000,
];

/// A distribution of durations since the start.
#[derive(Debug, Default)]
pub struct Histogram {
    /// By bucket, not cumulative; the last one is for what is above all bounds.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    microseconds: AtomicU64,
}

/// What a scrape sees.
pub(super) struct Distribution {
    /// Upper bound (`None`: none) and how many were not above it.
    pub(super) buckets: Vec<(Option<f64>, u64)>,
    pub(super) sum: f64,
}

impl Histogram {
    pub fn note(&self, duration: Duration) {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let at = MICROSECONDS.partition_point(|bound| *bound < microseconds);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.microseconds.fetch_add(microseconds, Ordering::Relaxed);
    }

    /// Whether nothing was counted yet.
    pub fn is_empty(&self) -> bool {
        let empty = |bucket: &AtomicU64| bucket.load(Ordering::Relaxed) == 0;
        self.buckets.iter().all(empty)
    }

    /// Count and sum may be apart by what is noted at this moment; the buckets fit together.
    pub(super) fn read(&self) -> Distribution {
        let bounds = BOUNDS.iter().copied().map(Some).chain([None]);
        let mut so_far = 0_u64;
        let buckets = bounds.zip(&self.buckets).map(|(bound, bucket)| {
            so_far = bucket.load(Ordering::Relaxed).saturating_add(so_far);
            (bound, so_far)
        });
        Distribution {
            buckets: buckets.collect(),
            sum: Duration::from_micros(self.microseconds.load(Ordering::Relaxed)).as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        for (bound, microseconds) in BOUNDS.iter().zip(MICROSECONDS) {
            assert_eq!(bound * 1e6, microseconds as f64);
            let histogram = Histogram::default();
            assert!(histogram.is_empty());
            histogram.note(Duration::from_micros(microseconds));
            let read = histogram.read();
            let first = read.buckets.iter().find(|(_, count)| *count == 1);
            assert_eq!(first.and_then(|(bound, _)| *bound), Some(*bound));
            assert!(!histogram.is_empty());
        }
    }
}
