//! Making, opening, and what start-up and reconciliation do after a crash; many threads at once.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use breakwater::error::Kind;
use breakwater::oci::Digest;
use breakwater::store::{ImageFilter, Reconciled, Store, Window};
use breakwater::upkeep::verify::verify;

use super::{
    at, blob_path, by_box, fresh, keep, keep_image, mode, repository, strangers_connection, tag,
};

#[test]
fn creating_is_idempotent_and_opening_finds_it() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("some/where");
    let store = Store::create(&data).unwrap();
    let user = store
        .access
        .create_user(&by_box(), "a", true, false, None)
        .unwrap();
    assert_eq!(store.directory(), data);
    assert_eq!(mode(&data), 0o700);
    drop(store);
    for store in [Store::create(&data), Store::open(&data)] {
        assert!(store.unwrap().access.user(user).unwrap().is_some());
    }
    // It can be rebuilt, so it is.
    fs::remove_file(data.join("cache.sqlite")).unwrap();
    let store = Store::open(&data).unwrap();
    assert_eq!(store.cache.totals().unwrap().blobs, 0);
    assert!(store.start_up().unwrap(), "what lies in blobs/ has no rows");
}

#[test]
fn what_cannot_be_opened_is_said_in_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("empty")).unwrap();
    fs::write(path("file"), "").unwrap();
    fs::create_dir(path("shared")).unwrap();
    fs::set_permissions(path("shared"), Permissions::from_mode(0o755)).unwrap();
    fs::write(path("shared/letter"), "").unwrap();
    let garbage = path("garbage");
    drop(Store::create(&garbage).unwrap());
    fs::write(garbage.join("access.sqlite"), [b'x'; 8192]).unwrap();

    let cases = [
        (
            Store::open(&path("absent")),
            Kind::NotFound,
            "absent does not exist",
        ),
        (
            Store::open(&path("empty")),
            Kind::NotFound,
            "access.sqlite does not exist",
        ),
        (
            Store::open(&path("file")),
            Kind::Config,
            "is not a directory",
        ),
        (
            Store::create(&path("file")),
            Kind::Config,
            "is not a directory",
        ),
        (Store::create(&path("shared")), Kind::Config, "chmod 700"),
        (Store::open(&garbage), Kind::Sql, "not an SQLite database"),
    ];
    for (result, kind, sentence) in cases {
        let error = result.map(drop).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let text = error.to_string();
        assert!(text.contains(sentence), "{text}");
        assert!(text.contains(directory.path().to_str().unwrap()), "{text}");
    }
    assert!(!path("absent").exists(), "opening makes nothing");
    assert_eq!(
        mode(&path("shared")),
        0o755,
        "what is not ours stays as it is"
    );
    assert_eq!(fs::read_dir(path("empty")).unwrap().count(), 0);
}

#[test]
fn an_own_directory_is_closed_to_others() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
    drop(Store::create(&data).unwrap());
    assert_eq!(mode(&data), 0o700, "it was empty");
    fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
    drop(Store::create(&data).unwrap());
    assert_eq!(mode(&data), 0o700, "it was a store");
}

#[test]
fn a_newer_database_is_refused() {
    for name in ["access.sqlite", "cache.sqlite"] {
        let (directory, store) = fresh();
        drop(store);
        let data = directory.path().join("data");
        let stranger = strangers_connection(&data.join(name));
        stranger.pragma_update(None, "user_version", 1000).unwrap();
        let error = Store::open(&data).map(drop).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(name) && text.contains("newer"), "{text}");
        assert!(text.contains("upgrade"), "{text}");
        let version: i64 = stranger
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .unwrap();
        assert_eq!(version, 1000, "nothing was changed");
    }
}

#[test]
fn databases_are_set_as_they_should_be() {
    let (directory, store) = fresh();
    store
        .access
        .create_user(&by_box(), "a", false, false, None)
        .unwrap();
    for name in ["access.sqlite", "cache.sqlite"] {
        let stranger = strangers_connection(&directory.path().join("data").join(name));
        let journal: String = stranger
            .query_row("PRAGMA journal_mode", [], |row| row.get(0))
            .unwrap();
        assert_eq!(journal, "wal", "{name}");
        let loose: i64 = stranger
            .query_row(
                "SELECT count(*) FROM pragma_table_list
                 WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite%' AND strict = 0",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(loose, 0, "{name}: every table is STRICT");
    }
}

#[test]
fn only_an_unclean_stop_makes_reconciliation_due() {
    let (directory, store) = fresh();
    let data = directory.path().join("data");
    assert!(!store.start_up().unwrap(), "a fresh store");
    drop(store);
    let store = Store::create(&data).unwrap();
    assert!(store.start_up().unwrap(), "no shut_down before");
    store.shut_down().unwrap();
    drop(store);
    let store = Store::create(&data).unwrap();
    assert!(!store.start_up().unwrap(), "shut_down before");
    assert!(store.start_up().unwrap(), "the note is good for one start");
}

#[test]
fn shutting_down_writes_what_was_noted() {
    let (directory, store) = fresh();
    let token = breakwater::store::TokenId(1);
    store
        .cache
        .note_token_used(token, "::1".parse().unwrap(), at(5));
    store.shut_down().unwrap();
    drop(store);
    let store = Store::open(&directory.path().join("data")).unwrap();
    let used = store.cache.token_last_used(token).unwrap();
    assert_eq!(used, Some((at(5), "::1".to_owned())));
}

#[test]
fn start_up_clears_what_cannot_be_resumed() {
    let (_directory, store) = fresh();
    let staging = store.directory().join("staging");
    let age = |name: &str, hours: u64, minutes: u64| {
        let file = File::create(staging.join(name)).unwrap();
        let since = Duration::from_secs(hours * 3600 + minutes * 60);
        file.set_modified(SystemTime::now() - since).unwrap();
    };
    for (name, hours) in [
        ("new-0123456789abcdef", 0),
        ("something.tmp", 0),
        ("UPPER", 0),
        ("01d", 25),
        ("aa", 23),
        ("bb", 0),
    ] {
        age(name, hours, 0);
    }
    let held = store.blobs.stage_named("dd").unwrap();
    let file = File::options().append(true).open(staging.join("dd"));
    file.unwrap()
        .set_modified(SystemTime::now() - Duration::from_secs(48 * 3600))
        .unwrap();
    store.start_up().unwrap();
    let names = || {
        let mut names: Vec<_> = fs::read_dir(&staging)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(), ["aa", "bb", "dd"], "dd is old, but open");
    held.discard();

    for number in 0..80 {
        age(&format!("{number:04x}"), 1, number);
    }
    store.start_up().unwrap();
    let left = names();
    assert_eq!(left.len(), 64);
    assert!(left.contains(&"bb".into()) && left.contains(&"0000".into()));
    assert!(!left.contains(&"aa".into()), "the oldest goes first");
    assert!(!left.contains(&"004f".into()));
}

#[test]
fn after_a_crash_rows_and_files_are_brought_together() {
    let (directory, store) = fresh();
    store.start_up().unwrap();
    let here = repository(&store, "here");
    let (sound, _) = keep_image(&store, here, &[b"sound layer"], Some("sound"), at(1));
    let (lost, _) = keep_image(&store, here, &[b"lost layer"], Some("lost"), at(1));
    // Killed between rename and row, once for each algorithm.
    let strays = [
        Digest::of(b"stray"),
        Digest::of_with(breakwater::oci::Algorithm::Sha512, b"stray"),
    ];
    for stray in &strays {
        store.blobs.put(stray, b"stray").unwrap();
    }
    // A power cut took removals' rows back, the files are gone.
    let missing = Digest::of(b"lost layer");
    fs::remove_file(blob_path(store.directory(), &missing)).unwrap();
    fs::remove_file(blob_path(store.directory(), &lost)).unwrap();
    // Killed in the middle of fills.
    let mut half = store.blobs.stage_named("abcd").unwrap();
    half.write(b"half", 0).unwrap();
    drop(half);
    fs::write(store.directory().join("staging/new-77"), "x").unwrap();
    drop(store);

    let store = Store::create(&directory.path().join("data")).unwrap();
    assert!(store.start_up().unwrap());
    let done = store.reconcile().unwrap();
    let expected = Reconciled {
        adopted_files: 2,
        dropped_rows: 2,
        ..Reconciled::default()
    };
    assert_eq!(done, expected);
    assert_eq!(
        store.reconcile().unwrap(),
        Reconciled::default(),
        "once is enough"
    );

    for stray in &strays {
        assert_eq!(store.cache.blob_anywhere(stray).unwrap(), Some(5));
        assert_eq!(
            store.cache.blob(here, stray).unwrap(),
            None,
            "nothing links it"
        );
    }
    assert_eq!(store.cache.blob_anywhere(&missing).unwrap(), None);
    assert_eq!(store.cache.manifest(here, &lost).unwrap(), None);
    assert_eq!(store.cache.tag(here, &tag("lost")).unwrap(), None);
    let kept = store.cache.tag(here, &tag("sound")).unwrap().unwrap();
    assert_eq!(kept.digest, sound);
    let report = verify(&store, &|_, _| {}).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.unreferenced, report.staged), (0, 1));
    assert_eq!(
        store.blobs.stage_named("abcd").unwrap().length().unwrap(),
        4
    );
}

#[test]
fn reconciling_beside_traffic_loses_and_invents_nothing() {
    let (_directory, store) = fresh();
    let here = repository(&store, "here");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let rounds = scope.spawn(|| {
            let mut rounds = 0;
            while !is_over.load(Ordering::Relaxed) || rounds == 0 {
                store.reconcile().unwrap();
                let report = verify(&store, &|_, _| {}).unwrap();
                assert!(report.is_clean(), "{report:?}");
                rounds += 1;
            }
        });
        let workers: Vec<_> = (0..4_u32)
            .map(|worker| {
                let store = &store;
                scope.spawn(move || {
                    for number in 0..60_u32 {
                        let bytes = [worker.to_be_bytes(), number.to_be_bytes()].concat();
                        let digest = keep(store, here, &bytes, at(1));
                        assert!(store.cache.blob(here, &digest).unwrap().is_some());
                        if number % 3 == 0 {
                            store.remove_blob(&digest).unwrap();
                        }
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        rounds.join().unwrap();
    });
    store.reconcile().unwrap();
    assert_eq!(store.cache.totals().unwrap().blobs, 4 * 40);
}

#[test]
fn eight_threads_keep_and_read_the_same_things() {
    let (_directory, store) = fresh();
    std::thread::scope(|scope| {
        for thread in 0..8_usize {
            let store = &store;
            scope.spawn(move || {
                let here = repository(store, &format!("repository{}", thread % 2));
                for number in 0..40_u32 {
                    let layer = format!("layer {number}");
                    let name = format!("t{}", number % 5);
                    let now = at(i64::from(number));
                    let (digest, _) =
                        keep_image(store, here, &[layer.as_bytes()], Some(&name), now);
                    let blob = store.blobs.open(&digest).unwrap().unwrap();
                    let bytes = blob.content().read().unwrap().into_owned();
                    assert_eq!(Digest::of(&bytes), digest);
                    let seen = store.cache.tag(here, &tag(&name)).unwrap().unwrap();
                    assert!(store.cache.manifest(here, &seen.digest).unwrap().is_some());
                    let filter = ImageFilter {
                        pattern: Some("repository".to_owned()),
                        ..ImageFilter::default()
                    };
                    store.cache.images(&filter, Window::ALL).unwrap();
                }
            });
        }
    });
    let totals = store.cache.totals().unwrap();
    assert_eq!((totals.repositories, totals.tags), (2, 10));
    // The config, forty layers, forty manifests.
    assert_eq!((totals.blobs, totals.manifests), (81, 80));
    let report = verify(&store, &|_, _| {}).unwrap();
    assert!(report.is_clean(), "{report:?}");
}
