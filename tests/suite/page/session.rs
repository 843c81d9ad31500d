//! Signing in and out, and what a page must not let others do with a session.

use std::time::{Duration, Instant};

use super::{Browser, password, set_cookie, user};
use crate::support::appliance::Appliance;
use crate::support::client::Client;

fn sign_in(client: &Client, user: &str, secret: &str) -> crate::support::client::Answer {
    client.post_form("/sign-in", &[("username", user), ("password", secret)])
}

#[test]
fn a_password_and_a_token_that_may_read_the_api_let_in_and_nothing_else_does() {
    let appliance = Appliance::start();
    let client = Client::of(&appliance);
    user(&appliance, "alice");
    appliance.ok(&["group", "add", "acme"]);
    let reads = appliance.token("alice", &["read_api"]);
    let pulls = appliance.token("alice", &["read_registry", "write_registry"]);
    let made = |kind: &str, scope: &str| {
        let create = [
            "token", "create", kind, "acme", "--name", "farm", "--scope", scope, "--json",
        ];
        appliance.json(&create)
    };
    let deploy = made("--deploy", "read_registry");
    let group = made("--group", "read_api");
    let secret = |token: &serde_json::Value| token["token"].as_str().unwrap().to_owned();
    for (name, password, status) in [
        ("alice", password("alice"), 303),
        ("alice", reads.clone(), 303),
        ("", reads.clone(), 303),
        ("", secret(&group), 303),
        ("alice", pulls, 403),
        ("bob", reads, 303),
        ("", secret(&deploy), 401),
        (deploy["username"].as_str().unwrap(), secret(&deploy), 403),
        ("alice", "nobody has this one".to_owned(), 401),
        ("", "nobody has this one".to_owned(), 401),
    ] {
        let answer = sign_in(&client, name, &password);
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        assert_eq!(
            set_cookie(&answer, "breakwater").is_some(),
            status == 303,
            "{name}"
        );
        assert!(!answer.text().contains(&password), "{name}");
    }
    let refused = sign_in(&client, "alice", "nobody has this one").text();
    assert!(refused.contains("role=\"alert\""), "{refused}");
}

#[test]
fn who_guesses_is_banned_on_the_page_as_at_the_token_endpoint() {
    let appliance = Appliance::builder().toml("[auth]\nban_after = 3").start();
    user(&appliance, "alice");
    let client = Client::of(&appliance);
    let tries: Vec<_> = (0..5).map(|_| sign_in(&client, "alice", "guess")).collect();
    let statuses: Vec<_> = tries.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses[..3], [401; 3]);
    assert_eq!(statuses[4], 429);
    assert!(tries[4].field("Retry-After").is_some());
    assert_eq!(sign_in(&client, "alice", &password("alice")).status, 429);
}

#[test]
fn whoever_is_not_signed_in_is_led_there_and_back_but_never_elsewhere() {
    let appliance = Appliance::start();
    let client = Client::of(&appliance);
    for (path, to) in [
        ("/", "/sign-in"),
        ("/groups", "/sign-in?to=%2Fgroups"),
        ("/groups/1?page=2", "/sign-in?to=%2Fgroups%2F1%3Fpage%3D2"),
    ] {
        let answer = client.get(path);
        assert_eq!((answer.status, answer.field("Location")), (303, Some(to)));
    }
    let root = appliance.root_password();
    for (to, expected) in [
        ("/groups/1?page=2", "/groups/1?page=2"),
        ("//evil.test/", "/"),
        ("/\\evil.test/", "/"),
        ("https://evil.test/", "/"),
        ("/a\r\nSet-Cookie: x=y", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
    ] {
        let fields = [
            ("username", "root"),
            ("password", root.as_str()),
            ("to", to),
        ];
        let answer = client.post_form("/sign-in", &fields);
        assert_eq!(
            (answer.status, answer.field("Location")),
            (303, Some(expected)),
            "{to:?}"
        );
    }
    let browser = Browser::root(&appliance);
    for back in ["//evil.test/", "https://evil.test/", "/\\evil.test"] {
        let fields = [("path", "made"), ("_back", back)];
        let answer = browser.post("/act/groups", &fields);
        assert_eq!(
            (answer.status, answer.field("Location")),
            (303, Some("/")),
            "{back}"
        );
        let remove = [("_method", "DELETE")];
        assert_eq!(browser.post("/act/groups/made", &remove).status, 303);
    }
}

#[test]
fn the_cookie_is_out_of_reach_and_its_secret_is_nowhere() {
    let toml = "[server]\ntrusted_proxies = [\"127.0.0.1/32\"]";
    let appliance = Appliance::builder().toml(toml).start();
    let client = Client::of(&appliance);
    let root = appliance.root_password();
    let fields = [("username", "root"), ("password", root.as_str())];
    let plain = client.post_form("/sign-in", &fields);
    let head = plain.head.clone();
    assert!(
        head.contains("; Path=/; HttpOnly; SameSite=Lax; Max-Age=43200\r\n"),
        "{head}"
    );
    let behind_tls = client
        .with("X-Forwarded-Proto", "https")
        .with("X-Forwarded-For", "192.0.2.1");
    let head = behind_tls.post_form("/sign-in", &fields).head;
    assert!(head.contains("Set-Cookie: __Host-breakwater="), "{head}");
    assert!(
        head.contains("; Path=/; HttpOnly; SameSite=Lax; Max-Age=43200; Secure\r\n"),
        "{head}"
    );
    let cookie = set_cookie(&plain, "breakwater").unwrap();
    let secret = cookie.split_once('=').unwrap().1;
    client.with("Cookie", &cookie).get("/groups");
    let mut files = 0;
    let mut directories = vec![appliance.data()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if let Ok(bytes) = std::fs::read(&path) {
                files += 1;
                let found = bytes
                    .windows(secret.len())
                    .any(|part| part == secret.as_bytes());
                assert!(!found, "{}", path.display());
            }
        }
    }
    assert!(files > 4);
    assert!(!appliance.log().contains(secret));
}

#[test]
fn every_answer_forbids_frames_scripts_in_the_text_and_copies_in_caches() {
    let appliance = Appliance::start();
    let browser = Browser::root(&appliance);
    let client = Client::of(&appliance);
    let answers = [
        browser.get("/"),
        browser.get("/groups/999"),
        browser.get("/nothing/here"),
        client.get("/sign-in"),
        client.get("/"),
        browser.post("/act/groups", &[("path", "-")]),
        client.request("POST", "/act/groups", b""),
        client.request("DELETE", "/groups", b""),
    ];
    for answer in answers
        .iter()
        .filter(|answer| answer.status != 404 || answer.text().contains("<html"))
    {
        let policy = answer.field("Content-Security-Policy").unwrap_or_default();
        for part in [
            "default-src 'none'",
            "frame-ancestors 'none'",
            "form-action 'self'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{}: {policy}", answer.head);
        }
        assert!(!policy.contains("unsafe") && !policy.contains("http"));
        assert_eq!(answer.field("X-Frame-Options"), Some("DENY"));
        assert_eq!(answer.field("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(
            answer.field("Cache-Control"),
            Some("no-store"),
            "{}",
            answer.head
        );
    }
    let style = client.get("/assets/style.css?1");
    assert_eq!(
        (style.status, style.field("X-Content-Type-Options")),
        (200, Some("nosniff"))
    );
    assert!(style.field("Cache-Control").unwrap().contains("immutable"));
    // It names addresses of upstreams, but nothing on it leads or loads from there.
    let first = browser.page("/");
    for forbidden in ["style=", "onclick", "=\"http", "=\"//"] {
        assert!(!first.contains(forbidden), "{forbidden}: {first}");
    }
    for text in [browser.page("/groups"), client.get("/sign-in").text()] {
        assert!(
            !text.contains("style=") && !text.contains("onclick") && !text.contains("://"),
            "{text}"
        );
    }
}

#[test]
fn a_form_of_another_site_or_session_does_nothing() {
    let appliance = Appliance::start();
    user(&appliance, "alice");
    let browser = Browser::root(&appliance);
    let alice = Browser::sign_in(&appliance, "alice", &password("alice"));
    let (own, foreign) = (browser.form_value(), alice.form_value());
    let add = |client: &Client, value: Option<&str>| {
        let fields: Vec<_> = [("path", "made")]
            .into_iter()
            .chain(value.map(|value| ("_csrf", value)))
            .collect();
        client.post_form("/act/groups", &fields).status
    };
    let client = browser.with_cookie();
    let host = appliance.address().to_string();
    assert_eq!(add(&client, None), 403);
    assert_eq!(add(&client, Some("")), 403);
    assert_eq!(add(&client, Some(&foreign)), 403);
    assert_eq!(
        add(&client.with("Sec-Fetch-Site", "cross-site"), Some(&own)),
        403
    );
    assert_eq!(
        add(&client.with("Sec-Fetch-Site", "same-site"), Some(&own)),
        403
    );
    assert_eq!(
        add(&client.with("Origin", "https://evil.test"), Some(&own)),
        403
    );
    assert_eq!(add(&client.with("Origin", "null"), Some(&own)), 403);
    let groups = || appliance.json(&["group", "list", "--json"]).to_string();
    assert!(!groups().contains("made"));
    // Signing in and out too: else another site signs a browser in as somebody who reads what is done there.
    let root = appliance.root_password();
    let fields = [("username", "root"), ("password", root.as_str())];
    let elsewhere = Client::of(&appliance).with("Origin", "https://evil.test");
    let answer = elsewhere.post_form("/sign-in", &fields);
    assert_eq!(
        (answer.status, set_cookie(&answer, "breakwater")),
        (403, None)
    );
    assert_eq!(
        client.post_form("/sign-out", &[("_csrf", &foreign)]).status,
        403
    );
    assert_eq!(browser.get("/groups").status, 200);
    assert_eq!(
        add(
            &client
                .with("Origin", &format!("http://{host}"))
                .with("Sec-Fetch-Site", "same-origin"),
            Some(&own)
        ),
        303
    );
    assert!(groups().contains("made"));
    // Nothing is done by a GET.
    assert_eq!(browser.get("/act/groups?path=second").status, 404);
    assert!(!groups().contains("second"));
}

#[test]
fn a_session_is_for_the_page_alone() {
    let appliance = Appliance::start();
    let browser = Browser::root(&appliance);
    let client = browser.with_cookie();
    assert_eq!(client.get("/api/v4/user").status, 401);
    assert_eq!(client.get("/v2/").status, 401);
    assert_eq!(client.get("/v2/_catalog").status, 401);
    assert_eq!(
        client.get("/metrics").status,
        Client::of(&appliance).get("/metrics").status
    );
    // Nor is a token's secret or a JWT a session.
    let token = appliance.token("root", &["api"]);
    let by_token = Client::of(&appliance)
        .with("PRIVATE-TOKEN", &token)
        .with("Cookie", &format!("breakwater={token}"));
    assert_eq!(by_token.get("/groups").status, 303);
}

#[test]
fn a_refused_form_is_told_to_the_audit_whatever_page_it_leads_back_to() {
    let appliance = Appliance::start();
    user(&appliance, "alice");
    let alice = Browser::sign_in(&appliance, "alice", &password("alice"));
    for (id, back) in [(1, "/nothing"), (2, "/groups/999"), (3, "/users")] {
        let path = format!("/act/users/{id}/block");
        let answer = alice.post(&path, &[("_back", back)]);
        assert_eq!(answer.status, 403, "{back}: {}", answer.text());
    }
    // They are written about a second later.
    let begun = Instant::now();
    let denied = loop {
        let denied = appliance.audit(&["--event", "access.denied"]);
        let denied = denied.as_array().unwrap().clone();
        if denied.len() == 3 {
            break denied;
        }
        assert!(begun.elapsed().as_secs() < 30, "{denied:#?}");
        std::thread::sleep(Duration::from_millis(50));
    };
    for event in denied {
        let why = &event["details"]["why"];
        assert_eq!(event["actor"], "alice", "{event}");
        assert_eq!(why, "it is for administrators of the box", "{event}");
    }
}

#[test]
fn whoever_mistypes_the_password_types_it_alone_again() {
    let appliance = Appliance::start();
    user(&appliance, "alice");
    let fields = |secret| {
        [
            ("username", "al\"ice"),
            ("password", secret),
            ("to", "/groups?page=2"),
        ]
    };
    let answer = Client::of(&appliance).post_form("/sign-in", &fields("mistyped"));
    let text = answer.text();
    assert_eq!(answer.status, 401, "{text}");
    assert!(
        text.contains("name=\"to\" value=\"/groups?page=2\""),
        "{text}"
    );
    assert!(text.contains("value=\"al&quot;ice\""), "{text}");
    assert!(!text.contains("mistyped"), "{text}");
    let elsewhere = [("username", ""), ("password", "x"), ("to", "//evil.test")];
    let answer = Client::of(&appliance).post_form("/sign-in", &elsewhere);
    assert!(!answer.text().contains("evil.test"), "{}", answer.text());
}
