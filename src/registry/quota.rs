//! What a push may still add under the quotas above it: kept bytes count, those that other uploads have staged, and
//! those that others are about to stage at this moment.
//!
//! A request takes its room before it writes, so that requests side by side cannot fill the disk beyond a quota
//! together. That what is kept stays within a quota is made sure of in the transaction that keeps a blob, not here.

use std::collections::HashMap;

use parking_lot::{Mutex, MutexGuard};

use super::{Piece, Registry, limits};
use crate::auth::policy::RepositoryGrant;
use crate::error::{Error, Kind, Result};
use crate::store::StorageLimit;

/// The room that a body takes at once, at most: less where little is left. More is not kept from others for what
/// somebody has only announced.
const STEP: u64 = 8 * 1024 * 1024;
/// And at least.
const SMALLEST_STEP: u64 = 256 * 1024;

/// The room that requests have taken, each under a number of its own.
#[derive(Default)]
pub(super) struct Reservations {
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    last: u64,
    by_number: HashMap<u64, Reserved>,
}

/// What one request has taken.
struct Reserved {
    repository: String,
    /// The upload that it writes to, whose file then is not counted by itself.
    upload: Option<String>,
    /// Where its file may end.
    end: u64,
}

impl Reservations {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock()
    }
}

/// The room of one request; given back when it is dropped. What was staged by then counts by its file.
pub(super) struct Room<'a> {
    registry: &'a Registry,
    grant: &'a RepositoryGrant,
    limits: Vec<StorageLimit>,
    /// `None` where no quota says anything.
    number: Option<u64>,
    /// As far as room is taken.
    end: u64,
    /// Where the file will end, as far as that is known.
    announced: u64,
}

impl Registry {
    /// Takes the first of the room that a piece will need, for a file that is `at` bytes long; fails before anything
    /// is read where there is not as much as its head tells. `upload` is the one that it belongs to.
    pub(super) fn room<'a>(
        &'a self,
        grant: &'a RepositoryGrant,
        upload: Option<&str>,
        at: u64,
        piece: &Piece<'_>,
    ) -> Result<Room<'a>> {
        let announced = piece.announced();
        let limits = limits(grant);
        let mut room = Room {
            registry: self,
            grant,
            limits,
            number: None,
            end: at.saturating_add(announced.unwrap_or(0).min(STEP)),
            announced: at.saturating_add(announced.unwrap_or(0)),
        };
        if room.limits.is_empty() {
            return Ok(room);
        }
        let mut taken = self.reservations.lock();
        let own = Reserved {
            repository: grant.repository().as_str().to_owned(),
            upload: upload.map(str::to_owned),
            end: room.end,
        };
        taken.last = taken.last.wrapping_add(1);
        let number = taken.last;
        taken.by_number.insert(number, own);
        room.number = Some(number);
        // Who adds nothing more was let in before, and others who are on their way do not stand against it.
        let most = room.most(&taken, announced != Some(0));
        drop(taken);
        if room.announced > most? {
            return Err(over_quota(grant));
        }
        Ok(room)
    }

    /// Bytes that uploads at or below a path have staged or may stage, without those of the reservation `own`.
    fn staged_below(&self, path: &str, taken: &Taken, own: Option<u64>) -> Result<u64> {
        let is_below = |repository: &str| {
            let rest = repository.strip_prefix(path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let mut bytes: u64 = 0;
        for (number, reserved) in &taken.by_number {
            if own != Some(*number) && is_below(&reserved.repository) {
                bytes = bytes.saturating_add(reserved.end);
            }
        }
        let is_reserved = |id: &str| {
            let mut reserved = taken.by_number.values();
            reserved.any(|reserved| reserved.upload.as_deref() == Some(id))
        };
        for id in self.store.registry.uploads_below(path)? {
            if !is_reserved(&id)
                && let Some(file) = self.store.blobs.upload(&id)?
            {
                bytes = bytes.saturating_add(file.length);
            }
        }
        Ok(bytes)
    }
}

impl Room<'_> {
    /// Lets the file grow to `to` bytes, and takes more room if need be.
    ///
    /// # Errors
    /// `Denied` beyond a quota.
    pub(super) fn let_in(&mut self, to: u64) -> Result<()> {
        let Some(number) = self.number.filter(|_| to > self.end) else {
            return Ok(());
        };
        let mut taken = self.registry.reservations.lock();
        let most = self.most(&taken, true)?;
        let left = most.checked_sub(to).ok_or_else(|| over_quota(self.grant))?;
        let step = (left / 16).clamp(SMALLEST_STEP, STEP).min(left);
        let end = to.saturating_add(step);
        self.end = match self.announced {
            announced if announced >= to => end.min(announced),
            _ => end,
        };
        if let Some(reserved) = taken.by_number.get_mut(&number) {
            reserved.end = self.end;
        }
        Ok(())
    }

    /// Where the file must end.
    fn most(&self, taken: &Taken, others_count: bool) -> Result<u64> {
        let mut most = u64::MAX;
        for limit in &self.limits {
            let mut used = self.registry.store.registry.usage(&limit.path)?;
            if others_count {
                let staged = self
                    .registry
                    .staged_below(&limit.path, taken, self.number)?;
                used = used.saturating_add(staged);
            }
            most = most.min(limit.max_bytes.saturating_sub(used));
        }
        Ok(most)
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.registry.reservations.lock().by_number.remove(&number);
        }
    }
}

fn over_quota(grant: &RepositoryGrant) -> Error {
    let quotas: Vec<String> = grant
        .quotas()
        .iter()
        .map(|quota| format!("{} ({} bytes)", quota.path, quota.max_bytes))
        .collect();
    Error::new(
        Kind::Denied,
        format!(
            "this push does not fit into the storage quota of {}, in which unfinished uploads count too",
            quotas.join(" and ")
        ),
    )
    .remedy("delete images there, or have the quota raised")
}
