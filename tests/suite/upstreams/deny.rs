//! Groups that fetch nothing for who may not fill.

use std::time::Duration;

use breakwater::oci::Digest;

use super::{FILL, READ, member};
use crate::support::appliance::Appliance;
use crate::support::fake_upstream::{Answer, FakeUpstream, Gate, Image};

#[test]
fn where_a_group_denies_it_nothing_is_fetched_for_who_may_not_fill() {
    let fake = FakeUpstream::start();
    let old = Image::oci(1, &[50_000, 60_000]);
    fake.put_image("library/app", "1", &old);
    let appliance = Appliance::builder()
        .upstream(fake.url())
        .toml("[cache]\ntag_ttl = \"0s\"\n")
        .start();
    let filler = member(&appliance, "a", FILL, "app");
    let reader = member(&appliance, "a", READ, "app");
    let below = member(&appliance, "a/sub", READ, "app");
    appliance.ok(&["group", "set", "a", "on_read_only_miss=deny"]);

    let manifest = reader.client.get(&reader.manifest("1"));
    assert_eq!(manifest.verdict(), (404, "MANIFEST_UNKNOWN".to_owned()));
    let message = manifest.message();
    assert!(
        message.contains("not cached") && message.contains("may not fill"),
        "{message}"
    );
    let by_digest = reader.client.get(&reader.manifest(old.digest()));
    assert_eq!(by_digest.verdict(), (404, "MANIFEST_UNKNOWN".to_owned()));
    let blob = reader.client.get(&reader.blob(&old.config));
    assert_eq!(blob.verdict(), (404, "BLOB_UNKNOWN".to_owned()));
    assert_eq!(reader.client.head(&reader.blob(&old.config)).status, 404);
    assert_eq!(fake.requests().len(), 0, "nobody was asked for it");
    // The setting is the group's own.
    assert_eq!(below.pull("1", &old), ["bypass"; 4]);

    // What somebody else fetches at this moment is served from that fetch, also what that one has not
    // come to yet.
    fake.forget_requests();
    let [first, second] = [0, 1].map(|n| &old.layers[n]);
    let gate = Gate::new();
    fake.on("GET", &format!("/blobs/{}", Digest::of(first)))
        .next([Answer::good().wait_at(10_000, &gate)]);
    let held = Gate::new();
    fake.on("GET", "/manifests/1")
        .next([Answer::good().wait_at(10, &held)]);
    std::thread::scope(|scope| {
        let filling = scope.spawn(|| filler.client.get(&filler.manifest("1")));
        held.await_arrival();
        let joining = scope.spawn(|| reader.client.get(&reader.manifest("1")));
        std::thread::sleep(Duration::from_millis(200));
        assert!(!joining.is_finished(), "it waits for the manifest");
        held.open();
        assert_eq!(filling.join().unwrap().status, 200);
        let joined = joining.join().unwrap();
        assert_eq!((joined.status, joined.cache()), (200, "miss"));
    });
    let mut fill = filler.client.open(&filler.blob(first));
    fill.read_up_to(5_000);
    let known = reader.client.get(&reader.manifest(old.digest()));
    assert_eq!((known.status, known.cache()), (200, "hit"));
    let head = reader.client.head(&reader.blob(first));
    assert_eq!(head.status, 200);
    let mut joined = reader.client.open(&reader.blob(first));
    assert_eq!(joined.answer.cache(), "miss");
    assert!(joined.read_up_to(5_000)[..5_000] == first[..5_000]);
    std::thread::scope(|scope| {
        let early = scope.spawn(|| reader.client.get(&reader.blob(second)));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!early.is_finished(), "it waits while the image is fetched");
        gate.open();
        assert!(fill.finish().complete && joined.finish().complete);
        filler.pull("1", &old);
        let early = early.join().unwrap();
        assert_eq!((early.status, early.complete), (200, true));
    });
    for blob in old.blobs() {
        assert_eq!(fake.count("GET", Digest::of(blob).as_str()), 1);
    }
    assert_eq!(reader.pull("1", &old)[1..], ["hit", "hit", "hit"]);

    // A tag that has moved: the kept one, until somebody fills the new one.
    let new = Image::oci(2, &[1_000]);
    fake.put_image("library/app", "1", &new);
    let stale = reader.client.get(&reader.manifest("1"));
    assert_eq!((stale.status, stale.cache()), (200, "stale"));
    assert_eq!(stale.body, old.manifest);
    filler.pull("1", &new);
    assert_eq!(reader.pull("1", &new), ["revalidated", "hit", "hit"]);
}
