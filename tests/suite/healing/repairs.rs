//! `verify --repair`: damaged content is set aside, fetched again and linked again, or reported.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use breakwater::oci::Digest;
use serde_json::Value;

use super::{blob_path, doctor, file_of, flip_bit, manifest_path, pull, put_and_pull};
use crate::crash::{Random, number};
use crate::faults::{assert_clean, wait_until};
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{Answer, FakeUpstream, Image};
use crate::support::pushing::{Hosted, must_push_blob, push_image};

const APP: &str = "library/app";

fn box_of(fake: &FakeUpstream) -> Appliance {
    Appliance::builder()
        .upstream(fake.url())
        .toml("[cache]\ntag_ttl = \"1h\"\nscrub = \"0\"")
        .start()
}

/// Exit status and report of `verify --repair --json`.
fn repair(appliance: &Appliance) -> (Option<i32>, Value) {
    let output: Output = appliance.run_cli(&["verify", "--repair", "--json"]);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        panic!("no report: {}", String::from_utf8_lossy(&output.stderr));
    });
    (output.status.code(), report)
}

fn entries(report: &Value, field: &str) -> Vec<String> {
    let entries = report["repair"][field].as_array().unwrap().iter();
    entries
        .map(|entry| entry.as_str().unwrap().to_owned())
        .collect()
}

fn set_aside(appliance: &Appliance) -> Vec<PathBuf> {
    fs::read_dir(appliance.data().join("damaged"))
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default()
}

fn cut_short(path: &Path) {
    let length = fs::metadata(path).unwrap().len();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_len(length / 2).unwrap();
}

#[test]
fn damaged_content_of_every_kind_is_set_aside_fetched_again_and_served_without_the_upstream() {
    let fake = FakeUpstream::start();
    let appliance = box_of(&fake);
    let image = Image::oci(1, &[60_000, 500]);
    put_and_pull(&fake, &appliance, APP, &image);
    let harms: [(&str, fn(&Path), &str, bool); 3] = [
        ("a flipped bit", flip_bit, "wrong_hash", true),
        ("cut short", cut_short, "wrong_size", true),
        (
            "deleted",
            |path| fs::remove_file(path).unwrap(),
            "missing_file",
            false,
        ),
    ];
    let parts = [image.digest(), image.layer_digest(0), image.layer_digest(1)];
    for (name, harm, kind, leaves) in harms {
        for digest in &parts {
            harm(&file_of(&appliance.data(), digest));
            let before = set_aside(&appliance).len();
            let (status, report) = repair(&appliance);
            assert_eq!(status, Some(0), "{name} {digest}: {report:#}");
            let damage = &report["damage"][0];
            assert_eq!(damage["kind"], kind, "{name}: {report:#}");
            let what = damage["what"].as_str().unwrap();
            assert!(what.contains("docker.io/library/app"), "{name}: {what}");
            assert_eq!(entries(&report, "fetched").len(), 1, "{name}: {report:#}");
            let after = set_aside(&appliance).len();
            assert!(after >= before && (after > 0 || !leaves), "{name}");
            assert_clean(&appliance);
        }
    }
    fake.stop();
    let words = pull(&appliance, APP, &image);
    assert!(words.iter().all(|word| word == "hit"), "{words:?}");
    assert!(
        !doctor(&appliance)
            .iter()
            .any(|check| check.starts_with("blob_"))
    );
    let metrics = Client::of(&appliance).get("/metrics").text();
    assert!(
        metrics.contains("breakwater_damage_found_total 9"),
        "{metrics}"
    );
    assert!(
        metrics.contains("breakwater_damage_repaired_total 9"),
        "{metrics}"
    );
    assert!(metrics.contains("breakwater_damaged_blobs 0"), "{metrics}");
}

#[test]
fn what_a_command_without_a_server_sets_aside_the_server_fetches_when_it_runs() {
    let fake = FakeUpstream::start();
    let mut appliance = box_of(&fake);
    let image = Image::oci(1, &[60_000]);
    put_and_pull(&fake, &appliance, APP, &image);
    appliance.stop();
    for digest in [image.digest(), image.layer_digest(0)] {
        flip_bit(&file_of(&appliance.data(), &digest));
    }
    let (status, report) = repair(&appliance);
    assert_eq!(status, Some(1), "{report:#}");
    assert_eq!(entries(&report, "waiting").len(), 2, "{report:#}");
    appliance.restart();
    wait_until("both are fetched again", || {
        appliance.log().matches("was fetched again").count() == 2
    });
    fake.stop();
    assert!(
        pull(&appliance, APP, &image)
            .iter()
            .all(|word| word == "hit")
    );
    assert_clean(&appliance);
}

#[test]
fn a_damaged_layer_is_not_served_while_its_upstream_is_away_and_is_fetched_when_it_is_back() {
    let fake = FakeUpstream::start();
    let mut appliance = box_of(&fake);
    let image = Image::oci(1, &[60_000]);
    put_and_pull(&fake, &appliance, APP, &image);
    let layer = image.layer_digest(0);
    flip_bit(&file_of(&appliance.data(), &layer));
    fake.stop();
    let (status, report) = repair(&appliance);
    assert_eq!(status, Some(1), "{report:#}");
    assert!(
        entries(&report, "waiting")[0].contains(layer.hex()),
        "{report:#}"
    );
    for phase in ["at once", "after a restart", "after a crash"] {
        let answer = Client::of(&appliance).get(&blob_path(APP, &layer));
        assert_eq!(answer.status, 503, "{phase}");
        assert!(
            doctor(&appliance).contains(&"blob_damaged".to_owned()),
            "{phase}"
        );
        match phase {
            "at once" => appliance.restart(),
            _ => {
                appliance.kill();
                appliance.restart();
            }
        }
        // The rest of the image is as it was.
        let manifest = Client::of(&appliance).get(&manifest_path(APP, "1"));
        assert_eq!((manifest.status, manifest.cache()), (200, "hit"), "{phase}");
    }
    fake.restart();
    wait_until("it is fetched again", || repair(&appliance).0 == Some(0));
    fake.stop();
    assert!(
        pull(&appliance, APP, &image)
            .iter()
            .all(|word| word == "hit")
    );
    assert_clean(&appliance);
}

#[test]
fn what_its_upstream_has_no_more_is_reported_as_lost_and_what_it_denies_is_not() {
    let fake = FakeUpstream::start();
    let appliance = box_of(&fake);
    let image = Image::oci(1, &[60_000]);
    put_and_pull(&fake, &appliance, APP, &image);
    let layer = image.layer_digest(0);
    flip_bit(&file_of(&appliance.data(), &layer));
    fake.on("HEAD", layer.hex()).always(Answer::status(403));
    let (status, report) = repair(&appliance);
    assert_eq!(
        (status, entries(&report, "waiting").len()),
        (Some(1), 1),
        "{report:#}"
    );
    fake.behave();
    fake.remove_blob(APP, &layer);
    let (status, report) = repair(&appliance);
    assert_eq!(
        (status, entries(&report, "lost").len()),
        (Some(1), 1),
        "{report:#}"
    );
    let lost = entries(&report, "lost").remove(0);
    assert!(lost.contains("docker.io/library/app"), "{lost}");
    assert!(doctor(&appliance).contains(&"blob_lost".to_owned()));
    assert_clean(&appliance);
    assert_eq!(
        Client::of(&appliance).get(&blob_path(APP, &layer)).status,
        404
    );
    // It is back, and pulled again.
    fake.put_blob(APP, &image.layers[0]);
    wait_until("it is served", || {
        Client::of(&appliance).get(&blob_path(APP, &layer)).status == 200
    });
    wait_until("the loss is forgotten", || {
        appliance.ok(&["verify"]);
        repair(&appliance).0 == Some(0) && !doctor(&appliance).contains(&"blob_lost".to_owned())
    });
}

#[test]
fn what_was_pushed_and_is_damaged_is_named_and_kept_and_mended_by_a_push() {
    let hosted = Hosted::start();
    let client = hosted.client(&["acme/api/web"]);
    let layer = vec![7_u8; 50_000];
    let (manifest, _) = push_image(&client, "acme/api/web", "v1", &[&layer]);
    let digest = Digest::of(&layer);
    let file = file_of(&hosted.appliance.data(), &digest);
    for round in 0..2 {
        flip_bit(&file);
        let damaged = fs::read(&file).unwrap();
        let (status, report) = repair(&hosted.appliance);
        assert_eq!(status, Some(1), "{report:#}");
        let pushed = entries(&report, "pushed");
        assert!(pushed[0].contains("acme/api/web:v1"), "{report:#}");
        assert_eq!(fs::read(&file).unwrap(), damaged, "it stays where it is");
        assert!(doctor(&hosted.appliance).contains(&"pushed_blob_damaged".to_owned()));
        let blob = format!("/v2/acme/api/web/blobs/{digest}");
        assert_eq!(
            client.get(&blob).status,
            500,
            "damaged bytes are served to nobody"
        );
        assert_eq!(client.head(&blob).status, 404, "a push sends it again");
        let tag = client.get("/v2/acme/api/web/manifests/v1");
        assert_eq!(
            (tag.status, tag.field("Docker-Content-Digest")),
            (200, Some(manifest.as_str()))
        );
        if round == 0 {
            must_push_blob(&client, "acme/api/web", &layer);
        } else {
            // Put back from a backup.
            fs::write(&file, &layer).unwrap();
            let (status, report) = repair(&hosted.appliance);
            assert_eq!(status, Some(0), "{report:#}");
        }
        let answer = client.get(&blob);
        assert!(
            answer.status == 200 && answer.body == layer,
            "round {round}"
        );
        wait_until("doctor is content", || {
            !doctor(&hosted.appliance).contains(&"pushed_blob_damaged".to_owned())
        });
        assert_clean(&hosted.appliance);
    }
}

#[test]
fn what_was_pushed_is_mended_in_place_where_the_cache_has_it_from_an_upstream_too() {
    let fake = FakeUpstream::start();
    let hosted = Hosted::of(box_of(&fake));
    let image = Image::oci(1, &[60_000]);
    put_and_pull(&fake, &hosted.appliance, APP, &image);
    let client = hosted.client(&["acme/api/web"]);
    push_image(&client, "acme/api/web", "v1", &[&image.layers[0]]);
    let digest = image.layer_digest(0);
    flip_bit(&file_of(&hosted.appliance.data(), &digest));
    let (status, report) = repair(&hosted.appliance);
    assert_eq!(status, Some(0), "{report:#}");
    let answer = client.get(&format!("/v2/acme/api/web/blobs/{digest}"));
    assert!(answer.status == 200 && answer.body == image.layers[0]);
    assert_clean(&hosted.appliance);
}

/// Short blobs are served from memory once their files were read and hashed.
#[test]
fn a_short_blob_that_a_pull_finds_damaged_is_mended_by_it_where_it_was_pushed_too() {
    let fake = FakeUpstream::start();
    let hosted = Hosted::of(box_of(&fake));
    let image = Image::oci(1, &[900]);
    put_and_pull(&fake, &hosted.appliance, APP, &image);
    let client = hosted.client(&["acme/api/web"]);
    push_image(&client, "acme/api/web", "v1", &[&image.layers[0]]);
    let digest = image.layer_digest(0);
    let file = file_of(&hosted.appliance.data(), &digest);
    flip_bit(&file);
    // A pull gets the right bytes, and leaves a good file.
    let words = pull(&hosted.appliance, APP, &image);
    assert!(words.contains(&"miss".to_owned()), "{words:?}");
    wait_until("the file is good", || {
        fs::read(&file).is_ok_and(|bytes| bytes == image.layers[0])
    });
    assert_eq!(fake.count("GET", digest.as_str()), 2);
    fake.stop();
    let words = pull(&hosted.appliance, APP, &image);
    assert!(words.iter().all(|word| word == "hit"), "{words:?}");
    let answer = client.get(&format!("/v2/acme/api/web/blobs/{digest}"));
    assert!(answer.status == 200 && answer.body == image.layers[0]);
    assert_clean(&hosted.appliance);
    // What is in memory alone is not there for a warm.
    fs::remove_file(&file).unwrap();
    let warm = hosted
        .appliance
        .run_cli(&["warm", "docker.io/library/app:1"]);
    assert_eq!(
        warm.status.code(),
        Some(1),
        "the upstream is away: {warm:?}"
    );
}

#[test]
fn a_deleted_row_is_found_and_the_image_is_fetched_again() {
    let fake = FakeUpstream::start();
    let mut appliance = box_of(&fake);
    let image = Image::oci(1, &[60_000]);
    put_and_pull(&fake, &appliance, APP, &image);
    appliance.stop();
    let rows = rusqlite::Connection::open(appliance.data().join("cache.sqlite")).unwrap();
    let deleted = rows.execute(
        "DELETE FROM blobs WHERE digest = ?1",
        [image.layer_digest(0).as_str()],
    );
    assert_eq!(deleted.unwrap(), 1);
    drop(rows);
    appliance.restart();
    let report = appliance.json(&["verify", "--json"]);
    let strays = report["unreferenced"].as_u64().unwrap();
    let dangling = report["damage"].as_array().unwrap().len();
    assert!(strays + dangling as u64 >= 1, "{report:#}");
    assert_eq!(repair(&appliance).0, Some(i32::from(dangling > 0)));
    pull(&appliance, APP, &image);
    fake.stop();
    pull(&appliance, APP, &image);
}

#[test]
fn a_kill_at_any_moment_of_a_repair_loses_nothing() {
    let rounds = number("BREAKWATER_HEALING_ROUNDS").unwrap_or(20);
    let seed = number("BREAKWATER_CRASH_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("BREAKWATER_CRASH_SEED={seed} BREAKWATER_HEALING_ROUNDS={rounds}");
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let fake = FakeUpstream::start();
    let mut appliance = box_of(&fake);
    let image = Image::oci(1, &[300_000, 200_000, 400_000]);
    put_and_pull(&fake, &appliance, APP, &image);
    fake.on("GET", "/blobs/")
        .always(Answer::good().slowly(64 << 10, Duration::from_millis(3)));
    let parts: Vec<Digest> = (0..3)
        .map(|layer| image.layer_digest(layer))
        .chain([image.digest()])
        .collect();
    for round in 0..rounds {
        for digest in &parts {
            let file = file_of(&appliance.data(), digest);
            match random.below(3) {
                0 => flip_bit(&file),
                1 => fs::remove_file(&file).unwrap(),
                _ => {}
            }
        }
        let mut repairing = appliance.command(&["verify", "--repair"]);
        repairing.stderr(std::process::Stdio::null());
        let mut repairing = repairing
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(random.below(200_000)));
        appliance.kill();
        let _ = repairing.wait();
        appliance.restart();
        wait_until("everything is whole again", || {
            repair(&appliance).0 == Some(0)
        });
        pull(&appliance, APP, &image);
        assert_clean(&appliance);
        assert!(
            !doctor(&appliance)
                .iter()
                .any(|check| check.starts_with("blob_")),
            "{round}"
        );
    }
}
