//! The scrub: reads every byte that is kept once in a period, a directory at a time, spread over all of it.
//!
//! Its place is noted, so that a restart goes on where it was. It pauses while the box is busy, unless it would not come
//! round in time. The time comes from the caller.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::repair::set_aside;
use super::verify::verify_directory;
use crate::error::Result;
use crate::store::{BlobPrefix, ScrubPlace, Store};
use crate::time::Timestamp;

/// What a scrub goes by.
pub struct Pace<'a> {
    /// How often every byte is read.
    pub period: Duration,
    /// Whether somebody waits for the disk or the network at this moment.
    pub is_busy: &'a (dyn Fn() -> bool + Sync),
    /// Whether to stop.
    pub is_stopping: &'a (dyn Fn() -> bool + Sync),
}

/// Between two looks whether the box is still busy.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// By which part of the period it may be late before it does not pause any more.
const LATE: u64 = 10;

/// Reads the directories that are due; gives their number.
///
/// # Errors
/// `Io`, `Sql`: it goes on from there the next time.
pub fn scrub(
    store: &Store,
    pace: &Pace<'_>,
    clock: &(dyn Fn() -> Timestamp + Sync),
) -> Result<usize> {
    let directories = BlobPrefix::all();
    let mut read = 0_usize;
    while !(pace.is_stopping)() {
        let now = clock();
        let place = match store.cache.scrub_place()? {
            // Not what was noted while the clock was ahead.
            Some(place) if place.begun_at <= now.plus(pace.period) => place,
            _ => ScrubPlace::begin(now),
        };
        let due = due_at(place, pace.period, directories.len());
        let Some(prefix) = directories.get(place.next).filter(|_| due <= now) else {
            break;
        };
        let patience = pace.period.as_secs().checked_div(LATE).unwrap_or(0);
        let may_pause = || clock().since(due).as_secs() < patience;
        let seen = AtomicU64::new(0);
        let progress = |done: u64, _| {
            let before = seen.swap(done, Ordering::Relaxed);
            store.repairs.read.add(done.saturating_sub(before));
            while may_pause() && (pace.is_busy)() && !(pace.is_stopping)() {
                std::thread::sleep(LOOK_AGAIN);
            }
        };
        progress(0, 0);
        verify_directory(store, *prefix, &progress, &|digest, seen| {
            set_aside(store, digest, seen, now);
            None
        })?;
        if (pace.is_stopping)() {
            break;
        }
        let next = place.next.saturating_add(1);
        let place = if next < directories.len() {
            ScrubPlace { next, ..place }
        } else {
            tracing::info!("the scrub has read everything that is kept once more");
            ScrubPlace {
                // A round that was missed is not made up for.
                begun_at: place.begun_at.plus(pace.period).max(now),
                next: 0,
                ended_at: Some(now),
            }
        };
        store.cache.note_scrub_place(place)?;
        read = read.saturating_add(1);
    }
    Ok(read)
}

/// When the next directory is due.
fn due_at(place: ScrubPlace, period: Duration, directories: usize) -> Timestamp {
    let part = u64::try_from(place.next).unwrap_or(u64::MAX);
    let after = period.as_secs().saturating_mul(part);
    let after = after.checked_div(directories as u64).unwrap_or(0);
    place.begun_at.plus(Duration::from_secs(after))
}
