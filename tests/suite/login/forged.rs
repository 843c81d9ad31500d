//! JWTs that this box has not issued, for itself, for now: each is a 401, as the real server answers it.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::{BOTH, IMAGE, SCOPE, stage};

/// The key that the box signs with: its id, and its bytes from hex.
fn key(data: &Path) -> (String, Vec<u8>) {
    let files = std::fs::read_dir(data.join("keys")).unwrap();
    let paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    let [path] = &paths[..] else {
        panic!("{paths:?}");
    };
    let name = path.file_name().unwrap().to_str().unwrap();
    let id = name.strip_prefix("jwt-").unwrap();
    let id = id.strip_suffix(".key").unwrap();
    let hex = std::fs::read_to_string(path).unwrap();
    let bytes = (0..hex.len()).step_by(2);
    let bytes = bytes.map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
    (id.to_owned(), bytes.collect())
}

fn encoded(json: &Value) -> String {
    BASE64.encode(json.to_string())
}

/// Head and payload, signed by `algorithm`, whatever the head says.
fn signed(head: &Value, payload: &Value, key: &[u8], algorithm: Algorithm) -> String {
    let message = format!("{}.{}", encoded(head), encoded(payload));
    let key = EncodingKey::from_secret(key);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).unwrap();
    format!("{message}.{signature}")
}

#[test]
fn what_this_box_has_not_issued_for_itself_and_for_now_is_refused() {
    let stage = stage();
    let secret = stage.appliance.token("alice", BOTH);
    let jwt = stage.client.basic("alice", &secret).token(&[SCOPE]);
    let parts: Vec<&str> = jwt.split('.').collect();
    let decode =
        |part: &str| -> Value { serde_json::from_slice(&BASE64.decode(part).unwrap()).unwrap() };
    let (head, payload) = (decode(parts[0]), decode(parts[1]));
    let (id, key) = key(&stage.appliance.data());
    assert_eq!((&head["kid"], &head["alg"]), (&json!(id), &json!("HS256")));
    let with = |of: &Value, name: &str, value: Value| {
        let mut of = of.clone();
        assert!(!of[name].is_null(), "{name}: {of}");
        of[name] = value;
        of
    };
    let without = |of: &Value, name: &str| {
        let mut of = of.clone();
        assert!(of.as_object_mut().unwrap().remove(name).is_some(), "{name}");
        of
    };
    let ours = |payload: &Value| signed(&head, payload, &key, Algorithm::HS256);
    let by_head = |head: &Value| signed(head, &payload, &key, Algorithm::HS256);
    let now = payload["iat"].as_i64().unwrap();
    let unsigned = |head: &Value| format!("{}.{}.", encoded(head), parts[1]);
    let none = |word: &str| unsigned(&with(&head, "alg", json!(word)));
    let edited = |payload: &Value| format!("{}.{}.{}", parts[0], encoded(payload), parts[2]);
    let mut flipped = parts[2].to_owned();
    let first = if flipped.starts_with('A') { "B" } else { "A" };
    flipped.replace_range(..1, first);
    let other = json!([{ "type": "repository", "name": "acme/dependency_proxy/containers/other", "actions": ["pull"] }]);

    // The forger's tools work: with nothing changed, it is as good as the box's own.
    let path = format!("/v2/{IMAGE}/manifests/latest");
    for genuine in [jwt.clone(), ours(&payload)] {
        assert_eq!(stage.client.bearer(&genuine).get(&path).status, 200);
    }

    let table: Vec<(&str, String)> = vec![
        (
            "another key",
            signed(&head, &payload, &[7; 32], Algorithm::HS256),
        ),
        (
            "an empty key",
            signed(&head, &payload, b"", Algorithm::HS256),
        ),
        (
            "the key's id for a key",
            signed(&head, &payload, id.as_bytes(), Algorithm::HS256),
        ),
        (
            "an unknown key id",
            by_head(&with(&head, "kid", json!("000000000001-ffffffff"))),
        ),
        (
            "a path for a key id",
            by_head(&with(&head, "kid", json!("../../secret"))),
        ),
        ("no key id", by_head(&without(&head, "kid"))),
        ("alg none", none("none")),
        ("alg None", none("None")),
        ("alg NONE", none("NONE")),
        ("alg nothing", unsigned(&with(&head, "alg", json!("")))),
        ("no alg", by_head(&without(&head, "alg"))),
        (
            "alg none with our signature",
            by_head(&with(&head, "alg", json!("none"))),
        ),
        (
            "RS256 with our signature",
            by_head(&with(&head, "alg", json!("RS256"))),
        ),
        (
            "PS256 with our signature",
            by_head(&with(&head, "alg", json!("PS256"))),
        ),
        (
            "ES256 with our signature",
            by_head(&with(&head, "alg", json!("ES256"))),
        ),
        (
            "EdDSA with our signature",
            by_head(&with(&head, "alg", json!("EdDSA"))),
        ),
        (
            "HS384 under our key",
            signed(
                &with(&head, "alg", json!("HS384")),
                &payload,
                &key,
                Algorithm::HS384,
            ),
        ),
        (
            "HS512 under our key",
            signed(
                &with(&head, "alg", json!("HS512")),
                &payload,
                &key,
                Algorithm::HS512,
            ),
        ),
        (
            "HS256, signed by HS512",
            signed(&head, &payload, &key, Algorithm::HS512),
        ),
        ("expired", ours(&with(&payload, "exp", json!(now - 1)))),
        (
            "expired at this moment",
            ours(&with(&payload, "exp", json!(now))),
        ),
        (
            "from the future",
            ours(&with(&payload, "nbf", json!(now + 3_600))),
        ),
        (
            "another audience",
            ours(&with(&payload, "aud", json!("elsewhere"))),
        ),
        ("no audience", ours(&without(&payload, "aud"))),
        (
            "another issuer",
            ours(&with(&payload, "iss", json!("elsewhere"))),
        ),
        ("no issuer", ours(&without(&payload, "iss"))),
        ("no end", ours(&without(&payload, "exp"))),
        ("no beginning", ours(&without(&payload, "nbf"))),
        ("nobody's", ours(&without(&payload, "bearer"))),
        (
            "a token's that does not exist",
            ours(&with(&payload, "bearer", json!({ "token": { "id": 99 } }))),
        ),
        (
            "a word for an end",
            ours(&with(&payload, "exp", json!("never"))),
        ),
        (
            "an edited end",
            edited(&with(&payload, "exp", json!(now + 1_000_000))),
        ),
        (
            "an edited bearer",
            edited(&with(
                &payload,
                "bearer",
                json!({ "password": { "user": 1, "version": 1 } }),
            )),
        ),
        (
            "an edited access",
            edited(&with(&payload, "access", other.clone())),
        ),
        (
            "for another repository",
            ours(&with(&payload, "access", other)),
        ),
        ("for nothing", ours(&with(&payload, "access", json!([])))),
        (
            "an edited signature",
            format!("{}.{}.{flipped}", parts[0], parts[1]),
        ),
        ("half a signature", jwt[..jwt.len() - 20].to_owned()),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("four parts", format!("{jwt}.{}", parts[2])),
        ("the token's own secret", secret.clone()),
        ("nothing", String::new()),
        ("dots", "..".to_owned()),
    ];
    for (what, forged) in table {
        assert_ne!(forged, jwt, "{what}");
        let client = stage.client.bearer(&forged);
        for answer in [
            client.get(&path),
            client.get(&path.replace("manifests/latest", "tags/list")),
        ] {
            let verdict = (401, "UNAUTHORIZED".to_owned());
            assert_eq!(answer.verdict(), verdict, "{what}: {}", answer.text());
            let challenge = answer.field("WWW-Authenticate").unwrap_or_default();
            assert!(
                challenge.starts_with("Bearer realm="),
                "{what}: {challenge}"
            );
            assert!(answer.cache().is_empty(), "{what}");
            assert!(
                !answer.text().contains(&id) && !answer.text().contains("key"),
                "{what}"
            );
        }
        assert_eq!(client.head(&path).status, 401, "{what}");
    }
    assert_eq!(
        stage.fake.count("GET", "/manifests/"),
        1,
        "only the genuine ones asked"
    );
}
