//! What an upstream may be asked now: a breaker for all of it, and one for each question that fails. Pure, the
//! clock is a parameter.
//!
//! Many tenants share an upstream, and each chooses what it is asked for. What one of them can bring about must
//! not close the upstream to the others, so a failure counts for what it proves:
//!
//! 1. That no connection to the upstream's own host came about proves something about the upstream, whatever was
//!    asked. Each such failure counts.
//! 2. Everything else (silence, a body that breaks off, a host that the upstream redirects to, a 5xx) may be due
//!    to what was asked. It counts once for each repository, until that repository answers again.
//! 3. Nothing counts while the upstream answers others: that is, if anybody got a whole answer since the try that
//!    failed began.
//! 4. After three failures that count, with no answer in between, nobody asks until the pause is over, and then
//!    one probe at a time. A probe whose failure does not count decides nothing: the next one may go at once.
//! 5. A question that went unanswered three times in a row is not asked for a while, and holds nobody else up. Of
//!    a 5xx, which keeps nobody waiting, this is not said.
//!
//! One breaker a repository would not do for the last: in a popular repository one tenant could ask for what
//! fails, again and again, and keep the repository from all.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::breaker::{Admission, Breaker, State};
use crate::oci::{Digest, Reference, RepositoryName};

/// So many failing questions are told apart; beyond it, the one that failed longest ago is forgotten.
const MOST_QUESTIONS: usize = 1024;
/// So many failing repositories are told apart; beyond it, the first is forgotten and may count again.
const MOST_FAILING: usize = 256;

/// What is asked for: a repository and what follows its name in the path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) repository: RepositoryName,
    /// `blobs/sha256:…`
    pub(super) path: String,
}

impl Question {
    pub(super) fn new(repository: &RepositoryName, path: impl Into<String>) -> Self {
        Self {
            repository: repository.clone(),
            path: path.into(),
        }
    }

    pub(super) fn blob(repository: &RepositoryName, digest: &Digest) -> Self {
        Self::new(repository, format!("blobs/{digest}"))
    }

    pub(super) fn manifest(repository: &RepositoryName, reference: &Reference) -> Self {
        Self::new(repository, format!("manifests/{reference}"))
    }
}

/// How a try failed, as far as breakers are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outage {
    /// There was no connection to the upstream's own host.
    NoConnection,
    /// No whole answer came.
    NoAnswer,
    /// The answer was a 5xx.
    BadAnswer,
}

/// Why something may not be asked now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The upstream is away, for so long.
    Upstream(Duration),
    /// This question went unanswered for the reason given, and is not asked for so long.
    Question(Duration, String),
}

/// Leave for one try.
#[derive(Debug)]
pub(super) struct Leave {
    question: Question,
    upstream: Admission,
    own: Admission,
    began: Instant,
}

/// The breakers of one upstream.
#[derive(Debug)]
pub(super) struct Breakers {
    upstream: Breaker,
    /// Of the questions that failed since they were last answered.
    questions: HashMap<Question, Failing>,
    /// The repositories that count as failing, until they answer.
    failing: VecDeque<RepositoryName>,
    answered_at: Option<Instant>,
}

#[derive(Debug)]
struct Failing {
    breaker: Breaker,
    why: String,
    last: Instant,
}

impl Breakers {
    pub(super) fn new() -> Self {
        Self {
            upstream: Breaker::new(),
            questions: HashMap::new(),
            failing: VecDeque::new(),
            answered_at: None,
        }
    }

    /// Lets a try in. It must end in `answered`, `began`, `failed` or `abandoned`.
    pub(super) fn admit(&mut self, question: &Question, now: Instant) -> Result<Leave, Refusal> {
        let own = match self.questions.get_mut(question) {
            Some(failing) => {
                let admitted = failing.breaker.admit(now);
                admitted.map_err(|after| Refusal::Question(after, failing.why.clone()))?
            }
            None => Admission::Ordinary,
        };
        let mut leave = Leave::to_read(question.clone(), now);
        leave.own = own;
        match self.upstream.admit(now) {
            Ok(admission) => {
                leave.upstream = admission;
                Ok(leave)
            }
            Err(after) => {
                self.abandoned(&leave);
                Err(Refusal::Upstream(after))
            }
        }
    }

    /// A whole answer came.
    pub(super) fn answered(&mut self, leave: &Leave, now: Instant) {
        self.upstream.succeeded(leave.upstream);
        self.questions.remove(&leave.question);
        self.failing
            .retain(|failing| *failing != leave.question.repository);
        self.answered_at = Some(now);
    }

    /// An answer began well, but its body is still to come.
    pub(super) fn began(&mut self, leave: &Leave) {
        self.upstream.began(leave.upstream);
        if let Some(failing) = self.questions.get_mut(&leave.question) {
            failing.breaker.began(leave.own);
        }
    }

    /// The try failed; `why` is a sentence.
    pub(super) fn failed(&mut self, leave: &Leave, outage: Outage, why: &str, now: Instant) {
        if outage == Outage::NoAnswer {
            self.question_failed(leave, why, now);
        } else if let Some(failing) = self.questions.get_mut(&leave.question) {
            failing.breaker.abandoned(leave.own);
        }
        let answers_others = self.answered_at.is_some_and(|at| at > leave.began);
        let counts = !answers_others
            && (outage == Outage::NoConnection || self.is_first_of(&leave.question.repository));
        if counts {
            self.upstream.failed(leave.upstream, now);
        } else {
            self.upstream.abandoned(leave.upstream);
        }
    }

    /// The try ended without telling anything: places of probes are free again.
    pub(super) fn abandoned(&mut self, leave: &Leave) {
        self.upstream.abandoned(leave.upstream);
        if let Some(failing) = self.questions.get_mut(&leave.question) {
            failing.breaker.abandoned(leave.own);
        }
    }

    /// That of the upstream as a whole.
    pub(super) fn state(&self, now: Instant) -> State {
        self.upstream.state(now)
    }

    /// Failures that count since the last answer.
    pub(super) fn failures(&self) -> u32 {
        self.upstream.failures()
    }

    /// Whether any question is not asked now because it went unanswered.
    pub(super) fn holds_questions_back(&self, now: Instant) -> bool {
        let mut failing = self.questions.values();
        failing.any(|failing| failing.breaker.state(now) == State::Open)
    }

    fn question_failed(&mut self, leave: &Leave, why: &str, now: Instant) {
        if !self.questions.contains_key(&leave.question) && self.questions.len() >= MOST_QUESTIONS {
            let oldest = self.questions.iter().min_by_key(|(_, one)| one.last);
            if let Some(oldest) = oldest.map(|(question, _)| question.clone()) {
                self.questions.remove(&oldest);
            }
        }
        let failing = self
            .questions
            .entry(leave.question.clone())
            .or_insert_with(|| Failing {
                breaker: Breaker::new(),
                why: String::new(),
                last: now,
            });
        failing.breaker.failed(leave.own, now);
        failing.why = why.to_owned();
        failing.last = now;
    }

    /// Notes that the repository fails; whether that is new.
    fn is_first_of(&mut self, repository: &RepositoryName) -> bool {
        if self.failing.contains(repository) {
            return false;
        }
        if self.failing.len() >= MOST_FAILING {
            self.failing.pop_front();
        }
        self.failing.push_back(repository.clone());
        true
    }
}

impl Leave {
    /// For the body of an answer that has begun, which needs no leave to go on.
    pub(super) fn to_read(question: Question, began: Instant) -> Self {
        Self {
            question,
            upstream: Admission::Ordinary,
            own: Admission::Ordinary,
            began,
        }
    }
}
