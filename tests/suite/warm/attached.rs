//! Referrers and signatures, which are taken along.

use breakwater::oci::{Digest, MediaType};
use serde_json::{Value, json};

use super::{lines, said};
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image, Index, noise};

/// A manifest of one blob, as cosign and oras make them, and its blob.
fn artifact(
    upstream: &FakeUpstream,
    seed: u64,
    subject: Option<(&Digest, usize)>,
) -> (Vec<u8>, Digest) {
    let blob = noise(seed, 800);
    let config = upstream.put_blob("org/app", b"{}");
    let layer = upstream.put_blob("org/app", &blob);
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciManifest.as_str(),
        "artifactType": "application/vnd.example.signature",
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": config.as_str(), "size": 2 },
        "layers": [{ "mediaType": "application/octet-stream", "digest": layer.as_str(), "size": blob.len() }],
    });
    if let Some((digest, size)) = subject {
        manifest["subject"] = json!({
            "mediaType": MediaType::OciIndex.as_str(), "digest": digest.as_str(), "size": size,
        });
    }
    (manifest.to_string().into_bytes(), layer)
}

fn described(bytes: &[u8]) -> Value {
    json!({
        "mediaType": MediaType::OciManifest.as_str(),
        "digest": Digest::of(bytes).as_str(),
        "size": bytes.len(),
        "artifactType": "application/vnd.example.signature",
    })
}

fn put(upstream: &FakeUpstream, reference: &str, bytes: &[u8]) {
    upstream.put_manifest("org/app", reference, MediaType::OciManifest, bytes);
}

fn get(appliance: &Appliance, path: &str) -> (u16, Vec<u8>) {
    let answer = Client::of(appliance).get(&format!("/v2/org/app/{path}"));
    (answer.status, answer.body)
}

#[test]
fn referrers_and_the_tags_of_cosign_are_served_offline_afterwards() {
    let upstream = FakeUpstream::start();
    let image = Image::oci(1, &[9_000]);
    let index = Index::of(&[("amd64", &image)]);
    upstream.put_index("org/app", "1", &index);
    let (of_whole, whole_layer) =
        artifact(&upstream, 10, Some((&index.digest(), index.bytes.len())));
    let (of_image, image_layer) =
        artifact(&upstream, 11, Some((&image.digest(), image.manifest.len())));
    // The signature of a signature, which is found as well.
    let (second, second_layer) = artifact(
        &upstream,
        12,
        Some((&Digest::of(&of_whole), of_whole.len())),
    );
    for (subject, bytes) in [
        (index.digest(), &of_whole),
        (image.digest(), &of_image),
        (Digest::of(&of_whole), &second),
    ] {
        put(&upstream, Digest::of(bytes).as_str(), bytes);
        upstream.put_referrer("org/app", &subject, described(bytes));
    }
    let (signature, signature_layer) = artifact(&upstream, 13, None);
    let tag = format!("sha256-{}.sig", index.digest().hex());
    put(&upstream, &tag, &signature);
    let appliance = Appliance::with_upstream(upstream.url());
    let output = appliance.run_cli(&["warm", "org/app:1", "--json"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(lines(&output)[0]["attached"], 4);

    upstream.forget_requests();
    appliance.ok(&["warm", "org/app:1"]);
    assert_eq!(upstream.count("GET", "/manifests/"), 0);
    assert_eq!(upstream.count("GET", "/blobs/"), 0);

    upstream.stop();
    for (subject, bytes) in [(index.digest(), &of_whole), (image.digest(), &of_image)] {
        for query in [
            "",
            "?artifactType=application/vnd.example.signature",
            "?artifactType=other%2Ftype",
        ] {
            let (status, listed) = get(&appliance, &format!("referrers/{subject}{query}"));
            assert_eq!(status, 200, "{query}");
            let listed: Value = serde_json::from_slice(&listed).unwrap();
            assert_eq!(listed["manifests"][0]["digest"], Digest::of(bytes).as_str());
        }
    }
    for bytes in [&of_whole, &of_image, &second] {
        let (status, body) = get(&appliance, &format!("manifests/{}", Digest::of(bytes)));
        assert_eq!((status, &body), (200, bytes));
    }
    assert_eq!(
        get(&appliance, &format!("manifests/{tag}")),
        (200, signature)
    );
    for layer in [whole_layer, image_layer, second_layer, signature_layer] {
        assert_eq!(get(&appliance, &format!("blobs/{layer}")).0, 200);
    }
}

#[test]
fn where_the_upstream_has_no_api_the_fallback_tag_is_taken() {
    let upstream = FakeUpstream::start();
    let image = Image::oci(1, &[9_000]);
    upstream.put_image("org/app", "1", &image);
    let (referrer, layer) = artifact(&upstream, 10, Some((&image.digest(), image.manifest.len())));
    put(&upstream, Digest::of(&referrer).as_str(), &referrer);
    let list = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciIndex.as_str(),
        "manifests": [described(&referrer)],
    });
    let tag = image.digest().as_str().replace(':', "-");
    let list = list.to_string().into_bytes();
    upstream.put_manifest("org/app", &tag, MediaType::OciIndex, &list);
    let appliance = Appliance::with_upstream(upstream.url());
    let output = appliance.run_cli(&["warm", "org/app:1", "--json"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(lines(&output)[0]["attached"], 1);
    upstream.stop();
    let (status, body) = get(&appliance, &format!("referrers/{}", image.digest()));
    assert_eq!((status, body), (200, list));
    assert_eq!(
        get(&appliance, &format!("manifests/{}", Digest::of(&referrer))).0,
        200
    );
    assert_eq!(get(&appliance, &format!("blobs/{layer}")).0, 200);
}
