//! Fetching again what was found damaged and noted in the store, for the box itself. What good bytes have come for, by a
//! pull or a push, is done; what its upstream has no more is lost; everything else is tried again later.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Appliance;
use crate::auth::Grant;
use crate::error::Result;
use crate::oci::Digest;
use crate::proxy::Again;
use crate::store::{Repair, Repaired, digest_of};
use crate::time::Timestamp;

/// How long after it failed it is tried again.
const AGAIN: Duration = Duration::from_secs(5 * 60);
/// How long it is said that something was lost.
const LOST_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Leaves what is noted to whoever holds this.
pub struct Held<'a>(&'a AtomicBool);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// When each was last tried; held by whoever fetches.
#[derive(Default)]
pub(super) struct Tried {
    at: HashMap<Digest, Instant>,
    /// Whether there is nothing left to do, as far as the last run knows.
    is_idle: bool,
}

impl Appliance {
    /// Whether somebody waits for the disk or the network at this moment.
    pub fn is_busy(&self) -> bool {
        let requests = self.observed.load().is_some_and(|load| load.busy > 0);
        requests || self.proxy.in_flight().blobs > 0
    }

    /// From now on only [`Self::fetch_damaged`] `at_once` fetches: so whoever looks for damage can tell what became of it.
    pub fn hold_repairs(&self) -> Held<'_> {
        self.repairs_held.store(true, Ordering::Release);
        Held(&self.repairs_held)
    }

    /// Fetches again what is noted: all of it `at_once`, or what was not tried lately; what became of it.
    ///
    /// # Errors
    /// `Sql`, `Full`: the rest is tried the next time.
    pub fn fetch_damaged(&self, at_once: bool) -> Result<Repaired> {
        let mut repaired = Repaired::default();
        if !at_once && self.repairs_held.load(Ordering::Acquire) {
            return Ok(repaired);
        }
        let mut tried = self.repairing.lock();
        if tried.is_idle && !at_once && !self.store.blobs.has_damaged() {
            return Ok(repaired);
        }
        let notes = self.store.cache.repairs()?;
        tried.is_idle = notes.iter().all(|note| note.lost_at.is_some());
        for note in notes {
            if let Some(lost_at) = note.lost_at {
                self.forget_loss(&note, lost_at)?;
                continue;
            }
            let digest = &note.digest;
            let last = tried.at.get(digest);
            if !at_once && last.is_some_and(|at| at.elapsed() < AGAIN) && self.is_damaged(digest) {
                continue;
            }
            // After a start nothing is known of what is in place, and somebody may have put a good file there.
            let look = at_once || last.is_none();
            tried.at.insert(digest.clone(), Instant::now());
            if self.fetch_noted(&note, look, &mut repaired)? {
                tried.at.remove(digest);
            }
        }
        Ok(repaired)
    }

    fn is_damaged(&self, digest: &Digest) -> bool {
        self.store.blobs.is_known_damaged(digest)
    }

    /// Whether nothing is left to do for it.
    fn fetch_noted(&self, note: &Repair, look: bool, repaired: &mut Repaired) -> Result<bool> {
        let (store, digest) = (&self.store, &note.digest);
        let what = format!("{digest} of {}", note.images);
        if !self.is_damaged(digest) || (look && self.is_sound(digest)) {
            store.end_repair(digest, true)?;
            tracing::info!("{what} was damaged, and is whole again");
            repaired.fetched.push(what);
            return Ok(true);
        }
        let mut why = Vec::new();
        let mut is_gone = true;
        let places = store.cache.fetched_from(digest)?;
        for from in &places {
            match self.proxy.fetch_again(&Grant::of_the_box(), from, digest) {
                Again::Fetched if !self.is_damaged(digest) => {
                    store.end_repair(digest, true)?;
                    tracing::info!("{what} was damaged, and was fetched again");
                    repaired.fetched.push(what);
                    return Ok(true);
                }
                Again::Fetched => {
                    is_gone = false;
                    why.push("it came, and could not be kept".to_owned());
                }
                Again::Gone(sentence) => why.push(sentence),
                Again::NotNow(sentence) => {
                    is_gone = false;
                    why.push(sentence);
                }
            }
        }
        let is_pushed = store.is_pushed(digest)?;
        if is_pushed && is_gone {
            repaired.pushed.push(what);
            return Ok(false);
        }
        let why = why.join("; ");
        if places.is_empty() {
            store.end_repair(digest, false)?;
            return Ok(true);
        }
        if is_gone {
            store.give_up_repair(note, Timestamp::now())?;
            tracing::error!("{what} was damaged, and is lost: {why}");
            repaired.lost.push(format!("{what}: {why}"));
            return Ok(true);
        }
        tracing::warn!("{what} is damaged, and cannot be fetched again now: {why}");
        repaired.waiting.push(format!("{what}: {why}"));
        Ok(false)
    }

    /// A loss that somebody has made good since, or that is long ago, is not told of any more.
    fn forget_loss(&self, note: &Repair, lost_at: Timestamp) -> Result<()> {
        let is_back = self.store.cache.blob_anywhere(&note.digest)?.is_some();
        if is_back || Timestamp::now().since(lost_at) > LOST_FOR {
            self.store.end_repair(&note.digest, false)?;
        }
        Ok(())
    }

    /// Whether what lies there is what it should be.
    fn is_sound(&self, digest: &Digest) -> bool {
        let opened = self.store.blobs.open_even_damaged(digest).ok().flatten();
        opened.is_some_and(|blob| {
            digest_of(&blob.content(), digest.algorithm()).is_ok_and(|found| found == *digest)
        })
    }
}
