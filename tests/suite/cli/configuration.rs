//! `breakwater config`: what holds, who says so, and whether a server could start with it.

use serde_json::{Value, json};

use crate::cli::{stderr, stdout};
use crate::support::appliance::Appliance;

fn value<'a>(shown: &'a Value, key: &str) -> &'a Value {
    let mut values = shown.as_array().unwrap().iter();
    values.find(|value| value["key"] == key).expect(key)
}

#[test]
fn each_value_is_shown_with_its_source() {
    let toml = "[auth]\nban_after = 7\n\n[cache]\nmax_size = \"10GiB\"\n\n[upstreams.\"quay.io\"]\nusername = \"u\"\npassword_file = \"/nowhere/secret\"";
    let appliance = Appliance::builder()
        .toml(toml)
        .variable("BREAKWATER_AUTH_BAN_AFTER", "9")
        .variable("BREAKWATER_SERVER_TRUSTED_PROXIES", "10.0.0.0/8, ::1")
        .prepare();
    let shown = appliance.json(&["config", "show", "--json"]);
    let file = appliance.config();
    for (key, expected, source) in [
        (
            "data",
            json!(appliance.data()),
            json!({ "kind": "option", "name": "--data" }),
        ),
        (
            "auth.ban_after",
            json!(9),
            json!({ "kind": "environment", "variable": "BREAKWATER_AUTH_BAN_AFTER" }),
        ),
        (
            "server.trusted_proxies",
            json!(["10.0.0.0/8", "::1"]),
            json!({ "kind": "environment", "variable": "BREAKWATER_SERVER_TRUSTED_PROXIES" }),
        ),
        (
            "cache.max_size",
            json!("10GiB"),
            json!({ "kind": "file", "path": file, "line": 5 }),
        ),
        (
            "upstreams.\"quay.io\".url",
            json!("https://quay.io"),
            json!({ "kind": "default" }),
        ),
        ("audit.pulls", json!(false), json!({ "kind": "default" })),
    ] {
        let value = value(&shown, key);
        assert_eq!(
            (&value["value"], &value["source"]),
            (&expected, &source),
            "{key}"
        );
    }
    let text = appliance.ok(&["config", "show"]);
    let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap();
    assert!(
        line("cache.max_size ").ends_with("breakwater.toml, line 5"),
        "{text}"
    );
    assert!(line("auth.ban_after ").contains("9  "), "{text}");
    assert!(line("log.level ").ends_with("default"), "{text}");
}

#[test]
fn what_keeps_a_server_from_starting_is_said_before_it_is_started() {
    let good = Appliance::builder().prepare();
    let said = good.ok(&["config", "check"]);
    assert!(said.contains("breakwater.toml can be used"), "{said}");
    for (toml, parts) in [
        (
            "[cache]\nmaxsize = \"1\"",
            &["line 2", "cache.max_size"][..],
        ),
        ("[cache]\nmax_size = 7", &["line 2", "`cache.max_size`"]),
        (
            "[upstreams.\"quay.io\"]\nusername = \"u\"\npassword_file = \"/nowhere/secret\"",
            &["/nowhere/secret", "No such file"],
        ),
        (
            "[tls]\ncertificate = \"/nowhere/server.crt\"\nkey = \"/nowhere/server.key\"",
            &["/nowhere/server.crt"],
        ),
    ] {
        let bad = Appliance::builder().toml(toml).prepare();
        let output = bad.run_cli(&["config", "check"]);
        let said = stdout(&output) + &stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for part in parts {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}
