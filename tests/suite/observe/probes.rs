//! The probes, and what makes a box not ready or soon not well.

use super::*;
use crate::support::certificates::Authority;
use crate::support::fake_upstream::FakeUpstream;

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
