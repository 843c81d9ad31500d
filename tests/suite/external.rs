//! Tokens for external registries: verified as such a registry does, with the published keys and with the
//! certificate, and granted by the rules of hosted repositories.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use breakwater::auth::external::key_id;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::ParsedCertificate;
use serde_json::{Value, json};

use crate::support::appliance::Appliance;
use crate::support::client::{Answer, Client};

const AUDIENCE: &str = "Docker registry";
const PROTECTED: &str = "container protected; you are not allowed to push new package";

/// A project with a developer and a maintainer, and two registries.
fn stage() -> (Appliance, Client) {
    let appliance = Appliance::start();
    appliance.ok(&["group", "add", "acme"]);
    appliance.ok(&["project", "add", "acme/api"]);
    for level in ["developer", "maintainer"] {
        appliance.ok(&["user", "add", level, "--service"]);
        appliance.ok(&["member", "add", "acme", level, "--level", level]);
    }
    appliance.ok(&["user", "add", "stranger", "--service"]);
    add(&appliance, "first", AUDIENCE, "es256");
    add(&appliance, "second", "registry.example", "rs256");
    let client = Client::of(&appliance);
    (appliance, client)
}

fn add(appliance: &Appliance, name: &str, audience: &str, key_type: &str) {
    let words = [
        "registry",
        "add",
        name,
        "--issuer",
        "the box",
        "--audience",
        audience,
        "--key-type",
        key_type,
    ];
    appliance.ok(&words);
}

/// The token endpoint's answer for an external registry.
fn ask(client: &Client, user: &str, secret: &str, service: &str, scopes: &[&str]) -> Answer {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("service", service);
    for scope in scopes {
        query.append_pair("scope", scope);
    }
    let path = format!("/jwt/auth?{}", query.finish());
    client.basic(user, secret).get(&path)
}

fn part(jwt: &str, at: usize) -> Value {
    let bytes = URL_SAFE_NO_PAD
        .decode(jwt.split('.').nth(at).unwrap())
        .unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn jwt(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["token"].as_str().unwrap().to_owned()
}

#[test]
fn a_token_is_verified_by_the_published_keys_and_by_the_certificate() {
    let (appliance, client) = stage();
    let secret = appliance.token("developer", &["read_registry", "write_registry"]);
    let published = client.get("/jwt/keys");
    assert_eq!(published.status, 200);
    let keys: JwkSet = serde_json::from_slice(&published.body).unwrap();
    assert_eq!(keys.keys.len(), 2);
    let algorithms: [(&str, &str, Algorithm, &dyn VerificationAlgorithm); 2] = [
        (
            "first",
            AUDIENCE,
            Algorithm::ES256,
            &ECDSA_P256_SHA256_FIXED,
        ),
        (
            "second",
            "registry.example",
            Algorithm::RS256,
            &RSA_PKCS1_2048_8192_SHA256,
        ),
    ];
    for (name, audience, algorithm, verification) in algorithms {
        let scope = "repository:acme/api/app:pull,push";
        let jwt = jwt(&ask(&client, "developer", &secret, audience, &[scope]));
        let header = part(&jwt, 0);
        let id = header["kid"].as_str().unwrap();
        assert_eq!(
            (&header["typ"], &header["alg"]),
            (&json!("JWT"), &json!(format!("{algorithm:?}")))
        );

        // By the published key of that id: issuer, audience and times too.
        let key = DecodingKey::from_jwk(keys.find(id).unwrap()).unwrap();
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&[audience]);
        validation.set_issuer(&["the box"]);
        let claims = jsonwebtoken::decode::<Value>(&jwt, &key, &validation)
            .unwrap()
            .claims;
        let access =
            json!([{ "type": "repository", "name": "acme/api/app", "actions": ["pull", "push"] }]);
        assert_eq!(claims["access"], access);
        assert!(claims["exp"].as_i64() > claims["iat"].as_i64());
        assert!(claims["nbf"].as_i64() <= claims["iat"].as_i64());
        assert!(claims["jti"].as_str().is_some_and(|id| id.len() >= 16));

        // By the certificate: the one in the token is the one that was handed out.
        let pem = appliance.ok(&["registry", "certificate", name]);
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        assert_eq!(header["x5c"], json!([STANDARD.encode(&certificate)]));
        let public = ParsedCertificate::try_from(&certificate)
            .unwrap()
            .subject_public_key_info();
        assert_eq!(key_id(&public), id);
        let (signed, signature) = jwt.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let public = UnparsedPublicKey::new(verification, public.as_ref());
        public.verify(signed.as_bytes(), &signature).unwrap();
        assert!(public.verify(b"another", &signature).is_err());

        // It opens nothing here, and ours is none of theirs.
        let base = client.bearer(&jwt).get("/v2/");
        assert_eq!(base.status, 401, "{}", base.text());
    }
    // No key leaves the box, and none lies in the open.
    let database = std::fs::read(appliance.data().join("access.sqlite")).unwrap();
    let private = b"PRIVATE KEY";
    assert!(
        !database
            .windows(private.len())
            .any(|window| window == private)
    );
    assert!(!published.text().contains(r#""d":"#));
}

#[test]
fn an_id_is_what_libtrust_makes_of_a_key() {
    // Known from docker-registry's own documentation of the form: twelve groups of four.
    let id = key_id(b"a public key");
    let groups: Vec<&str> = id.split(':').collect();
    assert_eq!(groups.len(), 12, "{id}");
    assert!(groups.iter().all(|group| {
        group.len() == 4
            && group
                .bytes()
                .all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b))
    }));
    // SHA-256 of the empty text is e3b0c442 98fc1c14…; its first five bytes are base32's 4OYMIQUY.
    assert!(key_id(b"").starts_with("4OYM:IQUY:"), "{}", key_id(b""));
}

#[test]
fn the_same_rules_hold_as_for_hosted_repositories() {
    let (appliance, client) = stage();
    appliance.ok(&[
        "rule",
        "add",
        "acme/api",
        "acme/api/prod*",
        "--min-push",
        "maintainer",
    ]);
    let both = &["read_registry", "write_registry"];
    let developer = appliance.token("developer", both);
    let maintainer = appliance.token("maintainer", both);
    let stranger = appliance.token("stranger", both);
    let granted = |user: &str, secret: &str, scope: &str| {
        let answer = ask(&client, user, secret, AUDIENCE, &[scope]);
        let access = &part(&jwt(&answer), 1)["access"];
        access[0]["actions"].as_array().cloned().unwrap_or_default()
    };
    let push = "repository:acme/api/prod/web:pull,push";
    let refused = ask(&client, "developer", &developer, AUDIENCE, &[push]);
    assert_eq!(
        (refused.status, refused.message()),
        (403, PROTECTED.to_owned())
    );
    assert_eq!(
        granted("maintainer", &maintainer, push),
        [json!("pull"), json!("push")]
    );
    assert!(granted("stranger", &stranger, push).is_empty());
    let pull = "repository:acme/api/prod/web:pull";
    assert_eq!(granted("developer", &developer, pull), [json!("pull")]);
    // What is cached here is not there, and its catalog is for administrators.
    for scope in [
        "repository:acme/dependency_proxy/containers/alpine:pull",
        "repository:library/alpine:pull",
        "registry:catalog:*",
    ] {
        assert!(
            granted("developer", &developer, scope).is_empty(),
            "{scope}"
        );
    }
    let root = client.basic("root", &appliance.root_password());
    let catalog = root.get("/jwt/auth?service=registry.example&scope=registry:catalog:*");
    let access = json!([{ "type": "registry", "name": "catalog", "actions": ["*"] }]);
    assert_eq!(part(&jwt(&catalog), 1)["access"], access);
    // An administrator's own token may tell of every repository; a job that they started may not.
    let personal = appliance.token("root", both);
    let create = "token create --name job --job acme/api --user root --ttl 1h";
    let job = appliance.ok(&create.split(' ').collect::<Vec<_>>());
    let scope = "registry:catalog:*";
    assert_eq!(granted("root", &personal, scope), [json!("*")]);
    assert!(granted("gitlab-ci-token", job.trim_end(), scope).is_empty());
    assert_eq!(
        granted("gitlab-ci-token", job.trim_end(), pull),
        [json!("pull")]
    );
}

#[test]
fn logins_are_judged_there_too() {
    let (appliance, client) = stage();
    let reads = appliance.token("developer", &["read_registry"]);
    let cache = appliance.token("developer", &["read_virtual_registry"]);
    let status =
        |user: &str, secret: &str, service: &str| ask(&client, user, secret, service, &[]).status;
    // The flags of the dependency proxy have no say.
    appliance.ok(&["feature", "disable", "dependency_proxy_split_abilities"]);
    assert_eq!(status("developer", &reads, AUDIENCE), 200);
    assert_eq!(status("developer", &reads, "dependency_proxy"), 403);
    assert_eq!(
        status("developer", &cache, AUDIENCE),
        403,
        "it is for no image there"
    );
    assert_eq!(status("developer", "wrong", AUDIENCE), 401);
    assert_eq!(status("developer", &reads, "nowhere"), 404);
    // A network that is trusted for the mirror gives nothing elsewhere.
    let nobody = client.get("/jwt/auth?service=registry.example&scope=repository:acme/api:pull");
    assert_eq!(nobody.status, 401);
    appliance.ok(&["registry", "remove", "first"]);
    assert_eq!(status("developer", &reads, AUDIENCE), 404);
    let keys = client.get("/jwt/keys").json();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
}

#[test]
fn registries_are_listed_and_what_cannot_be_is_refused() {
    let (appliance, _client) = stage();
    let list = appliance.json(&["registry", "list", "--json"]);
    assert_eq!(
        (
            &list[0]["name"],
            &list[0]["audience"],
            &list[0]["algorithm"]
        ),
        (&json!("first"), &json!(AUDIENCE), &json!("ES256"))
    );
    assert!(list[0].get("key_sealed").is_none());
    let table: &[(&[&str], i32, &str)] = &[
        (
            &["add", "first", "--issuer", "i", "--audience", "other"],
            1,
            "already",
        ),
        (
            &["add", "third", "--issuer", "i", "--audience", AUDIENCE],
            1,
            "already",
        ),
        (
            &[
                "add",
                "third",
                "--issuer",
                "i",
                "--audience",
                "container_registry",
            ],
            2,
            "this box itself",
        ),
        (
            &["add", "a b", "--issuer", "i", "--audience", "x"],
            2,
            "`a b`",
        ),
        (
            &["add", "third", "--issuer", "i\"", "--audience", "x"],
            2,
            "quotation",
        ),
        (&["certificate", "third"], 1, "registry list"),
        (&["remove", "third"], 1, "registry list"),
    ];
    for (words, status, said) in table {
        let output = appliance.run_cli(&[&["registry"], *words].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(*status), "{words:?}: {error}");
        assert!(error.contains(said), "{words:?}: {error}");
    }
}
