//! "Pushing blobs", "Mounting a blob from another repository", "Pulling blobs", with sha256 and sha512.

use breakwater::oci::{Algorithm, Digest};

use super::{OTHER, REPOSITORY};
use crate::support::client::Client;
use crate::support::pushing::{BlobWay, Hosted, bytes, patch_range, push_blob, start};

const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

fn blob_path(repository: &str, digest: &Digest) -> String {
    format!("/v2/{repository}/blobs/{digest}")
}

/// HEAD and GET of a blob that is there.
fn assert_pulled(client: &Client, path: &str, digest: &Digest, content: &[u8]) {
    let head = client.head(path);
    assert_eq!(head.status, 200, "{head:?}");
    let length = content.len().to_string();
    assert_eq!(head.field("Content-Length"), Some(&*length));
    assert_eq!(head.field("Docker-Content-Digest"), Some(digest.as_str()));
    let get = client.get(path);
    assert_eq!((get.status, get.complete), (200, true), "{:?}", get.head);
    assert!(get.body == content);
    assert_eq!(get.field("Docker-Content-Digest"), Some(digest.as_str()));
    assert_eq!(get.cache(), "", "pushed content comes from no cache");
}

#[test]
fn every_way_to_push_a_blob_works_with_every_algorithm_and_size() {
    let hosted = Hosted::start();
    let client = hosted.client(&[REPOSITORY]);
    let mut seed = 0;
    for algorithm in ALGORITHMS {
        for way in BlobWay::ALL {
            for length in [0, 1, 2, 512, 2048, 300_000] {
                seed += 1;
                let content = bytes(seed, length);
                let digest = Digest::of_with(algorithm, &content);
                let path = blob_path(REPOSITORY, &digest);
                // The empty blob is one and the same each time.
                if length > 0 {
                    assert_eq!(client.get(&path).verdict(), (404, "BLOB_UNKNOWN".into()));
                }
                let answer = push_blob(&client, REPOSITORY, way, &digest, &content);
                assert_eq!(
                    answer.status, 201,
                    "{way:?} {algorithm:?} {length}: {answer:?}"
                );
                assert_eq!(answer.field("Docker-Content-Digest"), Some(digest.as_str()));
                assert_eq!(answer.field("Location"), Some(&*path));
                assert_pulled(&client, &path, &digest, &content);
            }
        }
    }
}

#[test]
fn bytes_that_do_not_match_their_digest_are_refused_and_not_kept() {
    let hosted = Hosted::start();
    let client = hosted.client(&[REPOSITORY]);
    for algorithm in ALGORITHMS {
        for way in BlobWay::ALL {
            let mut content = bytes(way as u64, 700);
            let digest = Digest::of_with(algorithm, &content);
            content.extend_from_slice(b"oh no");
            let answer = push_blob(&client, REPOSITORY, way, &digest, &content);
            assert_eq!(answer.verdict(), (400, "DIGEST_INVALID".into()), "{way:?}");
            for digest in [digest, Digest::of_with(algorithm, &content)] {
                let head = client.head(&blob_path(REPOSITORY, &digest));
                assert_eq!(head.status, 404, "{way:?}");
            }
        }
    }
    assert_eq!(hosted.appliance.json(&["verify", "--json"])["clean"], true);
}

#[test]
fn an_upload_says_how_far_it_is_and_takes_chunks_in_order_only() {
    let hosted = Hosted::start();
    let client = hosted.client(&[REPOSITORY]);
    for last_by_put in [false, true] {
        let content = bytes(9, 1000);
        let digest = Digest::of(&content);
        let location = start(&client, REPOSITORY);
        let status = client.get(&location);
        assert_eq!((status.status, status.field("Range")), (204, Some("0-0")));
        assert_eq!(
            patch_range(&client, &location, 0, &content[..400]).status,
            202
        );
        for (what, at, chunk) in [
            ("a gap", 600, &content[600..800]),
            ("an overlap", 200, &content[200..600]),
            ("the same again", 0, &content[..400]),
        ] {
            let answer = patch_range(&client, &location, at, chunk);
            assert_eq!(answer.status, 416, "{what}: {answer:?}");
            assert_eq!(answer.field("Range"), Some("0-399"), "{what}");
            assert_eq!(answer.field("Location"), Some(&*location), "{what}");
            let status = client.get(&location);
            assert_eq!(
                (status.status, status.field("Range")),
                (204, Some("0-399")),
                "{what}"
            );
        }
        for range in ["400", "400-", "-400", "799-400", "a-b", "400-799-", ""] {
            let answer =
                client
                    .with("Content-Range", range)
                    .request("PATCH", &location, &content[400..800]);
            assert_eq!(answer.status, 416, "Content-Range: {range}");
        }
        let wrong_length =
            client
                .with("Content-Range", "400-800")
                .request("PATCH", &location, &content[400..800]);
        assert_eq!(wrong_length.verdict(), (400, "SIZE_INVALID".into()));
        assert_eq!(
            patch_range(&client, &location, 400, &content[400..800]).status,
            202
        );
        let closing = format!("{location}?digest={digest}");
        if last_by_put {
            let early =
                client
                    .with("Content-Range", "900-999")
                    .request("PUT", &closing, &content[900..]);
            assert_eq!(early.status, 416, "{early:?}");
            let answer =
                client
                    .with("Content-Range", "800-999")
                    .request("PUT", &closing, &content[800..]);
            assert_eq!(answer.status, 201, "{answer:?}");
        } else {
            assert_eq!(
                patch_range(&client, &location, 800, &content[800..]).status,
                202
            );
            assert_eq!(client.request("PUT", &closing, b"").status, 201);
        }
        assert_pulled(&client, &blob_path(REPOSITORY, &digest), &digest, &content);
        let ended = client.get(&location);
        assert_eq!(ended.verdict(), (404, "BLOB_UPLOAD_UNKNOWN".into()));
    }
}

#[test]
fn a_cancelled_upload_is_gone() {
    let hosted = Hosted::start();
    let client = hosted.client(&[REPOSITORY, OTHER]);
    let location = start(&client, REPOSITORY);
    assert_eq!(client.request("PATCH", &location, b"begun").status, 202);
    // Nobody ends it by way of another repository.
    let elsewhere = location.replace(REPOSITORY, OTHER);
    for method in ["GET", "PATCH", "PUT", "DELETE"] {
        let path = match method {
            "PUT" => format!("{elsewhere}?digest={}", Digest::of(b"begun")),
            _ => elsewhere.clone(),
        };
        let answer = client.request(method, &path, b"");
        assert_eq!(
            answer.verdict(),
            (404, "BLOB_UPLOAD_UNKNOWN".into()),
            "{method}"
        );
    }
    assert_eq!(client.request("DELETE", &location, b"").status, 204);
    for method in ["GET", "PATCH", "DELETE"] {
        let answer = client.request(method, &location, b"");
        assert_eq!(
            answer.verdict(),
            (404, "BLOB_UPLOAD_UNKNOWN".into()),
            "{method}"
        );
    }
    let staging = hosted.appliance.data().join("staging");
    assert_eq!(std::fs::read_dir(staging).unwrap().count(), 0);
}

#[test]
fn a_blob_is_mounted_from_where_it_is_and_uploaded_otherwise() {
    let hosted = Hosted::start();
    let client = hosted.client(&[REPOSITORY, OTHER]);
    for algorithm in ALGORITHMS {
        for with_source in [true, false] {
            let content = bytes(u64::from(with_source) + 40, 512);
            let digest = Digest::of_with(algorithm, &content);
            let from = if with_source {
                format!("&from={OTHER}")
            } else {
                String::new()
            };
            let mount = format!("/v2/{REPOSITORY}/blobs/uploads/?mount={digest}{from}");
            let missing = client.request("POST", &mount, b"");
            assert_eq!(missing.status, 202, "{missing:?}");
            assert!(
                missing
                    .field("Location")
                    .unwrap()
                    .contains("/blobs/uploads/")
            );
            let pushed = push_blob(&client, OTHER, BlobWay::PostPut, &digest, &content);
            assert_eq!(pushed.status, 201);
            let mounted = client.request("POST", &mount, b"");
            assert_eq!(mounted.status, 201, "{mounted:?}");
            let path = blob_path(REPOSITORY, &digest);
            assert_eq!(mounted.field("Location"), Some(&*path));
            assert_pulled(&client, &path, &digest, &content);
            // It is a blob of its own here: deleting it there changes nothing.
            let deleted = client.request("DELETE", &blob_path(OTHER, &digest), b"");
            assert_eq!(deleted.status, 202);
            assert_eq!(client.head(&blob_path(OTHER, &digest)).status, 404);
            assert_pulled(&client, &path, &digest, &content);
        }
    }
    for (mount, from) in [
        ("sha256:abc", OTHER),
        (Digest::of(b"x").as_str(), "Not/A/Name"),
        (Digest::of(b"x").as_str(), "acme/nowhere"),
        (Digest::of(b"x").as_str(), "library/alpine"),
    ] {
        let path = format!("/v2/{REPOSITORY}/blobs/uploads/?mount={mount}&from={from}");
        assert_eq!(client.request("POST", &path, b"").status, 202, "{path}");
    }
}

#[test]
fn parts_of_a_blob_are_served() {
    let hosted = Hosted::start();
    let client = hosted.client(&[REPOSITORY]);
    let content = bytes(5, 2048);
    let digest = Digest::of(&content);
    assert_eq!(
        push_blob(&client, REPOSITORY, BlobWay::PostPut, &digest, &content).status,
        201
    );
    let path = blob_path(REPOSITORY, &digest);
    for (range, expected) in [
        ("bytes=500-1499", Some((500, 1500))),
        ("bytes=500-", Some((500, 2048))),
        ("bytes=-500", Some((1548, 2048))),
        ("bytes=2000-5000", Some((2000, 2048))),
        ("bytes=500-0", None),
        ("bytes=5000-10000", None),
    ] {
        let answer = client.with("Range", range).get(&path);
        match expected {
            Some((from, to)) => {
                assert_eq!(answer.status, 206, "{range}");
                let field = format!("bytes {from}-{}/2048", to - 1);
                assert_eq!(answer.field("Content-Range"), Some(&*field), "{range}");
                assert!(answer.body == content[from..to], "{range}");
            }
            None => assert_eq!(answer.verdict(), (416, "RANGE_INVALID".into()), "{range}"),
        }
    }
    let etag = format!("\"{digest}\"");
    let answer = client.with("If-None-Match", &etag).get(&path);
    assert_eq!((answer.status, answer.body.len()), (304, 0));
}
