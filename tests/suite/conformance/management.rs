//! "Content Management": what deleting takes away, and what it leaves.

use breakwater::oci::Digest;
use serde_json::json;

use super::{OTHER, REPOSITORY};
use crate::support::pushing::{Hosted, OCI_MANIFEST, image, push_image, put_manifest};

#[test]
fn deleting_a_manifest_takes_its_tags_and_deleting_a_tag_takes_nothing_else() {
    let hosted = Hosted::start();
    let client = hosted.client(&[REPOSITORY]);
    let (digest, manifest) = push_image(&client, REPOSITORY, "one", &[b"layer"]);
    for tag in ["two", "three"] {
        assert_eq!(
            put_manifest(&client, REPOSITORY, tag, OCI_MANIFEST, &manifest).status,
            201
        );
    }
    let path = |reference: &str| format!("/v2/{REPOSITORY}/manifests/{reference}");
    assert_eq!(client.request("DELETE", &path("two"), b"").status, 202);
    for (reference, status) in [
        ("one", 200),
        ("two", 404),
        ("three", 200),
        (digest.as_str(), 200),
    ] {
        assert_eq!(client.head(&path(reference)).status, status, "{reference}");
    }
    assert_eq!(
        client.request("DELETE", &path(digest.as_str()), b"").status,
        202
    );
    for reference in ["one", "two", "three", digest.as_str()] {
        assert_eq!(
            client.get(&path(reference)).verdict(),
            (404, "MANIFEST_UNKNOWN".into())
        );
    }
    let tags = client.get(&format!("/v2/{REPOSITORY}/tags/list"));
    assert_eq!(tags.json(), json!({ "name": REPOSITORY, "tags": [] }));
    // Its layers are still here, for whoever pushes it again.
    let layer = format!("/v2/{REPOSITORY}/blobs/{}", Digest::of(b"layer"));
    assert_eq!(client.head(&layer).status, 200);
    assert_eq!(
        put_manifest(&client, REPOSITORY, "one", OCI_MANIFEST, &manifest).status,
        201
    );
}

#[test]
fn a_blob_that_an_image_needs_is_not_deleted_under_it() {
    let hosted = Hosted::start();
    let client = hosted.client(&[REPOSITORY, OTHER]);
    let (digest, _) = push_image(&client, REPOSITORY, "one", &[b"layer"]);
    push_image(&client, OTHER, "one", &[b"layer"]);
    let layer = |repository: &str| format!("/v2/{repository}/blobs/{}", Digest::of(b"layer"));
    let refused = client.request("DELETE", &layer(REPOSITORY), b"");
    assert_eq!(refused.verdict(), (405, "UNSUPPORTED".into()));
    assert!(
        refused.message().contains(digest.as_str()),
        "{}",
        refused.message()
    );
    let manifest = format!("/v2/{REPOSITORY}/manifests/{digest}");
    assert_eq!(client.request("DELETE", &manifest, b"").status, 202);
    assert_eq!(
        client.request("DELETE", &layer(REPOSITORY), b"").status,
        202
    );
    assert_eq!(client.head(&layer(REPOSITORY)).status, 404);
    // The other repository's is its own.
    assert_eq!(client.get(&layer(OTHER)).body, b"layer");
}

#[test]
fn a_referrer_that_is_deleted_is_not_listed_any_more() {
    let hosted = Hosted::start();
    let client = hosted.client(&[REPOSITORY]);
    let (subject, _) = push_image(&client, REPOSITORY, "subject", &[b"layer"]);
    let config = b"{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"diff_ids\":[],\"type\":\"layers\"}}";
    let manifest = image(
        config,
        &[b"layer"],
        json!({ "subject": { "mediaType": OCI_MANIFEST, "digest": subject.as_str(), "size": 1 } }),
    );
    let answer = put_manifest(&client, REPOSITORY, "referrer", OCI_MANIFEST, &manifest);
    assert_eq!(answer.status, 201);
    let referrers = || {
        let answer = client.get(&format!("/v2/{REPOSITORY}/referrers/{subject}"));
        answer.json()["manifests"].as_array().unwrap().len()
    };
    assert_eq!(referrers(), 1);
    // The subject can go first: what hangs on it is found all the same, and goes by itself.
    for reference in [subject.to_string(), Digest::of(&manifest).to_string()] {
        let path = format!("/v2/{REPOSITORY}/manifests/{reference}");
        assert_eq!(referrers(), 1);
        assert_eq!(client.request("DELETE", &path, b"").status, 202);
    }
    assert_eq!(referrers(), 0);
}
