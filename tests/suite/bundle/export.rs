//! `breakwater export`, `have` and `bundle`: what is in a bundle, and that it says so itself.

use std::collections::BTreeSet;
use std::process::Command;

use breakwater::oci::{Algorithm, Digest};
use breakwater::upkeep::bundle::{ImageKind, blob_entry};
use serde_json::Value;

use super::{Entry, Stage, entries, manifest, names_in, pull, stderr};
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image};
use crate::support::pushing::{BlobWay, Hosted, OCI_CONFIG, push_blob, push_image};

fn of<'a>(entries: &'a [Entry], name: &str) -> &'a Entry {
    let found = entries.iter().find(|entry| entry.name == name);
    found.unwrap_or_else(|| panic!("there is no {name}"))
}

fn json(entry: &Entry) -> Value {
    serde_json::from_slice(&entry.bytes).unwrap()
}

#[test]
fn a_bundle_lists_all_that_is_in_it_and_the_same_content_gives_the_same_bytes() {
    let stage = Stage::new();
    let outside = tempfile::tempdir().unwrap();
    let path = |name: &str| outside.path().join(name);
    let export = |name: &str| {
        let output = path(name);
        let output = output.to_str().unwrap();
        stage
            .appliance()
            .ok(&["export", "alpine:3.20", "hosted:acme/*", "-o", output])
    };
    let said = export("one.tar");
    assert!(said.contains("wrote 3 images"), "{said}");
    export("two.tar");
    let bytes = std::fs::read(path("one.tar")).unwrap();
    assert_eq!(
        Digest::of(&bytes),
        Digest::of(&std::fs::read(path("two.tar")).unwrap())
    );

    let entries = entries(&path("one.tar"));
    let manifest = manifest(&entries);
    assert_eq!(manifest.size, bytes.len() as u64);
    // What the manifest lists is what follows, in that order.
    let files = manifest.files.iter();
    let mut listed: Vec<_> = files
        .map(|file| (file.name.clone(), file.digest.clone()))
        .collect();
    listed.insert(1, (entries[1].name.clone(), Digest::of(&entries[1].bytes)));
    let digests = manifest.manifests.iter().map(|part| &part.digest);
    let digests = digests.chain(manifest.blobs.iter().map(|blob| &blob.digest));
    listed.extend(digests.map(|digest| (blob_entry(digest), digest.clone())));
    let found: Vec<_> = entries
        .iter()
        .map(|entry| (entry.name.clone(), Digest::of(&entry.bytes)))
        .collect();
    assert_eq!(found, listed);
    let rank = |part: &breakwater::upkeep::bundle::BundledManifest| {
        (!part.media_type.contains("index"), part.digest.clone())
    };
    assert!(manifest.manifests.is_sorted_by_key(rank));
    assert!(manifest.blobs.iter().all(|blob| blob.in_bundle));

    let names: Vec<_> = manifest
        .images
        .iter()
        .map(|image| (image.name.as_str(), image.kind))
        .collect();
    let expected = [
        ("acme/api:1", ImageKind::Hosted),
        ("acme/api:2", ImageKind::Hosted),
        ("docker.io/library/alpine:3.20", ImageKind::Cached),
    ];
    assert_eq!(names, expected);
    let alpine = &manifest.images[2];
    assert_eq!(alpine.digest, stage.index.digest());
    assert_eq!(alpine.platforms, ["linux/amd64", "linux/arm64"]);
    assert_eq!(
        alpine.absent_platforms,
        ["linux/s390x"],
        "it was never pulled"
    );
    let signed = &manifest.images[0];
    assert_eq!(signed.digest, stage.signed);
    let tag = format!("sha256-{}.sig", stage.signed.hex());
    let tags: BTreeSet<_> = signed.referrers.iter().map(|of| of.tag.clone()).collect();
    assert_eq!(tags, BTreeSet::from([None, Some(tag.clone())]));

    let index = json(of(&entries, "index.json"));
    let described = index["manifests"].as_array().unwrap();
    let name = |one: &Value| one["annotations"]["org.opencontainers.image.ref.name"].clone();
    let names: Vec<_> = described.iter().map(name).collect();
    let expected = [
        "docker.io/library/alpine:3.20".into(),
        "localhost/acme/api:1".into(),
        "localhost/acme/api:2".into(),
        format!("localhost/acme/api:{tag}").into(),
        Value::Null,
    ];
    assert_eq!(names, expected);
    let docker = json(of(&entries, "manifest.json"));
    let tags: BTreeSet<_> = docker
        .as_array()
        .unwrap()
        .iter()
        .map(|image| image["RepoTags"][0].as_str().unwrap())
        .collect();
    let alpine = "docker.io/library/alpine:3.20";
    let expected = [alpine, "localhost/acme/api:1", "localhost/acme/api:2"];
    assert_eq!(tags, BTreeSet::from(expected));
    for image in docker.as_array().unwrap() {
        of(&entries, image["Config"].as_str().unwrap());
        for layer in image["Layers"].as_array().unwrap() {
            of(&entries, layer.as_str().unwrap());
        }
    }
}

#[test]
fn only_the_platforms_that_were_asked_for_travel() {
    let stage = Stage::new();
    let outside = tempfile::tempdir().unwrap();
    let path = outside.path().join("b.tar");
    let output = path.to_str().unwrap();
    let export = [
        "export",
        "alpine:3.20",
        "--platform",
        "linux/arm64",
        "-o",
        output,
    ];
    stage.appliance().ok(&export);
    let manifest = manifest(&entries(&path));
    let alpine = &manifest.images[0];
    assert_eq!(alpine.platforms, ["linux/arm64"]);
    assert_eq!(alpine.absent_platforms, ["linux/amd64", "linux/s390x"]);
    let arm64 = &stage.index.images[1];
    assert_eq!(manifest.manifests.len(), 2);
    assert_eq!(manifest.blobs.len(), arm64.blobs().count());

    // The image of one platform by its own digest, which is no image by itself where the index is kept.
    let by_digest = format!("alpine@{}", arm64.digest());
    let export = ["export", &by_digest, "-o", output, "--force"];
    stage.appliance().ok(&export);
    let alone = super::manifest(&entries(&path));
    assert_eq!(
        alone.images[0].name,
        format!("docker.io/library/{by_digest}")
    );
    assert_eq!(alone.manifests.len(), 1);

    let refused = stage.appliance().run_cli(&[
        "export",
        "alpine:3.20",
        "--platform",
        "linux/s390x",
        "-o",
        output,
        "--force",
    ]);
    let said = stderr(&refused);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains("docker.io/library/alpine:3.20 cannot be exported"),
        "{said}"
    );
}

#[test]
fn what_the_other_side_has_stays_here_and_is_named() {
    let hosted = Hosted::start();
    let pusher = hosted.client(&["acme/api"]);
    let shared = crate::support::pushing::bytes(1, 100_000);
    push_image(&pusher, "acme/api", "1", &[&shared]);
    let outside = tempfile::tempdir().unwrap();
    let path = |name: &str| outside.path().join(name).display().to_string();
    let said = hosted.appliance.ok(&["have", "-o", &path("have.txt")]);
    assert!(said.contains("listed 3 digests"), "{said}");
    let have = std::fs::read_to_string(path("have.txt")).unwrap();
    let (header, digests) = have.split_once('\n').unwrap();
    assert!(header.starts_with("breakwater-have 1 "), "{header}");
    assert!(digests.lines().is_sorted() && digests.lines().count() == 3);
    hosted
        .appliance
        .ok(&["have", "-o", &path("of.txt"), "hosted:acme/*"]);
    assert_eq!(std::fs::read_to_string(path("of.txt")).unwrap(), have);

    push_image(&pusher, "acme/api", "2", &[&shared, b"new"]);
    let export = [
        "export",
        "hosted:acme/*",
        "--have",
        &path("have.txt"),
        "-o",
        &path("b.tar"),
    ];
    hosted.appliance.ok(&export);
    let entries = entries(outside.path().join("b.tar").as_path());
    let manifest = manifest(&entries);
    assert_eq!(manifest.images.len(), 2, "also the one that did not change");
    assert_eq!(manifest.manifests.len(), 2, "and its manifest travels");
    let carried: Vec<_> = manifest
        .blobs
        .iter()
        .filter(|blob| blob.in_bundle)
        .collect();
    assert_eq!(carried.len(), 1);
    assert_eq!(carried[0].digest, Digest::of(b"new"));
    assert_eq!(manifest.relies_on.len(), 2, "config and layer");
    assert!(manifest.relies_on.contains(&Digest::of(&shared)));
    assert_eq!(
        json(of(&entries, "manifest.json")),
        Value::Array(Vec::new())
    );
    assert!(entries.len() == 4 + 2 + 1, "{}", entries.len());
    let shown = hosted.appliance.ok(&["bundle", "show", &path("b.tar")]);
    assert!(
        shown.contains("2 blobs (97.7 KiB) that the other side must have")
            || shown.contains("2 blobs (97.8 KiB) that the other side must have"),
        "{shown}"
    );

    std::fs::write(path("no.txt"), "sha256:x\n").unwrap();
    let export = [
        "export",
        "hosted:acme/*",
        "--have",
        &path("no.txt"),
        "-o",
        &path("c.tar"),
    ];
    let refused = hosted.appliance.run_cli(&export);
    assert!(
        stderr(&refused).contains("line 1 of"),
        "{}",
        stderr(&refused)
    );
}

#[test]
fn parts_put_together_are_the_bundle_and_sha256sum_checks_them() {
    let stage = Stage::new();
    let outside = tempfile::tempdir().unwrap();
    let path = |name: &str| outside.path().join(name).display().to_string();
    let whole = ["export", "alpine:3.20", "-o", &path("whole.tar")];
    stage.appliance().ok(&whole);
    let parts = [
        "export",
        "alpine:3.20",
        "--split",
        "1MB",
        "-o",
        &path("b.tar"),
    ];
    let said = stage.appliance().ok(&parts);
    assert!(said.contains("b.tar.004"), "{said}");
    let expected = [
        "b.tar.001",
        "b.tar.002",
        "b.tar.003",
        "b.tar.004",
        "b.tar.sha256",
    ];
    assert_eq!(names_in(outside.path())[..5], expected);
    let bytes: Vec<u8> = expected[..4]
        .iter()
        .flat_map(|name| std::fs::read(path(name)).unwrap())
        .collect();
    assert!(bytes == std::fs::read(path("whole.tar")).unwrap());
    for list in ["b.tar.sha256", "whole.tar.sha256"] {
        let mut sum = Command::new("sha256sum");
        let checked = sum
            .args(["-c", list])
            .current_dir(outside.path())
            .output()
            .unwrap();
        assert!(checked.status.success(), "{checked:?}");
    }
    // The first part says what all of them hold.
    let shown = stage
        .appliance()
        .ok(&["bundle", "show", &path("b.tar.001")]);
    assert!(shown.contains("docker.io/library/alpine:3.20"), "{shown}");
    let many = [
        "export",
        "alpine:3.20",
        "--split",
        "1kB",
        "-o",
        &path("c.tar"),
    ];
    let refused = stage.appliance().run_cli(&many);
    assert!(
        stderr(&refused).contains("more than 999 parts"),
        "{}",
        stderr(&refused)
    );

    let again = stage.appliance().run_cli(&parts);
    assert!(
        stderr(&again).contains("b.tar.001 exists already"),
        "{}",
        stderr(&again)
    );
    // What it replaces had more parts.
    let forced = [
        "export",
        "alpine:3.20",
        "--force",
        "--split",
        "2MB",
        "-o",
        &path("b.tar"),
    ];
    stage.appliance().ok(&forced);
    let names = names_in(outside.path());
    assert_eq!(names[..3], ["b.tar.001", "b.tar.002", "b.tar.sha256"]);
}

#[test]
fn a_signature_is_good_by_its_own_key_alone() {
    let stage = Stage::new();
    let outside = tempfile::tempdir().unwrap();
    let path = |name: &str| outside.path().join(name).display().to_string();
    let box_ = stage.appliance();
    for key in ["a.key", "b.key"] {
        box_.ok(&["bundle", "key", "-o", &path(key)]);
    }
    let again = box_.run_cli(&["bundle", "key", "-o", &path("a.key")]);
    assert!(
        stderr(&again).contains("exists already"),
        "{}",
        stderr(&again)
    );
    let mode = std::fs::metadata(path("a.key")).unwrap().permissions();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777,
        0o600
    );
    box_.ok(&[
        "export",
        "hosted:acme/*",
        "--sign",
        &path("a.key"),
        "-o",
        &path("b.tar"),
    ]);
    let entries = entries(outside.path().join("b.tar").as_path());
    assert_eq!(entries[2].name, "breakwater-bundle.json.minisig");
    let length = std::fs::metadata(path("b.tar")).unwrap().len();
    assert_eq!(manifest(&entries).size, length);
    let show = |key: &str, file: &str| {
        box_.run_cli(&["bundle", "show", &path(file), "--verify-key", &path(key)])
    };
    let good = show("a.key.pub", "b.tar");
    assert!(good.status.success(), "{}", stderr(&good));
    let said = String::from_utf8_lossy(&good.stdout).into_owned();
    assert!(said.contains("signature: good (timestamp:"), "{said}");
    let other = stderr(&show("b.key.pub", "b.tar"));
    assert!(other.contains("it is signed by the key"), "{other}");
    let secret = stderr(&show("a.key", "b.tar"));
    assert!(secret.contains("not a public key"), "{secret}");

    // A letter of a name, of which the tar says nothing.
    let mut bytes = std::fs::read(path("b.tar")).unwrap();
    let place = bytes
        .windows(10)
        .position(|at| at == b"acme/api:1")
        .unwrap();
    bytes[place + 9] = b'7';
    std::fs::write(path("changed.tar"), bytes).unwrap();
    let changed = stderr(&show("a.key.pub", "changed.tar"));
    assert!(changed.contains("something was changed"), "{changed}");
    box_.ok(&["export", "hosted:acme/*", "-o", &path("unsigned.tar")]);
    let unsigned = stderr(&show("a.key.pub", "unsigned.tar"));
    assert!(unsigned.contains("is not signed"), "{unsigned}");
}

#[test]
fn images_are_named_by_lists_patterns_digests_and_their_last_pull() {
    let fake = FakeUpstream::start();
    let mut digests = Vec::new();
    let box_ = Appliance::with_upstream(fake.url());
    for (seed, name) in [(1, "library/alpine"), (2, "library/nginx"), (3, "org/tool")] {
        let image = Image::oci(seed, &[1000]);
        digests.push(fake.put_image(name, "latest", &image));
        pull(&Client::of(&box_), name, "latest", &[&image]);
    }
    let outside = tempfile::tempdir().unwrap();
    let path = |name: &str| outside.path().join(name).display().to_string();
    let list = "# what the farm needs\n\nalpine   # the base\ndocker.io/org/tool:latest\n";
    std::fs::write(path("list"), list).unwrap();
    let by_digest = format!("nginx@{}", digests[1]);
    let hub = |name: &str| format!("docker.io/{name}:latest");
    let all = [hub("library/alpine"), hub("library/nginx"), hub("org/tool")];
    for (arguments, expected) in [
        (
            vec!["--file", &path("list")],
            vec![all[0].clone(), all[2].clone()],
        ),
        (vec!["docker.io/library/*"], all[..2].to_vec()),
        (vec!["--pulled-since", "1h"], all.to_vec()),
        (vec!["nginx", "--pulled-since", "1h"], vec![all[1].clone()]),
        (
            vec![&by_digest],
            vec![format!("docker.io/library/{by_digest}")],
        ),
    ] {
        let output = path("b.tar");
        let rest = ["-o", &output, "--force", "--json"];
        let told = box_.json(&[&["export"], &*arguments, &rest].concat());
        let images = told["images"].as_array().unwrap().iter();
        let names: Vec<_> = images
            .map(|image| image["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, expected, "{arguments:?}");
    }
    let none = [
        "export",
        "alpine",
        "nothing:here",
        "-o",
        &path("b.tar"),
        "--force",
    ];
    let partly = box_.run_cli(&none);
    assert_eq!(partly.status.code(), Some(1));
    assert!(
        stderr(&partly).contains("left out nothing:here"),
        "{}",
        stderr(&partly)
    );
    let old = [
        "export",
        "--pulled-since",
        "2030-01-01",
        "-o",
        &path("c.tar"),
    ];
    assert!(stderr(&box_.run_cli(&old)).contains("no image is meant"));
}

#[test]
fn a_name_that_is_longer_than_a_tars_is_read_back() {
    let hosted = Hosted::start();
    let pusher = hosted.client(&["acme/api"]);
    let layer = b"by another hash";
    let long = Digest::of_with(Algorithm::Sha512, layer);
    let pushed = push_blob(&pusher, "acme/api", BlobWay::PostPut, &long, layer);
    assert_eq!(pushed.status, 201, "{pushed:?}");
    let config = crate::support::pushing::must_push_blob(&pusher, "acme/api", b"{}");
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": super::OCI_MANIFEST,
        "config": { "mediaType": OCI_CONFIG, "digest": config.as_str(), "size": 2 },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": long.as_str(), "size": layer.len() }],
    });
    let answer = crate::support::pushing::put_manifest(
        &pusher,
        "acme/api",
        "1",
        super::OCI_MANIFEST,
        manifest.to_string().as_bytes(),
    );
    assert_eq!(answer.status, 201, "{answer:?}");
    let outside = tempfile::tempdir().unwrap();
    let path = outside.path().join("b.tar");
    hosted
        .appliance
        .ok(&["export", "hosted:acme/api:1", "-o", path.to_str().unwrap()]);
    let entries = entries(&path);
    assert_eq!(of(&entries, &blob_entry(&long)).bytes, layer);
    let length = std::fs::metadata(&path).unwrap().len();
    assert_eq!(super::manifest(&entries).size, length);
}
