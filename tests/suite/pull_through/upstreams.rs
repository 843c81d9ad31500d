//! Which upstream a path means, what is sent there, and what never is.

use super::{ALWAYS_ASK, assert_error, blob, manifest, pull, stage};
use crate::support::appliance::Appliance;
use crate::support::client::{Client, assert_sound};
use crate::support::fake_upstream::{Answer, Bearer, FakeUpstream, Image};

/// A box with `docker.io` and `quay.example`, which have different images of the same name.
fn two() -> (FakeUpstream, FakeUpstream, Appliance, Client) {
    let (hub, quay) = (FakeUpstream::start(), FakeUpstream::start());
    let toml = format!(
        "{ALWAYS_ASK}\n[upstreams.\"quay.example\"]\nurl = \"{}\"",
        quay.url()
    );
    let appliance = Appliance::builder().upstream(hub.url()).toml(&toml).start();
    let client = Client::of(&appliance);
    (hub, quay, appliance, client)
}

#[test]
fn a_path_names_its_upstream() {
    let (hub, quay, appliance, client) = two();
    let (at_hub, at_quay) = (Image::oci(1, &[10]), Image::oci(2, &[10]));
    for name in ["library/tool", "org/tool"] {
        hub.put_image(name, "1", &at_hub);
    }
    for name in ["tool", "org/tool"] {
        quay.put_image(name, "1", &at_quay);
    }
    // path, query → the repository that is asked for, and where
    let table: &[(&str, &str, &str, bool)] = &[
        ("tool", "", "library/tool", false),
        ("library/tool", "", "library/tool", false),
        ("org/tool", "", "org/tool", false),
        ("docker.io/tool", "", "library/tool", false),
        ("docker.io/org/tool", "", "org/tool", false),
        ("tool", "?ns=docker.io", "library/tool", false),
        ("quay.example/tool", "", "tool", true),
        ("quay.example/org/tool", "", "org/tool", true),
        ("tool", "?ns=quay.example", "tool", true),
        ("org/tool", "?ns=quay.example", "org/tool", true),
    ];
    for (name, query, repository, is_quay) in table {
        let (asked, other) = if *is_quay {
            (&quay, &hub)
        } else {
            (&hub, &quay)
        };
        let image = if *is_quay { &at_quay } else { &at_hub };
        asked.forget_requests();
        other.forget_requests();
        let got = client.get(&format!("{}{query}", manifest(name, "1")));
        assert_eq!(got.body, image.manifest, "{name}{query}: {}", got.text());
        let namespace = if *is_quay {
            "quay.example"
        } else {
            "docker.io"
        };
        assert_eq!(got.field("OCI-Namespace"), Some(namespace));
        let expected = format!("/v2/{repository}/manifests/1");
        assert!(
            asked
                .requests()
                .iter()
                .all(|request| request.path == expected)
        );
        assert!(!asked.requests().is_empty() && other.requests().is_empty());
        let layer = client.get(&format!("{}{query}", blob(name, image.layer_digest(0))));
        assert_eq!(layer.body, image.layers[0], "{name}{query}");
        // `ns` is for us and goes no further.
        assert!(
            asked
                .requests()
                .iter()
                .all(|request| !request.query.contains("ns="))
        );
    }
    let (tags, page) = (
        client.get("/v2/quay.example/tool/tags/list"),
        "/v2/org/tool/tags/list?ns=quay.example",
    );
    assert_eq!(tags.json()["tags"], serde_json::json!(["1"]));
    quay.put_image("org/tool", "2", &at_quay);
    let paged = client.get(&format!("{page}&n=1"));
    assert!(
        paged
            .field("Link")
            .is_some_and(|link| link.contains("ns=quay.example")),
        "{}",
        paged.head
    );
    assert_sound(&appliance);
}

#[test]
fn an_unknown_host_is_no_upstream_and_nothing_is_sent() {
    let (hub, quay, appliance, client) = two();
    for path in [
        "/v2/evil.example/tool/manifests/1",
        "/v2/127.0.0.1:80/tool/manifests/1",
        "/v2/localhost/tool/manifests/1",
        "/v2/registry-1.docker.io/tool/manifests/1",
        "/v2/169.254.169.254/latest/manifests/1",
        "/v2/tool/manifests/1?ns=evil.example",
        "/v2/tool/tags/list?ns=127.0.0.1:80",
    ] {
        assert_error(&client.get(path), 404, "NAME_UNKNOWN", "");
    }
    let own = format!("/v2/{}/tool/manifests/1", hub.address());
    assert_error(&client.get(&own), 404, "NAME_UNKNOWN", "");
    assert_eq!((hub.connections(), quay.connections()), (0, 0));
    assert_sound(&appliance);
}

#[test]
fn a_blob_is_followed_to_another_host_without_our_credentials() {
    let (hub, cdn) = (FakeUpstream::start(), FakeUpstream::start_on("127.0.0.2"));
    let image = Image::oci(1, &[50_000]);
    hub.put_image("library/alpine", "latest", &image);
    cdn.put_image("library/alpine", "latest", &image);
    hub.require_bearer(Bearer::default());
    hub.on("GET", "/blobs/").always(Answer::redirect(&format!(
        "{}{{path}}?signature=s3cr3t",
        cdn.url()
    )));
    let appliance = Appliance::with_upstream(hub.url());
    pull(&Client::of(&appliance), "alpine", "latest", &image);
    let at_cdn = cdn.requests();
    assert_eq!(at_cdn.len(), 2);
    assert!(
        at_cdn
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
    let asked = hub.requests_for("GET", "/blobs/");
    assert!(
        asked
            .iter()
            .any(|request| request.header("authorization").is_some())
    );
    assert!(
        !appliance.log().contains("s3cr3t"),
        "a signature is a secret"
    );
    assert_sound(&appliance);
}

#[test]
fn the_upstreams_credentials_reach_the_upstream_and_nobody_else() {
    let password = "Upstr3am-S3cret";
    for kind in ["basic", "bearer"] {
        let fake = FakeUpstream::start();
        let image = Image::oci(1, &[1_000]);
        fake.put_image("library/alpine", "latest", &image);
        match kind {
            "basic" => fake.require_basic("robot", password),
            _ => fake.require_bearer(Bearer {
                credentials: Some(("robot".to_owned(), password.to_owned())),
                ..Bearer::default()
            }),
        }
        let secrets = tempfile::tempdir().unwrap();
        let file = secrets.path().join("password");
        std::fs::write(&file, format!("{password}\n")).unwrap();
        let appliance = Appliance::builder()
            .toml(&format!(
                "[upstreams.\"docker.io\"]\nurl = \"{}\"\nusername = \"robot\"\npassword_file = \"{}\"",
                fake.url(),
                file.display()
            ))
            .start();
        let client = Client::of(&appliance);
        // What a client sends us stays with us.
        let mine = client.bearer(&client.token(&["repository:library/alpine:pull"]));
        let words = pull(&mine, "library/alpine", "latest", &image);
        assert_eq!(words, ["miss"; 3], "{kind}");
        let token = mine_token(&client);
        for request in fake.requests() {
            let sent = request.header("authorization").unwrap_or_default();
            assert!(
                !sent.contains(&token) && !sent.contains("eyJ"),
                "{kind}: our JWT left the box"
            );
        }
        if kind == "bearer" {
            assert_eq!(fake.count("GET", "/token"), 1, "one token for one image");
        }
        assert!(!appliance.log().contains(password));
        assert_sound(&appliance);
    }
}

fn mine_token(client: &Client) -> String {
    client.token(&["repository:library/alpine:pull"])
}

#[test]
fn wrong_credentials_for_the_upstream_are_no_outage_of_what_is_cached() {
    let (fake, image, appliance, client) = stage(ALWAYS_ASK);
    pull(&client, "alpine", "latest", &image);
    fake.require_basic("somebody", "else");
    let words = pull(&client, "alpine", "latest", &image);
    assert_eq!(words, ["stale", "hit", "hit", "hit"]);
    let denied = client.get(&manifest("alpine", "other"));
    assert_error(&denied, 404, "MANIFEST_UNKNOWN", "credentials");
    assert_sound(&appliance);
}

#[test]
fn an_upstreams_word_opens_nothing_that_came_from_another() {
    let (honest, sly) = (FakeUpstream::start(), FakeUpstream::start());
    let image = Image::oci(7, &[40_000]);
    honest.put_image("app", "1", &image);
    sly.on("HEAD", "").always(Answer::body(200, "", ""));
    let appliance = Appliance::start();
    for (group, fake) in [("a", &honest), ("b", &sly)] {
        appliance.ok(&["group", "add", group]);
        appliance.ok(&[
            "upstream",
            "add",
            "r.example",
            fake.url(),
            "--group",
            group,
            "--allow-private-addresses",
            "--no-probe",
        ]);
        appliance.ok(&[
            "network",
            "add",
            "127.0.0.0/8",
            "--ability",
            "fill",
            "--group",
            group,
        ]);
    }
    let path = |group: &str, digest: &breakwater::oci::Digest| {
        format!("/v2/{group}/dependency_proxy/containers/r.example/app/blobs/{digest}")
    };
    let client = Client::of(&appliance);
    let manifest = client.get("/v2/a/dependency_proxy/containers/r.example/app/manifests/1");
    assert_eq!(manifest.body, image.manifest, "{}", manifest.text());
    let layer = image.layer_digest(0);
    assert_eq!(client.get(&path("a", &layer)).body, image.layers[0]);
    for digest in [&layer, &image.digest()] {
        let got = client.get(&path("b", digest));
        assert_error(&got, 404, "BLOB_UNKNOWN", "r.example/app");
    }
    assert_eq!(sly.count("HEAD", ""), 0, "nobody learns what others keep");
    // Once it gives the bytes, they are kept for it as well, once on disk.
    sly.put_blob("app", &image.layers[0]);
    assert_eq!(client.get(&path("b", &layer)).body, image.layers[0]);
    assert_eq!(client.get(&path("b", &layer)).cache(), "hit");
    assert_sound(&appliance);
}

#[test]
fn an_upstream_that_cannot_confirm_by_head_is_asked_by_get() {
    for status in [403, 405, 501, 400] {
        let (fake, image, appliance, client) = stage("");
        let (bytes, digest) = (&image.layers[0], image.layer_digest(0));
        assert_eq!(client.get(&blob("library/alpine", &digest)).body, *bytes);
        fake.put_blob("acme/copy", bytes);
        fake.on("HEAD", "/blobs/").always(Answer::status(status));
        let copy = client.get(&blob("acme/copy", &digest));
        assert_eq!(copy.status, 200, "{status}: {}", copy.text());
        assert_eq!(copy.body, *bytes);
        let nowhere = client.get(&blob("acme/other", &digest));
        assert_error(&nowhere, 404, "BLOB_UNKNOWN", "docker.io/acme/other");
        assert_sound(&appliance);
    }
}
