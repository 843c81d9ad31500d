//! What is counted, and of what; and what the page must not hold.

use super::*;
use crate::support::fake_upstream::{Answer, FakeUpstream, Image};

#[test]
fn pulls_are_counted_by_what_became_of_them() {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[300_000]);
    fake.put_image("library/alpine", "1", &image);
    let appliance = Appliance::builder()
        .upstream(fake.url())
        .toml("[cache]\ntag_ttl = \"0s\"")
        .start();
    let client = Client::of(&appliance);
    let blob = format!("/v2/library/alpine/blobs/{}", image.layer_digest(0));
    let manifest = "/v2/library/alpine/manifests/1";
    assert_eq!(client.get(manifest).cache(), "miss");
    assert_eq!(client.get(&blob).cache(), "miss");
    assert_eq!(client.get(&blob).cache(), "hit");
    assert_eq!(client.head(&blob).cache(), "hit");
    assert_eq!(client.get(manifest).cache(), "revalidated");
    assert_eq!(client.get("/v2/").status, 401);
    assert_eq!(client.get("/nowhere").status, 404);

    // Each is counted after its last byte, in whatever order.
    let hits = requests("blob", "HEAD", "2xx", "hit");
    let counted = [
        hits.clone(),
        requests("blob", "GET", "2xx", "hit"),
        requests("manifest", "GET", "2xx", "revalidated"),
        requests("base", "GET", "4xx", "none"),
        requests("other", "GET", "4xx", "none"),
    ];
    let scrape = eventually(&appliance, "all are counted", |scrape| {
        let mut counted = counted.iter();
        counted.all(|series| scrape.samples.contains_key(series))
    });
    for (series, expected) in [
        (requests("manifest", "GET", "2xx", "miss"), 1.0),
        (requests("manifest", "GET", "2xx", "revalidated"), 1.0),
        (requests("blob", "GET", "2xx", "miss"), 1.0),
        (requests("blob", "GET", "2xx", "hit"), 1.0),
        (hits, 1.0),
        (requests("base", "GET", "4xx", "none"), 1.0),
        (requests("other", "GET", "4xx", "none"), 1.0),
        (
            "breakwater_http_request_duration_seconds_count{route=\"blob\"}".into(),
            3.0,
        ),
        (
            "breakwater_http_request_duration_seconds_bucket{route=\"blob\",le=\"+Inf\"}".into(),
            3.0,
        ),
        (
            "breakwater_http_response_body_bytes_total{cache=\"hit\"}".into(),
            300_000.0,
        ),
        (
            "breakwater_http_response_body_bytes_total{cache=\"miss\"}".into(),
            300_000.0 + image.manifest.len() as f64,
        ),
        (
            "breakwater_revalidations_total{result=\"confirmed\"}".into(),
            1.0,
        ),
        ("breakwater_fetches_begun_total".into(), 1.0),
        (
            "breakwater_fetches_ended_total{result=\"kept\"}".into(),
            1.0,
        ),
        ("breakwater_fetches_in_flight".into(), 0.0),
        ("breakwater_fetch_clients".into(), 0.0),
        ("breakwater_cached_blobs".into(), 2.0),
        ("breakwater_offline".into(), 0.0),
        (
            "breakwater_upstream_lies_total{upstream=\"docker.io\"}".into(),
            0.0,
        ),
        (
            "breakwater_upstream_breaker_state{upstream=\"docker.io\",state=\"closed\"}".into(),
            1.0,
        ),
        ("breakwater_http_connections_limit".into(), 4096.0),
    ] {
        assert_eq!(scrape.get(&series), expected, "{series}\n{}", scrape.text);
    }
    // A manifest by GET, a blob, and a HEAD for the tag; the bytes of the first two.
    assert_eq!(
        scrape
            .get("breakwater_upstream_requests_total{upstream=\"docker.io\",result=\"answered\"}"),
        3.0
    );
    assert_eq!(
        scrape.get("breakwater_upstream_received_bytes_total{upstream=\"docker.io\"}"),
        300_000.0 + image.manifest.len() as f64
    );
    assert!(scrape.get("breakwater_http_connections") >= 1.0);
    assert!(scrape.get("breakwater_http_workers_busy") >= 1.0);
    assert!(scrape.get("breakwater_http_connections_accepted_total") >= 8.0);
    assert!(scrape.get("breakwater_disk_size_bytes") > scrape.get("breakwater_disk_free_bytes"));
    assert_eq!(
        scrape.sum("breakwater_database_errors_total"),
        0.0,
        "{}",
        scrape.text
    );
    assert!(scrape.get("process_resident_memory_bytes") > 1e6);
}

#[test]
fn what_goes_wrong_upstream_shows() {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[200_000, 200_000]);
    fake.put_image("library/alpine", "1", &image);
    fake.set_rate_limit(100, 76);
    let appliance = Appliance::with_upstream(fake.url());
    let client = Client::of(&appliance);
    assert_eq!(client.get("/v2/library/alpine/manifests/1").status, 200);
    let blob = |n| format!("/v2/library/alpine/blobs/{}", image.layer_digest(n));
    // One breaks off and is resumed, one lies.
    fake.on("GET", image.layer_digest(0).as_str())
        .next([Answer::good().truncate_at(100_000)]);
    assert!(client.get(&blob(0)).complete);
    fake.on("GET", image.layer_digest(1).as_str())
        .always(Answer::good().wrong_bytes());
    // Known to be one before the head is sent, or cut after it: whichever comes first.
    let lie = client.get(&blob(1));
    assert!(lie.status == 503 || !lie.complete, "{}", lie.head);
    fake.stop();
    for tag in ["2", "3", "4", "5"] {
        let path = format!("/v2/library/alpine/manifests/{tag}");
        assert_eq!(client.get(&path).status, 503);
    }
    // No request: the first line is too long to be one.
    assert_eq!(client.get(&format!("/{}", "a".repeat(40_000))).status, 431);

    let scrape = eventually(&appliance, "the last ones are counted", |scrape| {
        scrape.get("breakwater_fetches_ended_total{result=\"failed\"}") == 1.0
            && scrape.get("breakwater_http_refused_requests_total{status=\"431\"}") == 1.0
    });
    for (series, expected) in [
        ("breakwater_fetch_resumes_total{after=\"break\"}", 1.0),
        (
            "breakwater_upstream_lies_total{upstream=\"docker.io\"}",
            1.0,
        ),
        ("breakwater_fetches_ended_total{result=\"failed\"}", 1.0),
        (
            "breakwater_upstream_rate_limit_pulls{upstream=\"docker.io\"}",
            100.0,
        ),
        (
            "breakwater_upstream_rate_limit_remaining_pulls{upstream=\"docker.io\"}",
            76.0,
        ),
        (
            "breakwater_upstream_breaker_state{upstream=\"docker.io\",state=\"closed\"}",
            0.0,
        ),
        (
            "breakwater_upstream_breaker_state{upstream=\"docker.io\",state=\"open\"}",
            1.0,
        ),
        (
            "breakwater_http_refused_requests_total{status=\"431\"}",
            1.0,
        ),
    ] {
        assert_eq!(scrape.get(series), expected, "{series}\n{}", scrape.text);
    }
    let unreachable =
        "breakwater_upstream_requests_total{upstream=\"docker.io\",result=\"unreachable\"}";
    assert!(scrape.get(unreachable) >= 3.0, "{}", scrape.text);
    let reset = scrape
        .get("breakwater_upstream_rate_limit_reset_timestamp_seconds{upstream=\"docker.io\"}");
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a clock")
        .as_secs_f64();
    assert!((now..now + 21_700.0).contains(&reset), "{reset}");

    appliance.ok(&["offline", "on"]);
    let scrape = Scrape::of(&appliance);
    assert_eq!(scrape.get("breakwater_offline"), 1.0);
    let offline = "breakwater_upstream_breaker_state{upstream=\"docker.io\",state=\"offline\"}";
    assert_eq!(scrape.get(offline), 1.0);
}

/// Who logs in, who fails, and what a scrape may not tell: names of groups, users, images, and upstreams of
/// groups.
#[test]
fn the_page_holds_no_private_names() {
    let fake = FakeUpstream::start();
    fake.put_image("secretimage/x", "1", &Image::oci(1, &[1000]));
    let appliance = Appliance::with_upstream(fake.url());
    appliance.ok(&["group", "add", "secretgroup"]);
    appliance.ok(&["project", "add", "secretgroup/secretproject"]);
    let url = fake.url();
    appliance.ok(&[
        "upstream",
        "add",
        "hidden.example",
        url,
        "--group",
        "secretgroup",
        "--allow-private-addresses",
    ]);
    appliance.ok(&["upstream", "add", "shown.example", url]);
    let token = appliance.token("secretuser", &["read_registry", "write_registry"]);
    appliance.ok(&[
        "member",
        "add",
        "secretgroup",
        "secretuser",
        "--level",
        "developer",
    ]);
    let client = Client::of(&appliance);
    let path = "secretgroup/dependency_proxy/containers/hidden.example/secretimage/x";
    let jwt = client
        .basic("secretuser", &token)
        .token(&[&format!("repository:{path}:pull")]);
    let pulled = client.bearer(&jwt).get(&format!("/v2/{path}/manifests/1"));
    assert_eq!(pulled.status, 200, "{}", pulled.text());
    assert_eq!(client.basic("secretuser", "wrong").get("/v2/").status, 401);

    let scrape = Scrape::of(&appliance);
    for name in ["secret", "hidden", "root", "127.0.0.1"] {
        assert!(!scrape.text.contains(name), "{name} in\n{}", scrape.text);
    }
    for (series, expected) in [
        (
            "breakwater_upstream_requests_total{upstream=\"(groups)\",result=\"answered\"}",
            1.0,
        ),
        (
            "breakwater_upstream_breaker_state{upstream=\"(groups)\",state=\"closed\"}",
            1.0,
        ),
        (
            "breakwater_upstream_breaker_state{upstream=\"shown.example\",state=\"closed\"}",
            1.0,
        ),
        ("breakwater_tokens_active{kind=\"personal\"}", 1.0),
        ("breakwater_logins_total{result=\"accepted\"}", 1.0),
        ("breakwater_logins_total{result=\"failed\"}", 1.0),
        ("breakwater_bans_active", 0.0),
    ] {
        assert_eq!(scrape.get(series), expected, "{series}\n{}", scrape.text);
    }
}
