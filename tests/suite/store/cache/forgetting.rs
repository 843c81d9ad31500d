//! What goes with a blob that is forgotten, and what does not.

use super::*;

#[test]
fn forgetting_a_blob_forgets_what_needs_it_and_no_more() {
    let (_directory, store) = fresh();
    let cache = &store.cache;
    let (a, b) = (repository(&store, "a"), repository(&store, "b"));
    let (digest, _) = keep_image(&store, a, &[b"layer"], Some("1"), at(1));
    keep_image(&store, b, &[b"layer"], Some("1"), at(1));
    let layer = Digest::of(b"layer");

    cache.forget_blob(&layer).unwrap();
    for repository in [a, b] {
        assert_eq!(cache.blob(repository, &layer).unwrap(), None);
        assert!(cache.manifest(repository, &digest).unwrap().is_some());
    }
    cache.forget_blob(&digest).unwrap();
    cache.forget_blob(&digest).unwrap();
    for repository in [a, b] {
        assert_eq!(cache.manifest(repository, &digest).unwrap(), None);
        assert_eq!(cache.tag(repository, &tag("1")).unwrap(), None);
        assert!(
            cache
                .blob(repository, &Digest::of(b"{}"))
                .unwrap()
                .is_some()
        );
    }
    assert!(
        store.blobs.contains(&digest).unwrap(),
        "files are not the database's"
    );

    store.remove_blob(&digest).unwrap();
    store.remove_blob(&Digest::of(b"{}")).unwrap();
    store.remove_blob(&Digest::of(b"{}")).unwrap();
    for gone in [digest, Digest::of(b"{}")] {
        assert!(!store.blobs.contains(&gone).unwrap());
        assert_eq!(cache.blob_anywhere(&gone).unwrap(), None);
    }
}

#[test]
fn a_stale_look_at_damage_takes_no_repaired_blob_away() {
    let (_directory, store) = fresh();
    let here = repository(&store, "here");
    let digest = keep(&store, here, b"whole", at(1));
    let path = store
        .directory()
        .join("blobs/sha256")
        .join(&digest.hex()[..2]);
    let path = path.join(digest.hex());
    std::fs::write(&path, b"cut").unwrap();
    let damaged = store.blobs.open(&digest).unwrap().unwrap();
    // Meanwhile somebody else finds it out too, and a fill repairs it.
    assert!(store.remove_damaged(&digest, Some(&damaged)).unwrap());
    assert!(!path.exists());
    assert_eq!(keep(&store, here, b"whole", at(2)), digest);
    assert!(!store.remove_damaged(&digest, Some(&damaged)).unwrap());
    assert!(!store.remove_damaged(&digest, None).unwrap());
    assert!(store.cache.blob(here, &digest).unwrap().is_some());
    assert_eq!(std::fs::read(&path).unwrap(), b"whole");
    // A row whose file is gone goes, once nothing lies there.
    std::fs::remove_file(&path).unwrap();
    assert!(store.remove_damaged(&digest, None).unwrap());
    assert_eq!(store.cache.blob(here, &digest).unwrap(), None);
}
