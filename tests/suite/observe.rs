//! `/metrics` and the probes of the running server: what they say, to whom, and that the text is one that
//! Prometheus reads.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::time::{Duration, Instant};

use breakwater::telemetry::metrics::{CATALOG, MetricKind};

use crate::support::appliance::Appliance;
use crate::support::certificates::Authority;
use crate::support::client::{Client, connect, read_head};
use crate::support::fake_upstream::{Answer, FakeUpstream, Gate, Image};

/// A page as a scraper reads it: every sample by its name and labels.
pub(crate) struct Scrape {
    pub(crate) samples: BTreeMap<String, f64>,
    pub(crate) text: String,
}

impl Scrape {
    pub(crate) fn of(appliance: &Appliance) -> Self {
        let answer = Client::of(appliance).get("/metrics");
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(
            answer.field("Content-Type"),
            Some("text/plain; version=0.0.4; charset=utf-8")
        );
        Self::parse(&answer.text())
    }

    /// Reads the text format strictly: every sample below its own HELP and TYPE, none twice, labels quoted,
    /// histograms whole.
    fn parse(text: &str) -> Self {
        let catalog: HashMap<_, _> = CATALOG.iter().map(|metric| (metric.name, metric)).collect();
        assert!(text.ends_with('\n'), "the last line has an end");
        let mut samples = BTreeMap::new();
        let mut families = Vec::new();
        let mut current = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help text");
                assert!(!families.contains(&name), "{name} is there twice");
                assert_eq!(catalog[name].help, help);
                families.push(name);
                current = name;
                continue;
            }
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let kind = catalog[current].kind.as_str();
                assert_eq!(rest, format!("{current} {kind}"));
                continue;
            }
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = match series.split_once('{') {
                Some((name, labels)) => (name, labels.strip_suffix('}').expect("a closed brace")),
                None => (series, ""),
            };
            let metric = catalog[current];
            let names: Vec<&str> = labels
                .split("\",")
                .filter(|pair| !pair.is_empty())
                .map(|pair| pair.split_once("=\"").expect("a quoted value").0)
                .collect();
            let mut expected = metric.labels.to_vec();
            if metric.kind == MetricKind::Histogram {
                let suffix = name.strip_prefix(current).expect("the family's name");
                assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{line}");
                expected.extend((suffix == "_bucket").then_some("le"));
            } else {
                assert_eq!(name, current, "{line}");
            }
            assert_eq!(names, expected, "{line}");
            let value: f64 = value.parse().expect("a number");
            assert!(value >= 0.0, "{line}");
            let before = samples.insert(series.to_owned(), value);
            assert!(before.is_none(), "{series} is there twice");
        }
        Self {
            samples,
            text: text.to_owned(),
        }
    }

    pub(crate) fn get(&self, series: &str) -> f64 {
        let value = self.samples.get(series);
        *value.unwrap_or_else(|| panic!("no {series} in\n{}", self.text))
    }

    /// The sum over all series of a metric.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        let of_name = |series: &&String| series.split('{').next() == Some(name);
        let samples = self.samples.keys().filter(of_name);
        samples.map(|series| self.samples[series]).sum()
    }
}

/// The access log's line, and with it the count, comes after the answer.
pub(crate) fn eventually(
    appliance: &Appliance,
    what: &str,
    holds: impl Fn(&Scrape) -> bool,
) -> Scrape {
    let begun = Instant::now();
    loop {
        let scrape = Scrape::of(appliance);
        if holds(&scrape) {
            return scrape;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{what}:\n{}",
            scrape.text
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn requests(route: &str, method: &str, status: &str, cache: &str) -> String {
    format!(
        "breakwater_http_requests_total{{route=\"{route}\",method=\"{method}\",status=\"{status}\",cache=\"{cache}\"}}"
    )
}

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

    let hits = requests("blob", "HEAD", "2xx", "hit");
    let scrape = eventually(&appliance, "all are counted", |scrape| {
        let other = requests("other", "GET", "4xx", "none");
        scrape.samples.contains_key(&other) && scrape.samples.contains_key(&hits)
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

    let scrape = Scrape::of(&appliance);
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

/// Everybody else than the trusted networks shows a token, and gets the same 401 without.
#[test]
fn the_page_is_for_trusted_networks_and_for_tokens() {
    let appliance = Appliance::start();
    let client = Client::of(&appliance);
    let reading = appliance.token("watcher", &["read_api"]);
    let pulling = appliance.token("puller", &["read_registry", "write_registry"]);
    let password = appliance.root_password();
    assert_eq!(client.get("/metrics").status, 200);
    assert_eq!(client.head("/metrics").status, 200);
    assert_eq!(client.request("POST", "/metrics", b"x").status, 405);

    let forwarded = client.with("X-Forwarded-For", "127.0.0.1");
    let elsewhere = |client: &Client| client.with("Via", "1.1 somebody");
    let jwt = client.basic("puller", &pulling).token(&[]);
    let table = [
        ("nobody", elsewhere(&client), 401),
        ("forwarded by a stranger", forwarded, 401),
        (
            "read_api, Basic",
            elsewhere(&client.basic("any", &reading)),
            200,
        ),
        ("read_api, Bearer", elsewhere(&client.bearer(&reading)), 200),
        (
            "an administrator",
            elsewhere(&client.basic("root", &password)),
            200,
        ),
        ("read_registry", elsewhere(&client.bearer(&pulling)), 403),
        (
            "a JWT of the registry",
            elsewhere(&client.bearer(&jwt)),
            401,
        ),
        // Trust turns no wrong password into a login.
        (
            "wrong, from a trusted network",
            client.basic("root", "wrong"),
            401,
        ),
        (
            "without the ability, from a trusted network",
            client.bearer(&pulling),
            200,
        ),
    ];
    for (who, client, expected) in table {
        let answer = client.get("/metrics");
        assert_eq!(answer.status, expected, "{who}: {}", answer.text());
        let challenge = answer.field("WWW-Authenticate").is_some();
        assert_eq!(challenge, expected == 401, "{who}: {}", answer.head);
    }
    appliance.ok(&["network", "remove", "127.0.0.0/8"]);
    assert_eq!(client.get("/metrics").status, 401);
    assert_eq!(client.bearer(&reading).get("/metrics").status, 200);
}

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
