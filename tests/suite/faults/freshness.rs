//! Freshness and outage: what is kept is served, at once or after a short while, whatever the upstream does.

use std::time::{Duration, Instant};

use breakwater::oci::Digest;

use super::client::{self, Reply};
use super::{
    DEADLINE, REPOSITORY, assert_clean, at_once, blob, is_kept, manifest, stage, wait_until,
};
use crate::support::appliance::Appliance;
use crate::support::fake_upstream::{Answer, FakeUpstream, Image};

/// Tags are asked about each time, for at most half a second.
const EAGER: &str = "[cache]\ntag_ttl = \"0s\"\nrevalidate_timeout = \"500ms\"";
const REVALIDATE: Duration = Duration::from_millis(500);
/// What a busy machine may add.
const SLACK: Duration = Duration::from_millis(1500);

/// A box that keeps an image under `latest` and the digest of it.
fn with_image(toml: &str) -> (FakeUpstream, Appliance, Image) {
    let (fake, appliance) = stage(toml);
    let image = Image::oci(1, &[1000]);
    fake.put_image(REPOSITORY, "latest", &image);
    let blobs = image.blobs().map(|bytes| blob(&Digest::of(bytes)));
    for path in std::iter::once(manifest("latest")).chain(blobs) {
        assert_eq!(client::get(appliance.address(), &path).status, 200);
    }
    fake.forget_requests();
    (fake, appliance, image)
}

fn latest(appliance: &Appliance) -> (Reply, Duration) {
    let began = Instant::now();
    let reply = client::get(appliance.address(), &manifest("latest"));
    (reply, began.elapsed())
}

fn breaker(appliance: &Appliance) -> String {
    let status = appliance.json(&["upstream", "status", "--json"]);
    status[0]["breaker"].as_str().expect("a word").to_owned()
}

#[test]
fn a_hanging_upstream_costs_a_kept_tag_no_more_than_the_revalidate_timeout() {
    let (fake, appliance, image) = with_image(EAGER);
    let moved = Image::oci(2, &[1000]);
    // Whether HEAD answers, so that the breaker has nothing to open for.
    let table = [
        ("HEAD hangs", Answer::silence(), None),
        (
            "HEAD is unknown, and GET stops after its head",
            Answer::status(405),
            Some(Answer::good().stall_at(0)),
        ),
        (
            "the tag has moved, and GET hangs",
            Answer::good(),
            Some(Answer::silence()),
        ),
        (
            "the tag has moved, and GET stops in the middle",
            Answer::good(),
            Some(Answer::good().stall_at(20)),
        ),
    ];
    for (what, head, get) in table {
        fake.behave();
        let opens = get.is_none();
        fake.put_image(REPOSITORY, "latest", if opens { &image } else { &moved });
        fake.on("HEAD", "/manifests/").always(head);
        if let Some(get) = get {
            fake.on("GET", "/manifests/").always(get);
        }
        // Three failures open the breaker; two requests may share one.
        for asked in 0..20 {
            if asked >= 3 && (!opens || breaker(&appliance) == "slow") {
                break;
            }
            let (reply, took) = latest(&appliance);
            println!("{what}: the kept tag after {took:?}");
            assert_eq!((reply.status, reply.cache()), (200, "stale"), "{what}");
            assert_eq!(reply.body, image.manifest, "{what}");
            assert!(took < REVALIDATE + SLACK, "{what}: {took:?}");
        }
        if opens {
            assert_eq!(breaker(&appliance), "slow");
            fake.forget_requests();
            for _ in 0..3 {
                let (reply, took) = latest(&appliance);
                println!("{what}, and the breaker is open: the kept tag after {took:?}");
                assert_eq!((reply.status, reply.cache()), (200, "stale"));
                assert!(took < Duration::from_millis(500), "{took:?}");
            }
            assert_eq!(fake.requests().len(), 0, "nobody is asked");
            // What is not kept is asked for all the same: it waits longer than that.
            fake.put_image(REPOSITORY, "cold", &moved);
            let cold = client::get(appliance.address(), &manifest("cold"));
            assert_eq!((cold.status, cold.cache()), (200, "miss"));
            // Back again: the probe's time comes, and the breaker closes.
            fake.behave();
            wait_until("the breaker closes", || {
                latest(&appliance).0.cache() == "revalidated"
            });
            assert_eq!(breaker(&appliance), "closed");
        }
    }
}

#[test]
fn a_new_manifest_that_is_slow_is_kept_for_those_who_come_later() {
    let (fake, appliance, image) = with_image(EAGER);
    let moved = Image::oci(2, &[1000]);
    fake.put_image(REPOSITORY, "latest", &moved);
    fake.on("GET", "/manifests/")
        .always(Answer::good().after(2 * REVALIDATE));
    let (reply, _) = latest(&appliance);
    assert_eq!((reply.cache(), &reply.body), ("stale", &image.manifest));
    wait_until("the new one is kept", || {
        is_kept(&appliance, &moved.digest())
    });
    wait_until("the new one is served", || {
        latest(&appliance).0.body == moved.manifest
    });
}

#[test]
fn a_reader_waits_for_a_moved_tag_because_nobody_keeps_it_for_them() {
    let (fake, appliance, image) = with_image(EAGER);
    let moved = Image::oci(2, &[1000]);
    fake.put_image(REPOSITORY, "latest", &moved);
    fake.on("GET", "/manifests/")
        .always(Answer::good().after(3 * REVALIDATE));
    let path = format!("/v2/readers/dependency_proxy/containers/{REPOSITORY}/manifests/latest");
    let reply = client::get(appliance.address(), &path);
    assert_eq!((reply.cache(), &reply.body), ("bypass", &moved.manifest));
    assert!(!is_kept(&appliance, &moved.digest()));
    // Where the new one cannot be had, the old one is served.
    fake.on("GET", "/manifests/").always(Answer::status(500));
    let reply = client::get(appliance.address(), &path);
    assert_eq!((reply.cache(), &reply.body), ("stale", &image.manifest));
}

#[test]
fn a_head_for_readers_costs_the_upstream_no_pull() {
    let (fake, appliance, image) = with_image(EAGER);
    let moved = Image::oci(2, &[1000]);
    fake.put_image(REPOSITORY, "latest", &moved);
    fake.put_image(REPOSITORY, "cold", &image);
    let cold = moved.digest();
    let root = format!("/v2/readers/dependency_proxy/containers/{REPOSITORY}/manifests");
    // What is asked for, what comes, the GETs where HEAD is as it should be, and where it says too little.
    let table = [
        ("latest".to_owned(), &moved),
        ("cold".to_owned(), &image),
        (cold.to_string(), &moved),
    ];
    let flaws = [
        (Answer::good(), 0),
        (Answer::good().without_header("Docker-Content-Digest"), 1),
        (Answer::status(405), 1),
    ];
    for (answer, gets) in flaws {
        fake.on("HEAD", "/manifests/").always(answer);
        for (reference, expected) in &table {
            fake.forget_requests();
            let reply = client::head(appliance.address(), &format!("{root}/{reference}"));
            assert_eq!(
                (reply.status, reply.cache()),
                (200, "bypass"),
                "{reference}"
            );
            for (name, value) in [
                ("Docker-Content-Digest", expected.digest().to_string()),
                ("Content-Length", expected.manifest.len().to_string()),
                ("Content-Type", expected.media_type.as_str().to_owned()),
            ] {
                assert_eq!(reply.header(name), Some(value.as_str()), "{reference}");
            }
            assert_eq!(fake.count("GET", "/manifests/"), gets, "{reference}");
        }
    }
    let absent = client::head(appliance.address(), &format!("{root}/absent"));
    assert_eq!(absent.status, 404);
    assert!(!is_kept(&appliance, &moved.digest()));
}

#[test]
fn those_who_wait_share_one_question() {
    let toml = "[cache]\ntag_ttl = \"2s\"\nrevalidate_timeout = \"10s\"";
    let (fake, appliance, image) = with_image(toml);
    fake.on("HEAD", "/manifests/")
        .always(Answer::good().after(Duration::from_millis(700)));
    // Whole seconds are counted, so that this is enough and no more.
    std::thread::sleep(Duration::from_secs(2));
    let replies = at_once(16, |_| latest(&appliance).0);
    for reply in replies {
        assert_eq!((reply.status, &reply.body), (200, &image.manifest));
        assert_eq!(reply.cache(), "revalidated");
    }
    assert_eq!(fake.requests().len(), 1, "{:?}", fake.requests());
    assert_eq!(fake.count("HEAD", "/manifests/latest"), 1);
}

#[test]
fn a_registry_without_head_is_asked_with_get() {
    let (fake, appliance, image) = with_image(EAGER);
    fake.on("HEAD", "/manifests/").always(Answer::status(405));
    let (reply, _) = latest(&appliance);
    assert_eq!((reply.cache(), &reply.body), ("miss", &image.manifest));
    assert_eq!(fake.count("GET", "/manifests/latest"), 1);
    let moved = Image::oci(2, &[1000]);
    fake.put_image(REPOSITORY, "latest", &moved);
    let (reply, _) = latest(&appliance);
    assert_eq!((reply.cache(), &reply.body), ("miss", &moved.manifest));
    assert_eq!(breaker(&appliance), "closed");
}

#[test]
fn what_does_not_exist_is_not_asked_for_again_and_again() {
    let toml = "[cache]\ntag_ttl = \"0s\"\nnegative_ttl = \"1500ms\"";
    let (fake, appliance, image) = with_image(toml);
    for status in [404, 403] {
        fake.behave();
        fake.on("*", "/manifests/absent")
            .always(Answer::status(status));
        fake.forget_requests();
        let path = manifest(format!("absent{status}"));
        let began = Instant::now();
        assert_eq!(client::get(appliance.address(), &path).status, 404);
        let asked = fake.requests().len();
        assert_eq!(client::get(appliance.address(), &path).status, 404);
        assert_eq!(client::head(appliance.address(), &path).status, 404);
        if began.elapsed() < Duration::from_millis(1500) {
            assert_eq!(fake.requests().len(), asked, "asked within negative_ttl");
        }
        wait_until("it is asked again", || {
            assert_eq!(client::get(appliance.address(), &path).status, 404);
            fake.requests().len() > asked
        });
        assert!(began.elapsed() >= Duration::from_millis(1500));
    }
    // What is kept stays served though it is gone there, and that is asked once in a while, too.
    fake.remove_manifest(REPOSITORY, "latest");
    fake.forget_requests();
    for _ in 0..2 {
        let (reply, _) = latest(&appliance);
        assert_eq!((reply.cache(), &reply.body), ("stale", &image.manifest));
    }
    assert!(fake.requests().len() <= 2, "{:?}", fake.requests());
    appliance.wait_for_log("gone upstream, served stale");
}

#[test]
fn one_probe_at_a_time_finds_out_that_the_upstream_is_back() {
    let (fake, appliance) = stage("[cache]\ntag_ttl = \"0s\"\nrevalidate_timeout = \"5s\"");
    let image = Image::oci(1, &[1000]);
    let paths: Vec<_> = (0..20).map(|n| manifest(format!("t{n}"))).collect();
    for (n, path) in paths.iter().enumerate() {
        fake.put_image(REPOSITORY, &format!("t{n}"), &image);
        assert_eq!(client::get(appliance.address(), path).status, 200);
    }
    for bytes in image.blobs() {
        let path = blob(&Digest::of(bytes));
        assert_eq!(client::get(appliance.address(), &path).status, 200);
    }
    let pull_all = || at_once(20, |n| client::get(appliance.address(), &paths[n]));
    fake.stop();
    for replies in [pull_all(), pull_all()] {
        for reply in replies {
            assert_eq!((reply.status, reply.cache()), (200, "stale"));
        }
    }
    assert_eq!(breaker(&appliance), "open");
    fake.restart();
    fake.forget_requests();
    // Slow enough that all twenty ask while the probe is on its way.
    fake.on("HEAD", "/manifests/")
        .always(Answer::good().after(Duration::from_secs(2)));
    wait_until("the probe's time", || breaker(&appliance) == "half-open");
    let replies = pull_all();
    let how = |word: &str| replies.iter().filter(|reply| reply.cache() == word).count();
    assert_eq!((how("revalidated"), how("stale")), (1, 19));
    assert_eq!(fake.requests().len(), 1, "{:?}", fake.requests());
    assert_eq!(breaker(&appliance), "closed");
    fake.behave();
    for reply in pull_all() {
        assert_eq!((reply.status, reply.cache()), (200, "revalidated"));
    }
}

#[test]
fn offline_nothing_leaves_the_box() {
    let (fake, mut appliance, image) = with_image(EAGER);
    appliance.stop();
    let config = std::fs::read_to_string(appliance.config()).unwrap();
    std::fs::write(appliance.config(), format!("offline = true\n{config}")).unwrap();
    let connections = fake.connections();
    appliance.restart();
    for (path, cache) in [
        (manifest("latest"), "stale"),
        (manifest(image.digest()), "hit"),
        (blob(&image.layer_digest(0)), "hit"),
    ] {
        let reply = client::get(appliance.address(), &path);
        assert_eq!((reply.status, reply.cache()), (200, cache), "{path}");
    }
    let absent = Image::oci(2, &[10]);
    for path in [
        manifest("other"),
        manifest(absent.digest()),
        blob(&absent.layer_digest(0)),
    ] {
        let reply = client::get(appliance.address(), &path);
        assert_eq!(reply.status, 503, "{path}");
        assert!(reply.text().contains("offline"), "{}", reply.text());
        assert!(reply.header("Retry-After").is_some());
        assert_eq!(client::head(appliance.address(), &path).status, 503);
    }
    assert_eq!(breaker(&appliance), "offline");
    assert_eq!(fake.connections(), connections);
    assert_clean(&appliance);
    // And back.
    std::fs::write(appliance.config(), config).unwrap();
    let began = Instant::now();
    appliance.restart();
    assert_eq!(latest(&appliance).0.cache(), "revalidated");
    assert!(began.elapsed() < DEADLINE);
}
