//! `cache purge`: what goes, what stays, and what is said of it.

use serde_json::{Value, json};

use super::{pull, stage};
use crate::support::appliance::Appliance;
use crate::support::fake_upstream::{Image, Index};

/// The names of all images that are cached.
fn cached(appliance: &Appliance) -> Vec<String> {
    let images = appliance.json(&["cache", "list", "--json"]);
    let name = |image: &Value| match image["tag"].as_str() {
        Some(tag) => format!("{}:{tag}", image["repository"].as_str().unwrap()),
        None => format!("{}@", image["repository"].as_str().unwrap()),
    };
    images.as_array().unwrap().iter().map(name).collect()
}

fn files(appliance: &Appliance) -> u64 {
    let stats = appliance.json(&["cache", "stats", "--json"]);
    stats["blobs"].as_u64().unwrap()
}

#[test]
fn a_tag_goes_alone_and_its_image_with_the_last_one() {
    let (fake, appliance, client) = stage();
    let image = Image::oci(1, &[100_000, 2_000]);
    for tag in ["3.20", "latest"] {
        fake.put_image("library/alpine", tag, &image);
        pull(&client, "library/alpine", tag, &[&image]);
    }
    let other = Image::oci(2, &[5_000]);
    fake.put_image("library/alpine", "edge", &other);
    pull(&client, "library/alpine", "edge", &[&other]);
    assert_eq!(files(&appliance), 7);

    let said = appliance.ok(&["cache", "purge", "alpine", "--dry-run"]);
    assert!(said.contains("0 images would go, 0 B"), "{said}");
    assert!(said.contains("1 tags would go"), "{said}");
    assert!(
        said.ends_with(
            "2 other tags of alpine stay; `breakwater cache purge 'alpine:*'` purges all\n"
        ),
        "{said}"
    );
    assert_eq!(cached(&appliance).len(), 3, "it was a dry run");

    appliance.ok(&["cache", "purge", "alpine"]);
    assert_eq!(
        cached(&appliance),
        ["library/alpine:3.20", "library/alpine:edge"]
    );
    assert_eq!(files(&appliance), 7);
    let purge = ["cache", "purge", "alpine:3.20", "--json"];
    let view = appliance.json(&purge);
    let size = image.blobs().map(Vec::len).sum::<usize>() + image.manifest.len();
    assert_eq!(
        json!([
            view["images"],
            view["bytes"],
            view["shared_bytes"],
            view["names"]
        ]),
        json!([1, size, 0, ["docker.io/library/alpine:3.20"]])
    );
    assert_eq!((cached(&appliance).len(), files(&appliance)), (1, 3));
    let output = appliance.run_cli(&purge);
    assert_eq!(output.status.code(), Some(1), "it is gone already");
    pull(&client, "library/alpine", "3.20", &[&image]);
    assert_eq!(files(&appliance), 7, "it comes back with the next pull");
    assert_eq!(appliance.json(&["verify", "--json"])["clean"], json!(true));
    let events = appliance.audit(&[]).to_string();
    assert!(events.contains("cache.purged"), "{events}");
}

#[test]
fn what_is_pinned_stays_under_a_pattern_and_what_is_shared_stays_on_the_disk() {
    let (fake, appliance, client) = stage();
    let pinned = Image::oci(1, &[100_000]);
    let amd64 = Image::oci(2, &[50_000]);
    let arm64 = Image::oci(3, &[60_000]);
    let index = Index::of(&[("amd64", &amd64), ("arm64", &arm64)]);
    fake.put_image("org/pinned", "1", &pinned);
    fake.put_image("org/copy", "1", &pinned);
    fake.put_index("org/multi", "1", &index);
    for name in ["org/pinned", "org/copy"] {
        pull(&client, name, "1", &[&pinned]);
    }
    pull(&client, "org/multi", "1", &[]);
    pull(&client, "org/multi", &amd64.digest().to_string(), &[&amd64]);
    appliance.ok(&["cache", "pin", "org/pinned"]);

    let view = appliance.json(&["cache", "purge", "org/*", "--json"]);
    let shared = pinned.blobs().map(Vec::len).sum::<usize>() + pinned.manifest.len();
    let freed =
        amd64.blobs().map(Vec::len).sum::<usize>() + amd64.manifest.len() + index.bytes.len();
    assert_eq!(
        json!([
            view["images"],
            view["bytes"],
            view["shared_bytes"],
            view["pinned"]
        ]),
        json!([2, freed, shared, 1]),
        "{view}"
    );
    assert_eq!(cached(&appliance), ["org/pinned:1"]);
    fake.stop();
    pull(&client, "org/pinned", "1", &[&pinned]);

    let view = appliance.json(&["cache", "purge", "--all", "--json"]);
    assert_eq!((&view["images"], &view["pinned"]), (&json!(0), &json!(1)));
    appliance.ok(&["cache", "purge", "org/pinned:1"]);
    assert_eq!((cached(&appliance).len(), files(&appliance)), (0, 0));
    assert_eq!(appliance.json(&["cache", "pins", "--json"])[0]["images"], 0);
}

#[test]
fn a_group_is_purged_of_what_no_other_has_pulled() {
    let (fake, appliance, client) = stage();
    let image = Image::oci(1, &[10_000]);
    fake.put_image("library/alpine", "latest", &image);
    pull(&client, "library/alpine", "latest", &[&image]);
    appliance.ok(&["group", "add", "acme"]);
    let view = appliance.json(&["cache", "purge", "--group", "acme", "--json"]);
    assert_eq!(view["images"], 0);
    let look = ["cache", "purge", "--group", "mirror", "--dry-run", "--json"];
    assert_eq!(appliance.json(&look)["images"], 1);
    let view = appliance.json(&["cache", "purge", "--group", "mirror", "--json"]);
    assert_eq!(view["images"], 1, "{view}");
    assert_eq!(files(&appliance), 0);
    for wrong in [
        &["cache", "purge"][..],
        &["cache", "purge", "alpine", "--all"],
        &["cache", "purge", "hosted:acme/x:1"],
    ] {
        assert_eq!(appliance.run_cli(wrong).status.code(), Some(2), "{wrong:?}");
    }
}
