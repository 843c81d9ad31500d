//! `cache.sqlite`: origins, blobs and links, manifests, tags, listings, notes, reports.

use breakwater::error::Kind;
use breakwater::oci::{Digest, MediaType, RegistryHost, RepositoryName};
use breakwater::store::{
    CachedTag, GroupId, KeptListing, ListingKind, NewManifest, Pull, RepositoryId, Store, TokenId,
};

use super::{at, fresh, keep, keep_image, keep_index, repository, tag};

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
    assert_eq!(manifest.fetched_at, at(10));
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
    assert_eq!(manifest.fetched_at, at(20), "fetched anew");
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
fn listings_are_replaced_under_their_key() {
    let (_directory, store) = fresh();
    let cache = &store.cache;
    let here = repository(&store, "here");
    let listing = |body: &[u8]| KeptListing {
        body: body.to_vec(),
        content_type: "application/json".into(),
        next: Some("/v2/x/tags/list?last=b".into()),
        filters_applied: None,
        fetched_at: at(7),
    };
    cache
        .keep_listing(here, ListingKind::Tags, "", &listing(b"one\xff"))
        .unwrap();
    cache
        .keep_listing(here, ListingKind::Referrers, "", &listing(b"two"))
        .unwrap();
    cache
        .keep_listing(here, ListingKind::Tags, "last=b", &listing(b"three"))
        .unwrap();
    for (kind, key, expected) in [
        (ListingKind::Tags, "", Some(listing(b"one\xff"))),
        (ListingKind::Referrers, "", Some(listing(b"two"))),
        (ListingKind::Tags, "last=b", Some(listing(b"three"))),
        (ListingKind::Referrers, "last=b", None),
    ] {
        assert_eq!(cache.listing(here, kind, key).unwrap(), expected);
    }
    let newer = KeptListing {
        next: None,
        filters_applied: Some("artifactType".into()),
        fetched_at: at(8),
        ..listing(b"newer")
    };
    cache
        .keep_listing(here, ListingKind::Tags, "", &newer)
        .unwrap();
    assert_eq!(
        cache.listing(here, ListingKind::Tags, "").unwrap(),
        Some(newer)
    );
}

#[test]
fn tags_come_in_pages() {
    let (_directory, store) = fresh();
    let here = repository(&store, "here");
    for name in ["b", "a", "C", "10", "9"] {
        keep_image(&store, here, &[b"layer"], Some(name), at(1));
    }
    keep_image(
        &store,
        repository(&store, "there"),
        &[b"x"],
        Some("z"),
        at(1),
    );
    let cases: &[(Option<&str>, usize, &[&str])] = &[
        (None, 100, &["10", "9", "C", "a", "b"]),
        (None, 2, &["10", "9"]),
        (Some("9"), 2, &["C", "a"]),
        (Some("Z"), 100, &["a", "b"]),
        (Some("b"), 100, &[]),
        (None, 0, &[]),
    ];
    for (last, n, expected) in cases {
        assert_eq!(
            store.cache.tags(here, *last, *n).unwrap(),
            *expected,
            "{last:?} {n}"
        );
    }
}

#[test]
fn pulls_and_uses_are_written_in_batches() {
    let (directory, store) = fresh();
    let cache = &store.cache;
    let here = repository(&store, "here");
    let (digest, _) = keep_image(&store, here, &[b"layer"], Some("1"), at(1));
    let pull = |manifest: &Digest| Pull {
        group: GroupId(3),
        repository: here,
        manifest: manifest.clone(),
        tag: Some(tag("1")),
    };
    let pulled = || cache.images(None).unwrap()[0].last_pulled_at;
    cache.note_pull(pull(&digest), at(100));
    cache.note_pull(pull(&digest), at(110));
    cache.note_pull(pull(&Digest::of(b"never kept")), at(110));
    assert_eq!(pulled(), None, "in memory yet");
    cache.write_notes().unwrap();
    assert_eq!(pulled(), Some(at(110)));
    cache.note_pull(pull(&digest), at(105));
    cache.write_notes().unwrap();
    cache.write_notes().unwrap();
    assert_eq!(pulled(), Some(at(110)));
    let rows = super::strangers_connection(&directory.path().join("data/cache.sqlite"))
        .query_row(
            "SELECT first_at, last_at, count, count(*) OVER () FROM pulls",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )
        .unwrap();
    assert_eq!(rows, (100_i64, 110_i64, 3_i64, 1_i64));

    let token = TokenId(7);
    assert_eq!(cache.token_last_used(token).unwrap(), None);
    cache.note_token_used(token, "10.0.0.1".parse().unwrap(), at(100));
    cache.note_token_used(token, "10.0.0.2".parse().unwrap(), at(120));
    cache.note_token_used(token, "10.0.0.3".parse().unwrap(), at(110));
    let expected = Some((at(120), "10.0.0.2".to_owned()));
    assert_eq!(
        cache.token_last_used(token).unwrap(),
        expected,
        "before it is written"
    );
    cache.write_notes().unwrap();
    assert_eq!(cache.token_last_used(token).unwrap(), expected);
}

#[test]
fn notes_that_cannot_be_written_are_kept() {
    let (directory, store) = fresh();
    let token = TokenId(1);
    store
        .cache
        .note_token_used(token, "10.0.0.1".parse().unwrap(), at(100));
    let stranger = super::strangers_connection(&directory.path().join("data/cache.sqlite"));
    stranger
        .execute_batch("ALTER TABLE token_uses RENAME TO away")
        .unwrap();
    let error = store.cache.write_notes().unwrap_err();
    assert_eq!(error.kind(), Kind::Sql);
    assert!(error.to_string().contains("write a token's use"), "{error}");
    stranger
        .execute_batch("ALTER TABLE away RENAME TO token_uses")
        .unwrap();
    store.cache.write_notes().unwrap();
    let count: i64 = stranger
        .query_row("SELECT count(*) FROM token_uses", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 1);
}

#[test]
fn images_are_tags_and_manifests_that_nothing_names() {
    let (_directory, store) = fresh();
    let cache = &store.cache;
    let here = repository(&store, "library/alpine");
    let (amd64, amd64_size) = keep_image(&store, here, &[b"shared", b"amd64!"], None, at(10));
    let (arm64, arm64_size) = keep_image(&store, here, &[b"shared", b"arm"], None, at(11));
    let absent = (Digest::of(b"s390x manifest"), 500);
    let children = [(amd64.clone(), amd64_size), (arm64, arm64_size), absent];
    let (index, index_size) = keep_index(&store, here, &children, "3.20", at(12));
    let there = repository(&store, "org/tool");
    let (single, single_size) = keep_image(&store, there, &[b"shared"], None, at(13));
    cache.mark_gone(here, &tag("3.20"), at(99)).unwrap();

    let images = cache.images(None).unwrap();
    let seen: Vec<_> = images
        .iter()
        .map(|image| {
            (
                image.repository.as_str(),
                image.tag.as_deref(),
                image.digest.as_str(),
                image.size,
                image.fetched_at,
                image.gone_at,
            )
        })
        .collect();
    // Config "{}" and "shared" are counted once in an image, and again in the next one.
    let whole = index_size + amd64_size + arm64_size + 2 + 6 + 6 + 3;
    assert_eq!(
        seen,
        [
            (
                "library/alpine",
                Some("3.20"),
                index.as_str(),
                whole,
                at(12),
                Some(at(99))
            ),
            (
                "org/tool",
                None,
                single.as_str(),
                single_size + 2 + 6,
                at(13),
                None
            ),
        ]
    );
    assert!(images.iter().all(|image| image.upstream == "docker.io"));
    assert_eq!(images[0].media_type, MediaType::OciIndex.as_str());

    for (pattern, expected) in [
        ("alpine", 1),
        ("docker.io", 2),
        ("docker.io/*3.20", 1),
        ("tool@sha256", 1),
        (amd64.as_str(), 0),
        ("*", 2),
        ("nothing", 0),
    ] {
        let found = cache.images(Some(pattern)).unwrap().len();
        assert_eq!(found, expected, "{pattern}");
    }

    let totals = cache.totals().unwrap();
    // {}, shared, amd64!, arm, three manifests and an index.
    assert_eq!((totals.blobs, totals.manifests), (8, 4));
    assert_eq!((totals.tags, totals.repositories), (1, 2));
    assert_eq!(totals.bytes, whole + single_size);
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
