//! Who may have which webhook, what is shown of it, and the secret.

use serde_json::json;

use super::add;
use super::receiver::{Answer, Receiver};
use crate::support::appliance::Appliance;
use crate::support::client::Client;

fn owner(appliance: &Appliance) -> Client {
    appliance.ok(&["group", "add", "acme"]);
    appliance.ok(&["group", "add", "other"]);
    let secret = appliance.token("olga", &["api"]);
    appliance.ok(&["member", "add", "acme", "olga", "--level", "owner"]);
    Client::of(appliance)
        .with("PRIVATE-TOKEN", &secret)
        .with("Content-Type", "application/json")
}

fn post(client: &Client, path: &str, body: serde_json::Value) -> crate::support::client::Answer {
    client.request(
        "POST",
        &format!("/api/v4{path}"),
        body.to_string().as_bytes(),
    )
}

#[test]
fn an_owner_has_public_receivers_of_the_own_group_alone() {
    let appliance = Appliance::start();
    let olga = owner(&appliance);
    let hooks = "/groups/acme/hooks";
    for private in [
        "http://127.0.0.1:9/x",
        "http://localhost/x",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/x",
        "http://[fd00::1]/x",
        "http://2130706433/",
        "http://0x7f.1/",
        "https://user:secret@example.com/",
        "ftp://example.com/",
    ] {
        let refused = post(&olga, hooks, json!({ "url": private }));
        assert_eq!(refused.status, 400, "{private}: {}", refused.text());
        assert!(
            refused.json()["message"]["url"].is_array(),
            "{}",
            refused.text()
        );
    }
    let allowed = json!({ "url": "http://127.0.0.1:9/x", "allow_private": true });
    assert_eq!(post(&olga, hooks, allowed.clone()).status, 403);
    assert_eq!(
        post(
            &olga,
            "/groups/other/hooks",
            json!({ "url": "https://example.com" })
        )
        .status,
        404
    );
    assert_eq!(
        post(&olga, "/hooks", json!({ "url": "https://example.com" })).status,
        403
    );
    let wrong = json!({ "url": "https://example.com", "events": ["image.pusht"] });
    let wrong = post(&olga, hooks, wrong);
    assert_eq!(wrong.status, 400);
    assert!(wrong.text().contains("image.pushed"), "{}", wrong.text());
    // What is no event to wait for would leave a webhook that is told nothing.
    for never in ["ping", "events.summed"] {
        let never = post(
            &olga,
            hooks,
            json!({ "url": "https://example.com", "events": [never] }),
        );
        assert_eq!(never.status, 400, "{}", never.text());
    }

    let url = "https://example.com/secret-path";
    let made = post(
        &olga,
        hooks,
        json!({ "url": url, "events": ["image.pushed"] }),
    );
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!(made["group_path"], "acme");
    assert_eq!(made["events"], json!(["image.pushed"]));
    let own = format!("{hooks}/{}", made["id"]);
    let list = olga.get(&format!("/api/v4{hooks}")).json();
    assert_eq!(list[0]["url"], url);
    assert!(list[0].get("secret").is_none());
    // Another group's webhook is not there, whatever its id.
    appliance.ok(&[
        "webhook",
        "add",
        "https://example.com/other",
        "--group",
        "other",
    ]);
    for method in ["GET", "DELETE"] {
        let path = format!("/api/v4{hooks}/2");
        assert_eq!(olga.request(method, &path, b"").status, 404);
    }

    // An administrator allows a private one, and the owner cannot bend it to another.
    appliance.ok(&[
        "webhook",
        "set",
        "1",
        "--url",
        "http://127.0.0.1:9/x",
        "--allow-private",
        "true",
    ]);
    let put = |body: serde_json::Value| {
        olga.request("PUT", &format!("/api/v4{own}"), body.to_string().as_bytes())
    };
    assert_eq!(
        put(json!({ "enabled": false })).json()["allow_private"],
        true
    );
    assert_eq!(put(json!({ "url": "http://127.0.0.1:22/" })).status, 400);
    assert_eq!(put(json!({ "allow_private": true })).status, 403);
    let bent = put(json!({ "url": "https://example.com/other" })).json();
    assert_eq!(bent["allow_private"], false, "{bent}");
    assert_eq!(
        olga.request("DELETE", &format!("/api/v4{own}"), b"").status,
        204
    );
}

#[test]
fn a_top_level_group_has_twenty_webhooks_with_those_below_it_and_no_more() {
    let appliance = Appliance::start();
    let olga = owner(&appliance);
    for path in ["acme/one", "acme/one/two"] {
        appliance.ok(&["group", "add", path]);
    }
    let hooks = |group: &str| format!("/groups/{}/hooks", group.replace('/', "%2F"));
    let groups = ["acme", "acme/one", "acme/one/two"];
    for (number, group) in (0..20).zip(groups.iter().cycle()) {
        let url = json!({ "url": format!("https://example.com/{number}") });
        assert_eq!(post(&olga, &hooks(group), url).status, 201);
    }
    let more = "https://example.com/more";
    for group in groups {
        let refused = post(&olga, &hooks(group), json!({ "url": more }));
        assert!(refused.text().contains("20 webhooks"), "{}", refused.text());
    }
    appliance.ok(&["webhook", "add", more, "--group", "other"]);
    appliance.ok(&["webhook", "add", more]);
}

#[test]
fn a_test_posts_a_ping_and_tells_what_came_back() {
    let appliance = Appliance::start();
    let receiver = Receiver::start();
    let secret = add(&appliance, &receiver, &["--event", "disk.short"]);
    let tested = appliance.json(&["webhook", "test", "1", "--json"]);
    assert_eq!(
        (&tested["ok"], &tested["message"]),
        (&json!(true), &json!("the receiver answered 204"))
    );
    let ping = receiver.wait_for("ping");
    ping.assert_signed(&secret);
    assert_eq!(ping.json()["data"], json!({ "webhook_id": 1 }));
    for (answer, says) in [
        (Answer::Status(500), "the receiver answered 500"),
        (Answer::Close, "closed too early"),
        (Answer::Garbage, "not HTTP"),
    ] {
        receiver.next([answer]);
        let output = appliance.run_cli(&["webhook", "test", "1"]);
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains(says), "{text}");
    }
    // So many workers may wait for receivers that say nothing, and no more.
    receiver.always(Some(Answer::Hang(std::time::Duration::from_secs(3))));
    let test = || {
        let output = appliance.run_cli(&["webhook", "test", "1"]);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let refused = std::thread::scope(|scope| {
        let tests: Vec<_> = (0..8).map(|_| scope.spawn(test)).collect();
        let texts = tests.into_iter().map(|test| test.join().unwrap());
        let refused = texts.filter(|text| text.contains("4 webhooks are being tested"));
        refused.count()
    });
    assert_eq!(refused, 4);
    receiver.always(None);
    appliance.ok(&["offline", "on"]);
    let output = appliance.run_cli(&["webhook", "test", "1"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        text.contains("offline on purpose: nothing is posted"),
        "{text}"
    );
}

#[test]
fn the_secret_is_shown_once_and_lies_nowhere_in_the_clear() {
    let mut appliance = Appliance::start();
    let receiver = Receiver::start();
    let secret = add(&appliance, &receiver, &[]);
    assert!(
        secret.starts_with("whsec_") && secret.len() == 50,
        "{secret}"
    );
    appliance.ok(&["webhook", "test", "1"]);
    let shown = [
        appliance.ok(&["webhook", "list", "--json"]),
        appliance.ok(&["webhook", "list"]),
        appliance.ok(&["webhook", "set", "1", "--enabled", "true", "--json"]),
        appliance.ok(&["audit", "--json"]),
        appliance.log(),
    ];
    appliance.stop();
    let own = secret.strip_prefix("whsec_").unwrap();
    for text in shown {
        assert!(!text.contains(own), "{text}");
    }
    for entry in std::fs::read_dir(appliance.data()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes
                .windows(own.len())
                .any(|window| window == own.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
}

#[test]
fn the_doctor_tells_of_a_webhook_that_is_not_delivered_for_an_hour() {
    let mut appliance = Appliance::start();
    let receiver = Receiver::start();
    receiver.always(Some(Answer::Status(500)));
    add(&appliance, &receiver, &[]);
    appliance.ok(&["group", "add", "acme"]);
    let client = Client::of(&appliance).basic("nobody", "bwp_0123456789abcdefghijklmnopqrstuv");
    client.get("/v2/acme/dependency_proxy/containers/alpine/manifests/1");
    receiver.wait_tries(1);
    let finding = |appliance: &Appliance| {
        let output = appliance.run_cli(&["doctor", "--json"]);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let findings = report["findings"].as_array().unwrap().clone();
        findings
            .into_iter()
            .find(|one| one["check"] == "webhook_undelivered")
    };
    assert!(finding(&appliance).is_none());
    appliance.stop();
    let audit = rusqlite::Connection::open(appliance.data().join("audit.sqlite")).unwrap();
    let text = "UPDATE receivers SET failing_since = failing_since - 3600";
    assert_eq!(audit.execute(text, []).unwrap(), 1);
    drop(audit);
    let found = finding(&appliance).unwrap();
    let what = found["what"].as_str().unwrap();
    assert!(
        what.contains(&format!(
            "the receiver at {}: answered 500",
            receiver.url("")
        )),
        "{what}"
    );
    assert!(!what.contains("/hook"), "{what}");
}

#[test]
fn a_rotated_secret_signs_beside_the_old_one_for_a_time() {
    let appliance = Appliance::start();
    let receiver = Receiver::start();
    let olga = owner(&appliance);
    let old = add(&appliance, &receiver, &["--group", "acme"]);
    let ping = || {
        appliance.ok(&["webhook", "test", "1"]);
        receiver.posts().pop().unwrap()
    };
    let rotate = |options: &[&str]| {
        let arguments = [&["webhook", "rotate", "1", "--json"], options].concat();
        let rotated = appliance.json(&arguments);
        let secret = rotated["secret"].as_str().unwrap().to_owned();
        (secret, rotated["old_secret_until"].clone())
    };
    let (new, until) = rotate(&[]);
    assert!(until.is_string());
    assert_ne!(new, old);
    ping().assert_signed_with(&[&new, &old]);
    // Over REST, by the owner, for as long as the owner wants.
    let path = "/groups/acme/hooks/1/rotate";
    for wrong in ["31d", "soon"] {
        let refused = post(&olga, path, json!({ "grace": wrong }));
        assert_eq!(refused.status, 400);
        assert!(
            refused.json()["message"]["grace"].is_array(),
            "{}",
            refused.text()
        );
    }
    ping().assert_signed_with(&[&new, &old]);
    let newer = post(&olga, path, json!({ "grace": "2s" }));
    assert_eq!(newer.status, 200, "{}", newer.text());
    let newer = newer.json()["secret"].as_str().unwrap().to_owned();
    ping().assert_signed_with(&[&newer, &new]);
    std::thread::sleep(std::time::Duration::from_secs(3));
    ping().assert_signed(&newer);
    // One that has leaked is out of use at once.
    let (newest, until) = rotate(&["--grace", "0s"]);
    assert!(until.is_null());
    ping().assert_signed(&newest);
    assert_eq!(post(&olga, "/hooks/1/rotate", json!({})).status, 403);
    let audit = appliance.ok(&["audit", "--json"]);
    assert_eq!(audit.matches("webhook.rotated").count(), 3);
    for secret in [&old, &new, &newer, &newest] {
        assert!(!audit.contains(secret.as_str()));
    }
}
