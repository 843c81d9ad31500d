//! What the audit says of logins and refusals: who, what, from where, in which request, and no secret.

use serde_json::Value;

use super::{BOTH, IMAGE, SCOPE, Stage, stage};
use crate::support::appliance::Appliance;
use crate::support::client::{Client, token_path};

/// The events whose kind begins with one of these, once `until` holds for them; they are written about a
/// second after they happened.
fn events(appliance: &Appliance, kinds: &[&str], until: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let begun = std::time::Instant::now();
    loop {
        let events = appliance.audit(&[]);
        let mut events = events.as_array().unwrap().clone();
        events.retain(|event| {
            let kind = event["event"].as_str().unwrap();
            kinds.iter().any(|start| kind.starts_with(start))
        });
        if until(&events) {
            return events;
        }
        assert!(begun.elapsed().as_secs() < 30, "{events:#?}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// `login.failed unknown | user alice | credential=password`, and whatever else there is.
fn line(event: &Value) -> String {
    let text = |key: &str| event[key].as_str().unwrap_or("-").to_owned();
    format!(
        "{} {} | {} {} | {} {} | {}",
        text("event"),
        text("actor"),
        text("subject_kind"),
        text("subject"),
        text("user"),
        text("group"),
        event["details"]
    )
}

/// The last token that was made.
fn newest_token(stage: &Stage) -> u64 {
    let tokens = stage.appliance.json(&["token", "list", "--json"]);
    let ids = tokens.as_array().unwrap().iter();
    ids.filter_map(|token| token["id"].as_u64()).max().unwrap()
}

#[test]
fn logins_are_told_with_their_kind_and_never_with_the_credential() {
    let stage = stage();
    let add = &["user", "add", "carol", "--password-stdin"];
    stage.appliance.ok_with_input(add, "first Passw0rd\n");
    let personal = stage.appliance.token("alice", BOTH);
    let deploy = stage.appliance.ok(&[
        "token",
        "create",
        "--name",
        "farm",
        "--deploy",
        "acme",
        "--username",
        "puller",
        "--scope",
        "read_registry",
    ]);
    let revoked = stage.appliance.token("alice", BOTH);
    let id = newest_token(&stage).to_string();
    stage.appliance.ok(&["token", "revoke", &id]);
    let mistyped = format!("{}!", &personal[..35]);
    let get = |user: &str, secret: &str, request: &str, status: u16| {
        let client = stage.client.basic(user, secret);
        let client = client.with("X-Request-Id", request);
        assert_eq!(client.get(&token_path(&[])).status, status, "{request}");
    };
    get("carol", "first Passw0rd", "password", 200);
    get("whoever", &personal, "personal", 200);
    get("puller", deploy.trim_end(), "deploy", 200);
    get("carol", "wrong Passw0rd", "wrong", 401);
    get("my-Passw0rd-in-the-wrong-field", "x", "unknown", 401);
    get("alice", &revoked, "revoked", 401);
    get("other", deploy.trim_end(), "not-its-name", 401);
    get("alice", &mistyped, "mistyped", 401);
    let events = events(&stage.appliance, &["login."], |events| events.len() >= 8);
    let mut lines: Vec<_> = events.iter().map(line).collect();
    lines.sort();
    let mut expected = [
        r#"login.succeeded carol | user carol | carol - | {"credential":"password"}"#,
        r#"login.succeeded alice (token 1) | token test | alice - | {"credential":"personal token"}"#,
        r#"login.succeeded acme (deploy token 2) | token farm | - acme | {"credential":"deploy token"}"#,
        r#"login.failed unknown | user carol | carol - | {"credential":"password","why":"wrong password"}"#,
        r#"login.failed unknown | - - | - - | {"credential":"password","why":"no such user"}"#,
        r#"login.failed unknown | token test | alice - | {"credential":"personal token","why":"revoked"}"#,
        r#"login.failed unknown | token farm | - acme | {"credential":"deploy token","why":"other user name"}"#,
        r#"login.failed unknown | - - | - - | {"credential":"mistyped token","why":"wrong checksum"}"#,
    ];
    expected.sort_unstable();
    assert_eq!(lines, expected);
    for event in &events {
        assert_eq!(event["address"], "127.0.0.1", "{event}");
    }
    let mut requests: Vec<_> = events
        .iter()
        .map(|event| event["correlation_id"].as_str().unwrap())
        .collect();
    requests.sort_unstable();
    let mut expected = [
        "password",
        "personal",
        "deploy",
        "wrong",
        "unknown",
        "revoked",
        "not-its-name",
        "mistyped",
    ];
    expected.sort_unstable();
    assert_eq!(requests, expected);
    let text = stage.appliance.ok(&["audit", "--json"]);
    for secret in [
        "Passw0rd",
        &personal[4..],
        &revoked[4..],
        &deploy.trim_end()[4..],
    ] {
        assert!(!text.contains(secret), "{secret} stands in {text}");
    }
}

#[test]
fn refusals_are_told_once_a_minute_with_a_count() {
    let stage = stage();
    let mallory = stage.appliance.token("mallory", BOTH);
    let reader = stage.appliance.token("alice", &["read_api"]);
    let manifest = format!("/v2/{IMAGE}/manifests/latest");
    // Hidden.
    let client = stage
        .client
        .bearer(&stage.client.basic("mallory", &mallory).token(&[SCOPE]));
    for _ in 0..3 {
        assert_eq!(client.get(&manifest).status, 404);
    }
    // Denied.
    let denied = stage.client.basic("alice", &reader);
    assert_eq!(denied.get(&token_path(&[])).status, 403);
    // No longer valid.
    let alice = stage.appliance.token("alice", BOTH);
    let client = stage.login("alice", &alice);
    let id = newest_token(&stage).to_string();
    assert_eq!(client.get(&manifest).status, 200);
    stage.appliance.ok(&["token", "revoke", &id]);
    assert_eq!(client.get(&manifest).status, 401);
    assert_eq!(stage.client.bearer("forged").get(&manifest).status, 401);
    // Of a hosted repository, too.
    let client = stage.client.basic("mallory", &mallory);
    let client = stage
        .client
        .bearer(&client.token(&["repository:acme/api/tool:pull"]));
    assert_eq!(client.get("/v2/acme/api/tool/tags/list").status, 404);
    // Neither a challenge, nor an image that is not there, is a refusal.
    assert_eq!(stage.client.get(&manifest).status, 401);
    let root = stage.appliance.root_password();
    let absent = format!("/v2/{IMAGE}/manifests/absent");
    assert_eq!(stage.login("root", &root).get(&absent).status, 404);
    let is_all = |events: &[Value]| {
        let count = |event: &Value| event["count"].as_u64().unwrap();
        events.iter().map(count).sum::<u64>() == 7
    };
    let events = events(&stage.appliance, &["access."], is_all);
    let mut lines: Vec<_> = events.iter().map(line).collect();
    lines.sort();
    // The minute may turn between the three.
    lines.dedup();
    let expected = [
        "access.denied alice (token 2) | path /jwt/auth | - - | access forbidden: the token lacks the ability read_dependency_proxy_container".to_owned(),
        "access.hidden mallory (token 1) | path /v2/acme/api/tool/tags/list | - acme | no project owns the path"
            .to_owned(),
        format!("access.hidden mallory (token 1) | path {manifest} | - acme | the group is private, and the caller is no member"),
        format!("access.unauthorized alice (token 3) | path {manifest} | - acme | what this token was issued for is no longer valid: revoked"),
        format!("access.unauthorized unknown | path {manifest} | - acme | the token is not valid"),
    ];
    let expected = expected.map(|line| {
        let (line, why) = line.rsplit_once(" | ").unwrap();
        format!(r#"{line} | {{"why":"{why}"}}"#)
    });
    assert_eq!(lines, expected);
    let by_group = stage.appliance.audit(&["--group", "acme"]);
    let kinds: Vec<_> = by_group
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    assert!(kinds.contains(&"group.created") && kinds.contains(&"access.hidden"));
}

#[test]
fn a_ban_is_told_and_what_it_turns_away() {
    let appliance = Appliance::builder().toml("[auth]\nban_after = 3").start();
    let client = Client::of(&appliance).basic("root", "wr0ng-Passw0rd");
    let statuses: Vec<_> = (0..5)
        .map(|_| client.get(&token_path(&[])).status)
        .collect();
    assert_eq!(statuses, [401, 401, 401, 429, 429]);
    let until = |events: &[Value]| {
        let turned_away = events
            .iter()
            .filter(|event| event["event"] == "login.turned_away");
        turned_away
            .filter_map(|event| event["count"].as_u64())
            .sum::<u64>()
            == 2
    };
    let events = events(&appliance, &["login."], until);
    let mut lines: Vec<_> = events.iter().map(line).collect();
    lines.sort();
    lines.dedup();
    assert_eq!(
        lines,
        [
            r#"login.banned unknown | user root | root - | {"credential":"password","of":"account"}"#,
            r#"login.banned unknown | user root | root - | {"credential":"password","of":"address"}"#,
            r#"login.failed unknown | user root | root - | {"credential":"password","why":"wrong password"}"#,
            r#"login.turned_away unknown | user root | root - | {"credential":"password","why":"banned"}"#,
        ]
    );
}
