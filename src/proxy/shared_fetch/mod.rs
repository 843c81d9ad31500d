//! One blob on its way from an upstream, and all who read it meanwhile.
//!
//! The bytes go into a staged file; readers follow behind in that file, so memory grows neither with
//! clients nor with size. Whoever is to get the last byte gets it after the hash matched: until then
//! readers see one byte less than there is, and a fetch that fails leaves every body incomplete.

mod reader;
mod state;
mod writer;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::TargetKey;
use super::figures::{Arriving, Counters, note};
use crate::context;
use crate::error::{Error, Kind};
use crate::oci::Digest;
use crate::time::deadline;

pub(super) use reader::{ArrivingBlob, FetchReader};
use state::SharedFetch;
pub(super) use state::is_of_the_disk;
pub(super) use writer::FetchWriter;

/// Fetches at once; each holds a thread and a staged file.
const MAX_FETCHES: usize = 512;
/// Of what the other upstreams leave of these, one upstream may take this part: so however many upstreams a tenant
/// brings, other tenants' images come through beside them.
const PART_OF_ORIGIN: usize = 4;

/// A fill's client may be silent for so long between two requests.
const FILL_PAUSE: Duration = Duration::from_secs(2);
/// Between two looks of those who wait for a fill to come to what they ask for.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Repositories remembered as being filled; past it, those of old fills go.
const MAX_FILLS: usize = 1024;

/// What a fetch is told apart by: upstream with credentials, repository, digest.
pub(super) type FetchKey = (TargetKey, Digest);

/// All blobs on their way.
pub(super) struct SharedFetches {
    counters: Arc<Counters>,
    table: Mutex<HashMap<FetchKey, Arc<SharedFetch>>>,
    ended: Condvar,
    /// When somebody last began or ended to fill something of a repository.
    fills: Mutex<HashMap<TargetKey, Instant>>,
}

/// What `SharedFetches::board` gives.
pub(super) enum JoinOrStart {
    /// A fetch in progress was joined.
    Joined(FetchReader),
    /// A new fetch: the caller must start its fetch, once.
    Started(FetchReader, FetchWriter),
}

impl SharedFetches {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self {
            counters,
            table: Mutex::default(),
            ended: Condvar::new(),
            fills: Mutex::default(),
        }
    }

    /// Blobs on their way, those of them that will be kept, and the readers taken in all.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let table = self.lock();
        let (mut fills, mut readers) = (0_usize, 0_usize);
        for fetch in table.values() {
            let state = fetch.lock();
            fills = fills.saturating_add(usize::from(state.keep));
            readers = readers.saturating_add(state.readers);
        }
        (table.len(), fills, readers)
    }

    /// Those that began first, and no more than `most`.
    pub(super) fn arriving(&self, most: usize) -> Vec<Arriving> {
        let table = self.lock();
        let mut fetches: Vec<_> = table.iter().collect();
        fetches.sort_by_key(|(_, fetch)| fetch.begun);
        fetches.truncate(most);
        let arriving = fetches.into_iter().map(|((target, digest), fetch)| {
            let state = fetch.lock();
            Arriving {
                upstream: target.origin.upstream().to_string(),
                repository: target.repository.to_string(),
                digest: digest.to_string(),
                received: state.written,
                total: state.total,
                clients: state.readers,
                is_kept: state.keep,
                age: fetch.begun.elapsed(),
            }
        });
        arriving.collect()
    }

    /// Joins the fetch of `key`, or makes one. `fill`: whether who asks may keep it.
    ///
    /// # Errors
    /// `Unavailable` when too many fetches are in progress.
    pub(super) fn join_or_start(
        self: &Arc<Self>,
        key: &FetchKey,
        fill: bool,
    ) -> Result<JoinOrStart, Error> {
        let mut table = self.lock();
        while let Some(fetch) = table.get(key) {
            if let Some(reader) = SharedFetch::join(fetch, fill) {
                note(&self.counters.joined);
                return Ok(JoinOrStart::Joined(reader));
            }
            // It ends without being kept, but who asks now may keep it: it is fetched anew after that.
            self.ended.wait(&mut table);
        }
        let (target, _) = key;
        let fetched = table.keys();
        let of_origin = fetched.filter(|(other, _)| other.origin == target.origin);
        let of_origin = of_origin.count();
        let left = MAX_FETCHES.saturating_sub(table.len().saturating_sub(of_origin));
        if of_origin >= left / PART_OF_ORIGIN {
            let retry_after = Duration::from_secs(5);
            return Err(Error::new(
                Kind::Unavailable { retry_after },
                "too many fetches are in progress",
            )
            .remedy("try again in a few seconds"));
        }
        note(&self.counters.begun);
        let fetch = Arc::new(SharedFetch::new(fill));
        table.insert(key.clone(), Arc::clone(&fetch));
        let writer = FetchWriter {
            fetches: Arc::clone(self),
            key: key.clone(),
            fetch: Arc::clone(&fetch),
        };
        Ok(JoinOrStart::Started(FetchReader(fetch), writer))
    }

    /// A reader in the fetch of `key`, if there is one, for somebody who may not fill.
    pub(super) fn join(&self, key: &FetchKey) -> Option<FetchReader> {
        let reader = SharedFetch::join(self.lock().get(key)?, false)?;
        note(&self.counters.joined);
        Some(reader)
    }

    /// Notes that somebody fills the repository now.
    pub(super) fn note_fill(&self, target: TargetKey) {
        let mut fills = self.fills.lock();
        if fills.len() >= MAX_FILLS {
            fills.retain(|_, at| at.elapsed() < FILL_PAUSE);
        }
        fills.insert(target, Instant::now());
    }

    /// Waits a moment if the repository is being filled; `false` where it is not, or not in time.
    pub(super) fn wait_for_fill(&self, target: &TargetKey, deadline: Instant) -> bool {
        context::waits();
        let fills = self.fills.lock();
        let recently = fills
            .get(target)
            .is_some_and(|at| at.elapsed() < FILL_PAUSE);
        drop(fills);
        let mut table = self.lock();
        let mut fetches = table.iter().filter(|((of, _digest), _)| of == target);
        let filling = recently || fetches.any(|(_, fetch)| fetch.lock().keep);
        let left = deadline.saturating_duration_since(Instant::now());
        if !filling || left.is_zero() {
            return false;
        }
        self.ended.wait_for(&mut table, left.min(LOOK_AGAIN));
        true
    }

    /// Waits until no fetch is left, for at most `patience`.
    pub(super) fn wait_until_empty(&self, patience: Duration) {
        let deadline = deadline(patience);
        let mut table = self.lock();
        while !table.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.ended.wait_for(&mut table, left);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<FetchKey, Arc<SharedFetch>>> {
        self.table.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::RepositoryName;
    use crate::proxy::OriginKey;

    pub(super) fn key(upstream: &str, bytes: &[u8]) -> FetchKey {
        let upstream = crate::oci::RegistryHost::parse(upstream).unwrap();
        let origin = OriginKey(Arc::new((upstream, String::new())));
        let repository = RepositoryName::parse("app").unwrap();
        let target = TargetKey { origin, repository };
        (target, Digest::of(bytes))
    }

    #[test]
    fn upstreams_leave_room_for_the_others_however_many_they_are() {
        let fetches = Arc::new(SharedFetches::new(Arc::default()));
        let board = |upstream: &str, number: usize| {
            fetches.join_or_start(&key(upstream, &number.to_be_bytes()), true)
        };
        let mut taken: Vec<_> = (0..MAX_FETCHES / PART_OF_ORIGIN)
            .map(|number| board("a.example", number).unwrap())
            .collect();
        let refused = board("a.example", MAX_FETCHES).err().unwrap();
        assert!(matches!(refused.kind(), Kind::Unavailable { .. }));
        assert!(board("a.example", 0).is_ok(), "joining takes no place");
        for upstream in 0..12 {
            let name = format!("{upstream}.example");
            let more = (0..MAX_FETCHES).map_while(|number| board(&name, number).ok());
            let before = taken.len();
            taken.extend(more);
            assert!(taken.len() > before, "{name}");
        }
        drop(taken);
        assert!(board("a.example", MAX_FETCHES).is_ok());
    }
}
