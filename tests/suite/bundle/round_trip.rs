//! From one box over the gap to another: exported, carried in parts, imported, pulled as before; then only the difference.

use serde_json::json;

use super::make::{Disk, behind, pulls};
use super::{Stage, pull};
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image};
use crate::support::pushing::Hosted;

#[test]
fn what_one_box_exports_another_imports_and_serves_byte_for_byte() {
    let stage = Stage::new();
    let disk = Disk::new();
    let path = |name: &str| disk.path().join(name).to_str().unwrap().to_owned();
    let (bundle, key) = (path("week.tar"), path("bundles.key"));
    stage.appliance().ok(&["bundle", "key", "-o", &key]);
    let images = ["docker.io/library/alpine:3.20", "hosted:acme/*"];
    let export = [
        &["export"][..],
        &images,
        &["--sign", &key, "--split", "1MB", "-o", &bundle],
    ]
    .concat();
    stage.appliance().ok(&export);
    let there = Hosted::of(behind());
    let (sums, public) = (path("week.tar.sha256"), path("bundles.key.pub"));
    let said = there
        .appliance
        .ok(&["import", &sums, "--verify-key", &public]);
    assert!(said.contains("signed by the key"), "{said}");
    let (here, client) = (Client::of(stage.appliance()), Client::of(&there.appliance));
    let same = |here: &Client, there: &Client, path: &str| {
        let (one, other) = (here.get(path), there.get(path));
        assert_eq!(one.status, 200, "{path}: {}", one.text());
        assert_eq!(other.status, 200, "{path}: {}", other.text());
        assert_eq!(one.body, other.body, "{path}");
        let field = |name| {
            (
                one.field(name).map(str::to_owned),
                other.field(name).map(str::to_owned),
            )
        };
        let (one, other) = field("Content-Type");
        assert_eq!(one, other, "{path}");
        other
    };
    let digest = stage.index.digest();
    for reference in ["3.20", digest.as_str()] {
        same(
            &here,
            &client,
            &format!("/v2/library/alpine/manifests/{reference}"),
        );
    }
    for image in &stage.index.images[..2] {
        pulls(&client, "library/alpine", image.digest().as_str(), image);
    }
    let (here, client) = (
        stage.hosted.client(&["acme/api"]),
        there.client(&["acme/api"]),
    );
    for reference in ["1", "2", stage.signed.as_str()] {
        same(
            &here,
            &client,
            &format!("/v2/acme/api/manifests/{reference}"),
        );
    }
    let tag = format!("sha256-{}.sig", stage.signed.hex());
    same(&here, &client, &format!("/v2/acme/api/manifests/{tag}"));
    same(
        &here,
        &client,
        &format!("/v2/acme/api/referrers/{}", stage.signed),
    );
    assert_eq!(there.appliance.json(&["verify", "--json"])["clean"], true);
}

#[test]
fn the_second_week_carries_only_what_the_other_side_lacks() {
    let base = Image::oci(1, &[400_000, 30_000]);
    let fake = FakeUpstream::start();
    fake.put_image("library/app", "1", &base);
    let here = crate::support::appliance::Appliance::with_upstream(fake.url());
    pull(&Client::of(&here), "library/app", "1", &[&base]);
    let disk = Disk::new();
    let path = |name: &str| disk.path().join(name).to_str().unwrap().to_owned();
    here.ok(&["export", "app:1", "-o", &path("1.tar")]);
    let there = behind();
    there.ok(&["import", &path("1.tar")]);
    there.ok(&["have", "-o", &path("have")]);
    // A changed image on the same base.
    let mut next = Image::oci(2, &[20_000]);
    next.layers.insert(0, base.layers[0].clone());
    let mut manifest: serde_json::Value = serde_json::from_slice(&next.manifest).unwrap();
    manifest["layers"] = next
        .layers
        .iter()
        .map(|layer| {
            json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": breakwater::oci::Digest::of(layer), "size": layer.len()})
        })
        .collect();
    next.manifest = serde_json::to_vec(&manifest).unwrap();
    fake.put_image("library/app", "2", &next);
    pull(&Client::of(&here), "library/app", "2", &[&next]);
    here.ok(&[
        "export",
        "app:1",
        "app:2",
        "--have",
        &path("have"),
        "-o",
        &path("2.tar"),
    ]);
    let size = |name: &str| std::fs::metadata(path(name)).unwrap().len();
    assert!(
        size("2.tar") < size("1.tar") / 5,
        "{} of {}",
        size("2.tar"),
        size("1.tar")
    );
    there.ok(&["import", &path("2.tar")]);
    let client = Client::of(&there);
    pulls(&client, "library/app", "1", &base);
    pulls(&client, "library/app", "2", &next);
    // A box that the first week never reached is told what it lacks.
    let fresh = behind();
    let error = super::make::refused(&fresh, &[&path("2.tar")]);
    assert!(error.contains("it relies on sha256:"), "{error}");
}
