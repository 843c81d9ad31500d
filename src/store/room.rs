//! The room that the cache may take: fills ask for it before they are kept, and whoever makes room hears of it.
//!
//! This is about limits that somebody set. That the disk itself does not run full is seen to where files are staged.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::{GroupId, RepositoryId, Store};
use crate::error::Result;
use crate::oci::RegistryHost;

/// How long a fill waits until room is made for it.
const WAIT: Duration = Duration::from_secs(3);
/// How long nobody asks again after nothing could be made.
const FUTILE_FOR: Duration = Duration::from_secs(10);

/// A part of the cache that has a limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    All,
    /// What came from upstreams of this name.
    Upstream(RegistryHost),
    /// What the group has pulled.
    Group(GroupId),
}

/// How much the cache may take, as far as somebody said so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoomLimits {
    /// Bytes of all that is cached.
    pub max_size: Option<u64>,
    /// Bytes of the filesystem that stay free.
    pub min_free: u64,
    /// Parts with a limit of their own, and what they have used.
    pub parts: Vec<Part>,
}

/// A limit for a part of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub scope: Scope,
    pub max_size: u64,
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
    /// Bytes of fills in progress.
    filling: u64,
    /// How many there are in each repository.
    filled: HashMap<RepositoryId, usize>,
    /// The bytes that somebody waits for.
    wanted: Option<u64>,
    answers: u64,
    /// Until when it is known that nothing can go.
    futile_until: Option<Instant>,
    /// Whether somebody makes room: otherwise nobody waits for it.
    is_watched: bool,
}

/// The room of one fill, which is given back when it is dropped: by then its row says what it takes.
pub struct FillRoom {
    room: Arc<CacheRoom>,
    bytes: u64,
    scopes: [Scope; 2],
    repository: Option<RepositoryId>,
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
    pub fn set_parts(&self, parts: Vec<Part>) {
        self.state.lock().limits.parts = parts;
    }

    /// Waits until a fill asks for room, and for no longer than `period`; gives the bytes that are asked for.
    pub fn wait(&self, period: Duration) -> Option<u64> {
        let mut state = self.state.lock();
        state.is_watched = true;
        if state.wanted.is_none() {
            self.asked.wait_for(&mut state, period);
        }
        state.wanted
    }

    /// Tells those who wait that it was looked what can go; `was_enough`: whether it was as much as was asked for.
    pub fn answer(&self, was_enough: bool) {
        let mut state = self.state.lock();
        state.wanted = None;
        state.answers = state.answers.wrapping_add(1);
        state.futile_until = (!was_enough)
            .then(|| Instant::now().checked_add(FUTILE_FOR))
            .flatten();
        self.answered.notify_all();
    }

    /// Bytes of fills in progress.
    pub fn filling(&self) -> u64 {
        self.state.lock().filling
    }

    /// The repositories that something is being fetched for: their images stay.
    pub fn filled(&self) -> HashSet<RepositoryId> {
        self.state.lock().filled.keys().copied().collect()
    }

    /// Asks for so many bytes, and waits until it was looked what can go; false where it is known that nothing can.
    fn ask(&self, bytes: u64) -> bool {
        let mut state = self.state.lock();
        let is_futile = state
            .futile_until
            .is_some_and(|until| until > Instant::now());
        if is_futile || !state.is_watched {
            return false;
        }
        state.wanted = Some(state.wanted.unwrap_or_default().saturating_add(bytes));
        self.asked.notify_all();
        let answers = state.answers;
        let waits = |state: &mut State| state.answers == answers;
        self.answered.wait_while_for(&mut state, waits, WAIT);
        true
    }
}

impl Store {
    /// Takes room for a fill of so many bytes from an upstream and for a group; where there is none, room is made if
    /// something may go. `None`: then what comes is passed on and not kept.
    ///
    /// # Errors
    /// `Sql`, `Io`.
    pub fn room_for_fill(
        &self,
        bytes: u64,
        upstream: &RegistryHost,
        group: GroupId,
        repository: Option<RepositoryId>,
    ) -> Result<Option<FillRoom>> {
        let scopes = [Scope::Upstream(upstream.clone()), Scope::Group(group)];
        if let Some(room) = self.take_room(bytes, &scopes, repository)? {
            return Ok(Some(room));
        }
        match self.room.ask(bytes) {
            true => self.take_room(bytes, &scopes, repository),
            false => Ok(None),
        }
    }

    fn take_room(
        &self,
        bytes: u64,
        scopes: &[Scope; 2],
        repository: Option<RepositoryId>,
    ) -> Result<Option<FillRoom>> {
        let used = self.cache.used()?;
        let (free, _) = self.blobs.space()?;
        let free = free.saturating_sub(self.blobs.room_taken());
        let mut state = self.room.state.lock();
        let State {
            limits,
            filling,
            filled,
            ..
        } = &mut *state;
        let all = used.saturating_add(*filling).saturating_add(bytes);
        let fits = limits.max_size.is_none_or(|most| all <= most)
            && (limits.min_free == 0 || free.saturating_sub(bytes) >= limits.min_free)
            && of(&limits.parts, scopes)
                .all(|part| part.used.saturating_add(bytes) <= part.max_size);
        if !fits {
            return Ok(None);
        }
        *filling = filling.saturating_add(bytes);
        for part in limits
            .parts
            .iter_mut()
            .filter(|part| scopes.contains(&part.scope))
        {
            part.used = part.used.saturating_add(bytes);
        }
        if let Some(repository) = repository {
            let count = filled.entry(repository).or_default();
            *count = count.saturating_add(1);
        }
        Ok(Some(FillRoom {
            room: Arc::clone(&self.room),
            bytes,
            scopes: scopes.clone(),
            repository,
        }))
    }
}

impl FillRoom {
    /// What was not kept takes nothing.
    pub fn not_kept(self) {
        let mut state = self.room.state.lock();
        for part in &mut state.limits.parts {
            if self.scopes.contains(&part.scope) {
                part.used = part.used.saturating_sub(self.bytes);
            }
        }
    }
}

impl Drop for FillRoom {
    fn drop(&mut self) {
        let mut state = self.room.state.lock();
        state.filling = state.filling.saturating_sub(self.bytes);
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

fn of<'a>(parts: &'a [Part], scopes: &'a [Scope]) -> impl Iterator<Item = &'a Part> {
    parts.iter().filter(|part| scopes.contains(&part.scope))
}
