//! One call for any number of concurrent callers with the same key, whose result all of them get.
//!
//! The first caller starts the call: on a thread of its own ([`SharedCalls::call`]), so that it goes on when nobody
//! waits any longer, or on the caller's thread ([`SharedCalls::join_or_start`]).

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::context;
use crate::hops;
use crate::time::deadline;

/// Calls in progress, by key.
pub struct SharedCalls<K, V> {
    running: Arc<Running<K, V>>,
}

type Running<K, V> = Mutex<HashMap<K, Arc<Call<V>>>>;

struct Call<V> {
    result: Mutex<Option<V>>,
    done: Condvar,
}

/// What [`SharedCalls::join_or_start`] gives.
pub enum SharedCall<K: Hash + Eq, V> {
    /// The caller makes the call, and gives its result.
    Started(StartedCall<K, V>),
    /// Somebody else is making it.
    Joined(JoinedCall<V>),
}

/// A call whose result others wait for. When it is dropped without a result, they get the one for lost calls.
pub struct StartedCall<K: Hash + Eq, V> {
    running: Arc<Running<K, V>>,
    key: K,
    call: Arc<Call<V>>,
    result: Option<V>,
}

/// A call that somebody else is making.
pub struct JoinedCall<V>(Arc<Call<V>>);

impl<K: Hash + Eq + Clone, V: Clone> SharedCalls<K, V> {
    pub fn new() -> Self {
        Self {
            running: Arc::default(),
        }
    }

    /// The call under `key`. `lost` is the result for those who wait should it panic.
    pub fn join_or_start(&self, key: K, lost: V) -> SharedCall<K, V> {
        let mut running = self.running.lock();
        if let Some(call) = running.get(&key) {
            return SharedCall::Joined(JoinedCall(Arc::clone(call)));
        }
        let call = Arc::new(Call {
            result: Mutex::new(None),
            done: Condvar::new(),
        });
        running.insert(key.clone(), Arc::clone(&call));
        SharedCall::Started(StartedCall {
            running: Arc::clone(&self.running),
            key,
            call,
            result: Some(lost),
        })
    }

    /// Waits for the call under `key`, starting it on a thread of its own if none is in progress, for
    /// at most `patience`. `None` when that was not enough: the call goes on, and whoever asks next
    /// finds its result or joins it.
    ///
    /// `lost` is the result for those who wait should the call panic or find no thread.
    pub fn call(
        &self,
        key: K,
        patience: Duration,
        lost: V,
        work: impl FnOnce() -> V + Send + 'static,
    ) -> Option<V>
    where
        K: Send + 'static,
        V: Send + 'static,
    {
        let joined = match self.join_or_start(key, lost) {
            SharedCall::Joined(joined) => joined,
            SharedCall::Started(started) => {
                let joined = started.join();
                let spawned = std::thread::Builder::new()
                    .name("upstream-call".into())
                    .spawn(hops::along(move || started.finish(work())));
                if let Err(error) = spawned {
                    tracing::error!(%error, "cannot start a thread to ask an upstream");
                }
                joined
            }
        };
        joined.wait(patience)
    }

    /// Waits for the call under `key`, for at most `patience`, if one is in progress; starts none. The
    /// outer `None`: there is none.
    pub fn join(&self, key: &K, patience: Duration) -> Option<Option<V>> {
        let call = Arc::clone(self.running.lock().get(key)?);
        Some(JoinedCall(call).wait(patience))
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Default for SharedCalls<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: Clone> JoinedCall<V> {
    /// Its result, if it comes within `patience`.
    pub fn wait(self, patience: Duration) -> Option<V> {
        context::waits();
        let deadline = deadline(patience);
        let mut result = self.0.result.lock();
        while result.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.0.done.wait_for(&mut result, left);
        }
        result.clone()
    }
}

impl<K: Hash + Eq, V> StartedCall<K, V> {
    /// Ends it with its result.
    pub fn finish(mut self, result: V) {
        self.result = Some(result);
    }

    fn join(&self) -> JoinedCall<V> {
        JoinedCall(Arc::clone(&self.call))
    }
}

impl<K: Hash + Eq, V> Drop for StartedCall<K, V> {
    fn drop(&mut self) {
        *self.call.result.lock() = self.result.take();
        self.running.lock().remove(&self.key);
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
        assert!(calls.running.lock().is_empty());
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
        while !calls.running.lock().is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(calls.call(1, LONG, 99, || 1), Some(1));
    }
}
