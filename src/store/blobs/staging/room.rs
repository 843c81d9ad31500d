//! The room on the disk for files on their way.
//!
//! A file takes its room before it is written, and what is taken counts at once: several at a time cannot fill
//! the disk together, down to what the databases need. Whoever knows how long the file will be takes that much
//! beforehand, so that what cannot fit is not begun; whoever does not takes more as it goes. What has been written
//! is what the filesystem counts, in files that are gone from their directory too, and needs no entry here.
//!
//! What is only announced takes at most half of the room that there is. Beyond that, and where the length is not
//! known, a file takes a small part of what is left at a time: so nobody keeps it from others by announcing much
//! and sending nothing.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::error::{Error, Kind, Result};
use crate::store::Space;

/// What stays free, for the databases and their logs; of a small disk a sixteenth.
const RESERVE: u64 = 64 * 1024 * 1024;
/// The room that a file takes at once while it grows, at most: less where little is left.
const STEP: u64 = 8 * 1024 * 1024;
/// And at least.
const SMALLEST_STEP: u64 = 256 * 1024;

/// What the files on their way have taken of one filesystem.
pub(in crate::store::blobs) struct Ledger {
    space: Box<dyn Fn() -> Result<Space> + Send + Sync>,
    /// Bytes that are taken and not written yet.
    taken: Mutex<u64>,
}

impl Ledger {
    /// Of the filesystem that `directory` lies in.
    pub(super) fn new(directory: PathBuf) -> Self {
        Self::of(move || Space::of(&directory))
    }

    fn of(space: impl Fn() -> Result<Space> + Send + Sync + 'static) -> Self {
        Self {
            space: Box::new(space),
            taken: Mutex::default(),
        }
    }

    /// Bytes that are taken and not written yet.
    pub(in crate::store::blobs) fn taken(&self) -> u64 {
        *self.lock()
    }

    /// Whether so many bytes more could be taken now, and any at all.
    pub(in crate::store::blobs) fn has_room_for(&self, bytes: u64) -> bool {
        let taken = self.lock();
        self.left(*taken) >= bytes.max(1)
    }

    /// What can be taken beside what is `taken`. A disk that does not say how much is free is tried.
    fn left(&self, taken: u64) -> u64 {
        (self.space)().map_or(u64::MAX, |space| {
            let free = space.free.saturating_sub(reserve(space.size));
            free.saturating_sub(taken)
        })
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.taken.lock()
    }
}

/// The room of one file; what it has not used is given back when it is dropped.
pub(super) struct Room {
    ledger: Arc<Ledger>,
    /// How long the file is.
    written: u64,
    /// How long it may become with what is taken; never less than `written`.
    end: u64,
    /// How long it will be, as far as that is known.
    expected: u64,
}

impl Room {
    /// For a file that is `written` bytes long; takes nothing yet.
    pub(super) fn new(ledger: &Arc<Ledger>, written: u64) -> Self {
        Self {
            ledger: Arc::clone(ledger),
            written,
            end: written,
            expected: written,
        }
    }

    /// Takes room for a file that will be `length` bytes long in all; `None`: nobody knows.
    ///
    /// # Errors
    /// `Full` where there is not as much.
    pub(super) fn expect(&mut self, length: Option<u64>) -> Result<()> {
        let Some(length) = length else {
            return self.let_in(self.written.saturating_add(1));
        };
        self.expected = length;
        let needed = length.saturating_sub(self.end);
        self.take(needed, |left, taken| {
            let ahead = (left.saturating_add(taken) / 2).saturating_sub(taken);
            needed.min(ahead.max(step(left)))
        })
    }

    /// Lets the file grow to `to` bytes, and takes more room if need be.
    ///
    /// # Errors
    /// `Full` where there is none.
    pub(super) fn let_in(&mut self, to: u64) -> Result<()> {
        if to <= self.end {
            return Ok(());
        }
        let needed = to.saturating_sub(self.end);
        let missing = self.expected.saturating_sub(self.end);
        self.take(needed, |left, _| {
            let more = needed.saturating_add(step(left));
            if missing >= needed {
                more.min(missing)
            } else {
                more
            }
        })
    }

    /// The file is `to` bytes long now.
    pub(super) fn wrote(&mut self, to: u64) {
        let mut taken = self.ledger.lock();
        let before = self.end.saturating_sub(self.written);
        self.written = self.written.max(to);
        self.end = self.end.max(self.written);
        let after = self.end.saturating_sub(self.written);
        *taken = taken.saturating_sub(before).saturating_add(after);
    }

    /// Takes what `wanted` makes of what is left and taken, where `needed` bytes are there.
    fn take(&mut self, needed: u64, wanted: impl FnOnce(u64, u64) -> u64) -> Result<()> {
        let mut taken = self.ledger.lock();
        let left = self.ledger.left(*taken);
        if needed > left {
            return Err(Error::new(
                Kind::Full,
                format!("the disk has no room for {needed} bytes more, beside what is kept free"),
            )
            .remedy("free space on its filesystem"));
        }
        let more = wanted(left, *taken).min(left);
        *taken = taken.saturating_add(more);
        self.end = self.end.saturating_add(more);
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut taken = self.ledger.lock();
        *taken = taken.saturating_sub(self.end.saturating_sub(self.written));
    }
}

/// What files leave free of a filesystem of that size, for the databases and their logs.
pub fn reserve(filesystem: u64) -> u64 {
    RESERVE.min(filesystem / 16)
}

fn step(left: u64) -> u64 {
    (left / 256).clamp(SMALLEST_STEP, STEP)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const MIB: u64 = 1024 * 1024;
    const SIZE: u64 = 10 * 1024 * MIB;

    /// A disk with so much room beside the reserve.
    struct Disk {
        ledger: Arc<Ledger>,
        free: Arc<AtomicU64>,
    }

    impl Disk {
        fn with(room: u64) -> Self {
            let free = Arc::new(AtomicU64::new(room + RESERVE));
            let space = {
                let free = Arc::clone(&free);
                move || {
                    Ok(Space {
                        free: free.load(Ordering::SeqCst),
                        size: SIZE,
                        free_inodes: None,
                        is_read_only: false,
                    })
                }
            };
            Self {
                ledger: Arc::new(Ledger::of(space)),
                free,
            }
        }

        fn room(&self, written: u64) -> Room {
            Room::new(&self.ledger, written)
        }

        /// Writes `bytes` more, if it is let in.
        fn write(&self, room: &mut Room, bytes: u64) -> Result<()> {
            let to = room.written + bytes;
            room.let_in(to)?;
            let free = self.free.fetch_sub(bytes, Ordering::SeqCst);
            assert!(free - bytes >= RESERVE, "the reserve holds");
            room.wrote(to);
            Ok(())
        }

        /// Writes MiB after MiB until it is not let in any more; how many.
        fn fill(&self, room: &mut Room) -> u64 {
            let mut count = 0;
            while self.write(room, MIB).is_ok() {
                count += 1;
            }
            count
        }
    }

    #[test]
    fn what_several_take_counts_together_and_comes_back() {
        let disk = Disk::with(100 * MIB);
        let (mut first, mut second) = (disk.room(0), disk.room(0));
        first.expect(Some(40 * MIB)).unwrap();
        assert_eq!(disk.ledger.taken(), 40 * MIB);
        let refused = second.expect(Some(61 * MIB)).unwrap_err();
        assert_eq!(refused.kind(), Kind::Full);
        assert_eq!(disk.ledger.taken(), 40 * MIB, "nothing of what was refused");
        // What is written counts by the filesystem, and not twice.
        disk.write(&mut first, 30 * MIB).unwrap();
        assert_eq!(disk.ledger.taken(), 10 * MIB);
        second.expect(Some(60 * MIB)).unwrap();
        drop(first);
        drop(second);
        assert_eq!(disk.ledger.taken(), 0);
        assert!(disk.ledger.has_room_for(70 * MIB));
        assert!(!disk.ledger.has_room_for(70 * MIB + 1));
    }

    #[test]
    fn a_resumed_file_takes_what_it_still_needs() {
        let disk = Disk::with(20 * MIB);
        let mut resumed = disk.room(95 * MIB);
        resumed.expect(Some(100 * MIB)).unwrap();
        assert_eq!(disk.ledger.taken(), 5 * MIB);
        assert!(disk.room(95 * MIB).expect(Some(120 * MIB)).is_err());
    }

    #[test]
    fn files_of_unknown_length_grow_to_the_reserve_and_no_further() {
        for count in [1, 2, 7] {
            let disk = Disk::with(50 * MIB);
            let mut rooms: Vec<_> = (0..count).map(|_| disk.room(0)).collect();
            for room in &mut rooms {
                room.expect(None).unwrap();
            }
            // In turn, as they would.
            while rooms
                .iter_mut()
                .any(|room| disk.write(room, MIB / 4).is_ok())
            {}
            let left = disk.free.load(Ordering::SeqCst) - RESERVE;
            assert!(left < STEP, "{count}: {left} bytes were not used");
        }
    }

    #[test]
    fn what_is_only_announced_keeps_nobody_from_writing() {
        let disk = Disk::with(1000 * MIB);
        let announced: Vec<_> = (0..100)
            .map_while(|_| {
                let mut room = disk.room(0);
                room.expect(Some(400 * MIB)).ok().map(|()| room)
            })
            .collect();
        assert!(announced.len() > 1);
        let mut written = disk.room(0);
        written.expect(Some(100 * MIB)).unwrap();
        assert!(disk.fill(&mut written) >= 100);
    }

    #[test]
    fn a_length_that_was_announced_can_be_exceeded_where_there_is_room() {
        let disk = Disk::with(30 * MIB);
        let mut room = disk.room(0);
        room.expect(Some(MIB)).unwrap();
        assert!(disk.fill(&mut room) > 20);
        drop(room);
        assert_eq!(disk.ledger.taken(), 0);
    }

    #[test]
    fn a_disk_that_does_not_say_is_tried() {
        let ledger = Arc::new(Ledger::of(|| Err(Error::new(Kind::Io, "no answer"))));
        assert!(ledger.has_room_for(u64::MAX));
        Room::new(&ledger, 0).expect(Some(1 << 60)).unwrap();
        assert_eq!(ledger.taken(), 0);
    }
}
