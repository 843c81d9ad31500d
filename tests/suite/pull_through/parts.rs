//! Several ranges in one request, as podman asks for them of `zstd:chunked` layers. It needs as many parts as it asked for,
//! in the order in which it asked.

use super::{assert_error, blob, stage};
use crate::support::client::{Answer as Got, assert_sound};
use crate::support::fake_upstream::{Answer, Gate, noise};

/// The parts of an answer, each with its `Content-Range`.
fn parts(got: &Got) -> Vec<(String, Vec<u8>)> {
    assert_eq!(got.status, 206, "{}", got.head);
    let media_type = got.field("Content-Type").unwrap();
    let boundary = media_type
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap_or_else(|| panic!("{media_type}"));
    let find = |bytes: &[u8], text: &str| {
        let text = text.as_bytes();
        bytes.windows(text.len()).position(|window| window == text)
    };
    let mut rest = got.body.as_slice();
    let mut parts = Vec::new();
    let delimiter = format!("\r\n--{boundary}");
    assert_eq!(find(rest, &delimiter), Some(0));
    rest = &rest[delimiter.len()..];
    while let Some(after) = rest.strip_prefix(b"\r\n") {
        let head = find(after, "\r\n\r\n").unwrap();
        let fields = std::str::from_utf8(&after[..head]).unwrap();
        let range = fields
            .lines()
            .find_map(|line| line.strip_prefix("Content-Range: "));
        let body = &after[head + 4..];
        let end = find(body, &delimiter).unwrap();
        parts.push((range.unwrap().to_owned(), body[..end].to_vec()));
        rest = &body[end + delimiter.len()..];
    }
    assert_eq!(rest, b"--\r\n");
    parts
}

#[test]
fn several_ranges_are_answered_cold_and_warm_in_the_order_that_was_asked_for() {
    let (fake, _, appliance, client) = stage("");
    let bytes = noise(7, 300_000);
    let digest = fake.put_blob("library/alpine", &bytes);
    let path = blob("library/alpine", &digest);
    let asked = client.with("Range", "bytes=200000-, 5-5, 400000-,100-1099");
    for state in ["cold", "warm"] {
        let got = asked.get(&path);
        let expected = [(200_000, 299_999), (5, 5), (100, 1_099)].map(|(first, last)| {
            let range = format!("bytes {first}-{last}/300000");
            (range, bytes[first..=last].to_vec())
        });
        assert!(parts(&got) == expected, "{state}: {}", got.head);
        assert_eq!(got.field("Docker-Content-Digest"), Some(digest.as_str()));
        assert!(got.complete, "{state}");
    }
    // All of it was fetched once, and is kept.
    assert_eq!(client.get(&path).body, bytes);
    assert_eq!(fake.count("GET", digest.as_str()), 1);
    let nothing = client.with("Range", "bytes=300000-,400000-").get(&path);
    assert_error(&nothing, 416, "RANGE_INVALID", "range");
    assert_sound(&appliance);
}

#[test]
fn parts_of_a_blob_on_its_way_come_as_they_arrive() {
    let (fake, image, appliance, client) = stage("");
    let gate = Gate::new();
    fake.on("GET", "/blobs/")
        .next([Answer::good().wait_at(50_000, &gate)]);
    let path = blob("library/alpine", image.layer_digest(0));
    let mut open = client
        .with("Range", "bytes=40000-40009,0-9,90000-90009")
        .open(&path);
    gate.await_arrival();
    // What is there is sent, and what is not is waited for.
    let arrived = open.read_up_to(150);
    assert!(
        arrived
            .windows(10)
            .any(|w| w == &image.layers[0][40_000..40_010])
    );
    gate.open();
    let got = open.finish();
    let bodies: Vec<_> = parts(&got).into_iter().map(|(_, body)| body).collect();
    assert!(bodies == [40_000, 0, 90_000].map(|at| image.layers[0][at..at + 10].to_vec()));
    assert_eq!(fake.count("GET", "/blobs/"), 1);
    assert_sound(&appliance);
}

#[test]
fn a_lie_completes_no_part_of_it() {
    let (fake, image, appliance, client) = stage("");
    let path = blob("library/alpine", image.layer_digest(0));
    fake.on("GET", "/blobs/")
        .next([Answer::good().wrong_bytes()]);
    let got = client.with("Range", "bytes=0-9,-10").open(&path).finish();
    assert!(got.status >= 500 || !got.complete, "{}", got.head);
    assert_sound(&appliance);
}

#[test]
fn more_ranges_than_are_allowed_are_refused_so_that_podman_merges_them() {
    let (_fake, image, _appliance, client) = stage("");
    let path = blob("library/alpine", image.layer_digest(0));
    let ranges = |count: usize| {
        let ranges = (0..count).map(|number| format!("{}-{}", number * 10, number * 10));
        format!("bytes={}", ranges.collect::<Vec<_>>().join(","))
    };
    let most = client.with("Range", &ranges(256)).get(&path);
    assert_eq!(parts(&most).len(), 256);
    for count in [257, 1_024] {
        let more = client.with("Range", &ranges(count)).get(&path);
        assert_error(&more, 400, "UNSUPPORTED", "256 ranges");
    }
}
