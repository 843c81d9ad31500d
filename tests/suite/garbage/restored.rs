//! What must survive when an older state of `registry.sqlite` is put back: the files of everything that was pushed since,
//! for as long as somebody may still put a newer state back. And how they go when nobody will.

use std::fs::File;
use std::time::Duration;

use breakwater::oci::{Digest, MediaType, RegistryHost, RepositoryName};
use breakwater::store::{Actor, NewManifest, Store};
use breakwater::upkeep::garbage::{Collection, collect};

use super::{Workshop, image};
use crate::support::pushing::{Hosted, push_image};

impl Workshop {
    fn restore(&mut self, backup: &std::path::Path) {
        self.store.shut_down().unwrap();
        let data = self.close();
        let mut backup = File::open(backup).unwrap();
        drop(Store::restore(&Actor::on_the_box(None), &data, &mut backup).unwrap());
        self.store = std::sync::Arc::new(Store::open(&data).unwrap());
        self.registry = breakwater::registry::Registry::new(std::sync::Arc::clone(&self.store));
    }
}

#[test]
fn an_older_state_lets_no_file_go_that_was_pushed_since_or_got_its_manifest_since() {
    let mut workshop = Workshop::new();
    let actor = Actor::on_the_box(None);
    let [older, newer] = ["older", "newer"].map(|name| workshop.directory.path().join(name));
    // Pushed hours before the first backup, when nothing needed it yet; and beside the backup.
    let today = workshop.now;
    workshop.now.0 -= 3 * 3600;
    let layer = workshop.push_blob("acme/api", b"layer");
    let late = Digest::of(b"late");
    workshop
        .store
        .while_pushed(&late, || workshop.store.backup(&actor, &older))
        .unwrap();
    workshop.now = today;
    workshop.push_blob("acme/api", b"late");
    let (manifest, kept) = workshop.put_image("acme/api", Some("v1"), &[b"layer", b"late"]);
    assert!(kept);
    workshop.store.backup(&actor, &newer).unwrap();

    workshop.restore(&older);
    let all = [&layer, &late, &manifest];
    let there = |workshop: &Workshop| all.map(|digest| workshop.file_exists(digest));
    assert!(workshop.store.start_up().unwrap(), "rows and files differ");
    workshop.collect(true);
    assert_eq!(there(&workshop), [true; 3], "before the comparison");
    workshop.store.reconcile().unwrap();
    workshop.collect(true);
    assert_eq!(there(&workshop), [true; 3], "after it");
    workshop.restart(true);
    workshop.collect(true);
    assert_eq!(there(&workshop), [true; 3], "after a clean stop");

    workshop.restore(&newer);
    workshop.restart(false);
    workshop.now = today.plus(Duration::from_secs(3 * 3600));
    workshop.collect(true);
    assert_eq!(there(&workshop), [true; 3]);
    for digest in [&layer, &late] {
        assert!(workshop.has_blob("acme/api", digest));
    }
}

#[test]
fn a_restore_killed_anywhere_leaves_every_pushed_file_to_the_next_one() {
    let mut hosted = Hosted::start();
    let outside = tempfile::tempdir().unwrap();
    let backup = |hosted: &Hosted, name: &str| {
        let path = outside.path().join(name).display().to_string();
        hosted.appliance.ok(&["backup", &path]);
        path
    };
    let push = |hosted: &Hosted, layer: &[u8], tag: &str| {
        let client = hosted.client(&["acme/api"]);
        push_image(&client, "acme/api", tag, &[layer]);
    };
    push(&hosted, b"first", "v1");
    let older = backup(&hosted, "older");
    push(&hosted, b"second", "v2");
    let newer = backup(&hosted, "newer");
    for milliseconds in [0, 4, 8, 12, 16, 24, 40, 80] {
        hosted.appliance.stop();
        let mut restore = hosted.appliance.command(&["restore", &older]);
        let mut restore = restore.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        restore.kill().unwrap();
        restore.wait().unwrap();
        hosted.appliance.ok(&["cache", "gc", "--grace", "0s"]);
        hosted.appliance.restart();
        hosted.appliance.ok(&["cache", "gc", "--grace", "0s"]);
        hosted.appliance.kill();
        hosted.appliance.ok(&["cache", "gc", "--grace", "0s"]);
        hosted.appliance.ok(&["restore", &newer]);
        let verified = hosted.appliance.json(&["verify", "--json"]);
        assert_eq!(verified["clean"], true, "{milliseconds}: {verified}");
        hosted.appliance.restart();
        let client = hosted.client(&["acme/api"]);
        for tag in ["v1", "v2"] {
            let got = client.get(&format!("/v2/acme/api/manifests/{tag}"));
            assert_eq!(got.status, 200, "{milliseconds}: {got:?}");
        }
    }
}

#[test]
fn files_that_lost_their_rows_go_when_somebody_says_so_and_never_one_that_is_referred_to() {
    let mut workshop = Workshop::new();
    let lost = workshop.push_blob("acme/api", b"lost");
    let again = workshop.push_blob("acme/api", b"again");
    let cached = workshop.push_blob("acme/api", b"cached");
    let part = workshop.push_blob("acme/api", b"part");
    workshop.store.shut_down().unwrap();
    let data = workshop.close();
    super::lost::lose_registry(&data);
    workshop.store = std::sync::Arc::new(Store::open(&data).unwrap());
    workshop.registry = breakwater::registry::Registry::new(std::sync::Arc::clone(&workshop.store));
    assert!(workshop.store.start_up().unwrap());
    assert_eq!(workshop.store.reconcile().unwrap().adopted_files, 4);
    // One is pushed again, one comes into the cache, and one is only named by a manifest there.
    workshop.push_blob("acme/api", b"again");
    keep_in_cache(&workshop, b"cached", &part);
    let files = workshop.files();
    let collect_with = |workshop: &Workshop, unreferenced, dry_run, hours: u64| {
        let now = workshop.now.plus(Duration::from_secs(hours * 3600));
        let collection = Collection {
            unreferenced,
            dry_run,
            ..Collection::periodic(now)
        };
        collect(&workshop.store, &collection).unwrap()
    };
    assert_eq!(collect_with(&workshop, true, false, 0).files, 0, "grace");
    let unasked = collect_with(&workshop, false, false, 0);
    assert_eq!((unasked.files, unasked.unreferenced.len()), (0, 0));
    let listed = collect_with(&workshop, true, true, 2);
    assert_eq!(listed.unreferenced, [lost.to_string()]);
    assert!(listed.files >= 1 && listed.bytes >= 4, "{listed:?}");
    assert_eq!(workshop.files(), files, "a dry run removes nothing");
    // In its own step, so that the grace of the blob that was pushed again is not over.
    let now = workshop.now.plus(Duration::from_secs(2 * 3600));
    workshop.push_at(now, b"again");
    let collected = collect_with(&workshop, true, false, 2);
    assert_eq!(collected.unreferenced, [lost.to_string()]);
    assert_eq!((collected.files, collected.bytes), (1, 4));
    let there = [&lost, &again, &cached, &part].map(|digest| workshop.file_exists(digest));
    assert_eq!(there, [false, true, true, true]);
    let nothing = collect_with(&workshop, true, false, 2);
    assert_eq!(nothing.unreferenced, [""; 0]);
}

impl Workshop {
    fn push_at(&mut self, now: breakwater::time::Timestamp, bytes: &[u8]) {
        let then = std::mem::replace(&mut self.now, now);
        self.push_blob("acme/api", bytes);
        self.now = then;
    }
}

/// As a fill does: an image of one layer, whose config, `named`, did not arrive.
fn keep_in_cache(workshop: &Workshop, layer: &[u8], named: &Digest) {
    let cache = &workshop.store.cache;
    let host = RegistryHost::parse("docker.io").unwrap();
    let origin = cache.origin(&host, "anonymous").unwrap();
    let name = RepositoryName::parse("library/alpine").unwrap();
    let repository = cache.repository(origin, &name).unwrap();
    let bytes = image(&[layer], None);
    let manifest = Digest::of(&bytes);
    let layer_digest = Digest::of(layer);
    for (digest, bytes) in [(&manifest, &bytes[..]), (&layer_digest, layer)] {
        workshop.store.blobs.put(digest, bytes).unwrap();
        let size = bytes.len() as u64;
        cache
            .keep_blob(repository, digest, size, workshop.now)
            .unwrap();
    }
    let new = NewManifest {
        digest: manifest,
        media_type: MediaType::OciManifest,
        size: bytes.len() as u64,
        references: vec![layer_digest, named.clone()],
        subject: None,
        tag: None,
        now: workshop.now,
    };
    cache.keep_manifest(repository, &new).unwrap();
}
