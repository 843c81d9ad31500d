//! Metrics: counters, declared where they are counted (`counters`); what the others are called and mean (`catalog`);
//! how they are written (`page`), durations (`histogram`), and what the kernel knows of this process (`process`).
//!
//! Rooms own what they count; `server` puts it on the page. So nothing here is a global, and counting on a request's way
//! is an addition and no lock.
//!
//! The text is written here and not by a crate: it is the format's hundred lines (Prometheus text format
//! 0.0.4), while prometheus-client writes OpenMetrics alone, whose counters Prometheus' own linter of the
//! older format takes for untyped ones, and wants every number to live in its registry.

mod catalog;
mod counters;
mod histogram;
mod page;
mod process;

pub use catalog::{CATALOG, Metric, MetricKind, name};
pub use counters::Counter;
pub(crate) use counters::counters;
pub use histogram::Histogram;
pub use page::{CONTENT_TYPE, Page};
pub use process::write_process;
