//! `breakwater rule`, quotas and members of projects, as a person or a script meets them.

use serde_json::{Value, json};

use super::{initialised, stderr};
use crate::support::appliance::Appliance;

fn with_project() -> Appliance {
    let appliance = initialised();
    appliance.ok(&["group", "add", "acme"]);
    appliance.ok(&["project", "add", "acme/api"]);
    appliance.ok(&["user", "add", "alice", "--service"]);
    appliance
}

/// The fields of a JSON object that `names` lists.
fn fields(value: &Value, names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| value[*name].clone()).collect()
}

const LEVELS: [&str; 4] = [
    "minimum_access_level_for_push",
    "minimum_access_level_for_delete",
    "push_protected_up_to_access_level",
    "delete_protected_up_to_access_level",
];

#[test]
fn rules_are_made_shown_changed_and_removed_in_both_vocabularies() {
    let appliance = with_project();
    let rule = appliance.json(&[
        "rule",
        "add",
        "acme/api",
        "acme/api/prod*",
        "--min-push",
        "maintainer",
        "--delete-protected-up-to",
        "owner",
        "--json",
    ]);
    assert_eq!(
        fields(
            &rule,
            &["id", "repository_path_pattern", "matching_package_version"]
        ),
        [json!(1), json!("acme/api/prod*"), Value::Null]
    );
    assert_eq!(
        fields(&rule, &LEVELS),
        [
            json!("maintainer"),
            json!("admin"),
            json!("developer"),
            json!("owner")
        ]
    );
    let said = appliance.ok(&["rule", "tag", "acme/api", "^v[0-9]+", "--immutable"]);
    assert_eq!(said, "added rule 2 to acme/api\n");
    let said = appliance.ok(&["rule", "add", "acme", "library/*", "--min-push", "owner"]);
    assert_eq!(said, "added rule 3 to acme\n");

    appliance.ok(&[
        "rule",
        "set",
        "1",
        "--push-protected-up-to",
        "no_access",
        "--min-delete",
        "none",
        "--tags",
        "v*",
    ]);
    appliance.ok(&[
        "rule",
        "set",
        "2",
        "--min-delete",
        "owner",
        "--immutable",
        "false",
    ]);
    let rules = appliance.json(&["rule", "list", "acme/api", "--json"]);
    assert_eq!(
        fields(&rules[0], &LEVELS),
        [
            json!("no_access"),
            Value::Null,
            json!("no_access"),
            Value::Null
        ]
    );
    assert_eq!(rules[0]["matching_package_version"], "v*");
    assert_eq!(
        fields(
            &rules[1],
            &["id", "tag_name_pattern", LEVELS[0], LEVELS[1], "immutable"]
        ),
        [
            json!(2),
            json!("^v[0-9]+"),
            Value::Null,
            json!("owner"),
            json!(false)
        ]
    );
    let table = appliance.ok(&["rule", "list", "acme"]);
    let row: Vec<_> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row, ["3", "library/*", "*", "owner", "-", "no"]);

    appliance.ok(&["rule", "remove", "1"]);
    appliance.ok(&["rule", "remove", "2"]);
    assert_eq!(
        appliance.json(&["rule", "list", "acme/api", "--json"]),
        json!([])
    );
    // Whoever looks after the box finds it all.
    let events = appliance.audit(&[]);
    let kinds: Vec<_> = events
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|event| event["event"].as_str())
        .filter(|kind| kind.starts_with("rule."))
        .map(str::to_owned)
        .collect();
    assert_eq!(kinds.len(), 7, "{events}");
}

#[test]
fn what_would_protect_nothing_is_refused_with_the_reason() {
    let appliance = with_project();
    appliance.ok(&["rule", "add", "acme/api", "acme/api", "--min-push", "owner"]);
    appliance.ok(&["rule", "tag", "acme/api", "^v", "--immutable"]);
    let table: &[(&[&str], i32, &str)] = &[
        (&["add", "acme/api", "acme/api"], 2, "protect nothing"),
        (
            &["add", "acme/api", "acme/web*", "--min-push", "owner"],
            2,
            "acme/api*",
        ),
        (
            &["add", "acme/api", "acme/API", "--min-push", "owner"],
            2,
            "lower-case",
        ),
        (
            &["add", "acme/api", "acme/api", "--min-push", "owner"],
            1,
            "already",
        ),
        (
            &["add", "acme/api", "acme/api", "--min-push", "developer"],
            2,
            "maintainer",
        ),
        (
            &["add", "acme", "x", "--tags", "v*", "--min-push", "owner"],
            2,
            "--tags",
        ),
        (
            &["add", "acme/web", "acme/web", "--min-push", "owner"],
            1,
            "`acme/web`",
        ),
        (
            &[
                "add",
                "acme/api",
                "acme/api",
                "--min-push",
                "owner",
                "--push-protected-up-to",
                "owner",
            ],
            2,
            "--push-protected-up-to",
        ),
        (
            &["tag", "acme/api", "(", "--immutable"],
            2,
            "unclosed group",
        ),
        (&["tag", "acme/api", "v"], 2, "protect nothing"),
        (&["tag", "acme", "v", "--immutable"], 1, "no project `acme`"),
        (&["set", "1", "--min-push", "none"], 2, "rule remove"),
        (&["set", "1", "--immutable", "true"], 2, "--immutable"),
        (&["set", "2", "--tags", "v*"], 2, "--tags"),
        (&["set", "1"], 2, "nothing to change"),
        (&["set", "9", "--min-push", "owner"], 1, "no rule 9"),
        (&["remove", "9"], 1, "9"),
        (&["list", "nowhere"], 1, "`nowhere`"),
    ];
    for (words, status, part) in table {
        let output = appliance.run_cli(&[&["rule"], *words].concat());
        let error = stderr(&output);
        assert_eq!(output.status.code(), Some(*status), "{words:?}: {error}");
        assert!(error.contains(part), "{words:?}: {error}");
    }
}

#[test]
fn members_of_projects_and_quotas_are_shown() {
    let appliance = with_project();
    let said = appliance.ok(&[
        "member",
        "add",
        "acme/api",
        "alice",
        "--level",
        "maintainer",
    ]);
    assert_eq!(said, "alice is maintainer of acme/api\n");
    let members = appliance.json(&["member", "list", "acme/api", "--json"]);
    assert_eq!(
        fields(&members[0], &["username", "access_level"]),
        [json!("alice"), json!(40)]
    );
    assert_eq!(
        appliance.json(&["member", "list", "acme", "--json"]),
        json!([])
    );
    appliance.ok(&["member", "remove", "acme/api", "alice"]);
    let again = appliance.run_cli(&["member", "remove", "acme/api", "alice"]);
    assert_eq!(again.status.code(), Some(1));

    appliance.ok(&["group", "set", "acme", "quota=50GiB"]);
    appliance.ok(&["project", "set", "acme/api", "quota=500MB"]);
    let quota =
        |noun: &str, at: usize| appliance.json(&[noun, "list", "--json"])[at]["quota"].clone();
    assert_eq!(quota("project", 0), json!(500_000_000));
    let groups = appliance.json(&["group", "list", "--json"]);
    let acme = groups.as_array().unwrap().iter();
    let acme: Vec<_> = acme.filter(|group| group["full_path"] == "acme").collect();
    assert_eq!(acme[0]["quota"], json!(50_u64 << 30));
    appliance.ok(&["project", "set", "acme/api", "quota="]);
    assert_eq!(quota("project", 0), Value::Null);
}
