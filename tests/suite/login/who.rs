//! Who may see a group, and how soon a change of that is felt.

use super::{BOTH, SCOPE, stage};
use crate::support::appliance::Appliance;
use crate::support::client::{Client, assert_sound, token_path};
use crate::support::fake_upstream::{FakeUpstream, Image};

/// What changes while a JWT is out, and the status of that JWT's next request; the third says whether a new login works
/// afterwards.
enum Change {
    Command(&'static [&'static str]),
    /// No command changes a scope or an expiry, and time cannot be waited for: rows can, while no server runs.
    Row(&'static str),
}

#[test]
fn example_10_what_changes_bites_on_the_very_next_request() {
    use Change::{Command, Row};
    const SPLIT: &str = "dependency_proxy_split_abilities";
    const HALF: &[&str] = &["read_registry"];
    // the token's scopes, what happens (ID is the token's) → status of the next request, of a new login
    let table: &[(&[&str], Change, u16, u16)] = &[
        (BOTH, Command(&["token", "revoke", "ID"]), 401, 401),
        (BOTH, Command(&["token", "rotate", "ID"]), 401, 401),
        (BOTH, Command(&["user", "block", "alice"]), 401, 401),
        (BOTH, Command(&["user", "remove", "alice"]), 401, 401),
        (
            BOTH,
            Command(&["member", "remove", "acme", "alice"]),
            404,
            200,
        ),
        (
            BOTH,
            Command(&["group", "set", "acme", "dependency_proxy_enabled=false"]),
            404,
            200,
        ),
        (
            BOTH,
            Command(&["group", "remove", "acme", "--yes"]),
            404,
            200,
        ),
        // The older rule asks for a whole pair.
        (BOTH, Command(&["feature", "disable", SPLIT]), 200, 200),
        (HALF, Command(&["feature", "disable", SPLIT]), 403, 403),
        (
            HALF,
            Command(&["feature", "disable", SPLIT, "--group", "acme"]),
            403,
            200,
        ),
        (BOTH, Row("UPDATE tokens SET expires_at = 1"), 401, 401),
        (BOTH, Row("UPDATE tokens SET scopes = 'read_api'"), 403, 403),
        (
            BOTH,
            Row("UPDATE tokens SET scopes = 'read_registry'"),
            200,
            200,
        ),
        (BOTH, Row("DELETE FROM members"), 404, 200),
        (BOTH, Row("DELETE FROM tokens"), 401, 401),
    ];
    for (scopes, change, next, login) in table {
        let mut stage = stage();
        let secret = stage.appliance.token("alice", scopes);
        let client = stage.login("alice", &secret);
        assert_eq!(stage.manifest(&client).status, 200);
        let (what, output) = match change {
            Command(words) => {
                let words: Vec<&str> = words
                    .iter()
                    .map(|&w| if w == "ID" { "1" } else { w })
                    .collect();
                (words.join(" "), stage.appliance.ok(&words))
            }
            Row(text) => {
                stage.appliance.stop();
                let database = stage.appliance.data().join("access.sqlite");
                let connection = rusqlite::Connection::open(database).unwrap();
                connection
                    .pragma_update(None, "foreign_keys", true)
                    .unwrap();
                assert!(connection.execute(text, []).unwrap() > 0, "{text}");
                drop(connection);
                stage.appliance.restart();
                ((*text).to_owned(), String::new())
            }
        };
        let got = stage.manifest(&client);
        assert_eq!(got.status, *next, "{what}: {output}: {}", got.text());
        let again = stage.client.basic("alice", &secret).get(&token_path(&[]));
        assert_eq!(again.status, *login, "{what}: {}", again.text());
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
    let blocked = blocked.get("/v2/");
    assert_eq!(blocked.status, 401);
    assert!(
        blocked.message().contains("the user carol is blocked"),
        "{}",
        blocked.text()
    );
    // Whoever does not know the password does not learn it.
    let wrong = |user: &str| stage.client.basic(user, "x").get("/v2/");
    let (of_carol, of_nobody) = (wrong("carol"), wrong("nobody"));
    assert_eq!(
        (of_carol.status, of_carol.text()),
        (401, of_nobody.text()),
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
