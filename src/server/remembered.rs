//! What takes long to find out, and is asked for more often than it changes: found out on a thread of its own, by one at
//! a time, and given from memory until it is old.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::error::Result;
use crate::time::{Timestamp, deadline};

/// What is found out counts as young for so many times as long as that took, so that those who ask do not have it found
/// out without pause. Who wants what is quick always has it found out anew.
const WORTH: u32 = 20;
/// What is older than so many times its age is given only where nothing newer is to be had soon.
const VERY_OLD: u32 = 2;
/// What nobody has asked for within this time is forgotten.
const UNASKED: Duration = Duration::from_secs(60 * 60);

pub(super) struct Remembered<T> {
    what: &'static str,
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    last: Option<Found<T>>,
    is_running: bool,
    asked_at: Instant,
}

impl<T> State<T> {
    fn forget_unasked(&mut self) {
        if self.asked_at.elapsed() >= UNASKED {
            self.last = None;
        }
    }
}

struct Found<T> {
    value: T,
    began: Instant,
    as_of: Timestamp,
    took: Duration,
}

/// When it is found out anew, and who waits for that.
pub(super) struct Patience {
    /// What is older is found out anew when somebody asks, who gets the old one if it is not older than twice that.
    pub(super) age: Duration,
    /// What takes less than this is found out for everybody who asks.
    pub(super) quick: Duration,
    /// How long somebody waits where nothing is remembered, or only what is older than twice its age.
    pub(super) first: Duration,
    /// How long where it should be quick.
    pub(super) again: Duration,
    /// Whether they get even what is older than twice its age where the new one takes longer than they wait.
    pub(super) gives_very_old: bool,
}

impl Patience {
    fn age_of<T>(&self, found: &Found<T>) -> Duration {
        self.age.max(found.took.saturating_mul(WORTH))
    }

    fn is_very_old<T>(&self, found: &Found<T>) -> bool {
        found.began.elapsed() >= self.age_of(found).saturating_mul(VERY_OLD)
    }
}

impl<T: Clone + Send + 'static> Remembered<T> {
    /// `what` is for the log.
    pub(super) fn new(what: &'static str) -> Arc<Self> {
        Arc::new(Self {
            what,
            state: Mutex::new(State {
                last: None,
                is_running: false,
                asked_at: Instant::now(),
            }),
            changed: Condvar::new(),
        })
    }

    /// What is remembered, with its time. Where that is old, `find` is begun, and what was before is given if `find` does
    /// not end soon: then it can be as old as the last question for it, an hour at most. `None` where nothing is known
    /// yet, or what should be quick does not end soon: what was found out before would not have what the caller has just
    /// changed.
    ///
    /// `find` has a thread of its own, and lowers its priority.
    pub(super) fn get(
        self: &Arc<Self>,
        patience: &Patience,
        find: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Option<(T, Timestamp)> {
        let asked_at = Instant::now();
        let is_enough = |last: &Found<T>| last.began >= asked_at || last.took >= patience.quick;
        let mut state = self.state.lock();
        state.forget_unasked();
        state.asked_at = asked_at;
        let mut old = None;
        let wait = match &state.last {
            None => patience.first,
            Some(last) if !is_enough(last) => patience.again,
            Some(last) => {
                if last.began.elapsed() < patience.age_of(last) {
                    return Some((last.value.clone(), last.as_of));
                }
                old = Some(last.began);
                match patience.is_very_old(last) {
                    true => patience.first,
                    false => Duration::ZERO,
                }
            }
        };
        let is_new = |last: &Found<T>| is_enough(last) && old != Some(last.began);
        let (until, mut find) = (deadline(wait), Some(find));
        loop {
            if !state.is_running {
                let Some(find) = find.take() else { break };
                state.is_running = self.start(find);
            }
            if self.changed.wait_until(&mut state, until).timed_out() {
                break;
            }
            // What somebody else had begun has ended meanwhile.
            if state.last.as_ref().is_some_and(is_new) {
                break;
            }
        }
        let is_given = |last: &&Found<T>| {
            is_enough(last) && (patience.gives_very_old || !patience.is_very_old(last))
        };
        let last = state.last.as_ref().filter(is_given);
        last.map(|last| (last.value.clone(), last.as_of))
    }

    /// What is remembered, where it is neither very old nor to be found out for everybody who asks.
    pub(super) fn young(&self, patience: &Patience) -> Option<T> {
        let state = self.state.lock();
        let last = state.last.as_ref();
        let last = last.filter(|last| last.took >= patience.quick && !patience.is_very_old(last));
        last.map(|last| last.value.clone())
    }

    pub(super) fn forget(&self) {
        self.state.lock().last = None;
    }

    /// Forgets what nobody has asked for within the hour.
    pub(super) fn forget_unasked(&self) {
        self.state.lock().forget_unasked();
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
            gives_very_old: true,
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
        let slow = patience(2, 0);
        known.get(&slow, || Ok(1)).unwrap();
        std::thread::sleep(Duration::from_millis(2_100));
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
    fn what_is_very_old_is_given_only_where_nothing_new_comes_soon() {
        let known = Remembered::new("a number");
        let value = |patience: &Patience, value| {
            let found = known.get(patience, move || Ok(value));
            found.map(|(value, _)| value)
        };
        let at_once = Patience {
            age: Duration::from_nanos(1),
            ..patience(0, 0)
        };
        assert_eq!(value(&at_once, 1), Some(1));
        // It is worth a while, and that is over.
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(value(&at_once, 2), Some(2));
        std::thread::sleep(Duration::from_millis(200));
        let hurried = Patience {
            first: Duration::from_millis(10),
            ..at_once
        };
        let (go_on, waiting) = mpsc::channel::<()>();
        let old = known.get(&hurried, move || {
            let _ = waiting.recv();
            Ok(3)
        });
        assert_eq!(old.map(|(value, _)| value), Some(2));
        drop(go_on);
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
