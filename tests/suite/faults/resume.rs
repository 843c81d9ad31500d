//! Resume: what broke off goes on from where it stopped, and the client does not notice.

use std::time::Duration;

use super::client;
use super::{
    REPOSITORY, assert_clean, blob, is_kept, lies, readers_blob, stage, staged, wait_until,
};
use crate::support::fake_upstream::{Answer, FakeUpstream, Gate, noise};

const MB: usize = 1024 * 1024;
/// The size of most blobs here.
const SIZE: usize = 2_000_000;

/// The Range and If-Range of each GET of a blob so far.
fn ranges(fake: &FakeUpstream) -> Vec<(Option<String>, Option<String>)> {
    let requests = fake.requests_for("GET", "/blobs/");
    let header = |name: &str, request: &crate::support::fake_upstream::Recorded| {
        request.header(name).map(str::to_owned)
    };
    requests
        .iter()
        .map(|request| (header("Range", request), header("If-Range", request)))
        .collect()
}

#[test]
fn an_upstream_that_breaks_off_is_asked_for_the_rest_once() {
    let (fake, appliance) = stage("");
    let cut = SIZE * 2 / 5;
    let table: Vec<(&str, Answer, bool)> = vec![
        ("closed", Answer::good().truncate_at(cut), true),
        (
            "without an ETag",
            Answer::good().truncate_at(cut).without_header("ETag"),
            false,
        ),
        (
            "with a weak ETag",
            Answer::good().truncate_at(cut).header("ETag", "W/\"1\""),
            false,
        ),
        ("chunked", Answer::good().chunked().truncate_at(cut), true),
    ];
    for (seed, (what, answer, by_etag)) in (1..).zip(table) {
        for reader in [false, true] {
            let bytes = noise(seed * 2 + u64::from(reader), SIZE);
            let digest = fake.put_blob(REPOSITORY, &bytes);
            fake.forget_requests();
            fake.on("GET", "/blobs/").next([answer.clone()]);
            let path = if reader {
                readers_blob(&digest)
            } else {
                blob(&digest)
            };
            let reply = client::get(appliance.address(), &path);
            assert_eq!((reply.status, reply.complete), (200, true), "{what}");
            assert!(reply.body == bytes, "{what}: other bytes");
            let etag = by_etag.then(|| format!("\"{digest}\""));
            let expected = vec![(None, None), (Some(format!("bytes={cut}-")), etag)];
            assert_eq!(ranges(&fake), expected, "{what}");
            assert_eq!(fake.body_bytes() % SIZE as u64, 0, "{what}: no byte twice");
            assert_eq!(is_kept(&appliance, &digest), !reader, "{what}");
        }
    }
    assert_eq!(staged(&appliance), [0; 0]);
    assert_clean(&appliance);
}

#[test]
fn it_may_break_off_anywhere_and_again_and_again() {
    let (fake, appliance) = stage("");
    for tenth in 0..10 {
        let bytes = noise(tenth, SIZE);
        let digest = fake.put_blob(REPOSITORY, &bytes);
        let at = SIZE / 10 * usize::try_from(tenth).unwrap();
        fake.on("GET", "/blobs/")
            .next([Answer::good().reset_at(at)]);
        let reply = client::get(appliance.address(), &blob(&digest));
        assert!(reply.complete && reply.body == bytes, "cut at {at}");
        assert!(is_kept(&appliance, &digest), "cut at {at}");
    }
    // Nine times in a row: what arrived each time proves that the upstream is alive.
    let bytes = noise(99, 15 * MB);
    let digest = fake.put_blob(REPOSITORY, &bytes);
    fake.forget_requests();
    let piece = bytes.len() / 10;
    fake.on("GET", "/blobs/")
        .next(vec![Answer::good().truncate_at(piece); 9]);
    let reply = client::get(appliance.address(), &blob(&digest));
    assert!(reply.complete && reply.body == bytes);
    let offsets: Vec<_> = ranges(&fake).into_iter().map(|(range, _)| range).collect();
    let expected: Vec<_> = (0..10)
        .map(|n| (n > 0).then(|| format!("bytes={}-", n * piece)))
        .collect();
    assert_eq!(offsets, expected);
    assert_clean(&appliance);
}

#[test]
fn what_comes_instead_of_the_rest_is_used_or_refused() {
    let (fake, appliance) = stage("");
    let cut = SIZE * 2 / 5;
    let first = || Answer::good().truncate_at(cut);
    let other = |seed, size| {
        Answer::body(200, "application/octet-stream", noise(seed, size))
            .header("ETag", "\"another\"")
    };
    // What the resumed request gets; whether the client gets its blob; how many lies that is.
    let table: Vec<(&str, Vec<Answer>, bool, u64)> = vec![
        (
            "Range ignored",
            vec![first(), Answer::good().ignore_range()],
            true,
            0,
        ),
        (
            "another ETag, the same bytes",
            vec![
                first().header("ETag", "\"old\""),
                Answer::good().header("ETag", "\"new\""),
            ],
            true,
            0,
        ),
        (
            "another size",
            vec![first(), other(1001, SIZE + 1)],
            false,
            1,
        ),
        (
            "other bytes of the same size",
            vec![first(), other(1002, SIZE)],
            false,
            1,
        ),
        (
            "the wrong part",
            vec![
                first(),
                Answer::body(206, "application/octet-stream", noise(1, 10))
                    .header("Content-Range", &format!("bytes 5-14/{SIZE}")),
            ],
            false,
            0,
        ),
        (
            "compressed",
            vec![first(), Answer::good().header("Content-Encoding", "gzip")],
            false,
            0,
        ),
    ];
    for (seed, (what, answers, expected, counted)) in (1..).zip(table) {
        let bytes = noise(seed, SIZE);
        let digest = fake.put_blob(REPOSITORY, &bytes);
        let before = lies(&appliance);
        fake.on("GET", "/blobs/").next(answers);
        let reply = client::get(appliance.address(), &blob(&digest));
        // It may be over before the head has left; and what is cut is cut with a reset.
        if reply.status == 503 {
            assert!(!expected, "{what}: {}", reply.text());
        } else {
            assert_eq!((reply.status, reply.complete), (200, expected), "{what}");
            let sure = reply.body.len().min(cut);
            assert!(bytes.starts_with(&reply.body[..sure]), "{what}");
        }
        assert_eq!(is_kept(&appliance, &digest), expected, "{what}");
        assert_eq!(lies(&appliance) - before, counted, "{what}");
        let again = client::get(appliance.address(), &blob(&digest));
        assert!(again.complete && again.body == bytes, "{what}: once honest");
    }
    assert_eq!(staged(&appliance), [0; 0]);
    assert_clean(&appliance);
}

#[test]
fn an_upstream_may_be_away_for_a_while() {
    let (fake, appliance) = stage("");
    let bytes = noise(1, SIZE);
    let digest = fake.put_blob(REPOSITORY, &bytes);
    let gate = Gate::new();
    fake.on("GET", "/blobs/")
        .next([Answer::good().wait_at(SIZE / 2, &gate)]);
    let mut download = client::open(appliance.address(), "GET", &blob(&digest), &[]);
    // All but the byte that is held back.
    let begin = download.next_bytes(SIZE / 2 - 1);
    fake.stop();
    appliance.wait_for_log("the upstream broke off, resuming");
    // Longer than a try with its pauses: it is really away.
    std::thread::sleep(Duration::from_secs(2));
    fake.restart();
    let rest = download.finish();
    assert!(rest.complete && [begin, rest.body].concat() == bytes);
    let resumed = Some(format!("bytes={}-", SIZE / 2));
    assert_eq!(ranges(&fake).last().unwrap().0, resumed);
    assert_eq!(fake.count("GET", "/blobs/"), 2);
}

#[test]
fn what_was_staged_before_a_crash_is_not_fetched_again() {
    let (fake, mut appliance) = stage("");
    let sizes = [SIZE, 3 * MB, 5 * MB];
    let blobs: Vec<_> = (1..).zip(sizes).map(|(n, size)| noise(n, size)).collect();
    let gate = Gate::new();
    let mut clients = Vec::new();
    for bytes in &blobs {
        let digest = fake.put_blob(REPOSITORY, bytes);
        let cut = bytes.len() / 5 * 3;
        fake.on("GET", digest.hex())
            .always(Answer::good().wait_at(cut, &gate));
        let mut client = client::open(appliance.address(), "GET", &blob(&digest), &[]);
        assert_eq!(client.next_bytes(cut - 1), bytes[..cut - 1]);
        clients.push(client);
    }
    appliance.kill();
    for client in clients {
        assert!(!client.finish().complete);
    }
    gate.open();
    fake.behave();
    appliance.restart();
    assert_clean(&appliance);
    assert_eq!(staged(&appliance).len(), blobs.len());
    for bytes in &blobs {
        let digest = fake.put_blob(REPOSITORY, bytes);
        assert!(!is_kept(&appliance, &digest));
        fake.forget_requests();
        let reply = client::get(appliance.address(), &blob(&digest));
        assert!(reply.complete && reply.body == *bytes);
        let cut = bytes.len() / 5 * 3;
        assert_eq!(ranges(&fake), [(Some(format!("bytes={cut}-")), None)]);
    }
    wait_until("nothing is staged any more", || {
        staged(&appliance).is_empty()
    });
    assert_clean(&appliance);
}

#[test]
fn staged_bytes_that_do_not_fit_cost_one_pull_and_blame_nobody() {
    let (fake, mut appliance) = stage("");
    let bytes = noise(1, SIZE);
    let digest = fake.put_blob(REPOSITORY, &bytes);
    let gate = Gate::new();
    fake.on("GET", "/blobs/")
        .next([Answer::good().wait_at(SIZE / 2, &gate)]);
    let mut client = client::open(appliance.address(), "GET", &blob(&digest), &[]);
    client.next_bytes(SIZE / 2 - 1);
    appliance.kill();
    gate.open();
    // As a power cut may leave it: the right length, other bytes.
    let entry = std::fs::read_dir(appliance.data().join("staging")).unwrap();
    let path = entry.map(|entry| entry.unwrap().path()).next().unwrap();
    let length = std::fs::metadata(&path).unwrap().len();
    std::fs::write(&path, vec![0; usize::try_from(length).unwrap()]).unwrap();
    appliance.restart();
    let reply = client::get(appliance.address(), &blob(&digest));
    assert!(reply.status == 503 || !reply.complete);
    assert!(!is_kept(&appliance, &digest));
    assert_eq!(lies(&appliance), 0);
    let again = client::get(appliance.address(), &blob(&digest));
    assert!(again.complete && again.body == bytes);
    assert_clean(&appliance);
}

#[test]
fn fills_that_are_given_up_do_not_pile_up() {
    let (fake, appliance) = stage("");
    let (size, cut) = (20_000, 10_000);
    let blobs: Vec<_> = (0..70).map(|seed| noise(seed, size)).collect();
    for bytes in &blobs {
        let digest = fake.put_blob(REPOSITORY, bytes);
        // It breaks off, and then says that it has no such blob.
        fake.on("GET", "/blobs/")
            .next([Answer::good().truncate_at(cut), Answer::status(404)]);
        let reply = client::get(appliance.address(), &blob(&digest));
        assert!(reply.status != 200 || !reply.complete);
    }
    assert_eq!(staged(&appliance), [cut as u64; 64]);
    // The last one is among those that can still be resumed.
    let bytes = blobs.last().unwrap();
    fake.forget_requests();
    let reply = client::get(
        appliance.address(),
        &blob(&breakwater::oci::Digest::of(bytes)),
    );
    assert!(reply.complete && reply.body == *bytes);
    assert_eq!(ranges(&fake), [(Some(format!("bytes={cut}-")), None)]);
    assert_eq!(staged(&appliance).len(), 63);
    assert_clean(&appliance);
}
