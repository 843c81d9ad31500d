//! Protection rules as clients meet them at the token endpoint: the worked examples 15 and 16.

use super::{ALL, stage};

const PUSH: &str = "repository:acme/api/app:pull,push";
const PROTECTED: &str = "container protected; you are not allowed to push new package";

#[test]
fn example_15_a_protected_path_takes_pushes_of_maintainers_only() {
    let stage = stage();
    stage.appliance.ok(&[
        "rule",
        "add",
        "acme/api",
        "acme/api/app*",
        "--min-push",
        "maintainer",
    ]);
    let developer = stage.api("developer");
    let refused = stage.ask("developer", &developer, &[PUSH]);
    assert_eq!(refused.status, 403, "{}", refused.text());
    let body = refused.json();
    assert_eq!(body["errors"][0]["code"], "DENIED");
    assert_eq!(body["errors"][0]["message"], PROTECTED);
    assert_eq!(
        (&body["status"], &body["http_status"]),
        (&"error".into(), &403.into())
    );
    for (user, expected) in [
        ("maintainer", "pull,push"),
        ("owner", "pull,push"),
        ("admin", "pull,push"),
    ] {
        assert_eq!(
            stage.granted(user, &stage.api(user), PUSH),
            expected,
            "{user}"
        );
    }
    let both = "read_registry,write_registry";
    for place in ["acme", "acme/api"] {
        let deploy = stage.create(&["--deploy", place, "--username", "d", "--scope", both]);
        let refused = stage.ask("d", &deploy, &[PUSH]);
        assert_eq!(
            (refused.status, refused.message()),
            (403, PROTECTED.to_owned()),
            "{place}"
        );
    }
    let job = stage.create(&["--job", "acme/api", "--user", "developer", "--ttl", "1h"]);
    assert_eq!(stage.granted("gitlab-ci-token", &job, PUSH), "403");
    // Pulling goes on, other paths are free, and whoever may not see it learns nothing.
    assert_eq!(
        stage.granted("developer", &developer, "repository:acme/api/app:pull"),
        "pull"
    );
    let free = "repository:acme/api/other:pull,push";
    assert_eq!(stage.granted("developer", &developer, free), "pull,push");
    assert_eq!(
        stage.granted("stranger", &stage.api("stranger"), PUSH),
        "nothing"
    );
    // Who asks for all there is, as skopeo does to delete, is not refused for what it cannot push.
    let star = "repository:acme/api/app:*";
    assert_eq!(stage.granted("developer", &developer, star), "pull");
}

#[test]
fn example_16_no_access_keeps_administrators_out_until_the_rule_changes() {
    let stage = stage();
    let rule = stage.appliance.json(&[
        "rule",
        "add",
        "acme/api",
        "acme/api*",
        "--push-protected-up-to",
        "no_access",
        "--json",
    ]);
    let id = rule["id"].to_string();
    let admin = stage.api("admin");
    let refused = stage.ask("admin", &admin, &[PUSH]);
    assert_eq!(
        (refused.status, refused.message()),
        (403, PROTECTED.to_owned())
    );
    // The same token, no new login.
    stage
        .appliance
        .ok(&["rule", "set", &id, "--push-protected-up-to", "developer"]);
    assert_eq!(stage.granted("admin", &admin, PUSH), "pull,push");
    assert_eq!(
        stage.granted("developer", &stage.api("developer"), PUSH),
        "403"
    );
    stage.appliance.ok(&["rule", "remove", &id]);
    assert_eq!(
        stage.granted("developer", &stage.api("developer"), PUSH),
        "pull,push"
    );
}

#[test]
fn several_rules_add_up_and_each_asks_for_its_own_action() {
    let stage = stage();
    let add = |pattern: &str, words: &[&str]| {
        stage
            .appliance
            .ok(&[&["rule", "add", "acme/api", pattern], words].concat())
    };
    add("acme/api*", &["--min-delete", "owner"]);
    assert_eq!(
        stage.granted("maintainer", &stage.api("maintainer"), ALL),
        "pull,push"
    );
    assert_eq!(
        stage.granted("owner", &stage.api("owner"), ALL),
        "pull,push,delete"
    );
    add("*/app", &["--delete-protected-up-to", "owner"]);
    assert_eq!(
        stage.granted("owner", &stage.api("owner"), ALL),
        "pull,push"
    );
    assert_eq!(
        stage.granted("admin", &stage.api("admin"), ALL),
        "pull,push,delete"
    );
    // A rule about some tags says nothing of the path.
    add("acme/api*", &["--tags", "v*", "--min-push", "admin"]);
    assert_eq!(
        stage.granted("developer", &stage.api("developer"), ALL),
        "pull,push"
    );
}
