//! "Pushing Manifests" and "Pulling manifests": what is refused, and how; conditional and partial requests.

use breakwater::oci::{Algorithm, Digest};
use serde_json::{Value, json};

use super::{OTHER, REPOSITORY};
use crate::support::client::exchange;
use crate::support::pushing::{
    BlobWay, Hosted, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, bytes, descriptor, image,
    must_push_blob, push_blob, push_image, put_manifest,
};

const CONFIG: &[u8] = b"{\"architecture\":\"amd64\"}";

#[test]
fn a_manifest_that_is_none_is_refused_with_a_reason() {
    let hosted = Hosted::start();
    let client = hosted.client(&[REPOSITORY]);
    must_push_blob(&client, REPOSITORY, CONFIG);
    let config = descriptor(Algorithm::Sha256, OCI_CONFIG, CONFIG);
    let good =
        json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [] });
    let with = |field: &str, value: Value| {
        let mut manifest = good.clone();
        manifest[field] = value;
        manifest.to_string().into_bytes()
    };
    let good_bytes = good.to_string().into_bytes();
    let sha512 = Digest::of_with(Algorithm::Sha512, b"other");
    let large = with("annotations", json!({ "a": "x".repeat(4 << 20) }));
    let invalid = (400, "MANIFEST_INVALID");
    let digest_invalid = (400, "DIGEST_INVALID");
    let table: Vec<(&str, String, &str, Vec<u8>, (u16, &str))> = vec![
        (
            "a good one",
            "good".into(),
            OCI_MANIFEST,
            good_bytes.clone(),
            (201, ""),
        ),
        (
            "with a parameter",
            "good".into(),
            "application/vnd.oci.image.manifest.v1+json; charset=utf-8",
            good_bytes.clone(),
            (201, ""),
        ),
        (
            "under its digest",
            Digest::of(&good_bytes).to_string(),
            OCI_MANIFEST,
            good_bytes.clone(),
            (201, ""),
        ),
        (
            "under its other digest",
            Digest::of_with(Algorithm::Sha512, &good_bytes).to_string(),
            OCI_MANIFEST,
            good_bytes.clone(),
            (201, ""),
        ),
        (
            "under another digest",
            Digest::of(b"other").to_string(),
            OCI_MANIFEST,
            good_bytes.clone(),
            digest_invalid,
        ),
        (
            "under another sha512",
            sha512.to_string(),
            OCI_MANIFEST,
            good_bytes.clone(),
            digest_invalid,
        ),
        (
            "under half a digest",
            "sha256:baddigeststring".into(),
            OCI_MANIFEST,
            good_bytes.clone(),
            digest_invalid,
        ),
        (
            "under a digest of an unknown kind",
            "md5:d41d8cd98f00b204e9800998ecf8427e".into(),
            OCI_MANIFEST,
            good_bytes.clone(),
            digest_invalid,
        ),
        (
            "under no tag",
            "-x".into(),
            OCI_MANIFEST,
            good_bytes.clone(),
            (400, "TAG_INVALID"),
        ),
        (
            "with a bad tag as parameter",
            format!("{}?tag=.x", Digest::of(&good_bytes)),
            OCI_MANIFEST,
            good_bytes.clone(),
            (400, "TAG_INVALID"),
        ),
        ("nothing", "t".into(), OCI_MANIFEST, Vec::new(), invalid),
        (
            "no JSON",
            "t".into(),
            OCI_MANIFEST,
            b"<html>".to_vec(),
            invalid,
        ),
        (
            "not UTF-8",
            "t".into(),
            OCI_MANIFEST,
            vec![0xff; 40],
            invalid,
        ),
        ("a list", "t".into(), OCI_MANIFEST, b"[]".to_vec(), invalid),
        (
            "schema 1",
            "t".into(),
            OCI_MANIFEST,
            with("schemaVersion", json!(1)),
            invalid,
        ),
        (
            "another type than announced",
            "t".into(),
            OCI_INDEX,
            good_bytes.clone(),
            invalid,
        ),
        (
            "another type in itself",
            "t".into(),
            OCI_MANIFEST,
            with("mediaType", json!(OCI_INDEX)),
            invalid,
        ),
        (
            "an announced type that is none",
            "t".into(),
            "text/html",
            good_bytes.clone(),
            invalid,
        ),
        (
            "layers that are no list",
            "t".into(),
            OCI_MANIFEST,
            with("layers", json!({})),
            invalid,
        ),
        (
            "a layer without digest",
            "t".into(),
            OCI_MANIFEST,
            with("layers", json!([{ "size": 1 }])),
            invalid,
        ),
        (
            "a layer of a negative size",
            "t".into(),
            OCI_MANIFEST,
            with(
                "layers",
                json!([{ "digest": Digest::of(b"x").as_str(), "size": -1 }]),
            ),
            invalid,
        ),
        (
            "a layer with half a digest",
            "t".into(),
            OCI_MANIFEST,
            with("layers", json!([{ "digest": "sha256:x", "size": 1 }])),
            invalid,
        ),
        (
            "a subject with half a digest",
            "t".into(),
            OCI_MANIFEST,
            with("subject", json!({ "digest": "sha256:x", "size": 1 })),
            invalid,
        ),
        (
            "no config",
            "t".into(),
            OCI_MANIFEST,
            with("config", Value::Null),
            invalid,
        ),
        (
            "more than 4 MiB",
            "t".into(),
            OCI_MANIFEST,
            large,
            (413, "SIZE_INVALID"),
        ),
        (
            "a layer that is not here",
            "t".into(),
            OCI_MANIFEST,
            with(
                "layers",
                json!([descriptor(Algorithm::Sha256, OCI_LAYER, b"absent")]),
            ),
            (400, "MANIFEST_BLOB_UNKNOWN"),
        ),
        (
            "a foreign layer without a place",
            "t".into(),
            OCI_MANIFEST,
            with(
                "layers",
                json!([descriptor(
                    Algorithm::Sha256,
                    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                    b"absent"
                )]),
            ),
            (400, "MANIFEST_BLOB_UNKNOWN"),
        ),
        (
            "an ordinary layer with a place",
            "t".into(),
            OCI_MANIFEST,
            with(
                "layers",
                json!([{ "mediaType": OCI_LAYER, "digest": Digest::of(b"absent").as_str(), "size": 6, "urls": ["https://x.example"] }]),
            ),
            (400, "MANIFEST_BLOB_UNKNOWN"),
        ),
    ];
    for (what, reference, media_type, body, (status, code)) in table {
        let answer = put_manifest(&client, REPOSITORY, &reference, media_type, &body);
        assert_eq!(
            answer.verdict(),
            (status, code.into()),
            "{what}: {}",
            answer.text()
        );
        assert!(status == 201 || !answer.message().is_empty(), "{what}");
        if status != 201 && !reference.contains('?') {
            let head = client.head(&format!("/v2/{REPOSITORY}/manifests/{reference}"));
            assert!(head.status >= 400, "{what} is here all the same");
        }
    }
    assert_eq!(
        client.head(&format!("/v2/{REPOSITORY}/manifests/t")).status,
        404
    );
    assert_eq!(hosted.appliance.json(&["verify", "--json"])["clean"], true);
}

#[test]
fn each_missing_blob_is_named() {
    let hosted = Hosted::start();
    let client = hosted.client(&[REPOSITORY, OTHER]);
    // In another repository they help nobody.
    for blob in [CONFIG, b"one", b"two"] {
        must_push_blob(&client, OTHER, blob);
    }
    let manifest = image(CONFIG, &[b"one", b"two", b"one"], json!({}));
    let answer = put_manifest(&client, REPOSITORY, "t", OCI_MANIFEST, &manifest);
    assert_eq!(answer.verdict(), (400, "MANIFEST_BLOB_UNKNOWN".into()));
    let mut named: Vec<String> = answer.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["detail"]["digest"].as_str().unwrap().to_owned())
        .collect();
    named.sort();
    let mut expected = [CONFIG, b"one", b"two"].map(|blob| Digest::of(blob).to_string());
    expected.sort();
    assert_eq!(named, expected);
    // Nothing of it is left.
    let path = hosted.appliance.data().join("blobs/sha256");
    let hex = Digest::of(&manifest).hex().to_owned();
    assert!(!path.join(&hex[..2]).join(&hex).exists());
}

#[test]
fn conditional_partial_and_choosy_requests_are_answered_as_for_cached_images() {
    let hosted = Hosted::start();
    let client = hosted.client(&[REPOSITORY]);
    let (digest, manifest) = push_image(&client, REPOSITORY, "t", &[b"layer"]);
    let etag = format!("\"{digest}\"");
    for reference in ["t", digest.as_str()] {
        let path = format!("/v2/{REPOSITORY}/manifests/{reference}");
        let plain = client.get(&path);
        assert_eq!(plain.field("ETag"), Some(&*etag));
        assert_eq!(plain.field("Accept-Ranges"), Some("bytes"));
        for field in ["X-Cache", "Age", "OCI-Namespace"] {
            assert_eq!(plain.field(field), None, "{field}");
        }
        let known = client.with("If-None-Match", &etag).get(&path);
        assert_eq!((known.status, known.body.len()), (304, 0));
        let part = client.with("Range", "bytes=5-9").get(&path);
        assert_eq!((part.status, &*part.body), (206, &manifest[5..10]));
        for (accept, status) in [
            (OCI_MANIFEST, 200),
            ("*/*", 200),
            (
                "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json",
                200,
            ),
            (OCI_INDEX, 404),
        ] {
            assert_eq!(
                client.with("Accept", accept).get(&path).status,
                status,
                "{accept}"
            );
        }
    }
    for reference in ["absent", Digest::of(b"absent").as_str()] {
        let path = format!("/v2/{REPOSITORY}/manifests/{reference}");
        assert_eq!(
            client.get(&path).verdict(),
            (404, "MANIFEST_UNKNOWN".into())
        );
        assert_eq!(client.head(&path).status, 404);
    }
}

#[test]
fn methods_that_do_nothing_say_which_ones_do() {
    let hosted = Hosted::start();
    let client = hosted.client(&[REPOSITORY]);
    let digest = Digest::of(b"x");
    for (method, path, allow) in [
        ("POST", "manifests/t".to_owned(), "GET, HEAD, PUT, DELETE"),
        ("PUT", format!("blobs/{digest}"), "GET, HEAD, DELETE"),
        ("DELETE", "tags/list".to_owned(), "GET, HEAD"),
        ("PUT", format!("referrers/{digest}"), "GET, HEAD"),
        ("GET", "blobs/uploads/".to_owned(), "POST"),
        (
            "POST",
            "blobs/uploads/0123".to_owned(),
            "GET, PATCH, PUT, DELETE",
        ),
    ] {
        let answer = client.request(method, &format!("/v2/{REPOSITORY}/{path}"), b"");
        assert_eq!(
            answer.verdict(),
            (405, "UNSUPPORTED".into()),
            "{method} {path}"
        );
        assert_eq!(answer.field("Allow"), Some(allow), "{method} {path}");
    }
}

/// What a client that waits for `100 Continue` gets at once: a refusal, without having sent anything.
#[test]
fn a_refused_push_costs_no_upload() {
    let hosted = Hosted::start();
    let reader = hosted.client_as("dev", &hosted.secret, &[REPOSITORY], "pull");
    for (path, method) in [
        (
            format!(
                "/v2/{REPOSITORY}/blobs/uploads/?digest={}",
                Digest::of(b"x")
            ),
            "POST",
        ),
        (format!("/v2/{REPOSITORY}/manifests/t"), "PUT"),
    ] {
        let answer = reader.request(method, &path, b"");
        assert_eq!(answer.status, 401, "the token is for pulling: {answer:?}");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 900000000\r\n\r\n"
        );
        let answer = exchange(hosted.appliance.address(), head.as_bytes(), false).unwrap();
        assert_eq!(answer.status, 401, "no 100 comes first: {answer:?}");
    }
}

#[test]
fn bad_input_is_never_the_box_s_fault() {
    let hosted = Hosted::start();
    let client = hosted.client(&[REPOSITORY]);
    let location = crate::support::pushing::start(&client, REPOSITORY);
    let blob = bytes(3, 100);
    let digest = Digest::of(&blob);
    assert_eq!(
        push_blob(&client, REPOSITORY, BlobWay::PostPut, &digest, &blob).status,
        201
    );
    let base = format!("/v2/{REPOSITORY}");
    for (method, path) in [
        ("PUT", location.clone()),
        ("PUT", format!("{location}?digest=")),
        ("PUT", format!("{location}?digest=sha256:xyz")),
        (
            "PUT",
            format!("{location}?digest=md5:d41d8cd98f00b204e9800998ecf8427e"),
        ),
        ("POST", format!("{base}/blobs/uploads/?digest=sha256:x")),
        (
            "POST",
            format!("{base}/blobs/uploads/?digest-algorithm=md5"),
        ),
        ("PATCH", format!("{base}/blobs/uploads/..%2f..%2fetc")),
        ("PATCH", format!("{base}/blobs/uploads/%00")),
        (
            "PATCH",
            format!("{base}/blobs/uploads/{}", "f".repeat(5000)),
        ),
        ("GET", format!("{base}/blobs/uploads/{}", "0".repeat(32))),
        ("GET", format!("{base}/manifests/{}", "a".repeat(200))),
        ("GET", format!("{base}/tags/list?n=99999999999999999999")),
        ("GET", format!("{base}/referrers/{digest}?n=abc")),
        ("DELETE", format!("{base}/blobs/sha256:x")),
        ("DELETE", format!("{base}/manifests/.")),
        ("BREW", format!("{base}/manifests/x")),
    ] {
        let answer = client.request(method, &path, b"");
        assert!(
            (400..500).contains(&answer.status),
            "{method} {path}: {answer:?}"
        );
        assert!(!answer.code().is_empty(), "{method} {path}");
    }
    // The upload has survived all of it.
    let closing = format!("{location}?digest={}", Digest::of(b"x"));
    assert_eq!(client.request("PUT", &closing, b"x").status, 201);
}
