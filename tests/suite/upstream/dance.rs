//! Challenges: tokens, passwords, and where they may go.

use std::sync::Barrier;
use std::time::Duration;

use breakwater::oci::RepositoryName;
use breakwater::upstream::{BreakerState, FaultKind};

use super::{PASSWORD, get, latest, make, settings, spool, stage, upstream, with_password};
use crate::support::fake_upstream::{Answer, Bearer, FakeUpstream};

#[test]
fn a_token_is_fetched_kept_and_renewed_once() {
    let (fake, image) = stage();
    fake.put_image("org/other", "latest", &image);
    for field in ["token", "access_token"] {
        fake.require_bearer(Bearer {
            field,
            ..Bearer::default()
        });
        fake.forget_requests();
        let upstream = upstream(&fake);
        for _ in 0..3 {
            get(&upstream).unwrap();
        }
        let tokens = fake.requests_for("GET", "/token");
        assert_eq!(tokens.len(), 1, "{field}");
        assert_eq!(
            tokens[0].query,
            "service=fake.example&scope=repository%3Alibrary%2Falpine%3Apull"
        );
        assert_eq!(tokens[0].header("authorization"), None);
        assert_eq!(
            fake.count("GET", "/manifests/"),
            4,
            "one of them was challenged"
        );
        // Another repository, another token; the first one's is kept.
        let other = RepositoryName::parse("org/other").unwrap();
        upstream.get_manifest(&other, &latest(), spool).unwrap();
        get(&upstream).unwrap();
        assert_eq!(fake.count("GET", "/token"), 2);
        // A token that is refused all at once is renewed once.
        fake.revoke_tokens();
        fake.forget_requests();
        get(&upstream).unwrap();
        assert_eq!(fake.count("GET", "/token"), 1);
        assert_eq!(fake.count("GET", "/manifests/"), 2);
    }
}

#[test]
fn a_token_that_never_works_ends_in_denied_without_a_loop() {
    let (fake, _) = stage();
    fake.require_bearer(Bearer::default());
    fake.on("GET", "/token")
        .always(Answer::body(200, "application/json", r#"{"token":"bad"}"#));
    let upstream = upstream(&fake);
    for round in 1..3 {
        let fault = get(&upstream).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Denied, "{fault}");
        assert_eq!(fake.count("GET", "/token"), round);
        assert_eq!(fake.count("GET", "/manifests/"), 2 * round);
    }
    assert_eq!(upstream.status().failures_in_a_row, 0);
}

#[test]
fn concurrent_requests_share_one_token() {
    let (fake, _) = stage();
    fake.require_bearer(Bearer::default());
    fake.on("GET", "/token")
        .always(Answer::good().after(Duration::from_millis(300)));
    let (upstream, barrier) = (upstream(&fake), Barrier::new(8));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                get(&upstream).unwrap();
            });
        }
    });
    assert_eq!(fake.count("GET", "/token"), 1);
}

#[test]
fn what_goes_wrong_at_the_realm_is_told() {
    let large = format!(r#"{{"token":"{}"}}"#, "x".repeat(1024 * 1024));
    let json = |body: &str| Answer::body(200, "application/json", body);
    for (what, answer, kind, fetches) in [
        ("401", Answer::status(401), FaultKind::Denied, 1),
        ("403", Answer::status(403), FaultKind::Denied, 1),
        ("404", Answer::status(404), FaultKind::Protocol, 1),
        (
            "429",
            Answer::too_many(Some("30")),
            FaultKind::RateLimited {
                retry_after: Duration::from_secs(30),
            },
            1,
        ),
        (
            "503",
            Answer::status(503),
            FaultKind::ServerError { status: 503 },
            3,
        ),
        ("closed", Answer::hang_up(), FaultKind::Unreachable, 3),
        ("garbage", json("<html>"), FaultKind::Protocol, 1),
        ("no token", json("{}"), FaultKind::Protocol, 1),
        (
            "smuggling",
            json(r#"{"token":"a\r\nX: y"}"#),
            FaultKind::Protocol,
            1,
        ),
        ("too large", json(&large), FaultKind::Protocol, 1),
        (
            "too large in chunks",
            json(&large).chunked(),
            FaultKind::Protocol,
            1,
        ),
        (
            "compressed",
            json(r#"{"token":"x"}"#).header("Content-Encoding", "gzip"),
            FaultKind::Protocol,
            1,
        ),
        (
            "redirect in a circle",
            Answer::redirect("/token?again"),
            FaultKind::Protocol,
            1,
        ),
    ] {
        let (fake, _) = stage();
        fake.require_bearer(Bearer::default());
        fake.on("GET", "/token").always(answer);
        let fault = get(&upstream(&fake)).unwrap_err();
        assert_eq!(fault.kind, kind, "{what}: {fault}");
        if what == "redirect in a circle" {
            assert_eq!(fake.count("GET", "/token"), 2);
        } else if what != "closed" {
            assert_eq!(fake.count("GET", "/token"), fetches, "{what}");
        }
    }
}

#[test]
fn the_password_goes_to_the_realm_on_the_upstreams_host() {
    let (fake, _) = stage();
    let credentials = Some(("ann".to_owned(), "pass:word".to_owned()));
    fake.require_bearer(Bearer {
        credentials,
        ..Bearer::default()
    });
    get(&make(with_password(settings(fake.url())))).unwrap();
    let tokens = fake.requests_for("GET", "/token");
    assert_eq!(tokens[0].header("authorization"), Some(PASSWORD));
    for request in fake.requests_for("GET", "/manifests/") {
        assert_ne!(
            request.header("authorization"),
            Some(PASSWORD),
            "only the token goes there"
        );
    }
    // Without it, or with a wrong one, nothing is to be had.
    let mut wrong = with_password(settings(fake.url()));
    wrong.credentials.as_mut().unwrap().password = "other".to_owned();
    for (settings, kind) in [
        (settings(fake.url()), FaultKind::Denied),
        (wrong, FaultKind::CredentialsRefused),
    ] {
        fake.forget_requests();
        let fault = get(&make(settings)).unwrap_err();
        assert_eq!(fault.kind, kind, "{fault}");
        assert!(!fault.message.contains("other"), "{fault}");
        assert_eq!(fake.count("GET", "/token"), 1);
    }
}

/// Some registries say 403 to a wrong password, others to a right one that may not see the repository: a login without a
/// scope tells them apart.
#[test]
fn a_realm_that_says_403_is_asked_whether_it_takes_the_password_at_all() {
    for (login, kind) in [
        (Answer::status(403), FaultKind::CredentialsRefused),
        (Answer::status(401), FaultKind::CredentialsRefused),
        (Answer::good(), FaultKind::Denied),
        (Answer::status(500), FaultKind::Denied),
    ] {
        let (fake, _) = stage();
        fake.require_bearer(Bearer::default());
        fake.on("GET", "/token").next([Answer::status(403), login]);
        let upstream = make(with_password(settings(fake.url())));
        let fault = get(&upstream).unwrap_err();
        assert_eq!(fault.kind, kind, "{fault}");
        let asked = fake.requests_for("GET", "/token");
        assert_eq!(asked.len(), 2, "{fault}");
        assert_eq!(asked[1].query, "service=fake.example");
        assert_eq!(asked[1].header("authorization"), Some(PASSWORD));
    }
}

/// A token of earlier goes on to be taken, and tells nothing of the password.
#[test]
fn only_what_takes_the_password_ends_that_it_is_refused() {
    let (fake, _) = stage();
    let demand = |password: &str| {
        fake.require_bearer(Bearer {
            credentials: Some(("ann".to_owned(), password.to_owned())),
            ..Bearer::default()
        });
    };
    demand("pass:word");
    let upstream = make(with_password(settings(fake.url())));
    get(&upstream).unwrap();
    fake.on("GET", "/token").next([Answer::status(401)]);
    let other = RepositoryName::parse("other/name").unwrap();
    let fault = upstream.get_manifest(&other, &latest(), spool).map(drop);
    assert_eq!(fault.unwrap_err().kind, FaultKind::CredentialsRefused);
    let state = || upstream.status().breaker;
    assert_eq!(state(), BreakerState::CredentialsRefused);
    get(&upstream).unwrap();
    assert_eq!(state(), BreakerState::CredentialsRefused);
    fake.revoke_tokens();
    get(&upstream).unwrap();
    assert_eq!(state(), BreakerState::Closed);
    // So it is with a password that goes along with each request.
    fake.require_basic("ann", "changed");
    get(&upstream).unwrap_err();
    assert_eq!(state(), BreakerState::CredentialsRefused);
    fake.require_basic("ann", "pass:word");
    get(&upstream).unwrap();
    assert_eq!(state(), BreakerState::Closed);
}

#[test]
fn the_password_goes_to_no_other_realm_unless_configured() {
    let (fake, _) = stage();
    let other = FakeUpstream::start_on("127.0.0.2");
    let realm = format!("{}/token", other.url());
    fake.require_bearer(Bearer {
        realm: Some(realm.clone()),
        ..Bearer::default()
    });
    // With a password the realm is not even asked.
    let fault = get(&make(with_password(settings(fake.url())))).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Protocol);
    assert!(fault.message.contains("auth_realm"), "{fault}");
    assert_eq!(other.connections(), 0);
    // Without one it is.
    get(&upstream(&fake)).unwrap();
    let asked = other.requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].header("authorization"), None);
    // The operator's word is enough.
    let mut configured = with_password(settings(fake.url()));
    configured.auth_realm = Some(realm);
    get(&make(configured)).unwrap();
    assert_eq!(other.requests()[1].header("authorization"), Some(PASSWORD));
    // A realm that sends us on does not get it passed on.
    let third = FakeUpstream::start_on("127.0.0.3");
    other
        .on("GET", "/token")
        .always(Answer::redirect(&format!("{}/token?x", third.url())));
    let mut configured = with_password(settings(fake.url()));
    configured.auth_realm = Some(format!("{}/token", other.url()));
    let _ = get(&make(configured));
    assert_eq!(third.requests()[0].header("authorization"), None);
}

#[test]
fn basic_is_answered_and_then_brought_along() {
    let (fake, _) = stage();
    fake.require_basic("ann", "pass:word");
    let upstream = make(with_password(settings(fake.url())));
    for _ in 0..3 {
        get(&upstream).unwrap();
    }
    let sent: Vec<_> = fake
        .requests()
        .iter()
        .map(|r| r.header("authorization").is_some())
        .collect();
    assert_eq!(sent, [false, true, true, true]);
    assert_eq!(
        get(&make(settings(fake.url()))).unwrap_err().kind,
        FaultKind::Denied
    );
    fake.require_basic("ann", "changed");
    fake.forget_requests();
    let fault = get(&upstream).unwrap_err();
    assert_eq!(fault.kind, FaultKind::CredentialsRefused);
    assert!(!format!("{fault:?}").contains("pass:"), "{fault:?}");
    assert_eq!(fake.count("*", ""), 1);
}
