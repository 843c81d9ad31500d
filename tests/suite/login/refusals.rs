//! Who is told why a login is refused, and what is counted against whom: whoever sends a whole secret does not guess.

use std::time::{Duration, Instant};

use super::{BOTH, Stage, stage};
use crate::support::appliance::Appliance;
use crate::support::client::{Answer, Client, token_path};

/// One login that is refused.
struct Case<'a> {
    what: &'a str,
    user: &'a str,
    secret: &'a str,
    /// What the answer says, in this order.
    told: &'a [&'a str],
    /// `why=` in the audit.
    why: &'a str,
}

fn made(stage: &Stage, arguments: &[&str]) -> (String, String) {
    let words = [&["token", "create", "--name", "t", "--json"], arguments].concat();
    let made = stage.appliance.json(&words);
    (
        made["id"].to_string(),
        made["token"].as_str().unwrap().to_owned(),
    )
}

fn login(client: &Client, user: &str, secret: &str) -> Answer {
    client.basic(user, secret).get(&token_path(&[]))
}

#[test]
fn whoever_holds_the_whole_secret_is_told_why_it_is_refused() {
    let stage = stage();
    let appliance = &stage.appliance;
    appliance.ok(&["project", "add", "acme/api"]);
    appliance.ok_with_input(
        &["user", "add", "carol", "--password-stdin"],
        "right Passw0rd\n",
    );
    let scope = ["--scope", "read_registry"];
    let of = |owner: &[&str]| made(&stage, &[owner, &scope].concat());
    let (revoked_id, revoked) = of(&["--user", "alice"]);
    let (rotated_id, rotated) = of(&["--user", "alice"]);
    let (_, deploy) = of(&["--deploy", "acme", "--username", "puller"]);
    let (_, of_carol) = of(&["--user", "carol"]);
    let (_, group) = of(&["--group", "acme"]);
    let (_, job) = made(&stage, &["--job", "acme/api", "--user", "alice"]);
    let (_, ended) = made(
        &stage,
        &["--job", "acme/api", "--user", "alice", "--ttl", "1s"],
    );
    appliance.ok(&["token", "revoke", &revoked_id]);
    appliance.ok(&["token", "rotate", &rotated_id]);
    appliance.ok(&["user", "block", "carol"]);
    let begun = Instant::now();
    while login(&stage.client, "gitlab-ci-token", &ended).status == 200 {
        assert!(begun.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(100));
    }
    let unknown = "login failed: wrong user name, password or token";
    let nobody_s = "bwp_00000000000000000000000000000000";
    let table = [
        Case {
            what: "revoked",
            user: "alice",
            secret: &revoked,
            told: &["this token was revoked on 20"],
            why: "revoked",
        },
        Case {
            what: "rotated",
            user: "alice",
            secret: &rotated,
            told: &["this token was revoked on 20"],
            why: "revoked",
        },
        Case {
            what: "expired",
            user: "gitlab-ci-token",
            secret: &ended,
            told: &["this token expired on 20"],
            why: "expired",
        },
        Case {
            what: "the token of a blocked user",
            user: "carol",
            secret: &of_carol,
            told: &["the user carol is blocked", "user unblock carol"],
            why: "user blocked",
        },
        Case {
            what: "the password of a blocked user",
            user: "carol",
            secret: "right Passw0rd",
            told: &["the user carol is blocked"],
            why: "user blocked",
        },
        Case {
            what: "a job token under another name",
            user: "alice",
            secret: &job,
            told: &["this job token", "log in as gitlab-ci-token"],
            why: "other user name",
        },
        Case {
            what: "a deploy token under another name",
            user: "alice",
            secret: &deploy,
            told: &["this deploy token", "log in as puller"],
            why: "other user name",
        },
        Case {
            what: "a token without a name",
            user: "",
            secret: &group,
            told: &["a group token logs in with a user name"],
            why: "other user name",
        },
        // Who holds no whole secret learns nothing.
        Case {
            what: "a wrong password of a blocked user",
            user: "carol",
            secret: "wrong Passw0rd",
            told: &[unknown],
            why: "wrong password",
        },
        Case {
            what: "a name that is nobody's",
            user: "nobody",
            secret: "right Passw0rd",
            told: &[unknown],
            why: "no such user",
        },
        Case {
            what: "a secret that is nobody's",
            user: "puller",
            secret: nobody_s,
            told: &["checksum is wrong"],
            why: "wrong checksum",
        },
    ];
    for case in &table {
        let client = stage
            .client
            .with("X-Request-Id", &case.what.replace([' ', '\''], "-"));
        let refused = login(&client, case.user, case.secret);
        assert_eq!(refused.status, 401, "{}", case.what);
        let message = refused.message();
        let mut rest = message.as_str();
        for part in case.told {
            let at = rest.find(part);
            let at = at.unwrap_or_else(|| panic!("{}: {part}: {message}", case.what));
            rest = &rest[at + part.len()..];
        }
        if case.told == [unknown] {
            assert!(!message.contains("blocked"), "{message}");
        }
    }
    let begun = Instant::now();
    let events = loop {
        let events = appliance.audit(&[]);
        let events = events.as_array().unwrap().clone();
        let failed = events
            .iter()
            .filter(|event| event["event"] == "login.failed");
        if failed.count() >= table.len() - 1 || begun.elapsed() > Duration::from_secs(30) {
            break events;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    for case in &table {
        let is_told = |event: &serde_json::Value| {
            event["event"] == "login.failed" && event["details"]["why"] == case.why
        };
        assert!(events.iter().any(is_told), "{}: {events:#?}", case.what);
        let id = case.what.replace([' ', '\''], "-");
        let log = appliance.log();
        let id = format!("\"request_id\":\"{id}\"");
        let line = log.lines().find(|line| line.contains(&id)).unwrap();
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["why"], format!("login failed: {}", case.why));
    }
}

#[test]
fn a_secret_that_has_ended_bans_no_address_and_has_a_rate_of_its_own() {
    let appliance = Appliance::builder().toml("[auth]\nban_after = 3").start();
    let client = Client::of(&appliance);
    let good = appliance.token("alice", &["read_registry", "read_api"]);
    let made = appliance.json(&[
        "token", "create", "--name", "old", "--user", "alice", "--scope", "api", "--json",
    ]);
    let old = made["token"].as_str().unwrap();
    appliance.ok(&["token", "revoke", &made["id"].to_string()]);
    let rest = |secret: &str| {
        let client = client.with("PRIVATE-TOKEN", secret);
        client.get("/api/v4/user").status
    };
    for _ in 0..10 {
        assert_eq!(login(&client, "alice", old).status, 401);
        assert_eq!(rest(old), 401);
        assert_eq!(login(&client, "alice", &good).status, 200);
        assert_eq!(rest(&good), 200);
    }
    assert_eq!(
        appliance.json(&["ban", "list", "--json"]),
        serde_json::json!([])
    );
    // Within one minute it is answered so often, and then told to wait, with the reason.
    let mut answers = (0..130).map(|_| login(&client, "alice", old));
    let slowed = answers.find(|answer| answer.status == 429).unwrap();
    let wait: u64 = slowed.field("Retry-After").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert!(slowed.message().contains("revoked on"), "{}", slowed.text());
    // The log says it without what only the sender is told, such as a user's name; the audit says whose it is.
    appliance.wait_for_log("\"why\":\"login failed: revoked, and it was sent too often\"");
    let begun = Instant::now();
    let told = loop {
        let told = appliance.audit(&["--event", "login.turned_away"]);
        if told != serde_json::json!([]) || begun.elapsed() > Duration::from_secs(30) {
            break told;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(told[0]["details"]["why"], "refused too often", "{told:#}");
    assert_eq!(
        (&told[0]["subject"], &told[0]["user"]),
        (&serde_json::json!("old"), &serde_json::json!("alice")),
        "{told:#}"
    );
    assert_eq!(
        login(&client, "alice", &good).status,
        200,
        "nobody else waits"
    );
    // What matches nothing is a guess all the same.
    for _ in 0..3 {
        assert_eq!(rest("bwp_00000000000000000000000000000000"), 401);
    }
    assert_eq!(login(&client, "alice", &good).status, 429);
}

/// Lists and lifts bans, by command and by REST, and what tells of them.
#[test]
fn a_ban_is_seen_everywhere_and_lifted_by_name() {
    let toml =
        "[server]\ntrusted_proxies = [\"127.0.0.1/32\"]\n[auth]\nban_after = 3\nban_for = \"10m\"";
    let appliance = Appliance::builder().toml(toml).start();
    let client = Client::of(&appliance);
    let from = |address: &str| client.with("X-Forwarded-For", address);
    appliance.ok_with_input(
        &["user", "add", "carol", "--password-stdin"],
        "right Passw0rd\n",
    );
    let secret = appliance.token("alice", BOTH);
    let (v4, v6) = ("192.0.2.7", "2001:db8:1:2::3");
    for address in [v4, v6] {
        for _ in 0..3 {
            let wrong = login(&from(address), "x", "bwp_00000000000000000000000000000000");
            assert_eq!(wrong.status, 401);
        }
    }
    for number in 1..=3 {
        let address = format!("198.51.100.{number}");
        assert_eq!(
            login(&from(&address), "carol", "wrong Passw0rd").status,
            401
        );
        assert_eq!(
            login(&from(&address), "s3cret-typed-as-name", "x").status,
            401
        );
    }
    let banned = login(&from(v4), "alice", &secret);
    assert_eq!(banned.status, 429);
    let message = banned.message();
    assert!(
        message.contains("try again at 20")
            && message.contains("`breakwater ban remove 192.0.2.7`"),
        "{message}"
    );
    let list = appliance.json(&["ban", "list", "--json"]);
    let list = list.as_array().unwrap();
    let shown: Vec<_> = list
        .iter()
        .map(|ban| {
            (
                &ban["kind"],
                &ban["address"],
                &ban["username"],
                &ban["failed_logins"],
            )
        })
        .collect();
    let expected = serde_json::json!([
        ["address", v4, null, 3],
        ["address", "2001:db8:1:2::/64", null, 3],
        ["user", null, "carol", 3],
        ["user", null, null, 3],
    ]);
    assert_eq!(serde_json::json!(shown), expected);
    for ban in list {
        assert!(ban["ends_at"].as_str() > ban["banned_at"].as_str(), "{ban}");
    }
    let api = appliance.token("root", &["api"]);
    let rest = from("192.0.2.9").with("PRIVATE-TOKEN", &api);
    assert_eq!(rest.get("/api/v4/bans").json(), serde_json::json!(list));
    let text = appliance.ok(&["ban", "list"]);
    for part in [
        "192.0.2.7 ",
        "2001:db8:1:2::/64 ",
        "carol ",
        "(no user's name)",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // What people type into the wrong field stands nowhere.
    let log = appliance.log();
    assert!(!text.contains("s3cret") && !log.contains("s3cret"));
    for part in [
        "logins from 192.0.2.7 are refused until 20",
        "`breakwater ban remove 192.0.2.7` lifts it",
        "`breakwater ban remove carol` lifts it",
    ] {
        let warned = log.lines().filter(|line| line.contains("WARN"));
        assert_eq!(
            warned.filter(|line| line.contains(part)).count(),
            1,
            "{part}: {log}"
        );
    }
    let doctor = appliance.json(&["doctor", "--json"]);
    let findings = doctor["findings"].as_array().unwrap().iter();
    let found: Vec<_> = findings.filter(|one| one["check"] == "banned").collect();
    assert_eq!(found.len(), 1, "{doctor:#}");
    assert!(
        found[0]["what"]
            .as_str()
            .unwrap()
            .contains("192.0.2.7 until 20")
            && found[0]["remedy"]
                .as_str()
                .unwrap()
                .contains("ban remove 192.0.2.7"),
        "{}",
        found[0]
    );
    // Each way to lift one, and what is not banned.
    for network in ["192.0.2.0/24", "2001:db8:1::/48"] {
        let refused = appliance.run_cli(&["ban", "remove", network]);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(
            refused.status.code() == Some(1) && said.contains("an IPv6 network of 64 bits"),
            "{said}"
        );
    }
    appliance.ok(&["ban", "remove", v4]);
    assert_eq!(login(&from(v4), "alice", &secret).status, 200);
    assert_eq!(
        rest.request("DELETE", "/api/v4/bans/2001:db8:1:2::%2F64", b"")
            .status,
        204
    );
    assert_eq!(login(&from(v6), "alice", &secret).status, 200);
    assert_eq!(
        rest.request("DELETE", "/api/v4/bans/carol", b"").status,
        204
    );
    let right = login(&from("198.51.100.9"), "carol", "right Passw0rd");
    assert_eq!(right.status, 200);
    assert_eq!(
        rest.request("DELETE", "/api/v4/bans/carol", b"").status,
        404
    );
    let refused = appliance.run_cli(&["ban", "remove", v4]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        refused.status.code() == Some(1) && said.contains("is not banned"),
        "{said}"
    );
    appliance.ok(&["ban", "remove", "s3cret-typed-as-name"]);
    assert_eq!(
        appliance.json(&["ban", "list", "--json"]),
        serde_json::json!([])
    );
    let events = appliance.audit(&[]);
    let lifted: Vec<_> = events
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["event"] == "ban.lifted")
        .map(|event| event["subject"].as_str().unwrap_or("-"))
        .collect();
    assert_eq!(lifted, [v4, "2001:db8:1:2::/64", "carol", "-"]);
    assert!(!events.to_string().contains("s3cret"));
}
