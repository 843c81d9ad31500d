//! The room that the cache may take: fills ask for it as they grow, and whoever makes room hears of it.
//!
//! Nothing goes for bytes that are only announced: an upstream can announce any length. A fill whose announced length
//! exceeds a limit is not kept; any other takes its room in steps, as its bytes come.
//!
//! This is about limits that somebody set. That the disk itself does not run full is seen to where files are staged.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::{GroupId, RepositoryId, Store};
use crate::error::Result;
use crate::oci::RegistryHost;

/// How much a fill takes at once.
const STEP: u64 = 16 * 1024 * 1024;
/// How long a fill waits until room is made for it.
const WAIT: Duration = Duration::from_secs(3);
/// How long nobody asks again after nothing could be made.
const FUTILE_FOR: Duration = Duration::from_secs(10);

/// A part of the cache that can have a limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    All,
    /// What came from upstreams of this name.
    Upstream(RegistryHost),
    /// What the group has pulled.
    Group(GroupId),
}

/// What room is asked of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Limit {
    /// The most bytes of a part of the cache.
    Size(Scope),
    /// The bytes of the filesystem that stay free.
    MinFree,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(Scope::All) => f.write_str("cache.max_size"),
            Self::Size(Scope::Upstream(name)) => write!(f, "the max_size of the upstream {name}"),
            Self::Size(Scope::Group(group)) => {
                write!(f, "the max_size of the group with id {}", group.0)
            }
            Self::MinFree => f.write_str("cache.min_free"),
        }
    }
}

/// The bytes that fills wait for, the most that one of them waits for at each limit.
pub type Asked = HashMap<Limit, u64>;

/// How much the cache may take, as far as somebody said so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoomLimits {
    /// Bytes of all that is cached.
    pub max_size: Option<u64>,
    /// Bytes of the filesystem that stay free.
    pub min_free: u64,
    pub parts: Vec<LimitedPart>,
}

/// A part of the cache with a limit of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitedPart {
    pub scope: Scope,
    pub max_size: u64,
    /// What was kept when it was last added up, and since.
    pub used: u64,
}

/// The limits, the fills in progress, and who waits for room.
#[derive(Default)]
pub struct CacheRoom {
    state: Mutex<State>,
    /// A fill asks for room.
    asked: Condvar,
    /// It was looked what can go.
    answered: Condvar,
}

#[derive(Default)]
struct State {
    limits: RoomLimits,
    /// Bytes that fills in progress have taken.
    filling: HashMap<Scope, u64>,
    /// How many fills there are in each repository.
    filled: HashMap<RepositoryId, usize>,
    asked: Asked,
    /// Until when it is known that nothing can go.
    futile: HashMap<Limit, Instant>,
    /// Whether somebody makes room: otherwise nobody waits for it.
    is_watched: bool,
}

/// The room of one fill, which is given back when it is dropped: by then its row says what it takes.
pub struct FillRoom {
    room: Arc<CacheRoom>,
    scopes: [Scope; 3],
    repository: Option<RepositoryId>,
    /// How long the blob will be, as far as the upstream says so.
    total: Option<u64>,
    /// How long it may become with the room that it has taken.
    end: u64,
}

impl CacheRoom {
    /// Sets the limits of all that is cached; gives them with those of its parts.
    pub fn set_limits(&self, max_size: Option<u64>, min_free: u64) -> RoomLimits {
        let mut state = self.state.lock();
        state.limits.max_size = max_size;
        state.limits.min_free = min_free;
        state.limits.clone()
    }

    pub fn limits(&self) -> RoomLimits {
        self.state.lock().limits.clone()
    }

    /// Sets the parts that have limits of their own.
    pub fn set_parts(&self, parts: Vec<LimitedPart>) {
        self.state.lock().limits.parts = parts;
    }

    /// Waits until a fill asks for room, and for no longer than `period`; gives what is asked for.
    pub fn wait(&self, period: Duration) -> Asked {
        let mut state = self.state.lock();
        state.is_watched = true;
        if state.asked.is_empty() {
            self.asked.wait_for(&mut state, period);
        }
        state.asked.clone()
    }

    /// The bytes that somebody waits for at a limit.
    pub fn asked(&self, limit: &Limit) -> Option<u64> {
        self.state.lock().asked.get(limit).copied()
    }

    /// Tells those who wait at a limit that it was looked what can go, and whether that was as much as they asked for.
    pub fn answer(&self, limit: &Limit, was_enough: bool) {
        let mut state = self.state.lock();
        state.asked.remove(limit);
        state.futile.remove(limit);
        if let (false, Some(until)) = (was_enough, Instant::now().checked_add(FUTILE_FOR)) {
            state.futile.insert(limit.clone(), until);
        }
        self.answered.notify_all();
    }

    /// Bytes that fills in progress have taken of a part.
    pub fn filling(&self, scope: &Scope) -> u64 {
        self.state.lock().filling_of(scope)
    }

    /// The repositories that something is being fetched for: their images stay.
    pub fn filled(&self) -> HashSet<RepositoryId> {
        self.state.lock().filled.keys().copied().collect()
    }

    /// Asks for so many bytes, and waits until it was looked what can go; false where it is known that nothing can.
    fn ask(&self, limit: &Limit, bytes: u64) -> bool {
        let mut state = self.state.lock();
        let is_futile = state
            .futile
            .get(limit)
            .is_some_and(|until| *until > Instant::now());
        if is_futile || !state.is_watched {
            return false;
        }
        let asked = state.asked.entry(limit.clone()).or_default();
        *asked = bytes.max(*asked);
        self.asked.notify_all();
        let waits = |state: &mut State| state.asked.contains_key(limit);
        self.answered.wait_while_for(&mut state, waits, WAIT);
        true
    }

    /// The limit that the whole blob would exceed by itself.
    fn limit_below(&self, fill: &FillRoom) -> Option<Limit> {
        let total = fill.total?;
        let state = self.state.lock();
        let limits = &state.limits;
        if limits.max_size.is_some_and(|most| total > most) {
            return Some(Limit::Size(Scope::All));
        }
        let mut parts = limits.parts.iter();
        let part = parts.find(|part| fill.scopes.contains(&part.scope) && total > part.max_size);
        part.map(|part| Limit::Size(part.scope.clone()))
    }
}

impl State {
    fn filling_of(&self, scope: &Scope) -> u64 {
        self.filling.get(scope).copied().unwrap_or_default()
    }

    fn take(&mut self, scopes: &[Scope], bytes: u64) {
        for scope in scopes {
            let taken = self.filling.entry(scope.clone()).or_default();
            *taken = taken.saturating_add(bytes);
        }
    }

    /// The limit that leaves no room for so many bytes more, where `used` are cached and `free` on the disk.
    fn refusal(&self, fill: &FillRoom, bytes: u64, used: u64, free: u64) -> Option<Limit> {
        let RoomLimits {
            max_size,
            min_free,
            parts,
        } = &self.limits;
        let exceeds = |scope: &Scope, used: u64, most: u64| {
            let taken = used.saturating_add(self.filling_of(scope));
            taken.saturating_add(bytes) > most
        };
        if max_size.is_some_and(|most| exceeds(&Scope::All, used, most)) {
            return Some(Limit::Size(Scope::All));
        }
        let mut parts = parts
            .iter()
            .filter(|part| fill.scopes.contains(&part.scope));
        if let Some(part) = parts.find(|part| exceeds(&part.scope, part.used, part.max_size)) {
            return Some(Limit::Size(part.scope.clone()));
        }
        (free.saturating_sub(bytes) < *min_free).then_some(Limit::MinFree)
    }
}

impl Store {
    /// A fill from an upstream and for a group, of which `staged` bytes lie on the disk, and which will be `total` bytes
    /// long as far as the upstream says so.
    pub fn begin_fill(
        &self,
        staged: u64,
        total: Option<u64>,
        upstream: &RegistryHost,
        group: GroupId,
        repository: Option<RepositoryId>,
    ) -> FillRoom {
        let fill = FillRoom {
            room: Arc::clone(&self.room),
            scopes: [
                Scope::All,
                Scope::Upstream(upstream.clone()),
                Scope::Group(group),
            ],
            repository,
            total,
            end: staged,
        };
        let mut state = self.room.state.lock();
        state.take(&fill.scopes, staged);
        if let Some(repository) = repository {
            let count = state.filled.entry(repository).or_default();
            *count = count.saturating_add(1);
        }
        drop(state);
        fill
    }

    /// Lets a fill become `to` bytes long. Where there is no room for that, it is made if something may go; otherwise this
    /// gives the limit that is in the way, and nothing of the blob is kept.
    ///
    /// # Errors
    /// `Sql`, `Io`.
    pub fn grow_fill(&self, fill: &mut FillRoom, to: u64) -> Result<Option<Limit>> {
        if to <= fill.end {
            return Ok(None);
        }
        if let Some(limit) = self.room.limit_below(fill) {
            return Ok(Some(limit));
        }
        let end = to.max(fill.end.saturating_add(STEP));
        let end = fill.total.map_or(end, |total| end.min(total).max(to));
        let bytes = end.saturating_sub(fill.end);
        let Some(limit) = self.take_room(fill, end)? else {
            return Ok(None);
        };
        match self.room.ask(&limit, bytes) {
            true => self.take_room(fill, end),
            false => Ok(Some(limit)),
        }
    }

    fn take_room(&self, fill: &mut FillRoom, end: u64) -> Result<Option<Limit>> {
        let bytes = end.saturating_sub(fill.end);
        let used = self.cache.used()?;
        let (free, _) = self.blobs.space()?;
        let mut state = self.room.state.lock();
        let refusal = state.refusal(fill, bytes, used, free);
        if refusal.is_none() {
            state.take(&fill.scopes, bytes);
            fill.end = end;
        }
        Ok(refusal)
    }
}

impl FillRoom {
    /// Its rows are written, with so many bytes.
    pub fn kept(self, bytes: u64) {
        let mut state = self.room.state.lock();
        for part in &mut state.limits.parts {
            if self.scopes.contains(&part.scope) {
                part.used = part.used.saturating_add(bytes);
            }
        }
    }
}

impl Drop for FillRoom {
    fn drop(&mut self) {
        let mut state = self.room.state.lock();
        for scope in &self.scopes {
            if let Some(taken) = state.filling.get_mut(scope) {
                *taken = taken.saturating_sub(self.end);
                if *taken == 0 {
                    state.filling.remove(scope);
                }
            }
        }
        let Some(repository) = self.repository else {
            return;
        };
        if let Some(count) = state.filled.get_mut(&repository) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                state.filled.remove(&repository);
            }
        }
    }
}
