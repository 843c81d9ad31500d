//! `--json` of what makes nothing that could be shown: what was done, by its name.

use serde_json::{Value, json};

use crate::cli::{initialised, stdout};

#[test]
fn what_is_removed_or_changed_is_told_as_json() {
    let appliance = initialised();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (have, key) = (path("have"), path("key"));
    let (file, whole) = (path("b.sqlite"), path("all"));
    for made in [
        &["user", "add", "alice", "--service"][..],
        &["group", "add", "acme"],
        &["project", "add", "acme/api"],
        &["member", "add", "acme", "alice", "--level", "developer"],
        &["rule", "add", "acme/api", "*", "--min-push", "maintainer"],
        &["network", "add", "10.1.0.0/16", "--ability", "read"],
        &[
            "network",
            "add",
            "10.2.0.0/16",
            "--group",
            "acme",
            "--ability",
            "read",
        ],
        &[
            "upstream",
            "add",
            "quay.io",
            "https://quay.io",
            "--no-probe",
        ],
        &[
            "registry",
            "add",
            "store",
            "--issuer",
            "b",
            "--audience",
            "c",
        ],
        &["cache", "pin", "alpine"],
        &["webhook", "add", "https://example.com"],
        &[
            "token",
            "create",
            "--name",
            "t",
            "--user",
            "alice",
            "--scope",
            "read_registry",
        ],
        &[
            "feature",
            "enable",
            "dependency_proxy_split_abilities",
            "--group",
            "acme",
        ],
    ] {
        appliance.ok(made);
    }
    let rule = appliance.json(&["rule", "list", "acme/api", "--json"])[0]["id"].to_string();
    let token =
        appliance.json(&["token", "list", "--user", "alice", "--json"])[0]["id"].to_string();
    let number = |id: &str| id.parse::<i64>().unwrap();
    let flag = "dependency_proxy_split_abilities";
    for (arguments, expected) in [
        (
            &["user", "block", "alice"][..],
            json!({ "blocked": "alice" }),
        ),
        (
            &["user", "unblock", "alice"],
            json!({ "unblocked": "alice" }),
        ),
        (
            &["member", "remove", "acme", "alice"],
            json!({ "removed": "alice", "from": "acme" }),
        ),
        (
            &["rule", "remove", &rule],
            json!({ "removed": number(&rule) }),
        ),
        (
            &["network", "remove", "10.1.0.0/16"],
            json!({ "removed": "10.1.0.0/16" }),
        ),
        (
            &["network", "remove", "10.2.0.0/16", "--group", "acme"],
            json!({ "removed": "10.2.0.0/16", "group": "acme" }),
        ),
        (
            &["upstream", "remove", "quay.io"],
            json!({ "removed": "quay.io" }),
        ),
        (&["webhook", "remove", "1"], json!({ "removed": 1 })),
        (
            &["registry", "remove", "store"],
            json!({ "removed": "store" }),
        ),
        (
            &["token", "revoke", &token],
            json!({ "revoked": number(&token), "with_it": [] }),
        ),
        (
            &["feature", "reset", flag, "--group", "acme"],
            json!({ "reset": flag, "group": "acme" }),
        ),
        (
            &["cache", "unpin", "alpine"],
            json!([{ "pattern": "docker.io/library/alpine", "was_pinned": true }]),
        ),
        (&["user", "remove", "alice"], json!({ "removed": "alice" })),
        (&["backup", &file], json!({ "file": file })),
        (
            &["backup", "--nightly"],
            json!({ "saved": appliance.data().join("saved") }),
        ),
    ] {
        let told = appliance.json(&[arguments, &["--json"]].concat());
        assert_eq!(told, expected, "{arguments:?}");
    }
    for (arguments, field, expected) in [
        (
            &["project", "remove", "acme/api", "--dry-run"][..],
            "dry_run",
            json!(true),
        ),
        (
            &["project", "remove", "acme/api", "--dry-run"],
            "would_remove",
            json!("acme/api"),
        ),
        (
            &["group", "remove", "acme", "--dry-run"],
            "removed",
            json!(null),
        ),
        (
            &["project", "remove", "acme/api"],
            "removed",
            json!("acme/api"),
        ),
        (&["group", "remove", "acme"], "removed", json!("acme")),
        (&["offline", "on"], "offline", json!(true)),
        (&["offline", "off"], "offline", json!(false)),
        (&["have", "-o", &have], "digests", json!(0)),
        (&["bundle", "key", "-o", &key], "file", json!(key)),
        (&["backup", "--with-images", &whole], "files", json!(0)),
        (&["config", "check"], "is_usable", json!(true)),
        (&["init"], "is_new", json!(false)),
        (&["restore", &file], "restored_from", json!(file)),
        (&["restore", &whole], "restored_from", json!(whole)),
    ] {
        let told = appliance.json(&[arguments, &["--json"]].concat());
        assert_eq!(told[field], expected, "{arguments:?}: {told}");
    }
    let password = ["user", "passwd", "root", "--password-stdin", "--json"];
    let told = appliance.ok_with_input(&password, "correct horse 7\n");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told, json!({ "password_changed": "root" }));

    std::fs::write(
        appliance.config(),
        "[upstreams.\"a.example\"]\nurl = \"https://a.example\"\nca = \"/nowhere\"\n",
    )
    .unwrap();
    let output = appliance.run_cli(&["config", "check", "--json"]);
    let told: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        told["faults"][0].as_str().unwrap().contains("/nowhere"),
        "{told}"
    );
}
