//! The mirror: who gets in without a login, and that trust in a network is never worth more than that.

use crate::support::appliance::Appliance;
use crate::support::client::{Answer, Client, assert_sound, token_path};
use crate::support::fake_upstream::{FakeUpstream, Image};

const PULL: &str = "/v2/library/alpine/manifests/latest";
const SCOPE: &str = "repository:library/alpine:pull";

fn stage(toml: &str) -> (FakeUpstream, Image, Appliance, Client) {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[1_000]);
    fake.put_image("library/alpine", "latest", &image);
    let appliance = Appliance::builder().upstream(fake.url()).toml(toml).start();
    let client = Client::of(&appliance);
    (fake, image, appliance, client)
}

/// 401 in the form of the spec, with the challenge that clients follow.
fn assert_challenged(answer: &Answer, host: &str) {
    assert_eq!(
        answer.verdict(),
        (401, "UNAUTHORIZED".to_owned()),
        "{answer:?}"
    );
    assert!(answer.message().contains("log in"), "{}", answer.text());
    let challenge = answer.field("WWW-Authenticate").unwrap_or_default();
    let expected = format!(r#"Bearer realm="http://{host}/jwt/auth",service="dependency_proxy""#);
    assert!(challenge.starts_with(&expected), "{challenge}");
    assert_eq!(
        answer.field("Docker-Distribution-Api-Version"),
        Some("registry/2.0")
    );
}

#[test]
fn the_base_always_challenges() {
    let (fake, _, appliance, client) = stage("");
    let host = appliance.address().to_string();
    for path in ["/v2/", "/v2", "/v2/?ns=docker.io"] {
        let answer = client.get(path);
        assert_challenged(&answer, &host);
        let challenge = answer.field("WWW-Authenticate").unwrap();
        assert!(
            challenge.ends_with(r#"service="dependency_proxy""#),
            "no scope: {challenge}"
        );
        assert_eq!(client.head(path).status, 401);
    }
    // The realm is where the client found us, and nobody else says where that is.
    let named = client.with("Host", "mirror.example:5000");
    assert_challenged(&named.get("/v2/"), "mirror.example:5000");
    let forwarded = named
        .with("X-Forwarded-Host", "evil.example")
        .with("X-Forwarded-Proto", "https");
    assert_challenged(&forwarded.get("/v2/"), "mirror.example:5000");
    for junk in [
        "Basic ///",
        "Basic Zm9v",
        "Negotiate x",
        "Bearer",
        "Bearer x.y.z",
        "x",
    ] {
        let answer = client.with("Authorization", junk).get("/v2/");
        assert_challenged(&answer, &host);
    }
    assert_eq!(fake.connections(), 0);
}

#[test]
fn a_configured_address_is_the_realm() {
    let (_fake, _, _appliance, client) = stage("[server]\nexternal_url = \"https://box.example/\"");
    let answer = client.get("/v2/");
    let challenge = answer.field("WWW-Authenticate").unwrap();
    assert!(
        challenge.contains(r#"realm="https://box.example/jwt/auth""#),
        "{challenge}"
    );
}

#[test]
fn a_trusted_network_pulls_with_an_anonymous_token_and_without() {
    let (_fake, image, appliance, client) = stage("");
    // containerd asks for the manifest first.
    assert_eq!(client.get(PULL).body, image.manifest);
    let answer = client.get(&token_path(&[SCOPE]));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let json = answer.json();
    assert!(json["token"] == json["access_token"] && json["token"].is_string());
    assert!(
        json["expires_in"]
            .as_u64()
            .is_some_and(|seconds| seconds >= 60)
    );
    assert!(
        json["issued_at"]
            .as_str()
            .is_some_and(|time| time.ends_with('Z'))
    );
    let token = client.bearer(json["token"].as_str().unwrap());
    assert_eq!(token.get(PULL).body, image.manifest);
    let other = token.get("/v2/library/other/manifests/latest");
    assert_eq!(other.status, 401, "the token's access is an upper bound");
    assert!(
        other
            .field("WWW-Authenticate")
            .unwrap()
            .contains(r#"error="insufficient_scope""#)
    );
    assert_sound(&appliance);
}

#[test]
fn without_a_rule_nobody_gets_in_without_a_login() {
    let (fake, _, appliance, client) = stage("");
    let token = client.bearer(&client.token(&[SCOPE]));
    assert_eq!(token.get(PULL).status, 200);
    appliance.ok(&["network", "remove", "127.0.0.0/8"]);
    fake.forget_requests();
    let host = appliance.address().to_string();
    // The running server sees it at once, at the JWT that it gave before as well.
    for answer in [
        token.get(PULL),
        client.get(PULL),
        client.head(PULL),
        client.get("/v2/library/new/manifests/1"),
        client.get(&token_path(&[SCOPE])),
        client.get(&token_path(&[])),
    ] {
        assert_eq!(answer.status, 401, "{}", answer.text());
        assert!(answer.field("WWW-Authenticate").unwrap().contains(&host));
    }
    assert_eq!(
        fake.requests().len(),
        0,
        "nobody asks an upstream for a stranger"
    );
    // Another network's rule is no help; the right one is.
    appliance.ok(&["network", "add", "192.0.2.0/24", "--ability", "fill"]);
    assert_eq!(client.get(PULL).status, 401);
    appliance.ok(&["network", "add", "127.0.0.1/32", "--ability", "read"]);
    assert_eq!(client.get(PULL).status, 200);
    assert_sound(&appliance);
}

#[test]
fn a_network_that_may_only_read_fills_nothing() {
    let (fake, image, appliance, client) = stage("");
    appliance.ok(&["network", "remove", "127.0.0.0/8"]);
    appliance.ok(&["network", "add", "127.0.0.0/8", "--ability", "read"]);
    for round in 1..3 {
        let got = client.get(PULL);
        assert_eq!((got.cache(), &got.body), ("bypass", &image.manifest));
        let path = format!("/v2/alpine/blobs/{}", image.layer_digest(0));
        let layer = client.get(&path);
        assert_eq!((layer.cache(), &layer.body), ("bypass", &image.layers[0]));
        assert_eq!(fake.count("GET", "/blobs/"), round);
    }
    assert_eq!(
        appliance.json(&["cache", "list", "--json"]),
        serde_json::json!([])
    );
    assert_sound(&appliance);
}

#[test]
fn a_proxy_that_nobody_configured_turns_nobody_into_loopback() {
    let (fake, _, appliance, client) = stage("");
    let token = client.token(&[SCOPE]);
    fake.forget_requests();
    for (name, value) in [
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Forwarded-For", ""),
        ("x-forwarded-for", "unknown"),
        ("Forwarded", "for=127.0.0.1"),
        ("Via", "1.1 nginx"),
        ("X-Real-IP", "127.0.0.1"),
        ("X-Forwarded-Host", "box.example"),
        ("x-forwarded-proto", "https"),
        ("X-Forwarded-Port", ""),
    ] {
        let client = client.with(name, value);
        let with_token = client.bearer(&token);
        for answer in [
            client.get(PULL),
            with_token.get(PULL),
            with_token.get("/v2/"),
            client.get(&token_path(&[SCOPE])),
            client
                .basic("hubuser", "hubpassword")
                .get(&token_path(&[SCOPE])),
        ] {
            assert_eq!(answer.status, 401, "{name}: {value}: {}", answer.text());
        }
    }
    assert_eq!(fake.requests().len(), 0);
    // A login is worth the same through any proxy.
    let password = appliance.root_password();
    let login = client.with("Via", "1.1 nginx").basic("root", &password);
    assert_eq!(login.get("/v2/").status, 200);
    assert_sound(&appliance);
}

#[test]
fn a_configured_proxy_is_believed_from_the_right() {
    let (_fake, _, appliance, client) =
        stage("[server]\ntrusted_proxies = [\"127.0.0.1/32\", \"10.9.0.0/16\"]");
    appliance.ok(&["network", "add", "192.0.2.0/24", "--ability", "fill"]);
    for (forwarded, status) in [
        ("192.0.2.7", 200),
        ("192.0.2.7, 10.9.1.1", 200),
        ("203.0.113.9, 192.0.2.7", 200),
        ("203.0.113.9", 401),
        ("192.0.2.7, 203.0.113.9", 401),
        ("127.0.0.1, 203.0.113.9", 401),
        ("192.0.2.7, nonsense", 401),
        ("192.0.2.7:1234, ", 401),
    ] {
        let answer = client.with("X-Forwarded-For", forwarded).get(PULL);
        assert_eq!(answer.status, status, "{forwarded}: {}", answer.text());
    }
    // One that does not say for whom it asks is not taken for its own machine.
    let unnamed = client.with("X-Forwarded-Proto", "https").get(PULL);
    assert_eq!(unnamed.status, 401, "{}", unnamed.text());
    let realm = client
        .with("X-Forwarded-For", "203.0.113.9")
        .with("X-Forwarded-Proto", "https")
        .with("X-Forwarded-Host", "box.example")
        .get("/v2/");
    let challenge = realm.field("WWW-Authenticate").unwrap();
    assert!(
        challenge.contains(r#"realm="https://box.example/jwt/auth""#),
        "{challenge}"
    );
    assert!(
        appliance.log().contains("203.0.113.9"),
        "the log has the client's address"
    );
}

#[test]
fn trust_never_turns_a_wrong_password_into_a_login() {
    let (_fake, _, appliance, client) = stage("");
    let host = appliance.address().to_string();
    // As `docker login` asks: no scope.
    let login = "/jwt/auth?account=x&client_id=docker&offline_token=true&service=dependency_proxy";
    for (user, password) in [
        ("root", "wrong"),
        ("nobody", "wrong"),
        ("", "wrong"),
        ("root", ""),
        ("x", "bwp_00000000000000000000000000000000"),
    ] {
        for answer in [
            client.basic(user, password).get(login),
            client.basic(user, password).get("/v2/"),
            client.post_form(
                "/jwt/auth",
                &[
                    ("grant_type", "password"),
                    ("service", "dependency_proxy"),
                    ("username", user),
                    ("password", password),
                ],
            ),
        ] {
            assert_eq!(answer.verdict(), (401, "UNAUTHORIZED".to_owned()), "{user}");
            assert!(answer.message().contains(' '), "{}", answer.text());
            assert!(answer.field("WWW-Authenticate").unwrap().contains(&host));
        }
    }
    // Nor with a scope, where the name or the secret could be ours.
    let scope = token_path(&[SCOPE]);
    for (user, password) in [
        ("root", "wrong"),
        ("x", "bwp_00000000000000000000000000000000"),
    ] {
        assert_eq!(
            client.basic(user, password).get(&scope).status,
            401,
            "{user}"
        );
    }
    let account = format!("{scope}&account=root");
    assert_eq!(client.basic("x", "wrong").get(&account).status, 401);
    // Neither a name nor a password is no wrong one: it is nobody, who gets what the network gives.
    for path in [login, &scope, "/v2/"] {
        let (empty, nobody) = (client.basic("", "").get(path), client.get(path));
        assert_eq!(empty.verdict(), nobody.verdict(), "{path}");
    }
}

#[test]
fn a_daemons_credentials_for_docker_hub_are_taken_as_anonymous() {
    let (fake, image, appliance, client) = stage("");
    let hub = client.basic("hub-user", "dckr_pat_Secret123");
    // moby asks again and again; nobody is banned for it.
    for _ in 0..40 {
        assert_eq!(hub.get(&token_path(&[SCOPE])).status, 200);
    }
    let token = client.bearer(&hub.token(&[SCOPE]));
    assert_eq!(token.get(PULL).body, image.manifest);
    let form = client.post_form(
        "/jwt/auth",
        &[
            ("grant_type", "password"),
            ("service", "registry.docker.io"),
            ("scope", SCOPE),
            ("username", "hub-user"),
            ("password", "dckr_pat_Secret123"),
        ],
    );
    assert_eq!(form.status, 200, "{}", form.text());
    // All of it must hold: a pull, on a mirror path, and nothing else.
    appliance.ok(&["group", "add", "acme", "--visibility", "public"]);
    for scopes in [
        &[][..],
        &["repository:library/alpine:pull,push"],
        &["repository:library/alpine:*"],
        &["repository:library/alpine:"],
        &["registry:catalog:*"],
        &["repository:acme/dependency_proxy/containers/alpine:pull"],
        &["repository:acme/tool:pull"],
        &[SCOPE, "repository:acme/tool:pull"],
        &[SCOPE, "repository:library/alpine:push"],
    ] {
        assert_eq!(hub.get(&token_path(scopes)).status, 401, "{scopes:?}");
    }
    for request in fake.requests() {
        assert!(request.header("authorization").is_none(), "{request:?}");
    }
    let log = appliance.log();
    assert!(
        !log.contains("hub-user") && !log.contains("Secret123"),
        "not logged"
    );
    assert_sound(&appliance);
}

#[test]
fn no_network_reaches_a_group() {
    let (fake, _, appliance, client) = stage("");
    appliance.ok(&["group", "add", "acme"]);
    appliance.ok(&["group", "add", "open", "--visibility", "public"]);
    let mut bodies = Vec::new();
    for group in ["acme", "open", "nowhere"] {
        let name = format!("{group}/dependency_proxy/containers/alpine");
        let pull = client.get(&format!("/v2/{name}/manifests/latest"));
        let token = client.get(&token_path(&[&format!("repository:{name}:pull")]));
        assert_eq!((pull.status, token.status), (401, 401), "{group}");
        bodies.push((pull.text(), token.text()));
    }
    assert!(bodies.windows(2).all(|two| two[0] == two[1]), "{bodies:#?}");
    // A rule for the group itself does.
    appliance.ok(&[
        "network",
        "add",
        "127.0.0.0/8",
        "--ability",
        "read",
        "--group",
        "acme",
    ]);
    let path = "/v2/acme/dependency_proxy/containers/alpine/manifests/latest";
    assert_eq!(client.get(path).cache(), "bypass");
    assert_eq!(fake.count("GET", "/manifests/"), 1);
    assert_sound(&appliance);
}

#[test]
fn a_groups_name_never_means_a_strangers_image() {
    let (fake, image, appliance, client) = stage("");
    fake.put_image("acme/tool", "1", &image);
    let path = "/v2/acme/tool/manifests/1";
    appliance.ok(&["group", "add", "acme"]);
    let password = appliance.root_password();
    let root = client.basic("root", &password);
    let root = client.bearer(&root.token(&["repository:acme/tool:pull"]));
    assert_eq!(client.get(path).status, 401);
    assert_eq!(
        client
            .get(&token_path(&["repository:acme/tool:pull"]))
            .status,
        401
    );
    for path in [
        path,
        "/v2/acme/tool/tags/list",
        "/v2/acme/manifests/1",
        "/v2/acme/dependency_proxy/manifests/1",
        "/v2/mirror/tool/manifests/1",
    ] {
        assert_eq!(
            root.get(path).verdict(),
            (404, "NAME_UNKNOWN".to_owned()),
            "{path}"
        );
    }
    assert_eq!(fake.requests().len(), 0);
    // Who names the upstream means the upstream.
    for path in [
        "/v2/docker.io/acme/tool/manifests/1",
        "/v2/acme/tool/manifests/1?ns=docker.io",
    ] {
        assert_eq!(client.get(path).body, image.manifest, "{path}");
    }
    // With a login too: the challenge names what a scope without `ns` cannot mean otherwise.
    let by_ns = "/v2/acme/tool/manifests/1?ns=docker.io";
    let hosted = client
        .basic("root", &appliance.root_password())
        .token(&["repository:acme/tool:pull"]);
    let challenged = client.bearer(&hosted).get(by_ns);
    assert_eq!(challenged.status, 401, "{}", challenged.text());
    let challenge = challenged.field("WWW-Authenticate").unwrap();
    let scope = "repository:docker.io/acme/tool:pull";
    assert!(challenge.contains(scope), "{challenge}");
    let jwt = client
        .basic("root", &appliance.root_password())
        .token(&[scope]);
    assert_eq!(client.bearer(&jwt).get(by_ns).body, image.manifest);
    assert_sound(&appliance);
}

#[test]
fn a_mirror_that_is_off_lets_nobody_in() {
    let (fake, _, _appliance, client) = stage("[mirror]\nenabled = false");
    for answer in [
        client.get(PULL),
        client.get(&token_path(&[SCOPE])),
        client.get("/v2/"),
    ] {
        assert_eq!(answer.status, 401, "{}", answer.text());
    }
    assert_eq!(fake.requests().len(), 0);
}

#[test]
fn a_login_takes_nothing_away_that_the_network_gives() {
    let (fake, image, appliance, client) = stage("");
    // No member of the mirror's group; podman sends a login wherever it has one.
    let both = appliance.token("alice", &["read_registry", "write_registry"]);
    let reader = appliance.token("alice", &["read_registry"]);
    let login = |secret: &str| client.bearer(&client.basic("alice", secret).token(&[SCOPE]));
    let (both, reader) = (login(&both), login(&reader));
    let got = reader.get(PULL);
    assert_eq!(
        (got.cache(), &got.body),
        ("bypass", &image.manifest),
        "{}",
        got.text()
    );
    appliance.ok(&["network", "remove", "127.0.0.0/8"]);
    appliance.ok(&["network", "add", "127.0.0.0/8", "--ability", "read"]);
    assert_eq!(
        both.get(PULL).cache(),
        "bypass",
        "no more than the network gives"
    );
    appliance.ok(&["network", "remove", "127.0.0.0/8"]);
    for client in [&both, &reader, &both.with("Via", "1.1 nginx")] {
        assert_eq!(client.get(PULL).verdict(), (404, "NAME_UNKNOWN".to_owned()));
    }
    // Members need no network, and are worth what their token is worth.
    appliance.ok(&["member", "add", "mirror", "alice", "--level", "guest"]);
    let both = both.with("Via", "1.1 nginx");
    assert_eq!(
        (both.get(PULL).cache(), reader.get(PULL).cache()),
        ("miss", "hit")
    );
    assert_eq!(fake.count("GET", "/manifests/"), 3);
    assert_sound(&appliance);
}
