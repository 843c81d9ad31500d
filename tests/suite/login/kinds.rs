//! Tokens of every kind, the feature flags, and bans: the worked examples that need them.

use super::{BOTH, IMAGE, SCOPE, Stage, stage};
use crate::support::client::{Answer, Client, token_path};

const ENFORCE: &str = "enforce_abilities_check_for_dependency_proxy";
const SPLIT: &str = "dependency_proxy_split_abilities";
const LINE: &str = "Dependency proxy missing authentication abilities";

/// Makes a token by command; its secret.
fn token(stage: &Stage, arguments: &[&str]) -> String {
    let mut command = vec!["token", "create", "--name", "t"];
    command.extend(arguments);
    stage.appliance.ok(&command).trim().to_owned()
}

/// The token endpoint's answer to a login, which names no scope.
fn login(stage: &Stage, user: &str, secret: &str) -> Answer {
    stage.client.basic(user, secret).get(&token_path(&[]))
}

/// The status of a pull by tag with a token for it, whatever it grants.
fn pull(stage: &Stage, user: &str, secret: &str) -> u16 {
    let jwt = stage.client.basic(user, secret).token(&[SCOPE]);
    stage.manifest(&stage.client.bearer(&jwt)).status
}

/// The lines about missing abilities in `auth_json.log`.
fn reported(stage: &Stage) -> Vec<serde_json::Value> {
    let path = stage.appliance.data().join("log/auth_json.log");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines
        .filter(|line: &serde_json::Value| line["message"] == LINE)
        .collect()
}

#[test]
fn examples_2_and_3_the_older_rule_refuses_half_a_pair_or_only_reports_it() {
    let stage = stage();
    let secret = stage.appliance.token("alice", &["read_registry"]);
    stage.appliance.ok(&["feature", "disable", SPLIT]);
    let refused = login(&stage, "alice", &secret);
    assert_eq!(refused.status, 403, "{}", refused.text());
    let body = refused.json();
    assert_eq!(body["message"], "access forbidden");
    assert_eq!(
        (&body["status"], &body["http_status"]),
        (&"error".into(), &403.into())
    );
    let sentence = body["errors"][0]["message"].as_str().unwrap();
    assert!(sentence.contains("create_container_image"), "{sentence}");
    assert_eq!(body["errors"][0]["code"], "DENIED");
    assert!(reported(&stage).is_empty(), "a refusal is no toleration");

    stage.appliance.ok(&["feature", "disable", ENFORCE]);
    assert_eq!(login(&stage, "alice", &secret).status, 200);
    let lines = reported(&stage);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = &lines[0];
    assert_eq!(
        (&line["severity"], &line["username"]),
        (&"WARN".into(), &"alice".into())
    );
    let abilities = serde_json::json!(["read_container_image", "read_dependency_proxy_container"]);
    assert_eq!(line["authentication_abilities"], abilities);
    assert_eq!(line["remote_ip"], "127.0.0.1");
    for field in ["time", "correlation_id", "user_id"] {
        assert!(!line[field].is_null(), "{field}: {line}");
    }
    assert!(!line.to_string().contains(&secret));
    // Under the older rule whoever gets in fills; the pull's own JWT is reported as well.
    let client = stage
        .client
        .bearer(&stage.client.basic("alice", &secret).token(&[SCOPE]));
    assert_eq!(stage.manifest(&client).cache(), "miss");
    assert_eq!(reported(&stage).len(), 2);

    stage.appliance.ok(&["feature", "enable", SPLIT]);
    assert_eq!(login(&stage, "alice", &secret).status, 200);
    assert_eq!(reported(&stage).len(), 2, "with the split it lacks nothing");
}

#[test]
fn example_7_a_deploy_token_logs_in_with_its_own_name_only() {
    let stage = stage();
    let scopes = ["--scope", "read_registry", "--scope", "write_registry"];
    let named = token(
        &stage,
        &[&["--deploy", "acme", "--username", "puller"], &scopes[..]].concat(),
    );
    assert_eq!(login(&stage, "puller", &named).status, 200);
    for other in ["alice", "Puller", "gitlab+deploy-token-1"] {
        assert_eq!(login(&stage, other, &named).status, 401, "{other}");
    }
    let client = stage
        .client
        .bearer(&stage.client.basic("puller", &named).token(&[SCOPE]));
    assert_eq!(stage.pull(&client), ["miss"; 3]);

    let unnamed = token(&stage, &[&["--deploy", "acme"], &scopes[..]].concat());
    let list = stage.appliance.json(&["token", "list", "acme", "--json"]);
    let row = list
        .as_array()
        .unwrap()
        .iter()
        .max_by_key(|row| row["id"].as_i64())
        .unwrap();
    let username = row["username"].as_str().unwrap();
    assert_eq!(username, format!("gitlab+deploy-token-{}", row["id"]));
    assert_eq!(login(&stage, username, &unnamed).status, 200);
    assert!(!list.to_string().contains(&unnamed));
}

#[test]
fn deploy_tokens_are_judged_whatever_enforcement_says() {
    let stage = stage();
    stage.appliance.ok(&["feature", "disable", ENFORCE]);
    stage.appliance.ok(&["feature", "disable", SPLIT]);
    let deploy = [
        "--deploy",
        "acme",
        "--username",
        "d",
        "--scope",
        "read_registry",
    ];
    let secret = token(&stage, &deploy);
    assert_eq!(login(&stage, "d", &secret).status, 403);
}

#[test]
fn example_8_a_project_deploy_token_opens_no_dependency_proxy() {
    let stage = stage();
    stage.appliance.ok(&["project", "add", "acme/api"]);
    let scopes = ["--scope", "read_registry", "--scope", "write_registry"];
    let secret = token(
        &stage,
        &[&["--deploy", "acme/api", "--username", "d"], &scopes[..]].concat(),
    );
    assert_eq!(login(&stage, "d", &secret).status, 200);
    assert_eq!(pull(&stage, "d", &secret), 404);
}

#[test]
fn example_9_a_group_token_opens_its_own_tree_and_no_sibling() {
    let stage = stage();
    for group in ["other", "acme/backend"] {
        stage.appliance.ok(&["group", "add", group]);
    }
    let scopes = ["--scope", "read_registry", "--scope", "write_registry"];
    let make = |group: &str| {
        token(
            &stage,
            &[&["--group", group, "--level", "developer"], &scopes[..]].concat(),
        )
    };
    let (own, sibling, child) = (make("acme"), make("other"), make("acme/backend"));
    assert_eq!(pull(&stage, "anything", &own), 200);
    assert_eq!(pull(&stage, "anything", &sibling), 404);
    assert_eq!(pull(&stage, "anything", &child), 404);
    // A parent's token opens the child.
    let scope = "repository:acme/backend/dependency_proxy/containers/alpine:pull";
    let jwt = stage.client.basic("x", &own).token(&[scope]);
    let path = "/v2/acme/backend/dependency_proxy/containers/alpine/manifests/latest";
    assert_eq!(stage.client.bearer(&jwt).get(path).status, 200);
}

#[test]
fn a_project_token_opens_the_groups_that_its_project_lies_in() {
    let stage = stage();
    stage.appliance.ok(&["group", "add", "other"]);
    for project in ["acme/api", "other/api"] {
        stage.appliance.ok(&["project", "add", project]);
    }
    let make = |project: &str| {
        let of = ["--project", project, "--level", "developer"];
        token(
            &stage,
            &[&of[..], &["--scope", "read_registry,write_registry"]].concat(),
        )
    };
    let (inside, elsewhere) = (make("acme/api"), make("other/api"));
    assert_eq!(pull(&stage, "bot", &inside), 200);
    assert_eq!(pull(&stage, "bot", &elsewhere), 404);
    let jwt = stage.client.basic("bot", &inside).token(&[SCOPE]);
    stage
        .appliance
        .ok(&["project", "remove", "acme/api", "--yes"]);
    assert_eq!(stage.manifest(&stage.client.bearer(&jwt)).status, 401);
}

#[test]
fn example_12_a_job_token_logs_in_by_its_fixed_name_until_its_job_ends() {
    let stage = stage();
    stage.appliance.ok(&["project", "add", "acme/api"]);
    let secret = token(
        &stage,
        &["--job", "acme/api", "--user", "alice", "--ttl", "1h"],
    );
    assert_eq!(login(&stage, "gitlab-ci-token", &secret).status, 200);
    assert_eq!(login(&stage, "alice", &secret).status, 401);
    let jwt = stage
        .client
        .basic("gitlab-ci-token", &secret)
        .token(&[SCOPE]);
    let client = stage.client.bearer(&jwt);
    assert_eq!(stage.pull(&client), ["miss"; 3]);
    let list = stage
        .appliance
        .json(&["token", "list", "--user", "alice", "--json"]);
    let job = list
        .as_array()
        .unwrap()
        .iter()
        .max_by_key(|row| row["id"].as_i64())
        .unwrap();
    stage
        .appliance
        .ok(&["token", "revoke", &job["id"].to_string()]);
    assert_eq!(stage.manifest(&client).status, 401);
    assert_eq!(login(&stage, "gitlab-ci-token", &secret).status, 401);
}

#[test]
fn example_13_a_group_follows_its_own_flags_at_once() {
    let stage = stage();
    let secret = stage.appliance.token("alice", &["read_registry"]);
    let status = || {
        stage
            .client
            .basic("alice", &secret)
            .get(&token_path(&[SCOPE]))
            .status
    };
    assert_eq!(
        (login(&stage, "alice", &secret).status, status()),
        (200, 200)
    );
    // The older rule for the group alone: its pull is refused, the login is not.
    stage
        .appliance
        .ok(&["feature", "disable", SPLIT, "--group", "acme"]);
    assert_eq!(
        (login(&stage, "alice", &secret).status, status()),
        (200, 403)
    );
    // For the box, but not for the group.
    stage.appliance.ok(&["feature", "disable", SPLIT]);
    stage
        .appliance
        .ok(&["feature", "enable", SPLIT, "--group", "acme"]);
    assert_eq!(
        (login(&stage, "alice", &secret).status, status()),
        (403, 200)
    );
    stage
        .appliance
        .ok(&["feature", "reset", SPLIT, "--group", "acme"]);
    assert_eq!(
        (login(&stage, "alice", &secret).status, status()),
        (403, 403)
    );
    // A JWT that was issued before obeys at its next request.
    stage.appliance.ok(&["feature", "enable", SPLIT]);
    let jwt = stage.client.basic("alice", &secret).token(&[SCOPE]);
    let client = stage.client.bearer(&jwt);
    assert_eq!(stage.manifest(&client).status, 200);
    stage
        .appliance
        .ok(&["feature", "disable", SPLIT, "--group", "acme"]);
    assert_eq!(
        stage.manifest(&client).verdict(),
        (403, "DENIED".to_owned())
    );
    stage
        .appliance
        .ok(&["feature", "disable", ENFORCE, "--group", "acme"]);
    assert_eq!(stage.manifest(&client).status, 200);
}

#[test]
fn a_token_request_about_a_hidden_group_is_judged_as_if_there_were_none() {
    let stage = stage();
    stage
        .appliance
        .ok(&["user", "add", "stranger", "--service"]);
    stage
        .appliance
        .ok(&["feature", "disable", SPLIT, "--group", "acme"]);
    for scopes in [&["read_registry"][..], &["read_api"], BOTH] {
        let secret = stage.appliance.token("stranger", scopes);
        let basic = stage.client.basic("stranger", &secret);
        let hidden = basic.get(&token_path(&[SCOPE]));
        let absent = basic.get(&token_path(&[
            "repository:absent/dependency_proxy/containers/alpine:pull",
        ]));
        assert_eq!(hidden.status, absent.status, "{scopes:?}");
        if hidden.status != 200 {
            assert_eq!(hidden.body, absent.body, "{scopes:?}");
        }
    }
}

#[test]
fn a_rotated_token_is_another_secret_and_whoever_rotates_the_old_one_by_id_ends_nothing() {
    let stage = stage();
    let first = stage.appliance.token("alice", BOTH);
    let id = |n: usize| {
        let list = stage
            .appliance
            .json(&["token", "list", "--user", "alice", "--json"]);
        let mut ids: Vec<_> = list
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["id"].as_i64().unwrap())
            .collect();
        ids.sort_unstable();
        ids[n].to_string()
    };
    let second = stage
        .appliance
        .ok(&["token", "rotate", &id(0)])
        .trim()
        .to_owned();
    assert_eq!(login(&stage, "alice", &first).status, 401);
    assert_eq!(login(&stage, "alice", &second).status, 200);
    let refused = |number: usize| {
        let refused = stage.appliance.run_cli(&["token", "rotate", &id(number)]);
        assert_eq!(refused.status.code(), Some(1));
        String::from_utf8(refused.stderr).unwrap()
    };
    let said = refused(0);
    assert!(
        said.contains(&format!("token {} has taken its place", id(1)))
            && said.contains(&format!("`breakwater token rotate {}`", id(1))),
        "{said}"
    );
    assert_eq!(login(&stage, "alice", &second).status, 200);
    // The newest is named, not the one that came next; and where that is revoked, nothing is left to rotate.
    stage.appliance.ok(&["token", "rotate", &id(1)]);
    let said = refused(0);
    assert!(
        said.contains(&format!("token {} has taken its place", id(2))),
        "{said}"
    );
    stage.appliance.ok(&["token", "revoke", &id(2)]);
    let said = refused(0);
    assert!(
        said.contains(&format!(
            "token {}, which took its place, is revoked",
            id(2)
        )) && said.contains("token create"),
        "{said}"
    );
    assert!(refused(2).contains("was revoked on 20"), "{}", refused(2));
}

#[test]
fn failed_logins_ban_an_address_from_logins_and_from_nothing_else() {
    use crate::support::appliance::Appliance;
    let toml = "[auth]\nban_after = 3\nban_for = \"10m\"";
    let appliance = Appliance::builder().toml(toml).start();
    let client = Client::of(&appliance);
    appliance.ok(&["user", "add", "alice", "--service"]);
    let secret = appliance.token("alice", BOTH);
    let good = client.basic("alice", &secret);
    let jwt = client.bearer(&good.token(&[]));
    let hub = "repository:library/x:pull";
    for _ in 0..5 {
        // A daemon that sends its Docker Hub credentials to a mirror is no failed login.
        assert_eq!(
            client
                .basic("somebody", "at-docker-hub")
                .get(&token_path(&[hub]))
                .status,
            200
        );
    }
    for _ in 0..3 {
        assert_eq!(
            client.basic("alice", "wrong").get(&token_path(&[])).status,
            401
        );
    }
    let banned = good.get(&token_path(&[]));
    assert_eq!(banned.verdict(), (429, "TOOMANYREQUESTS".to_owned()));
    let retry: u64 = banned.field("Retry-After").unwrap().parse().unwrap();
    assert!((1..=600).contains(&retry));
    assert_eq!(jwt.get("/v2/").status, 200, "a JWT is no login");
    assert_eq!(
        client.get(&token_path(&[hub])).status,
        200,
        "nor is an anonymous pull"
    );
    let path = format!("/v2/{IMAGE}/manifests/latest");
    assert_eq!(client.bearer("no.valid.jwt").get(&path).status, 401);
}
