//! The queue of lists: whatever reads many rows for a client waits here for its turn, so that pulls keep the processors,
//! the readers and the workers, however many lists are asked for.
//!
//! Few run at once, of one client one; few wait, and in turns: a client that asks for many waits for its own. Who comes
//! too much is told to come again. Where a request asks for several lists, it enters once, for all of them.

use std::cell::Cell;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::context::{self, Origin};
use crate::error::{Error, Kind, Result};

/// So many run at once. On the two processors of a small box, pulls get their share beside them.
const RUNNING: usize = 2;
/// So many of one client wait: more than a page or a script asks for at once.
const WAITING_PER_ORIGIN: usize = 32;
/// So many wait in all: half as many as there are workers by default.
const WAITING: usize = 128;
/// How long a list may take, its waiting included.
const LIMIT: Duration = Duration::from_secs(10);
/// Between two looks whether who waits is still there.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// When who came too much should come again.
const COME_AGAIN: Duration = Duration::from_secs(2);

/// One for the process, whose processors and workers it is about.
static LISTS: ListQueue = ListQueue::new(RUNNING);

thread_local! {
    /// Whether this thread has a place in the queue.
    static ENTERED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` in the queue, if it is a client's and is not in there already.
///
/// # Errors
/// `Unavailable` where too many wait, or it took too long; `Abandoned`; those of `work`.
pub(super) fn run<T, E: From<Error>>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    match context::origin() {
        Some(origin) if !ENTERED.get() => context::limited(LIMIT, || {
            let _place = LISTS.enter(origin)?;
            work()
        }),
        _ => work(),
    }
}

struct ListQueue {
    most: usize,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    running: Vec<Origin>,
    /// In the order in which they get their turns.
    waiting: Vec<(Origin, u64)>,
    /// The number of the one that comes next.
    number: u64,
}

impl State {
    /// Joins those that wait.
    fn join(&mut self, origin: Origin) -> Result<u64> {
        let of_origin = self.waiting.iter().filter(|(of, _)| *of == origin).count();
        if of_origin >= WAITING_PER_ORIGIN {
            return Err(refused("too many lists are asked for from this address"));
        }
        if self.waiting.len() >= WAITING {
            return Err(refused("too many lists are asked for at once"));
        }
        self.number = self.number.wrapping_add(1);
        self.waiting.push((origin, self.number));
        Ok(self.number)
    }

    /// Whose turn it is, if there is a place.
    fn next(&self, most: usize) -> Option<(Origin, u64)> {
        let mut waiting = self.waiting.iter();
        let free = self.running.len() < most;
        let next = waiting.find(|(origin, _)| free && !self.running.contains(origin));
        next.copied()
    }

    /// Takes `origin`'s turn: what else it waits for comes after everybody who waits now.
    fn begin(&mut self, origin: Origin, number: u64) {
        self.leave(number);
        self.waiting.sort_by_key(|(of, _)| *of == origin);
        self.running.push(origin);
    }

    fn leave(&mut self, number: u64) {
        self.waiting.retain(|(_, waiting)| *waiting != number);
    }
}

fn refused(what: &str) -> Error {
    let retry_after = COME_AGAIN;
    Error::new(Kind::Unavailable { retry_after }, what).remedy("ask for one after the other")
}

impl ListQueue {
    const fn new(most: usize) -> Self {
        Self {
            most,
            state: Mutex::new(State {
                running: Vec::new(),
                waiting: Vec::new(),
                number: 0,
            }),
            changed: Condvar::new(),
        }
    }

    /// Waits for a turn, for as long as somebody waits for what it is about.
    fn enter(&self, origin: Origin) -> Result<Turn<'_>> {
        let mut state = self.lock();
        let number = state.join(origin)?;
        while state.next(self.most) != Some((origin, number)) {
            self.changed.wait_for(&mut state, LOOK_AGAIN);
            if let Err(error) = context::check("wait for a turn among the lists") {
                state.leave(number);
                self.changed.notify_all();
                return Err(error);
            }
        }
        state.begin(origin, number);
        // There may be a place for the one behind it too.
        self.changed.notify_all();
        ENTERED.set(true);
        Ok(Turn {
            queue: self,
            origin,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// A place in the queue, until it is dropped.
struct Turn<'a> {
    queue: &'a ListQueue,
    origin: Origin,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        ENTERED.set(false);
        let mut state = self.queue.lock();
        let at = state.running.iter().position(|of| *of == self.origin);
        if let Some(at) = at {
            state.running.swap_remove(at);
        }
        drop(state);
        self.queue.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;
    use crate::time::deadline;

    fn origin(number: u8) -> Origin {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, number)).into()
    }

    fn wait_for(queue: &ListQueue, waiting: usize) {
        let end = deadline(Duration::from_secs(30));
        while queue.lock().waiting.len() != waiting {
            assert!(Instant::now() < end, "not {waiting} wait");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn one_of_each_runs_and_everybody_has_a_turn_before_anybody_has_a_second() {
        let queue = ListQueue::new(1);
        let (told, order) = mpsc::channel();
        let first = queue.enter(origin(0)).unwrap();
        std::thread::scope(|scope| {
            for (waiting, number) in [1, 1, 1, 2, 2, 3].into_iter().enumerate() {
                wait_for(&queue, waiting);
                let (queue, told) = (&queue, told.clone());
                scope.spawn(move || {
                    let place = queue.enter(origin(number)).unwrap();
                    told.send(number).unwrap();
                    drop(place);
                });
            }
            wait_for(&queue, 6);
            drop(first);
        });
        let order: Vec<u8> = order.try_iter().collect();
        assert_eq!(order, [1, 2, 3, 1, 2, 1]);
        assert!(queue.lock().running.is_empty());
    }

    #[test]
    fn a_client_has_one_place_and_another_finds_the_next_one_free() {
        let queue = ListQueue::new(2);
        let first = queue.enter(origin(1)).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| drop(queue.enter(origin(1)).unwrap()));
            wait_for(&queue, 1);
            // Would wait for ever if the first one's second had taken it.
            drop(queue.enter(origin(2)).unwrap());
            assert_eq!(queue.lock().waiting.len(), 1);
            drop(first);
            second.join().unwrap();
        });
    }

    #[test]
    fn few_wait_of_one_client_and_in_all() {
        let mut state = ListQueue::new(1).state.into_inner();
        let mut joined = |number| state.join(origin(number)).map(drop);
        for _ in 0..WAITING_PER_ORIGIN {
            joined(0).unwrap();
        }
        let refused = joined(0).unwrap_err();
        assert!(refused.to_string().contains("from this address"));
        assert!(matches!(refused.kind(), Kind::Unavailable { .. }));
        for number in WAITING_PER_ORIGIN..WAITING {
            joined(u8::try_from(number).unwrap()).unwrap();
        }
        assert!(joined(200).is_err());
    }

    #[test]
    fn who_hangs_up_gives_its_turn_away() {
        let queue = ListQueue::new(1);
        let place = queue.enter(origin(1)).unwrap();
        let hung_up = context::serve(
            origin(2),
            || true,
            || context::limited(LIMIT, || queue.enter(origin(2)).map(drop)),
        );
        assert_eq!(hung_up.unwrap_err().kind(), Kind::Abandoned);
        assert!(queue.lock().waiting.is_empty());
        drop(place);
        drop(queue.enter(origin(1)).unwrap());
    }

    #[test]
    fn a_request_enters_once_and_the_box_itself_never() {
        let queue = || run(|| run(|| Ok::<_, Error>(LISTS.lock().running.len())));
        assert_eq!(queue().unwrap(), 0);
        let client = || context::serve(origin(1), || false, queue);
        assert_eq!(client().unwrap(), 1);
        assert_eq!(client().unwrap(), 1, "the place was given back");
    }
}
