//! The running box near its limits: by HTTP, and killed in the middle.

use std::path::Path;
use std::time::Duration;

use breakwater::store::Store;
use breakwater::upkeep::verify;

use super::*;
use crate::crash::{Random, number};
use crate::faults::{assert_clean, wait_until};
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{Answer, FakeUpstream, Image as Upstream, noise};

const REPOSITORY: &str = "library/app";

fn manifest(tag: &str) -> String {
    format!("/v2/{REPOSITORY}/manifests/{tag}")
}

fn blob(digest: &Digest) -> String {
    format!("/v2/{REPOSITORY}/blobs/{digest}")
}

fn near_limit(fake: &FakeUpstream, max_size: &str) -> Appliance {
    Appliance::builder()
        .upstream(fake.url())
        .toml(&format!(
            "[cache]\nmax_size = '{max_size}'\nmin_free = '0'\ntag_ttl = '1h'"
        ))
        .start()
}

/// Pulls the image by its tag; the words of its layers' answers.
fn pull(client: &Client, tag: &str, image: &Upstream) -> Vec<String> {
    let answer = client.get(&manifest(tag));
    assert_eq!(
        (answer.status, &answer.body),
        (200, &image.manifest),
        "{tag}: {}",
        answer.head
    );
    let blobs = image.blobs().map(|bytes| {
        let answer = client.get(&blob(&Digest::of(bytes)));
        assert_eq!(answer.status, 200, "{tag}: {}", answer.head);
        assert!(answer.complete && answer.body == *bytes, "{tag}");
        answer.cache().to_owned()
    });
    blobs.collect()
}

/// Lets all that is kept be as old as it would be after some days, in the order in which it came.
fn age(data: &Path) {
    let connection = rusqlite::Connection::open(data.join("cache.sqlite")).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    connection
        .execute_batch(
            "BEGIN IMMEDIATE;
             UPDATE manifests SET fetched_at = fetched_at - 864000 + id;
             UPDATE pulls SET first_at = first_at - 864000 + manifest_id, last_at = last_at - 864000 + manifest_id;
             UPDATE blob_links SET linked_at = linked_at - 864000;
             UPDATE blobs SET added_at = added_at - 864000;
             COMMIT",
        )
        .unwrap();
}

fn value(client: &Client, series: &str) -> u64 {
    let metrics = client.get("/metrics").text();
    let line = metrics.lines().find(|line| line.starts_with(series));
    let line = line.unwrap_or_else(|| panic!("no {series}"));
    line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64
}

#[test]
fn a_box_that_is_full_goes_on_filling_because_what_is_old_makes_room() {
    let fake = FakeUpstream::start();
    let appliance = near_limit(&fake, "2MB");
    let client = Client::of(&appliance);
    let images: Vec<_> = (0..30)
        .map(|seed| Upstream::oci(seed, &[300_000]))
        .collect();
    for (number, image) in images.iter().enumerate() {
        let tag = format!("t{number}");
        fake.put_image(REPOSITORY, &tag, image);
        assert_eq!(pull(&client, &tag, image), ["miss", "miss"], "{tag}");
        assert_eq!(pull(&client, &tag, image), ["hit", "hit"], "{tag}");
        if number % 3 == 2 {
            // Notes of pulls are written in batches.
            let of_pulls = || {
                let connection =
                    rusqlite::Connection::open(appliance.data().join("cache.sqlite")).unwrap();
                let count: i64 = connection
                    .query_row(
                        "SELECT count(*) FROM tags WHERE last_pulled_at IS NULL",
                        [],
                        |row| row.get(0),
                    )
                    .unwrap();
                count == 0
            };
            wait_until("pulls are written", of_pulls);
            age(&appliance.data());
        }
    }
    let used = value(&client, "breakwater_cached_bytes");
    assert!(used <= 2_000_000, "{used}");
    assert!(value(&client, "breakwater_evictions_total{reason=\"max_size\"}") >= 20);
    assert!(
        value(
            &client,
            "breakwater_evicted_bytes_total{reason=\"max_size\"}"
        ) >= 20 * 300_000
    );
    let age = value(&client, "breakwater_eviction_age_seconds");
    assert!((800_000..900_000).contains(&age), "{age}");
    // What went is fetched again, what stayed is whole with the upstream off.
    assert_eq!(pull(&client, "t0", &images[0]), ["miss", "miss"]);
    fake.stop();
    assert_eq!(pull(&client, "t29", &images[29]), ["hit", "hit"]);
    assert_clean(&appliance);
}

#[test]
fn what_there_is_no_room_for_is_passed_on_and_shared_and_not_kept() {
    let fake = FakeUpstream::start();
    let appliance = near_limit(&fake, "1MB");
    let client = Client::of(&appliance);
    let first = Upstream::oci(1, &[900_000]);
    fake.put_image(REPOSITORY, "first", &first);
    assert_eq!(pull(&client, "first", &first), ["miss", "miss"]);
    // All of it was pulled a moment ago, so that nothing may go.
    let second = Upstream::oci(2, &[700_000]);
    fake.put_image(REPOSITORY, "second", &second);
    let layer = second.layer_digest(0);
    fake.on("GET", layer.as_str())
        .always(Answer::good().slowly(64 * 1024, Duration::from_millis(100)));
    client.get(&manifest("second"));
    let words = std::thread::scope(|scope| {
        let pulls: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let answer = client.get(&blob(&layer));
                    assert!(answer.complete && Digest::of(&answer.body) == layer);
                    answer.cache().to_owned()
                })
            })
            .collect();
        let words: HashSet<_> = pulls.into_iter().map(|pull| pull.join().unwrap()).collect();
        words
    });
    assert_eq!(fake.count("GET", layer.as_str()), 1, "one fetch for all");
    assert!(words.contains("bypass"), "{words:?}");
    assert_eq!(client.get(&blob(&layer)).cache(), "bypass");
    assert_eq!(pull(&client, "first", &first), ["hit", "hit"]);
    let log = appliance.log();
    assert!(
        log.contains("cache.max_size leaves no room for it"),
        "{log}"
    );
    assert!(value(&client, "breakwater_fetches_without_room_total") > 0);
    assert_clean(&appliance);
}

#[test]
fn a_group_and_an_upstream_take_no_more_than_they_may() {
    let fake = FakeUpstream::start();
    let appliance = near_limit(&fake, "0");
    let client = Client::of(&appliance);
    let first = Upstream::oci(1, &[900_000]);
    fake.put_image(REPOSITORY, "first", &first);
    assert_eq!(pull(&client, "first", &first), ["miss", "miss"]);
    appliance.ok(&["group", "set", "mirror", "max_size=1MB"]);
    let of_mirror = || appliance.json(&["cache", "stats", "--json"])["groups"][0].clone();
    // A pull is written within seconds.
    wait_until("the group's pull counts", || {
        of_mirror()["bytes"].as_u64() > Some(900_000)
    });
    assert_eq!(of_mirror()["max_size"], 1_000_000);
    // The limit is known within seconds.
    let mut seed = 1;
    let mut is_refused = |query: &str| {
        seed += 1;
        let digest = fake.put_blob(REPOSITORY, &Upstream::oci(seed, &[700_000]).manifest);
        let large = fake.put_blob(REPOSITORY, &noise(seed, 700_000));
        assert!(client.get(&format!("{}{query}", blob(&digest))).status == 200);
        let answer = client.get(&format!("{}{query}", blob(&large)));
        assert!(
            answer.complete && answer.body.len() == 700_000,
            "{}",
            answer.head
        );
        answer.cache() == "bypass"
    };
    wait_until("the group's limit holds", || is_refused(""));
    appliance.ok(&["group", "set", "mirror", "max_size="]);
    let url = format!("{}/", fake.url());
    appliance.ok(&[
        "upstream",
        "add",
        "other.example",
        &url,
        "--max-size",
        "500KB",
    ]);
    let listed = appliance.json(&["upstream", "list", "--json"]);
    let other = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "other.example");
    assert_eq!(other.unwrap()["max_size"], 500_000);
    // Each is larger than all that may be cached of this upstream.
    wait_until("the upstream's limit holds", || {
        is_refused("?ns=other.example")
    });
    let refused = appliance.run_cli(&["upstream", "add", "x.example", &url, "--max-size", "much"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

#[test]
fn a_head_counts_as_a_pull_of_the_tag_where_the_client_goes_on_with_the_digest() {
    let fake = FakeUpstream::start();
    let appliance = near_limit(&fake, "0");
    let client = Client::of(&appliance);
    let (looked_at, pulled) = (Upstream::oci(1, &[10]), Upstream::oci(2, &[10]));
    for (tag, image) in [("looked-at", &looked_at), ("pulled", &pulled)] {
        fake.put_image(REPOSITORY, tag, image);
        assert_eq!(client.head(&manifest(tag)).status, 200);
    }
    assert_eq!(client.get(&manifest(pulled.digest().as_str())).status, 200);
    let pulled_at = |tag: &str| {
        let images = appliance.json(&["cache", "list", "--json"]);
        let of_tag = images
            .as_array()
            .unwrap()
            .iter()
            .find(|image| image["tag"] == tag)
            .cloned();
        of_tag.unwrap_or_else(|| panic!("{images}"))["last_pulled_at"].clone()
    };
    wait_until("the pull is written", || !pulled_at("pulled").is_null());
    assert!(pulled_at("looked-at").is_null());
}

/// Keeps images that were pulled days ago, while no server runs.
fn stock(data: &Path, random: &mut Random, round: u64) {
    let store = Store::open(data).unwrap();
    let host = RegistryHost::parse("docker.io").unwrap();
    let upstream = store.cache.origin(&host, "anonymous").unwrap();
    let name = RepositoryName::parse(REPOSITORY).unwrap();
    let repository = store.cache.repository(upstream, &name).unwrap();
    let then = Timestamp(Timestamp::now().0 - 20 * DAY + round as i64);
    for number in 0..8 {
        let seed = round * 100 + number;
        let layers = [1_000 + random.below(60_000) as usize, 20_000, 500];
        let image = Upstream::oci(seed, &layers);
        let mut references = Vec::new();
        for bytes in image.blobs() {
            let digest = Digest::of(bytes);
            store.blobs.put(&digest, bytes.as_slice()).unwrap();
            store
                .cache
                .keep_blob(repository, &digest, bytes.len() as u64, then)
                .unwrap();
            references.push(digest);
        }
        let kept = NewManifest {
            digest: image.digest(),
            media_type: MediaType::OciManifest,
            size: image.manifest.len() as u64,
            references,
            subject: None,
            tag: Some(Tag::parse(&format!("r{seed}")).unwrap()),
            now: then,
        };
        store
            .blobs
            .put(&kept.digest, image.manifest.as_slice())
            .unwrap();
        store.cache.keep_manifest(repository, &kept).unwrap();
    }
    store.shut_down().unwrap();
}

/// `BREAKWATER_EVICTION_KILLS` says how often (12 if it does not).
#[test]
fn killed_in_the_middle_of_an_eviction_the_box_is_whole_and_goes_on_with_it() {
    const LIMIT: u64 = 400_000;
    let kills = number("BREAKWATER_EVICTION_KILLS").unwrap_or(12);
    let seed = number("BREAKWATER_CRASH_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("BREAKWATER_CRASH_SEED={seed} BREAKWATER_EVICTION_KILLS={kills}");
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let fake = FakeUpstream::start();
    let mut appliance = near_limit(&fake, &LIMIT.to_string());
    let mut met = 0;
    for round in 0..kills {
        appliance.stop();
        stock(&appliance.data(), &mut random, round);
        appliance.restart();
        // It begins after a second.
        std::thread::sleep(Duration::from_millis(900 + random.below(400)));
        appliance.kill();
        let store = Store::open(&appliance.data()).unwrap();
        let inventory = store.content.inventory().unwrap();
        for manifest in &inventory.manifests {
            let repository = inventory.repositories[manifest.repository].id;
            for place in &manifest.blobs {
                let size = inventory.blobs[*place as usize].size;
                assert!(size > 0);
            }
            assert!(store.blobs.contains(&manifest.digest).unwrap());
            // Manifest, config and layers, each once.
            assert_eq!(
                manifest.blobs.len(),
                5,
                "{repository:?} {}",
                manifest.digest
            );
        }
        met += u64::from(store.cache.used().unwrap() > LIMIT);
        let report = verify(&store, &|_, _| {}).unwrap();
        assert!(report.is_clean(), "{:?}", report.damage);
        drop(store);
        appliance.restart();
    }
    let client = Client::of(&appliance);
    wait_until("the limit holds again", || {
        let store = Store::open(&appliance.data()).unwrap();
        store.cache.used().unwrap() <= LIMIT && store.content.unsettled().unwrap().is_empty()
    });
    assert_eq!(client.get("/-/readiness").status, 200);
    assert_clean(&appliance);
    println!("{met} of {kills} kills came before the limit held");
}
