//! The circuit breaker: whether an upstream may be asked now. Pure, the clock is a parameter.
//!
//! It knows no upstream and counts what it is told. Closed, everybody asks. After [`THRESHOLD`]
//! failures in a row it opens: nobody asks until the pause is over, then one probe at a time does. A
//! probe that fails doubles the pause, one that succeeds closes the breaker, and one that is dropped
//! without a result frees its place.

use std::time::{Duration, Instant};

use crate::time::after;

/// Failures in a row that open it.
const THRESHOLD: u32 = 3;
/// The first pause.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// What a caller is told to wait while a probe is on its way.
const WHILE_PROBING: Duration = Duration::from_secs(1);

/// How a request was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    Ordinary,
    /// As the one probe; it must end in `succeeded`, `failed` or `abandoned`.
    Probe,
}

/// What `status()` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Closed,
    /// Nobody asks before this moment.
    Open,
    /// The pause is over, or a probe is on its way.
    HalfOpen,
}

#[derive(Debug)]
pub(super) struct Breaker {
    failures: u32,
    /// `Some` while open: when the next probe may go.
    opens_at: Option<Instant>,
    pause: Duration,
    probing: bool,
}

impl Breaker {
    pub(super) fn new() -> Self {
        Self {
            failures: 0,
            opens_at: None,
            pause: FIRST_PAUSE,
            probing: false,
        }
    }

    /// Lets a request in, or says how long to wait.
    pub(super) fn admit(&mut self, now: Instant) -> Result<Admission, Duration> {
        let Some(opens_at) = self.opens_at else {
            return Ok(Admission::Ordinary);
        };
        if self.probing {
            return Err(WHILE_PROBING);
        }
        let wait = opens_at.saturating_duration_since(now);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.probing = true;
        Ok(Admission::Probe)
    }

    /// A request got its answer: everything is well, whoever asked.
    pub(super) fn succeeded(&mut self, admission: Admission) {
        self.end(admission);
        self.failures = 0;
        self.opens_at = None;
        self.pause = FIRST_PAUSE;
    }

    /// An answer began well, but its body is still to come: closes an open breaker on probation. The
    /// next failure opens it again, and only a whole success forgets the pause.
    pub(super) fn began(&mut self, admission: Admission) {
        self.end(admission);
        if self.opens_at.take().is_some() {
            self.failures = THRESHOLD - 1;
        }
    }

    /// A request failed in a way that says that the upstream is down.
    pub(super) fn failed(&mut self, admission: Admission, now: Instant) {
        self.end(admission);
        self.failures = self.failures.saturating_add(1);
        match (admission, self.opens_at) {
            (Admission::Probe, Some(_)) => {
                self.pause = self.pause.saturating_mul(2).min(LONGEST_PAUSE);
                self.opens_at = Some(after(now, self.pause));
            }
            // Requests that were on their way when it opened tell nothing new.
            (Admission::Ordinary, Some(_)) => {}
            (_, None) if self.failures >= THRESHOLD => self.opens_at = Some(after(now, self.pause)),
            (_, None) => {}
        }
    }

    /// A request ended without telling anything: the probe's place is free again.
    pub(super) fn abandoned(&mut self, admission: Admission) {
        self.end(admission);
    }

    /// Failures since the last success.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn state(&self, now: Instant) -> State {
        match self.opens_at {
            None => State::Closed,
            Some(opens_at) if now < opens_at && !self.probing => State::Open,
            Some(_) => State::HalfOpen,
        }
    }

    fn end(&mut self, admission: Admission) {
        if admission == Admission::Probe {
            self.probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::new();
        for _ in 0..THRESHOLD {
            let admission = breaker.admit(now).unwrap();
            breaker.failed(admission, now);
        }
        breaker
    }

    #[test]
    fn it_opens_after_three_failures_in_a_row_and_not_before() {
        let now = Instant::now();
        let mut breaker = Breaker::new();
        for _ in 0..2 {
            breaker.failed(Admission::Ordinary, now);
        }
        breaker.succeeded(Admission::Ordinary);
        for _ in 0..2 {
            breaker.failed(Admission::Ordinary, now);
            assert_eq!(breaker.state(now), State::Closed);
            assert_eq!(breaker.admit(now), Ok(Admission::Ordinary));
        }
        breaker.failed(Admission::Ordinary, now);
        assert_eq!(breaker.state(now), State::Open);
        assert_eq!(breaker.failures(), 3);
        assert_eq!(breaker.admit(now + seconds(2)), Err(seconds(3)));
    }

    #[test]
    fn one_probe_at_a_time_and_its_success_closes() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + seconds(5);
        assert_eq!(breaker.state(later), State::HalfOpen);
        assert_eq!(breaker.admit(later), Ok(Admission::Probe));
        assert_eq!(breaker.admit(later), Err(WHILE_PROBING));
        assert_eq!(breaker.admit(later + seconds(600)), Err(WHILE_PROBING));
        breaker.succeeded(Admission::Probe);
        assert_eq!(breaker.state(later), State::Closed);
        assert_eq!(breaker.admit(later), Ok(Admission::Ordinary));
        assert_eq!(breaker.failures(), 0);
    }

    #[test]
    fn failed_probes_double_the_pause_up_to_a_minute() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        for pause in [5, 10, 20, 40, 60, 60] {
            assert_eq!(breaker.admit(now), Err(seconds(pause)));
            now += seconds(pause);
            assert_eq!(breaker.admit(now), Ok(Admission::Probe));
            breaker.failed(Admission::Probe, now);
        }
        now += seconds(60);
        assert_eq!(breaker.admit(now), Ok(Admission::Probe));
        breaker.succeeded(Admission::Probe);
        // A success forgets the long pauses.
        for _ in 0..THRESHOLD {
            breaker.failed(Admission::Ordinary, now);
        }
        assert_eq!(breaker.admit(now), Err(seconds(5)));
    }

    #[test]
    fn an_abandoned_probe_frees_its_place() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + seconds(5);
        assert_eq!(breaker.admit(later), Ok(Admission::Probe));
        breaker.abandoned(Admission::Probe);
        assert_eq!(breaker.admit(later), Ok(Admission::Probe));
    }

    #[test]
    fn late_failures_of_ordinary_requests_do_not_prolong_the_pause() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.failed(Admission::Ordinary, now + seconds(4));
        assert_eq!(breaker.admit(now + seconds(4)), Err(seconds(1)));
        // And they do not take the probe's place away, nor free it.
        assert_eq!(breaker.admit(now + seconds(5)), Ok(Admission::Probe));
        breaker.failed(Admission::Ordinary, now + seconds(5));
        assert_eq!(breaker.admit(now + seconds(5)), Err(WHILE_PROBING));
    }

    #[test]
    fn a_body_that_began_well_closes_on_probation() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let mut later = now + seconds(5);
        let probe = breaker.admit(later).unwrap();
        breaker.began(probe);
        assert_eq!(breaker.admit(later), Ok(Admission::Ordinary));
        breaker.failed(Admission::Ordinary, later);
        assert_eq!(breaker.state(later), State::Open);
        later += seconds(5);
        let probe = breaker.admit(later).unwrap();
        breaker.began(probe);
        breaker.succeeded(Admission::Ordinary);
        assert_eq!(breaker.failures(), 0);
        // Where nothing had failed, a beginning changes nothing: three broken bodies open it.
        for _ in 0..THRESHOLD {
            breaker.began(Admission::Ordinary);
            assert_eq!(breaker.state(later), State::Closed);
            breaker.failed(Admission::Ordinary, later);
        }
        assert_eq!(breaker.state(later), State::Open);
    }
}
