//! Protection rules as clients meet them: what the token endpoint leaves out, and the write that is refused with the
//! reason. The worked examples 15 and 16.

use breakwater::oci::Digest;

use super::{ALL, Stage, stage};

const PUSH: &str = "repository:acme/api/app:pull,push";
const PROTECTED: &str = "container protected; you are not allowed to push new package";

/// Goes through with every write that a client may begin a push with, with the token that it gets for a push: all of
/// them are refused with the reason, and none with a challenge, which would send the client for another token. Whoever
/// may list the rules is `told` which one it is.
fn assert_every_write_is_protected(stage: &Stage, user: &str, secret: &str, told: &str) {
    let jwt = stage.client.basic(user, secret).token(&[PUSH]);
    let client = stage.client.bearer(&jwt);
    let blob = Digest::of(b"a layer");
    let uploads = "/v2/acme/api/app/blobs/uploads/";
    for (method, path) in [
        ("POST", uploads.to_owned()),
        ("POST", format!("{uploads}?digest={blob}")),
        (
            "POST",
            format!("{uploads}?mount={blob}&from=acme/api/other"),
        ),
        ("POST", format!("{uploads}?mount={blob}")),
        ("PUT", "/v2/acme/api/app/manifests/1".to_owned()),
        ("PUT", format!("/v2/acme/api/app/manifests/{blob}")),
    ] {
        let refused = client.request(method, &path, b"a layer");
        assert_eq!(
            refused.verdict(),
            (403, "DENIED".to_owned()),
            "{user}: {method} {path}: {}",
            refused.text()
        );
        let message = refused.message();
        let begins = format!("{PROTECTED}{told}");
        assert!(
            message.starts_with(&begins),
            "{user}: {method} {path}: {message}"
        );
        if told.is_empty() {
            assert_eq!(message, PROTECTED, "{user}: {method} {path}");
        }
        assert_eq!(refused.field("WWW-Authenticate"), None);
    }
}

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
    assert_eq!(stage.granted("developer", &developer, PUSH), "pull");
    assert_every_write_is_protected(&stage, "developer", &developer, "");
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
        assert_eq!(stage.granted("d", &deploy, PUSH), "pull", "{place}");
        assert_every_write_is_protected(&stage, "d", &deploy, "");
    }
    let job = stage.create(&["--job", "acme/api", "--user", "developer", "--ttl", "1h"]);
    assert_eq!(stage.granted("gitlab-ci-token", &job, PUSH), "pull");
    assert_every_write_is_protected(&stage, "gitlab-ci-token", &job, "");
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
    // Who asks for a push alone is granted nothing, and not refused either.
    let push = "repository:acme/api/app:push";
    assert_eq!(stage.granted("developer", &developer, push), "nothing");
    // Nor is who asks for all there is, as skopeo does to delete.
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
    assert_eq!(stage.granted("admin", &admin, PUSH), "pull");
    let told = format!(": rule {id} (`acme/api*`) lets nobody do it");
    assert_every_write_is_protected(&stage, "admin", &admin, &told);
    // The same token, no new login.
    stage
        .appliance
        .ok(&["rule", "set", &id, "--push-protected-up-to", "developer"]);
    assert_eq!(stage.granted("admin", &admin, PUSH), "pull,push");
    assert_eq!(
        stage.granted("developer", &stage.api("developer"), PUSH),
        "pull"
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
