//! `breakwater audit`: what was changed by commands, for people and for programs.

use serde_json::Value;

use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image};
use crate::support::pushing::{Hosted, push_image};

fn kinds(events: &Value) -> Vec<&str> {
    let events = events.as_array().unwrap().iter();
    events
        .map(|event| event["event"].as_str().unwrap())
        .collect()
}

#[test]
fn what_commands_change_is_told_with_who_ran_them() {
    let mut appliance = Appliance::builder().prepare();
    appliance.ok(&["init"]);
    appliance.ok(&["group", "add", "acme"]);
    appliance.ok(&["user", "add", "ci", "--service"]);
    appliance.ok(&["member", "add", "acme", "ci", "--level", "developer"]);
    let secret = appliance.token("ci", &["read_registry"]);
    appliance.ok(&["offline", "on"]);
    let events = appliance.audit(&[]);
    let expected = [
        "group.created",
        "network.added",
        "network.added",
        "user.created",
        "group.created",
        "user.created",
        "member.set",
        "token.created",
        "offline.on",
    ];
    assert_eq!(kinds(&events), expected, "the newest last");
    let who = events[0]["actor"].as_str().unwrap();
    assert!(who.starts_with("box (") && who.ends_with(')'), "{who}");
    for event in events.as_array().unwrap() {
        assert_eq!(event["actor"], who);
        assert!(event["address"].is_null() && event["correlation_id"].is_null());
    }
    let member = &events[6];
    assert_eq!(
        (&member["subject"], &member["group"], &member["details"]),
        (
            &Value::from("ci"),
            &Value::from("acme"),
            &serde_json::json!({ "access_level": 30 })
        )
    );
    let text = appliance.ok(&["audit"]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 10);
    assert!(lines[0].starts_with("TIME "), "{}", lines[0]);
    for part in [
        "member.set",
        who,
        "user ci (2)",
        "group=acme (2) access_level=30",
    ] {
        assert!(lines[7].contains(part), "{part}: {}", lines[7]);
    }
    assert!(!text.contains(&secret[4..]));
    // While the server runs, the commands go by it.
    appliance.restart();
    appliance.ok(&["offline", "off"]);
    let last = appliance.audit(&["--limit", "1"]);
    assert_eq!(kinds(&last), ["offline.off"]);
}

#[test]
fn events_are_chosen_by_time_user_and_group() {
    let appliance = Appliance::builder().prepare();
    appliance.ok(&["init"]);
    appliance.ok(&["group", "add", "acme"]);
    appliance.ok(&["group", "add", "acme/backend"]);
    appliance.ok(&["user", "add", "ci", "--service"]);
    for (arguments, expected) in [
        (&["--user", "ci"][..], &["user.created"][..]),
        (&["--user", "root"], &["user.created"]),
        (&["--user", "nobody"], &[]),
        (&["--group", "acme"], &["group.created", "group.created"]),
        (&["--group", "acme/backend"], &["group.created"]),
        (
            &["--since", "1h", "--group", "acme/backend"],
            &["group.created"],
        ),
        (
            &["--since", "2000-01-01", "--user", "ci"],
            &["user.created"],
        ),
        (&["--since", "2100-01-01"], &[]),
        (&["--limit", "2"], &["group.created", "user.created"]),
    ] {
        let events = appliance.audit(arguments);
        assert_eq!(kinds(&events), expected, "{arguments:?}");
    }
    let output = appliance.run_cli(&["audit", "--limit", "2"]);
    let hint = String::from_utf8(output.stderr).unwrap();
    assert!(hint.contains("the newest 2 are shown"), "{hint}");
    for (arguments, part) in [
        (&["--since", "yesterday"][..], "write 24h"),
        (&["--limit", "0"], "--limit"),
    ] {
        let mut command = vec!["audit"];
        command.extend(arguments);
        let output = appliance.run_cli(&command);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn pushes_and_deletes_by_every_way_are_told_with_who_and_from_where() {
    let hosted = Hosted::start();
    let appliance = &hosted.appliance;
    let client = hosted.client(&["acme/api"]);
    for tag in ["v1", "v2", "v3"] {
        push_image(&client, "acme/api", tag, &[tag.as_bytes()]);
    }
    let path = |rest: &str| format!("/v2/acme/api/{rest}");
    assert_eq!(
        client.request("DELETE", &path("manifests/v1"), b"").status,
        202
    );
    let head = client.get(&path("manifests/v2"));
    let digest = head.field("Docker-Content-Digest").unwrap().to_owned();
    let by_digest = path(&format!("manifests/{digest}"));
    assert_eq!(client.request("DELETE", &by_digest, b"").status, 202);
    let rest = Client::of(appliance).with("PRIVATE-TOKEN", &hosted.secret);
    let list = "/api/v4/projects/acme%2Fapi/registry/repositories";
    let id = rest.get(list).json()[0]["id"].to_string();
    let one = format!("{list}/{id}");
    assert_eq!(
        rest.request("DELETE", &format!("{one}/tags/v3"), b"")
            .status,
        200
    );
    assert_eq!(rest.request("DELETE", &one, b"").status, 202);
    let removed = appliance.audit(&["--event", "images.removed"]);
    let lines: Vec<_> = removed.as_array().unwrap().iter().map(line).collect();
    let by = "dev (token 1) 127.0.0.1 acme/api acme/api";
    let expected = [
        format!(r#"{by} {{"image":"v1"}}"#),
        format!(r#"{by} {{"image":"{digest}"}}"#),
        format!(r#"{by} {{"image":"v3"}}"#),
        format!("{by} {{}}"),
    ];
    assert_eq!(lines, expected);
    let begun = std::time::Instant::now();
    let pushed = loop {
        let pushed = appliance.audit(&["--event", "image.*"]);
        if pushed.as_array().unwrap().len() == 3 || begun.elapsed().as_secs() > 30 {
            break pushed;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    let tags = pushed.as_array().unwrap().iter();
    let mut tags: Vec<_> = tags
        .map(|event| event["details"]["tags"][0].as_str().unwrap())
        .collect();
    // Those of one second have no order.
    tags.sort_unstable();
    assert_eq!(tags, ["v1", "v2", "v3"]);
    assert!(line(&pushed[0]).starts_with(by), "{pushed}");
    // By the token's id, by the address, and by what is no address.
    let count = |options: &[&str]| appliance.audit(options).as_array().unwrap().len();
    assert_eq!(count(&["--event", "image*", "--token", "1"]), 7);
    assert_eq!(count(&["--event", "image*", "--token", "11"]), 0);
    assert_eq!(count(&["--event", "image*", "--address", "127.0.0.1"]), 7);
    assert_eq!(count(&["--event", "image*", "--address", "127.0.0.2"]), 0);
    // A repository below a project's path is told of under the project's.
    let tool = "acme/api/tool";
    let client = hosted.client(&[tool]);
    push_image(&client, tool, "v4", &[b"v4"]);
    let path = format!("/v2/{tool}/manifests/v4");
    assert_eq!(client.request("DELETE", &path, b"").status, 202);
    let removed = appliance.audit(&["--event", "images.removed"]);
    let last = removed.as_array().unwrap().last().unwrap();
    let by = "dev (token 1) 127.0.0.1 acme/api acme/api/tool";
    assert_eq!(line(last), format!(r#"{by} {{"image":"v4"}}"#));
}

/// Who, from where, of which project, what to, and the details.
fn line(event: &Value) -> String {
    let word = |key: &str| event[key].as_str().unwrap_or("-").to_owned();
    let words = ["actor", "address", "group", "subject"].map(word);
    format!("{} {}", words.join(" "), event["details"])
}

#[test]
fn pulls_are_told_only_where_the_configuration_asks_for_them() {
    let fake = FakeUpstream::start();
    fake.put_image("library/alpine", "latest", &Image::oci(1, &[1_000]));
    for (toml, expected) in [("[audit]\npulls = true", 1), ("", 0)] {
        let appliance = Appliance::builder().upstream(fake.url()).toml(toml).start();
        let client = Client::of(&appliance);
        for _ in 0..3 {
            let got = client.get("/v2/library/alpine/manifests/latest");
            assert_eq!(got.status, 200);
        }
        let found = || appliance.audit(&["--event", "image.pulled"]);
        let begun = std::time::Instant::now();
        let waits = if expected == 0 { 2 } else { 30 };
        while found().as_array().unwrap().len() != 1 && begun.elapsed().as_secs() < waits {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let events = found();
        let events = events.as_array().unwrap();
        // The minute may turn between them.
        let count: u64 = events
            .iter()
            .map(|event| event["count"].as_u64().unwrap())
            .sum();
        assert_eq!(count, 3 * expected, "{toml}: {events:#?}");
        for event in events {
            assert_eq!(event["subject"], "docker.io/library/alpine:latest");
            assert_eq!(event["address"], "127.0.0.1");
        }
    }
}

#[test]
fn json_is_what_the_rest_api_answers() {
    let appliance = Appliance::start();
    appliance.ok(&["group", "add", "acme"]);
    let root = appliance.token("root", &["read_api"]);
    let client = Client::of(&appliance).with("PRIVATE-TOKEN", &root);
    let answer = client.get("/api/v4/audit_events?per_page=100&event_name=group.*");
    let printed = appliance.json(&["audit", "--event", "group.*", "--json"]);
    assert_eq!(printed, answer.json());
    assert_eq!(printed[0]["event_name"], "group.created");
    let by_token = client.get("/api/v4/audit_events?token_id=1&ip_address=127.0.0.1");
    assert_eq!(by_token.status, 200, "{}", by_token.text());
    let wrong = client.get("/api/v4/audit_events?ip_address=here");
    assert_eq!(wrong.status, 400, "{}", wrong.text());
}

#[test]
fn a_restored_backup_takes_no_event_back_and_verify_looks_at_the_audit() {
    let appliance = Appliance::builder().prepare();
    appliance.ok(&["init"]);
    let outside = tempfile::tempdir().unwrap();
    let file = outside.path().join("backup.sqlite");
    let file = file.to_str().unwrap();
    appliance.ok(&["backup", file]);
    appliance.ok(&["user", "add", "ci", "--service"]);
    appliance.ok(&["restore", file]);
    let last = appliance.audit(&["--limit", "3"]);
    let expected = ["database.backed_up", "user.created", "database.restored"];
    assert_eq!(kinds(&last), expected);
    appliance.ok(&["verify"]);
    let audit = appliance.data().join("audit.sqlite");
    let mut bytes = std::fs::read(&audit).unwrap();
    let length = bytes.len();
    assert!(length > 8_192);
    bytes[length - 4_096..].fill(0xA5);
    std::fs::write(&audit, bytes).unwrap();
    let output = appliance.run_cli(&["verify"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("audit.sqlite"), "{text}");
}
