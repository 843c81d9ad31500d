//! An upstream that refuses the box's username and password: seen wherever somebody looks, and told to clients as what it is.

use super::{FILL, NAME, add, member};
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{Answer, Bearer, FakeUpstream, Image};

const WHY: &str = "refuses the username and password that this box has for it";

#[test]
fn a_password_that_is_refused_is_told_as_what_it_is_wherever_somebody_looks() {
    let fake = FakeUpstream::start();
    let (kept, other) = (Image::oci(1, &[1_000]), Image::oci(2, &[1_000]));
    fake.put_image("app", "1", &kept);
    fake.put_image("app", "2", &other);
    let demand = |password: &str| {
        fake.require_bearer(Bearer {
            credentials: Some(("ann".to_owned(), password.to_owned())),
            ..Bearer::default()
        });
    };
    demand("right");
    let appliance = Appliance::builder()
        .toml("[cache]\ntag_ttl = \"0s\"\nnegative_ttl = \"0s\"")
        .start();
    let with_password = ["upstream", "add", NAME, fake.url(), "--username", "ann"];
    appliance.ok_with_input(
        &[&with_password[..], &["--password-stdin"]].concat(),
        "right\n",
    );
    let client = Client::of(&appliance);
    let path = |rest: &str| format!("/v2/{NAME}/app/{rest}");
    for blob in ["manifests/1".to_owned()].into_iter().chain(
        kept.blobs()
            .map(|blob| format!("blobs/{}", breakwater::oci::Digest::of(blob))),
    ) {
        assert_eq!(client.get(&path(&blob)).status, 200, "{blob}");
    }
    let doctor = || {
        let output = appliance.run_cli(&["doctor", "--json"]);
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(!doctor().contains("upstream_credentials_refused"));

    // Somebody changes the password there.
    demand("changed");
    fake.revoke_tokens();
    let stale = client.get(&path("manifests/1"));
    assert_eq!((stale.status, stale.cache()), (200, "stale"));
    let blob = format!("blobs/{}", kept.layer_digest(0));
    assert_eq!(client.get(&path(&blob)).cache(), "hit");
    for (method, rest) in [
        ("GET", "manifests/2".to_owned()),
        ("GET", format!("blobs/{}", other.layer_digest(0))),
        ("HEAD", "manifests/2".to_owned()),
    ] {
        let answer = client.request(method, &path(&rest), b"");
        assert_eq!(answer.status, 503, "{rest}: {answer:?}");
        assert!(answer.field("Retry-After").is_some(), "{rest}");
        if method == "GET" {
            let message = answer.message();
            assert!(message.contains(WHY) && message.contains(NAME), "{message}");
        }
    }
    // It was not taken for gone.
    let listed = appliance.json(&["cache", "list", "--json"]);
    assert_eq!(listed[0]["gone_at"], serde_json::Value::Null, "{listed}");

    let status = appliance.json(&["upstream", "status", "--json"]);
    let of_name = |state: &&serde_json::Value| state["name"] == NAME;
    let state = status.as_array().unwrap().iter().find(of_name).unwrap();
    assert_eq!(state["breaker"], "credentials-refused", "{state}");
    assert!(
        state["last_failure"].as_str().unwrap().contains(WHY),
        "{state}"
    );
    let report = doctor();
    assert!(
        report.contains("\"upstream_credentials_refused\""),
        "{report}"
    );
    assert!(
        report.contains(&format!("breakwater upstream set {NAME}")),
        "{report}"
    );
    let metrics = client.get("/metrics").text();
    for line in [
        format!(
            "breakwater_upstream_breaker_state{{upstream=\"{NAME}\",state=\"credentials-refused\"}} 1"
        ),
        format!(
            "breakwater_upstream_requests_total{{upstream=\"{NAME}\",result=\"credentials_refused\"}}"
        ),
    ] {
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    let log = appliance.log();
    let warnings = log
        .lines()
        .filter(|line| line.contains("\"WARN\"") && line.contains(WHY));
    assert_eq!(warnings.count(), 1, "once an hour: {log}");

    // Whatever else goes wrong meanwhile is not hidden by that.
    fake.on("GET", "/token").always(Answer::status(500));
    let broken = format!("blobs/{}", other.layer_digest(0));
    assert_eq!(client.get(&path(&broken)).status, 503);
    fake.behave();
    let log = appliance.log();
    assert!(
        log.contains("fetch failed") && log.contains("failed (500)"),
        "{log}"
    );

    // The right one is given, and is asked for at once.
    let set = ["upstream", "set", NAME, "--password-stdin"];
    assert_eq!(
        appliance.ok_with_input(&set, "changed\n"),
        format!("changed upstream {NAME}\n")
    );
    assert_eq!(client.get(&path("manifests/2")).status, 200);
    assert!(!doctor().contains("upstream_credentials_refused"));
}

#[test]
fn what_a_right_password_may_not_see_does_not_exist() {
    let fake = FakeUpstream::start();
    fake.put_image("app", "1", &Image::oci(1, &[1_000]));
    fake.require_bearer(Bearer {
        credentials: Some(("ann".to_owned(), "right".to_owned())),
        ..Bearer::default()
    });
    let appliance = Appliance::builder()
        .toml("[cache]\nnegative_ttl = \"0s\"")
        .start();
    let a = member(&appliance, "a", FILL, &format!("{NAME}/app"));
    add(&appliance, "a", fake.url(), Some(("ann", "right")));
    for denied in [
        Answer::status(403),
        Answer::status(404),
        Answer::status(401).header("WWW-Authenticate", "Bearer realm=\"/token\""),
    ] {
        fake.on("GET", "/manifests/").next([denied]);
        let answer = a.client.get(&a.manifest("1"));
        assert!(matches!(answer.status, 404 | 503), "{answer:?}");
        let states = appliance.ok(&["upstream", "status", "--json"]);
        assert!(!states.contains("credentials-refused"), "{states}");
    }
    // The realm says 403 to this scope alone.
    fake.revoke_tokens();
    fake.on("GET", "/token").next([Answer::status(403)]);
    let answer = a.client.get(&a.manifest("1"));
    assert_eq!(
        answer.verdict(),
        (404, "MANIFEST_UNKNOWN".to_owned()),
        "{answer:?}"
    );
}

#[test]
fn an_upstream_is_not_asked_with_each_warm_pull_with_a_password_that_it_has_refused() {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[1_000]);
    fake.put_image("app", "1", &image);
    let demand = |password: &str| {
        fake.require_bearer(Bearer {
            credentials: Some(("ann".to_owned(), password.to_owned())),
            ..Bearer::default()
        });
    };
    demand("right");
    let toml = "[cache]\ntag_ttl = \"0s\"";
    let appliance = Appliance::builder().toml(toml).start();
    let a = member(&appliance, "a", FILL, &format!("{NAME}/app"));
    add(&appliance, "a", fake.url(), Some(("ann", "right")));
    a.pull("1", &image);
    demand("changed");
    fake.revoke_tokens();
    fake.forget_requests();
    for _ in 0..10 {
        let stale = a.client.get(&a.manifest("1"));
        assert_eq!((stale.status, stale.cache()), (200, "stale"));
    }
    assert_eq!(fake.count("GET", "/token"), 1);
    let listed = appliance.json(&["cache", "list", "--json"]);
    assert_eq!(listed[0]["gone_at"], serde_json::Value::Null, "{listed}");

    // It is the group's password: the box is well, and its administrator is told.
    let status = appliance.ok(&["upstream", "status", "--json"]);
    assert!(status.contains("credentials-refused"), "{status}");
    let health = Client::of(&appliance).get("/-/health").json();
    assert_eq!(health["checks"]["upstreams"]["status"], "ok", "{health}");
    let report = appliance.run_cli(&["doctor", "--json"]).stdout;
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    let findings = report.as_array().or(report["findings"].as_array()).unwrap();
    let is_it = |finding: &&serde_json::Value| {
        finding
            .to_string()
            .contains("\"upstream_credentials_refused\"")
    };
    let finding = findings.iter().find(is_it).unwrap();
    assert_eq!(finding["severity"], "warning", "{finding}");
    let exact = format!("upstream set {NAME} username=NAME --password-stdin --group a");
    assert!(finding.to_string().contains(&exact), "{finding}");
}
