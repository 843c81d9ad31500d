//! `upstream/` against the fake upstream, over real sockets: a test for each way in which a registry can
//! behave, badly for the most part.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use breakwater::error::Kind;
use breakwater::oci::{Digest, MediaType, Reference, RegistryHost, RepositoryName};
use breakwater::upstream::{Credentials, Fault, FaultKind, Patience, Proxies, Settings, Upstream};

use crate::support::fake_upstream::{Answer, Bearer, FakeUpstream, Gate, Image, Index, noise};

const DEADLINE: Duration = Duration::from_secs(20);

/// Patient where a test is not about time, so that a busy machine fails no test.
fn settings(url: &str) -> Settings {
    Settings {
        name: RegistryHost::parse("registry.example").unwrap(),
        url: url.to_owned(),
        credentials: None,
        auth_realm: None,
        ca: None,
        allow_private_addresses: true,
        patience: Patience {
            connect: Duration::from_secs(10),
            silence: Duration::from_secs(10),
            tries: 3,
            pause: (Duration::from_millis(1), Duration::from_millis(4)),
        },
    }
}

fn impatient(url: &str) -> Settings {
    let mut settings = settings(url);
    settings.patience.silence = Duration::from_millis(150);
    settings
}

fn with_password(mut settings: Settings) -> Settings {
    settings.credentials = Some(Credentials {
        username: "ann".to_owned(),
        password: "pass:word".to_owned(),
    });
    settings
}

fn make(settings: Settings) -> Upstream {
    let offline = Arc::new(AtomicBool::new(false));
    Upstream::with_proxies(settings, offline, Proxies::default()).unwrap()
}

fn upstream(fake: &FakeUpstream) -> Upstream {
    make(settings(fake.url()))
}

fn repository() -> RepositoryName {
    RepositoryName::parse("library/alpine").unwrap()
}

fn latest() -> Reference {
    Reference::parse("latest").unwrap()
}

/// A fake with one image under `library/alpine:latest`; its only layer has 100,000 bytes.
fn stage() -> (FakeUpstream, Image) {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[100_000]);
    fake.put_image("library/alpine", "latest", &image);
    (fake, image)
}

fn get(upstream: &Upstream) -> Result<Vec<u8>, Fault> {
    let fetched = upstream.get_manifest(&repository(), &latest())?;
    Ok(fetched.bytes)
}

/// Reads a blob to its end, whatever that is.
fn drain(mut reader: impl std::io::Read) -> (Vec<u8>, std::io::Result<()>) {
    let mut bytes = Vec::new();
    let end = reader.read_to_end(&mut bytes).map(|_| ());
    (bytes, end)
}

const PASSWORD: &str = "Basic YW5uOnBhc3M6d29yZA==";

// What is asked, and what comes.

#[test]
fn manifests_of_every_type_arrive_as_they_are() {
    let fake = FakeUpstream::start();
    let (oci, docker) = (Image::oci(1, &[10]), Image::docker(2, &[20]));
    fake.put_image("library/alpine", "oci", &oci);
    fake.put_image("library/alpine", "docker", &docker);
    let index = Index::of(&[("amd64", &oci), ("arm64", &Image::oci(3, &[30]))]);
    let list = Index::of(&[("amd64", &docker)]);
    fake.put_index("library/alpine", "index", &index);
    fake.put_index("library/alpine", "list", &list);
    let upstream = upstream(&fake);
    for (tag, bytes, media_type) in [
        ("oci", &oci.manifest, MediaType::OciManifest),
        ("docker", &docker.manifest, MediaType::DockerManifest),
        ("index", &index.bytes, MediaType::OciIndex),
        ("list", &list.bytes, MediaType::DockerList),
    ] {
        let reference = Reference::parse(tag).unwrap();
        let head = upstream
            .head_manifest(&repository(), &reference, DEADLINE)
            .unwrap();
        assert_eq!(head.digest, Some(Digest::of(bytes)), "{tag}");
        assert_eq!(head.media_type, Some(media_type), "{tag}");
        assert_eq!(head.size, Some(bytes.len() as u64), "{tag}");
        let by_digest = Reference::Digest(Digest::of(bytes));
        for reference in [reference, by_digest] {
            let fetched = upstream.get_manifest(&repository(), &reference).unwrap();
            assert_eq!(fetched.bytes, *bytes, "{tag}");
            assert_eq!(fetched.content_type, media_type.as_str(), "{tag}");
            assert_eq!(fetched.digest, Some(Digest::of(bytes)), "{tag}");
        }
    }
    for request in fake.requests() {
        let accept = request.header("accept").unwrap();
        for media_type in MediaType::ALL {
            assert!(accept.contains(media_type.as_str()), "{accept}");
        }
        assert!(!accept.contains('*'), "{accept}");
        assert_eq!(request.header("accept-encoding"), Some("identity"));
        assert_eq!(request.header("authorization"), None);
        let agent = format!("breakwater/{}", env!("CARGO_PKG_VERSION"));
        assert_eq!(request.header("user-agent"), Some(agent.as_str()));
    }
    assert_eq!(fake.connections(), 1, "one connection serves them all");
}

#[test]
fn digest_headers_that_are_missing_or_malformed_are_none() {
    let (fake, image) = stage();
    let upstream = upstream(&fake);
    for answer in [
        Answer::good().without_header("Docker-Content-Digest"),
        Answer::good().header("Docker-Content-Digest", "sha256:abc"),
        Answer::good().header("Docker-Content-Digest", "../../etc/passwd"),
    ] {
        fake.on("*", "/manifests/").next([answer.clone(), answer]);
        let head = upstream
            .head_manifest(&repository(), &latest(), DEADLINE)
            .unwrap();
        assert_eq!(head.digest, None);
        let fetched = upstream.get_manifest(&repository(), &latest()).unwrap();
        assert_eq!(
            (fetched.digest, fetched.bytes),
            (None, image.manifest.clone())
        );
    }
    // A well-formed one is passed on even if it is wrong: the caller compares.
    let other = Digest::of(b"other");
    fake.on("*", "/manifests/")
        .next([Answer::good().header("Docker-Content-Digest", other.as_str())]);
    let head = upstream
        .head_manifest(&repository(), &latest(), DEADLINE)
        .unwrap();
    assert_eq!(head.digest, Some(other));
}

#[test]
fn lists_come_with_their_next_page() {
    let (fake, image) = stage();
    for tag in ["1", "2", "3"] {
        fake.put_manifest("library/alpine", tag, image.media_type, &image.manifest);
    }
    let upstream = upstream(&fake);
    let page = upstream.tags_list(&repository(), Some(2), None).unwrap();
    assert_eq!(page.content_type, "application/json");
    assert_eq!(page.body, br#"{"name":"library/alpine","tags":["1","2"]}"#);
    assert_eq!(page.next.as_deref(), Some("n=2&last=2"));
    let page = upstream
        .tags_list(&repository(), Some(2), Some("2"))
        .unwrap();
    assert_eq!(
        page.body,
        br#"{"name":"library/alpine","tags":["3","latest"]}"#
    );
    assert_eq!(page.next, None);

    let subject = image.digest();
    for answer in [Answer::good(), Answer::status(405), Answer::status(501)] {
        fake.on("GET", "/referrers/").next([answer]);
        let missing = upstream
            .referrers(&repository(), &subject, None)
            .unwrap_err();
        assert_eq!(missing.kind, FaultKind::NotFound, "{missing}");
    }
    let descriptor = serde_json::json!({"artifactType": "a/b+c", "digest": subject.as_str()});
    fake.put_referrer("library/alpine", &subject, descriptor);
    let all = upstream.referrers(&repository(), &subject, None).unwrap();
    assert_eq!(all.filters_applied, None);
    assert_eq!(all.content_type, MediaType::OciIndex.as_str());
    for (wanted, found) in [("a/b+c", true), ("d", false)] {
        let some = upstream
            .referrers(&repository(), &subject, Some(wanted))
            .unwrap();
        assert_eq!(some.filters_applied.as_deref(), Some("artifactType"));
        let body = String::from_utf8(some.body).unwrap();
        assert_eq!(body.contains("a/b+c"), found, "{body}");
    }
}

#[test]
fn a_path_in_the_url_stays_before_v2() {
    let fake = FakeUpstream::start();
    fake.on("GET", "/prefix/v2/library/alpine/manifests/latest")
        .always(Answer::body(200, MediaType::OciIndex.as_str(), "{}"));
    let upstream = make(settings(&format!("{}/prefix/", fake.url())));
    assert_eq!(get(&upstream).unwrap(), b"{}");
}

// Tries and faults.

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
        (
            "504 always",
            vec![status(504); 3],
            3,
            Some(FaultKind::TimedOut),
        ),
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
        (Answer::status(504), FaultKind::TimedOut),
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

// Time.

#[test]
fn silence_is_bounded_wherever_it_falls() {
    let (fake, image) = stage();
    for (what, answer) in [
        ("before the head", Answer::silence()),
        ("after the head", Answer::good().stall_at(0)),
        ("in the body", Answer::good().stall_at(10)),
        ("in a chunked body", Answer::good().chunked().stall_at(10)),
    ] {
        let upstream = make(impatient(fake.url()));
        fake.on("GET", "/manifests/").next(vec![answer.clone(); 3]);
        let began = Instant::now();
        let fault = get(&upstream).unwrap_err();
        assert_eq!(fault.kind, FaultKind::TimedOut, "{what}: {fault}");
        assert_eq!(
            fault.message, "registry.example did not answer within 150 ms",
            "{what}"
        );
        assert!(began.elapsed() < Duration::from_secs(8), "{what}");
        // A single stall is got over by the next try.
        let upstream = make(impatient(fake.url()));
        fake.on("GET", "/manifests/").next([answer]);
        assert_eq!(get(&upstream).unwrap(), image.manifest, "{what}");
    }
}

#[test]
fn a_manifest_that_drips_is_bounded_in_all() {
    let (fake, _) = stage();
    let mut settings = impatient(fake.url());
    settings.patience.connect = Duration::from_millis(200);
    settings.patience.tries = 1;
    // A byte every 30 ms is never silent for 150 ms.
    fake.on("GET", "/manifests/")
        .always(Answer::good().slowly(1, Duration::from_millis(30)));
    let began = Instant::now();
    let fault = get(&make(settings)).unwrap_err();
    assert_eq!(fault.kind, FaultKind::TimedOut, "{fault}");
    assert!(began.elapsed() < Duration::from_secs(8));
}

#[test]
fn a_slow_blob_is_not_bounded_in_all() {
    let (fake, image) = stage();
    let upstream = make(impatient(fake.url()));
    fake.on("GET", "/blobs/")
        .next([Answer::good().slowly(2_000, Duration::from_millis(20))]);
    let blob = upstream
        .get_blob(&repository(), &image.layer_digest(0), 0, None)
        .unwrap();
    let began = Instant::now();
    let (bytes, end) = drain(blob.reader);
    end.unwrap();
    assert_eq!(bytes, image.layers[0]);
    assert!(began.elapsed() > Duration::from_millis(650), "it was slow");
}

#[test]
fn the_deadline_of_head_bounds_dance_and_redirects() {
    let (fake, _) = stage();
    let elsewhere = FakeUpstream::start_on("127.0.0.2");
    elsewhere.on("*", "").always(Answer::silence());
    let deadline = Duration::from_millis(400);
    type Script<'a> = Box<dyn Fn() + 'a>;
    let scripts: Vec<(&str, Script<'_>)> = vec![
        (
            "silence",
            Box::new(|| fake.on("HEAD", "/manifests/").always(Answer::silence())),
        ),
        (
            "silent token realm",
            Box::new(|| {
                fake.require_bearer(Bearer::default());
                fake.on("GET", "/token").always(Answer::silence());
            }),
        ),
        (
            "dripping token",
            Box::new(|| {
                let drip = Answer::good().slowly(1, Duration::from_millis(50));
                fake.require_bearer(Bearer::default());
                fake.on("GET", "/token").always(drip);
            }),
        ),
        (
            "silence after a redirect",
            Box::new(|| {
                let location = format!("{}{{path}}", elsewhere.url());
                fake.on("HEAD", "/manifests/")
                    .always(Answer::redirect(&location));
            }),
        ),
        (
            "slow at each step",
            Box::new(|| {
                let slow = Answer::redirect("{path}/x").after(Duration::from_millis(150));
                fake.on("HEAD", "/manifests/").always(slow);
            }),
        ),
    ];
    for (what, script) in scripts {
        fake.behave();
        fake.require_nothing();
        script();
        let upstream = upstream(&fake);
        let began = Instant::now();
        let fault = upstream
            .head_manifest(&repository(), &latest(), deadline)
            .unwrap_err();
        assert_eq!(fault.kind, FaultKind::TimedOut, "{what}: {fault}");
        // Silence alone would last ten seconds.
        assert!(
            began.elapsed() < Duration::from_secs(4),
            "{what}: {:?}",
            began.elapsed()
        );
    }
}

// Blobs.

#[test]
fn blobs_arrive_whole_with_size_and_etag() {
    let (fake, image) = stage();
    let upstream = upstream(&fake);
    let digest = image.layer_digest(0);
    assert_eq!(
        upstream.head_blob(&repository(), &digest).unwrap().size,
        Some(100_000)
    );
    for (what, answer, total) in [
        ("plain", Answer::good(), Some(100_000)),
        ("chunked", Answer::good().chunked(), None),
        (
            "until the connection closes",
            Answer::good().until_close(),
            None,
        ),
    ] {
        fake.on("GET", "/blobs/").next([answer]);
        let blob = upstream.get_blob(&repository(), &digest, 0, None).unwrap();
        assert_eq!((blob.offset, blob.total), (0, total), "{what}");
        assert_eq!(blob.etag, Some(format!("\"{digest}\"")), "{what}");
        let (bytes, end) = drain(blob.reader);
        end.unwrap();
        assert!(bytes == image.layers[0], "{what}");
    }
    for etag in ["W/\"x\"", "x", "\"\""] {
        fake.on("GET", "/blobs/")
            .next([Answer::good().header("ETag", etag)]);
        let blob = upstream.get_blob(&repository(), &digest, 0, None).unwrap();
        assert_eq!(blob.etag, None, "{etag}");
    }
    let empty = fake.put_blob("library/alpine", b"");
    let blob = upstream.get_blob(&repository(), &empty, 0, None).unwrap();
    assert_eq!(blob.total, Some(0));
    let (bytes, end) = drain(blob.reader);
    assert!(end.is_ok() && bytes.is_empty());
    let missing = upstream
        .get_blob(&repository(), &Digest::of(b"?"), 0, None)
        .unwrap_err();
    assert_eq!(missing.kind, FaultKind::NotFound);
    assert_eq!(upstream.status().failures_in_a_row, 0);
}

#[test]
fn blobs_that_end_early_never_end_silently() {
    let (fake, image) = stage();
    let digest = image.layer_digest(0);
    let (at, eof, reset) = (70_000, ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset);
    let good = Answer::good;
    for (what, answer, kinds) in [
        ("closed", good().truncate_at(at), vec![eof]),
        ("reset", good().reset_at(at), vec![eof, reset]),
        (
            "chunked closed",
            good().chunked().truncate_at(at),
            vec![eof],
        ),
        (
            "chunked reset",
            good().chunked().reset_at(at),
            vec![eof, reset],
        ),
        ("silent", good().stall_at(at), vec![ErrorKind::TimedOut]),
        (
            "chunked silent",
            good().chunked().stall_at(at),
            vec![ErrorKind::TimedOut],
        ),
        ("longer announced", good().length_off_by(7), vec![eof]),
        ("closed before the body", good().truncate_at(0), vec![eof]),
    ] {
        let upstream = make(impatient(fake.url()));
        fake.on("GET", "/blobs/").next([answer]);
        let mut blob = upstream.get_blob(&repository(), &digest, 0, None).unwrap();
        let (bytes, end) = drain(&mut blob.reader);
        let error = end.expect_err(what);
        assert!(kinds.contains(&error.kind()), "{what}: {error:?}");
        assert!(
            error.to_string().starts_with("registry.example"),
            "{what}: {error}"
        );
        assert!(image.layers[0].starts_with(&bytes), "{what}");
        // It goes on failing, where ureq would report an end.
        let again = blob.reader.read(&mut [0; 10]).expect_err(what);
        assert_eq!(again.kind(), error.kind(), "{what}");
        assert_eq!(upstream.status().failures_in_a_row, 1, "{what}");
    }
}

#[test]
fn a_shorter_length_and_wrong_bytes_are_for_the_caller_to_find() {
    let (fake, image) = stage();
    let (upstream, digest) = (upstream(&fake), image.layer_digest(0));
    fake.on("GET", "/blobs/").next([
        Answer::good().length_off_by(-7),
        Answer::good().wrong_bytes(),
    ]);
    let blob = upstream.get_blob(&repository(), &digest, 0, None).unwrap();
    assert_eq!(blob.total, Some(99_993));
    assert_eq!(drain(blob.reader).0.len(), 99_993);
    let blob = upstream.get_blob(&repository(), &digest, 0, None).unwrap();
    let (bytes, end) = drain(blob.reader);
    end.unwrap();
    assert_eq!(bytes.len(), 100_000);
    assert_ne!(Digest::of(&bytes), digest);
}

#[test]
fn a_broken_blob_is_resumed_where_it_broke() {
    let (fake, image) = stage();
    let (upstream, digest) = (upstream(&fake), image.layer_digest(0));
    fake.on("GET", "/blobs/").next([
        Answer::good().truncate_at(30_000),
        Answer::status(503),
        Answer::good().reset_at(20_000),
    ]);
    let (mut bytes, mut etag) = (Vec::new(), None);
    let mut rounds = 0;
    while bytes.len() < 100_000 {
        let from = bytes.len() as u64;
        let blob = upstream
            .get_blob(&repository(), &digest, from, etag.as_deref())
            .unwrap();
        assert_eq!((blob.offset, blob.total), (from, Some(100_000)));
        etag = blob.etag;
        bytes.extend(drain(blob.reader).0);
        rounds += 1;
    }
    assert!(bytes == image.layers[0]);
    assert_eq!(rounds, 3);
    let requests = fake.requests_for("GET", "/blobs/");
    assert_eq!(requests[0].header("range"), None);
    assert_eq!(requests[1].header("range"), Some("bytes=30000-"));
    assert_eq!(requests[1].header("if-range"), etag.as_deref());
    assert_eq!(
        requests[2].header("range"),
        Some("bytes=30000-"),
        "the try after the 503"
    );
}

#[test]
fn ranges_are_believed_only_if_they_are_what_was_asked() {
    let (fake, image) = stage();
    let (upstream, digest) = (upstream(&fake), image.layer_digest(0));
    let part = |range: &str, length: usize| {
        Answer::body(206, "application/octet-stream", vec![0; length])
            .header("Content-Range", range)
    };
    let blob = |from, etag| upstream.get_blob(&repository(), &digest, from, etag);
    // Ignored, or another blob by now: the whole one comes, and says so.
    fake.on("GET", "/blobs/")
        .next([Answer::good().ignore_range()]);
    assert_eq!(blob(5, None).unwrap().offset, 0);
    assert_eq!(blob(5, Some("\"another\"")).unwrap().offset, 0);
    assert_eq!(
        blob(100_000, None).unwrap_err().kind,
        FaultKind::Protocol,
        "416"
    );
    for (what, answer) in [
        ("another start", part("bytes 4-9/10", 6)),
        ("from zero", part("bytes 0-9/10", 10)),
        (
            "no range",
            Answer::body(206, "application/octet-stream", "abc"),
        ),
        ("nonsense", part("bytes 5-3/10", 5)),
        ("another length", part("bytes 5-9/10", 4)),
    ] {
        fake.on("GET", "/blobs/").next([answer]);
        let fault = blob(5, None).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Protocol, "{what}: {fault}");
    }
    // Another total is for the caller to see.
    fake.on("GET", "/blobs/").next([part("bytes 5-9/10", 5)]);
    let other = blob(5, None).unwrap();
    assert_eq!((other.offset, other.total, other.etag), (5, Some(10), None));
    // A part that ends before the blob does is an early end.
    fake.on("GET", "/blobs/").next([part("bytes 5-9/20", 5)]);
    let (bytes, end) = drain(blob(5, None).unwrap().reader);
    assert_eq!(bytes.len(), 5);
    assert_eq!(end.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    // More than was announced is no blob either.
    fake.on("GET", "/blobs/")
        .next([part("bytes 5-9/10", 8).chunked()]);
    let (_, end) = drain(blob(5, None).unwrap().reader);
    assert_eq!(end.unwrap_err().kind(), ErrorKind::InvalidData);
    fake.on("GET", "/blobs/")
        .next([Answer::good().header("Content-Encoding", "gzip")]);
    assert_eq!(blob(0, None).unwrap_err().kind, FaultKind::Protocol, "gzip");
}

#[test]
fn bytes_are_given_on_as_they_come() {
    let (fake, image) = stage();
    let upstream = upstream(&fake);
    let gate = Gate::new();
    fake.on("GET", "/blobs/")
        .next([Answer::good().wait_at(1_000, &gate)]);
    let blob = upstream
        .get_blob(&repository(), &image.layer_digest(0), 0, None)
        .unwrap();
    let mut reader = blob.reader;
    let mut first = vec![0; 1_000];
    reader.read_exact(&mut first).unwrap();
    gate.await_arrival();
    gate.open();
    let (rest, end) = drain(reader);
    end.unwrap();
    assert!([first, rest].concat() == image.layers[0]);
}

#[test]
fn a_blob_dropped_early_closes_its_connection_and_is_no_failure() {
    let (fake, image) = stage();
    let upstream = upstream(&fake);
    let (digest, gate) = (image.layer_digest(0), Gate::new());
    fake.on("GET", "/blobs/")
        .next([Answer::good().wait_at(1_000, &gate)]);
    drop(upstream.get_blob(&repository(), &digest, 0, None).unwrap());
    get(&upstream).unwrap();
    assert_eq!(fake.connections(), 2);
    assert_eq!(upstream.status().last_failure, None);
    gate.open();
}

#[test]
fn many_threads_may_ask_at_once() {
    let (fake, image) = stage();
    fake.require_bearer(Bearer::default());
    let upstream = upstream(&fake);
    let wrong = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                for _ in 0..4 {
                    let digest = image.layer_digest(0);
                    let blob = upstream.get_blob(&repository(), &digest, 0, None).unwrap();
                    if Digest::of(&drain(blob.reader).0) != digest || get(&upstream).is_err() {
                        wrong.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert_eq!(wrong.load(Ordering::SeqCst), 0);
    assert_eq!(fake.count("GET", "/token"), 1);
}

// The dance.

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
        upstream.get_manifest(&other, &latest()).unwrap();
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
    for settings in [settings(fake.url()), wrong] {
        fake.forget_requests();
        let fault = get(&make(settings)).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Denied);
        assert!(!fault.message.contains("other"), "{fault}");
        assert_eq!(fake.count("GET", "/token"), 1);
    }
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
    assert_eq!(fault.kind, FaultKind::Denied);
    assert!(!format!("{fault:?}").contains("word"), "{fault:?}");
    assert_eq!(fake.count("*", ""), 1);
}

// Redirects and addresses.

#[test]
fn redirects_are_followed_and_authorization_stays_behind() {
    let (fake, image) = stage();
    let cdn = FakeUpstream::start_on("127.0.0.2");
    cdn.put_image("library/alpine", "latest", &image);
    fake.require_bearer(Bearer::default());
    let away = format!("{}{{path}}?X-Signature=SECRET", cdn.url());
    fake.on("GET", "/blobs/").always(Answer::redirect(&away));
    let upstream = upstream(&fake);
    let digest = image.layer_digest(0);
    let blob = upstream
        .get_blob(&repository(), &digest, 10, Some("\"x\""))
        .unwrap();
    assert_eq!(blob.offset, 0, "If-Range went along and did not fit");
    let (bytes, end) = drain(blob.reader);
    end.unwrap();
    assert!(bytes == image.layers[0]);
    let asked = &cdn.requests()[0];
    assert_eq!(asked.query, "X-Signature=SECRET");
    assert_eq!(asked.header("authorization"), None);
    assert_eq!(asked.header("range"), Some("bytes=10-"));
    // What goes wrong there is told with both names, and without the signature.
    for answer in [
        Answer::status(403),
        Answer::hang_up(),
        Answer::good().truncate_at(9),
    ] {
        cdn.on("GET", "/blobs/").always(answer);
        let said = match upstream.get_blob(&repository(), &digest, 0, None) {
            Err(fault) => fault.message,
            Ok(blob) => drain(blob.reader).1.unwrap_err().to_string(),
        };
        let names = format!("registry.example: {}", cdn.address());
        assert!(said.contains(&names) && !said.contains("SECRET"), "{said}");
    }
    let status = serde_json::to_string(&upstream.status()).unwrap();
    assert!(
        status.contains("127.0.0.2") && !status.contains("SECRET"),
        "{status}"
    );
    // Sent away and home again, the token is not brought back.
    let home = format!("{}{{path}}?home", fake.url());
    cdn.on("GET", "/manifests/").always(Answer::redirect(&home));
    fake.on("GET", "/manifests/")
        .next([Answer::redirect(&away), Answer::good()]);
    fake.forget_requests();
    assert_eq!(get(&upstream).unwrap_err().kind, FaultKind::Denied);
    let last = fake.requests_for("GET", "/manifests/");
    assert_eq!(last.last().unwrap().header("authorization"), None);
}

#[test]
fn redirects_within_the_upstream_keep_authorization() {
    let (fake, image) = stage();
    fake.require_bearer(Bearer::default());
    fake.on("GET", "/manifests/").next([
        Answer::redirect("latest?again"),
        Answer::redirect("/v2/library/alpine/manifests/latest?and=again"),
    ]);
    assert_eq!(get(&upstream(&fake)).unwrap(), image.manifest);
    let queries: Vec<_> = fake
        .requests_for("GET", "/manifests/")
        .into_iter()
        .map(|r| r.query)
        .collect();
    assert_eq!(queries, ["", "", "again", "and=again"]);
}

#[test]
fn redirects_that_lead_nowhere_are_protocol_faults() {
    for (what, answers, requests) in [
        ("to itself", vec![Answer::redirect("{path}")], 1),
        (
            "in a circle",
            vec![
                Answer::redirect("{path}?a"),
                Answer::redirect("{path}?b"),
                Answer::redirect("{path}?a"),
            ],
            3,
        ),
        (
            "six",
            (0..6)
                .map(|n| Answer::redirect(&format!("{{path}}?{n}")))
                .collect(),
            6,
        ),
        (
            "without Location",
            vec![Answer::redirect("").without_header("Location")],
            1,
        ),
        ("to a file", vec![Answer::redirect("file:///etc/passwd")], 1),
        (
            "with a password",
            vec![Answer::redirect("http://u:p@127.0.0.1/")],
            1,
        ),
        ("300", vec![Answer::status(300)], 1),
        ("304", vec![Answer::status(304).empty()], 1),
    ] {
        let (fake, _) = stage();
        fake.on("GET", "/manifests/").next(answers);
        let upstream = upstream(&fake);
        let fault = get(&upstream).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Protocol, "{what}: {fault}");
        assert_eq!(fake.count("*", ""), requests, "{what}");
        assert_eq!(upstream.status().failures_in_a_row, 0, "{what}");
    }
    let (fake, image) = stage();
    let five = (0..5).map(|n| Answer::redirect(&format!("{{path}}?{n}")));
    fake.on("GET", "/manifests/").next(five);
    assert_eq!(get(&upstream(&fake)).unwrap(), image.manifest);
}

#[test]
fn private_addresses_are_refused_before_a_connection_is_made() {
    let (fake, _) = stage();
    let port = fake.address().port();
    for url in [
        fake.url().to_owned(),
        format!("http://localhost:{port}"),
        format!("http://[::ffff:127.0.0.1]:{port}"),
        format!("http://127.1:{port}"),
        "http://169.254.169.254".to_owned(),
        "http://10.0.0.1".to_owned(),
    ] {
        let mut settings = settings(&url);
        settings.allow_private_addresses = false;
        let fault = get(&make(settings)).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Protocol, "{url}: {fault}");
        assert!(fault.message.contains("not public"), "{url}: {fault}");
    }
    assert_eq!(fake.connections(), 0);
}

// TLS and proxies.

#[test]
fn a_private_ca_is_trusted_where_it_is_configured() {
    let fake = FakeUpstream::start_tls();
    let image = Image::oci(1, &[100_000]);
    fake.put_image("library/alpine", "latest", &image);
    fake.require_bearer(Bearer::default());
    let mut trusting = settings(fake.url());
    trusting.ca = Some(FakeUpstream::ca_file());
    let upstream = make(trusting.clone());
    assert_eq!(get(&upstream).unwrap(), image.manifest);
    let blob = upstream
        .get_blob(&repository(), &image.layer_digest(0), 0, None)
        .unwrap();
    let (bytes, end) = drain(blob.reader);
    end.unwrap();
    assert!(bytes == image.layers[0]);
    assert_eq!(fake.connections(), 1, "one connection, one handshake");
    for answer in [
        Answer::good().truncate_at(500),
        Answer::good().stall_at(500),
    ] {
        let mut impatient = impatient(fake.url());
        impatient.ca = trusting.ca.clone();
        fake.on("GET", "/blobs/").next([answer]);
        let blob = make(impatient)
            .get_blob(&repository(), &image.layer_digest(0), 0, None)
            .unwrap();
        assert!(drain(blob.reader).1.is_err());
    }

    let fault = get(&make(settings(fake.url()))).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unreachable);
    assert!(fault.message.contains("certificate"), "{fault}");

    // From https to plain http leads no way: no redirect, no realm.
    let plain = FakeUpstream::start();
    plain.put_image("library/alpine", "latest", &image);
    fake.on("GET", "/manifests/")
        .next([Answer::redirect(&format!("{}{{path}}", plain.url()))]);
    assert_eq!(get(&upstream).unwrap_err().kind, FaultKind::Protocol);
    fake.require_bearer(Bearer {
        realm: Some(format!("{}/token", plain.url())),
        ..Bearer::default()
    });
    assert_eq!(get(&make(trusting)).unwrap_err().kind, FaultKind::Protocol);
    assert_eq!(plain.connections(), 0);
}

/// A proxy that answers CONNECT by connecting to `target`, whatever the name; counts, and notes the
/// names.
fn proxy(target: SocketAddr) -> (SocketAddr, Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(mut client) = client else { return };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if client.read_exact(&mut byte).is_err() {
                    break;
                }
                head.push(byte[0]);
            }
            log.lock().unwrap().push(String::from_utf8(head).unwrap());
            let Ok(mut server) = TcpStream::connect(target) else {
                return;
            };
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            std::thread::spawn(move || std::io::copy(&mut server, &mut client));
        }
    });
    (address, asked)
}

#[test]
fn requests_go_through_the_proxy_unless_no_proxy_names_their_host() {
    let (fake, image) = stage();
    let (address, asked) = proxy(fake.address());
    let proxies = |no_proxy: &str| {
        Proxies::read(|name| match name {
            "http_proxy" => Some(format!("http://user:p%40ss@{address}")),
            "no_proxy" => Some(no_proxy.to_owned()),
            _ => None,
        })
        .unwrap()
    };
    let make = |url: &str, no_proxy: &str| {
        let mut settings = settings(url);
        settings.allow_private_addresses = false;
        let offline = Arc::new(AtomicBool::new(false));
        Upstream::with_proxies(settings, offline, proxies(no_proxy)).unwrap()
    };
    // The name exists for the proxy alone; that the proxy itself is on loopback is the operator's choice.
    let upstream = make("http://registry.invalid", "");
    assert_eq!(get(&upstream).unwrap(), image.manifest);
    let heads = asked.lock().unwrap().clone();
    assert_eq!(heads.len(), 1);
    assert!(
        heads[0].starts_with("CONNECT registry.invalid:80 HTTP/1.1\r\n"),
        "{heads:?}"
    );
    assert!(
        heads[0].contains("Proxy-Authorization: Basic dXNlcjpwQHNz"),
        "{heads:?}"
    );
    assert_eq!(fake.requests()[0].header("host"), Some("registry.invalid"));
    // By its name in NO_PROXY it is asked directly, and has no address there.
    let direct = make("http://registry.invalid", "invalid");
    assert_eq!(get(&direct).unwrap_err().kind, FaultKind::Unreachable);
    // Neither the proxy nor a redirect through it opens a way to this machine.
    for location in [
        fake.url().to_owned(),
        "http://0x7f.1/".to_owned(),
        "http://10.0.0.1/".to_owned(),
    ] {
        fake.on("GET", "/manifests/")
            .next([Answer::redirect(&location)]);
        let fault = get(&upstream).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Protocol, "{location}: {fault}");
        assert!(fault.message.contains("not public"), "{location}: {fault}");
    }
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn a_proxy_that_refuses_or_is_gone_makes_the_upstream_unreachable() {
    let (fake, _) = stage();
    fake.on("CONNECT", "").always(Answer::status(407));
    for stop in [false, true] {
        if stop {
            fake.stop();
        }
        let address = fake.address();
        let proxies = Proxies::read(|name| {
            (name == "http_proxy").then(|| format!("http://user:SECRET@{address}"))
        });
        let offline = Arc::new(AtomicBool::new(false));
        let settings = settings("http://registry.invalid");
        let upstream = Upstream::with_proxies(settings, offline, proxies.unwrap()).unwrap();
        let fault = get(&upstream).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Unreachable, "{fault}");
        assert!(!fault.message.contains("SECRET"), "{fault}");
    }
}

// Health.

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
    assert_eq!(upstream.status().breaker, "closed");
}

#[test]
fn the_breaker_opens_and_then_nothing_is_sent() {
    let (fake, image) = stage();
    fake.on("*", "").always(Answer::status(500));
    let upstream = upstream(&fake);
    for count in 1..=3 {
        assert_eq!(upstream.status().breaker, "closed");
        let fault = upstream
            .head_manifest(&repository(), &latest(), DEADLINE)
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
        upstream.tags_list(&repository(), None, None).unwrap_err(),
        upstream
            .referrers(&repository(), &digest, None)
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
    assert_eq!(upstream.status().breaker, "open");
    let said = upstream.status().last_failure.unwrap();
    assert_eq!(said, "registry.example failed (500)");
    // Its time comes after five seconds, and the probe finds the upstream well.
    std::thread::sleep(Duration::from_millis(5_100));
    assert_eq!(upstream.status().breaker, "half-open");
    assert_eq!(get(&upstream).unwrap(), image.manifest);
    assert_eq!(upstream.status().breaker, "closed");
}

#[test]
fn bodies_that_break_open_the_breaker_too() {
    let (fake, image) = stage();
    let (upstream, digest) = (upstream(&fake), image.layer_digest(0));
    fake.on("GET", "/blobs/")
        .always(Answer::good().truncate_at(10));
    for count in 1..=3 {
        let blob = upstream.get_blob(&repository(), &digest, 0, None).unwrap();
        assert!(drain(blob.reader).1.is_err());
        assert_eq!(upstream.status().failures_in_a_row, count);
    }
    assert_eq!(upstream.status().breaker, "open");
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
    assert_eq!(upstream.status().breaker, "offline");
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

// Settings.

#[test]
fn settings_that_cannot_work_are_refused_with_their_reason() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        Some(path)
    };
    let base = || settings("https://registry.example");
    let cases = [
        (
            "no scheme",
            Settings {
                url: "registry.example".to_owned(),
                ..base()
            },
        ),
        (
            "ftp",
            Settings {
                url: "ftp://registry.example".to_owned(),
                ..base()
            },
        ),
        (
            "password",
            Settings {
                url: "https://u:SECRET@registry.example".to_owned(),
                ..base()
            },
        ),
        (
            "query",
            Settings {
                url: "https://registry.example?SECRET".to_owned(),
                ..base()
            },
        ),
        (
            "realm",
            Settings {
                auth_realm: Some("token".to_owned()),
                ..base()
            },
        ),
        (
            "plain realm",
            Settings {
                auth_realm: Some("http://registry.example/t".to_owned()),
                ..base()
            },
        ),
        (
            "no CA file",
            Settings {
                ca: Some(dir.path().join("missing")),
                ..base()
            },
        ),
        (
            "empty CA file",
            Settings {
                ca: file("empty", ""),
                ..base()
            },
        ),
        (
            "CA file without PEM",
            Settings {
                ca: file("text", "hello"),
                ..base()
            },
        ),
        (
            "broken CA file",
            Settings {
                ca: file(
                    "broken",
                    "-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n",
                ),
                ..base()
            },
        ),
        (
            "colon",
            Settings {
                credentials: Some(Credentials {
                    username: "a:b".to_owned(),
                    password: "SECRET".to_owned(),
                }),
                ..base()
            },
        ),
    ];
    for (what, settings) in cases {
        let offline = Arc::new(AtomicBool::new(false));
        let made = Upstream::with_proxies(settings, offline, Proxies::default());
        let error = made.map(|_| ()).expect_err(what);
        assert_eq!(error.kind(), Kind::Config, "{what}: {error}");
        assert!(!error.to_string().contains("SECRET"), "{what}: {error}");
    }
}

// The fake itself, on which other suites build.

#[test]
fn the_fake_stops_and_restarts_on_its_port() {
    let (fake, image) = stage();
    for _ in 0..100 {
        let upstream = upstream(&fake);
        assert_eq!(get(&upstream).unwrap(), image.manifest);
        fake.stop();
        assert!(TcpStream::connect(fake.address()).is_err());
        fake.restart();
    }
    let address = fake.address();
    drop(fake);
    assert!(TcpListener::bind(address).is_ok());
}

#[test]
fn the_fake_stops_in_spite_of_stalls_and_gates() {
    let (fake, image) = stage();
    let gate = Gate::new();
    fake.on("GET", "/manifests/").always(Answer::silence());
    fake.on("GET", "/blobs/")
        .always(Answer::good().wait_at(5, &gate));
    let upstream = upstream(&fake);
    std::thread::scope(|scope| {
        scope.spawn(|| get(&upstream).unwrap_err());
        scope.spawn(|| {
            let digest = image.layer_digest(0);
            if let Ok(blob) = upstream.get_blob(&repository(), &digest, 0, None) {
                assert!(drain(blob.reader).1.is_err());
            }
        });
        gate.await_arrival();
        let began = Instant::now();
        fake.stop();
        assert!(began.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn noise_is_the_same_for_the_same_seed() {
    assert_eq!(noise(7, 100), noise(7, 100));
    assert_ne!(noise(7, 100), noise(8, 100));
    assert_eq!(noise(7, 3).len(), 3);
}
