//! What is known of an upstream's health: its breakers behind a lock, with the real clock, and the last success
//! and failure for `status()`. Sends nothing.
//!
//! A second set of breakers is for questions with a short deadline alone, whose expiry says no more than that the
//! upstream is slow. Where such questions go unanswered, no others of their kind are asked for a while, but everything
//! else still is.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use super::BreakerState;
use super::breaker::State;
use super::breakers::{Breakers, Leave, Outage, Question, Refusal};
use super::fault::{Fault, FaultKind, in_words};
use crate::time::Timestamp;

/// Shared by an upstream and the bodies that still arrive from it.
pub(super) struct Health {
    name: String,
    journal: Mutex<Journal>,
}

struct Journal {
    breakers: Breakers,
    /// For questions with a short deadline, in addition.
    short: Breakers,
    last_failure: Option<(String, Timestamp)>,
    last_success: Option<Timestamp>,
}

/// A snapshot for `status()`.
pub(super) struct Report {
    pub(super) breaker: BreakerState,
    pub(super) failures_in_a_row: u32,
    pub(super) last_failure: Option<(String, Timestamp)>,
    pub(super) last_success: Option<Timestamp>,
}

impl Health {
    pub(super) fn new(name: String) -> Arc<Self> {
        Arc::new(Self {
            name,
            journal: Mutex::new(Journal {
                breakers: Breakers::new(),
                short: Breakers::new(),
                last_failure: None,
                last_success: None,
            }),
        })
    }

    /// Lets one try in, or fails with `BreakerOpen`.
    pub(super) fn admit(self: &Arc<Self>, question: &Question) -> Result<Permit, Fault> {
        let mut journal = self.journal();
        let leave = journal.breakers.admit(question, Instant::now());
        let leave = leave.map_err(|refusal| {
            let last_failure = journal.last_failure.as_ref();
            let why = last_failure.map_or("", |(why, _)| why);
            match refusal {
                Refusal::Upstream(after) => self.refused("", after, &format!(" it failed: {why}")),
                Refusal::Question(after, why) => {
                    self.refused(" for this", after, &format!(" it did not give it: {why}"))
                }
            }
        })?;
        Ok(Permit {
            health: Arc::clone(self),
            leave: Some(leave),
            short: None,
        })
    }

    /// Lets one question with a short deadline in. Fails with `BreakerOpen` also where the last ones of its kind went
    /// unanswered.
    pub(super) fn admit_short(self: &Arc<Self>, question: &Question) -> Result<Permit, Fault> {
        let mut permit = self.admit(question)?;
        let admitted = self.journal().short.admit(question, Instant::now());
        // Without leave `permit` is dropped, which gives the probe's place back.
        permit.short = Some(admitted.map_err(|refusal| match refusal {
            Refusal::Upstream(after) => self.refused(" in haste", after, " it is slow"),
            Refusal::Question(after, _) => self.refused(" for this in haste", after, " it is slow"),
        })?);
        Ok(permit)
    }

    fn refused(&self, how: &str, retry_after: std::time::Duration, because: &str) -> Fault {
        let name = &self.name;
        let pause = in_words(retry_after);
        Fault::new(
            FaultKind::BreakerOpen { retry_after },
            format!("{name} is not asked{how} for another {pause} because{because}"),
        )
    }

    /// A body that had begun arrived whole, or enough of it to prove that all is well.
    pub(super) fn body_arrived(&self, leave: &Leave) {
        self.journal().answered(&self.name, leave);
    }

    /// A body that had begun broke off.
    pub(super) fn body_broke(&self, leave: &Leave, fault: &Fault) {
        if let Some(outage) = fault.outage() {
            self.journal().failed(&self.name, leave, outage, fault);
        }
    }

    pub(super) fn report(&self) -> Report {
        let journal = self.journal();
        let now = Instant::now();
        let is_slow = journal.short.holds_questions_back(now);
        Report {
            breaker: match (journal.breakers.state(now), journal.short.state(now)) {
                (State::Closed, State::Closed) if is_slow => BreakerState::Slow,
                (State::Closed, State::Closed) => BreakerState::Closed,
                (State::Closed, _) => BreakerState::Slow,
                (State::Open, _) => BreakerState::Open,
                (State::HalfOpen, _) => BreakerState::HalfOpen,
            },
            failures_in_a_row: journal.breakers.failures(),
            last_failure: journal.last_failure.clone(),
            last_success: journal.last_success,
        }
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock()
    }
}

impl Journal {
    fn failed(&mut self, name: &str, leave: &Leave, outage: Outage, fault: &Fault) {
        let now = Instant::now();
        let was_closed = self.breakers.state(now) == State::Closed;
        self.breakers.failed(leave, outage, &fault.message, now);
        if was_closed && self.breakers.state(now) != State::Closed {
            tracing::warn!(
                upstream = name,
                "away: only what is cached is served until it answers again: {fault}"
            );
        }
        self.last_failure = Some((fault.message.clone(), Timestamp::now()));
    }

    /// A question with a short deadline went unanswered.
    fn expired(&mut self, name: &str, leave: &Leave, fault: &Fault) {
        let now = Instant::now();
        let was_closed = self.short.state(now) == State::Closed;
        self.short
            .failed(leave, Outage::NoAnswer, &fault.message, now);
        if was_closed && self.short.state(now) != State::Closed {
            tracing::warn!(
                upstream = name,
                "slow: kept tags are served without asking for a while: {fault}"
            );
        }
        self.last_failure = Some((fault.message.clone(), Timestamp::now()));
    }

    fn answered(&mut self, name: &str, leave: &Leave) {
        let now = Instant::now();
        let was_closed = self.breakers.state(now) == State::Closed;
        self.breakers.answered(leave, now);
        if !was_closed {
            tracing::info!(upstream = name, "answers again");
        }
        self.last_success = Some(Timestamp::now());
    }
}

/// Leave for one try. Dropped without a result, it gives the probe's place back.
pub(super) struct Permit {
    health: Arc<Health>,
    leave: Option<Leave>,
    /// Set for a question with a short deadline.
    short: Option<Leave>,
}

impl Permit {
    /// Reports how the try ended. `complete`: a success is a whole answer, not just the beginning of a
    /// body.
    pub(super) fn settle<T>(mut self, result: &Result<T, Fault>, complete: bool) {
        let Some(leave) = self.leave.take() else {
            return;
        };
        let mut journal = self.health.journal();
        if let Some(short) = self.short.take() {
            match result {
                Err(fault) if fault.outage().is_some() => journal.short.abandoned(&short),
                _ => journal.short.answered(&short, Instant::now()),
            }
        }
        match result {
            Ok(_) if !complete => {
                journal.breakers.began(&leave);
                journal.last_success = Some(Timestamp::now());
            }
            Err(fault) => match fault.outage() {
                Some(outage) => journal.failed(&self.health.name, &leave, outage, fault),
                None if fault.is_answer() => journal.answered(&self.health.name, &leave),
                None => journal.breakers.abandoned(&leave),
            },
            Ok(_) => journal.answered(&self.health.name, &leave),
        }
    }

    /// Reports that a question's own short deadline ended it. This is no outage: a longer wait might have brought an
    /// answer.
    pub(super) fn expire(mut self, fault: &Fault) {
        if let Some(short) = self.short.take() {
            let mut journal = self.health.journal();
            journal.expired(&self.health.name, &short, fault);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut journal = self.health.journal();
        if let Some(leave) = self.leave.take() {
            journal.breakers.abandoned(&leave);
        }
        if let Some(short) = self.short.take() {
            journal.short.abandoned(&short);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::oci::RepositoryName;

    fn question(repository: &str) -> Question {
        let repository = RepositoryName::parse(repository).unwrap();
        Question::new(&repository, "manifests/latest")
    }

    /// As if three questions with a short deadline, or three tries, had failed and the pause were over.
    fn half_open() -> Breakers {
        let mut breakers = Breakers::new();
        let long_ago = Instant::now() - Duration::from_secs(9);
        for _ in 0..3 {
            let leave = Leave::to_read(question("a"), long_ago);
            breakers.failed(&leave, Outage::NoConnection, "refused", long_ago);
        }
        breakers
    }

    #[test]
    fn unanswered_short_deadlines_stop_only_their_like() {
        let health = Health::new("docker.io".to_owned());
        let late = Fault::new(FaultKind::TimedOut, "late");
        for name in ["a", "b", "c"] {
            assert_eq!(health.report().breaker, BreakerState::Closed);
            health.admit_short(&question(name)).unwrap().expire(&late);
        }
        assert_eq!(health.report().breaker, BreakerState::Slow);
        assert_eq!(health.report().failures_in_a_row, 0);
        let d = question("d");
        let refused = health.admit_short(&d).map(|_| ()).unwrap_err();
        assert!(matches!(refused.kind, FaultKind::BreakerOpen { .. }));
        // Questions without a short deadline are still asked, and their answers do not count for those with one.
        health.admit(&d).unwrap().settle(&Ok(()), true);
        assert_eq!(health.report().breaker, BreakerState::Slow);
        // Its time has come: one probe, and its answer ends it.
        health.journal().short = half_open();
        let probe = health.admit_short(&d).unwrap();
        assert!(health.admit_short(&d).is_err(), "one probe at a time");
        drop(probe);
        health.admit_short(&d).unwrap().settle(&Ok(()), true);
        assert_eq!(health.report().breaker, BreakerState::Closed);
    }

    #[test]
    fn one_tag_that_is_not_answered_in_time_is_alone_served_without_asking() {
        let health = Health::new("docker.io".to_owned());
        let (tag, late) = (question("a"), Fault::new(FaultKind::TimedOut, "late"));
        for _ in 0..3 {
            assert_eq!(health.report().breaker, BreakerState::Closed);
            health.admit_short(&tag).unwrap().expire(&late);
        }
        assert_eq!(health.report().breaker, BreakerState::Slow);
        let refused = health.admit_short(&tag).map(|_| ()).unwrap_err();
        assert!(refused.message.contains("for this"), "{refused}");
        assert!(health.admit_short(&question("b")).is_ok());
        assert!(health.admit(&tag).is_ok(), "with patience");
    }

    #[test]
    fn a_try_that_dies_gives_the_probes_place_back() {
        let health = Health::new("docker.io".to_owned());
        let a = question("a");
        let fault = Fault::new(FaultKind::Unreachable, "refused").without_connection();
        for _ in 0..3 {
            let permit = health.admit(&a).unwrap();
            permit.settle(&Err::<(), _>(fault.clone()), true);
        }
        let open = health.admit(&a).map(|_| ()).unwrap_err();
        assert!(matches!(open.kind, FaultKind::BreakerOpen { .. }), "{open}");
        assert!(open.message.contains("refused"), "{open}");
        health.journal().breakers = half_open();
        let panicked = std::thread::spawn({
            let (health, a) = (Arc::clone(&health), a.clone());
            move || {
                let _permit = health.admit(&a).unwrap();
                assert!(health.admit(&a).is_err(), "one probe at a time");
                panic!("the probe dies");
            }
        });
        assert!(panicked.join().is_err());
        health.admit(&a).unwrap().settle(&Ok(()), true);
        assert_eq!(health.report().breaker, BreakerState::Closed);
        assert_eq!(health.report().failures_in_a_row, 0);
    }

    #[test]
    fn only_outages_open_it() {
        let health = Health::new("docker.io".to_owned());
        for kind in [
            FaultKind::NotFound,
            FaultKind::Denied,
            FaultKind::RateLimited {
                retry_after: Duration::ZERO,
            },
            FaultKind::Protocol,
            FaultKind::MethodNotAllowed,
        ] {
            for name in ["a", "b", "c", "d"] {
                let fault: Result<(), _> = Err(Fault::new(kind, ""));
                health.admit(&question(name)).unwrap().settle(&fault, true);
            }
            assert_eq!(health.report().breaker, BreakerState::Closed, "{kind:?}");
        }
    }
}
