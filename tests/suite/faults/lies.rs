//! Lies: what is not what was asked for is never kept, never completed to a client, counted and logged;
//! and the next pull asks again.

use breakwater::oci::{Digest, MediaType};

use super::client;
use super::{
    REPOSITORY, assert_clean, at_once, blob, is_kept, lies, manifest, stage, staged, wait_until,
};
use crate::support::fake_upstream::{Answer, Gate, Image, noise};

const SIZE: usize = 300_000;

/// How a client learns that it does not get it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Seen {
    /// 503 with `Retry-After`.
    Unavailable,
    /// 200, and the connection is cut before the last byte.
    Cut,
}

#[test]
fn a_blob_that_is_another_is_never_completed() {
    let (fake, appliance) = stage("");
    let stranger = || Answer::body(200, "application/octet-stream", noise(999, SIZE));
    // What the upstream answers, what the client sees, whether it counts as a lie rather than as an answer
    // that is none, and what the log says.
    let table: Vec<(&str, Answer, Seen, bool, &str)> = vec![
        (
            "wrong bytes",
            Answer::good().wrong_bytes(),
            Seen::Cut,
            true,
            "do not match",
        ),
        (
            "wrong bytes in chunks",
            Answer::good().wrong_bytes().chunked(),
            Seen::Cut,
            true,
            "do not match",
        ),
        (
            "wrong bytes until the end of the connection",
            Answer::good().wrong_bytes().until_close(),
            Seen::Cut,
            true,
            "do not match",
        ),
        (
            "a stranger's bytes",
            stranger(),
            Seen::Cut,
            true,
            "do not match",
        ),
        (
            "shorter",
            Answer::good().length_off_by(-9),
            Seen::Cut,
            true,
            "do not match",
        ),
        (
            "shorter, in chunks",
            Answer::body(200, "application/octet-stream", noise(999, SIZE - 9)).chunked(),
            Seen::Cut,
            true,
            "do not match",
        ),
        (
            "longer",
            Answer::body(200, "application/octet-stream", noise(999, SIZE + 9)),
            Seen::Cut,
            true,
            "do not match",
        ),
        (
            "announced longer than it is",
            Answer::good().length_off_by(9),
            Seen::Cut,
            false,
            "fetch failed",
        ),
        (
            "empty",
            Answer::good().empty(),
            Seen::Unavailable,
            true,
            "do not match",
        ),
        (
            "empty, in chunks",
            Answer::good().empty().chunked(),
            Seen::Cut,
            true,
            "do not match",
        ),
        (
            "compressed",
            Answer::good().header("Content-Encoding", "gzip"),
            Seen::Unavailable,
            false,
            "with the encoding `gzip`",
        ),
        (
            "a web page",
            Answer::body(200, "text/html", "<html>Please log in</html>"),
            Seen::Cut,
            true,
            "do not match",
        ),
        (
            "a part that nobody asked for",
            Answer::body(206, "application/octet-stream", noise(999, SIZE)).header(
                "Content-Range",
                &format!("bytes 7-{}/{}", SIZE + 6, SIZE + 7),
            ),
            Seen::Unavailable,
            false,
            "was asked for the bytes from 0 on",
        ),
    ];
    for (seed, (what, answer, seen, counted, logged)) in (1..).zip(table) {
        let bytes = noise(seed, SIZE);
        let digest = fake.put_blob(REPOSITORY, &bytes);
        let (lies_before, log_before) = (lies(&appliance), appliance.log().len());
        // Held back until the client has its head, where it gets one before anybody can know.
        let gate = Gate::new();
        let held = match seen {
            Seen::Cut => answer.wait_at(10, &gate),
            Seen::Unavailable => answer,
        };
        fake.on("GET", "/blobs/").always(held);
        let reply = client::open(appliance.address(), "GET", &blob(&digest), &[]);
        gate.open();
        let reply = reply.finish();
        fake.behave();
        match seen {
            Seen::Unavailable => {
                assert_eq!((reply.status, reply.complete), (503, true), "{what}");
                assert!(reply.header("Retry-After").is_some(), "{what}");
            }
            Seen::Cut => assert_eq!((reply.status, reply.complete), (200, false), "{what}"),
        }
        assert!(!is_kept(&appliance, &digest), "{what}: kept");
        let other = Digest::of(&reply.body);
        assert!(!is_kept(&appliance, &other), "{what}: kept as what it is");
        assert_eq!(lies(&appliance) - lies_before, u64::from(counted), "{what}");
        let log = &appliance.log()[log_before..];
        assert!(
            log.contains(logged) && log.contains(digest.as_str()),
            "{what}: {log}"
        );

        let again = client::get(appliance.address(), &blob(&digest));
        assert_eq!(
            (again.status, again.complete),
            (200, true),
            "{what}: once honest"
        );
        assert!(
            again.body == bytes && is_kept(&appliance, &digest),
            "{what}"
        );
    }
    assert_eq!(staged(&appliance), [0; 0]);
    assert_clean(&appliance);
}

#[test]
fn a_blob_needs_no_word_of_the_upstreams_but_its_bytes() {
    let (fake, appliance) = stage("");
    let stranger = Digest::of(b"another");
    for (seed, answer) in (1..).zip([
        Answer::good().without_header("Docker-Content-Digest"),
        Answer::good().header("Docker-Content-Digest", stranger.as_str()),
        Answer::good().header("Docker-Content-Digest", "nonsense"),
    ]) {
        let bytes = noise(seed, SIZE);
        let digest = fake.put_blob(REPOSITORY, &bytes);
        fake.on("GET", "/blobs/").next([answer]);
        let reply = client::get(appliance.address(), &blob(&digest));
        assert!(reply.complete && reply.body == bytes);
        assert_eq!(reply.header("Docker-Content-Digest"), Some(digest.as_str()));
        assert!(is_kept(&appliance, &digest));
    }
    assert_eq!(lies(&appliance), 0);
}

/// How a manifest is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Tag,
    Digest,
}

#[test]
fn a_manifest_that_is_another_is_never_served() {
    let (fake, appliance) = stage("");
    let stranger = Image::oci(9_999, &[10]);
    let oci = MediaType::OciManifest.as_str();
    let index = MediaType::OciIndex.as_str();
    let digest_of = |bytes: &[u8]| Digest::of(bytes).to_string();
    let signed = |media_type: &str, bytes: &[u8]| {
        Answer::body(200, media_type, bytes).header("Docker-Content-Digest", &digest_of(bytes))
    };
    let both = [By::Tag, By::Digest].as_slice();
    let page = b"<html>Please log in</html>".as_slice();
    let table: Vec<(&str, Answer, &[By], bool, &str)> = vec![
        (
            "wrong bytes",
            Answer::good().wrong_bytes(),
            both,
            true,
            "lied about",
        ),
        (
            "a stranger's manifest, rightly announced",
            signed(oci, &stranger.manifest),
            &[By::Digest],
            true,
            "do not match the digest",
        ),
        (
            "wrong digest header",
            Answer::good().header("Docker-Content-Digest", &digest_of(b"another")),
            both,
            true,
            "lied about",
        ),
        (
            "no digest header, and bytes that it does not have",
            Answer::body(200, oci, stranger.manifest.clone()),
            &[By::Tag],
            true,
            "it names no digest",
        ),
        (
            "not JSON",
            signed(oci, b"{\"schemaVersion\": 2,"),
            both,
            true,
            "lied about",
        ),
        (
            "JSON, but no manifest",
            signed(oci, b"[]"),
            both,
            true,
            "lied about",
        ),
        (
            "another type than announced",
            Answer::good().header("Content-Type", index),
            both,
            true,
            "lied about",
        ),
        (
            "a type that is none",
            Answer::good().header("Content-Type", "image/png"),
            both,
            true,
            "image/png",
        ),
        (
            "shorter",
            Answer::good().length_off_by(-9),
            both,
            true,
            "lied about",
        ),
        (
            "announced longer than it is",
            Answer::good().length_off_by(9),
            &[By::Tag],
            false,
            "cannot fetch a manifest",
        ),
        (
            "empty",
            Answer::good().empty(),
            both,
            false,
            "sent an empty manifest",
        ),
        (
            "compressed",
            Answer::good().header("Content-Encoding", "gzip"),
            both,
            false,
            "with the encoding `gzip`",
        ),
        (
            "a web page",
            signed("text/html", page),
            both,
            false,
            "a web page",
        ),
    ];
    for (seed, (what, answer, ways, counted, logged)) in (1..).zip(table) {
        for by in ways {
            let what = format!("{what}, by {by:?}");
            let image = Image::oci(seed * 2 + u64::from(*by == By::Tag), &[10]);
            let tag = format!("t{seed}");
            let digest = fake.put_image(REPOSITORY, &tag, &image);
            let path = match by {
                By::Tag => manifest(&tag),
                By::Digest => manifest(&digest),
            };
            let (lies_before, log_before) = (lies(&appliance), appliance.log().len());
            fake.on("GET", "/manifests/").always(answer.clone());
            let reply = client::get(appliance.address(), &path);
            fake.behave();
            assert_eq!(
                (reply.status, reply.complete),
                (503, true),
                "{what}: {}",
                reply.text()
            );
            assert!(reply.header("Retry-After").is_some(), "{what}");
            assert!(!is_kept(&appliance, &digest), "{what}: kept");
            assert!(!is_kept(&appliance, &stranger.digest()), "{what}: kept");
            assert_eq!(lies(&appliance) - lies_before, u64::from(counted), "{what}");
            let log = &appliance.log()[log_before..];
            assert!(log.contains(logged), "{what}: {log}");
            let list = appliance.ok(&["cache", "list", "--json"]);
            assert!(!list.contains(digest.as_str()), "{what}: {list}");

            // One that breaks off looks like an outage: the breaker lets nobody ask for some seconds.
            let mut again = client::get(appliance.address(), &path);
            wait_until("it is asked again", || {
                again = client::get(appliance.address(), &path);
                again.status == 200
            });
            assert_eq!(&again.body, &image.manifest, "{what}: once honest");
            assert!(is_kept(&appliance, &digest), "{what}");
        }
    }
    assert_clean(&appliance);
}

#[test]
fn a_manifest_without_an_announced_digest_is_confirmed_before_it_counts() {
    let (fake, appliance) = stage("");
    let silent = || Answer::good().without_header("Docker-Content-Digest");
    fake.on("GET", "/manifests/").always(silent());
    // What the upstream says to HEAD of the digest; the status for the client; requests in all.
    let table: Vec<(&str, Answer, u16, &[&str])> = vec![
        ("it has it", Answer::good(), 200, &["GET", "HEAD"]),
        (
            "it has it and says no digest",
            silent(),
            200,
            &["GET", "HEAD"],
        ),
        (
            "it knows no HEAD",
            Answer::status(405),
            200,
            &["GET", "HEAD", "GET"],
        ),
        (
            "it does not have it",
            Answer::status(404),
            503,
            &["GET", "HEAD"],
        ),
        (
            "it says another",
            Answer::good().header("Docker-Content-Digest", Digest::of(b"another").as_str()),
            503,
            &["GET", "HEAD"],
        ),
        ("it fails", Answer::status(500), 503, &["GET", "HEAD"]),
    ];
    for (seed, (what, head, status, requests)) in (1..).zip(table) {
        let image = Image::oci(seed, &[10]);
        let tag = format!("t{seed}");
        let digest = fake.put_image(REPOSITORY, &tag, &image);
        fake.on("HEAD", digest.hex()).always(head);
        fake.forget_requests();
        let replies = at_once(4, |_| client::get(appliance.address(), &manifest(&tag)));
        for reply in &replies {
            assert_eq!(reply.status, status, "{what}: {}", reply.text());
        }
        assert_eq!(is_kept(&appliance, &digest), status == 200, "{what}");
        let sent: Vec<_> = fake.requests().into_iter().map(|one| one.method).collect();
        if status == 200 {
            assert_eq!(sent, requests, "{what}");
        } else {
            assert_eq!(sent[..2], *requests, "{what}");
        }
        // By digest the hash is proof enough.
        fake.forget_requests();
        let reply = client::get(appliance.address(), &manifest(&digest));
        assert_eq!(
            (reply.status, &reply.body),
            (200, &image.manifest),
            "{what}"
        );
        assert_eq!(fake.count("HEAD", ""), 0, "{what}");
    }
    assert_clean(&appliance);
}
