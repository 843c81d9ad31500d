//! Many images that go among very many that stay, beside pulls.
//!
//! `BREAKWATER_EVICTION_BLOBS` says how many blobs there are (20,000 if it does not; `scripts/bench --room` takes a
//! million), of which a tenth goes.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rusqlite::params;

use super::*;
use crate::crash::number;
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image as Upstream};

const PER_IMAGE: u64 = 10;

/// Rows and files of so many blobs, in images of ten, as if they had been pulled one after the other for weeks.
pub(crate) fn stock(data: &Path, blobs: u64) -> u64 {
    let mut connection = rusqlite::Connection::open(data.join("cache.sqlite")).unwrap();
    let now = Timestamp::now().0;
    let transaction = connection.transaction().unwrap();
    transaction
        .execute(
            "INSERT OR IGNORE INTO origins (upstream, fingerprint) VALUES ('docker.io', 'stock')",
            [],
        )
        .unwrap();
    let origin: i64 = transaction
        .query_row(
            "SELECT id FROM origins WHERE fingerprint = 'stock'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    let root = data.join("blobs/sha256");
    for prefix in 0..256 {
        let _ = fs::create_dir(root.join(format!("{prefix:02x}")));
    }
    let mut bytes = 0;
    let mut add = |number: u64, at: i64| {
        let content = format!("blob {number}");
        let digest = Digest::of(content.as_bytes());
        fs::write(root.join(&digest.hex()[..2]).join(digest.hex()), &content).unwrap();
        bytes += content.len() as u64;
        let text = "INSERT INTO blobs (digest, size, added_at) VALUES (?1, ?2, ?3) RETURNING id";
        let mut insert = transaction.prepare_cached(text).unwrap();
        let row = params![digest.as_str(), content.len() as i64, at];
        (
            insert.query_row(row, |row| row.get::<_, i64>(0)).unwrap(),
            digest,
        )
    };
    let run = |text: &str, parameters: &[&dyn rusqlite::ToSql]| {
        transaction
            .prepare_cached(text)
            .unwrap()
            .execute(parameters)
            .unwrap();
    };
    let images = blobs / PER_IMAGE;
    let mut repository = 0;
    for image in 0..images {
        let at = now - 30 * DAY + (image * 20 * DAY as u64 / images) as i64;
        if image % 50 == 0 {
            run(
                "INSERT INTO repositories (origin_id, name) VALUES (?1, ?2)",
                &[&origin, &format!("stock/r{image}")],
            );
            repository = transaction.last_insert_rowid();
        }
        let (own, _) = add(image * PER_IMAGE, at);
        run(
            "INSERT INTO manifests (repository_id, blob_id, media_type, fetched_at) VALUES (?1, ?2, ?3, ?4)",
            &[&repository, &own, &MediaType::OciManifest.as_str(), &at],
        );
        let manifest = transaction.last_insert_rowid();
        for part in 1..PER_IMAGE {
            let (blob, digest) = add(image * PER_IMAGE + part, at);
            run(
                "INSERT INTO blob_links (repository_id, blob_id, linked_at) VALUES (?1, ?2, ?3)",
                &[&repository, &blob, &at],
            );
            run(
                "INSERT INTO manifest_references (manifest_id, hash) VALUES (?1, unhex(?2))",
                &[&manifest, &digest.hex()],
            );
        }
        let tag = format!("t{image}");
        run(
            "INSERT INTO tags (repository_id, name, manifest_id, confirmed_at, last_pulled_at) VALUES (?1, ?2, ?3, ?4, ?4)",
            &[&repository, &tag, &manifest, &at],
        );
        run(
            "INSERT INTO pulls (manifest_id, group_id, tag, first_at, last_at, count, weight) VALUES (?1, 1, ?2, ?3, ?3, 1, 1.0)",
            &[&manifest, &tag, &at],
        );
    }
    transaction.commit().unwrap();
    bytes
}

/// `scripts/bench --growth` measures a box with so many blobs.
#[test]
#[ignore = "makes data for scripts/bench"]
fn a_data_directory_is_stocked() {
    let data = std::env::var_os("BREAKWATER_STOCK").expect("BREAKWATER_STOCK");
    let blobs = number("BREAKWATER_EVICTION_BLOBS").expect("BREAKWATER_EVICTION_BLOBS");
    stock(Path::new(&data), blobs);
}

/// Pulls for as long as `goes_on`; how long each took, sorted.
fn pulls(client: &Client, layer: &Digest, mut goes_on: impl FnMut() -> bool) -> Vec<Duration> {
    let mut took = Vec::new();
    while goes_on() {
        let began = Instant::now();
        assert_eq!(client.get("/v2/library/app/manifests/hot").status, 200);
        let answer = client.get(&format!("/v2/library/app/blobs/{layer}"));
        assert_eq!((answer.status, answer.cache()), (200, "hit"));
        took.push(began.elapsed());
        std::thread::sleep(Duration::from_millis(2));
    }
    took.sort();
    took
}

fn percentile(took: &[Duration], hundredths: usize) -> f64 {
    took[(took.len() - 1) * hundredths / 100].as_secs_f64() * 1000.0
}

#[test]
fn a_tenth_of_all_images_goes_beside_pulls() {
    let blobs = number("BREAKWATER_EVICTION_BLOBS").unwrap_or(20_000);
    let fake = FakeUpstream::start();
    let mut appliance = Appliance::builder().upstream(fake.url()).start();
    let image = Upstream::oci(1, &[100_000]);
    fake.put_image("library/app", "hot", &image);
    let client = Client::of(&appliance);
    assert_eq!(client.get("/v2/library/app/manifests/hot").status, 200);
    for bytes in image.blobs() {
        client.get(&format!("/v2/library/app/blobs/{}", Digest::of(bytes)));
    }
    appliance.stop();
    let stocked = stock(&appliance.data(), blobs);
    // Otherwise the kernel would write these files during what is measured.
    let synced = Command::new("sync")
        .arg("-f")
        .arg(appliance.data())
        .status();
    assert!(synced.unwrap().success());
    let all = stocked + 100_000;
    let config = appliance.config();
    let mut toml = fs::read_to_string(&config).unwrap();
    // Down to 95 % of it: a tenth of the stock goes.
    toml.push_str(&format!(
        "\n[cache]\nmin_free = '0'\nmax_size = '{}'\n",
        (all - stocked / 10) * 100 / 95
    ));
    fs::write(&config, toml).unwrap();
    appliance.restart();
    appliance.reset_peak_memory();
    let client = Client::of(&appliance);
    let layer = image.layer_digest(0);
    let began = Instant::now();
    let mut count = 0;
    let beside = pulls(&client, &layer, || {
        count += 1;
        // To read the log takes its time too.
        count % 100 != 0 || !appliance.log().contains("let go of images")
    });
    let took = began.elapsed();
    let peak = appliance.memory().peak;
    let calm = {
        let began = Instant::now();
        pulls(&client, &layer, || {
            began.elapsed() < took.min(Duration::from_secs(20))
        })
    };
    let cache = rusqlite::Connection::open(appliance.data().join("cache.sqlite")).unwrap();
    let left: i64 = cache
        .query_row("SELECT count(*) FROM manifests", [], |row| row.get(0))
        .unwrap();
    let left = left as u64;
    let files = fs::read_dir(appliance.data().join("blobs/sha256")).unwrap();
    let files: u64 = files
        .map(|prefix| fs::read_dir(prefix.unwrap().path()).unwrap().count() as u64)
        .sum();
    println!(
        "{} of {} images went in {:.1} s beside {} pulls; 99th percentile {:.2} ms, calm {:.2} ms, ratio {:.2}; median {:.2} and {:.2}; peak {} MB",
        blobs / PER_IMAGE + 1 - left,
        blobs / PER_IMAGE,
        took.as_secs_f64(),
        beside.len(),
        percentile(&beside, 99),
        percentile(&calm, 99),
        percentile(&beside, 99) / percentile(&calm, 99),
        percentile(&beside, 50),
        percentile(&calm, 50),
        peak / 1_000_000,
    );
    let expected = blobs / PER_IMAGE * 9 / 10;
    assert!(
        (expected * 95 / 100..=expected * 105 / 100).contains(&left),
        "{left} of {blobs}"
    );
    // The image that is pulled has a manifest, a config and a layer.
    assert_eq!(files, (left - 1) * PER_IMAGE + 3);
}
