//! What must survive when something is lost: the database of what was pushed, the rows of a purge that was killed, the
//! room or the lock to write a mark.

use std::fs;
use std::time::Duration;

use breakwater::error::Kind;
use breakwater::oci::{Digest, RegistryHost, RepositoryName, Tag};
use breakwater::store::{Eviction, GroupId, NewManifest, Pull, Store};

use super::{Workshop, image};
use crate::support::pushing::{Hosted, must_push_blob};
use crate::support::small_disk::SmallDisk;

const HOUR: Duration = Duration::from_secs(60 * 60);

impl Workshop {
    /// Closes the store; its directory.
    pub(crate) fn close(&mut self) -> std::path::PathBuf {
        let data = self.store.directory().to_owned();
        let empty = self.directory.path().join("none");
        self.store = std::sync::Arc::new(Store::create(&empty).unwrap());
        self.registry = breakwater::registry::Registry::new(std::sync::Arc::clone(&self.store));
        data
    }
}

pub(crate) fn lose_registry(data: &std::path::Path) {
    for file in [
        "registry.sqlite",
        "registry.sqlite-wal",
        "registry.sqlite-shm",
    ] {
        let _ = fs::remove_file(data.join(file));
    }
    assert!(!data.join("registry.sqlite").exists());
}

#[test]
fn files_outlive_a_lost_database_of_what_was_pushed() {
    let mut workshop = Workshop::new();
    workshop.push_blob("acme/api", b"precious");
    workshop.put_image("acme/api", Some("t"), &[b"precious"]);
    let files = workshop.files();
    assert_eq!(files.len(), 2);
    workshop.store.shut_down().unwrap();
    let data = workshop.close();
    lose_registry(&data);

    // A command opens it first, and a server that ran meanwhile stops in good order.
    let store = Store::open(&data).unwrap();
    workshop.store = std::sync::Arc::new(store);
    workshop.now = workshop.now.plus(3 * HOUR);
    let collected = workshop.collect(true);
    assert!(collected.strays_left && collected.files == 0);
    assert_eq!(workshop.files(), files);
    workshop.store.shut_down().unwrap();
    workshop.close();

    workshop.store = std::sync::Arc::new(Store::open(&data).unwrap());
    assert!(workshop.store.start_up().unwrap(), "rows and files differ");
    assert!(workshop.collect(true).strays_left);
    assert_eq!(workshop.store.reconcile().unwrap().adopted_files, 2);
    workshop.now = workshop.now.plus(3 * HOUR);
    let collected = workshop.collect(true);
    assert!(!collected.strays_left && collected.files == 0);
    assert_eq!(workshop.files(), files);

    workshop.store.shut_down().unwrap();
    workshop.close();
    let store = Store::open(&data).unwrap();
    assert!(store.may_remove_strays().unwrap(), "a clean stop is noted");
    assert!(!store.start_up().unwrap(), "it is said once");
    // What really is a stray goes as before.
    store.blobs.put(&Digest::of(b"stray"), b"stray").unwrap();
    workshop.store = std::sync::Arc::new(store);
    assert_eq!(workshop.collect(false).files, 1);
}

#[test]
fn a_server_says_that_the_database_was_lost_and_an_upgraded_one_does_not() {
    for upgraded in [false, true] {
        let mut hosted = Hosted::start();
        let client = hosted.client(&["acme/api/web"]);
        let digest = must_push_blob(&client, "acme/api/web", b"precious");
        hosted.appliance.stop();
        let data = hosted.appliance.data().to_owned();
        lose_registry(&data);
        if upgraded {
            let cache = rusqlite::Connection::open(data.join("cache.sqlite")).unwrap();
            let forgotten = cache.execute("DELETE FROM state WHERE key = 'has_registry'", []);
            assert_eq!(forgotten.unwrap(), 1);
        }
        hosted.appliance.restart();
        let log = hosted.appliance.log();
        assert_eq!(
            log.contains("registry.sqlite was missing"),
            !upgraded,
            "{log}"
        );
        assert_eq!(log.contains("made for the first time"), upgraded, "{log}");
        hosted.appliance.ok(&["cache", "gc", "--grace", "0s"]);
        let hex = digest.as_str().split_once(':').unwrap().1.to_owned();
        let file = data.join("blobs/sha256").join(&hex[..2]).join(&hex);
        assert!(file.exists(), "{}", file.display());
    }
}

#[test]
fn whoever_may_push_can_read_while_the_database_takes_no_write() {
    let mut workshop = Workshop::new();
    let digest = workshop.push_blob("acme/api", b"here");
    let path = workshop.store.directory().join("registry.sqlite");
    let stranger = rusqlite::Connection::open(path).unwrap();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    // The mark of the push is too old by now.
    workshop.now = workshop.now.plus(2 * HOUR);
    let grant = workshop.grant("acme/api");
    assert!(grant.may_push());
    let blob = workshop.registry.blob(&grant, &digest, workshop.now);
    assert_eq!(blob.map(|blob| blob.size()).unwrap(), 4);
    let error = workshop.store.registry.write_marks().unwrap_err();
    assert_eq!(error.kind(), Kind::Busy, "{error}");
    stranger.execute_batch("ROLLBACK").unwrap();
    // The answer counts all the same: the sweep knows of it, and the next one finds it too old.
    assert_eq!(workshop.collect(false).links, 0);
    workshop.now = workshop.now.plus(2 * HOUR);
    assert_eq!(workshop.collect(false).links, 1);
    assert!(!workshop.file_exists(&digest));
}

#[test]
fn files_of_a_purge_that_was_killed_go_with_the_next_collection() {
    let workshop = Workshop::new();
    let cache = &workshop.store.cache;
    let host = RegistryHost::parse("docker.io").unwrap();
    let origin = cache.origin(&host, "anonymous").unwrap();
    let name = RepositoryName::parse("library/alpine").unwrap();
    let repository = cache.repository(origin, &name).unwrap();
    let bytes = image(&[b"layer"], None);
    let (manifest, layer) = (Digest::of(&bytes), Digest::of(b"layer"));
    for (digest, bytes) in [(&manifest, &bytes[..]), (&layer, b"layer")] {
        workshop.store.blobs.put(digest, bytes).unwrap();
        let size = bytes.len() as u64;
        cache
            .keep_blob(repository, digest, size, workshop.now)
            .unwrap();
    }
    let new = NewManifest {
        digest: manifest.clone(),
        media_type: breakwater::oci::MediaType::OciManifest,
        size: bytes.len() as u64,
        references: vec![layer.clone()],
        subject: None,
        tag: Some(Tag::parse("t").unwrap()),
        now: workshop.now,
    };
    cache.keep_manifest(repository, &new).unwrap();
    let pull = Pull {
        group: GroupId(1),
        repository,
        manifest: manifest.clone(),
        tag: None,
    };
    cache.note_pull(pull, workshop.now);
    cache.write_notes().unwrap();
    // The rows go, and then the process.
    let inventory = workshop.store.content.inventory().unwrap();
    let going = Eviction {
        manifest: inventory.manifests[0].id,
        repository,
        fetched_at: workshop.now,
        pulled_at: Some(workshop.now),
        group: None,
    };
    let evicted = workshop.store.cache.evict(&[going]).unwrap();
    assert_eq!((evicted.manifests.len(), evicted.loose.len()), (1, 2));
    assert_eq!(workshop.store.content.unsettled().unwrap().len(), 2);
    // One of them was fetched again meanwhile.
    cache
        .keep_blob(repository, &layer, 5, workshop.now)
        .unwrap();
    assert_eq!(workshop.collect(false).files, 1);
    assert!(!workshop.file_exists(&manifest) && workshop.file_exists(&layer));
    assert_eq!(workshop.store.content.unsettled().unwrap(), []);
}

#[test]
fn a_start_on_a_full_disk_takes_its_note_later() {
    let directory = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(directory.path().join("disk"), "8m") else {
        return;
    };
    let data = disk.path().join("data");
    let store = Store::create(&data).unwrap();
    store.start_up().unwrap();
    store.shut_down().unwrap();
    drop(store);
    let store = Store::open(&data).unwrap();
    disk.fill_for(&data);
    assert!(store.start_up().unwrap(), "as after an unclean stop");
    assert!(store.take_owed_note().is_err(), "it is still full");
    disk.empty();
    store.take_owed_note().unwrap();
    // A crash from here on is not taken for a clean stop.
    drop(store);
    let store = Store::open(&data).unwrap();
    assert!(store.start_up().unwrap());
    drop(store);
}
