//! Purges: what one group alone has pulled goes, in steps between which others write, and whatever a crash leaves of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use breakwater::store::{GroupId, ImageFilter, Pins, Pull, Window};
use breakwater::upkeep;
use breakwater::upkeep::purge::{Purge, select};

use super::super::{keep_index, strangers_connection};
use super::*;

const CHILDREN: u64 = 20_000;
const OURS: GroupId = GroupId(1);
const THEIRS: GroupId = GroupId(2);

fn pulled(store: &Store, group: GroupId, repository: RepositoryId, manifest: &Digest) {
    let pull = Pull {
        group,
        repository,
        manifest: manifest.clone(),
        tag: None,
    };
    store.cache.note_pull(pull, at(2));
    store.cache.write_notes().unwrap();
}

/// An index of one image that is here and many that are not, pulled by `OURS`, and an image that both have pulled.
fn heavy(store: &Store, repository: RepositoryId) -> (Digest, Digest) {
    let child = keep_image(store, repository, &[b"of the index"], None, at(1));
    let mut children: Vec<_> = (1..CHILDREN)
        .map(|number| (Digest::parse(&format!("sha256:{number:064x}")).unwrap(), 1))
        .collect();
    children.push(child);
    let (index, _) = keep_index(store, repository, &children, "heavy", at(1));
    let (shared, _) = keep_image(store, repository, &[b"shared"], Some("shared"), at(1));
    pulled(store, OURS, repository, &index);
    pulled(store, OURS, repository, &shared);
    pulled(store, THEIRS, repository, &shared);
    (index, shared)
}

/// Purges what only the group has pulled; how many manifests went.
fn purge(store: &Store, group: GroupId) -> usize {
    let inventory = store.content.inventory().unwrap();
    let wanted = Purge::PulledBy(group, &|_| true);
    let selection = select(&inventory, &wanted, &Pins::default());
    upkeep::purge::purge(store, &inventory, &wanted, &selection).unwrap();
    selection.images.len() + selection.parts.len()
}

fn children(data: &std::path::Path) -> i64 {
    let connection = strangers_connection(&data.join("cache.sqlite"));
    let text = "SELECT count(*) FROM manifest_references";
    connection.query_row(text, [], |row| row.get(0)).unwrap()
}

#[test]
fn others_write_while_a_heavy_index_is_purged_and_keep_what_is_theirs() {
    let (_directory, store) = fresh();
    let (ours, other) = (repository(&store, "ours"), repository(&store, "other"));
    let (index, shared) = heavy(&store, ours);
    let goes_on = AtomicBool::new(true);
    let (purged, writes) = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let (mut longest, mut writes) = (Duration::ZERO, 0);
            while goes_on.load(Ordering::Acquire) {
                let begun = Instant::now();
                keep(&store, other, format!("{writes}").as_bytes(), at(3));
                longest = longest.max(begun.elapsed());
                writes += 1;
            }
            println!("others wrote {writes} times, waiting for at most {longest:?}");
            writes
        });
        let purged = purge(&store, OURS);
        goes_on.store(false, Ordering::Release);
        (purged, writing.join().unwrap())
    });
    assert!(writes > 20, "{writes}");
    assert_eq!(purged, 2, "the index and its image");
    let is_here = |digest: &Digest| store.blobs.contains(digest).unwrap();
    assert!(!is_here(&index) && !is_here(&Digest::of(b"of the index")));
    let is_linked = |bytes: &[u8]| {
        let found = store.cache.blob(ours, &Digest::of(bytes)).unwrap();
        found.is_some()
    };
    assert!(!is_linked(b"of the index") && is_linked(b"shared"));
    assert_eq!(store.cache.tag(ours, &tag("heavy")).unwrap(), None);
    assert_eq!(store.cache.manifest(ours, &index).unwrap(), None);
    assert!(store.cache.manifest(ours, &shared).unwrap().is_some());
    assert_eq!(children(store.directory()), 2, "those of the shared image");
    assert_eq!(purge(&store, OURS), 0);
    let theirs = purge(&store, THEIRS);
    assert_eq!(theirs, 1, "the first group's pulls are forgotten");
}

#[test]
fn what_a_crash_leaves_of_a_purge_is_removed_afterwards() {
    let (_directory, store) = fresh();
    let ours = repository(&store, "ours");
    let (index, shared) = heavy(&store, ours);
    // As after the first steps.
    let connection = strangers_connection(&store.directory().join("cache.sqlite"));
    let crashed = format!(
        "INSERT INTO repositories (origin_id, name, removed_from)
             SELECT origin_id, '/' || id, id FROM repositories WHERE id = {0};
         DELETE FROM tags WHERE name = 'heavy';
         UPDATE manifests SET repository_id = (SELECT id FROM repositories WHERE removed_from = {0})
             WHERE blob_id = (SELECT id FROM blobs WHERE digest = '{index}');",
        ours.0
    );
    connection.execute_batch(&crashed).unwrap();
    drop(connection);
    let images = store
        .cache
        .images(&ImageFilter::default(), Window::ALL)
        .unwrap()
        .entries;
    let digests: Vec<_> = images.iter().map(|image| image.digest.as_str()).collect();
    assert!(!digests.contains(&index.as_str()), "{digests:?}");
    assert_eq!(store.content.inventory().unwrap().repositories.len(), 1);
    store.finish_removals().unwrap();
    assert!(!store.blobs.contains(&index).unwrap());
    assert!(store.cache.manifest(ours, &shared).unwrap().is_some());
    assert_eq!(store.cache.totals().unwrap().repositories, 1);
}
