//! Manifests: bytes and types as the upstream has them, freshness of tags, conditional requests.

use breakwater::oci::Digest;

use super::{ALWAYS_ASK, ASK, BELIEVE, assert_error, manifest, pull, reconfigure, stage};
use crate::support::appliance::Appliance;
use crate::support::client::{Client, assert_sound};
use crate::support::fake_upstream::{Answer, FakeUpstream, Image, Index};

#[test]
fn each_type_comes_byte_for_byte_by_tag_and_by_digest() {
    let fake = FakeUpstream::start();
    let (oci, docker) = (Image::oci(1, &[10]), Image::docker(2, &[10]));
    let (index, list) = (
        Index::of(&[("amd64", &oci)]),
        Index::of(&[("amd64", &docker)]),
    );
    fake.put_image("library/x", "oci", &oci);
    fake.put_image("library/x", "docker", &docker);
    fake.put_index("library/x", "index", &index);
    fake.put_index("library/x", "list", &list);
    let appliance = Appliance::with_upstream(fake.url());
    let client = Client::of(&appliance);
    let table = [
        ("oci", &oci.manifest, oci.media_type),
        ("docker", &docker.manifest, docker.media_type),
        ("index", &index.bytes, index.media_type),
        ("list", &list.bytes, list.media_type),
    ];
    for (tag, bytes, media_type) in table {
        let digest = Digest::of(bytes);
        for reference in [tag, digest.as_str()] {
            let path = manifest("library/x", reference);
            let cold = client.head(&path);
            assert_eq!(cold.status, 200, "{path}");
            for _ in 0..2 {
                let got = client.with("Accept", media_type.as_str()).get(&path);
                assert_eq!(got.status, 200, "{path}");
                assert_eq!(&got.body, bytes, "{path}");
                let length = bytes.len().to_string();
                let etag = format!("\"{digest}\"");
                for (name, value) in [
                    ("Content-Type", media_type.as_str()),
                    ("Content-Length", &length),
                    ("Docker-Content-Digest", digest.as_str()),
                    ("ETag", &etag),
                    ("Accept-Ranges", "bytes"),
                    ("OCI-Namespace", "docker.io"),
                    ("Docker-Distribution-Api-Version", "registry/2.0"),
                ] {
                    assert_eq!(got.field(name), Some(value), "{path} {name}");
                }
                assert!(got.field("X-Request-Id").is_some());
                let head = client.head(&path);
                assert_eq!(head.lasting_fields(), got.lasting_fields(), "{path}");
                assert_eq!(cold.lasting_fields(), got.lasting_fields(), "{path}");
                assert!(head.body.is_empty());
            }
        }
    }
    // One GET for each tag; the digests came with them, and their HEADs asked nobody.
    assert_eq!(fake.count("GET", "/manifests/"), 4);
    assert_sound(&appliance);
}

#[test]
fn a_client_gets_no_type_that_it_does_not_accept() {
    let (_fake, image, appliance, client) = stage("");
    let oci = image.media_type.as_str();
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    let both = format!("{docker}, {oci};q=0.5");
    let refused = format!("{oci};q=0, {docker}");
    let table: &[(&[&str], u16)] = &[
        (&[], 200),
        (&["*/*"], 200),
        (&[oci], 200),
        (&[docker, oci], 200),
        (&[&both], 200),
        (&[docker], 404),
        (&[&refused], 404),
        (&["text/html"], 404),
    ];
    for reference in ["latest".to_owned(), image.digest().to_string()] {
        let path = manifest("library/alpine", reference);
        for (accept, status) in table {
            let mut client = client.clone();
            for value in *accept {
                client = client.with("Accept", value);
            }
            let got = client.get(&path);
            assert_eq!(got.status, *status, "{accept:?}: {}", got.text());
            assert_eq!(client.head(&path).status, *status, "{accept:?}");
            if *status == 404 {
                assert_error(&got, 404, "MANIFEST_UNKNOWN", oci);
            } else {
                assert_eq!(got.body, image.manifest);
            }
        }
    }
    assert_sound(&appliance);
}

#[test]
fn an_answer_says_where_it_comes_from_and_how_old_it_is() {
    let (fake, image, mut appliance, client) = stage(&format!("[cache]\n{BELIEVE}"));
    let path = manifest("library/alpine", "latest");
    let cold = client.get(&path);
    assert_eq!((cold.cache(), cold.field("Age")), ("miss", None));
    let warm = client.get(&path);
    assert_eq!(warm.cache(), "hit");
    let age = |answer: &crate::support::client::Answer| {
        answer.field("Age").and_then(|age| age.parse::<u64>().ok())
    };
    assert!(age(&warm).is_some(), "{}", warm.head);
    let by_digest = client.get(&manifest("library/alpine", image.digest()));
    assert_eq!(by_digest.cache(), "hit");
    assert_eq!(fake.count("*", "/manifests/"), 1);

    reconfigure(&mut appliance, BELIEVE, ASK);
    let client = Client::of(&appliance);
    let asked = client.get(&path);
    assert_eq!((asked.cache(), age(&asked)), ("revalidated", Some(0)));
    assert_eq!(fake.count("HEAD", "/manifests/latest"), 1);
    assert_eq!(fake.count("GET", "/manifests/latest"), 1);

    pull(&client, "library/alpine", "latest", &image);
    fake.stop();
    let stale = client.get(&path);
    assert_eq!((stale.status, stale.cache()), (200, "stale"));
    assert!(age(&stale).is_some() && stale.body == image.manifest);
    // A digest is never asked for again.
    let by_digest = client.get(&manifest("library/alpine", image.digest()));
    assert_eq!(by_digest.cache(), "hit");
    // A line is written after its answer has left.
    for word in ["miss", "hit", "revalidated", "stale"] {
        appliance.wait_for_log(&format!("\"cache\":\"{word}\""));
    }
    assert_sound(&appliance);
}

#[test]
fn ranges_and_conditions_work_on_manifests() {
    let (_fake, image, appliance, client) = stage("");
    let (bytes, etag) = (&image.manifest, format!("\"{}\"", image.digest()));
    let total = bytes.len();
    let path = manifest("library/alpine", "latest");
    let part = client.with("Range", "bytes=5-14").get(&path);
    assert_eq!((part.status, part.body.as_slice()), (206, &bytes[5..15]));
    let expected = format!("bytes 5-14/{total}");
    assert_eq!(part.field("Content-Range"), Some(expected.as_str()));
    assert_eq!(part.field("Content-Type"), Some(image.media_type.as_str()));
    let last = client.with("Range", "bytes=-3").get(&path);
    assert_eq!(
        (last.status, last.body.as_slice()),
        (206, &bytes[total - 3..])
    );
    let beyond = client.with("Range", &format!("bytes={total}-")).get(&path);
    assert_error(&beyond, 416, "RANGE_INVALID", "range");
    let expected = format!("bytes */{total}");
    assert_eq!(beyond.field("Content-Range"), Some(expected.as_str()));
    for (value, status) in [(etag.as_str(), 304), ("*", 304), ("\"other\"", 200)] {
        let client = client.with("If-None-Match", value);
        let (got, head) = (client.get(&path), client.head(&path));
        assert_eq!((got.status, head.status), (status, status), "{value}");
        assert_eq!(got.field("ETag"), Some(etag.as_str()));
        assert_eq!(got.body.is_empty(), status == 304);
    }
    let stale_part = client.with("Range", "bytes=0-1").with("If-Range", "\"x\"");
    assert_eq!(stale_part.get(&path).status, 200);
    let good_part = client.with("Range", "bytes=0-1").with("If-Range", &etag);
    assert_eq!(good_part.get(&path).body, &bytes[..2]);
    assert_sound(&appliance);
}

#[test]
fn a_tag_that_moves_is_followed_and_the_old_digest_stays() {
    let (fake, old, appliance, client) = stage(ALWAYS_ASK);
    let path = manifest("library/alpine", "latest");
    assert_eq!(client.get(&path).body, old.manifest);
    let new = Image::oci(2, &[10]);
    fake.put_image("library/alpine", "latest", &new);
    let moved = client.get(&path);
    assert_eq!((moved.cache(), &moved.body), ("miss", &new.manifest));
    assert_eq!(client.get(&path).cache(), "revalidated");
    let before = client.get(&manifest("library/alpine", old.digest()));
    assert_eq!((before.cache(), &before.body), ("hit", &old.manifest));
    // The upstream moves it once more, but does not give the manifest: the one that is kept is served.
    let newest = Image::oci(3, &[10]);
    fake.put_image("library/alpine", "latest", &newest);
    fake.on("GET", "/manifests/").always(Answer::status(500));
    let stale = client.get(&path);
    assert_eq!((stale.status, stale.cache()), (200, "stale"));
    assert_eq!(stale.body, new.manifest);
    assert_sound(&appliance);
}

#[test]
fn a_tag_that_the_upstream_takes_away_stays_served() {
    for status in [404, 401, 403, 429, 500] {
        let (fake, image, appliance, client) = stage(ALWAYS_ASK);
        let path = manifest("library/alpine", "latest");
        assert_eq!(client.get(&path).cache(), "miss");
        fake.on("*", "/manifests/").always(Answer::status(status));
        for _ in 0..2 {
            for got in [client.get(&path), client.head(&path)] {
                assert_eq!((got.status, got.cache()), (200, "stale"), "{status}");
            }
        }
        // When it is back, it is no longer stale.
        fake.behave();
        if matches!(status, 401 | 403 | 404) {
            let back = client.get(&path);
            assert_eq!((back.cache(), &back.body), ("revalidated", &image.manifest));
        }
        assert_sound(&appliance);
    }
}

#[test]
fn an_upstream_without_head_is_asked_by_get() {
    let (fake, image, appliance, client) = stage(ALWAYS_ASK);
    fake.on("HEAD", "/manifests/").always(Answer::status(405));
    let path = manifest("library/alpine", "latest");
    for _ in 0..3 {
        assert_eq!(client.get(&path).body, image.manifest);
    }
    assert_eq!(fake.count("GET", "/manifests/latest"), 3);
    pull(&client, "library/alpine", "latest", &image);
    fake.stop();
    assert_eq!(client.get(&path).cache(), "stale");
    assert_sound(&appliance);
}

#[test]
fn a_manifest_that_lies_is_neither_served_nor_kept() {
    let wrong = Image::oci(9, &[10]);
    let oci = wrong.media_type.as_str();
    let table = [
        ("other bytes", Answer::good().wrong_bytes()),
        (
            "a web page",
            Answer::body(200, "text/html", "<html>captive portal</html>"),
        ),
        (
            "another manifest",
            Answer::body(200, oci, wrong.manifest.clone()),
        ),
        ("no manifest", Answer::body(200, oci, "{}")),
        ("nothing", Answer::body(200, oci, "")),
        ("too much", Answer::body(200, oci, vec![b' '; 5 << 20])),
    ];
    let (fake, image, appliance, client) = stage(ALWAYS_ASK);
    for (what, answer) in table {
        fake.behave();
        fake.on("GET", "/manifests/").always(answer);
        let got = client.get(&manifest("library/alpine", image.digest()));
        assert_eq!(got.status, 503, "{what}: {}", got.text());
        assert!(
            got.message().contains("docker.io"),
            "{what}: {}",
            got.text()
        );
        assert!(got.field("Retry-After").is_some(), "{what}");
    }
    fake.behave();
    let got = client.get(&manifest("library/alpine", image.digest()));
    assert_eq!((got.cache(), &got.body), ("miss", &image.manifest));
    assert_sound(&appliance);
}
