//! The keys that sign JWTs, rotated by command while the server runs.

use base64::Engine as _;
use serde_json::Value;

use super::{BOTH, SCOPE, stage};
use crate::support::appliance::Appliance;
use crate::support::client::{Client, token_path};

/// The `kid` of a JWT.
fn key_of(jwt: &str) -> String {
    let head = jwt.split('.').next().unwrap();
    let json = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(head)
        .unwrap();
    let head: Value = serde_json::from_slice(&json).unwrap();
    head["kid"].as_str().unwrap().to_owned()
}

/// (id, whether it signs) of all keys, oldest first.
fn keys(appliance: &Appliance) -> Vec<(String, bool)> {
    let keys = appliance.json(&["key", "list", "--json"]);
    let keys = keys.as_array().unwrap().iter();
    keys.map(|key| (key["id"].as_str().unwrap().to_owned(), key["signs"] == true))
        .collect()
}

#[test]
fn a_rotated_key_signs_at_once_and_nobody_has_to_log_in_again() {
    let mut stage = stage();
    let secret = stage.appliance.token("alice", BOTH);
    let basic = stage.client.basic("alice", &secret);
    let old = basic.token(&[SCOPE]);
    assert_eq!(stage.manifest(&stage.client.bearer(&old)).status, 200);
    let said = stage.appliance.ok(&["key", "rotate"]);
    let [(first, false), (second, true)] = &keys(&stage.appliance)[..] else {
        panic!("{:?}", keys(&stage.appliance));
    };
    assert_eq!(said, format!("key {second} signs from now on\n"));
    let new = basic.token(&[SCOPE]);
    assert_eq!((&key_of(&old), &key_of(&new)), (first, second));
    // Both, by the running server and by the next one.
    for _ in 0..2 {
        for jwt in [&old, &new] {
            assert_eq!(stage.manifest(&stage.client.bearer(jwt)).status, 200);
        }
        stage.appliance.restart();
    }
    // One that has leaked goes with all that it signed.
    stage.appliance.ok(&["key", "rotate", "--at-once"]);
    for jwt in [&old, &new] {
        assert_eq!(stage.manifest(&stage.client.bearer(jwt)).status, 401);
    }
    let client = stage.client.bearer(&basic.token(&[SCOPE]));
    assert_eq!(stage.manifest(&client).status, 200);
    assert_eq!(keys(&stage.appliance).len(), 1);
    let audit = stage.appliance.audit(&[]);
    let told = audit.as_array().unwrap().iter();
    let told: Vec<_> = told
        .filter(|event| event["subject_kind"] == "key")
        .map(|event| {
            let word = |key: &str| event[key].as_str().unwrap();
            (word("event"), word("subject"))
        })
        .collect();
    let third = &keys(&stage.appliance)[0].0;
    assert_eq!(
        told,
        [
            ("key.rotated", second.as_str()),
            ("key.rotated", third),
            ("key.removed", first),
            ("key.removed", second),
        ]
    );
    // No key stands in what was printed: it is 64 hex digits.
    let text = stage.appliance.ok(&["key", "list"]) + &audit.to_string();
    let words = text.split(|c: char| !c.is_ascii_hexdigit());
    assert!(words.map(str::len).max() < Some(32), "{text}");
}

#[test]
fn a_key_whose_tokens_are_over_goes_at_a_rotation_or_a_start() {
    let mut appliance = Appliance::builder()
        .toml("[auth]\ntoken_ttl = \"1s\"")
        .start();
    let root = appliance.root_password();
    let login = |appliance: &Appliance| {
        let client = Client::of(appliance).basic("root", &root);
        let answer = client.get(&token_path(&[]));
        key_of(answer.json()["token"].as_str().unwrap())
    };
    let first = login(&appliance);
    appliance.ok(&["key", "rotate"]);
    let second = login(&appliance);
    let wait_until_retired = |appliance: &Appliance, count: usize| {
        let begun = std::time::Instant::now();
        while appliance.ok(&["key", "list"]).matches("retired").count() < count {
            assert!(begun.elapsed().as_secs() < 60);
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    };
    wait_until_retired(&appliance, 1);
    appliance.ok(&["key", "rotate"]);
    let third = login(&appliance);
    let ids: Vec<_> = keys(&appliance).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [second.as_str(), &third], "{first} is gone");
    wait_until_retired(&appliance, 1);
    appliance.restart();
    assert_eq!(keys(&appliance), [(third.clone(), true)]);
    assert_eq!(login(&appliance), third);
}
