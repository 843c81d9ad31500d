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

#[cfg(test)]
mod tests {
    use super::Outage::{BadAnswer, NoAnswer, NoConnection};
    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);

    /// The breakers of an upstream, and a clock that a test moves.
    struct Asked {
        breakers: Breakers,
        now: Instant,
    }

    impl Asked {
        fn new() -> Self {
            Self {
                breakers: Breakers::new(),
                now: Instant::now(),
            }
        }

        fn question(text: &str) -> Question {
            let (repository, path) = text.split_once(' ').unwrap();
            Question::new(&RepositoryName::parse(repository).unwrap(), path)
        }

        fn admit(&mut self, text: &str) -> Result<Leave, Refusal> {
            self.now += Duration::from_millis(1);
            self.breakers.admit(&Self::question(text), self.now)
        }

        fn fail(&mut self, text: &str, outage: Outage) {
            let leave = self.admit(text).unwrap();
            self.breakers.failed(&leave, outage, "it failed", self.now);
        }

        fn answer(&mut self, text: &str) {
            let leave = self.admit(text).unwrap();
            self.breakers.answered(&leave, self.now);
        }

        fn is_open(&self) -> bool {
            self.breakers.state(self.now) != State::Closed
        }
    }

    #[test]
    fn a_failure_counts_for_what_it_proves() {
        struct Case {
            what: &'static str,
            failures: &'static [(&'static str, Outage)],
            opens: bool,
        }
        for case in [
            Case {
                what: "no connection, whatever is asked",
                failures: &[("a x", NoConnection); 3],
                opens: true,
            },
            Case {
                what: "one repository with a 5xx, often",
                failures: &[("a x", BadAnswer); 9],
                opens: false,
            },
            Case {
                what: "one repository, many questions without an answer",
                failures: &[
                    ("a 1", NoAnswer),
                    ("a 2", NoAnswer),
                    ("a 3", NoAnswer),
                    ("a 4", NoAnswer),
                ],
                opens: false,
            },
            Case {
                what: "two repositories in turn",
                failures: &[
                    ("a x", BadAnswer),
                    ("b x", NoAnswer),
                    ("a x", NoAnswer),
                    ("b y", BadAnswer),
                ],
                opens: false,
            },
            Case {
                what: "three repositories",
                failures: &[("a x", BadAnswer), ("b x", NoAnswer), ("c x", NoAnswer)],
                opens: true,
            },
            Case {
                what: "a repository and two failures to connect",
                failures: &[
                    ("a x", NoAnswer),
                    ("a x", NoConnection),
                    ("a x", NoConnection),
                ],
                opens: true,
            },
        ] {
            let mut asked = Asked::new();
            for (question, outage) in case.failures {
                assert!(!asked.is_open(), "{}", case.what);
                asked.fail(question, *outage);
            }
            assert_eq!(asked.is_open(), case.opens, "{}", case.what);
        }
    }

    #[test]
    fn nothing_counts_while_others_are_answered() {
        let mut asked = Asked::new();
        // A hundred questions of as many repositories hang, and end together.
        let hanging: Vec<_> = (0..100)
            .map(|number| asked.admit(&format!("evil/{number} x")).unwrap())
            .collect();
        asked.answer("good/app x");
        asked.now += Duration::from_secs(30);
        for leave in &hanging {
            asked.breakers.failed(leave, NoAnswer, "late", asked.now);
        }
        assert!(!asked.is_open());
        assert_eq!(asked.breakers.failures(), 0);
        // Those that begin after the last answer are another matter.
        for repository in ["a", "b", "c"] {
            asked.fail(&format!("{repository} x"), NoAnswer);
        }
        assert!(asked.is_open());
    }

    #[test]
    fn the_same_repositories_open_it_once_until_they_answer() {
        let mut asked = Asked::new();
        for (what, question) in [("it opens", "good/app x"), ("they count no more", "b x")] {
            for repository in ["a", "b", "c"] {
                asked.fail(&format!("{repository} x"), BadAnswer);
            }
            assert_eq!(asked.is_open(), what == "it opens", "{what}");
            asked.now += PAUSE;
            // As the probe, where there is one; it closes.
            asked.answer(question);
            assert!(!asked.is_open());
        }
        asked.fail("b x", BadAnswer);
        assert_eq!(asked.breakers.failures(), 1, "b has answered since");
    }

    #[test]
    fn a_probe_that_proves_nothing_keeps_nobody_waiting() {
        let mut asked = Asked::new();
        for repository in ["a", "b", "c"] {
            asked.fail(&format!("{repository} x"), BadAnswer);
        }
        let refused = asked.admit("good/app x").unwrap_err();
        assert!(matches!(refused, Refusal::Upstream(after) if after <= PAUSE));
        asked.now += PAUSE;
        asked.fail("a x", BadAnswer);
        asked.answer("good/app x");
        assert!(!asked.is_open());
    }

    #[test]
    fn what_goes_unanswered_is_not_asked_for_a_while_and_all_else_is() {
        let mut asked = Asked::new();
        for _ in 0..3 {
            assert!(!asked.breakers.holds_questions_back(asked.now));
            asked.fail("popular blobs/1", NoAnswer);
        }
        assert!(asked.breakers.holds_questions_back(asked.now));
        let refused = asked.admit("popular blobs/1").unwrap_err();
        assert!(
            matches!(&refused, Refusal::Question(after, why) if *after <= PAUSE && why == "it failed"),
            "{refused:?}"
        );
        asked.answer("popular blobs/2");
        asked.answer("other blobs/1");
        assert!(asked.admit("popular blobs/1").is_err());
        asked.now += PAUSE;
        let probe = asked.admit("popular blobs/1").unwrap();
        assert!(asked.admit("popular blobs/1").is_err(), "one at a time");
        asked.breakers.answered(&probe, asked.now);
        assert!(asked.breakers.questions.is_empty());
        asked.answer("popular blobs/1");
    }

    #[test]
    fn a_probe_of_a_question_gives_its_place_back_where_the_upstream_is_away() {
        let mut asked = Asked::new();
        for _ in 0..3 {
            asked.fail("a x", NoAnswer);
        }
        for _ in 0..2 {
            asked.fail("b y", NoConnection);
        }
        assert!(asked.is_open());
        let refused = asked.admit("c z").unwrap_err();
        assert!(matches!(refused, Refusal::Upstream(_)), "{refused:?}");
        asked.now += PAUSE;
        let upstreams = asked.admit("c z").unwrap();
        let refused = asked.admit("a x").unwrap_err();
        assert!(matches!(refused, Refusal::Upstream(_)), "{refused:?}");
        asked.breakers.answered(&upstreams, asked.now);
        assert!(asked.admit("a x").is_ok());
    }

    #[test]
    fn what_is_remembered_of_failures_is_bounded() {
        let mut asked = Asked::new();
        for number in 0..2 * MOST_QUESTIONS {
            let leave = Leave::to_read(Asked::question(&format!("a{number} x")), asked.now);
            asked.now += Duration::from_millis(1);
            asked.breakers.failed(&leave, NoAnswer, "", asked.now);
        }
        assert_eq!(asked.breakers.questions.len(), MOST_QUESTIONS);
        assert_eq!(asked.breakers.failing.len(), MOST_FAILING);
        let last = format!("a{} x", 2 * MOST_QUESTIONS - 1);
        let questions = &asked.breakers.questions;
        assert!(questions.contains_key(&Asked::question(&last)));
    }
}
