//! Lists as the upstream gave them, and lists of what is kept.

use breakwater::store::{ImageFilter, KeptListing, ListingKind, Window};

use super::*;
use crate::store::keep_index;

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
fn clients_do_not_make_listings_grow() {
    let (_directory, store) = fresh();
    let (here, there) = (repository(&store, "here"), repository(&store, "there"));
    let keep = |repository, kind, key: &str, second| {
        let listing = KeptListing {
            body: b"{}".to_vec(),
            content_type: "application/json".to_owned(),
            next: None,
            filters_applied: None,
            fetched_at: at(second),
        };
        store
            .cache
            .keep_listing(repository, kind, key, &listing)
            .unwrap();
    };
    keep(there, ListingKind::Tags, "n=0", 1);
    for (kind, most) in [(ListingKind::Tags, 8), (ListingKind::Referrers, 32)] {
        // All in the same second; the clock may go back as well.
        for n in 0..100 {
            keep(here, kind, &format!("n={n}"), if n < 50 { 20 } else { 10 });
            let key = format!("n={n}");
            assert!(store.cache.listing(here, kind, &key).unwrap().is_some());
        }
        let is_kept = |n: &usize| {
            let key = format!("n={n}");
            store.cache.listing(here, kind, &key).unwrap().is_some()
        };
        assert_eq!((0..100).filter(is_kept).count(), most);
    }
    let other = store
        .cache
        .listing(there, ListingKind::Tags, "n=0")
        .unwrap();
    assert!(other.is_some(), "another repository's are its own");
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

    let images = cache
        .images(&ImageFilter::default(), Window::ALL)
        .unwrap()
        .entries;
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
    assert!(
        images
            .iter()
            .all(|image| image.upstream.as_deref() == Some("docker.io"))
    );
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
        let filter = ImageFilter {
            pattern: Some(pattern.to_owned()),
            ..ImageFilter::default()
        };
        let found = cache.images(&filter, Window::ALL).unwrap().entries.len();
        assert_eq!(found, expected, "{pattern}");
    }

    let totals = cache.totals().unwrap();
    // {}, shared, amd64!, arm, three manifests and an index.
    assert_eq!((totals.blobs, totals.manifests), (8, 4));
    assert_eq!((totals.tags, totals.repositories), (1, 2));
    assert_eq!(totals.bytes, whole + single_size);
}
