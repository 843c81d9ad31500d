//! The scrub, which reads everything again by itself.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use breakwater::oci::Digest;
use breakwater::store::Store;
use breakwater::time::Timestamp;
use breakwater::upkeep::scrub::{Pace, scrub};

use super::{doctor, file_of, flip_bit, pull, put_and_pull};
use crate::faults::assert_clean;
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image};

const DAYS: i64 = 24 * 60 * 60;
const PERIOD: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// One for each first byte of either algorithm's digests.
const DIRECTORIES: usize = 512;

/// A store with some files, and their digests.
fn filled() -> (tempfile::TempDir, Store, Vec<Digest>) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(&directory.path().join("data")).unwrap();
    let digests = (0..40_u8).map(|number| {
        let bytes = [number; 100];
        let digest = Digest::of(&bytes);
        store.blobs.put(&digest, bytes.as_slice()).unwrap();
        digest
    });
    let digests = digests.collect();
    store.reconcile().unwrap();
    (directory, store, digests)
}

/// Scrubs as of this time, on a box that nobody asks anything; how many directories were read.
fn scrub_at(store: &Store, now: Timestamp) -> usize {
    let pace = Pace {
        period: PERIOD,
        is_busy: &|| false,
        is_stopping: &|| false,
    };
    scrub(store, &pace, &|| now).unwrap()
}

#[test]
fn everything_is_read_once_in_a_period_over_restarts_and_damage_is_set_aside() {
    let (_directory, mut store, digests) = filled();
    let data = store.directory().to_owned();
    let begun = Timestamp::now();
    let damaged = [&digests[3], &digests[17]];
    for digest in damaged {
        flip_bit(&file_of(&data, digest));
    }
    let mut read = 0;
    for day in 0..=30 {
        let now = Timestamp(begun.0 + day * DAYS);
        read += scrub_at(&store, now);
        assert_eq!(scrub_at(&store, now), 0, "nothing more is due");
        let place = store.cache.scrub_place().unwrap().unwrap();
        if day < 30 {
            let expected = DIRECTORIES as i64 * day / 30;
            assert!(
                (place.next as i64 - expected).abs() <= 1,
                "day {day}: {place:?}"
            );
        }
        drop(store);
        store = Store::open(&data).unwrap();
    }
    assert!((DIRECTORIES..DIRECTORIES + 2).contains(&read), "{read}");
    let place = store.cache.scrub_place().unwrap().unwrap();
    assert!(
        place.ended_at.is_some_and(|at| at.0 > begun.0 + 29 * DAYS),
        "{place:?}"
    );
    let mut found: Vec<_> = store
        .cache
        .repairs()
        .unwrap()
        .into_iter()
        .map(|note| note.digest)
        .collect();
    let mut expected: Vec<_> = damaged.into_iter().cloned().collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    for digest in damaged {
        assert!(
            store.blobs.open(digest).unwrap().is_none(),
            "it is given to nobody"
        );
    }
    // Off for a year: what was missed is read once, and not twelve times.
    let later = Timestamp(begun.0 + 400 * DAYS);
    let read = scrub_at(&store, later);
    assert!(
        (DIRECTORIES - 2..=DIRECTORIES + 2).contains(&read),
        "{read}"
    );
    // A clock that was ahead and is right again does not stop it.
    assert!(scrub_at(&store, begun) > 0);
}

#[test]
fn it_pauses_while_the_box_is_busy_unless_it_is_late_and_ends_when_it_is_told_to() {
    let (_directory, store, _) = filled();
    let begun = Timestamp::now();
    let (busy, stopping) = (AtomicBool::new(true), AtomicBool::new(false));
    let clock = AtomicI64::new(begun.0);
    let pace = Pace {
        period: PERIOD,
        is_busy: &|| busy.load(Ordering::Relaxed),
        is_stopping: &|| stopping.load(Ordering::Relaxed),
    };
    let now = || Timestamp(clock.load(Ordering::Relaxed));
    let next = || {
        store
            .cache
            .scrub_place()
            .unwrap()
            .map_or(0, |place| place.next)
    };
    std::thread::scope(|scope| {
        let scrubbing = scope.spawn(|| scrub(&store, &pace, &now).unwrap());
        std::thread::sleep(Duration::from_millis(600));
        assert!(!scrubbing.is_finished() && next() == 0, "it waits");
        busy.store(false, Ordering::Relaxed);
        assert_eq!(scrubbing.join().unwrap(), 1);
    });
    assert_eq!(next(), 1);
    // A day later the next ones are due; it ends between two looks.
    clock.store(begun.0 + DAYS, Ordering::Relaxed);
    busy.store(true, Ordering::Relaxed);
    std::thread::scope(|scope| {
        let scrubbing = scope.spawn(|| scrub(&store, &pace, &now).unwrap());
        std::thread::sleep(Duration::from_millis(300));
        assert!(!scrubbing.is_finished());
        stopping.store(true, Ordering::Relaxed);
        assert_eq!(scrubbing.join().unwrap(), 0);
    });
    assert_eq!(next(), 1, "what was broken off is read again");
    stopping.store(false, Ordering::Relaxed);
    // Ten days later it is too late to wait for anybody: it goes on until it is late no more.
    clock.store(begun.0 + 10 * DAYS, Ordering::Relaxed);
    std::thread::scope(|scope| {
        let scrubbing = scope.spawn(|| scrub(&store, &pace, &now).unwrap());
        std::thread::sleep(Duration::from_millis(100));
        while next() < 100 {
            assert!(!scrubbing.is_finished());
            std::thread::sleep(Duration::from_millis(20));
        }
        stopping.store(true, Ordering::Relaxed);
        assert!(scrubbing.join().unwrap() >= 99);
    });
}

#[test]
fn a_running_box_finds_damage_by_itself_mends_it_and_says_when_it_came_round() {
    let fake = FakeUpstream::start();
    let appliance = Appliance::builder()
        .upstream(fake.url())
        .toml("[cache]\ntag_ttl = \"1h\"\nscrub = \"5s\"")
        .start();
    let image = Image::oci(1, &[60_000]);
    put_and_pull(&fake, &appliance, "library/app", &image);
    flip_bit(&file_of(&appliance.data(), &image.layer_digest(0)));
    appliance.wait_for_log("was fetched again");
    appliance.wait_for_log("has read everything that is kept once more");
    fake.stop();
    assert!(
        pull(&appliance, "library/app", &image)
            .iter()
            .all(|word| word == "hit")
    );
    let metrics = Client::of(&appliance).get("/metrics").text();
    for part in [
        "breakwater_damage_repaired_total 1",
        "breakwater_scrub_last_round_timestamp_seconds 1",
        "breakwater_scrub_read_bytes_total ",
    ] {
        assert!(metrics.contains(part), "{part}: {metrics}");
    }
    assert_clean(&appliance);
}

#[test]
fn a_scrub_that_has_not_come_round_is_a_finding() {
    let mut appliance = Appliance::start();
    appliance.stop();
    let rows = rusqlite::Connection::open(appliance.data().join("cache.sqlite")).unwrap();
    let ago = Timestamp::now().0 - 61 * DAYS;
    for (key, value) in [("scrub_begun_at", ago), ("scrub_next", 7)] {
        rows.execute(
            "INSERT OR REPLACE INTO state (key, value) VALUES (?1, ?2)",
            (key, value),
        )
        .unwrap();
    }
    drop(rows);
    assert!(doctor(&appliance).contains(&"scrub_late".to_owned()));
}

#[test]
fn the_scrub_reads_only_when_nobody_else_wants_the_disk_or_the_processor() {
    let appliance = Appliance::start();
    let tasks = format!("/proc/{}/task", appliance.pid());
    let of_scrub = || {
        let tasks = std::fs::read_dir(&tasks).unwrap().map(|task| task.unwrap());
        let mut tasks = tasks.filter(|task| {
            let name = std::fs::read_to_string(task.path().join("comm"));
            name.is_ok_and(|name| name.trim() == "scrub")
        });
        tasks
            .next()
            .map(|task| task.file_name().into_string().unwrap())
    };
    let class = |task: &str| {
        let output = std::process::Command::new("ionice")
            .args(["-p", task])
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let nice = |task: &str| {
        let stat = std::fs::read_to_string(format!("{tasks}/{task}/stat")).unwrap();
        // Field 19 of proc_pid_stat(5), of which the second ends with a bracket.
        let fields = stat.rsplit_once(')').unwrap().1;
        fields.split_whitespace().nth(16).unwrap().to_owned()
    };
    crate::faults::wait_until("the thread gave way to all others", || {
        of_scrub().is_some_and(|task| class(&task).trim() == "idle" && nice(&task) == "19")
    });
}
