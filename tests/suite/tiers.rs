//! A box as another's upstream: what several sites have in front of the one that sees the internet.

use std::process::Output;
use std::time::{Duration, Instant};

use breakwater::oci::Digest;

use crate::support::appliance::Appliance;
use crate::support::client::{Client, assert_sound};
use crate::support::fake_upstream::{Answer, FakeUpstream, Image};

const TAG: &str = "/v2/library/alpine/manifests/3";

/// A box whose Docker Hub is at `url`, and which asks for each pull whether a tag is still the same.
fn behind(url: &str) -> Appliance {
    let toml = "[cache]\ntag_ttl = \"0s\"\n";
    Appliance::builder().upstream(url).toml(toml).start()
}

/// Pulls as docker does, by a tag of `repository`; every byte has to be right.
fn pull(box_: &Appliance, repository: &str, image: &Image) {
    let client = Client::of(box_);
    let by_tag = client.get(&format!("/v2/{repository}/manifests/3"));
    assert_eq!((by_tag.status, &by_tag.body), (200, &image.manifest));
    for blob in image.blobs() {
        let digest = Digest::of(blob);
        let got = client.get(&format!("/v2/{repository}/blobs/{digest}"));
        assert_eq!((got.status, &got.body), (200, blob));
    }
}

fn said(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8(all).unwrap()
}

#[test]
fn each_box_of_a_chain_keeps_what_goes_through_it() {
    let hub = FakeUpstream::start();
    let image = Image::oci(1, &[300_000, 20_000]);
    hub.put_image("library/alpine", "3", &image);
    let first = behind(hub.url());
    let site = behind(&first.url(""));
    let mut bench = behind(&site.url(""));

    // A download that breaks off goes on where it was, and nobody behind notices.
    let layer = image.layer_digest(0);
    hub.on("GET", layer.hex())
        .next([Answer::good().reset_at(100_000)]);
    pull(&bench, "library/alpine", &image);
    assert_eq!(hub.count("GET", "manifests"), 1);
    let asked = hub.requests_for("GET", layer.hex());
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked[1].header("range").is_some(), "{asked:?}");

    // Whether it is still the same is a question of heads, through all of them.
    hub.forget_requests();
    pull(&bench, "library/alpine", &image);
    assert_eq!(hub.count("HEAD", "manifests"), 1);
    assert_eq!(hub.count("GET", ""), 0);

    // A range of what nobody has yet, such as a lazy snapshotter wants.
    let other = Image::oci(2, &[400_000]);
    hub.put_image("library/other", "3", &other);
    let path = format!("/v2/library/other/blobs/{}", other.layer_digest(0));
    let part = Client::of(&bench)
        .with("Range", "bytes=350000-350099")
        .get(&path);
    assert_eq!(part.status, 206);
    assert_eq!(part.body, other.layers[0][350_000..350_100]);

    hub.stop();
    pull(&bench, "library/alpine", &image);
    let late = behind(&site.url(""));
    pull(&late, "library/alpine", &image);
    bench.restart();
    drop(site);
    pull(&bench, "library/alpine", &image);
    for one in [&first, &bench, &late] {
        assert_sound(one);
    }
}

#[test]
fn a_box_lets_another_in_by_a_token_and_serves_it_several_registries() {
    let quay = FakeUpstream::start();
    let image = Image::oci(3, &[50_000]);
    quay.put_image("org/x", "3", &image);
    let first = Appliance::start();
    first.ok(&["upstream", "add", "quay.io", quay.url()]);
    first.ok(&["group", "add", "acme"]);
    first.ok(&["network", "remove", "127.0.0.0/8"]);
    let scope = "write_virtual_registry";
    let token = |place: &str| {
        let arguments = ["token", "create", "--name", "site", "--scope", scope];
        first.ok(&[&arguments[..], &["--group", place]].concat())
    };

    let site = Appliance::start();
    for (name, path, group) in [
        ("quay.io", "quay.io", "mirror"),
        (
            "a.example",
            "acme/dependency_proxy/containers/quay.io",
            "acme",
        ),
    ] {
        let url = first.url(&format!("/v2/{path}"));
        site.ok(&["upstream", "add", name, &url]);
        let strangers = Client::of(&site).get(&format!("/v2/{name}/org/x/manifests/3"));
        assert_eq!(strangers.status, 404);
        let token = token(group);
        let login = ["username=site", "--password-stdin"];
        let set = ["upstream", "set", name];
        site.ok_with_input(&[&set[..], &login].concat(), token.trim());
        site.ok(&["upstream", "test", name]);
        pull(&site, &format!("{name}/org/x"), &image);
        let tags = Client::of(&site).get(&format!("/v2/{name}/org/x/tags/list"));
        assert_eq!(tags.json()["tags"], serde_json::json!(["3"]));
    }
    assert_eq!(quay.count("GET", image.layer_digest(0).hex()), 1);
    let shown = site.json(&["upstream", "status", "--json"]);
    let urls: Vec<_> = shown
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["url"].to_string())
        .collect();
    assert!(
        urls.iter().any(|url| url.ends_with("/v2/quay.io\"")),
        "{urls:?}"
    );
}

#[test]
fn a_chain_that_leads_back_to_a_box_is_refused_at_once_and_says_so() {
    let hub = FakeUpstream::start();
    hub.put_image("library/alpine", "3", &Image::oci(1, &[1_000]));
    let one = behind(hub.url());
    let two = behind(&one.url(""));
    let add = |box_: &Appliance, name: &str, to: &Appliance| {
        let url = to.url(&format!("/v2/{name}"));
        box_.ok(&["upstream", "add", name, &url, "--no-probe"]);
    };
    add(&one, "self.example", &one);
    add(&one, "far.example", &two);
    add(&two, "far.example", &one);

    let client = Client::of(&one);
    let digest = Digest::of(b"what nobody has");
    for name in ["self.example", "far.example"] {
        for path in [
            format!("/v2/{name}/x/manifests/1"),
            format!("/v2/{name}/x/manifests/{digest}"),
            format!("/v2/{name}/x/blobs/{digest}"),
            format!("/v2/{name}/x/tags/list"),
        ] {
            let began = Instant::now();
            let answer = client.get(&path);
            assert_eq!(answer.status, 508, "{path}: {}", answer.message());
            let message = answer.message();
            assert!(
                message.contains(name) && message.contains("leads back"),
                "{path}: {message}"
            );
            assert!(began.elapsed() < Duration::from_secs(10), "{path}");
        }
        let tested = one.run_cli(&["upstream", "test", name]);
        assert_eq!(tested.status.code(), Some(1));
        let said = said(&tested);
        assert!(said.contains("leads back"), "{said}");
    }
    // The rest of the chain goes on.
    assert_eq!(Client::of(&two).get(TAG).status, 200);
}
