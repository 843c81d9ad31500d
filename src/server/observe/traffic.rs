//! What is counted of every request: one addition for each number, no lock, whatever the load.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use strum::{IntoStaticStr, VariantArray};

use crate::http::Method;
use crate::metrics::{Histogram, Page, name};
use crate::proxy::CacheWord;
use crate::server::router::{Part, Route};

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(in crate::server) enum RouteClass {
    Base,
    Token,
    Manifest,
    Blob,
    Tags,
    Referrers,
    Upload,
    Catalog,
    Api,
    Probe,
    Metrics,
    /// The operator's page.
    Page,
    /// What is at no path of ours, or was not understood.
    #[default]
    Other,
}

impl RouteClass {
    fn as_str(self) -> &'static str {
        self.into()
    }
}

impl From<&Route> for RouteClass {
    fn from(route: &Route) -> Self {
        match route {
            Route::Base => Self::Base,
            Route::Token | Route::Keys => Self::Token,
            Route::Repository(route) => match route.part {
                Part::Manifest(_) => Self::Manifest,
                Part::Blob(_) => Self::Blob,
                Part::Tags => Self::Tags,
                Part::Referrers(_) => Self::Referrers,
                Part::Uploads | Part::Upload(_) => Self::Upload,
            },
            Route::Catalog => Self::Catalog,
            Route::Api => Self::Api,
            Route::Probe(_) => Self::Probe,
            Route::Metrics => Self::Metrics,
            Route::Page => Self::Page,
        }
    }
}

/// The method; those that nobody needs here are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(in crate::server) enum MethodClass {
    #[strum(serialize = "GET")]
    Get,
    #[strum(serialize = "HEAD")]
    Head,
    #[strum(serialize = "POST")]
    Post,
    #[strum(serialize = "PUT")]
    Put,
    #[strum(serialize = "PATCH")]
    Patch,
    #[strum(serialize = "DELETE")]
    Delete,
    Other,
}

impl MethodClass {
    fn as_str(self) -> &'static str {
        self.into()
    }
}

impl From<&Method> for MethodClass {
    fn from(method: &Method) -> Self {
        match method {
            Method::Get => Self::Get,
            Method::Head => Self::Head,
            Method::Post => Self::Post,
            Method::Put => Self::Put,
            Method::Patch => Self::Patch,
            Method::Delete => Self::Delete,
            _ => Self::Other,
        }
    }
}

/// `X-Cache`'s words, and none.
const CACHE: [Option<CacheWord>; 6] = [
    None,
    Some(CacheWord::Hit),
    Some(CacheWord::Revalidated),
    Some(CacheWord::Stale),
    Some(CacheWord::Miss),
    Some(CacheWord::Bypass),
];

/// Classes of status, by their first digit.
const STATUS: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Statuses of what never became a request.
const REFUSALS: [u16; 8] = [400, 408, 414, 417, 431, 501, 503, 505];

/// A request that was answered.
pub(in crate::server) struct Answered {
    pub(in crate::server) route: RouteClass,
    pub(in crate::server) method: MethodClass,
    pub(in crate::server) status: u16,
    pub(in crate::server) cache: Option<CacheWord>,
    pub(in crate::server) bytes: u64,
    pub(in crate::server) duration: Duration,
}

const ROUTES: usize = RouteClass::VARIANTS.len();
const METHODS: usize = MethodClass::VARIANTS.len();

pub(in crate::server) struct Traffic {
    /// By route, method, class of status and cache word.
    answered: Box<[AtomicU64]>,
    durations: [Histogram; ROUTES],
    bytes: [AtomicU64; CACHE.len()],
    refused: [AtomicU64; REFUSALS.len()],
    /// With statuses that are not in the list.
    refused_otherwise: AtomicU64,
    panics: AtomicU64,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            answered: (0..CELLS).map(|_| AtomicU64::new(0)).collect(),
            durations: Default::default(),
            bytes: Default::default(),
            refused: Default::default(),
            refused_otherwise: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        }
    }
}

impl Traffic {
    /// Counts a request after its last byte.
    pub(in crate::server) fn note(&self, answered: &Answered) {
        let cache = cache_index(answered.cache);
        let status = usize::from(answered.status / 100)
            .clamp(1, STATUS.len())
            .saturating_sub(1);
        let place = index(
            answered.route as usize,
            answered.method as usize,
            status,
            cache,
        );
        if let Some(count) = self.answered.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(bytes) = self.bytes.get(cache) {
            bytes.fetch_add(answered.bytes, Ordering::Relaxed);
        }
        if let Some(durations) = self.durations.get(answered.route as usize) {
            durations.note(answered.duration);
        }
    }

    /// Counts what never became a request.
    pub(in crate::server) fn note_refused(&self, status: u16) {
        let known = REFUSALS.iter().position(|known| *known == status);
        let counter = known.and_then(|at| self.refused.get(at));
        let counter = counter.unwrap_or(&self.refused_otherwise);
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a mistake of ours.
    pub(in crate::server) fn note_panic(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// Manifests that went to clients whole.
    pub(in crate::server) fn pulls(&self) -> u64 {
        let (route, method) = (RouteClass::Manifest as usize, MethodClass::Get as usize);
        self.sum((0..CACHE.len()).map(|cache| index(route, method, 1, cache)))
    }

    /// Answers that say that something failed here or upstream.
    pub(in crate::server) fn failures(&self) -> u64 {
        let routes = (0..ROUTES).flat_map(|route| (0..METHODS).map(move |method| (route, method)));
        self.sum(routes.flat_map(|(route, method)| {
            (0..CACHE.len()).map(move |cache| index(route, method, 4, cache))
        }))
    }

    pub(in crate::server) fn sent_bytes(&self) -> u64 {
        let bytes = self.bytes.iter().map(|bytes| bytes.load(Ordering::Relaxed));
        bytes.fold(0, u64::saturating_add)
    }

    fn sum(&self, places: impl Iterator<Item = usize>) -> u64 {
        let counts = places.filter_map(|place| self.answered.get(place));
        let counts = counts.map(|count| count.load(Ordering::Relaxed));
        counts.fold(0, u64::saturating_add)
    }

    /// What was counted, without what never happened.
    pub(super) fn write(&self, page: &mut Page) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut family = page.family(&name::REQUESTS);
        for &route in RouteClass::VARIANTS {
            for &method in MethodClass::VARIANTS {
                for (status, digit) in STATUS.iter().zip(0..) {
                    for (word, at) in CACHE.iter().zip(0..) {
                        let place = index(route as usize, method as usize, digit, at);
                        let count = self.answered.get(place).map_or(0, read);
                        if count > 0 {
                            let labels = [route.as_str(), method.as_str(), *status, shown(*word)];
                            family.sample(&labels, count);
                        }
                    }
                }
            }
        }
        let mut family = page.family(&name::REQUEST_DURATION);
        for (route, histogram) in RouteClass::VARIANTS.iter().zip(&self.durations) {
            if !histogram.is_empty() {
                family.histogram(&[route.as_str()], histogram);
            }
        }
        let mut family = page.family(&name::RESPONSE_BYTES);
        for (word, bytes) in CACHE.iter().zip(&self.bytes) {
            family.sample(&[shown(*word)], read(bytes));
        }
        let mut family = page.family(&name::REFUSED_REQUESTS);
        for (status, count) in REFUSALS.iter().zip(&self.refused) {
            family.sample(&[&status.to_string()], read(count));
        }
        family.sample(&["other"], read(&self.refused_otherwise));
        page.single(&name::PANICS, read(&self.panics));
    }
}

const CELLS: usize = ROUTES * METHODS * STATUS.len() * CACHE.len();

#[expect(
    clippy::arithmetic_side_effects,
    reason = "the numbers are those of variants and words, a few dozen each"
)]
fn index(route: usize, method: usize, status: usize, cache: usize) -> usize {
    ((route * METHODS + method) * STATUS.len() + status) * CACHE.len() + cache
}

fn cache_index(word: Option<CacheWord>) -> usize {
    let at = CACHE.iter().position(|known| *known == word);
    at.unwrap_or_default()
}

fn shown(word: Option<CacheWord>) -> &'static str {
    word.map_or("none", CacheWord::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_has_a_counter_of_its_own() {
        let traffic = Traffic::default();
        let mut expected = 0;
        for (n, &route) in RouteClass::VARIANTS.iter().enumerate() {
            assert_eq!(route as usize, n, "{route:?} stands at its own place");
            for (n, &method) in MethodClass::VARIANTS.iter().enumerate() {
                assert_eq!(method as usize, n, "{method:?} stands at its own place");
                for status in [100, 204, 307, 404, 503] {
                    for cache in CACHE {
                        traffic.note(&Answered {
                            route,
                            method,
                            status,
                            cache,
                            bytes: 2,
                            duration: Duration::from_millis(3),
                        });
                        expected += 1;
                    }
                }
            }
        }
        let counts: Vec<u64> = traffic
            .answered
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .collect();
        assert_eq!(counts.len(), expected);
        assert!(counts.iter().all(|count| *count == 1), "{counts:?}");
        assert_eq!(traffic.pulls(), CACHE.len() as u64);
        assert_eq!(traffic.failures(), (expected / STATUS.len()) as u64);
        assert_eq!(traffic.sent_bytes(), 2 * expected as u64);
        let mut page = Page::default();
        traffic.write(&mut page);
        let text = page.into_text();
        let line = "breakwater_http_requests_total{route=\"blob\",method=\"GET\",status=\"2xx\",cache=\"hit\"} 1\n";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn what_is_refused_is_counted_by_status() {
        let traffic = Traffic::default();
        traffic.note_refused(431);
        traffic.note_refused(431);
        traffic.note_refused(599);
        let mut page = Page::default();
        traffic.write(&mut page);
        let text = page.into_text();
        for (status, count) in [("431", 2), ("other", 1), ("400", 0)] {
            let line = format!("refused_requests_total{{status=\"{status}\"}} {count}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
    }
}
