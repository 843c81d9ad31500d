//! A change by REST bites at the next request, in the registry protocol too, and is on record.

use serde_json::json;

use super::{stage, stage_with};
use crate::support::appliance::Appliance;
use crate::support::fake_upstream::{FakeUpstream, Image};

const IMAGE: &str = "acme/dependency_proxy/containers/alpine";
const SCOPE: &str = "repository:acme/dependency_proxy/containers/alpine:pull";

#[test]
fn a_change_bites_at_the_next_request_of_the_registry() {
    let fake = FakeUpstream::start();
    fake.put_image("library/alpine", "latest", &Image::oci(1, &[2_000]));
    let stage = stage_with(Appliance::builder().upstream(fake.url()));
    let root = stage.root();
    let acme = root.made("/groups", json!({ "path": "acme" }));
    let alice = root.made("/users", json!({ "username": "alice", "service": true }));
    root.ok(
        "POST",
        "/groups/acme/members",
        json!({ "user_id": alice, "access_level": 10 }),
        201,
    );
    let new = json!({ "name": "pull", "scopes": ["read_registry", "write_registry"] });
    let token = root.ok(
        "POST",
        &format!("/users/{alice}/personal_access_tokens"),
        new,
        201,
    );
    let jwt = stage
        .client
        .basic("alice", token["token"].as_str().unwrap())
        .token(&[SCOPE]);
    let client = stage.client.bearer(&jwt);
    let pull = || client.get(&format!("/v2/{IMAGE}/manifests/latest")).status;
    assert_eq!(pull(), 200);
    let changes: &[(&str, String, serde_json::Value, u16)] = &[
        (
            "DELETE",
            format!("/groups/{acme}/members/{alice}"),
            json!(null),
            404,
        ),
        (
            "POST",
            "/groups/acme/members".into(),
            json!({ "user_id": alice, "access_level": 10 }),
            200,
        ),
        (
            "PUT",
            "/groups/acme".into(),
            json!({ "dependency_proxy_enabled": false }),
            404,
        ),
        (
            "PUT",
            "/groups/acme".into(),
            json!({ "dependency_proxy_enabled": true }),
            200,
        ),
        ("POST", format!("/users/{alice}/block"), json!({}), 401),
        ("POST", format!("/users/{alice}/unblock"), json!({}), 200),
        (
            "DELETE",
            format!("/personal_access_tokens/{}", token["id"]),
            json!(null),
            401,
        ),
    ];
    for (method, path, body, expected) in changes {
        let body = Some(body.clone()).filter(|body| !body.is_null());
        let answer = root.call(method, path, body);
        assert!(answer.status < 300, "{method} {path}: {}", answer.text());
        assert_eq!(pull(), *expected, "after {method} {path}");
    }
}

#[test]
fn a_change_by_command_bites_at_the_next_request_of_the_api() {
    let stage = stage();
    let (alice, _) = stage.user("alice");
    stage.appliance.ok(&["group", "add", "acme"]);
    let status = || alice.get("/groups/acme").status;
    assert_eq!(status(), 404);
    stage
        .appliance
        .ok(&["member", "add", "acme", "alice", "--level", "guest"]);
    assert_eq!(status(), 200);
    stage.appliance.ok(&["user", "block", "alice"]);
    assert_eq!(status(), 401);
}

#[test]
fn root_s_first_password_is_forgotten_when_it_is_changed() {
    let stage = stage();
    let root = stage.root();
    let file = stage.appliance.data().join("initial_root_password");
    assert!(file.exists());
    let id = stage.user_id("root");
    root.ok(
        "PUT",
        &format!("/users/{id}"),
        json!({ "password": "another good password" }),
        200,
    );
    assert!(!file.exists());
    let client = stage.client.basic("root", "another good password");
    assert_eq!(client.get("/v2/").status, 200);
}

#[test]
fn a_purge_frees_what_nobody_else_has_pulled_and_no_rule_protects() {
    let fake = FakeUpstream::start();
    for (number, name, layer) in [
        (1, "own", 50_000),
        (2, "shared", 60_000),
        (3, "guarded", 70_000),
    ] {
        fake.put_image(
            &format!("library/{name}"),
            "latest",
            &Image::oci(number, &[layer]),
        );
    }
    let stage = stage_with(
        Appliance::builder()
            .upstream(fake.url())
            .toml("[cache]\ntag_ttl = \"1h\""),
    );
    let root = stage.root();
    for group in ["acme", "other"] {
        root.made("/groups", json!({ "path": group }));
    }
    let (owner, secret) = stage.user("owner");
    for group in ["acme", "other"] {
        root.ok(
            "POST",
            &format!("/groups/{group}/members"),
            json!({ "username": "owner", "access_level": 50 }),
            201,
        );
    }
    let pull = |group: &str, name: &str| {
        let place = format!("{group}/dependency_proxy/containers/{name}");
        let jwt = stage
            .client
            .basic("owner", &secret)
            .token(&[&format!("repository:{place}:pull")]);
        let client = stage.client.bearer(&jwt);
        let manifest = client.get(&format!("/v2/{place}/manifests/latest"));
        if manifest.status == 200 {
            for layer in manifest.json()["layers"].as_array().unwrap() {
                let digest = layer["digest"].as_str().unwrap();
                let blob = client.get(&format!("/v2/{place}/blobs/{digest}"));
                assert!(blob.status == 200 && blob.complete, "{name}: {}", blob.head);
            }
        }
        (manifest.status, manifest.cache().to_owned())
    };
    for (group, name) in [
        ("acme", "own"),
        ("acme", "shared"),
        ("other", "shared"),
        ("acme", "guarded"),
    ] {
        assert_eq!(pull(group, name).0, 200, "{group} {name}");
    }
    let rule =
        json!({ "repository_path_pattern": "guarded", "minimum_access_level_for_delete": "admin" });
    root.ok(
        "POST",
        "/groups/acme/registry/protection/repository/rules",
        rule,
        201,
    );
    let before = root.ok("GET", "/cache/statistics", json!(null), 200);

    owner.ok(
        "DELETE",
        "/groups/acme/dependency_proxy/cache",
        json!(null),
        202,
    );

    let after = root.ok("GET", "/cache/statistics", json!(null), 200);
    let freed = |field: &str| before[field].as_u64().unwrap() - after[field].as_u64().unwrap();
    assert_eq!(
        (freed("manifests"), freed("tags")),
        (1, 1),
        "{before} {after}"
    );
    assert!(
        freed("bytes") >= 50_000 && freed("bytes") < 60_000,
        "{before} {after}"
    );
    let images = root.ok("GET", "/cache/images", json!(null), 200);
    let names: Vec<_> = images
        .as_array()
        .unwrap()
        .iter()
        .map(|image| image["repository"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["library/guarded", "library/shared"]);
    stage.appliance.ok(&["verify"]);
    assert_eq!(pull("other", "shared"), (200, "hit".to_owned()));
    assert_eq!(
        pull("acme", "own"),
        (200, "miss".to_owned()),
        "fetched anew"
    );
    // An administrator is above that rule; a guest may purge nothing.
    let (guest, _) = stage.user("guest");
    root.ok(
        "POST",
        "/groups/acme/members",
        json!({ "username": "guest", "access_level": 40 }),
        201,
    );
    assert_eq!(
        guest.delete("/groups/acme/dependency_proxy/cache").status,
        403
    );
    root.ok(
        "DELETE",
        "/groups/acme/dependency_proxy/cache",
        json!(null),
        202,
    );
    let images = root.ok("GET", "/cache/images", json!(null), 200);
    assert_eq!(images.as_array().unwrap().len(), 1, "{images}");
    stage.appliance.ok(&["verify"]);
}
