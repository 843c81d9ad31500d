//! Logins and what they are worth: the worked examples that need only users, personal tokens, groups and
//! networks, over HTTP and with the command line as the other process.

use std::path::Path;

use serde_json::json;

use crate::support::appliance::Appliance;
use crate::support::client::{Answer, Client, assert_sound, token_path};
use crate::support::fake_upstream::{Answer as FakeAnswer, FakeUpstream, Gate, Image};

const IMAGE: &str = "acme/dependency_proxy/containers/alpine";
const SCOPE: &str = "repository:acme/dependency_proxy/containers/alpine:pull";
const BOTH: &[&str] = &["read_registry", "write_registry"];

struct Stage {
    fake: FakeUpstream,
    image: Image,
    appliance: Appliance,
    client: Client,
}

/// A private group `acme` with the guest `alice`, and an image.
fn stage() -> Stage {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[20_000]);
    fake.put_image("library/alpine", "latest", &image);
    let toml = "[cache]\ntag_ttl = \"1h\"\nnegative_ttl = \"0s\"";
    let appliance = Appliance::builder().upstream(fake.url()).toml(toml).start();
    appliance.ok(&["group", "add", "acme"]);
    appliance.ok(&["user", "add", "alice", "--service"]);
    appliance.ok(&["member", "add", "acme", "alice", "--level", "guest"]);
    let client = Client::of(&appliance);
    Stage {
        fake,
        image,
        appliance,
        client,
    }
}

impl Stage {
    /// Logs in as `docker login` and `docker pull` do; the client with its JWT.
    fn login(&self, user: &str, secret: &str) -> Client {
        let basic = self.client.basic(user, secret);
        let base =
            basic.get("/jwt/auth?service=dependency_proxy&offline_token=true&client_id=docker");
        assert_eq!(base.status, 200, "{}", base.text());
        self.client.bearer(&basic.token(&[SCOPE]))
    }

    /// Pulls the image by tag: the words of `X-Cache`.
    fn pull(&self, client: &Client) -> Vec<String> {
        let got = client.get(&format!("/v2/{IMAGE}/manifests/latest"));
        assert_eq!(got.body, self.image.manifest, "{}", got.text());
        let mut words = vec![got.cache().to_owned()];
        for bytes in self.image.blobs() {
            let digest = breakwater::oci::Digest::of(bytes);
            let got = client.get(&format!("/v2/{IMAGE}/blobs/{digest}"));
            assert!(got.body == *bytes && got.complete, "{}", got.head);
            words.push(got.cache().to_owned());
        }
        words
    }

    fn manifest(&self, client: &Client) -> Answer {
        client.get(&format!("/v2/{IMAGE}/manifests/latest"))
    }

    /// All that is kept: files by name, and rows as `cache list` and `cache stats` have them.
    fn kept(&self) -> (Vec<String>, String) {
        let mut names = Vec::new();
        walk(&self.appliance.data().join("blobs"), &mut |path| {
            names.push(path.display().to_string());
        });
        names.sort();
        (names, self.appliance.ok(&["cache", "list", "--json"]))
    }
}

/// Calls `found` for every file below a directory.
fn walk(directory: &Path, found: &mut dyn FnMut(&Path)) {
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            found(&path);
        }
    }
}

#[test]
fn example_1_a_token_with_both_scopes_fills_and_outlives_the_upstream() {
    let stage = stage();
    let secret = stage.appliance.token("alice", BOTH);
    let client = stage.login("alice", &secret);
    assert_eq!(stage.pull(&client), ["miss"; 3]);
    stage.fake.stop();
    assert_eq!(stage.pull(&client), ["hit"; 3]);
    assert_sound(&stage.appliance);
}

#[test]
fn examples_4_and_5_a_reader_gets_what_is_cached_and_leaves_nothing_behind() {
    let stage = stage();
    let reader = stage.appliance.token("alice", &["read_registry"]);
    let client = stage.login("whoever", &reader);
    let before = stage.kept();
    for round in 1..3 {
        assert_eq!(stage.pull(&client), ["bypass"; 3]);
        assert_eq!(stage.fake.count("GET", "/manifests/"), round);
        assert_eq!(stage.fake.count("GET", "/blobs/"), 2 * round);
        assert_eq!(stage.kept(), before);
    }
    // While the upstream is away a miss says so; what another one filled is served.
    stage.fake.stop();
    let missed = stage.manifest(&client);
    assert_eq!(missed.verdict(), (503, "UNAVAILABLE".to_owned()));
    assert!(missed.message().contains("docker.io"), "{}", missed.text());
    stage.fake.restart();
    let filler = stage.appliance.token("alice", &["write_virtual_registry"]);
    let filler = stage.login("alice", &filler);
    let begun = std::time::Instant::now();
    while stage.manifest(&filler).status != 200 {
        assert!(begun.elapsed().as_secs() < 60, "the breaker never closes");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    stage.pull(&filler);
    stage.fake.stop();
    assert_eq!(stage.pull(&client), ["hit"; 3]);
    let missed = client.get(&format!("/v2/{IMAGE}/manifests/other"));
    assert_eq!(missed.verdict(), (503, "UNAVAILABLE".to_owned()));
    assert!(missed.field("Retry-After").is_some());
    assert_sound(&stage.appliance);
}

#[test]
fn example_6_scopes_are_worth_what_the_table_says() {
    // scopes → status of the login, word of a miss
    let table: &[(&[&str], u16, &str)] = &[
        (&["write_virtual_registry"], 200, "miss"),
        (&["write_dependency_proxy"], 200, "miss"),
        (&["api"], 200, "miss"),
        (BOTH, 200, "miss"),
        (&["read_virtual_registry", "write_registry"], 200, "miss"),
        (&["write_registry"], 200, "miss"),
        (&["read_registry"], 200, "bypass"),
        (&["read_virtual_registry"], 200, "bypass"),
        (&["read_dependency_proxy"], 200, "bypass"),
        (&["read_registry", "read_api"], 200, "bypass"),
        (&["read_api"], 403, ""),
    ];
    let stage = stage();
    for (n, (scopes, status, word)) in table.iter().enumerate() {
        let tag = format!("t{n}");
        stage
            .fake
            .put_image("library/alpine", &tag, &Image::oci(n as u64 + 50, &[1]));
        let secret = stage.appliance.token("alice", scopes);
        let basic = stage.client.basic("alice", &secret);
        let login = basic.get(&token_path(&[SCOPE]));
        assert_eq!(login.status, *status, "{scopes:?}: {}", login.text());
        if *status == 200 {
            let client = stage.login("alice", &secret);
            let got = client.get(&format!("/v2/{IMAGE}/manifests/{tag}"));
            assert_eq!((got.status, got.cache()), (200, *word), "{scopes:?}");
        }
    }
    assert_sound(&stage.appliance);
}

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
fn example_10_what_changes_bites_on_the_very_next_request() {
    // command line → status of the next request
    let table: &[(&[&str], u16)] = &[
        (&["token", "revoke", "ID"], 401),
        (&["user", "block", "alice"], 401),
        (&["user", "remove", "alice"], 401),
        (&["member", "remove", "acme", "alice"], 404),
        (
            &["group", "set", "acme", "dependency_proxy_enabled=false"],
            404,
        ),
        (&["group", "remove", "acme"], 404),
    ];
    let mut stage = stage();
    for (command, status) in table {
        let secret = stage.appliance.token("alice", BOTH);
        let client = stage.login("alice", &secret);
        assert_eq!(stage.manifest(&client).status, 200, "{command:?}");
        let tokens = stage
            .appliance
            .json(&["token", "list", "--user", "alice", "--json"]);
        let newest = tokens.as_array().unwrap().iter();
        let id = newest
            .filter_map(|token| token["id"].as_u64())
            .max()
            .unwrap();
        let id = id.to_string();
        let command: Vec<&str> = command
            .iter()
            .map(|&w| if w == "ID" { &id } else { w })
            .collect();
        stage.appliance.ok(&command);
        let got = stage.manifest(&client);
        assert_eq!(got.status, *status, "{command:?}: {}", got.text());
        let again = stage
            .client
            .basic("alice", &secret)
            .get(&token_path(&[SCOPE]));
        assert_eq!(
            again.status,
            if *status == 401 { 401 } else { 200 },
            "{command:?}"
        );
        // The next round begins afresh.
        stage = self::stage();
    }
}

#[test]
fn a_changed_password_ends_its_tokens_and_a_block_ends_all() {
    let stage = stage();
    let add = &["user", "add", "carol", "--password-stdin"];
    stage.appliance.ok_with_input(add, "first Passw0rd\n");
    stage
        .appliance
        .ok(&["member", "add", "acme", "carol", "--level", "owner"]);
    let client = stage.login("carol", "first Passw0rd");
    assert_eq!(stage.manifest(&client).cache(), "miss");
    let passwd = &["user", "passwd", "carol", "--password-stdin"];
    stage.appliance.ok_with_input(passwd, "second Passw0rd\n");
    assert_eq!(stage.manifest(&client).status, 401);
    let old = stage.client.basic("carol", "first Passw0rd");
    assert_eq!(old.get(&token_path(&[])).status, 401);
    let client = stage.login("carol", "second Passw0rd");
    assert_eq!(stage.manifest(&client).cache(), "hit");
    stage.appliance.ok(&["user", "block", "carol"]);
    assert_eq!(stage.manifest(&client).status, 401);
    let blocked = stage.client.basic("carol", "second Passw0rd");
    let (blocked, wrong) = (
        blocked.get("/v2/"),
        stage.client.basic("carol", "x").get("/v2/"),
    );
    assert_eq!(
        (blocked.status, blocked.text()),
        (401, wrong.text()),
        "the same words"
    );
}

#[test]
fn example_11_what_one_may_not_see_and_what_does_not_exist_are_the_same() {
    let stage = stage();
    let secret = stage.appliance.token("mallory", BOTH);
    let basic = stage.client.basic("mallory", &secret);
    let paths = [
        "manifests/latest",
        "tags/list",
        &format!("blobs/{}", stage.image.layer_digest(0)),
    ]
    .map(str::to_owned);
    // The same length, so that the answers can be compared byte for byte once the name is replaced.
    let answers = ["acme", "none"].map(|group| {
        let name = format!("{group}/dependency_proxy/containers/alpine");
        let token = basic.get(&token_path(&[&format!("repository:{name}:pull")]));
        assert_eq!(
            token.status,
            200,
            "a login names no group: {}",
            token.text()
        );
        let client = stage.client.bearer(token.json()["token"].as_str().unwrap());
        paths.clone().map(|path| {
            let answer = client.get(&format!("/v2/{name}/{path}"));
            assert_eq!(
                answer.verdict(),
                (404, "NAME_UNKNOWN".to_owned()),
                "{group}"
            );
            let same = |text: String| text.replace(group, "GROUP");
            (same(answer.text()), answer.lasting_fields())
        })
    });
    assert_eq!(answers[0], answers[1]);
    assert_eq!(stage.fake.requests().len(), 0);
    // A public group is open to everybody who logged in, within the token's abilities.
    stage
        .appliance
        .ok(&["group", "set", "acme", "visibility=public"]);
    let client = stage.client.bearer(&basic.token(&[SCOPE]));
    assert_eq!(stage.manifest(&client).status, 200);
}

#[test]
fn membership_is_inherited_and_an_administrator_sees_everything() {
    let stage = stage();
    stage.appliance.ok(&["group", "add", "acme/backend"]);
    stage.appliance.ok(&["group", "add", "other"]);
    let secret = stage.appliance.token("alice", BOTH);
    let password = stage.appliance.root_password();
    for (group, alice) in [("acme", 200), ("acme/backend", 200), ("other", 404)] {
        let name = format!("{group}/dependency_proxy/containers/alpine");
        let path = format!("/v2/{name}/manifests/latest");
        let scope = format!("repository:{name}:pull");
        for (user, secret, status) in [("alice", &secret, alice), ("root", &password, 200)] {
            let token = stage.client.basic(user, secret).token(&[&scope]);
            let got = stage.client.bearer(&token).get(&path);
            assert_eq!(got.status, status, "{user} {group}: {}", got.text());
        }
    }
    assert_sound(&stage.appliance);
}

#[test]
fn a_reader_follows_a_moved_tag_and_moves_nothing() {
    let mut stage = stage();
    let toml = std::fs::read_to_string(stage.appliance.config()).unwrap();
    let toml = toml.replace("tag_ttl = \"1h\"", "tag_ttl = \"0s\"");
    std::fs::write(stage.appliance.config(), toml).unwrap();
    stage.appliance.restart();
    stage.client = Client::of(&stage.appliance);
    let reader = stage.appliance.token("alice", &["read_registry"]);
    let filler = stage.appliance.token("alice", BOTH);
    let (reader, filler) = (stage.login("a", &reader), stage.login("a", &filler));
    stage.pull(&filler);
    assert_eq!(stage.pull(&reader), ["revalidated", "hit", "hit"]);
    let before = stage.kept().0;
    let new = Image::oci(2, &[10]);
    stage.fake.put_image("library/alpine", "latest", &new);
    let moved = stage.manifest(&reader);
    assert_eq!((moved.cache(), &moved.body), ("bypass", &new.manifest));
    assert_eq!(stage.kept().0, before);
    stage.fake.stop();
    for client in [&reader, &filler] {
        let kept = stage.manifest(client);
        assert_eq!((kept.cache(), &kept.body), ("stale", &stage.image.manifest));
    }
    assert_sound(&stage.appliance);
}

#[test]
fn a_filler_who_joins_a_readers_fetch_makes_it_a_fill() {
    let stage = stage();
    let reader = stage.appliance.token("alice", &["read_registry"]);
    let filler = stage.appliance.token("alice", BOTH);
    let (reader, filler) = (stage.login("a", &reader), stage.login("a", &filler));
    let gate = Gate::new();
    stage
        .fake
        .on("GET", "/blobs/")
        .next([FakeAnswer::good().wait_at(10_000, &gate)]);
    let path = format!("/v2/{IMAGE}/blobs/{}", stage.image.layer_digest(0));
    let mut first = reader.open(&path);
    assert!(first.read_up_to(5_000).len() >= 5_000);
    gate.await_arrival();
    assert!(
        !stage
            .kept()
            .0
            .iter()
            .any(|name| name.contains(stage.image.layer_digest(0).hex()))
    );
    let mut second = filler.open(&path);
    assert!(second.read_up_to(5_000).len() >= 5_000);
    let third = reader.open(&path);
    gate.open();
    let answers = [first.finish(), second.finish(), third.finish()];
    for (answer, word) in answers.iter().zip(["bypass", "miss", "miss"]) {
        assert!(answer.complete && answer.body == stage.image.layers[0]);
        assert_eq!(answer.cache(), word, "as it looked when the head left");
    }
    assert_eq!(stage.fake.count("GET", "/blobs/"), 1);
    // The last byte leaves after the blob is kept.
    stage.fake.stop();
    let kept = reader.get(&path);
    assert_eq!(kept.cache(), "hit", "{}", kept.head);
    assert_sound(&stage.appliance);
}

#[test]
fn a_token_ends_when_its_time_is_over() {
    let fake = FakeUpstream::start();
    fake.put_image("library/alpine", "latest", &Image::oci(1, &[1]));
    let appliance = Appliance::builder()
        .upstream(fake.url())
        .toml("[auth]\ntoken_ttl = \"5s\"")
        .start();
    let client = Client::of(&appliance);
    let token = client
        .get(&token_path(&["repository:library/alpine:pull"]))
        .json();
    assert_eq!(token["expires_in"], 5);
    let client = client.bearer(token["token"].as_str().unwrap());
    let path = "/v2/library/alpine/manifests/latest";
    let begun = std::time::Instant::now();
    let mut last = client.get(path);
    while last.status == 200 && begun.elapsed().as_secs() < 30 {
        std::thread::sleep(std::time::Duration::from_millis(500));
        last = client.get(path);
    }
    assert_eq!(
        last.verdict(),
        (401, "UNAUTHORIZED".to_owned()),
        "after {:?}",
        begun.elapsed()
    );
    assert!(
        last.field("WWW-Authenticate").is_some(),
        "the client gets a new one"
    );
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
