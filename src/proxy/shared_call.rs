//! One call for any number of concurrent callers with the same key.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::time::deadline;

/// Calls in progress, by key.
pub(super) struct SharedCalls<K, V> {
    running: Arc<Mutex<HashMap<K, Arc<Call<V>>>>>,
}

/// One call in progress.
struct Call<V> {
    result: Mutex<Option<V>>,
    done: Condvar,
}

impl<K: Hash + Eq + Clone + Send + 'static, V: Clone + Send + 'static> SharedCalls<K, V> {
    pub(super) fn new() -> Self {
        Self {
            running: Arc::default(),
        }
    }

    /// Waits for the call under `key`, starting it on a thread of its own if none is in progress, for
    /// at most `patience`. `None` when that was not enough: the call goes on, and whoever asks next
    /// finds its result or joins it.
    ///
    /// `lost` is the result for those who wait should the call panic or find no thread.
    pub(super) fn call(
        &self,
        key: K,
        patience: Duration,
        lost: V,
        work: impl FnOnce() -> V + Send + 'static,
    ) -> Option<V> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let call = match running.entry(key.clone()) {
            Entry::Occupied(entry) => Arc::clone(entry.get()),
            Entry::Vacant(entry) => {
                let call = Arc::clone(entry.insert(Arc::new(Call {
                    result: Mutex::new(None),
                    done: Condvar::new(),
                })));
                let finish = Finish {
                    running: Arc::clone(&self.running),
                    key,
                    call: Arc::clone(&call),
                    result: Some(lost),
                };
                // Without a thread the closure is dropped, and `finish` with it, which takes this lock.
                drop(running);
                let spawned = std::thread::Builder::new()
                    .name("upstream-call".into())
                    .spawn(move || {
                        let mut finish = finish;
                        finish.result = Some(work());
                    });
                if let Err(error) = spawned {
                    tracing::error!(%error, "cannot start a thread to ask an upstream");
                }
                return wait(&call, patience);
            }
        };
        drop(running);
        wait(&call, patience)
    }

    /// Waits for the call under `key`, for at most `patience`, if one is in progress; starts none. The
    /// outer `None`: there is none.
    pub(super) fn join(&self, key: &K, patience: Duration) -> Option<Option<V>> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let call = Arc::clone(running.get(key)?);
        drop(running);
        Some(wait(&call, patience))
    }
}

fn wait<V: Clone>(call: &Call<V>, patience: Duration) -> Option<V> {
    let deadline = deadline(patience);
    let mut result = call.result.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(value) = &*result {
            return Some(value.clone());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        result = call
            .done
            .wait_timeout(result, left)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
}

/// Publishes the result when the thread ends, however it ends.
struct Finish<K: Hash + Eq, V> {
    running: Arc<Mutex<HashMap<K, Arc<Call<V>>>>>,
    key: K,
    call: Arc<Call<V>>,
    result: Option<V>,
}

impl<K: Hash + Eq, V> Drop for Finish<K, V> {
    fn drop(&mut self) {
        *self
            .call
            .result
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = self.result.take();
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.key);
        self.call.done.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn many_callers_make_one_call() {
        let calls = SharedCalls::<u8, usize>::new();
        let made = Arc::new(AtomicUsize::new(0));
        let (callers, started) = (16, Arc::new(std::sync::Barrier::new(16)));
        std::thread::scope(|scope| {
            for _ in 0..callers {
                scope.spawn(|| {
                    started.wait();
                    let made = Arc::clone(&made);
                    let result = calls.call(1, LONG, 0, move || {
                        std::thread::sleep(Duration::from_millis(300));
                        made.fetch_add(1, Ordering::SeqCst) + 1
                    });
                    assert_eq!(result, Some(1));
                });
            }
        });
        assert_eq!(made.load(Ordering::SeqCst), 1);
        assert!(calls.running.lock().unwrap().is_empty());
    }

    #[test]
    fn an_impatient_caller_leaves_and_the_call_goes_on() {
        let calls = SharedCalls::<u8, u8>::new();
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let slow = move || {
            let _ = gate.recv();
            7
        };
        assert_eq!(calls.join(&1, Duration::ZERO), None);
        assert_eq!(calls.call(1, Duration::from_millis(20), 0, slow), None);
        assert_eq!(calls.join(&1, Duration::ZERO), Some(None));
        assert_eq!(calls.join(&2, LONG), None);
        open.send(()).unwrap();
        let joined = calls.call(1, LONG, 0, || 8).unwrap();
        assert!(joined == 7 || joined == 8);
    }

    #[test]
    fn a_panic_gives_the_lost_result_and_frees_the_key() {
        let calls = SharedCalls::<u8, u8>::new();
        assert_eq!(calls.call(1, LONG, 99, || panic!("on purpose")), Some(99));
        while !calls.running.lock().unwrap().is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(calls.call(1, LONG, 99, || 1), Some(1));
    }
}
