//! What takes many images away at once: a repository goes as a whole or not at all, and nobody gets rid of what a rule
//! protects from them by removing what it lies in.

use std::time::Duration;

use breakwater::oci::Digest;
use serde_json::{Value, json};

use super::{Stage, stage};
use crate::support::client::Client;
use crate::support::pushing::{
    Hosted, OCI_MANIFEST, descriptor, image, must_push_blob, push_image, put_manifest,
};

const KEPT: &str = "container protected; you are not allowed to delete this package";

/// A client of the registry protocol that may do everything with `acme/api`.
fn registry(stage: &Stage, user: &str, secret: &str) -> Client {
    let client = stage.client.basic(user, secret);
    let jwt = client.token(&["repository:acme/api:pull,push,delete"]);
    stage.client.bearer(&jwt)
}

fn status(client: &Client, reference: &str) -> u16 {
    client
        .get(&format!("/v2/acme/api/manifests/{reference}"))
        .status
}

/// A box with the project `acme/api`, and its owner's token.
fn with_owner() -> (Stage, String) {
    let stage = stage();
    stage.appliance.ok(&["group", "add", "acme"]);
    stage.appliance.ok(&["project", "add", "acme/api"]);
    let (_, secret) = stage.user("boss");
    let member = ["member", "add", "acme", "boss", "--level", "owner"];
    stage.appliance.ok(&member);
    (stage, secret)
}

#[test]
fn a_repository_goes_as_a_whole_with_what_has_no_tag_or_not_at_all() {
    let (stage, secret) = with_owner();
    let pusher = registry(&stage, "boss", &secret);
    let (first, _) = push_image(&pusher, "acme/api", "a", &[b"first"]);
    push_image(&pusher, "acme/api", "a", &[b"second"]);
    push_image(&pusher, "acme/api", "z-release", &[b"third"]);
    let boss = stage.caller(&secret);
    let list = boss.ok(
        "GET",
        "/projects/acme%2Fapi/registry/repositories",
        Value::Null,
        200,
    );
    let one = format!(
        "/projects/acme%2Fapi/registry/repositories/{}",
        list[0]["id"]
    );
    let immutable = ["rule", "tag", "acme/api", "^z-", "--immutable", "--json"];
    let rule = stage.appliance.json(&immutable)["id"].to_string();
    let refused = boss.delete(&one);
    assert_eq!(refused.status, 403, "{}", refused.text());
    let kept = [first.as_str(), "a", "z-release"];
    assert_eq!(kept.map(|name| status(&pusher, name)), [200; 3]);
    stage.appliance.ok(&["rule", "remove", &rule]);
    boss.ok("DELETE", &one, Value::Null, 202);
    assert_eq!(kept.map(|name| status(&pusher, name)), [404; 3]);
    assert_eq!(boss.delete(&one).status, 404);
    // The files go with the garbage, and nothing was left dangling.
    let collected = stage
        .appliance
        .json(&["cache", "gc", "--grace", "0s", "--json"]);
    assert!(collected["files"].as_u64().unwrap() >= 3, "{collected}");
    assert_eq!(
        stage.appliance.json(&["verify", "--json"])["clean"],
        json!(true)
    );
}

#[test]
fn a_box_killed_while_a_repository_goes_has_all_of_it_or_nothing() {
    let mut hosted = Hosted::start();
    let secret = hosted.secret.clone();
    let manifests = 150;
    for milliseconds in [0, 2, 5, 9, 14, 20] {
        let client = hosted.client(&["acme/api"]);
        let config = b"{}";
        must_push_blob(&client, "acme/api", config);
        let layer = must_push_blob(&client, "acme/api", b"layer");
        for number in 0..manifests {
            let bytes = image(
                config,
                &[b"layer"],
                json!({ "annotations": { "n": number.to_string() } }),
            );
            let tag = format!("t{number}");
            let put = put_manifest(&client, "acme/api", &tag, OCI_MANIFEST, &bytes);
            assert_eq!(put.status, 201, "{put:?}");
        }
        let api = Client::of(&hosted.appliance).with("PRIVATE-TOKEN", &secret);
        let path = "/api/v4/projects/acme%2Fapi/registry/repositories";
        let id = api.get(path).json()[0]["id"].to_string();
        std::thread::scope(|scope| {
            scope.spawn(|| api.try_request("DELETE", &format!("{path}/{id}"), b""));
            std::thread::sleep(Duration::from_millis(milliseconds));
            hosted.appliance.kill();
        });
        hosted.appliance.restart();
        let client = hosted.client(&["acme/api"]);
        let tags = client.get("/v2/acme/api/tags/list?n=1000");
        let left = tags.json()["tags"].as_array().map_or(0, Vec::len);
        assert!(left == 0 || left == manifests, "{milliseconds}: {left}");
        assert_eq!(
            hosted.appliance.json(&["verify", "--json"])["clean"],
            json!(true)
        );
        let blob = client.get(&format!("/v2/acme/api/blobs/{layer}"));
        assert_eq!(blob.status, 200, "its grace has begun");
    }
}

#[test]
fn an_owner_does_not_get_rid_of_what_is_protected_by_removing_what_it_lies_in() {
    let (stage, secret) = with_owner();
    let pusher = registry(&stage, "boss", &secret);
    push_image(&pusher, "acme/api", "v1", &[b"layer"]);
    let boss = stage.caller(&secret);
    // A rule, and what it says to the owner.
    let table: &[(&[&str], &str)] = &[
        (
            &["add", "acme/api", "acme/api*", "--min-delete", "admin"],
            KEPT,
        ),
        (
            &[
                "add",
                "acme/api",
                "acme/api",
                "--tags",
                "v*",
                "--min-delete",
                "admin",
            ],
            KEPT,
        ),
        (
            &["tag", "acme/api", "^v", "--min-delete", "admin"],
            "tag protected; you are not allowed to delete this tag",
        ),
        (
            &["tag", "acme/api", "^v1$", "--immutable"],
            "tag immutable; it can neither be moved nor deleted",
        ),
    ];
    for (words, message) in table {
        let add = [&["rule"], *words, &["--json"]].concat();
        let rule = stage.appliance.json(&add)["id"].to_string();
        for path in ["/projects/acme%2Fapi", "/groups/acme"] {
            let refused = boss.delete(path);
            let text = refused.text();
            assert_eq!(refused.status, 403, "{words:?} {path}: {text}");
            assert!(
                text.contains(message) && text.contains("acme/api"),
                "{text}"
            );
        }
        assert_eq!(status(&pusher, "v1"), 200);
        // The box's own administrator is above it, and is told.
        let said = stage
            .appliance
            .ok(&["group", "remove", "acme", "--dry-run"]);
        assert!(
            said.contains("acme/api: 1 image, 1 tag, protected by a rule"),
            "{said}"
        );
        stage.appliance.ok(&["rule", "remove", &rule]);
    }
    // A rule that the caller satisfies, or that matches nothing that is there, stands in nobody's way.
    for words in [
        ["add", "acme/api", "acme/api*", "--min-delete", "owner"],
        [
            "add",
            "acme/api",
            "acme/api/other*",
            "--min-delete",
            "admin",
        ],
    ] {
        stage.appliance.ok(&[&["rule"], &words[..]].concat());
    }
    let said = stage
        .appliance
        .ok(&["project", "remove", "acme/api", "--dry-run"]);
    assert!(said.contains("would remove project acme/api"), "{said}");
    boss.ok("DELETE", "/projects/acme%2Fapi", Value::Null, 202);
    assert_eq!(status(&pusher, "v1"), 404);
    boss.ok("DELETE", "/groups/acme", Value::Null, 202);
}

#[test]
fn the_command_says_what_it_removes_and_an_administrator_passes_rules_that_let_one() {
    let (stage, secret) = with_owner();
    let pusher = registry(&stage, "boss", &secret);
    push_image(&pusher, "acme/api", "v1", &[b"layer"]);
    let rule = ["rule", "add", "acme/api", "acme/api*", "--min-delete"];
    stage.appliance.ok(&[&rule[..], &["admin"]].concat());
    assert_eq!(
        stage.caller(&secret).delete("/projects/acme%2Fapi").status,
        403
    );
    stage
        .root()
        .ok("DELETE", "/projects/acme%2Fapi", Value::Null, 202);
    stage.appliance.ok(&["project", "add", "acme/api"]);
    let pusher = registry(&stage, "boss", &secret);
    push_image(&pusher, "acme/api", "v1", &[b"layer"]);
    let no_access = ["--delete-protected-up-to", "no_access"];
    stage.appliance.ok(&[&rule[..4], &no_access[..]].concat());
    assert_eq!(stage.root().delete("/projects/acme%2Fapi").status, 403);
    let said = stage
        .appliance
        .ok(&["project", "remove", "acme/api", "--yes"]);
    assert!(
        said.contains("acme/api: 1 image, 1 tag, protected by a rule")
            && said.contains("removed project acme/api"),
        "{said}"
    );
}

#[test]
fn a_signature_is_as_protected_as_the_tag_of_what_it_signs() {
    let (stage, secret) = with_owner();
    let client = registry(&stage, "boss", &secret);
    let sign = |subject: &Digest, kind: &str| {
        let mut bytes: Value = serde_json::from_slice(&image(b"{}", &[b"sig"], json!({}))).unwrap();
        bytes["subject"] = descriptor(subject.algorithm(), OCI_MANIFEST, b"");
        bytes["subject"]["digest"] = json!(subject.as_str());
        bytes["annotations"] = json!({ "kind": kind });
        let bytes = bytes.to_string().into_bytes();
        must_push_blob(&client, "acme/api", b"{}");
        must_push_blob(&client, "acme/api", b"sig");
        let digest = Digest::of(&bytes);
        let put = put_manifest(&client, "acme/api", digest.as_str(), OCI_MANIFEST, &bytes);
        assert_eq!(put.status, 201, "{put:?}");
        digest
    };
    let (released, _) = push_image(&client, "acme/api", "v1", &[b"released"]);
    let (free, _) = push_image(&client, "acme/api", "free", &[b"free"]);
    let signature = sign(&released, "signature");
    let timestamp = sign(&signature, "signature of the signature");
    let other = sign(&free, "signature");
    let delete = |digest: &Digest| {
        let path = format!("/v2/acme/api/manifests/{digest}");
        client.request("DELETE", &path, b"")
    };
    for words in [
        &[
            "add",
            "acme/api",
            "acme/api",
            "--tags",
            "v*",
            "--min-delete",
            "admin",
        ][..],
        &["tag", "acme/api", "^v", "--min-delete", "admin"],
    ] {
        let add = [&["rule"], words, &["--json"]].concat();
        let rule = stage.appliance.json(&add)["id"].to_string();
        for digest in [&signature, &timestamp] {
            let refused = delete(digest);
            assert_eq!(refused.status, 403, "{words:?}: {refused:?}");
            assert!(refused.text().contains("protected"), "{}", refused.text());
        }
        stage.appliance.ok(&["rule", "remove", &rule]);
    }
    // An immutable tag stays what it is without its signature: that one can be replaced.
    stage
        .appliance
        .ok(&["rule", "tag", "acme/api", "^v", "--immutable"]);
    assert_eq!(delete(&released).status, 403);
    for digest in [&timestamp, &signature, &other] {
        assert_eq!(delete(digest).status, 202);
    }
}
