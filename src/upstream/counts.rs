//! How often an upstream was asked, how that ended, and how much came. Decides nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use super::fault::{Fault, FaultKind};

/// How a try can end, in the order of [`Counts::tries`].
const RESULTS: [&str; 10] = [
    "answered",
    "not_found",
    "denied",
    "rate_limited",
    "method_not_allowed",
    "server_error",
    "unreachable",
    "timed_out",
    "protocol",
    "credentials_refused",
];

/// The words of `X-Cache`, in the order of [`Counts::served`].
const WORDS: [&str; 5] = ["hit", "revalidated", "stale", "miss", "bypass"];

/// Counters of one upstream, or of several that are counted together. They only grow.
#[derive(Debug, Default)]
pub struct Counts {
    tries: [AtomicU64; RESULTS.len()],
    received: AtomicU64,
    lies: AtomicU64,
    /// Answers, and their bytes.
    served: [(AtomicU64, AtomicU64); WORDS.len()],
}

impl Counts {
    /// How many manifests and blobs went to clients, and their bytes, by where they came from.
    pub fn served(&self) -> impl Iterator<Item = (&'static str, u64, u64)> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = self
            .served
            .iter()
            .map(move |(answers, bytes)| (read(answers), read(bytes)));
        let counts = WORDS.into_iter().zip(counts);
        counts.map(|(word, (answers, bytes))| (word, answers, bytes))
    }

    /// Counts a manifest or blob that went to a client.
    pub fn note_served(&self, word: &str, bytes: u64) {
        let place = WORDS.iter().position(|known| *known == word);
        if let Some((answers, sum)) = place.and_then(|place| self.served.get(place)) {
            answers.fetch_add(1, Ordering::Relaxed);
            sum.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Every result of a try with how often there was one.
    pub fn tries(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.tries.iter().map(|count| count.load(Ordering::Relaxed));
        RESULTS.into_iter().zip(counts)
    }

    /// Bytes of manifests, blobs and lists.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// How often something else came than what was asked for.
    pub fn lies(&self) -> u64 {
        self.lies.load(Ordering::Relaxed)
    }

    /// Counts one try that was sent.
    pub(super) fn note_try<T>(&self, result: &Result<T, Fault>) {
        let at = match result.as_ref().map_err(|fault| fault.kind) {
            Ok(_) => 0,
            Err(FaultKind::NotFound) => 1,
            Err(FaultKind::Denied) => 2,
            Err(FaultKind::RateLimited { .. }) => 3,
            Err(FaultKind::MethodNotAllowed) => 4,
            Err(FaultKind::ServerError { .. }) => 5,
            Err(FaultKind::Unreachable) => 6,
            Err(FaultKind::TimedOut) => 7,
            Err(FaultKind::Protocol | FaultKind::Circle) => 8,
            Err(FaultKind::CredentialsRefused) => 9,
            // Nothing was sent.
            Err(FaultKind::Offline | FaultKind::BreakerOpen { .. } | FaultKind::NoRoom) => return,
        };
        if let Some(count) = self.tries.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn note_received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn note_lie(&self) {
        self.lies.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_try_is_counted_by_its_end() {
        let counts = Counts::default();
        let fault = |kind| Err::<(), _>(Fault::new(kind, ""));
        counts.note_try(&Ok(()));
        counts.note_try(&Ok(()));
        counts.note_try(&fault(FaultKind::ServerError { status: 502 }));
        counts.note_try(&fault(FaultKind::Offline));
        let counted: Vec<_> = counts.tries().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [("answered", 2), ("server_error", 1)]);
    }
}
