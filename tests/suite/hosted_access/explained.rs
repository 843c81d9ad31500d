//! `rule check` and `GET /protection_check`: why somebody may do something, in agreement with the token endpoint.

use serde_json::Value;

use super::{ALL, Stage, stage};
use crate::support::pushing::push_image;

impl Stage {
    /// What the command says; its exit status says the same.
    fn explained(&self, who: &str, image: &str, action: &str) -> Value {
        let words = ["rule", "check", who, image, "--action", action, "--json"];
        let output = self.appliance.run_cli(&words);
        let view: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        let allowed = view["allowed"].as_bool().unwrap();
        assert_eq!(output.status.code(), Some(i32::from(!allowed)), "{view}");
        view
    }

    fn asks(&self, secret: &str, query: &str) -> (u16, Value) {
        let client = self.client.with("PRIVATE-TOKEN", secret);
        let answer = client.get(&format!("/api/v4/protection_check?{query}"));
        (answer.status, answer.json())
    }
}

#[test]
fn what_is_explained_is_what_the_token_endpoint_grants() {
    let stage = stage();
    stage.appliance.ok(&[
        "rule",
        "add",
        "acme/api",
        "acme/api*",
        "--min-push",
        "maintainer",
        "--min-delete",
        "owner",
    ]);
    for user in [
        "stranger",
        "guest",
        "reporter",
        "developer",
        "maintainer",
        "owner",
        "admin",
    ] {
        for scopes in ["api", "read_registry", "read_registry,write_registry"] {
            let mut words = vec!["--user", user];
            for scope in scopes.split(',') {
                words.extend(["--scope", scope]);
            }
            let secret = stage.create(&words);
            let granted = stage.granted(user, &secret, ALL);
            let tokens = stage
                .appliance
                .json(&["token", "list", "--user", user, "--json"]);
            let ids = tokens.as_array().unwrap().iter();
            let id = ids.map(|token| token["id"].as_i64().unwrap()).max();
            let who = format!("token:{}", id.unwrap());
            for action in ["pull", "push", "delete"] {
                let view = stage.explained(&who, "acme/api/app", action);
                let is_granted = granted.split(',').any(|one| one == action);
                assert_eq!(view["allowed"], is_granted, "{scopes} {granted} {view}");
            }
        }
    }
}

#[test]
fn who_is_kept_by_a_rule_is_told_which_one_and_what_to_do() {
    let stage = stage();
    let add =
        |arguments: &[&str]| stage.appliance.json(&[arguments, &["--json"]].concat())["id"].clone();
    let of_path = add(&[
        "rule",
        "add",
        "acme/api",
        "acme/api/prod*",
        "--min-push",
        "owner",
    ]);
    let of_tags = add(&["rule", "tag", "acme/api", "^v", "--immutable"]);

    let view = stage.explained("developer", "acme/api/prod", "push");
    let why = view["why"].as_str().unwrap();
    assert!(
        why.starts_with("container protected; ") && why.ends_with("asks for the level owner"),
        "{view}"
    );
    assert_eq!(view["rule_id"], of_path);
    assert!(
        view["remedy"]
            .as_str()
            .unwrap()
            .contains("breakwater rule set"),
        "{view}"
    );

    let view = stage.explained("developer", "acme/api/app", "push");
    assert_eq!(
        view["why"],
        "developer is a member with the level developer, and no rule about the repository as a whole is in the way; rules about its tags may be"
    );
    let view = stage.explained("stranger", "acme/api/app", "pull");
    assert_eq!(
        view["why"],
        "the project is private, and the caller is no member"
    );
    let view = stage.explained("reporter", "acme/nothing", "pull");
    assert_eq!(view["why"], "no project owns the path");

    // Without a tag, rules about tags are not forgotten.
    for (action, tags) in [("push", true), ("delete", true), ("pull", false)] {
        let view = stage.explained("maintainer", "acme/api/app", action);
        let why = view["why"].as_str().unwrap();
        assert_eq!(
            why.ends_with("; rules about its tags may be"),
            tags,
            "{view}"
        );
        assert_eq!(
            why.ends_with(", and no rule is in the way"),
            !tags,
            "{view}"
        );
    }

    // An immutable tag is pushed once.
    let once = stage.explained("developer", "acme/api/app:v1", "push");
    assert_eq!(
        (&once["allowed"], &once["rule_id"]),
        (&true.into(), &of_tags)
    );
    let developer = stage.client.basic("developer", &stage.api("developer"));
    let jwt = developer.token(&["repository:acme/api/app:pull,push"]);
    push_image(
        &stage.client.bearer(&jwt),
        "acme/api/app",
        "v1",
        &[b"layer"],
    );
    for action in ["push", "delete"] {
        let again = stage.explained("owner", "acme/api/app:v1", action);
        assert_eq!(
            (&again["allowed"], &again["rule_id"]),
            (&false.into(), &of_tags)
        );
        assert!(
            again["why"]
                .as_str()
                .unwrap()
                .starts_with("tag immutable; "),
            "{again}"
        );
    }

    stage.appliance.ok(&["user", "block", "owner"]);
    let blocked = stage.explained("owner", "acme/api/app", "pull");
    assert_eq!(blocked["why"], "the user is blocked");
}

#[test]
fn only_administrators_and_maintainers_of_the_project_are_told() {
    let stage = stage();
    stage.appliance.ok(&["group", "add", "other"]);
    stage.appliance.ok(&["project", "add", "other/hidden"]);
    let own = stage.create(&["--user", "maintainer", "--scope", "read_registry"]);
    assert!(own.starts_with("bwp_"));
    stage.create(&["--user", "owner", "--scope", "read_registry"]);
    let tokens = |user| {
        let tokens = stage
            .appliance
            .json(&["token", "list", "--user", user, "--json"]);
        tokens[0]["id"].to_string()
    };
    let (own, of_owner) = (tokens("maintainer"), tokens("owner"));
    let query = "user=developer&repository=acme/api/app&action=push";
    for (user, expected) in [
        ("stranger", 404),
        ("guest", 403),
        ("developer", 403),
        ("maintainer", 200),
        ("admin", 200),
    ] {
        assert_eq!(stage.asks(&stage.api(user), query).0, expected, "{user}");
    }
    let maintainer = stage.api("maintainer");
    // Who administers the box is told to administrators alone.
    let query = "user=admin&repository=acme/api/app&action=push";
    let told = |secret: &str| stage.asks(secret, query).1["allowed"].clone();
    assert_eq!(told(&stage.api("admin")), true);
    assert_eq!(told(&maintainer), false);
    let why = |user: &str| {
        let query = query.replace("admin", user);
        stage.asks(&maintainer, &query).1["why"].to_string()
    };
    assert_eq!(why("admin"), why("stranger"));
    stage.create(&["--job", "acme/api", "--user", "admin", "--ttl", "1h"]);
    let of_admin = ["token", "list", "--user", "admin", "--json"];
    let of_admin = stage.appliance.json(&of_admin);
    let mut tokens_of_admin = of_admin.as_array().unwrap().iter();
    let job = tokens_of_admin.find(|token| token["kind"] == "job");
    let job = job.unwrap()["id"].to_string();
    let query = format!("token={job}&repository=acme/api/app");
    let told = |secret: &str| stage.asks(secret, &query).1["allowed"].clone();
    assert_eq!(told(&stage.api("admin")), true);
    assert_eq!(told(&maintainer), false);
    let hidden = stage.asks(&maintainer, "user=developer&repository=other/hidden");
    let missing = stage.asks(&maintainer, "user=developer&repository=other/missing");
    assert_eq!((hidden.0, &hidden), (404, &missing));
    for (query, expected) in [
        ("repository=acme/api/app&user=nobody".to_owned(), 404),
        ("repository=acme/api/app&token=4711".to_owned(), 404),
        (format!("repository=acme/api/app&token={of_owner}"), 404),
        (format!("repository=acme/api/app&token={own}"), 200),
        ("repository=acme/api/app".to_owned(), 200),
        (
            format!("repository=acme/api/app&user=owner&token={own}"),
            400,
        ),
        ("user=owner".to_owned(), 400),
        (
            "repository=acme/api/app&user=owner&action=fly".to_owned(),
            400,
        ),
        ("repository=acme/api/app&user=owner&tag=a/b".to_owned(), 400),
    ] {
        assert_eq!(stage.asks(&maintainer, &query).0, expected, "{query}");
    }
}
