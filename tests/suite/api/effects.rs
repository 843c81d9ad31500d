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
