//! What is known of an upstream's health: the breaker behind a lock, with the real clock, and the last
//! success and failure for `status()`. Sends nothing.
//!
//! A second breaker is for hasty questions alone: those with a deadline so short that its expiry says no more
//! than "slow". Where they go unanswered, nobody waits for their like for a while, and everything else is
//! still asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::breaker::{Admission, Breaker, State};
use super::fault::{Fault, FaultKind, in_words};
use crate::oci::RepositoryName;
use crate::time::Timestamp;

/// So many failing repositories are told apart: more than it takes to open the breaker.
const MOST_FAILING: usize = 16;

/// Shared by an upstream and the bodies that still arrive from it.
pub(super) struct Health {
    name: String,
    journal: Mutex<Journal>,
}

struct Journal {
    breaker: Breaker,
    /// For hasty questions, in addition.
    hasty: Breaker,
    /// The repositories that got a 5xx since the last good answer.
    failing: Vec<RepositoryName>,
    last_failure: Option<(String, Timestamp)>,
    last_success: Option<Timestamp>,
}

/// A snapshot for `status()`.
pub(super) struct Report {
    pub(super) breaker: &'static str,
    pub(super) failures_in_a_row: u32,
    pub(super) last_failure: Option<(String, Timestamp)>,
    pub(super) last_success: Option<Timestamp>,
}

impl Health {
    pub(super) fn new(name: String) -> Arc<Self> {
        Arc::new(Self {
            name,
            journal: Mutex::new(Journal {
                breaker: Breaker::new(),
                hasty: Breaker::new(),
                failing: Vec::new(),
                last_failure: None,
                last_success: None,
            }),
        })
    }

    /// Lets one try in, or fails with `BreakerOpen`.
    pub(super) fn admit(self: &Arc<Self>, repository: &RepositoryName) -> Result<Permit, Fault> {
        let mut journal = self.journal();
        match journal.breaker.admit(Instant::now()) {
            Ok(admission) => Ok(Permit {
                health: Arc::clone(self),
                repository: repository.clone(),
                admission: Some(admission),
                hasty: None,
            }),
            Err(retry_after) => {
                let why = journal.last_failure.as_ref().map_or("", |(why, _)| why);
                Err(Fault::new(
                    FaultKind::BreakerOpen { retry_after },
                    format!(
                        "{} is not asked for another {} because it failed: {why}",
                        self.name,
                        in_words(retry_after)
                    ),
                ))
            }
        }
    }

    /// Lets one hasty question in, or fails with `BreakerOpen` also where the last ones went unanswered.
    pub(super) fn admit_hasty(
        self: &Arc<Self>,
        repository: &RepositoryName,
    ) -> Result<Permit, Fault> {
        let mut permit = self.admit(repository)?;
        let admitted = self.journal().hasty.admit(Instant::now());
        // Without leave `permit` is dropped, which gives the probe's place back.
        permit.hasty = Some(admitted.map_err(|retry_after| {
            Fault::new(
                FaultKind::BreakerOpen { retry_after },
                format!(
                    "{} is not asked in haste for another {} because it is slow",
                    self.name,
                    in_words(retry_after)
                ),
            )
        })?);
        Ok(permit)
    }

    /// A body that had begun arrived whole, or enough of it to prove that all is well.
    pub(super) fn body_arrived(&self) {
        let mut journal = self.journal();
        journal.succeeded(&self.name, Admission::Ordinary);
    }

    /// A body that had begun broke off.
    pub(super) fn body_broke(&self, fault: &Fault) {
        self.journal()
            .failed(&self.name, Admission::Ordinary, fault);
    }

    pub(super) fn report(&self) -> Report {
        let journal = self.journal();
        let now = Instant::now();
        Report {
            breaker: match (journal.breaker.state(now), journal.hasty.state(now)) {
                (State::Closed, State::Closed) => "closed",
                (State::Closed, _) => "slow",
                (State::Open, _) => "open",
                (State::HalfOpen, _) => "half-open",
            },
            failures_in_a_row: journal.breaker.failures(),
            last_failure: journal.last_failure.clone(),
            last_success: journal.last_success,
        }
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal {
    fn failed(&mut self, name: &str, admission: Admission, fault: &Fault) {
        let now = Instant::now();
        let was_closed = matches!(self.breaker.state(now), State::Closed);
        self.breaker.failed(admission, now);
        if was_closed && !matches!(self.breaker.state(now), State::Closed) {
            tracing::warn!(
                upstream = name,
                "away: only what is cached is served until it answers again: {fault}"
            );
        }
        self.last_failure = Some((fault.message.clone(), Timestamp::now()));
    }

    /// It answers, with a 5xx. A repository that is broken there counts once, however often it is tried: the
    /// others may be well. A probe that gets no better answer has failed.
    fn answered_badly(
        &mut self,
        name: &str,
        admission: Admission,
        repository: &RepositoryName,
        fault: &Fault,
    ) {
        let is_new = !self.failing.contains(repository);
        if is_new && self.failing.len() < MOST_FAILING {
            self.failing.push(repository.clone());
        }
        if is_new || admission == Admission::Probe {
            self.failed(name, admission, fault);
        } else {
            self.last_failure = Some((fault.message.clone(), Timestamp::now()));
        }
    }

    /// A hasty question went unanswered.
    fn expired(&mut self, name: &str, admission: Admission, fault: &Fault) {
        let now = Instant::now();
        let was_closed = matches!(self.hasty.state(now), State::Closed);
        self.hasty.failed(admission, now);
        if was_closed && !matches!(self.hasty.state(now), State::Closed) {
            tracing::warn!(
                upstream = name,
                "slow: kept tags are served without asking for a while: {fault}"
            );
        }
        self.last_failure = Some((fault.message.clone(), Timestamp::now()));
    }

    fn succeeded(&mut self, name: &str, admission: Admission) {
        let was_closed = matches!(self.breaker.state(Instant::now()), State::Closed);
        self.breaker.succeeded(admission);
        self.failing.clear();
        if !was_closed {
            tracing::info!(upstream = name, "answers again");
        }
        self.last_success = Some(Timestamp::now());
    }
}

/// Leave for one try. Dropped without a result, it gives the probe's place back.
pub(super) struct Permit {
    health: Arc<Health>,
    repository: RepositoryName,
    admission: Option<Admission>,
    /// Set for a hasty question.
    hasty: Option<Admission>,
}

impl Permit {
    /// Reports how the try ended. `complete`: a success is a whole answer, not just the beginning of a
    /// body.
    pub(super) fn settle<T>(mut self, result: &Result<T, Fault>, complete: bool) {
        let Some(admission) = self.admission.take() else {
            return;
        };
        let mut journal = self.health.journal();
        if let Some(hasty) = self.hasty.take() {
            match result {
                Err(fault) if fault.is_outage() => journal.hasty.abandoned(hasty),
                _ => journal.hasty.succeeded(hasty),
            }
        }
        match result {
            Err(fault) if matches!(fault.kind, FaultKind::ServerError { .. }) => {
                journal.answered_badly(&self.health.name, admission, &self.repository, fault);
            }
            Err(fault) if fault.is_outage() => journal.failed(&self.health.name, admission, fault),
            Err(fault) if !fault.is_answer() => journal.breaker.abandoned(admission),
            Ok(_) if !complete => {
                journal.breaker.began(admission);
                journal.failing.clear();
                journal.last_success = Some(Timestamp::now());
            }
            _ => journal.succeeded(&self.health.name, admission),
        }
    }

    /// Reports that a hasty question's own deadline ended it: no outage, as more patience might have got
    /// an answer.
    pub(super) fn expire(mut self, fault: &Fault) {
        if let Some(hasty) = self.hasty.take() {
            let mut journal = self.health.journal();
            journal.expired(&self.health.name, hasty, fault);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut journal = self.health.journal();
        if let Some(admission) = self.admission.take() {
            journal.breaker.abandoned(admission);
        }
        if let Some(hasty) = self.hasty.take() {
            journal.hasty.abandoned(hasty);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(name: &str) -> RepositoryName {
        RepositoryName::parse(name).unwrap()
    }

    #[test]
    fn a_broken_repository_alone_opens_nothing() {
        let health = Health::new("docker.io".to_owned());
        let status = FaultKind::ServerError { status: 500 };
        let settle = |name: &str, kind| {
            let fault: Result<(), _> = Err(Fault::new(kind, "failed"));
            let permit = health.admit(&repository(name)).unwrap();
            permit.settle(&fault, true);
        };
        for _ in 0..9 {
            settle("a/broken", status);
        }
        settle("b/broken", status);
        assert_eq!(health.report().breaker, "closed");
        assert_eq!(health.report().failures_in_a_row, 2);
        // An answer that is one, of whatever repository, begins the count anew.
        settle("c/well", FaultKind::NotFound);
        settle("a/broken", status);
        settle("b/broken", status);
        assert_eq!(health.report().breaker, "closed");
        settle("c/well", status);
        assert_eq!(health.report().breaker, "open");
    }

    #[test]
    fn haste_without_an_answer_stops_only_the_hasty() {
        let health = Health::new("docker.io".to_owned());
        let (name, late) = (repository("a"), Fault::new(FaultKind::TimedOut, "late"));
        for _ in 0..3 {
            assert_eq!(health.report().breaker, "closed");
            health.admit_hasty(&name).unwrap().expire(&late);
        }
        assert_eq!(health.report().breaker, "slow");
        assert_eq!(health.report().failures_in_a_row, 0);
        let refused = health.admit_hasty(&name).map(|_| ()).unwrap_err();
        assert!(matches!(refused.kind, FaultKind::BreakerOpen { .. }));
        // What is asked with patience still is, and says nothing about haste.
        health.admit(&name).unwrap().settle(&Ok(()), true);
        assert_eq!(health.report().breaker, "slow");
        // Its time has come: one probe, and its answer ends it.
        health.journal().hasty = {
            let mut breaker = Breaker::new();
            let long_ago = Instant::now() - std::time::Duration::from_secs(9);
            for _ in 0..3 {
                breaker.failed(Admission::Ordinary, long_ago);
            }
            breaker
        };
        let probe = health.admit_hasty(&name).unwrap();
        assert!(health.admit_hasty(&name).is_err(), "one probe at a time");
        drop(probe);
        health.admit_hasty(&name).unwrap().settle(&Ok(()), true);
        assert_eq!(health.report().breaker, "closed");
    }

    #[test]
    fn a_try_that_dies_gives_the_probes_place_back() {
        let health = Health::new("docker.io".to_owned());
        let fault: Result<(), _> = Err(Fault::new(FaultKind::Unreachable, "refused"));
        for _ in 0..3 {
            health
                .admit(&repository("a"))
                .map(|permit| permit.settle(&fault, true))
                .unwrap();
        }
        let open = health.admit(&repository("a")).map(|_| ()).unwrap_err();
        assert!(matches!(open.kind, FaultKind::BreakerOpen { .. }), "{open}");
        assert!(open.message.contains("refused"), "{open}");
        // A probe, as if its time had come.
        health.journal().breaker = {
            let mut breaker = Breaker::new();
            let long_ago = Instant::now() - std::time::Duration::from_secs(9);
            for _ in 0..3 {
                breaker.failed(Admission::Ordinary, long_ago);
            }
            breaker
        };
        let panicked = std::thread::spawn({
            let health = Arc::clone(&health);
            move || {
                let _permit = health.admit(&repository("a")).unwrap();
                assert!(
                    health.admit(&repository("a")).is_err(),
                    "one probe at a time"
                );
                panic!("the probe dies");
            }
        });
        assert!(panicked.join().is_err());
        health
            .admit(&repository("a"))
            .unwrap()
            .settle(&Ok(()), true);
        assert_eq!(health.report().breaker, "closed");
        assert_eq!(health.report().failures_in_a_row, 0);
    }

    #[test]
    fn only_outages_open_it() {
        let health = Health::new("docker.io".to_owned());
        for kind in [
            FaultKind::NotFound,
            FaultKind::Denied,
            FaultKind::RateLimited {
                retry_after: std::time::Duration::ZERO,
            },
            FaultKind::Protocol,
            FaultKind::MethodNotAllowed,
        ] {
            for _ in 0..4 {
                let fault: Result<(), _> = Err(Fault::new(kind, ""));
                health.admit(&repository("a")).unwrap().settle(&fault, true);
            }
            assert_eq!(health.report().breaker, "closed", "{kind:?}");
        }
    }
}
