//! Lists of all images by something else than their names, which indexes have in order.

use breakwater::store::{CachedImage, ImageFilter, ImageOrder, Store, Window};

use super::*;
use crate::store::strangers_connection;

/// More than are counted.
const TAGS: i64 = 10_100;

/// Many tags of images of one layer each, pulled and fetched at different times, some of them never; and among them an
/// index with its platform, and images that were pulled by digest.
fn many(store: &Store, path: &std::path::Path) {
    let here = repository(store, "here");
    for image in 0..40_u64 {
        let name = format!("v{image}");
        let tag = (image % 3 > 0).then_some(name.as_str());
        let layer = name.repeat((image * 7 % 10) as usize + 1);
        let now = at(100 + image as i64 * 31 % 25);
        keep_image(store, here, &[layer.as_bytes()], tag, now);
    }
    strangers_connection(path)
        .execute_batch(&format!(
            "BEGIN;
             WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {TAGS})
             INSERT INTO tags (repository_id, name, manifest_id, confirmed_at, last_pulled_at)
             SELECT repository_id, 't' || n, id, 1, iif(n % 10 < 9 OR n > 500, 1000 + n * 37 % 500, NULL)
             FROM number CROSS JOIN manifests ON manifests.id = 1 + n % 15 * 2;
             INSERT INTO pulls (manifest_id, group_id, tag, first_at, last_at, count, weight)
             SELECT id, 1, '', 1, 1000 + id * 13 % 490, 1, 1.0 FROM manifests WHERE id % 7 > 0;
             INSERT INTO pulls (manifest_id, group_id, tag, first_at, last_at, count, weight)
             SELECT id, 2, '', 1, 1490 - id * 11 % 400, 1, 1.0 FROM manifests WHERE id % 5 > 0;
             -- The first without a name is a part of the second.
             INSERT INTO manifest_references (manifest_id, hash)
             SELECT (SELECT id FROM manifests WHERE id NOT IN (SELECT manifest_id FROM tags) ORDER BY id LIMIT 1 OFFSET 1),
                 unhex(substr(digest, 8))
             FROM blobs WHERE id = (
                 SELECT blob_id FROM manifests WHERE id NOT IN (SELECT manifest_id FROM tags) ORDER BY id LIMIT 1);
             COMMIT"
        ))
        .unwrap();
}

#[test]
fn a_page_of_all_images_is_that_of_a_search_which_all_match() {
    let (directory, store) = fresh();
    many(&store, &directory.path().join("data/cache.sqlite"));
    let sizes = store.cache.image_sizes().unwrap();
    let newer = repository(&store, "newer");
    keep_image(&store, newer, &[&[b'y'; 500]], Some("1"), at(150));
    let list = |order, pattern: Option<&str>, offset| {
        let filter = ImageFilter {
            order,
            pattern: pattern.map(str::to_owned),
            sizes: Some(sizes.clone()),
            ..ImageFilter::default()
        };
        let window = Window { offset, count: 40 };
        store.cache.images(&filter, window).unwrap()
    };
    let mut without_tag = 0;
    for offset in [0, 7, 9_990, 10_080, 20_000] {
        for order in [None, Some(ImageOrder::Pulled), Some(ImageOrder::Filled)] {
            let (all, found) = (list(order, None, offset), list(order, Some("*"), offset));
            let names = |page: &[CachedImage]| -> Vec<_> {
                page.iter()
                    .map(|image| (image.name(), image.last_pulled_at, image.fetched_at))
                    .collect()
            };
            assert_eq!(
                names(&all.entries),
                names(&found.entries),
                "{order:?} {offset}"
            );
            assert_eq!(
                (all.more, all.total),
                (found.more, found.total),
                "{order:?} {offset}"
            );
            without_tag += all
                .entries
                .iter()
                .filter(|image| image.tag.is_none())
                .count();
        }
        // Images of the same size come in the order of their rows or of their names.
        let sizes = |pattern| -> Vec<u64> {
            let page = list(Some(ImageOrder::Size), pattern, offset);
            page.entries.iter().map(|image| image.size).collect()
        };
        assert_eq!(sizes(None), sizes(Some("*")), "{offset}");
    }
    assert!(without_tag > 5, "{without_tag}");
    let largest = list(Some(ImageOrder::Size), None, 0);
    assert_eq!(largest.entries[0].repository, "newer");
}
