//! What commands change under a running server, and what they refuse.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{FILL, Member, NAME, add, member};
use crate::support::appliance::{Appliance, run_with_input};
use crate::support::client::Client;
use crate::support::fake_upstream::{Bearer, FakeUpstream, Image};

#[test]
fn the_running_server_notices_and_keeps_what_did_not_change() {
    let (fake, late) = (FakeUpstream::start(), FakeUpstream::start());
    fake.require_bearer(Bearer::default());
    for (tag, seed) in [("1", 1), ("2", 2), ("3", 3)] {
        fake.put_image("app", tag, &Image::oci(seed, &[1_000]));
    }
    late.put_image("app", "1", &Image::oci(9, &[1_000]));
    let appliance = Appliance::start();
    let a = member(&appliance, "a", FILL, &format!("{NAME}/app"));
    let sub = member(&appliance, "a/sub", FILL, &format!("{NAME}/app"));
    let status = |member: &Member, tag| {
        let answer = member.client.get(&member.manifest(tag));
        (answer.status, answer.code())
    };
    let unknown = (404, "NAME_UNKNOWN".to_owned());
    let good = (200, String::new());
    assert_eq!(status(&a, "1"), unknown);
    add(&appliance, "a", fake.url(), None);
    assert_eq!(status(&a, "1"), good);
    assert_eq!(status(&sub, "1"), good, "a subgroup has what is above it");
    let (tokens, connections) = (fake.count("GET", "/token"), fake.connections());

    add(&appliance, "a/sub", late.url(), None);
    appliance.ok(&["user", "add", "somebody", "--service"]);
    assert_eq!(status(&a, "2"), good);
    assert_eq!(fake.count("GET", "/token"), tokens, "its token is kept");
    assert_eq!(fake.connections(), connections, "and its connection");
    let nearest = sub.client.get(&sub.manifest("1"));
    assert_eq!(nearest.body, Image::oci(9, &[1_000]).manifest);

    let states = appliance.json(&["upstream", "status", "--json"]);
    let shown = |key: &str| -> Vec<Value> {
        let states = states.as_array().unwrap().iter();
        states.map(|state| state[key].clone()).collect()
    };
    assert_eq!(shown("group"), [json!(null), json!("a"), json!("a/sub")]);
    assert_eq!(
        shown("by_command"),
        [json!(false), json!(true), json!(true)]
    );
    assert_eq!(shown("breaker")[1], "closed");

    appliance.ok(&["upstream", "remove", NAME, "--group", "a/sub"]);
    let above = sub.client.get(&sub.manifest("1"));
    assert_eq!(above.body, Image::oci(1, &[1_000]).manifest);
    appliance.ok(&["upstream", "remove", NAME, "--group", "a"]);
    assert_eq!(status(&a, "1"), unknown);
}

#[test]
fn the_box_has_upstreams_by_command_too_and_groups_have_defaults() {
    let (hub, quay) = (FakeUpstream::start(), FakeUpstream::start());
    let (of_hub, of_quay) = (Image::oci(1, &[1_000]), Image::oci(2, &[1_000]));
    hub.put_image("library/app", "1", &of_hub);
    quay.put_image("app", "1", &of_quay);
    let appliance = Appliance::with_upstream(hub.url());
    appliance.ok(&["upstream", "add", "quay.io", quay.url()]);
    let mirror = Client::of(&appliance);
    for path in [
        "/v2/quay.io/app/manifests/1",
        "/v2/app/manifests/1?ns=quay.io",
    ] {
        assert_eq!(mirror.get(path).body, of_quay.manifest, "{path}");
    }
    let a = member(&appliance, "a", FILL, "app");
    let sub = member(&appliance, "a/sub", FILL, "app");
    sub.pull("1", &of_hub);
    appliance.ok(&["group", "set", "a", "default_upstream=quay.io"]);
    a.pull("1", &of_quay);
    sub.pull("1", &of_quay);
    assert_eq!(mirror.get("/v2/app/manifests/1").body, of_hub.manifest);
    appliance.ok(&["group", "set", "a", "default_upstream="]);
    a.pull("1", &of_hub);
    let refused = appliance.run_cli(&["group", "set", "a", "default_upstream=ghcr.io"]);
    assert_eq!(refused.status.code(), Some(1));
}

#[test]
fn a_lost_key_takes_down_one_upstream_and_coming_back_it_heals() {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[1_000]);
    fake.put_image("app", "1", &image);
    fake.put_image("library/app", "1", &image);
    let mut appliance = Appliance::with_upstream(fake.url());
    let path = format!("{NAME}/app");
    let a = member(&appliance, "a", FILL, &path);
    let box_wide = member(&appliance, "b", FILL, "app");
    add(
        &appliance,
        "a",
        fake.url(),
        Some(("bot", "a long password")),
    );
    let key = appliance.data().join("secret.key");
    let mode = std::fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for file in std::fs::read_dir(appliance.data()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap_or_default();
        let found = bytes.windows(15).any(|part| part == b"a long password");
        assert!(!found, "the password stands in the data directory");
    }

    appliance.stop();
    let away = appliance.data().join("elsewhere");
    std::fs::rename(&key, &away).unwrap();
    appliance.restart();
    let answer = a.client.get(&a.manifest("1"));
    assert_eq!(answer.verdict(), (503, "UNAVAILABLE".to_owned()));
    assert!(answer.message().contains(NAME), "{}", answer.message());
    assert!(!answer.text().contains("secret.key"));
    appliance.wait_for_log("secret.key");
    box_wide.pull("1", &image);
    // Sealing under a new key would hide that the old one is gone.
    let refused = run_with_input(
        &mut appliance.command(&[
            "upstream",
            "add",
            "x.test",
            "https://x.test",
            "--username",
            "u",
            "--password-stdin",
        ]),
        "p\n",
    );
    assert_eq!(refused.status.code(), Some(1));
    assert!(!key.exists());

    std::fs::rename(&away, &key).unwrap();
    let begun = Instant::now();
    while a.client.get(&a.manifest("1")).status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never healed");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn commands_say_what_is_wrong_and_leave_the_file_alone() {
    let appliance = Appliance::builder().prepare();
    let list = ["upstream", "list", "--json"];
    let listed = appliance.json(&list);
    assert_eq!(listed[0]["name"], "docker.io", "without a store too");
    appliance.ok(&["init"]);
    appliance.ok(&["group", "add", "a"]);
    let certificate = FakeUpstream::ca_file();
    let copied = appliance.data().join("ca.pem");
    std::fs::copy(certificate, &copied).unwrap();
    let no_pem = appliance.config();
    let (copied, no_pem) = (copied.to_str().unwrap(), no_pem.to_str().unwrap());
    let url = "https://quay.io";
    appliance.ok(&["upstream", "add", "quay.io", url, "--ca", copied]);
    std::fs::remove_file(copied).unwrap();
    appliance.ok(&["upstream", "add", "docker.io", url, "--group", "a"]);
    let login = ["--username", "u:v", "--password-stdin"];
    let table: &[(&[&str], i32, &str)] = &[
        (&["add", "docker.io", url], 1, "configuration"),
        (&["remove", "docker.io"], 1, "configuration"),
        (&["add", "quay.io", url], 1, "already"),
        (&["add", "docker.io", url, "--group", "a"], 1, "already"),
        (&["add", "quay", url], 2, "host name"),
        (&["add", "x.test", "quay.io"], 1, "url"),
        (&["add", "x.test", "https://u:p@x.test"], 1, "url"),
        (&["add", "x.test", url, "--group", "b"], 1, "no group"),
        (&["add", "x.test", url, "--ca", no_pem], 1, "CA"),
        (
            &["add", "x.test", url, "--auth-realm", "http://y"],
            1,
            "realm",
        ),
        (
            &["add", "x.test", url, "--username", "u"],
            2,
            "--password-stdin",
        ),
        (
            &["add", "x.test", url, login[0], login[1], login[2]],
            1,
            "colon",
        ),
        (&["remove", "x.test"], 1, "no upstream"),
        (&["remove", "quay.io", "--group", "a"], 1, "no upstream"),
    ];
    for (arguments, status, part) in table {
        let arguments = [&["upstream"], *arguments].concat();
        let output = run_with_input(&mut appliance.command(&arguments), "password\n");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            output.status.code(),
            Some(*status),
            "{arguments:?}: {error}"
        );
        assert!(error.contains(part), "{arguments:?}: {error}");
        assert!(!error.contains("password\n"), "{arguments:?}: {error}");
    }
    let listed = appliance.json(&list);
    let seen: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            json!([
                one["name"],
                one["group"],
                one["read_only"],
                one["has_ca"],
                one["allow_private_addresses"]
            ])
        })
        .collect();
    assert_eq!(
        seen,
        [
            json!(["docker.io", null, true, false, true]),
            json!(["quay.io", null, false, true, true]),
            json!(["docker.io", "a", false, false, false]),
        ]
    );
    appliance.ok(&["upstream", "remove", "docker.io", "--group", "a"]);
    appliance.ok(&["upstream", "remove", "quay.io"]);
    assert_eq!(appliance.json(&list).as_array().unwrap().len(), 1);
}
