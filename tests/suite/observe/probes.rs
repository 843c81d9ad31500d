//! The probes, and what makes a box not ready or soon not well.

use std::io::Write;

use super::*;
use crate::support::certificates::Authority;
use crate::support::client::{connect, read_head};
use crate::support::fake_upstream::{Answer, FakeUpstream, Gate, Image};

#[test]
fn probes_answer_anybody_by_get_and_head() {
    let fake = FakeUpstream::start();
    let appliance = Appliance::with_upstream(fake.url());
    let client = Client::of(&appliance).with("Via", "1.1 somebody");
    for path in ["/-/liveness", "/-/readiness"] {
        assert_eq!(client.get(path).text(), "ok\n");
        let head = client.head(path);
        assert_eq!(
            (head.status, head.field("Content-Length")),
            (200, Some("3"))
        );
        assert_eq!(client.request("POST", path, b"x").status, 405);
    }
    let public: serde_json::Value = client.get("/-/health").json();
    let good = serde_json::json!({ "status": "ok" });
    assert_eq!(
        public,
        serde_json::json!({ "status": "ok", "checks": {
            "access_database": good, "cache_database": good, "registry_database": good, "audit_database": good, "blobs": good, "disk": good,
            "database_writes": good, "upstreams": good } })
    );
    let detailed = Client::of(&appliance).get("/-/health");
    let detailed: serde_json::Value = serde_json::from_slice(&detailed.body).unwrap();
    assert_eq!(detailed["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        detailed["upstreams"],
        serde_json::json!([{ "name": "docker.io", "state": "closed" }])
    );
    assert!(detailed["disk"]["free_bytes"].as_u64() > Some(0));

    // An upstream that is down takes nobody out of service.
    fake.stop();
    for tag in ["2", "3", "4", "5"] {
        let path = format!("/v2/library/alpine/manifests/{tag}");
        Client::of(&appliance).get(&path);
    }
    assert_eq!(client.get("/-/readiness").status, 200);
    let health = client.get("/-/health");
    assert_eq!(health.status, 200);
    let health: serde_json::Value = serde_json::from_slice(&health.body).unwrap();
    assert_eq!(health["status"], "degraded");
    assert_eq!(health["checks"]["upstreams"]["status"], "degraded");
    assert!(
        health["checks"]["upstreams"].get("detail").is_none(),
        "{health}"
    );
}

/// Readiness tells by itself, without a pull, that the store is gone or damaged; and when it is back.
#[test]
fn readiness_fails_with_the_store() {
    let appliance = Appliance::start();
    let client = Client::of(&appliance);
    let blobs = appliance.data().join("blobs");
    let aside = appliance.data().join("aside");
    std::fs::rename(&blobs, &aside).unwrap();
    let answer = client.get("/-/readiness");
    assert_eq!(answer.status, 503);
    assert_eq!(
        answer.text(),
        "not ready: the blob directory cannot be read\n"
    );
    let health = client.get("/-/health");
    assert_eq!(health.status, 503);
    let health: serde_json::Value = serde_json::from_slice(&health.body).unwrap();
    assert_eq!(health["status"], "failed");
    assert_eq!(client.get("/-/liveness").status, 200);
    std::fs::rename(&aside, &blobs).unwrap();
    assert_eq!(client.get("/-/readiness").status, 200);
}

/// A database that is no database any more, found without a pull.
#[test]
fn readiness_fails_with_a_database() {
    for (name, part) in [
        ("access.sqlite", "access_database"),
        ("cache.sqlite", "cache_database"),
        ("registry.sqlite", "registry_database"),
    ] {
        let appliance = Appliance::start();
        let client = Client::of(&appliance);
        assert_eq!(client.get("/-/readiness").status, 200);
        // Everything lies in the file, and nothing in the log beside it.
        let database = rusqlite::Connection::open(appliance.data().join(name)).unwrap();
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        database.query_row(checkpoint, [], |_| Ok(())).unwrap();
        drop(database);
        std::fs::write(appliance.data().join(name), [0xa5; 65_536]).unwrap();
        let answer = client.get("/-/readiness");
        assert_eq!(answer.status, 503, "{name}: {}", answer.text());
        assert!(
            answer.text().starts_with("not ready: the database of"),
            "{name}"
        );
        let health: serde_json::Value = client.get("/-/health").json();
        assert_eq!(health["checks"][part]["status"], "failed", "{health}");
        assert_eq!(client.get("/-/liveness").status, 200);
    }
}

/// Who has just connected when the stop begins is told to go elsewhere.
#[test]
fn readiness_fails_while_the_server_stops() {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[400_000]);
    fake.put_image("library/alpine", "1", &image);
    let gate = Gate::new();
    fake.on("GET", "/blobs/")
        .always(Answer::good().wait_at(200_000, &gate));
    let mut appliance = Appliance::with_upstream(fake.url());
    let client = Client::of(&appliance);
    // An answer in flight, which the stop waits for.
    let path = format!("/v2/library/alpine/blobs/{}", image.layer_digest(0));
    let mut pull = client.open(&path);
    pull.read_up_to(1);
    let mut probe = connect(appliance.address());
    // Accepted, not only queued by the kernel.
    eventually(&appliance, "three connections", |scrape| {
        scrape.get("breakwater_http_connections") >= 3.0
    });
    appliance.signal(rustix::process::Signal::TERM);
    appliance.wait_for_log("stopping on SIGTERM");
    probe
        .write_all(b"GET /-/readiness HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let (answer, _) = read_head(&mut probe).unwrap();
    assert_eq!(answer.status, 503, "{}", answer.head);
    drop(probe);
    gate.open();
    assert!(pull.finish().complete);
    assert!(appliance.wait().success());
}

#[test]
fn the_end_of_the_certificate_shows() {
    let directory = tempfile::tempdir().unwrap();
    let (begin, life) = (
        std::time::SystemTime::now(),
        Duration::from_secs(90 * 86_400),
    );
    let issued = Authority::new().issue_between(begin, begin + life);
    let (certificate, key) = issued.write(directory.path());
    let appliance = Appliance::builder()
        .toml(&format!(
            "[tls]\ncertificate = {certificate:?}\nkey = {key:?}\nlisten = [\"127.0.0.1:0\"]"
        ))
        .start();
    let end = Scrape::of(&appliance).get("breakwater_tls_certificate_expiry_timestamp_seconds");
    let expected = begin + life;
    let expected = expected.duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!((end - expected.as_secs_f64()).abs() <= 1.0, "{end}");
    // Without a certificate there is no such number.
    let plain = Scrape::of(&Appliance::start());
    assert!(
        !plain.text.contains("breakwater_tls_certificate"),
        "{}",
        plain.text
    );
}
