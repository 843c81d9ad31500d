//! `cache show`, `cache list --sort`, `cache stats`: what is said of images.

use std::time::{Duration, Instant};

use breakwater::oci::Algorithm;
use serde_json::{Value, json};

use super::{pull, stage};
use crate::support::client::Client;
use crate::support::fake_upstream::{Image, Index};
use crate::support::pushing::{
    Hosted, OCI_INDEX, OCI_MANIFEST, descriptor, push_image, put_manifest,
};

fn part<'a>(image: &'a Value, digest: &str) -> &'a Value {
    let mut parts = image["parts"].as_array().unwrap().iter();
    parts.find(|part| part["digest"] == digest).unwrap()
}

#[test]
fn an_index_of_which_one_platform_was_pulled_says_what_is_here_and_what_is_shared() {
    let (fake, appliance, client) = stage();
    let amd64 = Image::oci(2, &[50_000, 3_000]);
    let arm64 = Image::oci(3, &[60_000]);
    let index = Index::of(&[("amd64", &amd64), ("arm64", &arm64)]);
    fake.put_index("library/alpine", "latest", &index);
    fake.put_image("org/copy", "1", &amd64);
    let child = amd64.digest().to_string();
    pull(&client, "library/alpine", "latest", &[]);
    pull(&client, "library/alpine", &child, &[&amd64]);
    let own = amd64.blobs().map(Vec::len).sum::<usize>() + amd64.manifest.len();
    let size = own + index.bytes.len();

    let image = appliance.json(&["cache", "show", "alpine", "--json"]);
    assert_eq!(
        json!([
            image["upstream"],
            image["repository"],
            image["tag"],
            image["size"]
        ]),
        json!(["docker.io", "library/alpine", "latest", size])
    );
    assert_eq!(image["exclusive_bytes"], size, "nobody else needs it yet");
    let here = part(&image, &child);
    assert_eq!(
        json!([
            here["platform"],
            here["is_cached"],
            here["size"],
            here["shared_with"]
        ]),
        json!(["linux/amd64", true, own, 0])
    );
    let other = part(&image, arm64.digest().as_str());
    assert_eq!(
        json!([other["platform"], other["is_cached"]]),
        json!(["linux/arm64", false])
    );
    let layer = part(&image, amd64.layer_digest(0).as_str());
    assert_eq!(
        json!([layer["of"], layer["size"], layer["shared_with"]]),
        json!([child, 50_000, 0])
    );
    assert_eq!(image["stays"], "busy");
    assert_eq!(
        json!([image["pulls"][0]["group_path"], image["pulls"][0]["count"]]),
        json!(["mirror", 1])
    );

    pull(&client, "org/copy", "1", &[&amd64]);
    appliance.ok(&["cache", "pin", "alpine"]);
    let image = appliance.json(&["cache", "show", "alpine", "--json"]);
    assert_eq!(image["exclusive_bytes"], index.bytes.len());
    assert_eq!(
        part(&image, amd64.layer_digest(0).as_str())["shared_with"],
        1
    );
    assert_eq!(
        json!([image["stays"], image["pins"]]),
        json!(["pinned", ["docker.io/library/alpine"]])
    );
    let text = appliance.ok(&["cache", "show", "alpine"]);
    for said in [
        "never: pinned by docker.io/library/alpine",
        "linux/arm64",
        "1 other manifest",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }

    let stats = appliance.json(&["cache", "stats", "--json"]);
    assert_eq!(
        json!([stats["bytes"], stats["shared_bytes"]]),
        json!([size, own])
    );
    assert_eq!(
        stats["upstreams"],
        json!([{ "name": "docker.io", "images": 2, "bytes": size, "exclusive_bytes": size, "max_size": null }])
    );
    let output = appliance.run_cli(&["cache", "show", "alpine:*"]);
    assert_eq!(output.status.code(), Some(2), "a pattern is no image");
}

/// Without what only a look at all that is cached tells.
fn without_turn(mut image: Value) -> Value {
    for field in ["before", "stays", "unused_at"] {
        image.as_object_mut().unwrap().remove(field);
    }
    image
}

#[test]
fn a_brief_look_at_an_image_tells_what_the_long_one_does_but_for_its_turn() {
    let (fake, appliance, client) = stage();
    let amd64 = Image::oci(2, &[50_000, 3_000]);
    let arm64 = Image::oci(3, &[60_000]);
    let index = Index::of(&[("amd64", &amd64), ("arm64", &arm64)]);
    fake.put_index("library/alpine", "latest", &index);
    fake.put_image("org/copy", "1", &amd64);
    fake.put_image("org/own", "1", &Image::oci(4, &[1_000]));
    let signature = Image::oci(5, &[500]);
    let tag = format!("{}.sig", index.digest().to_string().replace(':', "-"));
    fake.put_image("library/alpine", &tag, &signature);
    pull(&client, "library/alpine", "latest", &[]);
    let child = amd64.digest().to_string();
    pull(&client, "library/alpine", &child, &[&amd64]);
    pull(&client, "org/copy", "1", &[&amd64]);
    pull(&client, "org/own", "1", &[]);
    appliance.ok(&["cache", "pin", "quay.io/*"]);
    let root = appliance.token("root", &["read_api"]);
    let asking = client.with("PRIVATE-TOKEN", &root);
    let ask = |image: &str, more: &str| {
        let answer = asking.get(&format!("/api/v4/cache/image?image={image}{more}"));
        assert_eq!(answer.status, 200, "{image}: {}", answer.text());
        answer.json()
    };
    let by_digest = format!("alpine@{}", index.digest());
    for image in ["alpine", "org/copy:1", "org/own:1", by_digest.as_str()] {
        let (long, brief) = (ask(image, ""), ask(image, "&brief=true"));
        assert_eq!(without_turn(long), without_turn(brief), "{image}");
    }
    pull(&client, "library/alpine", &tag, &[&signature]);
    let alpine = ask("alpine", "&brief=true");
    let attached = &alpine["referrers"][0];
    assert_eq!(
        json!([attached["digest"], attached["tag"]]),
        json!([signature.digest().to_string(), tag])
    );
    assert_eq!(alpine["tags"], json!(["latest"]));
    appliance.ok(&["cache", "pin", "alpine"]);
    let pinned = ask("alpine", "&brief=true");
    assert_eq!(pinned["stays"], "pinned");
    assert_eq!(pinned["pins"], json!(["docker.io/library/alpine"]));
    let text = appliance.ok(&["cache", "show", "alpine"]);
    assert!(text.contains("ATTACHED") && text.contains(&tag), "{text}");
}

#[test]
fn images_are_sorted_by_size_and_by_their_last_pull() {
    let (fake, appliance, client) = stage();
    for (seed, name, size) in [
        (1, "org/a", 1_000),
        (2, "org/b", 9_000),
        (3, "org/c", 5_000),
    ] {
        let image = Image::oci(seed, &[size]);
        fake.put_image(name, "1", &image);
        pull(&client, name, "1", &[&image]);
    }
    appliance.ok(&["group", "add", "acme"]);
    let list = |arguments: &[&str]| -> Vec<String> {
        let all = [&["cache", "list", "--json"], arguments].concat();
        let images = appliance.json(&all);
        let names = images.as_array().unwrap().iter();
        names
            .map(|image| image["repository"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(list(&[]), ["org/a", "org/b", "org/c"]);
    assert_eq!(list(&["--sort", "size"]), ["org/b", "org/c", "org/a"]);
    assert_eq!(list(&["--sort", "pulled"]).len(), 3);
    assert_eq!(list(&["--group", "mirror", "--sort", "filled"]).len(), 3);
    assert_eq!(list(&["--group", "acme"]), [""; 0]);
}

#[test]
fn a_pushed_image_says_who_pushed_it() {
    let hosted = Hosted::start();
    push_image(&hosted.client(&["acme/api"]), "acme/api", "1", &[b"layer"]);
    let image = hosted
        .appliance
        .json(&["cache", "show", "hosted:acme/api:1", "--json"]);
    assert_eq!(
        json!([image["upstream"], image["repository"], image["tag"]]),
        json!([null, "acme/api", "1"])
    );
    let by = image["pushed_by"].as_str().unwrap();
    assert!(by.contains("dev"), "{image}");
    assert_eq!(image["size"], image["exclusive_bytes"]);
    let list = |pattern| {
        let command = ["cache", "list", pattern, "--json"];
        hosted.appliance.json(&command)
    };
    let listed = list("hosted:acme/*:1");
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    for field in ["upstream", "repository", "tag", "digest", "size"] {
        assert_eq!(listed[0][field], image[field], "{field}");
    }
    assert_eq!(list("acme"), json!([]), "nothing of it is cached");
    let absent = ["cache", "show", "hosted:acme/api:2"];
    assert_eq!(hosted.appliance.run_cli(&absent).status.code(), Some(1));
}

/// What the REST API says of a tag of `acme/api`.
fn tag_image(hosted: &Hosted, tag: &str) -> Value {
    let client = Client::of(&hosted.appliance).with("PRIVATE-TOKEN", &hosted.secret);
    let path = format!("/api/v4/projects/acme%2Fapi/registry/repositories/1/tags/{tag}/image");
    let answer = client.get(&path);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
fn an_index_that_names_one_image_over_and_over_is_told_once_and_soon() {
    let hosted = Hosted::start();
    let client = hosted.client(&["acme/api"]);
    let (_, small) = push_image(&client, "acme/api", "small", &[b"layer"]);
    let config: Value = serde_json::from_slice(&small).unwrap();
    let mut manifest = config.clone();
    let layer = config["layers"][0].clone();
    manifest["layers"] = Value::Array(vec![layer; 5_000]);
    let manifest = manifest.to_string().into_bytes();
    let answer = put_manifest(&client, "acme/api", "large", OCI_MANIFEST, &manifest);
    assert_eq!(answer.status, 201, "{answer:?}");
    let mut child = descriptor(Algorithm::Sha256, OCI_MANIFEST, &manifest);
    child["platform"] = json!({ "architecture": "amd64", "os": "linux" });
    let index =
        json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": vec![child; 10_000] });
    let index = index.to_string().into_bytes();
    let answer = put_manifest(&client, "acme/api", "many", OCI_INDEX, &index);
    assert_eq!(answer.status, 201, "{answer:?}");

    let began = Instant::now();
    let image = tag_image(&hosted, "many");
    let shown = hosted
        .appliance
        .json(&["cache", "show", "hosted:acme/api:many", "--json"]);
    assert!(began.elapsed() < Duration::from_secs(20));
    let once = ["config", "layers"].map(|part| match &config[part] {
        Value::Array(layers) => layers[0]["size"].as_u64().unwrap(),
        config => config["size"].as_u64().unwrap(),
    });
    let size = index.len() as u64 + manifest.len() as u64 + once.iter().sum::<u64>();
    for image in [&image, &shown] {
        let parts = image["parts"].as_array().unwrap();
        assert_eq!(parts.len(), 3, "a platform, its config and its layer");
        assert_eq!(image["more_parts"], false);
        assert_eq!(image["size"], size);
    }
    // The other image has config and layer too.
    assert_eq!(shown["exclusive_bytes"], index.len() + manifest.len());
}

#[test]
fn of_an_image_of_very_many_parts_the_first_thousand_are_told() {
    let hosted = Hosted::start();
    let client = hosted.client(&["acme/api"]);
    let (_, small) = push_image(&client, "acme/api", "small", &[b"layer"]);
    let mut manifest: Value = serde_json::from_slice(&small).unwrap();
    let foreign = (0..1_500_u32).map(|number| {
        let media_type = "application/vnd.oci.image.layer.nondistributable.v1.tar";
        let mut layer = descriptor(Algorithm::Sha256, media_type, &number.to_le_bytes());
        layer["urls"] = json!(["https://example.com/layer"]);
        layer
    });
    manifest["layers"].as_array_mut().unwrap().extend(foreign);
    let manifest = manifest.to_string().into_bytes();
    let answer = put_manifest(&client, "acme/api", "many", OCI_MANIFEST, &manifest);
    assert_eq!(answer.status, 201, "{answer:?}");
    let image = tag_image(&hosted, "many");
    assert_eq!(image["parts"].as_array().unwrap().len(), 1_000);
    assert_eq!(image["more_parts"], true);
}
