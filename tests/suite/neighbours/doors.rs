//! What a tenant, or nobody, gets by the doors that are not its own, a hundred times over, while a neighbour pulls:
//! nothing, and the neighbour notices nothing of it.

use std::io::Write as _;

use serde_json::{Value, json};

use super::Neighbours;
use crate::support::client::{Client, connect, read_head, token_path};
use crate::support::fake_upstream::Image;

const TIMES: usize = 100;
const PROTECTED: &str = "container protected; you are not allowed to push new package";

/// The status of a request whose head is written by hand.
fn status(neighbours: &Neighbours, head: &str) -> u16 {
    let mut stream = connect(neighbours.appliance.address());
    stream.write_all(head.as_bytes()).unwrap();
    let (answer, _) = read_head(&mut stream).unwrap();
    answer.status
}

#[test]
fn what_a_proxy_or_a_browser_passes_on_fills_nothing() {
    let neighbours = Neighbours::start();
    let other = Image::oci(9, &[1_000]);
    neighbours
        .upstream
        .put_image("library/other", "latest", &other);
    let get = "GET /v2/library/other/manifests/latest";
    let passed_on = [
        format!("{get} HTTP/1.0\r\nHost: localhost\r\n\r\n"),
        format!("{get} HTTP/1.1\r\nHost: localhost\r\nCF-Connecting-IP: 192.0.2.1\r\n\r\n"),
        format!("{get} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Server: a\r\n\r\n"),
        format!("{get} HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n\r\n"),
        format!("{get} HTTP/1.1\r\nHost: registry.example\r\n\r\n"),
    ];
    neighbours.unharmed_by("what others pass on", || {
        for _ in 0..TIMES {
            for head in &passed_on {
                let head = head.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
                let status = status(&neighbours, &head);
                assert_eq!(status, 401, "{head}");
            }
        }
    });
    assert_eq!(neighbours.upstream.count("GET", "library/other"), 0);
    assert_eq!(neighbours.upstream.count("HEAD", "library/other"), 0);
}

#[test]
fn what_a_leaked_token_made_ends_with_it() {
    let neighbours = Neighbours::start();
    let rest = neighbours.attacker_rest();
    let own = "/api/v4/user/personal_access_tokens";
    let make = |rest: &Client| -> Value {
        let body = json!({ "name": "child", "scopes": ["api"] }).to_string();
        let made =
            rest.with("Content-Type", "application/json")
                .request("POST", own, body.as_bytes());
        assert_eq!(made.status, 201, "{}", made.text());
        made.json()
    };
    let by = |token: &Value| {
        let secret = token["token"].as_str().unwrap();
        Client::of(&neighbours.appliance).with("PRIVATE-TOKEN", secret)
    };
    let leaked = make(&rest);
    neighbours.unharmed_by("a leaked token that makes others", || {
        let mut made = vec![make(&by(&leaked))];
        // Each by the one before.
        for _ in 1..10 {
            made.push(make(&by(made.last().unwrap())));
        }
        let path = format!("/api/v4/personal_access_tokens/{}", leaked["id"]);
        assert_eq!(rest.request("DELETE", &path, b"").status, 204);
        for token in &made {
            assert_eq!(by(token).get("/api/v4/user").status, 401);
        }
    });
    assert_eq!(rest.get("/api/v4/user").status, 200, "its maker stands");
}

#[test]
fn where_nothing_is_fetched_for_readers_no_list_is() {
    let neighbours = Neighbours::start();
    let appliance = &neighbours.appliance;
    let other = Image::oci(9, &[1_000]);
    neighbours
        .upstream
        .put_image("library/other", "latest", &other);
    appliance.ok(&["group", "set", "evil", "on_read_only_miss=deny"]);
    let secret = appliance.token("reader", &["read_registry"]);
    appliance.ok(&["member", "add", "evil", "reader", "--level", "guest"]);
    let path = "evil/dependency_proxy/containers/other";
    let client = Client::of(appliance);
    let jwt = client
        .basic("reader", &secret)
        .token(&[&format!("repository:{path}:pull")]);
    let reader = client.bearer(&jwt);
    neighbours.unharmed_by("lists that are fetched for nobody", || {
        for _ in 0..TIMES {
            for list in [
                "tags/list".to_owned(),
                format!("referrers/{}", other.digest()),
            ] {
                let answer = reader.get(&format!("/v2/{path}/{list}"));
                assert_eq!(answer.status, 404, "{list}: {answer:?}");
            }
        }
    });
    assert_eq!(neighbours.upstream.count("GET", "library/other"), 0);
}

#[test]
fn refused_pushes_unreadable_mounts_and_logins_of_nobody_are_told_so_and_nothing_else() {
    let neighbours = Neighbours::start();
    let appliance = &neighbours.appliance;
    appliance.ok(&[
        "rule",
        "add",
        "evil/app",
        "evil/app/*",
        "--min-push",
        "no_access",
    ]);
    let eve = neighbours.attacker(&["evil/app", "evil/app/prod"]);
    let nobody = Client::of(appliance).with("Authorization", "Basic Og==");
    let private = token_path(&["repository:good/dependency_proxy/containers/alpine:pull"]);
    let digest = format!("sha256:{}", "a".repeat(64));
    neighbours.unharmed_by("refusals", || {
        for _ in 0..TIMES {
            let refused = eve.request("POST", "/v2/evil/app/prod/blobs/uploads/", b"");
            assert_eq!(refused.status, 403);
            assert!(
                refused.message().starts_with(PROTECTED),
                "{}",
                refused.text()
            );
            // The neighbour's repository is named in the challenge, and not opened by it.
            let mount = format!("/v2/evil/app/blobs/uploads/?mount={digest}&from=good/app");
            let challenged = Client::of(appliance).request("POST", &mount, b"");
            let challenge = challenged.field("WWW-Authenticate").unwrap_or_default();
            assert_eq!(challenged.status, 401);
            assert!(
                challenge.contains("repository:good/app:pull"),
                "{challenge}"
            );
            let tried = eve.request("POST", &mount, b"");
            assert_eq!(tried.status, 202, "{tried:?}");
            let location = tried.field("Location").unwrap().to_owned();
            assert_eq!(eve.request("DELETE", &location, b"").status, 204);
            assert_eq!(nobody.get(&private).status, 401);
        }
    });
    // Nobody was banned by it: the next login counts.
    let login = Client::of(appliance).basic("eve", &neighbours.secret);
    assert_eq!(login.get(&token_path(&[])).status, 200);
}
