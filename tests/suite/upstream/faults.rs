//! What goes wrong, which fault it becomes, and what is tried again.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use breakwater::error::Kind;
use breakwater::upstream::FaultKind;

use super::{DEADLINE, get, latest, make, repository, settings, stage, upstream};
use crate::support::fake_upstream::Answer;

#[test]
fn statuses_become_faults_and_transient_ones_are_tried_again() {
    let limited = |seconds| FaultKind::RateLimited {
        retry_after: Duration::from_secs(seconds),
    };
    let server = |status| FaultKind::ServerError { status };
    let status = Answer::status;
    let cases: Vec<(&str, Vec<Answer>, usize, Option<FaultKind>)> = vec![
        (
            "500 twice, then good",
            vec![status(500), status(500)],
            3,
            None,
        ),
        ("502 and 503", vec![status(502), status(503)], 3, None),
        ("408 and 504", vec![status(408), status(504)], 3, None),
        ("reset", vec![Answer::reset()], 2, None),
        ("closed", vec![Answer::hang_up()], 2, None),
        ("truncated", vec![Answer::good().truncate_at(10)], 2, None),
        (
            "reset in the body",
            vec![Answer::good().reset_at(10)],
            2,
            None,
        ),
        (
            "chunked truncated",
            vec![Answer::good().chunked().truncate_at(10)],
            2,
            None,
        ),
        (
            "too long a length",
            vec![Answer::good().length_off_by(5)],
            2,
            None,
        ),
        (
            "429 for a moment",
            vec![Answer::too_many(Some("0"))],
            2,
            None,
        ),
        (
            "429 for a minute",
            vec![Answer::too_many(Some("60"))],
            1,
            Some(limited(60)),
        ),
        (
            "429 without a time",
            vec![Answer::too_many(None)],
            1,
            Some(limited(60)),
        ),
        ("503 always", vec![status(503); 3], 3, Some(server(503))),
        ("504 always", vec![status(504); 3], 3, Some(server(504))),
        ("501", vec![status(501)], 1, Some(server(501))),
        ("404", vec![status(404)], 1, Some(FaultKind::NotFound)),
        ("403", vec![status(403)], 1, Some(FaultKind::Denied)),
        (
            "401 without a challenge",
            vec![status(401)],
            1,
            Some(FaultKind::Denied),
        ),
        ("400", vec![status(400)], 1, Some(FaultKind::Protocol)),
        (
            "405 for GET",
            vec![status(405)],
            1,
            Some(FaultKind::Protocol),
        ),
        ("204", vec![status(204)], 1, Some(FaultKind::Protocol)),
        (
            "empty",
            vec![Answer::good().empty()],
            1,
            Some(FaultKind::Protocol),
        ),
        (
            "gzip",
            vec![Answer::good().header("Content-Encoding", "gzip")],
            1,
            Some(FaultKind::Protocol),
        ),
        (
            "web page",
            vec![Answer::body(200, "text/html; charset=utf-8", "<html>")],
            1,
            Some(FaultKind::Protocol),
        ),
        (
            "too large",
            vec![Answer::body(
                200,
                "application/json",
                vec![b' '; 4 * 1024 * 1024 + 1],
            )],
            1,
            Some(FaultKind::Protocol),
        ),
        (
            "too large in chunks",
            vec![Answer::body(200, "application/json", vec![b' '; 4 * 1024 * 1024 + 1]).chunked()],
            1,
            Some(FaultKind::Protocol),
        ),
        (
            "identity",
            vec![Answer::good().header("Content-Encoding", "identity")],
            1,
            None,
        ),
        ("chunked", vec![Answer::good().chunked()], 1, None),
        (
            "until the connection closes",
            vec![Answer::good().until_close()],
            1,
            None,
        ),
    ];
    for (what, answers, requests, expected) in cases {
        let (fake, image) = stage();
        fake.on("GET", "/manifests/").next(answers);
        let got = get(&upstream(&fake));
        match &expected {
            None => assert_eq!(got.as_ref().ok(), Some(&image.manifest), "{what}: {got:?}"),
            Some(kind) => {
                let fault = got.unwrap_err();
                assert_eq!(fault.kind, *kind, "{what}: {fault}");
                assert!(
                    fault.message.starts_with("registry.example"),
                    "{what}: {fault}"
                );
            }
        }
        assert_eq!(fake.count("GET", "/manifests/"), requests, "{what}");
    }
}

#[test]
fn what_is_no_http_is_a_protocol_fault() {
    for garbage in ["hello\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "\0\0\0\0\r\n\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            stream.write_all(garbage.as_bytes()).unwrap();
        });
        let fault = get(&make(settings(&format!("http://{address}")))).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Protocol, "{garbage:?}: {fault}");
        assert!(!fault.message.contains('\0'), "{fault}");
        server.join().unwrap();
    }
}

#[test]
fn nobody_listening_is_unreachable_and_says_why() {
    let (fake, _) = stage();
    fake.stop();
    let upstream = upstream(&fake);
    let fault = get(&upstream).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unreachable);
    assert_eq!(
        fault.message,
        "registry.example does not answer: connection refused"
    );
    let error = breakwater::error::Error::from(fault);
    assert!(matches!(error.kind(), Kind::Unavailable { .. }));
    let status = upstream.status();
    assert_eq!(status.failures_in_a_row, 3, "one failure a try");
    assert!(status.last_failure_at.is_some() && status.last_success_at.is_none());

    let nowhere = make(settings("http://no-such-host.invalid"));
    assert_eq!(get(&nowhere).unwrap_err().kind, FaultKind::Unreachable);
}

#[test]
fn head_is_asked_once_and_405_is_told_apart() {
    let (fake, _) = stage();
    let upstream = upstream(&fake);
    for (answer, kind) in [
        (Answer::status(405), FaultKind::MethodNotAllowed),
        (Answer::status(404), FaultKind::NotFound),
        (Answer::status(500), FaultKind::ServerError { status: 500 }),
        (Answer::status(504), FaultKind::ServerError { status: 504 }),
    ] {
        fake.forget_requests();
        fake.on("HEAD", "/manifests/").next([answer]);
        let fault = upstream
            .head_manifest(&repository(), &latest(), DEADLINE)
            .unwrap_err();
        assert_eq!(fault.kind, kind, "{fault}");
        assert_eq!(fake.count("*", ""), 1);
    }
}

#[test]
fn a_connection_that_the_upstream_closed_in_idleness_is_no_failure() {
    let (fake, image) = stage();
    let upstream = upstream(&fake);
    for _ in 0..5 {
        upstream
            .head_manifest(&repository(), &latest(), DEADLINE)
            .unwrap();
        fake.stop();
        fake.restart();
    }
    // Closed only as the next request comes: seen by no probe beforehand.
    for _ in 0..3 {
        assert_eq!(get(&upstream).unwrap(), image.manifest);
        let before = fake.connections();
        fake.on("HEAD", "/manifests/").next([Answer::hang_up()]);
        upstream
            .head_manifest(&repository(), &latest(), DEADLINE)
            .unwrap();
        assert_eq!(fake.connections(), before + 1);
    }
    assert_eq!(upstream.status().failures_in_a_row, 0);
    assert_eq!(upstream.status().last_failure, None);
}
