//! What counts against an upstream, what against a question, and what against nothing.

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
