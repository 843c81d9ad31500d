//! The blob directory: staging, commit, resume, and what a full disk does.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use breakwater::error::Kind;
use breakwater::oci::{Algorithm, Digest};
use breakwater::store::{BlobWriter, Store};

use crate::support::small_disk::SmallDisk;

use super::{at, blob_path, fresh, mode, repository};

fn write(staged: &mut BlobWriter, bytes: &[u8]) {
    staged.write(bytes, 0).unwrap();
}

fn staged_names(store: &Store) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(store.directory().join("staging"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn read(store: &Store, digest: &Digest) -> Option<Vec<u8>> {
    let blob = store.blobs.open(digest).unwrap()?;
    Some(blob.content().read().unwrap().into_owned())
}

#[test]
fn every_way_of_staging_commits_to_the_same_place() {
    type Stage = fn(&Store) -> BlobWriter;
    let ways: [(&str, Stage); 3] = [
        ("stage", |store| store.blobs.stage().unwrap()),
        ("named", |store| store.blobs.stage_named("00ff").unwrap()),
        ("unlinked", |store| store.blobs.stage_unlinked().unwrap()),
    ];
    for (name, stage) in ways {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let (_directory, store) = fresh();
            let bytes = b"some layer";
            let digest = Digest::of_with(algorithm, bytes);
            let mut staged = stage(&store);
            assert_eq!(staged.length().unwrap(), 0, "{name}");
            write(&mut staged, bytes);
            assert_eq!(staged.length().unwrap(), 10, "{name}");
            assert!(!store.blobs.contains(&digest).unwrap(), "{name}: not yet");
            assert!(store.blobs.open(&digest).unwrap().is_none(), "{name}");
            let reader = staged.reader().unwrap();
            staged.commit(&digest).unwrap();

            assert!(store.blobs.contains(&digest).unwrap(), "{name}");
            assert_eq!(read(&store, &digest).unwrap(), bytes, "{name}");
            let mut seen = [0; 5];
            assert_eq!(reader.read_at(&mut seen, 5).unwrap(), 5);
            assert_eq!(&seen, b"layer", "{name}: the readers' file stays good");
            let path = blob_path(store.directory(), &digest);
            assert_eq!(mode(&path), 0o600, "{name}");
            assert_eq!(mode(path.parent().unwrap()), 0o700, "{name}");
            assert_eq!(staged_names(&store), [""; 0], "{name}");
        }
    }
}

#[test]
fn what_is_not_committed_leaves_nothing_but_what_can_be_resumed() {
    let (_directory, store) = fresh();
    let mut random = store.blobs.stage().unwrap();
    let mut unlinked = store.blobs.stage_unlinked().unwrap();
    write(&mut random, b"x");
    write(&mut unlinked, b"x");
    assert_eq!(
        staged_names(&store).len(),
        1,
        "an unlinked file has no name"
    );
    assert_eq!(unlinked.length().unwrap(), 1);
    drop((random, unlinked));
    store.blobs.stage().unwrap().discard();
    store.blobs.stage_unlinked().unwrap().discard();
    assert_eq!(staged_names(&store), [""; 0]);

    let mut named = store.blobs.stage_named("abc123").unwrap();
    write(&mut named, b"half of ");
    drop(named);
    assert_eq!(staged_names(&store), ["abc123"]);
    assert_eq!(mode(&store.directory().join("staging/abc123")), 0o600);
    let mut resumed = store.blobs.stage_named("abc123").unwrap();
    assert_eq!(resumed.length().unwrap(), 8);
    resumed.write(b"it", 8).unwrap();
    let digest = Digest::of(b"half of it");
    resumed.commit(&digest).unwrap();
    assert_eq!(read(&store, &digest).unwrap(), b"half of it");
    assert_eq!(staged_names(&store), [""; 0]);

    let named = store.blobs.stage_named("abc123").unwrap();
    assert_eq!(named.length().unwrap(), 0, "the committed file is not it");
    named.discard();
    assert_eq!(staged_names(&store), [""; 0]);
}

#[test]
fn two_writers_never_share_a_staged_file() {
    let (_directory, store) = fresh();
    let mut first = store.blobs.stage_named("aa").unwrap();
    write(&mut first, b"first");
    let second = store.blobs.stage_named("aa").unwrap();
    assert_eq!(second.length().unwrap(), 0);
    drop(second);
    drop(first);
    assert_eq!(staged_names(&store), ["aa"]);
    let third = store.blobs.stage_named("aa").unwrap();
    assert_eq!(third.length().unwrap(), 5, "free again after the first");
}

#[test]
fn only_hex_digits_name_a_staged_file() {
    let (_directory, store) = fresh();
    let long = "a".repeat(129);
    for name in ["", "..", "a/b", "../a", "AB", "g", "a\0", "a.b", &long] {
        let error = store.blobs.stage_named(name).map(drop).unwrap_err();
        assert_eq!(error.kind(), Kind::Internal, "{name:?}");
    }
    assert_eq!(staged_names(&store), [""; 0]);
}

#[test]
fn a_blob_that_is_there_stays_unless_its_length_is_wrong() {
    let (_directory, store) = fresh();
    let digest = Digest::of(b"layer");
    let path = blob_path(store.directory(), &digest);
    let commit = || {
        let mut staged = store.blobs.stage().unwrap();
        write(&mut staged, b"layer");
        staged.commit(&digest).unwrap();
        fs::metadata(&path).unwrap().ino()
    };
    let first = commit();
    assert_eq!(commit(), first, "the staged file was dropped");
    let mut unlinked = store.blobs.stage_unlinked().unwrap();
    write(&mut unlinked, b"layer");
    unlinked.commit(&digest).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().ino(), first);
    assert_eq!(staged_names(&store), [""; 0]);

    fs::write(&path, b"lay").unwrap();
    commit();
    assert_eq!(read(&store, &digest).unwrap(), b"layer", "mended");
}

#[test]
fn manifests_are_put_whole_and_checked() {
    let (_directory, store) = fresh();
    let digest = Digest::of(b"manifest");
    let error = store.blobs.put(&digest, b"something else").unwrap_err();
    assert_eq!(error.kind(), Kind::DigestInvalid);
    assert!(!store.blobs.contains(&digest).unwrap());
    store.blobs.put(&digest, b"manifest").unwrap();
    store.blobs.put(&digest, b"manifest").unwrap();
    assert_eq!(read(&store, &digest).unwrap(), b"manifest");
    fs::write(blob_path(store.directory(), &digest), b"MANIFEST").unwrap();
    store.blobs.put(&digest, b"manifest").unwrap();
    assert_eq!(read(&store, &digest).unwrap(), b"manifest", "mended");
    assert_eq!(staged_names(&store), [""; 0]);

    store.blobs.remove(&digest).unwrap();
    store.blobs.remove(&digest).unwrap();
    assert!(!store.blobs.contains(&digest).unwrap());
}

#[test]
fn a_directory_that_somebody_removed_is_made_again() {
    let (_directory, store) = fresh();
    let digest = Digest::of(b"layer");
    store.blobs.put(&digest, b"layer").unwrap();
    let path = blob_path(store.directory(), &digest);
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
    assert!(!store.blobs.contains(&digest).unwrap());
    store.blobs.put(&digest, b"layer").unwrap();
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(read(&store, &digest).unwrap(), b"layer");
}

#[test]
fn what_is_no_file_is_not_served() {
    let (_directory, store) = fresh();
    let digest = Digest::of(b"layer");
    let path = blob_path(store.directory(), &digest);
    fs::create_dir_all(&path).unwrap();
    let error = store.blobs.open(&digest).unwrap_err();
    assert!(error.to_string().contains(digest.hex()), "{error}");
    assert!(!store.blobs.contains(&digest).unwrap());
}

#[test]
fn space_is_that_of_the_filesystem() {
    let (_directory, store) = fresh();
    let (free, size) = store.blobs.space().unwrap();
    assert!(0 < free && free <= size, "{free} of {size}");
}

/// Writes until nothing more fits.
fn fill(path: &Path) {
    let file = fs::File::create(path).unwrap();
    for size in [65536, 4096, 1] {
        let mut at = file.metadata().unwrap().len();
        while file.write_all_at(&vec![1; size], at).is_ok() {
            at += size as u64;
        }
    }
}

#[test]
fn a_full_disk_is_named_and_damages_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(directory.path().join("disk"), "1m") else {
        return;
    };
    let store = Store::create(&disk.path().join("data")).unwrap();
    let here = repository(&store, "here");
    let digest = super::keep(&store, here, b"kept before", at(1));
    let ballast = disk.path().join("ballast");
    fill(&ballast);

    let big = vec![7; 600_000];
    let error = store.blobs.put(&Digest::of(&big), &big).unwrap_err();
    assert_eq!(error.kind(), Kind::Full, "{error}");
    assert!(error.to_string().contains("blobs/sha256"), "{error}");
    assert!(!store.blobs.contains(&Digest::of(&big)).unwrap());
    assert_eq!(staged_names(&store), [""; 0], "the leftover is gone");

    // Rows: enough of them that the log of the database must grow.
    let error = (0..100_000_u32)
        .find_map(|number| {
            let digest = Digest::of(&number.to_be_bytes());
            store.cache.keep_blob(here, &digest, 4, at(2)).err()
        })
        .expect("the disk is full");
    assert_eq!(error.kind(), Kind::Full, "{error}");
    assert!(error.remedy_text().is_some());

    // Reading goes on, and writing once there is room.
    assert_eq!(read(&store, &digest).unwrap(), b"kept before");
    assert!(store.cache.blob(here, &digest).unwrap().is_some());
    fs::remove_file(&ballast).unwrap();
    let small = super::keep(&store, here, b"kept after", at(3));
    assert!(store.cache.blob(here, &small).unwrap().is_some());
}
