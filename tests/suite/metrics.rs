//! Whether the numbers of `/metrics` are true: a real flow, and by how much each of them moved with it.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::observe::{Scrape, eventually, requests};
use crate::support::appliance::Appliance;
use crate::support::client::{Client, token_path};
use crate::support::fake_upstream::{Answer, FakeUpstream, Gate, Image};
use crate::support::pushing::{self, BlobWay, Hosted};
use breakwater::oci::Digest;

/// Two scrapes, and what moved between them.
struct Moved<'a> {
    appliance: &'a Appliance,
    before: Scrape,
}

impl<'a> Moved<'a> {
    fn since_now(appliance: &'a Appliance) -> Self {
        Self {
            appliance,
            before: Scrape::of(appliance),
        }
    }

    /// Waits until all these series have moved by so much, and panics with the first that does not.
    #[track_caller]
    fn by(&self, what: &str, expected: &[(&str, f64)]) {
        let moved = |scrape: &Scrape, series: &str| {
            let read = |scrape: &Scrape| scrape.samples.get(series).copied().unwrap_or(0.0);
            read(scrape) - read(&self.before)
        };
        eventually(self.appliance, &format!("{what}: {expected:?}"), |scrape| {
            expected
                .iter()
                .all(|(series, by)| moved(scrape, series) == *by)
        });
    }
}

const RECEIVED: &str = "breakwater_upstream_received_bytes_total{upstream=\"docker.io\"}";
const BEGUN: &str = "breakwater_fetches_begun_total";
const JOINS: &str = "breakwater_fetch_joins_total";
const IN_FLIGHT: &str = "breakwater_fetches_in_flight";
const FILLS: &str = "breakwater_fills_in_flight";
const CLIENTS: &str = "breakwater_fetch_clients";

fn ended(result: &str) -> String {
    format!("breakwater_fetches_ended_total{{result=\"{result}\"}}")
}

fn sent(cache: &str) -> String {
    format!("breakwater_http_response_body_bytes_total{{cache=\"{cache}\"}}")
}

fn upstream(result: &str) -> String {
    format!("breakwater_upstream_requests_total{{upstream=\"docker.io\",result=\"{result}\"}}")
}

#[test]
fn a_cold_pull_a_joined_one_and_a_warm_one() {
    const LENGTH: usize = 400_000;
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[LENGTH]);
    fake.put_image("library/alpine", "1", &image);
    let appliance = Appliance::with_upstream(fake.url());
    let client = Client::of(&appliance);
    assert_eq!(client.get("/v2/library/alpine/manifests/1").status, 200);
    let manifest = requests("manifest", "GET", "2xx", "miss");
    eventually(&appliance, &manifest, |scrape| {
        scrape.find(&manifest) == Some(1.0)
    });
    let path = format!("/v2/library/alpine/blobs/{}", image.layer_digest(0));
    let gate = Gate::new();
    fake.on("GET", "/blobs/")
        .always(Answer::good().wait_at(LENGTH / 2, &gate));
    let moved = Moved::since_now(&appliance);
    std::thread::scope(|scope| {
        let pulls: Vec<_> = (0..3).map(|_| scope.spawn(|| client.get(&path))).collect();
        gate.await_arrival();
        moved.by(
            "while it arrives",
            &[
                (BEGUN, 1.0),
                (JOINS, 2.0),
                (IN_FLIGHT, 1.0),
                (FILLS, 1.0),
                (CLIENTS, 3.0),
                (RECEIVED, LENGTH as f64 / 2.0),
                (&ended("kept"), 0.0),
            ],
        );
        gate.open();
        for pull in pulls {
            assert_eq!(pull.join().unwrap().body.len(), LENGTH);
        }
    });
    let bytes = LENGTH as f64;
    let all = [
        (BEGUN, 1.0),
        (JOINS, 2.0),
        (IN_FLIGHT, 0.0),
        (FILLS, 0.0),
        (CLIENTS, 0.0),
        // Once from the upstream, three times to clients.
        (RECEIVED, bytes),
        (&sent("miss"), 3.0 * bytes),
        (&ended("kept"), 1.0),
        (&upstream("answered"), 1.0),
        (&requests("blob", "GET", "2xx", "miss"), 3.0),
    ];
    moved.by("a cold pull by three", &all);
    let moved = Moved::since_now(&appliance);
    let part = client.with("Range", "bytes=0-99").get(&path);
    assert_eq!((part.status, part.body.len()), (206, 100));
    assert_eq!(client.get(&path).cache(), "hit");
    moved.by(
        "warm pulls",
        &[
            (BEGUN, 0.0),
            (JOINS, 0.0),
            (RECEIVED, 0.0),
            (&sent("hit"), bytes + 100.0),
            (&requests("blob", "GET", "2xx", "hit"), 2.0),
        ],
    );
}

/// Who may read and not fill: the bytes move, and what is kept does not.
#[test]
fn a_pull_that_is_passed_through() {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[50_000]);
    fake.put_image("library/alpine", "1", &image);
    let appliance = Appliance::with_upstream(fake.url());
    for network in ["127.0.0.0/8", "::1/128"] {
        appliance.ok(&["network", "remove", network]);
        appliance.ok(&["network", "add", network, "--ability", "read"]);
    }
    let client = Client::of(&appliance);
    let moved = Moved::since_now(&appliance);
    let path = format!("/v2/library/alpine/blobs/{}", image.layer_digest(0));
    let manifest = client.get("/v2/library/alpine/manifests/1");
    assert_eq!((manifest.status, manifest.cache()), (200, "bypass"));
    let blob = client.get(&path);
    assert_eq!((blob.status, blob.cache()), (200, "bypass"));
    let bytes = 50_000.0 + image.manifest.len() as f64;
    let all = [
        (RECEIVED, bytes),
        (&sent("bypass"), bytes),
        (&ended("passed"), 1.0),
        (&ended("kept"), 0.0),
        ("breakwater_cached_blobs", 0.0),
        ("breakwater_cached_bytes", 0.0),
        (&requests("blob", "GET", "2xx", "bypass"), 1.0),
    ];
    moved.by("passed through", &all);
}

/// Revalidations by what the upstream said, its errors, its rate limit, and the breaker that opens.
#[test]
fn tags_that_are_asked_for_again() {
    let fake = FakeUpstream::start();
    fake.put_image("library/alpine", "1", &Image::oci(1, &[100]));
    let appliance = Appliance::builder()
        .upstream(fake.url())
        .toml("[cache]\ntag_ttl = \"0s\"")
        .start();
    let client = Client::of(&appliance);
    let path = "/v2/library/alpine/manifests/1";
    assert_eq!(client.get(path).cache(), "miss");
    let revalidated =
        |result: &str| format!("breakwater_revalidations_total{{result=\"{result}\"}}");

    let moved = Moved::since_now(&appliance);
    assert_eq!(client.get(path).cache(), "revalidated");
    moved.by(
        "confirmed",
        &[(&revalidated("confirmed"), 1.0), (RECEIVED, 0.0)],
    );

    let next = Image::oci(2, &[100]);
    fake.put_image("library/alpine", "1", &next);
    let moved = Moved::since_now(&appliance);
    assert_eq!(client.get(path).cache(), "miss");
    let bytes = next.manifest.len() as f64;
    moved.by("moved", &[(&revalidated("moved"), 1.0), (RECEIVED, bytes)]);

    fake.on("HEAD", "/manifests/")
        .always(Answer::too_many(Some("7")));
    fake.on("GET", "/manifests/")
        .always(Answer::too_many(Some("7")));
    let moved = Moved::since_now(&appliance);
    assert_eq!(client.get(path).cache(), "stale");
    assert_eq!(client.get("/v2/library/alpine/manifests/2").status, 429);
    let limited = [
        (&*revalidated("stale"), 1.0),
        (&upstream("rate_limited"), 2.0),
        (&requests("manifest", "GET", "2xx", "stale"), 1.0),
        (&requests("manifest", "GET", "4xx", "none"), 1.0),
    ];
    moved.by("a rate limit", &limited);

    // A kept tag is stale at each of them, and each is a failure until the breaker opens.
    fake.behave();
    for bytes in next.blobs() {
        let blob = format!("/v2/library/alpine/blobs/{}", Digest::of(bytes));
        assert_eq!(client.get(&blob).status, 200);
    }
    fake.stop();
    let state = |state: &str| {
        format!("breakwater_upstream_breaker_state{{upstream=\"docker.io\",state=\"{state}\"}}")
    };
    let moved = Moved::since_now(&appliance);
    for tag in ["3", "4", "5", "6"] {
        let absent = format!("/v2/library/alpine/manifests/{tag}");
        assert_eq!(client.get(&absent).status, 503);
    }
    assert_eq!(client.get(path).cache(), "stale");
    let opened = [
        (&*state("closed"), -1.0),
        (&state("open"), 1.0),
        (&revalidated("stale"), 1.0),
        (&requests("manifest", "GET", "5xx", "none"), 4.0),
    ];
    moved.by("a breaker", &opened);
    fake.restart();
    eventually(&appliance, "the breaker closes by its probe", |scrape| {
        client.get(path);
        scrape.get(&state("closed")) == 1.0 && scrape.get(&state("open")) == 0.0
    });
}

#[test]
fn logins_bans_and_tokens_by_kind() {
    let appliance = Appliance::builder()
        .toml("[auth]\nban_after = 3\nban_for = \"10m\"")
        .start();
    for arguments in [
        &["group", "add", "acme"][..],
        &["project", "add", "acme/api"],
        &["user", "add", "ci", "--service"],
    ] {
        appliance.ok(arguments);
    }
    let active = |kind: &str| format!("breakwater_tokens_active{{kind=\"{kind}\"}}");
    let scope = ["--scope", "read_registry"];
    for (kind, owner) in [
        ("personal", &["--user", "ci"][..]),
        ("group", &["--group", "acme"]),
        ("project", &["--project", "acme/api"]),
        ("deploy", &["--deploy", "acme"]),
        ("job", &["--job", "acme/api", "--user", "ci"]),
    ] {
        let moved = Moved::since_now(&appliance);
        let scope = if kind == "job" { &[][..] } else { &scope };
        let create = ["token", "create", "--json", "--name", "t"];
        let made = appliance.json(&[&create[..], owner, scope].concat());
        moved.by(kind, &[(&active(kind), 1.0)]);
        appliance.ok(&["token", "revoke", &made["id"].to_string()]);
        let all = ["personal", "group", "project", "deploy", "job"].map(active);
        let none: Vec<_> = all.iter().map(|series| (series.as_str(), 0.0)).collect();
        moved.by("revoked", &none);
    }

    let logins = |result: &str| format!("breakwater_logins_total{{result=\"{result}\"}}");
    let secret = appliance.token("ci", &["read_registry"]);
    let client = Client::of(&appliance);
    let moved = Moved::since_now(&appliance);
    assert_eq!(
        client.basic("ci", &secret).get(&token_path(&[])).status,
        200
    );
    let guess = |client: &Client| client.basic("nobody", "wrong").get(&token_path(&[])).status;
    assert_eq!([guess(&client), guess(&client), guess(&client)], [401; 3]);
    assert_eq!(guess(&client), 429);
    let expected = [
        (&*logins("accepted"), 1.0),
        (&logins("failed"), 3.0),
        (&logins("banned"), 1.0),
        // The address, and the user whom it guessed.
        ("breakwater_bans_total{of=\"address\"}", 1.0),
        ("breakwater_bans_total{of=\"user\"}", 1.0),
        (&requests("token", "GET", "2xx", "none"), 1.0),
        (&requests("token", "GET", "4xx", "none"), 4.0),
    ];
    moved.by("logins", &expected);
    assert!(Scrape::of(&appliance).get("breakwater_bans_active") >= 1.0);
}

#[test]
fn bytes_that_pushes_bring() {
    const PUSHED: &str = "breakwater_pushed_bytes_total";
    let hosted = Hosted::start();
    let appliance = &hosted.appliance;
    let client = hosted.client(&["acme/api"]);
    let bytes = pushing::bytes(1, 300_000);
    for (seed, way) in BlobWay::ALL.into_iter().enumerate() {
        let bytes = pushing::bytes(seed as u64 + 10, 300_000);
        let moved = Moved::since_now(appliance);
        let digest = Digest::of(&bytes);
        let answer = pushing::push_blob(&client, "acme/api", way, &digest, &bytes);
        assert_eq!(answer.status, 201, "{way:?}");
        moved.by(&format!("{way:?}"), &[(PUSHED, 300_000.0)]);
    }
    let moved = Moved::since_now(appliance);
    let (_, manifest) = pushing::push_image(&client, "acme/api", "1", &[&bytes]);
    let config: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let config = config["config"]["size"].as_u64().unwrap();
    let all = 300_000 + config + manifest.len() as u64;
    moved.by("an image", &[(PUSHED, all as f64)]);
    // What is refused before its bytes were read brought none; a manifest that is not kept neither.
    let moved = Moved::since_now(appliance);
    let manifest = pushing::image(b"{}", &[b"absent"], serde_json::json!({}));
    let put = pushing::put_manifest(&client, "acme/api", "2", pushing::OCI_MANIFEST, &manifest);
    assert_eq!(put.status, 400, "{}", put.text());
    let stranger = Client::of(appliance).request("POST", "/v2/acme/api/blobs/uploads/", &bytes);
    assert_eq!(stranger.status, 401);
    moved.by("nothing", &[(PUSHED, 0.0)]);
}

/// Whatever strangers send: paths, hosts, names of registries, methods, fields. Once each kind of answer was
/// given, no further series comes of it.
#[test]
fn strangers_make_no_series() {
    let appliance = Appliance::start();
    let client = Client::of(&appliance);
    let attack = |n: usize| {
        let hostile = client
            .with("Host", &format!("host{n}.example"))
            .with("User-Agent", &format!("agent{n}"))
            .with("X-Cache", &format!("word{n}"));
        for path in [
            format!("/path{n}/x"),
            format!("/v2/name{n}/x/manifests/tag{n}"),
            format!("/v2/library/x/manifests/1?ns=registry{n}.example"),
            format!("/v2/group{n}/dependency_proxy/containers/host{n}.example/x/manifests/1"),
            format!("/v2/library/x/blobs/sha256:{n:064}"),
            format!("/api/v4/things{n}"),
            token_path(&[&format!("repository:x{n}:pull")]),
            format!("/-/probe{n}"),
        ] {
            hostile.get(&path);
            hostile.request(&format!("METHOD{n}"), &path, b"");
        }
        hostile
            .basic(&format!("user{n}"), "wrong")
            .get(&token_path(&[]));
        let mut nonsense = TcpStream::connect(appliance.address()).unwrap();
        write!(nonsense, "GET  /{n} HTTP/{n}.{n}\r\n\r\n").unwrap();
        let _ = nonsense.read_to_end(&mut Vec::new());
    };
    attack(0);
    // Until the breaker is open and all of the first round is counted.
    for n in 1..8 {
        attack(n);
    }
    let counted = |scrape: &Scrape| scrape.sum("breakwater_http_requests_total");
    // The requests for metrics are counted too, once there was one.
    let before = eventually(&appliance, "the first rounds are counted", |scrape| {
        let own = requests("metrics", "GET", "2xx", "none");
        counted(scrape) >= 8.0 * 17.0 && scrape.samples.contains_key(&own)
    });
    for n in 8..28 {
        attack(n);
    }
    let after = eventually(&appliance, "the others too", |scrape| {
        counted(scrape) >= 28.0 * 17.0
    });
    let mut new = after
        .samples
        .keys()
        .filter(|series| !before.samples.contains_key(*series));
    assert_eq!(new.next(), None, "and perhaps more");
    for part in [
        "host2",
        "registry2",
        "name2",
        "group2",
        "user2",
        "METHOD",
        "agent",
    ] {
        assert!(!after.text.contains(part), "{part}");
    }
}
