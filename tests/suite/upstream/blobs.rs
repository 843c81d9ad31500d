//! Blobs: ranges, resuming, and bodies that end early but never silently.

use std::io::{ErrorKind, Read as _};
use std::sync::atomic::{AtomicUsize, Ordering};

use breakwater::oci::Digest;
use breakwater::upstream::FaultKind;

use super::{drain, get, impatient, make, repository, settings, stage, upstream};
use crate::support::fake_upstream::{Answer, Bearer, FakeUpstream, Gate, noise};

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
        // Only those that wait for silence are impatient: a busy machine must not use up the answer.
        let waits = kinds.contains(&ErrorKind::TimedOut);
        let upstream = make(if waits {
            impatient(fake.url())
        } else {
            settings(fake.url())
        });
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
    fake.on("GET", "/blobs/")
        .next([Answer::good().truncate_at(30_000), Answer::status(503)]);
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
    assert_eq!(rounds, 2);
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
fn a_large_blob_over_a_bad_line_does_not_open_the_breaker() {
    let fake = FakeUpstream::start();
    let bytes = noise(5, 12_000_000);
    let digest = fake.put_blob("library/alpine", &bytes);
    let upstream = upstream(&fake);
    fake.on("GET", "/blobs/")
        .next(vec![Answer::good().truncate_at(1_500_000); 6]);
    let mut got = Vec::new();
    while got.len() < bytes.len() {
        let from = got.len() as u64;
        let blob = upstream
            .get_blob(&repository(), &digest, from, None)
            .unwrap();
        got.extend(drain(blob.reader).0);
        assert!(upstream.status().failures_in_a_row <= 1);
    }
    assert!(got == bytes);
    assert_eq!(fake.count("GET", "/blobs/"), 7);
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
