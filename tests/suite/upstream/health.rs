//! Breaker, rate limit, offline switch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use breakwater::error::Kind;
use breakwater::oci::RepositoryName;
use breakwater::upstream::{BreakerState, FaultKind, Proxies, Upstream};

use super::{
    DEADLINE, drain, get, impatient, latest, make, repository, settings, spool, stage, upstream,
};
use crate::support::fake_upstream::{Answer, FakeUpstream};

#[test]
fn rate_limits_are_read_from_manifest_answers() {
    let (fake, _) = stage();
    let upstream = upstream(&fake);
    get(&upstream).unwrap();
    assert!(upstream.status().rate_limit.is_none());
    fake.set_rate_limit(100, 76);
    upstream
        .head_manifest(&repository(), &latest(), DEADLINE)
        .unwrap();
    let limit = upstream.status().rate_limit.unwrap();
    assert_eq!(
        (limit.limit, limit.remaining, limit.window_seconds),
        (100, 76, 21_600)
    );
    assert_eq!(limit.source.as_deref(), Some("192.0.2.1"));
    // Also from a refusal, and kept when an answer does not say.
    let refusal = Answer::too_many(Some("60"))
        .header("ratelimit-limit", "100;w=21600")
        .header("ratelimit-remaining", "0;w=21600");
    fake.on("GET", "/manifests/").next([refusal]);
    let fault = get(&upstream).unwrap_err();
    let sixty = Duration::from_secs(60);
    assert_eq!(fault.kind, FaultKind::RateLimited { retry_after: sixty });
    assert_eq!(
        breakwater::error::Error::from(fault).kind(),
        Kind::TooManyRequests { retry_after: sixty }
    );
    assert_eq!(upstream.status().rate_limit.unwrap().remaining, 0);
    assert_eq!(upstream.status().breaker, BreakerState::Closed);
}

#[test]
fn the_breaker_opens_and_then_nothing_is_sent() {
    let (fake, image) = stage();
    fake.on("*", "").always(Answer::status(500));
    let upstream = upstream(&fake);
    // Of one repository it counts once, however often that is tried.
    for (name, count) in [("a", 1), ("a", 1), ("b", 2), ("a", 2), ("c", 3)] {
        assert_eq!(upstream.status().breaker, BreakerState::Closed);
        let name = RepositoryName::parse(name).unwrap();
        let fault = upstream
            .head_manifest(&name, &latest(), DEADLINE)
            .unwrap_err();
        assert_eq!(fault.kind, FaultKind::ServerError { status: 500 });
        assert_eq!(upstream.status().failures_in_a_row, count);
    }
    fake.behave();
    fake.forget_requests();
    let digest = image.layer_digest(0);
    let faults = [
        upstream
            .head_manifest(&repository(), &latest(), DEADLINE)
            .unwrap_err(),
        get(&upstream).unwrap_err(),
        upstream.head_blob(&repository(), &digest).unwrap_err(),
        upstream
            .get_blob(&repository(), &digest, 0, None)
            .unwrap_err(),
        upstream.tags_list(&repository(), "", spool).unwrap_err(),
        upstream
            .referrers(&repository(), &digest, "", spool)
            .unwrap_err(),
    ];
    for fault in faults {
        let FaultKind::BreakerOpen { retry_after } = fault.kind else {
            panic!("{fault:?}")
        };
        assert!(retry_after <= Duration::from_secs(5) && !retry_after.is_zero());
        assert!(fault.message.contains("failed (500)"), "{fault}");
    }
    assert_eq!(fake.count("*", ""), 0);
    assert_eq!(upstream.status().breaker, BreakerState::Open);
    let said = upstream.status().last_failure.unwrap();
    assert_eq!(said, "registry.example failed (500)");
    // Its time comes after five seconds, and the probe finds the upstream well.
    std::thread::sleep(Duration::from_millis(5_100));
    assert_eq!(upstream.status().breaker, BreakerState::HalfOpen);
    assert_eq!(get(&upstream).unwrap(), image.manifest);
    assert_eq!(upstream.status().breaker, BreakerState::Closed);
}

#[test]
fn bodies_that_break_open_the_breaker_too() {
    let (fake, _) = stage();
    let upstream = upstream(&fake);
    fake.on("GET", "/blobs/")
        .always(Answer::good().truncate_at(10));
    for (name, count) in [("a", 1), ("a", 1), ("b", 2), ("c", 3)] {
        assert_eq!(upstream.status().breaker, BreakerState::Closed);
        let digest = fake.put_blob(name, &[7; 1_000]);
        let name = RepositoryName::parse(name).unwrap();
        let blob = upstream.get_blob(&name, &digest, 0, None).unwrap();
        assert!(drain(blob.reader).1.is_err());
        assert_eq!(upstream.status().failures_in_a_row, count);
    }
    assert_eq!(upstream.status().breaker, BreakerState::Open);
}

#[test]
fn what_hangs_elsewhere_is_not_asked_again_and_all_else_is() {
    let (fake, image) = stage();
    let elsewhere = FakeUpstream::start_on("127.0.0.2");
    elsewhere.on("*", "").always(Answer::silence());
    let upstream = make(impatient(fake.url()));
    let digest = image.layer_digest(0);
    let hanging = Answer::redirect(&format!("{}{{path}}", elsewhere.url()));
    fake.on("GET", digest.as_str()).always(hanging);
    for _ in 0..3 {
        let fault = upstream.get_blob(&repository(), &digest, 0, None).err();
        let kind = fault.unwrap().kind;
        assert!(
            matches!(kind, FaultKind::TimedOut | FaultKind::BreakerOpen { .. }),
            "{kind:?}"
        );
        // The same repository, and others.
        assert_eq!(get(&upstream).unwrap(), image.manifest);
    }
    assert!(
        elsewhere.count("GET", "") <= 3,
        "it is not waited for again"
    );
    let refused = upstream.get_blob(&repository(), &digest, 0, None).err();
    let refused = refused.unwrap();
    assert!(matches!(refused.kind, FaultKind::BreakerOpen { .. }));
    assert!(refused.message.contains("not asked for this"), "{refused}");
    assert_eq!(upstream.status().breaker, BreakerState::Closed);
    assert_eq!(upstream.status().failures_in_a_row, 0);
}

#[test]
fn offline_sends_nothing_until_it_ends() {
    let (fake, image) = stage();
    let offline = Arc::new(AtomicBool::new(true));
    let upstream = Upstream::with_proxies(
        settings(fake.url()),
        Arc::clone(&offline),
        Proxies::default(),
    )
    .unwrap();
    let fault = get(&upstream).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Offline);
    assert!(fault.message.contains("registry.example"), "{fault}");
    let head = upstream.head_manifest(&repository(), &latest(), DEADLINE);
    assert_eq!(head.unwrap_err().kind, FaultKind::Offline);
    assert_eq!(upstream.status().breaker, BreakerState::Offline);
    assert_eq!(fake.connections(), 0);
    offline.store(false, Ordering::SeqCst);
    assert_eq!(get(&upstream).unwrap(), image.manifest);
    // Switched on between two tries, and between two redirects.
    for answer in [Answer::status(503), Answer::redirect("{path}?again")] {
        offline.store(false, Ordering::SeqCst);
        fake.forget_requests();
        fake.on("GET", "/manifests/")
            .next([answer.after(Duration::from_millis(300))]);
        let asked = std::thread::scope(|scope| {
            let asking = scope.spawn(|| get(&upstream));
            while fake.count("GET", "/manifests/") == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
            offline.store(true, Ordering::SeqCst);
            asking.join().unwrap()
        });
        assert_eq!(asked.unwrap_err().kind, FaultKind::Offline);
        assert_eq!(fake.count("*", ""), 1);
    }
    assert_eq!(
        upstream.status().failures_in_a_row,
        1,
        "the 503; offline is no failure"
    );
}

#[test]
fn offline_is_said_even_where_the_breaker_is_open() {
    let (fake, _) = stage();
    let offline = Arc::new(AtomicBool::new(false));
    let settings = settings(fake.url());
    let upstream =
        Upstream::with_proxies(settings, Arc::clone(&offline), Proxies::default()).unwrap();
    fake.stop();
    get(&upstream).unwrap_err();
    assert!(matches!(
        get(&upstream).unwrap_err().kind,
        FaultKind::BreakerOpen { .. }
    ));
    offline.store(true, Ordering::SeqCst);
    assert_eq!(get(&upstream).unwrap_err().kind, FaultKind::Offline);
}
