//! One blob on its way from an upstream, and all who read it meanwhile.
//!
//! The bytes go into a staged file; readers follow behind in that file, so memory grows neither with
//! clients nor with size. Whoever is to get the last byte gets it after the hash matched: until then
//! readers see one byte less than there is, and a flight that fails leaves every body incomplete.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::TargetKey;
use super::figures::{Counters, note};
use crate::error::{Error, Kind};
use crate::oci::Digest;

/// Fetches at once; each holds a thread and a staged file.
const MAX_FLIGHTS: usize = 512;
/// Of these, for one upstream: the others' images shall come through beside it.
const MAX_FLIGHTS_OF_ORIGIN: usize = MAX_FLIGHTS / 4;

/// A fill's client may be silent for so long between two requests.
const LULL: Duration = Duration::from_secs(2);
/// Between two looks of those who wait for a fill to come to what they ask for.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Repositories remembered as being filled; past it, those of old fills go.
const MAX_FILLS: usize = 1024;

/// What a flight is told apart by: upstream with credentials, repository, digest.
pub(super) type FlightKey = (TargetKey, Digest);

/// All blobs on their way.
pub(super) struct Flights {
    counters: Arc<Counters>,
    table: Mutex<HashMap<FlightKey, Arc<Flight>>>,
    landed: Condvar,
    /// When somebody last began or ended to fill something of a repository.
    fills: Mutex<HashMap<TargetKey, Instant>>,
}

/// What [`Flights::board`] gives.
pub(super) enum Boarded {
    /// A flight in progress was joined.
    Joined(Seat),
    /// A new flight: the caller must start its fetch, once.
    New(Seat, Takeoff),
}

/// One blob on its way.
pub(super) struct Flight {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    phase: Phase,
    /// The staged file, once there is one.
    file: Option<Arc<File>>,
    /// The blob's size, once the upstream said it.
    total: Option<u64>,
    /// Bytes in the file.
    written: u64,
    /// Whether somebody who may fill takes part: then it is kept, and goes on when all have left.
    keep: bool,
    /// Whether `keep` has been read for the last time.
    decided: bool,
    /// Seats taken.
    readers: usize,
}

enum Phase {
    Asking,
    Arriving,
    Whole,
    Failed(Failure),
}

/// Why a flight failed, to be told to all of its readers.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    kind: Kind,
    message: String,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            kind: error.kind(),
            message: error.to_string(),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::new(failure.kind, failure.message)
    }
}

impl Flights {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self {
            counters,
            table: Mutex::default(),
            landed: Condvar::new(),
            fills: Mutex::default(),
        }
    }

    /// Blobs on their way, those of them that will be kept, and the seats taken in all.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let table = self.lock();
        let states = table.values().map(|flight| {
            let state = flight.lock();
            (usize::from(state.keep), state.readers)
        });
        let (fills, readers) = states.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        (table.len(), fills, readers)
    }

    /// Joins the flight of `key`, or makes one. `fill`: whether who asks may keep it.
    ///
    /// # Errors
    /// `Unavailable` when too many fetches are in progress.
    pub(super) fn board(self: &Arc<Self>, key: &FlightKey, fill: bool) -> Result<Boarded, Error> {
        let mut table = self.lock();
        while let Some(flight) = table.get(key) {
            if let Some(seat) = Flight::join(flight, fill) {
                note(&self.counters.joined);
                return Ok(Boarded::Joined(seat));
            }
            // It lands without being kept, but who asks now may keep it: it is fetched anew after that.
            table = self
                .landed
                .wait(table)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let (origin, _) = &key.0;
        let of_origin = table.keys().filter(|((other, _), _)| other == origin);
        if table.len() >= MAX_FLIGHTS || of_origin.count() >= MAX_FLIGHTS_OF_ORIGIN {
            let retry_after = Duration::from_secs(5);
            return Err(Error::new(
                Kind::Unavailable { retry_after },
                "too many fetches are in progress",
            )
            .remedy("try again in a few seconds"));
        }
        note(&self.counters.begun);
        let flight = Arc::new(Flight::new(fill));
        table.insert(key.clone(), Arc::clone(&flight));
        let takeoff = Takeoff {
            flights: Arc::clone(self),
            key: key.clone(),
            flight: Arc::clone(&flight),
        };
        Ok(Boarded::New(Seat(flight), takeoff))
    }

    /// A seat in the flight of `key`, if there is one, for somebody who may not fill.
    pub(super) fn join(&self, key: &FlightKey) -> Option<Seat> {
        let seat = Flight::join(self.lock().get(key)?, false)?;
        note(&self.counters.joined);
        Some(seat)
    }

    /// Notes that somebody fills the repository now.
    pub(super) fn note_fill(&self, target: TargetKey) {
        let mut fills = self.fills.lock().unwrap_or_else(PoisonError::into_inner);
        if fills.len() >= MAX_FILLS {
            fills.retain(|_, at| at.elapsed() < LULL);
        }
        fills.insert(target, Instant::now());
    }

    /// Waits a moment if the repository is being filled; `false` where it is not, or not in time.
    pub(super) fn wait_for_fill(&self, target: &TargetKey, deadline: Instant) -> bool {
        let fills = self.fills.lock().unwrap_or_else(PoisonError::into_inner);
        let recently = fills.get(target).is_some_and(|at| at.elapsed() < LULL);
        drop(fills);
        let table = self.lock();
        let mut flights = table.iter().filter(|((of, _), _)| of == target);
        let filling = recently || flights.any(|(_, flight)| flight.lock().keep);
        let left = deadline.saturating_duration_since(Instant::now());
        if !filling || left.is_zero() {
            return false;
        }
        drop(self.landed.wait_timeout(table, left.min(LOOK_AGAIN)));
        true
    }

    /// Waits until no flight is left, for at most `patience`.
    pub(super) fn wait_until_empty(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut table = self.lock();
        while !table.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            table = self
                .landed
                .wait_timeout(table, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<FlightKey, Arc<Flight>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The fetching side of a flight. Dropped without `land`, the flight has failed.
pub(super) struct Takeoff {
    flights: Arc<Flights>,
    key: FlightKey,
    flight: Arc<Flight>,
}

impl Takeoff {
    /// The bytes will arrive in `file`, of which the first `written` are there already.
    pub(super) fn arriving(&self, file: Arc<File>, total: Option<u64>, written: u64) {
        let mut state = self.flight.lock();
        state.phase = Phase::Arriving;
        state.file = Some(file);
        state.total = total;
        state.written = written;
        self.flight.changed.notify_all();
    }

    /// The first `written` bytes are in the file now.
    pub(super) fn written(&self, written: u64) {
        self.flight.lock().written = written;
        self.flight.changed.notify_all();
    }

    /// Whether the fetch should go on: somebody reads, or it is to be kept.
    pub(super) fn is_wanted(&self) -> bool {
        let state = self.flight.lock();
        state.keep || state.readers > 0
    }

    /// Whether somebody reads it now.
    pub(super) fn is_read(&self) -> bool {
        self.flight.lock().readers > 0
    }

    /// Whether somebody who may fill has joined by now.
    pub(super) fn keep_so_far(&self) -> bool {
        self.flight.lock().keep
    }

    /// Whether it is to be kept; from here on nobody can change it by joining.
    pub(super) fn decide_keep(&self) -> bool {
        let mut state = self.flight.lock();
        state.decided = true;
        state.keep
    }

    /// All bytes are there and their hash matches: readers get the last byte.
    pub(super) fn land(self) {
        self.flight.lock().phase = Phase::Whole;
    }

    /// It failed: no reader gets the last byte.
    pub(super) fn fail(self, error: Error) {
        self.flight.lock().phase = Phase::Failed(error.into());
    }
}

impl Drop for Takeoff {
    fn drop(&mut self) {
        let mut state = self.flight.lock();
        if matches!(state.phase, Phase::Asking | Phase::Arriving) {
            let lost = Error::internal("the fetch ended without a result").remedy("see the log");
            state.phase = Phase::Failed(lost.into());
        }
        let filled = state.keep;
        drop(state);
        if filled {
            self.flights.note_fill(self.key.0.clone());
        }
        self.flights.lock().remove(&self.key);
        self.flights.landed.notify_all();
        self.flight.changed.notify_all();
    }
}

impl Flight {
    fn new(keep: bool) -> Self {
        let state = State {
            phase: Phase::Asking,
            file: None,
            total: None,
            written: 0,
            keep,
            decided: false,
            readers: 1,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A seat, or `None` where the flight will not be kept any more though the caller may fill.
    fn join(flight: &Arc<Self>, fill: bool) -> Option<Seat> {
        let mut state = flight.lock();
        if fill && state.decided && !state.keep {
            return None;
        }
        if !state.decided {
            state.keep |= fill;
        }
        state.readers += 1;
        Some(Seat(Arc::clone(flight)))
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reading side of a flight. The upstream client's timeouts bound every wait.
pub(super) struct Seat(Arc<Flight>);

impl Seat {
    /// Waits until the upstream has answered; the blob's size, if it said it. Of nothing at all there is
    /// no last byte to hold back: whether that is right must be known before a head says it.
    ///
    /// # Errors
    /// Why the upstream did not give it.
    pub(super) fn head(&self) -> Result<Option<u64>, Error> {
        let mut state = self.0.lock();
        loop {
            match &state.phase {
                Phase::Asking => state = self.0.wait(state),
                Phase::Arriving if state.total == Some(0) => state = self.0.wait(state),
                Phase::Arriving | Phase::Whole => return Ok(state.total),
                Phase::Failed(failure) => return Err(failure.clone().into()),
            }
        }
    }

    /// Whether somebody who may fill takes part by now.
    pub(super) fn is_kept(&self) -> bool {
        self.0.lock().keep
    }

    /// Reads `length` bytes from `offset` on (`None`: to the end), as they arrive.
    pub(super) fn into_reader(self, offset: u64, length: Option<u64>) -> ArrivingBlob {
        ArrivingBlob {
            seat: self,
            position: offset,
            end: length.map(|length| offset + length),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.lock().readers -= 1;
    }
}

/// Reads a blob while it arrives; fails where the flight fails.
pub(super) struct ArrivingBlob {
    seat: Seat,
    position: u64,
    end: Option<u64>,
}

impl ArrivingBlob {
    /// Waits until there is something to read: the file, and how many bytes from the position on.
    /// Zero at the end.
    fn available(&self) -> io::Result<(Arc<File>, u64)> {
        let flight = &self.seat.0;
        let mut state = flight.lock();
        loop {
            let (readable, whole) = match &state.phase {
                Phase::Asking => (0, false),
                Phase::Arriving => (state.written.saturating_sub(1), false),
                Phase::Whole => (state.written, true),
                Phase::Failed(failure) => return Err(io::Error::other(failure.message.clone())),
            };
            let readable = self.end.map_or(readable, |end| readable.min(end));
            let done = self.end.is_some_and(|end| self.position >= end);
            if let Some(file) = &state.file
                && (readable > self.position || whole || done)
            {
                return Ok((Arc::clone(file), readable.saturating_sub(self.position)));
            }
            state = flight.wait(state);
        }
    }
}

impl Read for ArrivingBlob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (file, available) = self.available()?;
        let wanted = usize::try_from(available)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let read = file.read_at(&mut buffer[..wanted], self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::RepositoryName;
    use crate::proxy::OriginKey;

    fn key(upstream: &str, bytes: &[u8]) -> FlightKey {
        let upstream = crate::oci::RegistryHost::parse(upstream).unwrap();
        let origin = OriginKey(Arc::new((upstream, String::new())));
        let repository = RepositoryName::parse("app").unwrap();
        ((origin, repository), Digest::of(bytes))
    }

    #[test]
    fn one_upstream_leaves_room_for_the_others() {
        let flights = Arc::new(Flights::new(Arc::default()));
        let board = |upstream: &str, number: usize| {
            flights.board(&key(upstream, &number.to_be_bytes()), true)
        };
        let taken: Vec<_> = (0..MAX_FLIGHTS_OF_ORIGIN)
            .map(|number| board("a.example", number).unwrap())
            .collect();
        let refused = board("a.example", MAX_FLIGHTS).err().unwrap();
        assert!(matches!(refused.kind(), Kind::Unavailable { .. }));
        assert!(board("a.example", 0).is_ok(), "joining takes no place");
        assert!(board("b.example", 0).is_ok());
        drop(taken);
        assert!(board("a.example", MAX_FLIGHTS).is_ok());
    }

    #[test]
    fn the_head_of_an_empty_blob_waits_until_its_hash_is_known() {
        let key = key("a.example", b"not empty");
        let Ok(Boarded::New(seat, takeoff)) =
            Arc::new(Flights::new(Arc::default())).board(&key, true)
        else {
            panic!("nobody else flies");
        };
        let file = Arc::new(tempfile::tempfile().unwrap());
        takeoff.arriving(file, Some(0), 0);
        let (told, head) = std::sync::mpsc::channel();
        let waiting = std::thread::spawn(move || told.send(seat.head()));
        assert!(head.recv_timeout(Duration::from_millis(100)).is_err());
        takeoff.fail(Error::new(Kind::UpstreamLied, "it is not empty"));
        let head = head.recv_timeout(Duration::from_secs(30)).unwrap();
        assert_eq!(head.unwrap_err().kind(), Kind::UpstreamLied);
        waiting.join().unwrap().unwrap();
    }
}
