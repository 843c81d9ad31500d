//! How the fake upstream answers one request: as a good registry would, with chosen flaws. Only says
//! what to do; `serve.rs` does it.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// One answer. Begins with [`Answer::good`], [`Answer::status`], [`Answer::body`], [`Answer::redirect`],
/// [`Answer::silence`], [`Answer::hang_up`] or [`Answer::reset`]; flaws are added by the other methods
/// and combine.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(super) base: Base,
    pub(super) delay: Duration,
    pub(super) headers: Vec<(String, String)>,
    pub(super) without: Vec<String>,
    pub(super) framing: Framing,
    pub(super) empty: bool,
    pub(super) wrong_bytes: bool,
    pub(super) ignore_range: bool,
    pub(super) event: Option<(usize, Event)>,
    pub(super) pace: Option<(usize, Duration)>,
}

#[derive(Clone, Debug)]
pub(super) enum Base {
    Good,
    Canned(u16, String, Vec<u8>),
    Redirect(u16, String),
    Silence,
    HangUp,
    Reset,
}

#[derive(Clone, Debug)]
pub(super) enum Framing {
    Length(i64),
    Chunked,
    UntilClose,
}

/// What happens in the middle of a body.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Close,
    Reset,
    Stall,
    Wait(Gate),
}

impl Answer {
    fn new(base: Base) -> Self {
        Self {
            base,
            delay: Duration::ZERO,
            headers: Vec::new(),
            without: Vec::new(),
            framing: Framing::Length(0),
            empty: false,
            wrong_bytes: false,
            ignore_range: false,
            event: None,
            pace: None,
        }
    }

    /// What a registry answers.
    pub(crate) fn good() -> Self {
        Self::new(Base::Good)
    }

    /// A status with a small OCI error as its body.
    pub(crate) fn status(status: u16) -> Self {
        let body = format!(r#"{{"errors":[{{"code":"FAKE","message":"status {status}"}}]}}"#);
        Self::body(status, "application/json", body)
    }

    /// A status, a `Content-Type` and a body.
    pub(crate) fn body(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new(Base::Canned(status, content_type.to_owned(), body.into()))
    }

    /// 429, with `Retry-After` where given (seconds or a date).
    pub(crate) fn too_many(retry_after: Option<&str>) -> Self {
        let answer = Self::status(429);
        match retry_after {
            Some(retry_after) => answer.header("Retry-After", retry_after),
            None => answer,
        }
    }

    /// 307 to `location`, in which `{path}` stands for the path that was asked.
    pub(crate) fn redirect(location: &str) -> Self {
        Self::new(Base::Redirect(307, location.to_owned()))
    }

    /// Reads the request and says nothing until the client gives up or the server stops.
    pub(crate) fn silence() -> Self {
        Self::new(Base::Silence)
    }

    /// Reads the request and closes the connection.
    pub(crate) fn hang_up() -> Self {
        Self::new(Base::HangUp)
    }

    /// Reads the request and resets the connection (RST).
    pub(crate) fn reset() -> Self {
        Self::new(Base::Reset)
    }

    /// Adds a header; one of the same name that a good answer has is replaced.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.without.push(name.to_owned());
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Leaves a header out.
    pub(crate) fn without_header(mut self, name: &str) -> Self {
        self.without.push(name.to_owned());
        self
    }

    /// Waits before the head.
    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The body in chunks, without `Content-Length`.
    pub(crate) fn chunked(mut self) -> Self {
        self.framing = Framing::Chunked;
        self
    }

    /// The body without any framing: the closed connection is its end.
    pub(crate) fn until_close(mut self) -> Self {
        self.framing = Framing::UntilClose;
        self
    }

    /// A `Content-Length` that is wrong by so much; the connection is closed after the body.
    pub(crate) fn length_off_by(mut self, bytes: i64) -> Self {
        self.framing = Framing::Length(bytes);
        self
    }

    /// No body, with `Content-Length: 0`.
    pub(crate) fn empty(mut self) -> Self {
        self.empty = true;
        self
    }

    /// The right length, but the last byte is another.
    pub(crate) fn wrong_bytes(mut self) -> Self {
        self.wrong_bytes = true;
        self
    }

    /// 200 with the whole blob, whatever `Range` says.
    pub(crate) fn ignore_range(mut self) -> Self {
        self.ignore_range = true;
        self
    }

    /// Closes the connection after so many bytes of the body.
    pub(crate) fn truncate_at(self, bytes: usize) -> Self {
        self.at(bytes, Event::Close)
    }

    /// Resets the connection (RST) after so many bytes of the body.
    pub(crate) fn reset_at(self, bytes: usize) -> Self {
        self.at(bytes, Event::Reset)
    }

    /// Falls silent after so many bytes of the body (0: after the head).
    pub(crate) fn stall_at(self, bytes: usize) -> Self {
        self.at(bytes, Event::Stall)
    }

    /// Waits after so many bytes of the body until the test opens `gate`, then goes on.
    pub(crate) fn wait_at(self, bytes: usize, gate: &Gate) -> Self {
        self.at(bytes, Event::Wait(gate.clone()))
    }

    /// So many bytes of the body at a time, with a pause after each piece.
    pub(crate) fn slowly(mut self, bytes: usize, pause: Duration) -> Self {
        self.pace = Some((bytes.max(1), pause));
        self
    }

    fn at(mut self, bytes: usize, event: Event) -> Self {
        self.event = Some((bytes, event));
        self
    }
}

/// Holds an answer back until the test opens it. Clones are the same gate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Debug, Default)]
struct GateState {
    waiting: usize,
    open: bool,
}

impl Gate {
    /// A closed gate.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Lets everybody through, now and later.
    pub(crate) fn open(&self) {
        self.0.0.lock().unwrap().open = true;
        self.0.1.notify_all();
    }

    /// Blocks until an answer waits here: what comes before the gate has been sent.
    pub(crate) fn await_arrival(&self) {
        let state = self.0.0.lock().unwrap();
        let (_state, timeout) = self
            .0
            .1
            .wait_timeout_while(state, Duration::from_secs(30), |state| state.waiting == 0)
            .unwrap();
        assert!(!timeout.timed_out(), "no answer came to the gate in 30 s");
    }

    /// Waits; gives up when `stopped` says so.
    pub(super) fn pass(&self, stopped: impl Fn() -> bool) {
        let mut state = self.0.0.lock().unwrap();
        state.waiting += 1;
        self.0.1.notify_all();
        while !state.open && !stopped() {
            let pause = Duration::from_millis(20);
            state = self.0.1.wait_timeout(state, pause).unwrap().0;
        }
        state.waiting -= 1;
    }
}
