//! What is saved every night: beside pulls, over kills, on a full disk.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use breakwater::oci::Digest;
use breakwater::store::Store;
use breakwater::time::Timestamp;
use breakwater::upkeep::nightly::save_if_due;

use super::{pull, put_and_pull};
use crate::crash::{Random, number};
use crate::faults::assert_clean;
use crate::support::appliance::Appliance;
use crate::support::fake_upstream::{FakeUpstream, Image};
use crate::support::small_disk::SmallDisk;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn rows(path: &Path) -> i64 {
    let database = rusqlite::Connection::open(path).unwrap();
    let verdict: String = database
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(verdict, "ok", "{}", path.display());
    database
        .query_row("SELECT count(*) FROM blobs", [], |row| row.get(0))
        .unwrap()
}

/// Keeps so many blobs that nothing links.
fn keep(store: &Store, from: u32, to: u32) {
    for number in from..to {
        let bytes = number.to_be_bytes();
        store
            .blobs
            .put(&Digest::of(&bytes), bytes.as_slice())
            .unwrap();
    }
    store.reconcile().unwrap();
}

#[test]
fn every_night_is_saved_once_and_two_nights_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(&directory.path().join("data")).unwrap();
    let saved = store.directory().join("saved");
    let now = Timestamp::now();
    keep(&store, 0, 3);
    assert!(save_if_due(&store, now).unwrap());
    assert!(!save_if_due(&store, now).unwrap(), "once a night");
    for night in 1..4 {
        keep(&store, night, night + 3);
        assert!(save_if_due(&store, now.plus(night * DAY)).unwrap());
    }
    assert_eq!(rows(&saved.join("cache.sqlite.1")), 6);
    assert_eq!(rows(&saved.join("cache.sqlite.2")), 5);
    let mut names: Vec<_> = fs::read_dir(&saved)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected = [
        "backup.sqlite.1",
        "backup.sqlite.2",
        "cache.sqlite.1",
        "cache.sqlite.2",
    ];
    assert_eq!(names, expected);
    assert_eq!(store.rows_saved_at(), Some(now.plus(3 * DAY)));
}

#[test]
fn rows_are_saved_while_others_are_written_and_the_copy_is_of_one_moment() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(&directory.path().join("data")).unwrap();
    keep(&store, 0, 2_000);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 2_000;
            while !ended.load(Ordering::Relaxed) {
                keep(&store, number, number + 1);
                number += 1;
            }
        });
        let now = Timestamp::now();
        for night in 0..3 {
            store.save_rows(now.plus(night * DAY)).unwrap();
            assert!(rows(&store.directory().join("saved/cache.sqlite.1")) >= 2_000);
        }
        ended.store(true, Ordering::Relaxed);
    });
}

#[test]
fn on_a_full_disk_the_saved_rows_of_before_stay() {
    let directory = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(directory.path().join("data"), "32m") else {
        return;
    };
    let store = Store::create(disk.path()).unwrap();
    keep(&store, 0, 3);
    let now = Timestamp::now();
    store.save_rows(now).unwrap();
    disk.fill();
    let error = store.save_rows(now.plus(DAY)).unwrap_err();
    assert_eq!(error.kind(), breakwater::error::Kind::Full, "{error}");
    assert_eq!(rows(&disk.path().join("saved/cache.sqlite.1")), 3);
    assert_eq!(store.rows_saved_at(), Some(now));
    disk.empty();
    store.save_rows(now.plus(DAY)).unwrap();
    assert_eq!(store.rows_saved_at(), Some(now.plus(DAY)));
}

#[test]
fn a_kill_at_any_moment_of_a_save_leaves_sound_copies() {
    let rounds = number("BREAKWATER_HEALING_ROUNDS").unwrap_or(20);
    let seed = number("BREAKWATER_CRASH_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("BREAKWATER_CRASH_SEED={seed} BREAKWATER_HEALING_ROUNDS={rounds}");
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let fake = FakeUpstream::start();
    let mut appliance = Appliance::with_upstream(fake.url());
    let image = Image::oci(1, &[10_000]);
    put_and_pull(&fake, &appliance, "library/app", &image);
    appliance.ok(&["backup", "--nightly"]);
    for round in 0..rounds {
        let mut saving = appliance.command(&["backup", "--nightly"]);
        saving.stderr(std::process::Stdio::null());
        let mut saving = saving.stdout(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(random.below(120_000)));
        appliance.kill();
        let _ = saving.wait();
        let saved = appliance.data().join("saved");
        let sound = ["cache.sqlite.1", "cache.sqlite.2"].iter().filter(|name| {
            let path = saved.join(name);
            path.exists() && rows(&path) > 0
        });
        assert!(sound.count() >= 1, "round {round}: no copy is left");
        assert!(
            ["backup.sqlite.1", "backup.sqlite.2"]
                .iter()
                .any(|name| saved.join(name).exists()),
            "round {round}"
        );
        appliance.restart();
        let left: Vec<_> = fs::read_dir(appliance.data().join("staging"))
            .unwrap()
            .collect();
        assert!(left.is_empty(), "round {round}: {left:?}");
    }
    pull(&appliance, "library/app", &image);
    assert_clean(&appliance);
}
