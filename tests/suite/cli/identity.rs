//! Projects, flags, and tokens of every kind, as commands make, show and end them.

use serde_json::{Value, json};

use super::{initialised, stderr, stdout};
use crate::support::appliance::Appliance;

/// A store with a group, a group in it, a project and a user.
fn with_acme() -> Appliance {
    let appliance = initialised();
    appliance.ok(&["group", "add", "acme"]);
    appliance.ok(&["group", "add", "acme/backend"]);
    appliance.ok(&["project", "add", "acme/api"]);
    appliance.ok(&["user", "add", "ci", "--service"]);
    appliance
}

/// `token create --name t` with more words; what `--json` prints.
fn create(appliance: &Appliance, words: &[&str]) -> Value {
    appliance.json(&[&["token", "create", "--name", "t", "--json"], words].concat())
}

fn refused(appliance: &Appliance, arguments: &[&str], part: &str) {
    let output = appliance.run_cli(arguments);
    let error = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
    assert!(error.contains(part), "{arguments:?}: {error}");
    assert_eq!(stdout(&output), "", "{arguments:?}");
}

#[test]
fn projects_are_made_shown_changed_and_removed() {
    let appliance = with_acme();
    // Nothing is public below a private group.
    let set: &[&str] = &["project", "set", "acme/api", "visibility=public"];
    refused(&appliance, set, "`acme` above it is private");
    appliance.ok(&["group", "set", "acme", "visibility=public"]);
    appliance.ok(&["group", "set", "acme/backend", "visibility=public"]);
    appliance.ok(&[
        "project",
        "add",
        "acme/backend/web",
        "--visibility",
        "public",
    ]);
    appliance.ok(&["project", "set", "acme/api", "visibility=public"]);
    appliance.ok(&["project", "set", "acme/backend/web", "visibility=private"]);
    let groups = appliance.json(&["group", "list", "--json"]);
    let id = |path: &str| {
        let mut groups = groups.as_array().unwrap().iter();
        groups.find(|group| group["full_path"] == path).unwrap()["id"].clone()
    };
    let projects = appliance.json(&["project", "list", "--json"]);
    assert_eq!(
        (
            &projects[0]["path_with_namespace"],
            &projects[0]["path"],
            &projects[0]["name"],
            &projects[0]["visibility"],
        ),
        (
            &json!("acme/api"),
            &json!("api"),
            &json!("api"),
            &json!("public")
        )
    );
    assert_eq!(
        projects[1]["namespace"],
        json!({
            "id": id("acme/backend"),
            "name": "backend",
            "path": "backend",
            "kind": "group",
            "full_path": "acme/backend",
        })
    );
    assert_eq!(projects[1]["visibility"], "private");
    assert!(
        appliance
            .ok(&["project", "list"])
            .contains("acme/backend/web")
    );
    // A path is a group's or a project's, never both.
    refused(&appliance, &["project", "add", "acme/backend"], "already");
    refused(&appliance, &["project", "add", "acme/api"], "already");
    refused(&appliance, &["group", "add", "acme/api"], "a project");

    create(
        &appliance,
        &["--project", "acme/api", "--scope", "read_registry"],
    );
    appliance.ok(&["project", "remove", "acme/api", "--yes"]);
    assert_eq!(appliance.json(&["token", "list", "--json"]), json!([]));
    appliance.ok(&["group", "remove", "acme", "--yes"]);
    assert_eq!(appliance.json(&["project", "list", "--json"]), json!([]));
}

#[test]
fn flags_have_a_value_for_the_box_and_for_groups() {
    let appliance = with_acme();
    let (enforce, split) = (
        "enforce_abilities_check_for_dependency_proxy",
        "dependency_proxy_split_abilities",
    );
    let list = || appliance.json(&["feature", "list", "--json"]);
    let on = |name: &str| {
        json!({
            "name": name,
            "state": "on",
            "gates": [{ "key": "boolean", "value": true }],
            "definition": { "name": name, "default_enabled": true },
        })
    };
    assert_eq!(list(), json!([on(enforce), on(split)]));
    let said = appliance.ok(&["feature", "disable", enforce]);
    assert_eq!(said, format!("{enforce} is off for the box\n"));
    appliance.ok(&["feature", "enable", enforce, "--group", "acme"]);
    appliance.ok(&["feature", "disable", split, "--group", "acme/backend"]);
    let flags = list();
    let actors = |key: &str, path: &str| {
        let groups = appliance.json(&["group", "list", "--json"]);
        let mut groups = groups.as_array().unwrap().iter();
        let id = &groups
            .find(|group| group["full_path"] == path || group["path"] == path)
            .unwrap()["id"];
        json!({ "key": key, "value": [format!("Group:{id}")] })
    };
    assert_eq!(
        (
            &flags[0]["state"],
            &flags[0]["definition"]["default_enabled"]
        ),
        (&json!("conditional"), &json!(true))
    );
    assert_eq!(
        flags[0]["gates"],
        json!([{ "key": "boolean", "value": false }, actors("actors", "acme")])
    );
    assert_eq!(flags[1]["state"], "conditional");
    assert_eq!(
        flags[1]["gates"],
        json!([{ "key": "boolean", "value": true }, actors("disabled_actors", "acme/backend")])
    );
    let table = appliance.ok(&["feature", "list"]);
    let line = table.lines().find(|line| line.contains(split)).unwrap();
    assert!(line.contains("acme/backend: off"), "{table}");

    appliance.ok(&["feature", "reset", split, "--group", "acme/backend"]);
    assert_eq!(list()[1], on(split));
    refused(
        &appliance,
        &["feature", "reset", split, "--group", "acme/backend"],
        "no value of its own",
    );
    appliance.ok(&["feature", "enable", enforce]);
    assert_eq!(
        list()[0]["gates"][0],
        json!({ "key": "boolean", "value": true })
    );
}

#[test]
fn each_kind_of_token_belongs_where_it_was_told() {
    let appliance = with_acme();
    // The words, the prefix of the secret, and what the list says: kind, scopes, level, owner's fields.
    let both = &["--scope", "write_registry,read_registry"];
    let table: &[(&[&str], &str, Value)] = &[
        (
            &["--user", "ci"],
            "bwp_",
            json!(["personal", null, true, false, false]),
        ),
        (
            &["--group", "acme"],
            "bwg_",
            json!(["group", 40, false, true, false]),
        ),
        (
            &["--group", "acme/backend", "--level", "guest"],
            "bwg_",
            json!(["group", 10, false, true, false]),
        ),
        (
            &["--project", "acme/api", "--level", "developer"],
            "bwr_",
            json!(["project", 30, false, false, true]),
        ),
        (
            &["--deploy", "acme"],
            "bwd_",
            json!(["deploy", null, false, true, false]),
        ),
        (
            &["--deploy", "acme/api", "--username", "k8s+prod"],
            "bwd_",
            json!(["deploy", null, false, false, true]),
        ),
    ];
    for (words, prefix, expected) in table {
        let made = create(&appliance, &[words, &both[..]].concat());
        let secret = made["token"].as_str().unwrap();
        assert!(
            secret.starts_with(prefix) && secret.len() == 36,
            "{words:?}: {secret}"
        );
        let list = appliance.json(&["token", "list", "--json"]);
        let mut tokens = list.as_array().unwrap().iter();
        let token = tokens.find(|token| token["id"] == made["id"]).unwrap();
        let got = json!([
            token["kind"],
            token["access_level"],
            token["user_id"].is_i64(),
            token["group_path"].is_string(),
            token["project_path"].is_string(),
        ]);
        assert_eq!(got, *expected, "{words:?}");
        assert_eq!(
            token["scopes"],
            json!(["read_registry", "write_registry"]),
            "{words:?}"
        );
        assert_eq!(token["username"], made["username"], "{words:?}");
        assert!(!list.to_string().contains(secret), "{words:?}");
    }
    let count = |words: &[&str]| {
        let list = appliance.json(&[&["token", "list", "--json"], words].concat());
        list.as_array().unwrap().len()
    };
    assert_eq!(
        [
            count(&[]),
            count(&["acme"]),
            count(&["acme/backend"]),
            count(&["acme/api"]),
            count(&["--user", "ci"])
        ],
        [6, 2, 1, 2, 1]
    );
    let shown = appliance.ok(&["token", "list", "acme/api"]);
    assert!(
        shown.contains("acme/api, k8s+prod") && shown.contains("developer"),
        "{shown}"
    );
}

#[test]
fn a_deploy_tokens_name_is_told_and_the_secret_stands_alone() {
    let appliance = with_acme();
    let words = [
        "token",
        "create",
        "--name",
        "d",
        "--deploy",
        "acme",
        "--scope",
        "read_registry",
    ];
    let output = appliance.run_cli(&words);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output).trim_end().len(), 36, "{}", stdout(&output));
    let list = appliance.json(&["token", "list", "--json"]);
    let username = format!("gitlab+deploy-token-{}", list[0]["id"]);
    assert_eq!(list[0]["username"], *username);
    assert_eq!(
        stderr(&output),
        format!("this token logs in as {username}\n")
    );
    // Whoever named it knows it.
    let output = appliance.run_cli(&[&words[..], &["--username", "puller"]].concat());
    assert_eq!(stderr(&output), "");
}

#[test]
fn a_job_token_has_no_scopes_and_a_short_life() {
    let appliance = with_acme();
    let seconds = |token: &Value| {
        let at = |name: &str| {
            let text = token[name].as_str().unwrap();
            text.parse::<jiff::Timestamp>().unwrap().as_second()
        };
        at("expires_at") - at("created_at")
    };
    for (words, expected) in [(&[][..], 3600), (&["--ttl", "90s"], 90)] {
        let made = create(
            &appliance,
            &[&["--job", "acme/api", "--user", "ci"], words].concat(),
        );
        assert!(made["token"].as_str().unwrap().starts_with("bwj_"));
        assert_eq!(made.get("scopes"), None, "{made}");
        let list = appliance.json(&["token", "list", "acme/api", "--json"]);
        let token = list.as_array().unwrap().last().unwrap();
        assert_eq!((&token["kind"], &token["id"]), (&json!("job"), &made["id"]));
        assert!(token["user_id"].is_i64() && token["project_id"].is_i64());
        // The clock may tick between the two.
        assert!(
            (expected - 2..=expected).contains(&seconds(token)),
            "{token}"
        );
        let id = token["id"].to_string();
        refused(&appliance, &["token", "rotate", &id], "a job's");
    }
}

#[test]
fn rotating_keeps_all_but_secret_and_expiry_and_names_what_has_taken_an_old_one_s_place() {
    let appliance = with_acme();
    let first = create(
        &appliance,
        &[
            "--deploy",
            "acme",
            "--username",
            "puller",
            "--scope",
            "read_registry",
        ],
    );
    let first_id = first["id"].to_string();
    let secret = appliance.ok(&["token", "rotate", &first_id]);
    assert!(
        secret.starts_with("bwd_") && secret.trim_end().len() == 36,
        "{secret}"
    );
    assert_ne!(secret.trim_end(), first["token"]);
    let second = appliance.json(&["token", "list", "acme", "--json"])[1].clone();
    for name in ["name", "kind", "scopes", "username", "group_path"] {
        let old = &appliance.json(&["token", "list", "acme", "--json"])[0];
        assert_eq!(second[name], old[name], "{name}");
    }
    let second_id = second["id"].to_string();
    let third = appliance.json(&[
        "token",
        "rotate",
        &second_id,
        "--expires",
        "never",
        "--json",
    ]);
    assert_eq!(third["expires_at"], Value::Null);
    let active = || -> Vec<bool> {
        let list = appliance.json(&["token", "list", "acme", "--json"]);
        let tokens = list.as_array().unwrap().iter();
        tokens.map(|token| token["state"] == "active").collect()
    };
    assert_eq!(active(), [false, false, true]);

    let stranger = create(&appliance, &["--group", "acme", "--scope", "read_registry"]);
    let place = format!("token {} has taken its place", third["id"]);
    for old in [&first_id, &second_id] {
        refused(&appliance, &["token", "rotate", old], &place);
    }
    assert_eq!(active(), [false, false, true, true]);
    assert!(stranger["id"].as_i64() > third["id"].as_i64());
}
