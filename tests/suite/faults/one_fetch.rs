//! One fetch: any number of concurrent requests for what is not kept cause one request upstream.

use std::io::Read as _;
use std::time::Duration;

use breakwater::oci::Digest;

use super::client::{self, Reply};
use super::{
    REPOSITORY, assert_clean, at_once, blob, is_kept, manifest, readers_blob, stage, staged,
    wait_until,
};
use crate::support::fake_upstream::{Answer, FakeUpstream, Gate, Image, noise};

const MB: usize = 1024 * 1024;

/// A blob of so many bytes at the upstream, which stops after `held_at` of them until the gate opens.
fn held_blob(fake: &FakeUpstream, length: usize, held_at: usize) -> (Vec<u8>, Digest, Gate) {
    let bytes = noise(1, length);
    let digest = fake.put_blob(REPOSITORY, &bytes);
    let gate = Gate::new();
    fake.on("GET", "/blobs/")
        .always(Answer::good().wait_at(held_at, &gate));
    (bytes, digest, gate)
}

#[test]
fn thirty_two_cold_pulls_of_a_large_blob_are_one_fetch_in_little_memory() {
    let (fake, appliance) = stage("");
    let (bytes, digest, gate) = held_blob(&fake, 100 * 1000 * 1000, 50 * 1000 * 1000);
    let (address, path) = (appliance.address(), blob(&digest));
    appliance.reset_peak_memory();

    // Reads to the end without holding it, and compares.
    let pull = |begun: &dyn Fn()| {
        let mut download = client::open(address, "GET", &path, &[]);
        assert_eq!(download.status, 200);
        assert_eq!(download.header("X-Cache"), Some("miss"));
        let (mut at, mut buffer) = (0, vec![0; 256 * 1024]);
        loop {
            let count = download.read(&mut buffer).expect("no early end");
            assert_eq!(buffer[..count], bytes[at..at + count], "at {at}");
            at += count;
            if count == 0 {
                break;
            }
            begun();
        }
        assert_eq!(at, bytes.len());
    };
    std::thread::scope(|scope| {
        let early: Vec<_> = (0..16).map(|_| scope.spawn(|| pull(&|| ()))).collect();
        gate.await_arrival();
        // Late ones begin at byte 0, from what is on disk, while the upstream says nothing more.
        let (begun, first_bytes) = std::sync::mpsc::channel();
        let late: Vec<_> = (0..16)
            .map(|_| {
                let (begun, pull) = (begun.clone(), &pull);
                scope.spawn(move || {
                    pull(&|| {
                        let _ = begun.send(());
                    });
                })
            })
            .collect();
        for _ in 0..16 {
            first_bytes.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        // A part of what is there comes at once; a part of what is not comes when it is.
        let part = client::get_with(address, &path, &[("Range", "bytes=1000000-1000099")]);
        assert_eq!((part.status, part.complete), (206, true));
        assert_eq!(part.body, bytes[1_000_000..1_000_100]);
        let total = bytes.len();
        assert_eq!(
            part.header("Content-Range"),
            Some(format!("bytes 1000000-1000099/{total}").as_str())
        );
        let tail = [("Range", "bytes=-100")];
        let mut tail = client::open(address, "GET", &path, &tail);
        assert_eq!(tail.status, 206);
        let beyond = client::get_with(address, &path, &[("Range", "bytes=100000000-")]);
        assert_eq!(beyond.status, 416);
        gate.open();
        assert_eq!(tail.next_bytes(100), bytes[total - 100..]);
        for thread in early.into_iter().chain(late) {
            thread.join().unwrap();
        }
    });
    let peak = appliance.memory().peak;
    println!("32 pulls of 100 MB: peak {} KiB resident", peak / 1024);
    assert!(peak < 64 * 1024 * 1024, "{peak} bytes resident at the peak");
    assert_eq!(fake.requests().len(), 1, "{:?}", fake.requests());
    assert_eq!(fake.body_bytes(), bytes.len() as u64);
    wait_until("nothing is staged any more", || {
        staged(&appliance).is_empty()
    });
    assert!(is_kept(&appliance, &digest));
}

#[test]
fn thirty_two_cold_pulls_of_a_manifest_are_one_fetch() {
    let (fake, appliance) = stage("");
    let by_tag = Image::oci(1, &[10]);
    let by_digest = Image::oci(2, &[10]);
    fake.put_image(REPOSITORY, "latest", &by_tag);
    fake.put_image(REPOSITORY, "", &by_digest);
    let slow = Answer::good().after(Duration::from_millis(300));
    fake.on("GET", "/manifests/").always(slow);
    for (what, image, path) in [
        ("by tag", &by_tag, manifest("latest")),
        ("by digest", &by_digest, manifest(by_digest.digest())),
    ] {
        fake.forget_requests();
        let replies = at_once(32, |_| client::get(appliance.address(), &path));
        for reply in replies {
            assert_eq!(
                (reply.status, &reply.body),
                (200, &image.manifest),
                "{what}"
            );
        }
        assert_eq!(fake.requests().len(), 1, "{what}: {:?}", fake.requests());
        assert!(is_kept(&appliance, &image.digest()), "{what}");
    }
}

#[test]
fn head_of_a_blob_asks_and_fetches_nothing() {
    let (fake, appliance) = stage("");
    let bytes = noise(1, 4321);
    let digest = fake.put_blob(REPOSITORY, &bytes);
    let reply = client::head(appliance.address(), &blob(&digest));
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("Content-Length"), Some("4321"));
    assert_eq!(reply.header("Docker-Content-Digest"), Some(digest.as_str()));
    assert_eq!(
        (fake.count("HEAD", "/blobs/"), fake.requests().len()),
        (1, 1)
    );
    assert!(!is_kept(&appliance, &digest) && staged(&appliance).is_empty());
    let absent = noise(2, 10);
    let absent = client::head(appliance.address(), &blob(&Digest::of(&absent)));
    assert_eq!(absent.status, 404);
}

#[test]
fn a_fill_goes_on_when_everybody_has_hung_up() {
    let (fake, appliance) = stage("");
    let (bytes, digest, gate) = held_blob(&fake, 4 * MB, 2 * MB);
    let mut clients: Vec<_> = (0..3)
        .map(|_| client::open(appliance.address(), "GET", &blob(&digest), &[]))
        .collect();
    for client in &mut clients {
        assert_eq!(client.next_bytes(MB), bytes[..MB]);
    }
    drop(clients);
    gate.open();
    wait_until("the fill ends", || is_kept(&appliance, &digest));
    wait_until("it has its row", || {
        client::get(appliance.address(), &blob(&digest)).cache() == "hit"
    });
    let reply = client::get(appliance.address(), &blob(&digest));
    assert!(reply.body == bytes && reply.complete);
    assert_eq!(fake.count("GET", "/blobs/"), 1);
}

#[test]
fn what_nobody_may_keep_is_fetched_once_and_only_while_somebody_reads() {
    let (fake, appliance) = stage("");
    // Together with another reader: one fetch, and it goes on for the one who stays.
    let (bytes, digest, gate) = held_blob(&fake, 4 * MB, 2 * MB);
    let path = readers_blob(&digest);
    let open = || client::open(appliance.address(), "GET", &path, &[]);
    let (mut leaves, mut stays) = (open(), open());
    assert_eq!(stays.header("X-Cache"), Some("bypass"));
    assert_eq!(leaves.next_bytes(MB), stays.next_bytes(MB));
    drop(leaves);
    gate.open();
    let rest = stays.finish();
    assert!(rest.complete && rest.body == bytes[MB..]);
    assert_eq!(fake.count("GET", "/blobs/"), 1);
    assert!(!is_kept(&appliance, &digest));

    // With nobody left it ends: the upstream is not asked for what nobody may keep.
    let large = noise(2, 60 * MB);
    let digest = fake.put_blob(REPOSITORY, &large);
    let slow = Answer::good().slowly(64 * 1024, Duration::from_millis(5));
    fake.on("GET", "/blobs/").always(slow);
    let path = readers_blob(&digest);
    let before = fake.body_bytes();
    let mut clients = [(); 2].map(|()| client::open(appliance.address(), "GET", &path, &[]));
    for client in &mut clients {
        client.next_bytes(200_000);
    }
    drop(clients);
    appliance.wait_for_log("nobody waits for it any more");
    assert!(fake.body_bytes() - before < large.len() as u64);
    assert!(!is_kept(&appliance, &digest) && staged(&appliance).is_empty());
    assert_clean(&appliance);
}

#[test]
fn a_fetch_that_a_filler_joins_becomes_a_fill() {
    let (fake, appliance) = stage("");
    let (bytes, digest, gate) = held_blob(&fake, 2 * MB, MB);
    let reader = client::open(appliance.address(), "GET", &readers_blob(&digest), &[]);
    gate.await_arrival();
    let filler = client::open(appliance.address(), "GET", &blob(&digest), &[]);
    assert_eq!(filler.header("X-Cache"), Some("miss"));
    gate.open();
    let whole = |reply: Reply| reply.complete && reply.body == bytes;
    assert!(whole(reader.finish()) && whole(filler.finish()));
    assert_eq!(fake.count("GET", "/blobs/"), 1);
    wait_until("it is kept", || is_kept(&appliance, &digest));
    assert_clean(&appliance);
}
