//! `cache.sqlite`: origins, blobs and links, manifests, tags.

mod forgetting;
mod listings;
mod lists;
mod notes;
mod purging;

use breakwater::error::Kind;
use breakwater::oci::{Digest, MediaType, RegistryHost, RepositoryName};
use breakwater::store::{CachedTag, NewManifest, RepositoryId, Store};

use super::{at, fresh, keep, keep_image, repository, tag};

#[test]
fn origins_and_repositories_keep_their_ids() {
    let (directory, store) = fresh();
    let cache = &store.cache;
    let hub = RegistryHost::parse("docker.io").unwrap();
    let quay = RegistryHost::parse("quay.io").unwrap();
    let name = RepositoryName::parse("library/alpine").unwrap();
    let origin = cache.origin(&hub, "anonymous").unwrap();
    assert_eq!(cache.origin(&hub, "anonymous").unwrap(), origin);
    let others = [
        cache.origin(&hub, "user").unwrap(),
        cache.origin(&quay, "anonymous").unwrap(),
    ];
    assert!(!others.contains(&origin));

    assert_eq!(cache.find_repository(origin, &name).unwrap(), None);
    let repository = cache.repository(origin, &name).unwrap();
    assert_eq!(cache.repository(origin, &name).unwrap(), repository);
    assert_eq!(
        cache.find_repository(origin, &name).unwrap(),
        Some(repository)
    );
    assert_eq!(cache.find_repository(others[0], &name).unwrap(), None);

    drop(store);
    let store = Store::open(&directory.path().join("data")).unwrap();
    assert_eq!(store.cache.origin(&hub, "anonymous").unwrap(), origin);
    assert_eq!(
        store.cache.find_repository(origin, &name).unwrap(),
        Some(repository)
    );
}

#[test]
fn a_blob_is_seen_only_where_it_is_linked() {
    let (_directory, store) = fresh();
    let (ours, theirs) = (repository(&store, "ours"), repository(&store, "theirs"));
    let digest = keep(&store, ours, b"secret layer", at(5));
    assert_eq!(store.cache.blob(ours, &digest).unwrap(), Some((12, at(5))));
    assert_eq!(store.cache.blob(theirs, &digest).unwrap(), None);
    assert_eq!(store.cache.blob_anywhere(&digest).unwrap(), Some(12));
    assert_eq!(store.cache.blob_anywhere(&Digest::of(b"x")).unwrap(), None);

    // Again: nothing changes, not even the time.
    store.cache.keep_blob(ours, &digest, 12, at(9)).unwrap();
    assert_eq!(store.cache.blob(ours, &digest).unwrap(), Some((12, at(5))));
    // The bytes were hashed, so the row was wrong.
    store.cache.keep_blob(theirs, &digest, 13, at(9)).unwrap();
    assert_eq!(store.cache.blob(ours, &digest).unwrap(), Some((13, at(5))));
    assert_eq!(
        store.cache.blob(theirs, &digest).unwrap(),
        Some((13, at(9)))
    );

    let error = store
        .cache
        .keep_blob(RepositoryId(99), &digest, 13, at(9))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
}

#[test]
fn a_manifest_is_kept_with_its_tag() {
    let (_directory, store) = fresh();
    let (here, there) = (repository(&store, "here"), repository(&store, "there"));
    let (digest, size) = keep_image(&store, here, &[b"l1", b"l1", b"l2"], Some("1"), at(10));
    let manifest = store.cache.manifest(here, &digest).unwrap().unwrap();
    assert_eq!((manifest.digest, manifest.size), (digest.clone(), size));
    assert_eq!(manifest.media_type, MediaType::OciManifest);
    assert_eq!(manifest.arrived_at, at(10));
    assert_eq!(store.cache.manifest(there, &digest).unwrap(), None);
    let expected = CachedTag {
        digest: digest.clone(),
        confirmed_at: at(10),
        gone_at: None,
    };
    assert_eq!(store.cache.tag(here, &tag("1")).unwrap(), Some(expected));
    assert_eq!(store.cache.tag(there, &tag("1")).unwrap(), None);
    assert_eq!(store.cache.tag(here, &tag("2")).unwrap(), None);

    keep_image(&store, here, &[b"l1", b"l1", b"l2"], Some("2"), at(20));
    let manifest = store.cache.manifest(here, &digest).unwrap().unwrap();
    assert_eq!(manifest.arrived_at, at(20), "fetched anew");
    assert_eq!(store.cache.totals().unwrap().manifests, 1);
    assert_eq!(store.cache.totals().unwrap().tags, 2);
}

#[test]
fn a_tag_is_confirmed_and_marked_gone_and_late_words_do_not_move_it() {
    let (_directory, store) = fresh();
    let cache = &store.cache;
    let here = repository(&store, "here");
    let latest = tag("latest");
    let (old, _) = keep_image(&store, here, &[b"old"], Some("latest"), at(10));
    let (new, _) = keep_image(&store, here, &[b"new"], None, at(20));
    let seen = || {
        let tag = cache.tag(here, &latest).unwrap().unwrap();
        (tag.digest, tag.confirmed_at, tag.gone_at)
    };

    cache.confirm_tag(here, &latest, &old, at(15)).unwrap();
    assert_eq!(seen(), (old.clone(), at(15), None));
    cache.confirm_tag(here, &latest, &old, at(900)).unwrap();
    cache.confirm_tag(here, &latest, &old, at(15)).unwrap();
    assert_eq!(seen(), (old.clone(), at(15), None), "the clock was ahead");

    cache.mark_gone(here, &latest, at(30)).unwrap();
    cache.mark_gone(here, &latest, at(40)).unwrap();
    assert_eq!(
        seen(),
        (old.clone(), at(15), Some(at(30))),
        "the first time counts"
    );
    // In the same second as the last confirmation: it must be written all the same.
    cache.confirm_tag(here, &latest, &old, at(15)).unwrap();
    assert_eq!(seen(), (old.clone(), at(15), None));

    // Late words: the tag points elsewhere by now, or is not kept.
    cache.confirm_tag(here, &latest, &new, at(50)).unwrap();
    assert_eq!(seen(), (old.clone(), at(15), None));
    let other = tag("other");
    cache.confirm_tag(here, &other, &new, at(50)).unwrap();
    assert_eq!(cache.tag(here, &other).unwrap(), None);
    let unknown = Digest::of(b"never kept");
    cache.confirm_tag(here, &latest, &unknown, at(60)).unwrap();
    assert_eq!(seen(), (old, at(15), None));
    cache.mark_gone(here, &tag("never"), at(60)).unwrap();
    assert_eq!(cache.tag(here, &tag("never")).unwrap(), None);
}

#[test]
fn referrers_and_wrong_repositories_are_kept_apart() {
    let (_directory, store) = fresh();
    let here = repository(&store, "here");
    let (subject, _) = keep_image(&store, here, &[b"layer"], Some("1"), at(1));
    let bytes = b"signature manifest";
    let digest = Digest::of(bytes);
    store.blobs.put(&digest, bytes).unwrap();
    let signature = NewManifest {
        digest: digest.clone(),
        media_type: MediaType::OciManifest,
        size: bytes.len() as u64,
        references: vec![],
        subject: Some(subject),
        tag: None,
        now: at(2),
    };
    store.cache.keep_manifest(here, &signature).unwrap();
    assert!(store.cache.manifest(here, &digest).unwrap().is_some());
    let error = store
        .cache
        .keep_manifest(RepositoryId(99), &signature)
        .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

/// A manifest that refers to `references`, with rows alone.
fn keep_rows(store: &Store, here: RepositoryId, name: &str, references: Vec<Digest>) -> Digest {
    let kept = NewManifest {
        digest: Digest::of(name.as_bytes()),
        media_type: MediaType::OciManifest,
        size: 1,
        references,
        subject: None,
        tag: None,
        now: at(1),
    };
    store.cache.keep_manifest(here, &kept).unwrap();
    kept.digest
}

fn nowhere(name: &str, count: usize) -> Vec<Digest> {
    (0..count)
        .map(|n| Digest::of(format!("{name} {n}").as_bytes()))
        .collect()
}

/// Pulls ask this, and any tenant chooses of which manifest.
#[test]
fn of_an_image_few_rows_are_looked_at_to_tell_whether_any_of_it_is_here() {
    let (_directory, store) = fresh();
    let here = repository(&store, "here");
    let is_bare = |digest: &Digest| store.cache.is_bare(here, digest).unwrap();
    let bare = keep_rows(&store, here, "bare", nowhere("bare", 200));
    assert!(is_bare(&bare));
    assert!(!is_bare(&keep_rows(&store, here, "empty", vec![])));
    let much = keep_rows(&store, here, "much", nowhere("much", 201));
    assert!(!is_bare(&much), "it is not looked at");
    assert!(!is_bare(&Digest::of(b"not kept")));
    let index = |name: &str, platforms: usize| {
        let platform = |n: usize| {
            let name = format!("{name} {n}");
            keep_rows(&store, here, &name, nowhere(&name, 5))
        };
        let platforms: Vec<_> = (0..platforms).map(platform).collect();
        keep_rows(&store, here, name, platforms)
    };
    let some = index("some", 20);
    assert!(is_bare(&some));
    assert!(!is_bare(&index("many", 21)), "they are not looked at");
    assert!(is_bare(&keep_rows(
        &store,
        here,
        "index of none",
        nowhere("platforms", 3)
    )));
    // One layer of one platform is enough.
    let layer = Digest::of(b"some 19 4");
    store.cache.keep_blob(here, &layer, 1, at(1)).unwrap();
    assert!(!is_bare(&some));
    // Elsewhere it does not count.
    let there = repository(&store, "there");
    store
        .cache
        .keep_blob(there, &Digest::of(b"bare 0"), 1, at(1))
        .unwrap();
    assert!(is_bare(&bare));
}

#[test]
fn images_in_part_are_listed_in_pages_and_by_all_their_names() {
    let (_directory, store) = fresh();
    let here = repository(&store, "here");
    for n in 0..501 {
        keep_rows(&store, here, &format!("image {n}"), nowhere("layers", 2));
    }
    keep_image(&store, here, &[b"layer"], Some("whole"), at(1));
    let (mut found, mut after, mut pages) = (Vec::new(), Some(0), 0);
    while let Some(row) = after {
        let named;
        (named, after) = store.cache.incomplete_images(row).unwrap();
        found.extend(named);
        pages += 1;
    }
    assert_eq!((found.len(), pages), (501, 3));
    let name = format!("docker.io/here@{}", Digest::of(b"image 0"));
    assert_eq!(found[0], (name, 2));
}
