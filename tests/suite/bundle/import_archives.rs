//! Archives of other programs: OCI layouts, and docker's classic ones, for whose images manifests are made.

use breakwater::oci::Digest;
use serde_json::{Value, json};

use super::make::{Disk, Maker, Tar, behind, pulls, refused};
use crate::support::client::Client;
use crate::support::fake_upstream::Image;

#[test]
fn an_oci_layout_brings_its_image_under_the_name_that_it_says_or_that_is_said() {
    let image = Image::oci(1, &[2000, 10]);
    let maker = Maker::default().image("", &image);
    let disk = Disk::new();
    for (annotations, option, repository, tag) in [
        (
            json!({"org.opencontainers.image.ref.name": "docker.io/library/alpine:3.20"}),
            None,
            "library/alpine",
            "3.20",
        ),
        (
            json!({"org.opencontainers.image.ref.name": "alpine:3.21"}),
            None,
            "library/alpine",
            "3.21",
        ),
        (
            json!({"io.containerd.image.name": "docker.io/org/app:7", "org.opencontainers.image.ref.name": "7"}),
            None,
            "org/app",
            "7",
        ),
        (
            json!({"org.opencontainers.image.ref.name": "7"}),
            Some("org/other"),
            "org/other",
            "latest",
        ),
        (Value::Null, Some("docker.io/org/third:x"), "org/third", "x"),
    ] {
        let appliance = behind();
        let path = disk.put("x.tar", &maker.layout(&annotations));
        let mut arguments = vec!["import", &path];
        if let Some(name) = option {
            let error = appliance.run_cli(&arguments);
            let (code, error) = (
                error.status.code(),
                String::from_utf8(error.stderr).unwrap(),
            );
            assert!(code == Some(2) && error.contains("--name IMAGE"), "{error}");
            arguments.extend(["--name", name]);
        }
        appliance.ok(&arguments);
        pulls(&Client::of(&appliance), repository, tag, &image);
        pulls(
            &Client::of(&appliance),
            repository,
            image.digest().as_str(),
            &image,
        );
    }
}

/// Docker's classic archive of an image, whose layers lie under these names.
fn classic(image: &Image, tags: Value, layers: &[&str]) -> Tar {
    let config = format!("{}.json", Digest::of(&image.config).hex());
    let list = json!([{"Config": config, "RepoTags": tags, "Layers": layers}]);
    Tar::default()
        .file("manifest.json", list.to_string().as_bytes())
        .file(&config, &image.config)
}

#[test]
fn a_classic_archive_gets_a_manifest_that_is_always_the_same() {
    let image = Image::oci(1, &[2000, 10]);
    let disk = Disk::new();
    let tar = classic(
        &image,
        json!(["org/app:1", "org/app:latest"]),
        &["a.tar", "b/layer.tar"],
    )
    .file("a.tar", &image.layers[0])
    .entry("b/layer.tar", b'2', "../c/layer.tar", 0, b"")
    .file("c/layer.tar", &image.layers[1])
    .file("c/VERSION", b"1.0")
    .file("repositories", b"{}");
    let path = disk.put("x.tar", &tar.end());
    let mut digests = Vec::new();
    for _ in 0..2 {
        let appliance = behind();
        let output = appliance.run_cli(&["import", &path]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("new digests"), "{error}");
        let said = String::from_utf8(output.stdout).unwrap();
        let client = Client::of(&appliance);
        let got = client.get("/v2/org/app/manifests/1");
        assert_eq!(got.status, 200, "{}", got.text());
        let manifest = got.json();
        assert_eq!(
            manifest["config"]["digest"],
            Digest::of(&image.config).as_str()
        );
        let layers = manifest["layers"].as_array().unwrap();
        for (described, layer) in layers.iter().zip(&image.layers) {
            assert_eq!(
                described["mediaType"],
                "application/vnd.oci.image.layer.v1.tar"
            );
            let digest = described["digest"].as_str().unwrap();
            let blob = client.get(&format!("/v2/org/app/blobs/{digest}"));
            assert_eq!((blob.status, &blob.body), (200, layer));
        }
        let digest = Digest::of(&got.body);
        assert!(said.contains(digest.as_str()), "{said}");
        assert_eq!(client.get("/v2/org/app/manifests/latest").body, got.body);
        digests.push(digest);
    }
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn a_classic_archive_that_lies_or_is_not_whole_is_refused() {
    let image = Image::oci(1, &[2000, 10]);
    let disk = Disk::new();
    let tags = || json!(["org/app:1"]);
    let mut wrong = image.layers[0].clone();
    wrong[7] ^= 1;
    for (tar, expected) in [
        (
            classic(&image, tags(), &["a.tar", "b.tar"]).file("a.tar", &image.layers[0]),
            "lacks `b.tar`",
        ),
        (
            classic(&image, tags(), &["a.tar"]).file("a.tar", &image.layers[0]),
            "1 layers of an image whose config names 2",
        ),
        (
            classic(&image, tags(), &["a.tar", "b.tar"])
                .file("a.tar", &wrong)
                .file("b.tar", &image.layers[1]),
            "has other bytes than its digest says",
        ),
        (
            classic(&image, tags(), &["a.tar", "b.tar"])
                .file("b.tar", &image.layers[1])
                .entry("a.tar", b'2', "../../etc/passwd", 0, b""),
            "which leads out of it",
        ),
        (
            classic(&image, tags(), &["a.tar", "b.tar"])
                .file("b.tar", &image.layers[1])
                .entry("a.tar", b'2', "a.tar", 0, b""),
            "lacks `a.tar`",
        ),
    ] {
        let appliance = behind();
        let path = disk.put("x.tar", &tar.end());
        let error = refused(&appliance, &[&path]);
        assert!(error.contains(expected), "{error}");
        assert_eq!(appliance.json(&["cache", "list", "--json"]), json!([]));
    }
    let appliance = behind();
    let path = disk.put(
        "x.tar",
        &classic(&image, Value::Null, &["a.tar", "b.tar"])
            .file("a.tar", &image.layers[0])
            .file("b.tar", &image.layers[1])
            .end(),
    );
    let output = appliance.run_cli(&["import", &path]);
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("--name IMAGE")
    );
    appliance.ok(&["import", &path, "--name", "org/named:2"]);
    assert_eq!(
        Client::of(&appliance)
            .get("/v2/org/named/manifests/2")
            .status,
        200
    );
}

#[test]
fn many_made_manifests_go_between_the_layers_and_no_byte_is_lost() {
    let disk = Disk::new();
    let (mut list, mut tar) = (Vec::new(), Tar::default());
    let images: Vec<Image> = (0..40).map(|seed| Image::oci(seed, &[40_000])).collect();
    for (image, number) in images.iter().zip(0..) {
        let config = format!("{}.json", Digest::of(&image.config).hex());
        let layer = format!("{number}.tar");
        tar = tar
            .file(&config, &image.config)
            .file(&layer, &image.layers[0]);
        let name = format!("org/app{number}:1");
        list.push(json!({"Config": config, "RepoTags": [name], "Layers": [layer]}));
    }
    tar = tar.file("manifest.json", json!(list).to_string().as_bytes());
    let path = disk.put("many.tar", &tar.end());
    let appliance = behind();
    appliance.ok(&["import", &path]);
    appliance.ok(&["verify"]);
    for number in 0..40 {
        let path = format!("/v2/org/app{number}/manifests/1");
        assert_eq!(Client::of(&appliance).get(&path).status, 200);
    }
}
