//! A leaked personal token ends with its parent: what it made for itself is capped, named, and revoked with it, and a JWT
//! of a child bites no longer.

use std::time::Duration;

use breakwater::time::Timestamp;
use serde_json::{Value, json};

use super::{Caller, Stage, empty, stage};
use crate::support::client::Client;

const NONE: Value = Value::Null;
const OWN: &str = "/user/personal_access_tokens";

fn new(expires_at: &str) -> Value {
    json!({ "name": "child", "scopes": ["api"], "expires_at": expires_at })
}

fn secret(token: &Value) -> &str {
    token["token"].as_str().unwrap()
}

/// `2027-01-31`, of the day so many days from now.
fn in_days(days: u64) -> String {
    let at = Timestamp::now().plus(Duration::from_secs(days * 86_400));
    at.to_string()[..10].to_owned()
}

/// A JWT for nothing, and whether it still counts.
fn login(stage: &Stage, token: &Value) -> Client {
    let client = Client::of(&stage.appliance);
    let jwt = client.basic("x", secret(token)).token(&[]);
    client.bearer(&jwt)
}

/// A short-lived token of alice, and its caller.
fn leaked<'a>(stage: &'a Stage, alice: &Caller<'_>) -> (Value, Caller<'a>) {
    let leaked = alice.ok("POST", OWN, new(&in_days(30)), 201);
    let caller = stage.caller(secret(&leaked));
    (leaked, caller)
}

#[test]
fn a_short_lived_token_makes_none_that_outlives_it() {
    let stage = stage();
    let (alice, _) = stage.user("alice");
    let (leaked, by_leaked) = leaked(&stage, &alice);
    for late in ["never", &in_days(31), "2099-01-01"] {
        let refused = by_leaked.post(OWN, new(late));
        assert_eq!(refused.status, 400, "{late}: {}", refused.text());
        let why = refused.text();
        assert!(why.contains("ends with it"), "{why}");
    }
    for fine in [&in_days(29), &in_days(30), ""] {
        let child = by_leaked.ok("POST", OWN, new(fine), 201);
        let end = child["expires_at"].as_str().unwrap();
        assert!(end <= in_days(30).as_str(), "{child}");
        assert_eq!(child["made_by"], leaked["id"]);
        let label = format!("alice (token {})", leaked["id"]);
        assert_eq!(child["created_by"], label);
    }
    // Nor in the place of another one of hers.
    let sibling = alice.ok("POST", OWN, new(""), 201);
    let rotate = format!("/personal_access_tokens/{}/rotate", sibling["id"]);
    let refused = by_leaked.post(&rotate, json!({ "expires_at": in_days(31) }));
    assert_eq!(refused.status, 400, "{}", refused.text());
    let next = by_leaked.ok("POST", &rotate, empty(), 200);
    assert_eq!(next["made_by"], leaked["id"]);
    let path = format!("/personal_access_tokens/{}", leaked["id"]);
    alice.ok("DELETE", &path, NONE, 204);
    assert_eq!(stage.caller(secret(&next)).get("/user").status, 401);
}

#[test]
fn a_child_ends_on_the_next_request_and_the_command_line_finds_what_was_made() {
    let stage = stage();
    let (alice, _) = stage.user("alice");
    stage.root().made("/groups", json!({ "path": "acme" }));
    let member = ["member", "add", "acme", "alice", "--level", "owner"];
    stage.appliance.ok(&member);
    let (leaked, by_leaked) = leaked(&stage, &alice);
    let child = by_leaked.ok("POST", OWN, new(""), 201);
    let grandchild = stage.caller(secret(&child)).ok("POST", OWN, new(""), 201);
    let deploy = json!({ "name": "k8s", "scopes": ["read_registry"] });
    let deploy = by_leaked.ok("POST", "/groups/acme/deploy_tokens", deploy, 201);
    // Rotating keeps them.
    let next = by_leaked.ok("POST", "/personal_access_tokens/self/rotate", empty(), 200);
    let jwts = [login(&stage, &child), login(&stage, &grandchild)];
    for jwt in &jwts {
        assert_eq!(jwt.get("/v2/").status, 200);
    }
    let made = |id: &Value| -> Vec<Value> {
        let command = ["token", "list", "--made-by", &id.to_string(), "--json"];
        let made = stage.appliance.json(&command);
        let made = made.as_array().unwrap().iter();
        made.map(|token| token["id"].clone()).collect()
    };
    let expected = [&child, &grandchild, &deploy].map(|token| token["id"].clone());
    assert_eq!(made(&leaked["id"]), expected);
    assert_eq!(made(&next["id"]), expected, "it is the same one");

    let path = format!("/personal_access_tokens/{}", next["id"]);
    alice.ok("DELETE", &path, NONE, 204);
    for jwt in &jwts {
        assert_eq!(jwt.get("/v2/").status, 401);
    }
    assert_eq!(stage.caller(secret(&grandchild)).get("/user").status, 401);
    let deploys = stage
        .root()
        .ok("GET", "/deploy_tokens?active=true", NONE, 200);
    assert_eq!(deploys[0]["id"], deploy["id"], "stands alone");
    let audit = stage.appliance.audit(&[]);
    let mut last = audit.as_array().unwrap().iter();
    let revoked = last.rfind(|event| event["event"] == "token.revoked");
    assert_eq!(revoked.unwrap()["details"]["with_it"], 2);
}
