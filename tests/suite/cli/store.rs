//! Commands that read and change the store, without a server.

use serde_json::{Value, json};

use super::{initialised, stderr};
use crate::support::appliance::{Appliance, run_with_input};

#[test]
fn a_token_is_printed_alone_and_once() {
    let appliance = initialised();
    appliance.ok(&["user", "add", "ci", "--service"]);
    let create = [
        "token",
        "create",
        "--name",
        "build farm",
        "--user",
        "ci",
        "--scope",
        "write_dependency_proxy",
        "--scope",
        "read_registry",
    ];
    let secret = appliance.ok(&create);
    let secret = secret.strip_suffix('\n').unwrap();
    assert_eq!(secret.len(), 36, "{secret}");
    assert!(
        secret.starts_with("bwp_") && secret[4..].bytes().all(|b| b.is_ascii_alphanumeric()),
        "{secret}"
    );

    let created = appliance.json(&[&create[..], &["--expires", "never", "--json"]].concat());
    let mut names: Vec<_> = created
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "active",
            "created_at",
            "created_by",
            "expires_at",
            "id",
            "last_used_at",
            "last_used_ips",
            "made_by",
            "name",
            "revoked",
            "scopes",
            "token",
            "user_id"
        ]
    );
    assert!(created["user_id"].is_i64(), "it is a personal one");
    assert_eq!(
        created["scopes"],
        json!(["read_registry", "write_virtual_registry"])
    );
    assert_eq!(created["expires_at"], Value::Null);

    let list = appliance.ok(&["token", "list", "--json"]);
    assert!(!list.contains(secret) && !list.contains(created["token"].as_str().unwrap()));
    let stored = std::fs::read(appliance.data().join("access.sqlite")).unwrap();
    let wal = std::fs::read(appliance.data().join("access.sqlite-wal")).unwrap_or_default();
    for bytes in [stored, wal] {
        assert!(
            !bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes())
        );
    }
}

#[test]
fn lists_have_the_shapes_of_the_interface() {
    let appliance = initialised();
    appliance.ok_with_input(
        &["user", "add", "alice", "--password-stdin"],
        "correct horse\n",
    );
    appliance.ok(&["user", "add", "ci", "--service"]);
    appliance.ok(&["user", "block", "ci"]);
    appliance.ok(&["group", "add", "acme", "--visibility", "public"]);
    appliance.ok(&["group", "add", "acme/backend"]);
    appliance.ok(&[
        "group",
        "set",
        "acme/backend",
        "dependency_proxy_enabled=false",
    ]);
    appliance.ok(&["member", "add", "acme", "alice", "--level", "developer"]);
    appliance.ok(&[
        "token",
        "create",
        "--name",
        "t",
        "--user",
        "alice",
        "--scope",
        "api",
        "--expires",
        "30d",
    ]);
    appliance.ok(&[
        "network",
        "add",
        "10.0.0.0/8",
        "--ability",
        "read",
        "--group",
        "acme",
    ]);

    let list = |arguments: &[&str]| match appliance.json(&[arguments, &["--json"]].concat()) {
        Value::Array(items) => items,
        other => panic!("{arguments:?}: {other}"),
    };
    let pick = |items: &[Value], names: &[&str]| -> Vec<Value> {
        items
            .iter()
            .map(|item| names.iter().map(|name| item[*name].clone()).collect())
            .collect()
    };

    let users = list(&["user", "list"]);
    assert_eq!(
        pick(&users, &["username", "state", "is_admin", "bot"]),
        [
            json!(["alice", "active", false, false]),
            json!(["ci", "blocked", false, true]),
            json!(["root", "active", true, false])
        ]
    );
    assert!(users.iter().all(|user| user.get("password_hash").is_none()));
    assert!(users[0]["created_at"].as_str().unwrap().ends_with('Z'));

    let mut groups = list(&["group", "list"]);
    groups.retain(|group| group["full_path"] != "mirror");
    assert_eq!(
        pick(
            &groups,
            &[
                "full_path",
                "path",
                "visibility",
                "dependency_proxy_enabled"
            ]
        ),
        [
            json!(["acme", "acme", "public", true]),
            json!(["acme/backend", "backend", "private", false])
        ]
    );
    assert_eq!(groups[1]["parent_id"], groups[0]["id"]);

    let members = list(&["member", "list", "acme"]);
    assert_eq!(
        pick(&members, &["username", "access_level"]),
        [json!(["alice", 30])]
    );

    let tokens = list(&["token", "list", "--user", "alice"]);
    assert_eq!(
        pick(
            &tokens,
            &[
                "name",
                "kind",
                "scopes",
                "revoked",
                "active",
                "last_used_at",
                "created_by"
            ]
        ),
        [json!(["t", "personal", ["api"], false, true, null, "box"])]
    );
    assert!(tokens[0]["id"].is_i64() && tokens[0]["expires_at"].is_string());
    assert_eq!(list(&["token", "list", "acme"]), [] as [Value; 0]);

    let networks = list(&["network", "list"]);
    assert!(
        pick(&networks, &["cidr", "ability", "group_path"]).contains(&json!([
            "10.0.0.0/8",
            "read",
            "acme"
        ]))
    );
    assert!(
        pick(&networks, &["cidr", "ability", "group_path"]).contains(&json!([
            "127.0.0.0/8",
            "fill",
            null
        ]))
    );

    let upstreams = list(&["upstream", "list"]);
    assert_eq!(
        pick(&upstreams, &["name", "url", "breaker"]),
        [json!(["docker.io", "http://127.0.0.1:9", null])]
    );
    assert_eq!(list(&["cache", "list"]), [] as [Value; 0]);
    let stats = appliance.json(&["cache", "stats", "--json"]);
    assert_eq!((&stats["blobs"], &stats["bytes"]), (&json!(0), &json!(0)));
    let report = appliance.json(&["verify", "--json"]);
    assert_eq!(
        (&report["clean"], &report["damage"]),
        (&json!(true), &json!([]))
    );
}

#[test]
fn lists_are_tables_for_people() {
    let appliance = initialised();
    appliance.ok(&["user", "add", "ci", "--service"]);
    let users = appliance.ok(&["user", "list"]);
    let mut lines = users.lines();
    assert!(lines.next().unwrap().starts_with("ID"), "{users}");
    assert!(
        lines.any(|line| line.contains("ci") && line.contains("active")),
        "{users}"
    );
    for list in [
        &["group", "list"][..],
        &["network", "list"],
        &["token", "list"],
        &["cache", "list"],
        &["upstream", "list"],
        &["member", "list", "mirror"],
    ] {
        assert!(!appliance.ok(list).is_empty(), "{list:?}");
    }
    assert!(appliance.ok(&["verify"]).contains("nothing is damaged"));
}

#[test]
fn what_was_added_can_be_taken_back() {
    let appliance = initialised();
    appliance.ok(&["user", "add", "ci", "--service"]);
    appliance.ok(&["group", "add", "acme"]);
    appliance.ok(&["member", "add", "acme", "ci", "--level", "guest"]);
    appliance.ok(&["network", "add", "10.0.0.0/8", "--ability", "read"]);
    let token = appliance.json(&[
        "token", "create", "--name", "t", "--user", "ci", "--scope", "api", "--json",
    ]);
    let id = token["id"].to_string();
    appliance.ok(&["token", "revoke", &id]);
    appliance.ok(&["token", "revoke", &id]);
    assert_eq!(
        appliance.json(&["token", "list", "--json"])[0]["active"],
        false
    );
    appliance.ok(&["user", "block", "ci"]);
    appliance.ok(&["user", "unblock", "ci"]);
    let users = appliance.json(&["user", "list", "--json"]);
    assert_eq!(
        (&users[0]["username"], &users[0]["state"]),
        (&json!("ci"), &json!("active"))
    );
    appliance.ok(&["member", "remove", "acme", "ci"]);
    assert_eq!(
        appliance
            .run_cli(&["member", "remove", "acme", "ci"])
            .status
            .code(),
        Some(1)
    );
    appliance.ok(&["network", "remove", "10.0.0.0/8"]);
    appliance.ok(&["group", "remove", "acme", "--yes"]);
    appliance.ok(&["user", "remove", "ci"]);
    assert_eq!(
        appliance.run_cli(&["user", "remove", "ci"]).status.code(),
        Some(1)
    );
}

#[test]
fn init_makes_a_store_once_and_roots_first_password_goes_with_it() {
    let appliance = Appliance::builder().prepare();
    let first = appliance.ok(&["init"]);
    assert!(first.contains("initial_root_password"), "{first}");
    let password = appliance.root_password();
    assert!(
        !first.contains(&password),
        "the password itself is not printed"
    );
    let again = appliance.ok(&["init"]);
    assert!(again.contains("already"), "{again}");
    assert_eq!(
        appliance.root_password(),
        password,
        "the second run changes nothing"
    );

    appliance.ok_with_input(
        &["user", "add", "alice", "--password-stdin"],
        "correct horse\n",
    );
    appliance.ok_with_input(
        &["user", "passwd", "alice", "--password-stdin"],
        "battery staple\n",
    );
    assert!(appliance.data().join("initial_root_password").exists());
    for (input, part) in [("", "no password"), ("\n", "no password"), ("short\n", "8")] {
        let output = run_with_input(
            &mut appliance.command(&["user", "passwd", "root", "--password-stdin"]),
            input,
        );
        assert!(
            !output.status.success() && stderr(&output).contains(part),
            "{input:?}: {}",
            stderr(&output)
        );
    }
    assert!(appliance.data().join("initial_root_password").exists());
    appliance.ok_with_input(
        &["user", "passwd", "root", "--password-stdin"],
        "a new password\r\n",
    );
    assert!(!appliance.data().join("initial_root_password").exists());
}
