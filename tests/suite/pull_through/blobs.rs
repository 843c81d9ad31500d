//! Blobs: cold, warm and on their way; ranges; nothing that lies; nobody else's. How many may ask for one
//! at once is in `faults/one_fetch.rs`.

use breakwater::oci::Digest;

use super::{ALWAYS_ASK, assert_error, blob, manifest, stage};
use crate::support::appliance::Appliance;
use crate::support::client::{Client, assert_sound};
use crate::support::fake_upstream::{Answer, Gate, Image, noise};

/// Files below a directory.
fn files(appliance: &Appliance, below: &str) -> usize {
    fn count(directory: &std::path::Path) -> usize {
        let Ok(entries) = std::fs::read_dir(directory) else {
            return 0;
        };
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .map(|path| if path.is_dir() { count(&path) } else { 1 })
            .sum()
    }
    count(&appliance.data().join(below))
}

#[test]
fn a_blob_is_fetched_once_and_served_from_then_on() {
    let (fake, image, appliance, client) = stage("");
    let (bytes, digest) = (&image.layers[0], image.layer_digest(0));
    let path = blob("library/alpine", &digest);
    let asked = client.head(&path);
    assert_eq!(asked.status, 200);
    assert_eq!(
        fake.count("GET", "/blobs/"),
        0,
        "HEAD of a cold blob fetches nothing"
    );
    let cold = client.get(&path);
    let warm = client.get(&path);
    let etag = format!("\"{digest}\"");
    for got in [&cold, &warm] {
        assert_eq!(
            (got.status, got.body == *bytes, got.complete),
            (200, true, true)
        );
        for (name, value) in [
            ("Content-Type", "application/octet-stream"),
            ("Content-Length", "100000"),
            ("Docker-Content-Digest", digest.as_str()),
            ("ETag", &etag),
            ("Accept-Ranges", "bytes"),
            ("OCI-Namespace", "docker.io"),
        ] {
            assert_eq!(got.field(name), Some(value), "{name}");
        }
    }
    assert_eq!((cold.cache(), warm.cache()), ("miss", "hit"));
    assert!(cold.field("Age").is_none() && warm.field("Age").is_some());
    let head = client.head(&path);
    assert_eq!(head.lasting_fields(), warm.lasting_fields());
    assert_eq!(asked.lasting_fields(), warm.lasting_fields());
    assert_eq!(fake.count("GET", "/blobs/"), 1);
    let unchanged = client.with("If-None-Match", &etag).get(&path);
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    assert_sound(&appliance);
}

#[test]
fn ranges_work_on_cold_and_on_warm_blobs() {
    let (fake, _, appliance, client) = stage("");
    // range, status, first, last; of 1,000 bytes
    let table: &[(&str, u16, usize, usize)] = &[
        ("bytes=0-0", 206, 0, 0),
        ("bytes=10-19", 206, 10, 19),
        ("bytes=990-5000", 206, 990, 999),
        ("bytes=500-", 206, 500, 999),
        ("bytes=-1", 206, 999, 999),
        ("bytes=-5000", 206, 0, 999),
        ("bytes=0-999", 206, 0, 999),
        ("bytes=1000-", 416, 0, 0),
        ("bytes=99999999999999999999-", 416, 0, 0),
        ("bytes=-0", 416, 0, 0),
        ("bytes=5-2", 416, 0, 0),
        ("bytes=x", 200, 0, 999),
        ("lines=1-2", 200, 0, 999),
        ("bytes=0-1,5-x", 200, 0, 999),
        ("bytes=0-999,5-6", 200, 0, 999),
    ];
    for (seed, (range, status, first, last)) in (100..).zip(table) {
        let bytes = noise(seed, 1000);
        let digest = fake.put_blob("library/alpine", &bytes);
        let path = blob("library/alpine", &digest);
        for state in ["cold", "warm"] {
            let got = client.with("Range", range).get(&path);
            assert_eq!(got.status, *status, "{range} {state}: {}", got.head);
            match status {
                416 => {
                    assert_error(&got, 416, "RANGE_INVALID", "range");
                    assert_eq!(got.field("Content-Range"), Some("bytes */1000"));
                }
                206 => {
                    assert_eq!(got.body, &bytes[*first..=*last], "{range} {state}");
                    let expected = format!("bytes {first}-{last}/1000");
                    assert_eq!(got.field("Content-Range"), Some(expected.as_str()));
                }
                _ => assert_eq!(got.body, bytes, "{range} {state}"),
            }
            // Whatever part was asked for, all of it is kept.
            assert_eq!(client.get(&path).body, bytes);
        }
        assert_eq!(fake.count("GET", digest.as_str()), 1, "{range}");
        let etag = format!("\"{digest}\"");
        for (validator, status) in [(etag.as_str(), 206), ("\"other\"", 200)] {
            let client = client
                .with("Range", "bytes=0-9")
                .with("If-Range", validator);
            assert_eq!(client.get(&path).status, status, "{validator}");
        }
    }
    assert_sound(&appliance);
}

#[test]
fn a_cold_blob_reaches_the_client_while_it_arrives() {
    let (fake, image, appliance, client) = stage("");
    let gate = Gate::new();
    fake.on("GET", "/blobs/")
        .next([Answer::good().wait_at(50_000, &gate)]);
    let path = blob("library/alpine", image.layer_digest(0));
    let mut first = client.open(&path);
    assert!(first.read_up_to(10_000).len() >= 10_000);
    gate.await_arrival();
    // One who comes late starts at byte 0 from what is there, and asks nobody.
    let mut late = client.open(&path);
    assert!(
        late.read_up_to(40_000)
            .starts_with(&image.layers[0][..40_000])
    );
    let mut part = client.with("Range", "bytes=1000-1999").open(&path);
    assert_eq!(part.read_up_to(1000), &image.layers[0][1000..2000]);
    gate.open();
    for answer in [first.finish(), late.finish()] {
        assert!(answer.complete && answer.body == image.layers[0]);
        assert_eq!(answer.cache(), "miss");
    }
    assert_eq!(fake.count("GET", "/blobs/"), 1);
    assert_sound(&appliance);
}

#[test]
fn a_broken_fetch_is_resumed_where_it_stopped() {
    for flaw in [
        Answer::good().truncate_at(60_000),
        Answer::good().reset_at(60_000),
    ] {
        let (fake, image, appliance, client) = stage("");
        fake.on("GET", "/blobs/").next([flaw]);
        let got = client.get(&blob("library/alpine", image.layer_digest(0)));
        assert!(got.complete && got.body == image.layers[0]);
        let asked = fake.requests_for("GET", "/blobs/");
        assert!(asked.len() >= 2, "{asked:?}");
        let range = asked[1].header("range").unwrap_or_default();
        assert!(
            range.starts_with("bytes=") && range != "bytes=0-",
            "{range}"
        );
        assert_sound(&appliance);
    }
}

#[test]
fn a_lie_is_never_completed_and_never_kept() {
    let (fake, image, appliance, client) = stage("");
    let path = blob("library/alpine", image.layer_digest(0));
    let before = files(&appliance, "blobs");
    for range in [None, Some("bytes=-10")] {
        fake.on("GET", "/blobs/")
            .next([Answer::good().wrong_bytes()]);
        let client = range.map_or(client.clone(), |range| client.with("Range", range));
        let got = client.open(&path).finish();
        assert!(got.status >= 500 || !got.complete, "{}", got.head);
        assert!(!got.body.ends_with(&[image.layers[0][99_999] ^ 0xff]));
    }
    assert_eq!(files(&appliance, "blobs"), before);
    appliance.wait_for_log("lied about blob");
    let good = client.get(&path);
    assert!(good.complete && good.body == image.layers[0] && good.cache() == "miss");
    assert_eq!(files(&appliance, "staging"), 0);
    assert_sound(&appliance);
}

#[test]
fn a_digest_opens_nothing_in_another_repository() {
    let (fake, image, appliance, client) = stage(ALWAYS_ASK);
    let secret = noise(77, 5_000);
    let digest = fake.put_blob("acme/private", &secret);
    assert_eq!(client.get(&blob("acme/private", &digest)).body, secret);
    let other = blob("library/alpine", &digest);
    // The upstream says that this repository does not have it.
    for answer in [client.get(&other), client.head(&other)] {
        assert_eq!(answer.status, 404, "{}", answer.head);
        assert!(answer.body.len() < 1000 || !answer.body.starts_with(&secret[..100]));
    }
    assert_error(
        &client.get(&other),
        404,
        "BLOB_UNKNOWN",
        "docker.io/library/alpine",
    );
    // Nor while the upstream cannot be asked.
    fake.stop();
    assert_eq!(
        client.get(&other).verdict(),
        (503, "UNAVAILABLE".to_owned())
    );
    fake.restart();
    // The same for manifests.
    let hidden = Image::oci(5, &[10]);
    fake.put_image("acme/private", "1", &hidden);
    let got = eventually_ok(&client, &manifest("acme/private", "1"));
    assert_eq!(got, hidden.manifest);
    let answer = client.get(&manifest("library/alpine", hidden.digest()));
    assert_error(&answer, 404, "MANIFEST_UNKNOWN", "docker.io/library/alpine");
    // Once the upstream confirms it, it is linked without another transfer.
    fake.put_blob("library/alpine", &secret);
    let sent = fake.count("GET", digest.as_str());
    assert_eq!(client.get(&other).body, secret);
    assert_eq!(fake.count("GET", digest.as_str()), sent);
    fake.stop();
    assert_eq!(client.get(&other).cache(), "hit");
    assert_ne!(Digest::of(&image.manifest), digest);
    assert_sound(&appliance);
}

#[test]
fn an_upstream_that_knows_no_head_of_blobs_is_asked_by_get() {
    let (fake, image, appliance, client) = stage("");
    fake.on("HEAD", "/blobs/").always(Answer::status(405));
    let path = blob("library/alpine", image.layer_digest(0));
    let head = client.head(&path);
    assert_eq!(
        head.field("Content-Length"),
        Some("100000"),
        "{}",
        head.head
    );
    assert!(client.get(&path).body == image.layers[0]);
    // It cannot confirm what another repository has either, but it can give it.
    fake.put_blob("acme/copy", &image.layers[0]);
    let copy = client.get(&blob("acme/copy", image.layer_digest(0)));
    assert!(copy.body == image.layers[0], "{}", copy.head);
    let nowhere = client.get(&blob("acme/other", image.layer_digest(0)));
    assert_error(&nowhere, 404, "BLOB_UNKNOWN", "docker.io/acme/other");
    assert_sound(&appliance);
}

#[test]
fn an_upstream_need_not_say_how_long_a_blob_is() {
    let (fake, image, appliance, client) = stage("");
    let flaws = [Answer::good().chunked(), Answer::good().until_close()];
    for (answer, bytes) in flaws.into_iter().zip(&image.layers) {
        let path = blob("library/alpine", Digest::of(bytes));
        fake.on("HEAD", "/blobs/").next([answer.clone()]);
        let head = client.head(&path);
        assert_eq!((head.status, head.field("Content-Length")), (200, None));
        fake.on("GET", "/blobs/").next([answer]);
        let cold = client.get(&path);
        assert!(cold.complete && cold.body == *bytes, "{}", cold.head);
        let warm = client.with("Range", "bytes=0-9").get(&path);
        assert_eq!((warm.status, warm.body.as_slice()), (206, &bytes[..10]));
        let length = bytes.len().to_string();
        assert_eq!(
            client.head(&path).field("Content-Length"),
            Some(length.as_str())
        );
    }
    assert_sound(&appliance);
}

/// Asks until the breaker lets it through again.
fn eventually_ok(client: &Client, path: &str) -> Vec<u8> {
    let begun = std::time::Instant::now();
    loop {
        let answer = client.get(path);
        if answer.status == 200 {
            return answer.body;
        }
        assert!(begun.elapsed().as_secs() < 60, "{answer:?}");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}
