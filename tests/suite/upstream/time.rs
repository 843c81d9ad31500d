//! Silence, dripping and deadlines: every wait ends.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use breakwater::oci::Digest;
use breakwater::upstream::FaultKind;

use super::{drain, get, impatient, latest, make, repository, settings, stage, upstream};
use crate::support::fake_upstream::{Answer, Bearer, FakeUpstream};

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
            fault.message, "registry.example did not answer within 300 ms",
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
    settings.timeouts.connect = Duration::from_millis(200);
    settings.timeouts.tries = 1;
    // A byte every 30 ms is never silent for 300 ms.
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
    let mut settings = settings(fake.url());
    settings.timeouts.connect = Duration::from_millis(100);
    settings.timeouts.silence = Duration::from_millis(400);
    settings.timeouts.tries = 1;
    // Longer in all than a small answer could take, but never silent for long.
    fake.on("GET", "/blobs/")
        .next([Answer::good().slowly(2_000, Duration::from_millis(35))]);
    let upstream = make(settings);
    let digest = image.layer_digest(0);
    let began = Instant::now();
    let blob = upstream.get_blob(&repository(), &digest, 0, None).unwrap();
    let (bytes, end) = drain(blob.reader);
    end.unwrap();
    assert_eq!(bytes, image.layers[0]);
    assert!(began.elapsed() > Duration::from_millis(100 + 3 * 400));
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

#[test]
fn connections_that_are_not_taken_up_are_bounded() {
    // A full queue of connections, which the kernel then leaves unanswered.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    full.listen(0).unwrap();
    let full_at = full.local_addr().unwrap().as_socket().unwrap();
    let patience = Duration::from_millis(300);
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&full_at, patience) {
        queue.push(stream);
    }
    // One that is taken up, but never speaks TLS.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_at = silent.local_addr().unwrap();
    for url in [format!("http://{full_at}"), format!("https://{silent_at}")] {
        let mut settings = settings(&url);
        settings.timeouts.connect = patience;
        settings.timeouts.tries = 1;
        let began = Instant::now();
        let fault = get(&make(settings)).unwrap_err();
        assert_eq!(fault.kind, FaultKind::TimedOut, "{url}: {fault}");
        assert!(began.elapsed() < Duration::from_secs(5), "{url}");
    }
}

#[test]
fn a_head_that_drips_is_bounded_where_a_body_is_not() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = impatient(&format!("http://{}", listener.local_addr().unwrap()));
    settings.timeouts.tries = 1;
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let head = "HTTP/1.1 200 OK\r\nX: ".to_owned() + &"x".repeat(400);
        // Until the client has had enough.
        head.bytes().any(|byte| {
            std::thread::sleep(Duration::from_millis(50));
            stream.write_all(&[byte]).is_err()
        })
    });
    let digest = Digest::of(b"x");
    let fault = make(settings)
        .get_blob(&repository(), &digest, 0, None)
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::TimedOut, "{fault}");
    assert!(server.join().unwrap(), "the client left first");
}
