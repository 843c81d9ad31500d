//! `breakwater warm`: what it fetches, what it spares, what it says, and that all of it is served afterwards.

mod attached;
mod ended;

use std::process::Output;

use breakwater::oci::{Digest, MediaType};
use serde_json::{Value, json};

use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{Answer, FakeUpstream, Image, Index};

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn said(output: &Output) -> String {
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// The lines of JSON that were printed.
pub(super) fn lines(output: &Output) -> Vec<Value> {
    let text = text(&output.stdout);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Pulls all of a manifest's blobs.
pub(super) fn assert_whole(appliance: &Appliance, name: &str, reference: &str, image: &Image) {
    let client = Client::of(appliance);
    let manifest = client.get(&format!("/v2/{name}/manifests/{reference}"));
    assert_eq!(
        manifest.status,
        200,
        "{name}:{reference} {}",
        manifest.text()
    );
    assert_eq!(manifest.body, image.manifest, "{name}:{reference}");
    for blob in image.blobs() {
        let answer = client.get(&format!("/v2/{name}/blobs/{}", Digest::of(blob)));
        assert_eq!(
            (answer.status, answer.cache()),
            (200, "hit"),
            "{name}:{reference}"
        );
        assert_eq!(&answer.body, blob);
    }
}

#[test]
fn what_was_warmed_is_served_offline_and_a_second_run_fetches_nothing() {
    let upstream = FakeUpstream::start();
    let (amd, arm) = (Image::oci(1, &[40_000, 2_000]), Image::oci(2, &[30_000]));
    let index = Index::of(&[("amd64", &amd), ("arm64", &arm)]);
    upstream.put_index("library/alpine", "3.20", &index);
    let single = Image::docker(3, &[10_000]);
    upstream.put_image("org/app", "latest", &single);
    upstream.put_image("org/app", "1", &single);
    let appliance = Appliance::builder()
        .upstream(upstream.url())
        .toml("[cache]\ntag_ttl = \"1h\"\n")
        .start();
    let directory = tempfile::tempdir().unwrap();
    let list = directory.path().join("warm.list");
    std::fs::write(&list, "# the farm's\norg/app # ours\norg/app:1\n").unwrap();
    let dockerfile = directory.path().join("Dockerfile");
    std::fs::write(&dockerfile, "ARG V=3.20\nFROM alpine:${V}\n").unwrap();
    let arguments = [
        "warm",
        "--file",
        list.to_str().unwrap(),
        "--from",
        dockerfile.to_str().unwrap(),
        "--jobs",
        "1",
    ];
    let output = appliance.run_cli(&arguments);
    assert!(output.status.success(), "{}", said(&output));
    let told = text(&output.stdout);
    assert!(told.contains("docker.io/library/alpine:3.20: "), "{told}");
    assert!(told.contains("3 of 3 images here, 2 new: "), "{told}");
    // Each manifest once: the second tag of the same digest is known by its HEAD.
    assert_eq!(upstream.count("GET", "/manifests/"), 4);
    let requests = upstream.requests_for("*", "/library/alpine/manifests/3.20");
    let methods: Vec<_> = requests
        .iter()
        .map(|request| request.method.as_str())
        .collect();
    assert_eq!(methods, ["HEAD", "GET"]);

    upstream.forget_requests();
    let output = appliance.run_cli(&[&arguments[..], &["--json"]].concat());
    assert!(output.status.success(), "{}", said(&output));
    let told = lines(&output);
    assert!(
        told[..3].iter().all(|line| line["outcome"] == "current"),
        "{told:?}"
    );
    let summary = &told[3]["summary"];
    assert_eq!(summary["images"], 3);
    assert_eq!(summary["current"], 3);
    assert_eq!(summary["fetched_bytes"], 0);
    assert_eq!(upstream.count("GET", "/manifests/"), 0);
    assert_eq!(upstream.count("GET", "/blobs/"), 0);
    assert_eq!(upstream.count("HEAD", "/library/alpine/manifests/3.20"), 1);

    upstream.stop();
    appliance.ok(&["offline", "on"]);
    assert_whole(&appliance, "org/app", "latest", &single);
    assert_whole(&appliance, "org/app", "1", &single);
    for image in [&amd, &arm] {
        assert_whole(&appliance, "library/alpine", image.digest().as_str(), image);
    }
    let answer = Client::of(&appliance).get("/v2/library/alpine/manifests/3.20");
    assert_eq!(answer.body, index.bytes);
    let output = appliance.run_cli(&["warm", "alpine"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("the box is offline"),
        "{}",
        said(&output)
    );
    let events = appliance.audit(&[]);
    let warmed = |event: &&Value| event["event"] == "cache.warmed";
    let events: Vec<_> = events.as_array().unwrap().iter().filter(warmed).collect();
    assert_eq!(events.len(), 2, "what was here is no event: {events:?}");
}

#[test]
fn only_the_platforms_that_are_asked_for_are_fetched_with_their_attestations() {
    let upstream = FakeUpstream::start();
    let (amd, arm, of_amd, of_arm) = (
        Image::oci(1, &[20_000]),
        Image::oci(2, &[20_000]),
        Image::oci(3, &[500]),
        Image::oci(4, &[500]),
    );
    for image in [&amd, &arm, &of_amd, &of_arm] {
        upstream.put_image("org/app", "none", image);
    }
    upstream.remove_manifest("org/app", "none");
    let child = |image: &Image, platform: (&str, &str), more: Value| {
        let mut child = json!({
            "mediaType": image.media_type.as_str(),
            "digest": image.digest().as_str(),
            "size": image.manifest.len(),
            "platform": { "os": platform.0, "architecture": platform.1 },
        });
        if let (Some(child), Value::Object(more)) = (child.as_object_mut(), more) {
            child.extend(more);
        }
        child
    };
    let attests = |image: &Image| json!({ "annotations": { "vnd.docker.reference.digest": image.digest().as_str() } });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciIndex.as_str(),
        "manifests": [
            child(&amd, ("linux", "amd64"), json!({})),
            child(&arm, ("linux", "arm64"), json!({})),
            child(&of_amd, ("unknown", "unknown"), attests(&amd)),
            child(&of_arm, ("unknown", "unknown"), attests(&arm)),
        ],
    });
    let index = index.to_string().into_bytes();
    upstream.put_manifest("org/app", "1", MediaType::OciIndex, &index);
    let appliance = Appliance::with_upstream(upstream.url());
    let output = appliance.run_cli(&[
        "warm",
        "org/app:1",
        "--platform",
        "linux/arm64/v8",
        "--json",
    ]);
    assert!(output.status.success(), "{}", said(&output));
    let told = &lines(&output)[0];
    assert_eq!(told["platforms"], json!(["linux/arm64"]));
    assert_eq!(told["manifests"], 3);
    for (image, is_fetched) in [
        (&amd, false),
        (&arm, true),
        (&of_amd, false),
        (&of_arm, true),
    ] {
        let count = upstream.count("GET", image.layer_digest(0).as_str());
        assert_eq!(count, usize::from(is_fetched));
    }
    let output = appliance.run_cli(&["warm", "org/app:1", "--platform", "linux/s390x"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("has no image for linux/s390x"),
        "{}",
        said(&output)
    );
}

#[test]
fn each_image_that_fails_is_named_with_the_reason_and_the_others_are_there() {
    let upstream = FakeUpstream::start();
    let (good, broken) = (Image::oci(1, &[5_000]), Image::oci(2, &[5_000]));
    upstream.put_image("org/good", "1", &good);
    upstream.put_image("org/broken", "1", &broken);
    upstream.remove_blob("org/broken", &broken.layer_digest(0));
    let appliance = Appliance::with_upstream(upstream.url());
    let directory = tempfile::tempdir().unwrap();
    let dockerfile = directory.path().join("Dockerfile");
    std::fs::write(&dockerfile, "ARG BASE\nFROM $BASE\n").unwrap();
    let output = appliance.run_cli(&[
        "warm",
        "org/broken:1",
        "org/gone:1",
        "hosted:acme/api:1",
        "org/*",
        "ghcr.io/org/x",
        "UPPER",
        "org/good:1",
        "--from",
        dockerfile.to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let told = text(&output.stderr);
    for (image, why) in [
        ("org/broken:1: failed: ", broken.layer_digest(0).to_string()),
        (
            "org/gone:1: failed: ",
            "manifest 1 of docker.io/org/gone".to_owned(),
        ),
        (
            "hosted:acme/api:1: failed: ",
            "was pushed to this box".to_owned(),
        ),
        ("org/*: failed: ", "is a pattern".to_owned()),
        (
            "ghcr.io/org/x: failed: ",
            "ghcr.io is not an upstream of this box".to_owned(),
        ),
        ("UPPER: failed: ", "is not a repository name".to_owned()),
        ("$BASE (", "BASE has no value".to_owned()),
    ] {
        let line = told.lines().find(|line| line.starts_with(image));
        let line = line.unwrap_or_else(|| panic!("{image}: {told}"));
        assert!(line.contains(&why), "{line}");
    }
    let summary = text(&output.stdout);
    assert!(summary.contains("1 of 8 images here, 1 new"), "{summary}");
    assert!(summary.contains("; 7 failed"), "{summary}");
    assert_whole(&appliance, "org/good", "1", &good);
}

#[test]
fn a_tag_that_moved_is_fetched_anew_and_an_upstream_without_head_is_asked_by_get() {
    let upstream = FakeUpstream::start();
    let (old, new) = (Image::oci(1, &[5_000]), Image::oci(2, &[5_000]));
    upstream.put_image("org/app", "1", &old);
    let appliance = Appliance::builder()
        .upstream(upstream.url())
        .toml("[cache]\ntag_ttl = \"1h\"\n")
        .start();
    appliance.ok(&["warm", "org/app:1"]);
    upstream.put_image("org/app", "1", &new);
    upstream
        .on("HEAD", "/manifests/")
        .always(Answer::status(405));
    appliance.ok(&["warm", "org/app:1"]);
    upstream.stop();
    assert_whole(&appliance, "org/app", "1", &new);
}
