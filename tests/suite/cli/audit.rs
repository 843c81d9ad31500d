//! `breakwater audit`: what was changed by commands, for people and for programs.

use serde_json::Value;

use crate::support::appliance::Appliance;

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
    let events = appliance.json(&["audit", "--json"]);
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
        (&member["user"], &member["group"], &member["details"]),
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
    let last = appliance.json(&["audit", "--limit", "1", "--json"]);
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
        let mut command = vec!["audit", "--json"];
        command.extend(arguments);
        let events = appliance.json(&command);
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
fn a_restored_backup_takes_no_event_back_and_verify_looks_at_the_audit() {
    let appliance = Appliance::builder().prepare();
    appliance.ok(&["init"]);
    let outside = tempfile::tempdir().unwrap();
    let file = outside.path().join("backup.sqlite");
    let file = file.to_str().unwrap();
    appliance.ok(&["backup", file]);
    appliance.ok(&["user", "add", "ci", "--service"]);
    appliance.ok(&["restore", file]);
    let last = appliance.json(&["audit", "--limit", "3", "--json"]);
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
