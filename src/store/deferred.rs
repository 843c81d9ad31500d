//! What is noted in memory on a request's way, and written in batches. What cannot be written is kept for the next batch;
//! what is lost in a crash is what was noted since the last one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::error::Result;
use crate::time::Timestamp;

/// Two notes about the same thing are one.
pub(super) trait Join {
    fn join(&mut self, other: Self);
}

impl Join for Timestamp {
    fn join(&mut self, other: Self) {
        *self = other.max(*self);
    }
}

/// Notes by what they are about.
pub(super) struct Deferred<K, V> {
    /// While nothing can be written, new ones beyond so many are dropped.
    most: usize,
    state: Mutex<State<K, V>>,
    /// Held while a batch is written, so that no note is written twice.
    writing: Mutex<()>,
}

struct State<K, V> {
    noted: HashMap<K, V>,
    /// What is being written, or could not be.
    batch: Arc<HashMap<K, V>>,
}

impl<K: Eq + Hash + Clone, V: Join + Clone> Deferred<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            state: Mutex::new(State {
                noted: HashMap::new(),
                batch: Arc::default(),
            }),
            writing: Mutex::new(()),
        }
    }

    pub(super) fn note(&self, about: K, note: V) {
        let mut state = self.state.lock();
        add(&mut state.noted, about, note, self.most);
    }

    /// What is noted and not written yet.
    pub(super) fn get(&self, about: &K) -> Option<V> {
        let state = self.state.lock();
        let notes = [state.noted.get(about), state.batch.get(about)];
        notes.into_iter().flatten().cloned().reduce(|mut a, b| {
            a.join(b);
            a
        })
    }

    /// Gives all notes to `write`, which the server has done every few seconds and at the end.
    ///
    /// # Errors
    /// Those of `write`; then the notes stay.
    pub(super) fn write(&self, write: impl FnOnce(&HashMap<K, V>) -> Result<()>) -> Result<()> {
        let _writing = self.writing.lock();
        let batch = {
            let mut state = self.state.lock();
            let State { noted, batch } = &mut *state;
            let all = Arc::make_mut(batch);
            for (about, note) in noted.drain() {
                add(all, about, note, self.most);
            }
            Arc::clone(batch)
        };
        if batch.is_empty() {
            return Ok(());
        }
        write(&batch)?;
        drop(batch);
        self.state.lock().batch = Arc::default();
        Ok(())
    }

    /// Keeps others from adding a note until what it gives is dropped.
    pub(super) fn hold(&self) -> Held<'_, K, V> {
        Held(self.state.lock())
    }
}

pub(super) struct Held<'a, K, V>(MutexGuard<'a, State<K, V>>);

impl<K: Eq + Hash + Clone, V: Join + Clone> Held<'_, K, V> {
    /// All notes. A batch may write them too: so it is only for those of which it changes nothing to be written twice.
    pub(super) fn all(&self) -> HashMap<K, V> {
        let mut all = self.0.noted.clone();
        for (about, note) in self.0.batch.iter() {
            add(&mut all, about.clone(), note.clone(), usize::MAX);
        }
        all
    }
}

fn add<K: Eq + Hash, V: Join>(notes: &mut HashMap<K, V>, about: K, note: V, most: usize) {
    let has_room = notes.len() < most;
    match notes.entry(about) {
        Entry::Occupied(mut noted) => noted.get_mut().join(note),
        Entry::Vacant(entry) if has_room => {
            entry.insert(note);
        }
        Entry::Vacant(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn what_is_not_written_stays_and_is_joined_and_what_is_too_much_is_dropped() {
        let notes = Deferred::new(2);
        notes.note("a", Timestamp(2));
        notes.note("a", Timestamp(1));
        notes
            .write(|_| Err(Error::internal("on purpose")))
            .unwrap_err();
        for about in ["a", "b", "c", "d"] {
            notes.note(about, Timestamp(3));
        }
        assert_eq!(notes.get(&"a"), Some(Timestamp(3)));
        assert_eq!(notes.get(&"d"), None);
        let mut written = None;
        let write = |all: &HashMap<&'static str, Timestamp>| {
            // Noted meanwhile: for the next batch.
            notes.note("a", Timestamp(4));
            written = Some(all.clone());
            Ok(())
        };
        notes.write(write).unwrap();
        let written = written.unwrap();
        assert_eq!(written.get("a"), Some(&Timestamp(3)));
        assert_eq!(written.len(), 2);
        assert_eq!(notes.get(&"a"), Some(Timestamp(4)));
        let mut left = 0;
        let count = |all: &HashMap<&'static str, Timestamp>| {
            left = all.len();
            Ok(())
        };
        notes.write(count).unwrap();
        assert_eq!(left, 1);
        assert_eq!(notes.get(&"a"), None);
    }
}
