//! What is known of an upstream's health: its breakers behind a lock, with the real clock, and the last success
//! and failure for `status()`. Sends nothing.
//!
//! A second set of breakers is for questions with a short deadline alone, whose expiry says no more than that the
//! upstream is slow. Where such questions go unanswered, no others of their kind are asked for a while, but everything
//! else still is.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::BreakerState;
use super::breaker::State;
use super::breakers::{Breakers, Leave, Outage, Question, Refusal};
use super::fault::{Fault, FaultKind, in_words};
use crate::time::Timestamp;

/// How often the log says that the username and password are refused.
const REFUSAL_LOGGED_EVERY: Duration = Duration::from_secs(60 * 60);

/// Shared by an upstream and the bodies that still arrive from it.
pub(super) struct Health {
    name: String,
    journal: Mutex<Journal>,
}

struct Journal {
    breakers: Breakers,
    /// For questions with a short deadline, in addition.
    short: Breakers,
    last_failure: Option<(Fault, Timestamp)>,
    last_success: Option<Timestamp>,
    /// Whether it refused the box's username and password when it was last asked with them.
    refuses_credentials: bool,
    /// When the log last said so.
    refusal_logged: Option<Instant>,
}

/// A snapshot for `status()`.
pub(super) struct Report {
    pub(super) breaker: BreakerState,
    pub(super) failures_in_a_row: u32,
    pub(super) last_failure: Option<(Fault, Timestamp)>,
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
                refuses_credentials: false,
                refusal_logged: None,
            }),
        })
    }

    /// Lets one try in, or fails with `BreakerOpen`.
    pub(super) fn admit(self: &Arc<Self>, question: &Question) -> Result<Permit, Fault> {
        let mut journal = self.journal();
        let leave = journal.breakers.admit(question, Instant::now());
        let leave = leave.map_err(|refusal| {
            let last_failure = journal.last_failure.as_ref();
            let why = last_failure.map_or("", |(fault, _)| fault.message.as_str());
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

    fn refused(&self, how: &str, retry_after: Duration, because: &str) -> Fault {
        let name = &self.name;
        let pause = in_words(retry_after);
        Fault::new(
            FaultKind::BreakerOpen { retry_after },
            format!("{name} is not asked{how} for another {pause} because{because}"),
        )
    }

    /// A body that had begun arrived whole, or enough of it to prove that all is well.
    pub(super) fn body_arrived(&self, leave: &Leave) {
        let mut journal = self.journal();
        journal.answered(&self.name, leave);
        journal.last_success = Some(Timestamp::now());
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
                (State::Closed, _) if journal.refuses_credentials => {
                    BreakerState::CredentialsRefused
                }
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

    /// See [`super::Upstream::gives_nothing`]. Asked by each pull of what is kept: nothing is cloned before it is needed.
    pub(super) fn gives_nothing(&self, unanswered: bool) -> Option<String> {
        let journal = self.journal();
        let last = journal.last_failure.as_ref().map(|(fault, _)| fault);
        let is_away = match journal.breakers.state(Instant::now()) {
            State::Open => true,
            _ if !unanswered => false,
            State::Closed if journal.refuses_credentials => true,
            State::Closed | State::HalfOpen => {
                journal.breakers.failures() > 0 && last.is_some_and(Fault::is_unconnected)
            }
        };
        is_away.then(|| match last {
            Some(fault) => fault.message.clone(),
            None => format!("{} does not answer", self.name),
        })
    }

    /// It took the username and password. Nothing else ends that it refuses them: what it gives without them, or for a
    /// token of earlier, says nothing about them.
    pub(super) fn credentials_taken(&self) {
        let mut journal = self.journal();
        if std::mem::take(&mut journal.refuses_credentials) {
            tracing::info!(
                upstream = self.name,
                "takes the username and password again"
            );
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
        self.last_failure = Some((fault.clone(), Timestamp::now()));
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
        self.last_failure = Some((fault.clone(), Timestamp::now()));
    }

    fn answered(&mut self, name: &str, leave: &Leave) {
        let now = Instant::now();
        let was_closed = self.breakers.state(now) == State::Closed;
        self.breakers.answered(leave, now);
        if !was_closed {
            tracing::info!(upstream = name, "answers again");
        }
    }

    /// It answered that it does not take the box's username and password. Every pull of what is not kept hears of it,
    /// the log once in a while.
    fn refused(&mut self, name: &str, fault: &Fault) {
        self.last_failure = Some((fault.clone(), Timestamp::now()));
        self.refuses_credentials = true;
        let is_due = |at: Instant| at.elapsed() >= REFUSAL_LOGGED_EVERY;
        if self.refusal_logged.is_none_or(is_due) {
            self.refusal_logged = Some(Instant::now());
            tracing::warn!(
                upstream = name,
                "only what is cached is served: {fault} ({})",
                fault.remedy.as_deref().unwrap_or_default()
            );
        }
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
                None if fault.is_answer() => {
                    journal.answered(&self.health.name, &leave);
                    match fault.kind {
                        FaultKind::CredentialsRefused => journal.refused(&self.health.name, fault),
                        _ => journal.last_success = Some(Timestamp::now()),
                    }
                }
                None => journal.breakers.abandoned(&leave),
            },
            Ok(_) => {
                journal.answered(&self.health.name, &leave);
                journal.last_success = Some(Timestamp::now());
            }
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
