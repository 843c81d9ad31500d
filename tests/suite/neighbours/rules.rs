//! Rules as many and as heavy as they may be: a change of access costs neither their project's pulls nor anybody
//! else's.

use serde_json::json;

use super::Neighbours;
use crate::support::client::Client;
use crate::support::pushing::{OCI_MANIFEST, push_image, put_manifest};

const TAG_RULES: &str = "/api/v4/projects/evil%2Fapp/registry/protection/tag/rules";
const REPOSITORY_RULES: &str = "/api/v4/projects/evil%2Fapp/registry/protection/repository/rules";
const GROUP_RULES: &str = "/api/v4/groups/evil/registry/protection/repository/rules";

/// Posts JSON; the status and the answer's text.
fn post(rest: &Client, path: &str, body: &serde_json::Value) -> (u16, String) {
    let body = body.to_string();
    let answer =
        rest.with("Content-Type", "application/json")
            .request("POST", path, body.as_bytes());
    (answer.status, answer.text())
}

fn tag_rule(pattern: &str) -> serde_json::Value {
    json!({ "tag_name_pattern": pattern, "minimum_access_level_for_push": "owner" })
}

fn repository_rule(pattern: &str) -> serde_json::Value {
    json!({ "repository_path_pattern": pattern, "minimum_access_level_for_push": "owner" })
}

#[test]
fn a_hundred_heavy_rules_cost_no_pull_after_a_change_of_access() {
    let neighbours = Neighbours::start();
    let rest = neighbours.attacker_rest();
    let client = neighbours.attacker(&["evil/app"]);
    let (_, image) = push_image(&client, "evil/app", "latest", &[b"layer"]);
    // As long as they may be, of the kinds that cost most; each is about nothing that is pushed here.
    let expressions = (0..40).map(|n| format!(r"\w{{20}}y{n}"));
    let expressions = expressions
        .chain((0..30).map(|n| format!("(([a-m]|[n-z])*x){{150}}y{n}")))
        .chain((0..30).map(|n| format!("(a|b|c|d|e|f|g|h){{60}}z{n}")));
    for expression in expressions {
        let added = post(&rest, TAG_RULES, &tag_rule(&expression));
        assert_eq!(added.0, 201, "{expression}: {}", added.1);
    }
    for n in 0..100 {
        let stars = "*a".repeat(120);
        let added = post(
            &rest,
            REPOSITORY_RULES,
            &repository_rule(&format!("evil/app{stars}{n}")),
        );
        assert_eq!(added.0, 201, "{}", added.1);
        let added = post(&rest, GROUP_RULES, &repository_rule(&format!("{stars}{n}")));
        assert_eq!(added.0, 201, "{}", added.1);
    }
    neighbours.unharmed_by("rules and changes of access", || {
        for n in 0..40 {
            // Whatever changes access makes the next request read all of it again.
            let body = json!({ "name": format!("t{n}"), "scopes": ["read_registry"] });
            let made = post(&rest, "/api/v4/user/personal_access_tokens", &body);
            assert_eq!(made.0, 201, "{}", made.1);
            std::thread::scope(|scope| {
                for _ in 0..6 {
                    scope.spawn(|| {
                        let answer = client.get("/v2/evil/app/manifests/latest");
                        assert_eq!(answer.status, 200);
                    });
                }
            });
            let pushed = put_manifest(&client, "evil/app", &format!("t{n}"), OCI_MANIFEST, &image);
            assert_eq!(pushed.status, 201, "{pushed:?}");
        }
    });
}

#[test]
fn rules_beyond_their_number_or_too_large_are_refused_with_the_reason() {
    let neighbours = Neighbours::start();
    let rest = neighbours.attacker_rest();
    for expression in [
        "(a{1000}){1000}",
        "[ab]*a[ab]{20}c",
        r"(\w{3}|\d{2}|x|.){40}$",
    ] {
        let (status, said) = post(&rest, TAG_RULES, &tag_rule(expression));
        assert_eq!(status, 422, "{expression}: {said}");
        assert!(said.contains("too large"), "{said}");
    }
    for n in 0..100 {
        assert_eq!(post(&rest, TAG_RULES, &tag_rule(&format!("^v{n}"))).0, 201);
        let rule = repository_rule(&format!("evil/app/{n}"));
        assert_eq!(post(&rest, REPOSITORY_RULES, &rule).0, 201);
        assert_eq!(
            post(&rest, GROUP_RULES, &repository_rule(&format!("x{n}"))).0,
            201
        );
    }
    for (path, rule) in [
        (TAG_RULES, tag_rule("^w")),
        (REPOSITORY_RULES, repository_rule("evil/app/w")),
        (GROUP_RULES, repository_rule("w")),
    ] {
        let (status, said) = post(&rest, path, &rule);
        assert_eq!(status, 422, "{path}: {said}");
        assert!(said.contains("at most 100 rules"), "{said}");
    }
    let by_command =
        neighbours
            .appliance
            .run_cli(&["rule", "tag", "evil/app", "^w", "--immutable"]);
    assert!(!by_command.status.success(), "{by_command:?}");
    neighbours
        .appliance
        .ok(&["rule", "tag", "good/app", "^w", "--immutable"]);
    let too_deep = format!("evil{}", "/x".repeat(20));
    let mut path = "evil".to_owned();
    for _ in 0..19 {
        path.push_str("/x");
        neighbours.appliance.ok(&["group", "add", &path]);
    }
    let refused = neighbours.appliance.run_cli(&["group", "add", &too_deep]);
    assert!(!refused.status.success(), "{refused:?}");
}
