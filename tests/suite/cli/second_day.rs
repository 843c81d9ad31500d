//! The questions of the second day: how the box is, what is in it, whose it is, who did what.

use serde_json::json;

use crate::cli::{initialised, stderr, stdout};
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image};
use crate::support::pushing::{Hosted, push_image};

#[test]
fn status_tells_on_one_screen_how_the_box_is_with_a_server_and_without() {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[1_000]);
    fake.put_image("library/alpine", "latest", &image);
    let mut appliance = Appliance::with_upstream(fake.url());
    let client = Client::of(&appliance);
    for _ in 0..4 {
        let got = client.get("/v2/library/alpine/manifests/latest");
        assert_eq!(got.status, 200);
    }
    appliance.ok(&[
        "backup",
        appliance.data().join("b.sqlite").to_str().unwrap(),
    ]);
    let text = appliance.ok(&["status"]);
    assert!(text.lines().count() <= 24, "one screen: {text}");
    for part in [
        "up since ",
        &*format!("http://{}", appliance.address()),
        "offline      no",
        "75 % of 4 answers",
        "in 1 manifest, 1 tag;",
        "0 B in 0 images",
        "docker.io",
        "closed",
        " (see `breakwater doctor`)",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let status = appliance.json(&["status", "--json"]);
    assert_eq!(status["server"]["listening"], json!([appliance.url("")]));
    assert_eq!(status["status"]["activity"]["served_from_cache"], 3);
    assert!(status["status"]["last_backup_at"].is_string(), "{status}");
    // The first password lies there yet.
    assert!(
        status["doctor"]["warnings"].as_u64().unwrap() >= 1,
        "{status}"
    );
    appliance.ok(&["offline", "on"]);
    assert!(appliance.ok(&["status"]).contains("yes, by command"));
    let findings = appliance.run_cli(&["doctor", "--json"]);
    assert!(stdout(&findings).contains("the box is offline on purpose"));
    appliance.stop();
    let output = appliance.run_cli(&["status"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(text.contains("no server runs on "), "{text}");
    assert!(text.contains("in 1 manifest, 1 tag;"), "{text}");
}

#[test]
fn the_version_is_what_the_rest_api_says() {
    let appliance = Appliance::start();
    let root = appliance.token("root", &["read_api"]);
    let client = Client::of(&appliance).with("PRIVATE-TOKEN", &root);
    let version = client.get("/api/v4/version").json();
    assert_eq!(appliance.json(&["version", "--json"]), version);
    let said = appliance.ok(&["version"]);
    assert_eq!(
        said.trim(),
        format!("breakwater {}", version["version"].as_str().unwrap())
    );
}

#[test]
fn groups_projects_users_and_tokens_are_shown_with_what_they_hold() {
    let hosted = Hosted::start();
    let appliance = &hosted.appliance;
    appliance.ok(&["group", "set", "acme", "quota=1GiB"]);
    let client = hosted.client(&["acme/api/web"]);
    push_image(&client, "acme/api/web", "v1", &[&[7; 5_000]]);
    let token = appliance.json(&[
        "token",
        "create",
        "--name",
        "farm",
        "--group",
        "acme",
        "--scope",
        "read_registry",
        "--ttl",
        "3d",
        "--json",
    ]);
    let id = token["id"].to_string();

    let group = appliance.json(&["group", "show", "acme", "--json"]);
    assert_eq!(
        (
            &group["full_path"],
            &group["contents"]["projects"],
            &group["contents"]["images"]
        ),
        (&json!("acme"), &json!(1), &json!(1))
    );
    assert!(
        group["contents"]["bytes"].as_u64().unwrap() > 5_000,
        "{group}"
    );
    let text = appliance.ok(&["group", "show", "acme"]);
    assert!(
        text.contains("of 1.0 GiB") && text.contains("acme/api/web"),
        "{text}"
    );
    let project = appliance.json(&["project", "show", "acme/api", "--json"]);
    assert_eq!(
        project["contents"]["repositories"][0]["path"],
        "acme/api/web"
    );
    let user = appliance.json(&["user", "show", "dev", "--json"]);
    assert_eq!(
        (&user["active_tokens"], &user["memberships"]),
        (&json!(1), &json!([{ "path": "acme", "access_level": 40 }]))
    );
    let shown = appliance.json(&["token", "show", &id, "--json"]);
    assert_eq!(
        (&shown["name"], &shown["group_path"]),
        (&json!("farm"), &json!("acme"))
    );
    assert!(shown["ends_at"].is_string() && shown.get("token").is_none());
    let listed = appliance.json(&["repository", "ls", "--json"]);
    assert!(listed[0]["bytes"].as_u64().unwrap() > 5_000, "{listed}");
    let stats = appliance.json(&["cache", "stats", "--json"]);
    let pushed = &stats["pushed"];
    assert_eq!(pushed["totals"]["images"], 1);
    assert_eq!(pushed["projects"][0]["path"], "acme/api");
    assert_eq!(pushed["groups"][0]["quota"], 1 << 30);
    let text = appliance.ok(&["cache", "stats"]);
    assert!(
        text.contains("pushed below acme") && text.contains("pushed to acme/api"),
        "{text}"
    );
}

#[test]
fn tokens_are_chosen_by_what_they_are_still_good_for() {
    let appliance = initialised();
    appliance.ok(&["user", "add", "ci", "--service"]);
    for (name, expires) in [
        ("soon", "3d"),
        ("late", "90d"),
        ("never", "never"),
        ("gone", "9d"),
    ] {
        let words = [
            "token",
            "create",
            "--user",
            "ci",
            "--scope",
            "read_registry",
            "--name",
        ];
        appliance.ok(&[&words[..], &[name, "--expires", expires]].concat());
    }
    appliance.ok(&["token", "rm", "4"]);
    for (options, expected) in [
        (&[][..], &["soon", "late", "never", "gone"][..]),
        (&["--active"], &["soon", "late", "never"]),
        (&["--expiring", "14d"], &["soon"]),
        (&["--expiring", "100d", "--user", "ci"], &["soon", "late"]),
    ] {
        let words = [&["token", "list", "--json"], options].concat();
        let tokens = appliance.json(&words);
        let names = tokens.as_array().unwrap().iter();
        let names: Vec<_> = names.map(|token| token["name"].as_str().unwrap()).collect();
        assert_eq!(names, expected, "{options:?}");
    }
}

#[test]
fn what_cannot_be_read_is_named_with_the_form_that_is_wanted() {
    let appliance = Appliance::start();
    appliance.ok(&["user", "add", "ci", "--service"]);
    let create = ["token", "create", "--name", "t", "--user", "ci", "--scope"];
    let with = |more: &[&'static str]| [&create[..], more].concat();
    for (arguments, parts) in [
        (
            with(&["read_registry", "--expires", "soon"]),
            ["--expires", "30d"],
        ),
        (with(&["read_all"]), ["--scope", "read_registry"]),
        (
            vec!["token", "revoke", "seven"],
            ["<ID>", "a number such as 7"],
        ),
        (
            vec!["token", "list", "--expiring", "soon"],
            ["--expiring", "14d"],
        ),
        (vec!["audit", "--since", "yesterday"], ["--since", "24h"]),
        (
            vec!["audit", "--address", "here"],
            ["--address", "10.1.2.3"],
        ),
        (vec!["cache", "evict", "--to", "much"], ["--to", "50GB"]),
        (vec!["cache", "gc", "--grace", "a"], ["--grace", "30m"]),
        (
            vec!["network", "add", "lan", "--ability", "read"],
            ["CIDR", "10.1.0.0/16"],
        ),
    ] {
        let output = appliance.run_cli(&arguments);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        for part in parts {
            assert!(said.contains(part), "{arguments:?}: {part}: {said}");
        }
    }
}

#[test]
fn what_is_made_is_printed_as_json_where_that_is_asked_for() {
    let appliance = initialised();
    for (arguments, field, expected) in [
        (&["group", "create", "acme"][..], "full_path", json!("acme")),
        (
            &["project", "add", "acme/api"],
            "path_with_namespace",
            json!("acme/api"),
        ),
        (&["user", "add", "ci", "--service"], "username", json!("ci")),
        (
            &["member", "add", "acme", "ci", "--level", "owner"],
            "access_level",
            json!(50),
        ),
        (
            &["network", "add", "10.0.0.0/8", "--ability", "read"],
            "cidr",
            json!("10.0.0.0/8"),
        ),
        (
            &[
                "upstream",
                "add",
                "quay.io",
                "https://quay.io",
                "--no-probe",
            ],
            "name",
            json!("quay.io"),
        ),
        (
            &["group", "set", "acme", "visibility=public"],
            "visibility",
            json!("public"),
        ),
    ] {
        let arguments: Vec<_> = arguments
            .iter()
            .copied()
            .filter(|word| *word != "--no-probe")
            .collect();
        let made = appliance.json(&[&arguments[..], &["--json"]].concat());
        assert_eq!(made[field], expected, "{arguments:?}");
    }
}
