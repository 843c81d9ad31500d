//! The ways to log in, what is said of a login that is worth nothing, and that no secret is left behind.

use serde_json::json;

use super::{BOTH, IMAGE, SCOPE, stage, walk};
use crate::support::client::{assert_sound, token_path};

#[test]
fn a_token_without_the_ability_is_told_what_it_lacks() {
    let stage = stage();
    let secret = stage.appliance.token("alice", &["read_api"]);
    let basic = stage.client.basic("alice", &secret);
    let form = stage.client.post_form(
        "/jwt/auth",
        &[
            ("grant_type", "refresh_token"),
            ("service", "dependency_proxy"),
            ("refresh_token", &secret),
        ],
    );
    for answer in [
        basic.get(&token_path(&[])),
        basic.get(&token_path(&[SCOPE])),
        form,
    ] {
        assert_eq!(
            answer.verdict(),
            (403, "DENIED".to_owned()),
            "{}",
            answer.text()
        );
        let json = answer.json();
        assert_eq!(json["message"], "access forbidden");
        assert_eq!(
            (&json["status"], &json["http_status"]),
            (&json!("error"), &json!(403))
        );
        let message = answer.message();
        assert!(
            message.contains("read_dependency_proxy_container"),
            "{message}"
        );
    }
    let base = basic.get("/v2/");
    assert_eq!(
        base.verdict(),
        (403, "DENIED".to_owned()),
        "{}",
        base.text()
    );
}

#[test]
fn every_way_to_log_in_gives_a_token_that_works() {
    let stage = stage();
    let password = stage.appliance.root_password();
    let secret = stage.appliance.token("alice", BOTH);
    let form = |fields: &[(&str, &str)]| {
        let common = [
            ("service", "dependency_proxy"),
            ("client_id", "docker"),
            ("scope", SCOPE),
        ];
        stage
            .client
            .post_form("/jwt/auth", &[&common[..], fields].concat())
    };
    let get = token_path(&[SCOPE]);
    let answers = [
        stage.client.basic("root", &password).get(&get),
        stage.client.basic("alice", &secret).get(&get),
        stage.client.basic("any name will do", &secret).get(&get),
        form(&[
            ("grant_type", "password"),
            ("username", "root"),
            ("password", &password),
        ]),
        form(&[
            ("grant_type", "password"),
            ("username", "alice"),
            ("password", &secret),
        ]),
        form(&[("grant_type", "refresh_token"), ("refresh_token", &secret)]),
    ];
    for answer in answers {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let json = answer.json();
        let client = stage.client.bearer(json["token"].as_str().unwrap());
        assert_eq!(client.get("/v2/").status, 200);
        stage.pull(&client);
        assert_eq!(json["access_token"], json["token"]);
        assert!(json["expires_in"].is_u64() && json["issued_at"].is_string());
        assert_eq!(answer.field("Cache-Control"), Some("no-store"));
    }
    assert_eq!(
        stage.client.basic("root", &password).get("/v2/").status,
        200
    );
    // What is no login.
    for fields in [
        &[
            ("grant_type", "refresh_token"),
            ("refresh_token", password.as_str()),
        ][..],
        &[("grant_type", "refresh_token")],
        &[("grant_type", "password"), ("username", "root")],
        &[("grant_type", "authorization_code")],
        &[],
    ] {
        let answer = form(fields);
        assert!(
            matches!(answer.status, 400 | 401),
            "{fields:?}: {}",
            answer.text()
        );
        assert!(!answer.code().is_empty(), "{}", answer.text());
    }
    let services = [
        ("dependency_proxy", 200),
        ("container_registry", 200),
        ("registry.docker.io", 200),
        ("elsewhere", 404),
        ("", 404),
    ];
    for (service, status) in services {
        let path = format!("/jwt/auth?service={service}");
        let answer = stage.client.basic("root", &password).get(&path);
        assert_eq!(answer.status, status, "{service}: {}", answer.text());
    }
    assert_sound(&stage.appliance);
}

#[test]
fn a_token_opens_only_what_it_was_issued_for() {
    let stage = stage();
    let secret = stage.appliance.token("alice", BOTH);
    stage
        .fake
        .put_image("library/other", "latest", &stage.image);
    let client = stage.login("alice", &secret);
    let other = "/v2/acme/dependency_proxy/containers/other/manifests/latest";
    let refused = client.get(other);
    assert_eq!(refused.verdict(), (401, "UNAUTHORIZED".to_owned()));
    let challenge = refused.field("WWW-Authenticate").unwrap();
    assert!(
        challenge.contains(r#"error="insufficient_scope""#),
        "{challenge}"
    );
    let scope = r#"scope="repository:acme/dependency_proxy/containers/other:pull""#;
    assert!(challenge.contains(scope), "{challenge}");
    assert_eq!(stage.fake.requests().len(), 0);
    // A token without scopes, one for pushing alone, and one for more than one repository.
    let basic = stage.client.basic("alice", &secret);
    for (scopes, status) in [
        (&[][..], 401),
        (
            &["repository:acme/dependency_proxy/containers/other:push"],
            401,
        ),
        (
            &[
                SCOPE,
                "repository:acme/dependency_proxy/containers/other:pull,push",
            ],
            200,
        ),
    ] {
        let got = stage.client.bearer(&basic.token(scopes)).get(other);
        assert_eq!(got.status, status, "{scopes:?}: {}", got.text());
    }
    // A secret itself is no Bearer token, and a changed one is nobody's.
    assert_eq!(stage.client.bearer(&secret).get(other).status, 401);
    let jwt = basic.token(&[SCOPE]);
    let (head, signature) = jwt.rsplit_once('.').unwrap();
    let path = format!("/v2/{IMAGE}/manifests/latest");
    for forged in [
        format!("{head}."),
        format!("{head}.{signature}A"),
        head.to_owned(),
    ] {
        assert_eq!(
            stage.client.bearer(&forged).get(&path).status,
            401,
            "{forged}"
        );
    }
    assert_eq!(stage.client.bearer(&jwt).get(&path).status, 200);
}

#[test]
fn no_secret_is_left_in_the_log_or_on_the_disk() {
    let mut stage = stage();
    let password = "correct horse Battery9";
    let add = &["user", "add", "carol", "--password-stdin"];
    stage.appliance.ok_with_input(add, &format!("{password}\n"));
    let secret = stage.appliance.token("alice", BOTH);
    let client = stage.login("alice", &secret);
    stage.pull(&client);
    let mut jwts = vec![stage.client.basic("alice", &secret).token(&[SCOPE])];
    jwts.push(stage.client.basic("carol", password).token(&[]));
    stage
        .client
        .basic("carol", "wr0ng-Passw0rd")
        .get(&token_path(&[]));
    stage.client.basic(&secret, "swapped").get(&token_path(&[]));
    stage.client.post_form(
        "/jwt/auth",
        &[("grant_type", "refresh_token"), ("refresh_token", &secret)],
    );
    stage.client.get(&format!(
        "/jwt/auth?password={secret}&service=dependency_proxy"
    ));
    stage
        .client
        .bearer(&secret)
        .get(&format!("/v2/{IMAGE}/manifests/latest"));
    stage.appliance.stop();
    let mut secrets = vec![secret, password.to_owned(), "wr0ng-Passw0rd".to_owned()];
    secrets.append(&mut jwts);
    let mut seen = 0;
    let mut check = |name: &str, bytes: &[u8]| {
        seen += 1;
        for secret in &secrets {
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} stands in {name}");
        }
    };
    check("the log", stage.appliance.log().as_bytes());
    walk(&stage.appliance.data(), &mut |path| {
        // A socket cannot be read.
        if let Ok(bytes) = std::fs::read(path) {
            check(&path.display().to_string(), &bytes);
        }
    });
    assert!(seen > 5);
}
