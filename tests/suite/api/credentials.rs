//! Which credentials the API takes, and how it refuses the others: as GitLab does.

use breakwater::auth::secret::Secret;
use breakwater::store::TokenKind;
use serde_json::json;

use super::stage;
use crate::support::appliance::Appliance;
use crate::support::client::{Client, token_path};

#[test]
fn a_token_s_secret_alone_opens_the_api() {
    let stage = stage();
    let api = stage.appliance.token("alice", &["api"]);
    let registry = stage
        .appliance
        .token("alice", &["read_registry", "write_registry"]);
    let jwt = stage.client.basic("alice", &api).token(&[]);
    stage.appliance.ok(&["group", "add", "acme"]);
    let deploy = [
        "token",
        "create",
        "--name",
        "d",
        "--deploy",
        "acme",
        "--username",
        "d",
        "--scope",
        "read_registry",
    ];
    let deploy = stage.appliance.ok(&deploy).trim_end().to_owned();
    stage.appliance.ok(&["project", "add", "acme/api"]);
    let job = [
        "token", "create", "--name", "j", "--job", "acme/api", "--user", "alice",
    ];
    let job = stage.appliance.ok(&job).trim_end().to_owned();
    let password = stage.appliance.root_password();
    let anonymous = &stage.client;
    let table = [
        ("PRIVATE-TOKEN", anonymous.with("PRIVATE-TOKEN", &api), 200),
        ("Bearer", anonymous.bearer(&api), 200),
        ("nothing", anonymous.clone(), 401),
        ("Basic with the token", anonymous.basic("alice", &api), 401),
        (
            "Basic with a password",
            anonymous.basic("root", &password),
            401,
        ),
        (
            "a password as a token",
            anonymous.with("PRIVATE-TOKEN", &password),
            401,
        ),
        ("a registry's JWT", anonymous.bearer(&jwt), 401),
        (
            "a registry's JWT as PRIVATE-TOKEN",
            anonymous.with("PRIVATE-TOKEN", &jwt),
            401,
        ),
        (
            "a deploy token",
            anonymous.with("PRIVATE-TOKEN", &deploy),
            401,
        ),
        ("a job token", anonymous.with("PRIVATE-TOKEN", &job), 401),
        (
            "a typing error",
            anonymous.with("PRIVATE-TOKEN", &format!("{api}x")),
            401,
        ),
        (
            "registry scopes",
            anonymous.with("PRIVATE-TOKEN", &registry),
            403,
        ),
    ];
    for (what, client, expected) in table {
        let answer = client.get("/api/v4/user");
        assert_eq!(answer.status, expected, "{what}: {}", answer.text());
        if expected == 401 {
            assert_eq!(answer.text(), r#"{"message":"401 Unauthorized"}"#, "{what}");
        }
        // The OCI challenge belongs to the registry protocol.
        assert_eq!(answer.field("WWW-Authenticate"), None, "{what}");
    }
    assert!(!stage.appliance.log().contains(&api));
}

#[test]
fn reading_takes_read_api_and_changing_takes_api() {
    let stage = stage();
    stage
        .appliance
        .ok(&["user", "add", "boss", "--admin", "--service"]);
    let reader = stage.caller(&stage.appliance.token("boss", &["read_api"]));
    let registry = stage.caller(&stage.appliance.token("boss", &["read_registry"]));
    assert_eq!(reader.get("/groups").status, 200);
    let refused = reader.post("/groups", json!({ "path": "acme" }));
    assert_eq!(refused.status, 403);
    let told = refused.json();
    assert_eq!(told["error"], "insufficient_scope");
    assert_eq!(told["scope"], "api");
    assert_eq!(registry.get("/groups").json()["scope"], "api read_api");
    // What concerns the token itself takes no scope.
    assert_eq!(registry.get("/personal_access_tokens/self").status, 200);
    assert_eq!(registry.delete("/personal_access_tokens/self").status, 204);
    let again = registry.get("/personal_access_tokens/self");
    assert_eq!(again.status, 401);
    assert_eq!(
        again.json()["error_description"],
        "Token was revoked. You have to re-authorize from the user."
    );
}

/// However often the old secret was sent before.
#[test]
fn a_rate_that_is_exceeded_saves_no_family() {
    const ROTATE: &str = "/personal_access_tokens/self/rotate";
    let stage = stage();
    let first = stage.appliance.token("alice", &["api"]);
    let alice = stage.caller(&first);
    let second = alice.ok("POST", ROTATE, json!({}), 200);
    let second = stage.caller(second["token"].as_str().unwrap());
    let old = stage.client.basic("alice", &first);
    let slowed = (0..130).map(|_| old.get(&token_path(&[])).status);
    assert!(slowed.into_iter().any(|status| status == 429));
    assert_eq!(second.get("/user").status, 200);
    let refused = alice.post(ROTATE, json!({})).status;
    // 401 where a minute has just begun.
    assert!(matches!(refused, 401 | 429), "{refused}");
    assert_eq!(second.get("/user").status, 401);
    for _ in 0..70 {
        alice.post(ROTATE, json!({}));
    }
    let events = stage.appliance.audit(&["--event", "token.family_revoked"]);
    assert!(events.as_array().unwrap().len() <= 121, "{events}");
}

/// Deploy tokens are not for the API, and neither is what their old secrets would say of them.
#[test]
fn the_old_secret_of_a_deploy_token_says_and_does_nothing_at_the_api() {
    let stage = stage();
    stage.appliance.ok(&["group", "add", "acme"]);
    let made = stage.appliance.json(&[
        "token",
        "create",
        "--name",
        "d",
        "--deploy",
        "acme",
        "--username",
        "d",
        "--scope",
        "read_registry",
        "--json",
    ]);
    let id = made["id"].to_string();
    let next = stage.appliance.json(&["token", "rotate", &id, "--json"]);
    let (old, new) = (
        made["token"].as_str().unwrap(),
        next["token"].as_str().unwrap(),
    );
    let body = |secret: &str| {
        let caller = stage.caller(secret);
        let answer = caller.post("/personal_access_tokens/self/rotate", json!({}));
        (answer.status, answer.body)
    };
    let unknown = Secret::mint(TokenKind::Deploy);
    assert_eq!(body(old), body(unknown.unwrap().expose()));
    let logs_in = |secret: &str| {
        let client = stage.client.basic("d", secret);
        client.get(&token_path(&[])).status
    };
    assert_eq!((logs_in(old), logs_in(new)), (401, 200));
}

#[test]
fn a_rotated_token_that_is_used_again_costs_the_whole_family() {
    let stage = stage();
    let first = stage.appliance.token("alice", &["api"]);
    let alice = stage.caller(&first);
    let second = alice.ok(
        "POST",
        "/personal_access_tokens/self/rotate",
        json!({}),
        200,
    );
    let second = stage.caller(second["token"].as_str().unwrap());
    assert_eq!(second.get("/user").status, 200);
    // An ordinary request with the old one is only refused.
    assert_eq!(alice.get("/user").status, 401);
    assert_eq!(second.get("/user").status, 200);
    // Rotating it says that somebody has a secret that should be gone.
    assert_eq!(
        alice
            .post("/personal_access_tokens/self/rotate", json!({}))
            .status,
        401
    );
    assert_eq!(second.get("/user").status, 401);
    // By id nobody proves that he has the secret: the old one may lie in somebody's list.
    let root = stage.root();
    let id = root.ok(
        "POST",
        "/user/personal_access_tokens",
        json!({ "name": "x", "scopes": ["api"] }),
        201,
    )["id"]
        .clone();
    let next = root.ok(
        "POST",
        &format!("/personal_access_tokens/{id}/rotate"),
        json!({}),
        200,
    );
    let again = root.post(&format!("/personal_access_tokens/{id}/rotate"), json!({}));
    assert_eq!(again.status, 400);
    assert_eq!(
        again.json()["message"],
        format!(
            "400 Bad request - token already revoked: token {id} was rotated already, and token {} has taken its place",
            next["id"]
        )
    );
    let next = root.ok(
        "GET",
        &format!("/personal_access_tokens/{}", next["id"]),
        json!(null),
        200,
    );
    assert_eq!(
        (&next["revoked"], &next["active"]),
        (&json!(false), &json!(true))
    );
}

#[test]
fn guessing_bans_the_address() {
    let appliance = Appliance::builder().toml("[auth]\nban_after = 3").start();
    let client = Client::of(&appliance);
    let good = appliance.token("alice", &["api"]);
    for _ in 0..3 {
        assert_eq!(
            client
                .with("PRIVATE-TOKEN", "guess")
                .get("/api/v4/user")
                .status,
            401
        );
    }
    let banned = client.with("PRIVATE-TOKEN", &good).get("/api/v4/user");
    assert_eq!(banned.status, 429, "{}", banned.text());
    assert!(banned.field("Retry-After").is_some());
    assert_eq!(
        client.basic("alice", &good).get("/v2/").status,
        429,
        "logins share the count"
    );
}

#[test]
fn bodies_are_bounded_and_typed() {
    let stage = stage();
    let secret = stage.appliance.token("root", &["api"]);
    let client = stage.client.with("PRIVATE-TOKEN", &secret);
    let json = client.with("Content-Type", "application/json");
    let post =
        |client: &Client, body: &str| client.request("POST", "/api/v4/groups", body.as_bytes());
    let table: &[(&str, u16, &str)] = &[
        ("", 400, r#"{"error":"path is missing"}"#),
        ("{}", 400, r#"{"error":"path is missing"}"#),
        (r#"{"path":7}"#, 400, r#"{"error":"path is invalid"}"#),
        (
            r#"{"visibility":"internal","parent_id":"x"}"#,
            400,
            r#"{"error":"path is missing, parent_id is invalid, visibility does not have a valid value"}"#,
        ),
        ("[1]", 400, r#"{"error":"the body is no JSON object"}"#),
        ("{", 400, r#"{"error":"the body is no JSON object"}"#),
        ("\u{0}", 400, r#"{"error":"the body is no JSON object"}"#),
        (r#"{"path":"a","unknown":{"deep":[1]}}"#, 201, ""),
    ];
    for (body, status, text) in table {
        let answer = post(&json, body);
        assert_eq!(answer.status, *status, "{body}: {}", answer.text());
        if !text.is_empty() {
            assert_eq!(answer.text(), *text, "{body}");
        }
    }
    let deep = format!("{{\"path\":{}", "[".repeat(60_000));
    assert_eq!(post(&json, &deep).status, 400);
    let large = format!("{{\"path\":\"{}\"}}", "a".repeat(70_000));
    assert_eq!(post(&json, &large).status, 413);
    assert_eq!(
        post(&client.with("Content-Type", "text/xml"), "<a/>").status,
        415
    );
    let form = client.post_form(
        "/api/v4/groups",
        &[("path", "by-form"), ("visibility", "public")],
    );
    assert_eq!(
        (form.status, form.json()["visibility"].clone()),
        (201, json!("public"))
    );
    let path = "/api/v4/user/personal_access_tokens";
    let form = client.post_form(
        path,
        &[
            ("name", "f"),
            ("scopes[]", "api"),
            ("scopes[]", "read_registry"),
        ],
    );
    assert_eq!(
        form.json()["scopes"],
        json!(["api", "read_registry"]),
        "{}",
        form.text()
    );
    for (fields, part) in [
        (json!({ "name": "x", "scopes": ["sudo"] }), "is not a scope"),
        (json!({ "name": "x", "scopes": [] }), "without scopes"),
        (
            json!({ "name": "x\u{1b}", "scopes": ["api"] }),
            "not a token's name",
        ),
        (
            json!({ "name": "x", "scopes": ["api"], "expires_at": "2020-01-01" }),
            "not in the future",
        ),
        (
            json!({ "name": "x", "scopes": ["api"], "expires_at": "tomorrow" }),
            "no time to expire",
        ),
    ] {
        let answer = json.request("POST", path, fields.to_string().as_bytes());
        assert_eq!(answer.status, 400, "{fields}");
        assert!(answer.text().contains(part), "{fields}: {}", answer.text());
    }
    let head = client.head("/api/v4/user");
    assert_eq!((head.status, head.body.len()), (200, 0));
}
