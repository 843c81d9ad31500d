//! Counters: declared where they are counted, one line each, with the metric that they are a part of.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows, from 0 at the start.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn one(&self) {
        self.add(1);
    }

    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Makes a struct of [`Counter`]s from metrics, each with its name, its label if it has one, its meaning, and its
/// counters with the label's values; with `METRICS` for the catalogue, and `write` for the page.
macro_rules! counters {
    ($(#[$doc:meta])* $vis:vis struct $name:ident {
        $($metric:literal $([$label:literal])? $help:literal { $($field:ident $(= $value:literal)?),+ $(,)? })+
    }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        $vis struct $name {
            $($(pub(crate) $field: $crate::metrics::Counter,)+)+
        }

        impl $name {
            pub(crate) const METRICS: &'static [$crate::metrics::Metric] = &[$($crate::metrics::Metric {
                name: $metric,
                kind: $crate::metrics::MetricKind::Counter,
                labels: &[$($label)?],
                help: $help,
            }),+];

            pub(crate) fn write(&self, page: &mut $crate::metrics::Page) {
                let mut metrics = Self::METRICS.iter();
                $(if let Some(metric) = metrics.next() {
                    let mut family = page.family(metric);
                    $(family.sample(&[$($value)?], self.$field.value());)+
                })+
            }
        }
    };
}

pub(crate) use counters;
