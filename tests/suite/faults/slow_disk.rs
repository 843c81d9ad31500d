//! A disk on which each write and each sync takes a tenth of a second: what is kept is served meanwhile, and
//! what is fetched arrives whole and is kept.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{REPOSITORY, assert_clean, blob, is_kept, manifest};
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image};

/// Builds the library that makes the disk slow (`slow_disk.c`).
fn slow_disk(directory: &Path) -> String {
    let library = directory.join("slow_disk.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/faults/slow_disk.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status();
    assert!(built.expect("a C compiler").success());
    library.to_str().expect("a path that is text").to_owned()
}

#[test]
fn hits_do_not_wait_for_a_fill_on_a_slow_disk() {
    let directory = tempfile::tempdir().unwrap();
    let fake = FakeUpstream::start();
    let (kept, cold) = (
        Image::oci(1, &[50_000]),
        Image::oci(2, &[3_000_000, 3_000_000]),
    );
    fake.put_image(REPOSITORY, "1", &kept);
    fake.put_image(REPOSITORY, "2", &cold);
    let appliance = Appliance::builder()
        .upstream(fake.url())
        .variable("LD_PRELOAD", &slow_disk(directory.path()))
        .start();
    let client = Client::of(&appliance);
    assert_eq!(client.get(&manifest("1")).status, 200);
    assert_eq!(client.get(&blob(&kept.layer_digest(0))).status, 200);
    assert_eq!(client.get(&manifest("2")).status, 200);

    let filling = AtomicBool::new(true);
    let started = Instant::now();
    let hits = std::thread::scope(|scope| {
        let fills: Vec<_> = (0..2)
            .map(|n| {
                let (client, path) = (Client::of(&appliance), blob(&cold.layer_digest(n)));
                scope.spawn(move || client.get(&path))
            })
            .collect();
        let reader = scope.spawn(|| {
            let mut hits = 0;
            while filling.load(Ordering::SeqCst) {
                for path in [manifest("1"), blob(&kept.layer_digest(0))] {
                    let answer = client.get(&path);
                    assert_eq!((answer.status, answer.cache()), (200, "hit"), "{path}");
                    hits += 1;
                }
            }
            hits
        });
        for fill in fills {
            let answer = fill.join().unwrap();
            assert_eq!((answer.status, answer.cache()), (200, "miss"));
            assert!(answer.complete);
        }
        filling.store(false, Ordering::SeqCst);
        reader.join().unwrap()
    });
    // The least that a fill can take there: a write, the file's sync, and its directory's.
    assert!(
        started.elapsed() >= Duration::from_millis(300),
        "no slow disk"
    );
    // One hit that waited for a write would leave room for ten in a second; there are thousands.
    assert!(hits > 100, "only {hits} hits in {:?}", started.elapsed());
    assert!((0..2).all(|n| is_kept(&appliance, &cold.layer_digest(n))));
    assert_clean(&appliance);
}
