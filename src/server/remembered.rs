//! What takes long to find out, and is asked for more often than it changes: found out on a thread of its own, by one at
//! a time, and given from memory until it is old.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::error::Result;
use crate::time::{Timestamp, deadline};

/// What is found out is worth so many times as long as that took, so that it never takes more than a twentieth of a
/// processor.
const WORTH: u32 = 20;

pub(super) struct Remembered<T> {
    what: &'static str,
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    last: Option<Found<T>>,
    is_running: bool,
}

struct Found<T> {
    value: T,
    began: Instant,
    as_of: Timestamp,
    took: Duration,
}

/// When it is found out anew, and who waits for that.
pub(super) struct Patience {
    /// How old it may be.
    pub(super) age: Duration,
    /// What takes less than this is found out for everybody who asks.
    pub(super) quick: Duration,
    /// How long somebody waits where nothing is remembered.
    pub(super) first: Duration,
    /// How long where it should be quick.
    pub(super) again: Duration,
}

impl<T: Clone + Send + 'static> Remembered<T> {
    /// `what` is for the log.
    pub(super) fn new(what: &'static str) -> Arc<Self> {
        Arc::new(Self {
            what,
            state: Mutex::new(State {
                last: None,
                is_running: false,
            }),
            changed: Condvar::new(),
        })
    }

    /// What is remembered, with its time; where that is old, `find` is begun, and what was before is given if it does
    /// not end soon. `None` where nothing is known yet, or not soon enough what should be quick: then what was found out
    /// before would not have what the caller has just changed.
    pub(super) fn get(
        self: &Arc<Self>,
        patience: &Patience,
        find: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Option<(T, Timestamp)> {
        let asked_at = Instant::now();
        let is_enough = |last: &Found<T>| last.began >= asked_at || last.took >= patience.quick;
        let mut state = self.state.lock();
        let wait = match &state.last {
            None => patience.first,
            Some(last) if !is_enough(last) => patience.again,
            Some(last) => {
                let age = patience.age.max(last.took.saturating_mul(WORTH));
                if last.began.elapsed() < age {
                    return Some((last.value.clone(), last.as_of));
                }
                Duration::ZERO
            }
        };
        let (until, mut find) = (deadline(wait), Some(find));
        loop {
            if !state.is_running {
                let Some(find) = find.take() else { break };
                state.is_running = self.start(find);
            }
            if state.last.as_ref().is_some_and(is_enough)
                || self.changed.wait_until(&mut state, until).timed_out()
            {
                break;
            }
            // What somebody else had begun has ended meanwhile.
            if state.last.as_ref().is_some_and(is_enough) {
                break;
            }
        }
        let last = state.last.as_ref().filter(|last| is_enough(last));
        last.map(|last| (last.value.clone(), last.as_of))
    }

    /// Whether a thread could be had.
    fn start(self: &Arc<Self>, find: impl FnOnce() -> Result<T> + Send + 'static) -> bool {
        let known = Arc::clone(self);
        let work = move || {
            let running = Running(known);
            running.0.run(find);
        };
        let thread = std::thread::Builder::new().name("remember".to_owned());
        let started = thread.spawn(work);
        if let Err(error) = &started {
            tracing::warn!(%error, "{} cannot be found out", self.what);
        }
        started.is_ok()
    }

    fn run(&self, find: impl FnOnce() -> Result<T>) {
        const NICE: i32 = 10;
        // Pulls go before. Not allowed, it competes with them.
        let _ = rustix::process::setpriority_process(None, NICE);
        let (began, as_of) = (Instant::now(), Timestamp::now());
        match find() {
            Ok(value) => {
                self.state.lock().last = Some(Found {
                    value,
                    began,
                    as_of,
                    took: began.elapsed(),
                });
            }
            Err(error) => tracing::warn!(%error, "{} cannot be found out", self.what),
        }
    }
}

/// That it is being found out; also a panic ends that.
struct Running<T>(Arc<Remembered<T>>);

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.0.state.lock().is_running = false;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::error::Error;

    fn patience(age: u64, quick: u64) -> Patience {
        Patience {
            age: Duration::from_secs(age),
            quick: Duration::from_secs(quick),
            first: Duration::from_secs(10),
            again: Duration::from_secs(10),
        }
    }

    #[test]
    fn what_is_not_quick_is_given_from_memory_until_it_is_old() {
        let known = Remembered::new("a number");
        let slow = patience(3600, 0);
        let value = |value, patience: &Patience| {
            known
                .get(patience, move || Ok(value))
                .map(|(value, _)| value)
        };
        assert_eq!(value(1, &slow), Some(1));
        assert_eq!(value(2, &slow), Some(1), "it is not old");
        assert_eq!(value(3, &patience(3600, 60)), Some(3), "it is quick");
    }

    #[test]
    fn who_asks_for_what_is_old_gets_it_while_one_finds_it_out_anew() {
        let known = Remembered::new("a number");
        let slow = patience(0, 0);
        known.get(&slow, || Ok(1)).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        let (go_on, waiting) = mpsc::channel::<()>();
        let again = known.get(&slow, move || {
            let _ = waiting.recv();
            Ok(2)
        });
        assert_eq!(again.unwrap().0, 1);
        let other = known.get(&slow, || panic!("one at a time"));
        assert_eq!(other.unwrap().0, 1);
        drop(go_on);
        let end = deadline(Duration::from_secs(10));
        while known.get(&patience(3600, 0), || Ok(2)).unwrap().0 != 2 {
            assert!(Instant::now() < end);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn what_fails_or_panics_is_tried_again() {
        let known = Remembered::<u8>::new("a number");
        let slow = patience(3600, 0);
        let failed = known.get(&slow, || Err(Error::internal("on purpose")));
        assert!(failed.is_none());
        assert!(known.get(&slow, || panic!("on purpose")).is_none());
        assert_eq!(known.get(&slow, || Ok(1)).unwrap().0, 1);
    }
}
