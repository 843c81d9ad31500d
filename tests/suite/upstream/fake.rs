//! The fake upstream itself, on which other suites build.

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::{drain, get, repository, stage, upstream};
use crate::support::fake_upstream::{Answer, Gate, Index, noise};

#[test]
fn the_fake_stops_and_restarts_on_its_port() {
    let (fake, image) = stage();
    for _ in 0..100 {
        let upstream = upstream(&fake);
        assert_eq!(get(&upstream).unwrap(), image.manifest);
        fake.stop();
        assert!(TcpStream::connect(fake.address()).is_err());
        fake.restart();
    }
    let address = fake.address();
    drop(fake);
    assert!(TcpListener::bind(address).is_ok());
}

#[test]
fn the_fake_serves_what_it_is_given_until_it_is_taken_away() {
    let (fake, image) = stage();
    let index = Index::of(&[("amd64", &image)]);
    assert_eq!(
        fake.put_index("library/alpine", "latest", &index),
        index.digest()
    );
    let (upstream, digest) = (upstream(&fake), image.layer_digest(0));
    assert_eq!(get(&upstream).unwrap(), index.bytes, "the tag moved");
    fake.remove_manifest("library/alpine", "latest");
    assert!(get(&upstream).is_err());
    let before = fake.body_bytes();
    let blob = upstream
        .get_blob(&repository(), &digest, 40_000, None)
        .unwrap();
    drain(blob.reader).1.unwrap();
    assert_eq!(fake.body_bytes() - before, 60_000);
    fake.remove_blob("library/alpine", &digest);
    assert!(upstream.head_blob(&repository(), &digest).is_err());
    assert!(
        fake.requests()
            .iter()
            .all(|request| request.connection == 0)
    );
}

#[test]
fn the_fake_stops_in_spite_of_stalls_and_gates() {
    let (fake, image) = stage();
    let gate = Gate::new();
    fake.on("GET", "/manifests/").always(Answer::silence());
    fake.on("GET", "/blobs/")
        .always(Answer::good().wait_at(5, &gate));
    let upstream = upstream(&fake);
    std::thread::scope(|scope| {
        scope.spawn(|| get(&upstream).unwrap_err());
        scope.spawn(|| {
            let digest = image.layer_digest(0);
            if let Ok(blob) = upstream.get_blob(&repository(), &digest, 0, None) {
                assert!(drain(blob.reader).1.is_err());
            }
        });
        gate.await_arrival();
        let began = Instant::now();
        fake.stop();
        assert!(began.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn noise_is_the_same_for_the_same_seed() {
    assert_eq!(noise(7, 100), noise(7, 100));
    assert_ne!(noise(7, 100), noise(8, 100));
    assert_eq!(noise(7, 3).len(), 3);
}
