//! Images of which only a part is kept: shown as such, and refused at once where the rest cannot be had.

use serde_json::Value;

use super::pull;
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image, Index};

/// By the repository's name: how many parts are said to be missing.
fn missing(appliance: &Appliance) -> Vec<(String, u64)> {
    let listed = appliance.json(&["cache", "list", "--json"]);
    let listed = listed.as_array().unwrap().iter();
    let missing = listed.map(|image| {
        let tag = image["tag"].as_str().unwrap_or("-");
        let name = image["repository"].as_str().unwrap();
        (format!("{name}:{tag}"), image["missing"].as_u64().unwrap())
    });
    missing.collect()
}

#[test]
fn an_image_of_which_only_a_part_is_kept_is_shown_as_such_and_refused_offline() {
    let fake = FakeUpstream::start();
    let (whole, bare, half) = (
        Image::oci(1, &[100]),
        Image::oci(2, &[100, 200]),
        Image::oci(3, &[100, 200]),
    );
    let other = Image::oci(4, &[100]);
    let index = Index::of(&[("amd64", &whole), ("arm64", &other)]);
    for (name, image) in [("whole", &whole), ("bare", &bare), ("half", &half)] {
        fake.put_image(&format!("library/{name}"), "1", image);
    }
    fake.put_index("library/some", "1", &index);
    fake.put_index("library/none", "1", &index);
    let toml = "[cache]\ntag_ttl = \"0s\"";
    let appliance = Appliance::builder().upstream(fake.url()).toml(toml).start();
    let client = Client::of(&appliance);
    pull(&client, "library/whole", "1", &[&whole]);
    pull(&client, "library/bare", "1", &[]);
    pull(&client, "library/half", "1", &[]);
    let layer = format!("/v2/library/half/blobs/{}", half.layer_digest(0));
    assert_eq!(client.get(&layer).status, 200);
    // Of an index one platform is pulled, as clients do, or none.
    pull(&client, "library/some", "1", &[]);
    pull(&client, "library/some", whole.digest().as_str(), &[&whole]);
    pull(&client, "library/none", "1", &[]);

    let shown = |name: &str, count| (format!("library/{name}:1"), count);
    let expected = [
        shown("bare", 3),
        shown("half", 2),
        shown("none", 1),
        shown("some", 0),
        shown("whole", 0),
    ];
    assert_eq!(missing(&appliance), expected);
    let table = appliance.ok(&["cache", "list"]);
    assert!(table.contains("in part (2 missing)"), "{table}");
    let half_shown = appliance.ok(&["cache", "show", "half:1"]);
    assert!(
        half_shown.contains("in part: 2 of its parts"),
        "{half_shown}"
    );
    let whole_shown = appliance.ok(&["cache", "show", "whole:1"]);
    assert!(!whole_shown.contains("in part"), "{whole_shown}");
    let verified = appliance.ok(&["verify"]);
    assert!(
        verified.contains("incomplete: docker.io/library/half:1 lacks 2 parts"),
        "{verified}"
    );
    assert!(!verified.contains("whole:1"), "{verified}");

    let path = |name: &str, reference: &str| format!("/v2/library/{name}/manifests/{reference}");
    let bare_digest = bare.digest().to_string();
    appliance.ok(&["offline", "on"]);
    for (name, reference) in [("bare", "1"), ("bare", bare_digest.as_str()), ("none", "1")] {
        let answer = client.get(&path(name, reference));
        assert_eq!(answer.status, 503, "{name}: {answer:?}");
        let message = answer.message();
        assert!(message.contains("is kept only in part"), "{message}");
        let why = "none of its platforms or layers is here";
        assert!(message.contains(why), "{message}");
        assert!(message.contains("offline on purpose"), "{message}");
        // Whoever only looks gets an answer.
        let head = client.head(&path(name, reference));
        assert_eq!(head.status, 200, "{name}");
        // So does whoever has it, and asks whether it is still right.
        let has_it = client.with("If-None-Match", head.field("ETag").unwrap());
        assert_eq!(has_it.get(&path(name, reference)).status, 304, "{name}");
    }
    // Who has the other layers already can do with what is here, and who has not hears it of the layer.
    for name in ["whole", "some", "half"] {
        assert_eq!(client.get(&path(name, "1")).status, 200, "{name}");
    }
    assert_eq!(client.get(&layer).status, 200);
    let other = format!("/v2/library/half/blobs/{}", half.layer_digest(1));
    let answer = client.get(&other);
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(
        answer.message().contains("offline on purpose"),
        "{answer:?}"
    );
    appliance.ok(&["offline", "off"]);
    fake.stop();
    let begun = std::time::Instant::now();
    let answer = client.get(&path("bare", "1"));
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(
        answer.message().contains("connection refused"),
        "{answer:?}"
    );
    assert!(begun.elapsed().as_secs() < 5);
    assert_eq!(client.get(&path("whole", "1")).status, 200);
    fake.restart();
    pull(&client, "library/bare", "1", &[&bare]);
    let of_bare = |(name, _): &&(String, u64)| name.contains("bare");
    assert_eq!(missing(&appliance).iter().find(of_bare).unwrap().1, 0);
}

#[test]
fn rest_says_the_same() {
    let fake = FakeUpstream::start();
    fake.put_image("library/bare", "1", &Image::oci(2, &[100, 200]));
    let appliance = Appliance::with_upstream(fake.url());
    pull(&Client::of(&appliance), "library/bare", "1", &[]);
    let root = [
        "token", "create", "--name", "x", "--user", "root", "--scope", "api",
    ];
    let root = appliance.ok(&root);
    let client = Client::of(&appliance).with("PRIVATE-TOKEN", root.trim());
    let images: Value = client.get("/api/v4/cache/images").json();
    assert_eq!(images[0]["missing"], 3, "{images}");
    let image = client.get("/api/v4/cache/image?image=bare:1").json();
    assert_eq!(image["missing"], 3, "{image}");
}

/// Such a layer belongs to what was pulled, if a client did pull it: otherwise it would go as what nothing needs.
#[test]
fn a_foreign_layer_that_was_pulled_is_a_part_of_its_image() {
    let fake = FakeUpstream::start();
    let mut image = Image::oci(1, &[5_000]);
    let manifest = String::from_utf8(image.manifest).unwrap();
    let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    let plain = "application/vnd.oci.image.layer.v1.tar+gzip";
    image.manifest = manifest.replace(plain, foreign).into_bytes();
    fake.put_image("library/windows", "1", &image);
    let appliance = Appliance::with_upstream(fake.url());
    let client = Client::of(&appliance);
    pull(&client, "library/windows", "1", &[]);
    assert_eq!(missing(&appliance), [("library/windows:1".to_owned(), 2)]);
    pull(&client, "library/windows", "1", &[&image]);
    assert_eq!(missing(&appliance), [("library/windows:1".to_owned(), 0)]);
    let listed = appliance.json(&["cache", "list", "--json"]);
    assert!(listed[0]["size"].as_u64().unwrap() > 5_000, "{listed}");
}
