//! What is known of an upstream, by how its tries ended.

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
fn refused_credentials_open_nothing_and_are_known_until_they_are_taken() {
    let health = Health::new("docker.io".to_owned());
    let refused: Result<(), _> = Err(Fault::bad_credentials("docker.io"));
    for name in ["a", "b", "c", "d"] {
        health
            .admit(&question(name))
            .unwrap()
            .settle(&refused, true);
    }
    let report = health.report();
    assert_eq!(report.breaker, BreakerState::CredentialsRefused);
    assert_eq!(report.last_success, None);
    let (fault, _) = report.last_failure.unwrap();
    assert_eq!(fault.kind, FaultKind::CredentialsRefused);
    assert!(fault.remedy.unwrap().contains("upstream set NAME"));
    assert_eq!(health.gives_nothing(false), None);
    let why = health.gives_nothing(true).unwrap();
    assert!(why.contains("docker.io"), "{why}");
    // Nothing was learned of that by a try that got no answer.
    let late: Result<(), _> = Err(Fault::new(FaultKind::TimedOut, "late"));
    health.admit(&question("a")).unwrap().settle(&late, true);
    assert_eq!(health.report().breaker, BreakerState::CredentialsRefused);
    // Nor by what it gave without them, or for a token of earlier, or had begun to give.
    health.admit(&question("a")).unwrap().settle(&Ok(()), true);
    health.admit(&question("a")).unwrap().settle(&Ok(()), false);
    health.body_arrived(&Leave::to_read(question("a"), Instant::now()));
    assert_eq!(health.report().breaker, BreakerState::CredentialsRefused);
    let logged = health.journal().refusal_logged;
    health.credentials_taken();
    assert_eq!(health.report().breaker, BreakerState::Closed);
    assert_eq!(health.gives_nothing(true), None);
    // It is told once an hour, however often that changes.
    health.admit(&question("a")).unwrap().settle(&refused, true);
    assert_eq!(health.journal().refusal_logged, logged);
}

#[test]
fn what_gives_nothing_is_told_with_why() {
    let health = Health::new("docker.io".to_owned());
    assert_eq!(health.gives_nothing(true), None);
    let fault = Fault::new(FaultKind::Unreachable, "no way").without_connection();
    let failed: Result<(), _> = Err(fault);
    health.admit(&question("a")).unwrap().settle(&failed, true);
    assert_eq!(health.gives_nothing(false), None);
    assert_eq!(health.gives_nothing(true).as_deref(), Some("no way"));
    for name in ["b", "c"] {
        health.admit(&question(name)).unwrap().settle(&failed, true);
    }
    assert_eq!(health.gives_nothing(false).as_deref(), Some("no way"));
    health.journal().breakers = half_open();
    assert_eq!(
        health.gives_nothing(false),
        None,
        "the next one may be answered"
    );
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
