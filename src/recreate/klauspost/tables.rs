//! Where four bytes were last, and where seven bytes were the last two times.

use super::history::{History, Place, hash4, hash7};

const HASHES: usize = 1 << 15;

/// The tables of levels 5 and 6: numbers of places.
pub(super) struct Tables {
    short: Box<[i32; HASHES]>,
    long: Box<[(i32, i32); HASHES]>,
}

impl Tables {
    pub(super) fn new() -> Self {
        Self {
            short: Box::new([0; HASHES]),
            long: Box::new([(0, 0); HASHES]),
        }
    }

    pub(super) fn renumber(&mut self, gone: i32) {
        let smaller = |number: &mut i32| *number = number.saturating_sub(gone).max(0);
        self.short.iter_mut().for_each(smaller);
        for (last, before) in self.long.iter_mut() {
            smaller(last);
            smaller(before);
        }
    }

    #[inline]
    pub(super) fn short(&self, hash: u32, history: &History) -> Place {
        let number = self.short.get(hash as usize);
        history.place(number.copied().unwrap_or_default())
    }

    /// The last place, and the one before.
    #[inline]
    pub(super) fn long(&self, hash: u32, history: &History) -> (Place, Place) {
        let (last, before) = self.long.get(hash as usize).copied().unwrap_or_default();
        (history.place(last), history.place(before))
    }

    #[inline]
    pub(super) fn add_short(&mut self, hash: u32, number: i32) {
        if let Some(slot) = self.short.get_mut(hash as usize) {
            *slot = number;
        }
    }

    #[inline]
    pub(super) fn add_long(&mut self, hash: u32, number: i32) {
        if let Some(slot) = self.long.get_mut(hash as usize) {
            *slot = (number, slot.0);
        }
    }

    /// Both, of bytes whose hashes are not known.
    #[inline]
    pub(super) fn add(&mut self, bytes: u64, number: i32) {
        self.add_short(hash4(bytes), number);
        self.add_long(hash7(bytes), number);
    }
}
