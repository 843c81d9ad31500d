//! For whom a thread works, and how long it may take. When the client hangs up, or the time is over, the work stops.
//!
//! The public port says for whom a thread works ([`serve`]). Work that takes long calls [`check`] now and then, and
//! SQLite's progress handler does so for queries.
//!
//! This is a value of the thread, not a parameter: a request is handled by one thread from its head to its answer, and
//! a parameter would go through every function between the public port and a statement, although nearly all of them do
//! nothing with it. Work that several requests share, such as a fetch, runs on threads of its own, which have no
//! client. Neither have the threads of the box itself (garbage collection, start-up); they are never told to stop.
//!
//! One thread may also have more to do than the request that it answers: the poller of the public port answers from memory
//! itself. So whatever is about to wait for something else than memory says so ([`waits`]), and the thread gives its other
//! work to somebody else first.
//!
//! Asking whether a client is still there costs a system call, so nobody asks during the first moments (`SOON`), in
//! which every query of a pull is done.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::error::{Error, Kind, Result};
use crate::network;

/// Work that takes no longer is finished, whether or not somebody waits for it.
const SOON: Duration = Duration::from_millis(100);
/// When whoever was told that something took too long should come again.
const COME_AGAIN: Duration = Duration::from_secs(10);

/// Whom requests are counted for together: all from one machine, or the box's own commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin(Option<IpNet>);

impl Origin {
    /// The box's own commands, which come by the control socket.
    pub const BOX: Self = Self(None);
}

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        Self(Some(network::of_machine(address)))
    }
}

/// Why work should not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// The client is gone.
    HungUp,
    /// It takes longer than this.
    Late(Duration),
}

impl Stopped {
    /// The error of who could not go on to do something ("list tags").
    pub fn error(self, doing: &str) -> Error {
        match self {
            Self::HungUp => Error::new(
                Kind::Abandoned,
                format!("did not go on to {doing}: the client is gone"),
            ),
            Self::Late(limit) => {
                let retry_after = COME_AGAIN;
                let what = format!("cannot {doing} within {} seconds", limit.as_secs());
                Error::new(Kind::Unavailable { retry_after }, what)
                    .remedy("ask for less at a time, or try again later")
            }
        }
    }
}

/// For whom a thread works.
struct Client {
    origin: Origin,
    hung_up: Box<dyn Fn() -> bool>,
    /// When the present piece of work began, and how long it may take.
    limit: Option<(Instant, Duration)>,
}

impl Client {
    fn stopped(&self) -> Option<Stopped> {
        let (since, limit) = self.limit?;
        match since.elapsed() {
            elapsed if elapsed < SOON => None,
            elapsed if elapsed > limit => Some(Stopped::Late(limit)),
            _ if (self.hung_up)() => Some(Stopped::HungUp),
            _ => None,
        }
    }
}

thread_local! {
    static CLIENT: RefCell<Option<Client>> = const { RefCell::new(None) };
    static BEFORE_WAITING: Cell<fn()> = const { Cell::new(|| {}) };
    static HAS_WAITED: Cell<bool> = const { Cell::new(false) };
}

/// Has `act` called on this thread each time that it is about to wait.
pub fn before_waiting(act: fn()) {
    BEFORE_WAITING.set(act);
}

/// Says that this thread is about to wait: for a disk, a database, an upstream, a client, another thread's work, or to compute
/// for long. Costs nothing where the thread has no other work.
pub fn waits() {
    HAS_WAITED.set(true);
    BEFORE_WAITING.get()();
}

/// Notes that this thread begins with another piece of work.
pub fn begins() {
    HAS_WAITED.set(false);
}

/// Whether this thread has waited since it last began with a piece of work.
pub fn has_waited() -> bool {
    HAS_WAITED.get()
}

/// Runs `work` for a client at `origin`, of whom `hung_up` tells whether it is gone.
pub fn serve<T>(
    origin: Origin,
    hung_up: impl Fn() -> bool + 'static,
    work: impl FnOnce() -> T,
) -> T {
    let client = Client {
        origin,
        hung_up: Box::new(hung_up),
        limit: None,
    };
    let before = CLIENT.replace(Some(client));
    begins();
    let _restored = OnDrop(Some(|| drop(CLIENT.replace(before))));
    work()
}

/// Notes that the client is at `origin`, and not where the connection comes from: behind a trusted proxy.
pub fn note_origin(origin: Origin) {
    CLIENT.with_borrow_mut(|client| {
        if let Some(client) = client {
            client.origin = origin;
        }
    });
}

/// For whom this thread works; `None`: for the box itself.
pub fn origin() -> Option<Origin> {
    CLIENT.with_borrow(|client| Some(client.as_ref()?.origin))
}

/// Runs `work`, which may take as long as `limit`. A limit that is set within it has no effect.
pub fn limited<T>(limit: Duration, work: impl FnOnce() -> T) -> T {
    let begins = CLIENT.with_borrow_mut(|client| {
        let client = client.as_mut().filter(|client| client.limit.is_none());
        client.map(|client| client.limit = Some((Instant::now(), limit)))
    });
    let end = || {
        CLIENT.with_borrow_mut(|client| {
            if let Some(client) = client {
                client.limit = None;
            }
        });
    };
    let _ended = OnDrop(begins.map(|()| end));
    work()
}

/// Why this thread should not go on, if it should not.
pub fn stopped() -> Option<Stopped> {
    CLIENT.with_borrow(|client| client.as_ref()?.stopped())
}

/// Fails where the thread should not go on to do something ("list tags").
///
/// # Errors
/// `Abandoned` where the client is gone; `Unavailable` where it takes too long.
pub fn check(doing: &str) -> Result<()> {
    stopped().map_or(Ok(()), |stopped| Err(stopped.error(doing)))
}

/// Does it at the end, also of a panic.
struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if let Some(work) = self.0.take() {
            work();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    const HERE: Origin = Origin::BOX;

    #[test]
    fn a_network_of_ipv6_is_one_origin() {
        let origin = |address: &str| Origin::from(address.parse::<IpAddr>().unwrap());
        assert_eq!(origin("2001:db8::1"), origin("2001:db8::ffff:1"));
        assert_ne!(origin("2001:db8::1"), origin("2001:db8:0:1::1"));
        assert_ne!(origin("192.0.2.1"), origin("192.0.2.2"));
        assert_eq!(origin("192.0.2.1"), origin("::ffff:192.0.2.1"));
    }

    #[test]
    fn what_is_nobodys_or_short_is_not_asked_about() {
        assert_eq!((stopped(), origin()), (None, None));
        limited(Duration::ZERO, || {
            std::thread::sleep(2 * SOON);
            assert_eq!(stopped(), None, "the box's own work");
        });
        let asked = Rc::new(Cell::new(false));
        let asks = Rc::clone(&asked);
        let gone = move || {
            asks.set(true);
            true
        };
        serve(HERE, gone, || {
            std::thread::sleep(2 * SOON);
            assert_eq!(stopped(), None, "between two queries");
            limited(Duration::from_secs(9), || assert_eq!(stopped(), None));
        });
        assert!(!asked.get());
    }

    #[test]
    fn who_hung_up_and_who_waits_too_long_is_told_apart_and_the_outer_limit_holds() {
        let limit = Duration::from_secs(9);
        serve(
            HERE,
            || true,
            || {
                limited(limit, || {
                    std::thread::sleep(2 * SOON);
                    assert_eq!(check("x").unwrap_err().kind(), Kind::Abandoned);
                    limited(limit, || assert_eq!(stopped(), Some(Stopped::HungUp)));
                    assert_eq!(stopped(), Some(Stopped::HungUp));
                });
                assert_eq!(stopped(), None);
            },
        );
        serve(
            HERE,
            || false,
            || {
                limited(SOON, || {
                    std::thread::sleep(2 * SOON);
                    let error = check("list tags").unwrap_err();
                    assert!(matches!(error.kind(), Kind::Unavailable { .. }));
                    assert!(error.to_string().starts_with("cannot list tags within"));
                });
            },
        );
    }

    #[test]
    fn a_panic_leaves_no_client_behind() {
        let panicked = std::panic::catch_unwind(|| {
            serve(HERE, || true, || limited(SOON, || panic!("on purpose")));
        });
        assert!(panicked.is_err() && origin().is_none());
    }
}
