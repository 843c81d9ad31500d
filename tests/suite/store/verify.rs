//! The scrub: data is damaged on purpose in every way, and it must be found, and nothing else.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::Mutex;

use breakwater::oci::{Algorithm, Digest, MediaType};
use breakwater::store::{NewManifest, Store};
use breakwater::upkeep::verify::{DamageKind, verify};

use super::{
    at, blob_path, by_box, fresh, keep, keep_image, keep_index, repository, strangers_connection,
};

const LAYER: &[u8] = b"a layer that is going to suffer";

/// A store with one of everything.
fn sound(store: &Store) {
    let here = repository(store, "library/alpine");
    let image = keep_image(store, here, &[LAYER, b"another"], Some("3.20"), at(1));
    keep_index(store, here, &[image], "latest", at(2));
    let long = Digest::of_with(Algorithm::Sha512, b"sha512 layer");
    store.blobs.put(&long, b"sha512 layer").unwrap();
    store.cache.keep_blob(here, &long, 12, at(1)).unwrap();
    store
        .access
        .create_user(&by_box(), "a", true, false, None)
        .unwrap();
}

fn damage_of(store: &Store) -> Vec<(DamageKind, String)> {
    let report = verify(store, &|_, _| {}).unwrap();
    assert_eq!(report.is_clean(), report.damage.is_empty());
    report
        .damage
        .into_iter()
        .map(|damage| (damage.kind, damage.what))
        .collect()
}

#[test]
fn a_sound_store_is_clean_and_counted() {
    let (_directory, store) = fresh();
    sound(&store);
    let stray = vec![3; 3 << 20];
    store.blobs.put(&Digest::of(&stray), &stray).unwrap();
    drop(store.blobs.stage_named("aa").unwrap());
    let open = store.blobs.stage().unwrap();
    let seen = Mutex::new(Vec::new());
    let report = verify(&store, &|done, total| {
        seen.lock().unwrap().push((done, total))
    })
    .unwrap();
    assert_eq!(report.damage, []);
    assert!(report.is_clean());
    assert_eq!((report.unreferenced, report.staged), (1, 2));
    let totals = store.cache.totals().unwrap();
    assert_eq!(report.blobs, totals.blobs + 1);
    assert_eq!(report.bytes, totals.bytes + (3 << 20));
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen[0], (0, totals.bytes));
    assert!(seen.iter().all(|(done, total)| done <= total));
    assert_eq!(seen.iter().map(|(done, _)| *done).max(), Some(report.bytes));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["damage"], serde_json::json!([]));
    drop(open);
}

#[test]
fn an_open_store_and_a_second_process_agree() {
    let (directory, store) = fresh();
    sound(&store);
    let _lock = store.lock().unwrap();
    fs::remove_file(blob_path(store.directory(), &Digest::of(LAYER))).unwrap();
    let other = Store::open(&directory.path().join("data")).unwrap();
    let found = damage_of(&store);
    assert_eq!(found.len(), 1);
    assert_eq!(damage_of(&other), found);
}

#[test]
fn every_kind_of_damage_is_found() {
    type Break = fn(&Path);
    fn layer(data: &Path) -> std::path::PathBuf {
        blob_path(data, &Digest::of(LAYER))
    }
    fn sql(data: &Path, text: &str) {
        strangers_connection(&data.join("cache.sqlite"))
            .execute_batch(text)
            .unwrap();
    }
    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    let layer_name = Digest::of(LAYER);
    let layer_name = layer_name.hex();
    let cases: &[(&str, Break, DamageKind, &str)] = &[
        (
            "a byte flipped",
            |data| {
                let file = OpenOptions::new().write(true).open(layer(data)).unwrap();
                file.write_all_at(b"X", 5).unwrap();
            },
            DamageKind::WrongHash,
            layer_name,
        ),
        (
            "a file truncated",
            |data| {
                let file = OpenOptions::new().write(true).open(layer(data)).unwrap();
                file.set_len(7).unwrap();
            },
            DamageKind::WrongSize,
            "has 7 bytes, not 31",
        ),
        (
            "a file deleted",
            |data| fs::remove_file(layer(data)).unwrap(),
            DamageKind::MissingFile,
            layer_name,
        ),
        (
            "a whole directory deleted",
            |data| fs::remove_dir_all(layer(data).parent().unwrap()).unwrap(),
            DamageKind::MissingFile,
            layer_name,
        ),
        (
            "a row's size wrong",
            |data| sql(data, "UPDATE blobs SET size = size + 1 WHERE size = 31"),
            DamageKind::WrongSize,
            "has 31 bytes, not 32",
        ),
        (
            "a stray name among the blobs",
            |data| {
                let path = layer(data).with_file_name("core");
                fs::write(&path, "").unwrap();
                set_mode(&path, 0o600);
            },
            DamageKind::StrayName,
            "/core",
        ),
        (
            "a blob in the wrong directory",
            |data| {
                let to = data.join("blobs/sha512/00");
                fs::create_dir_all(&to).unwrap();
                set_mode(&to, 0o700);
                let path = to.join(Digest::of(b"x").hex());
                fs::write(&path, "x").unwrap();
                set_mode(&path, 0o600);
            },
            DamageKind::StrayName,
            "sha512/00",
        ),
        (
            "an unknown algorithm",
            |data| {
                fs::create_dir(data.join("blobs/md5")).unwrap();
                set_mode(&data.join("blobs/md5"), 0o700);
            },
            DamageKind::StrayName,
            "md5",
        ),
        (
            "a link in a blob's place",
            |data| {
                let path = blob_path(data, &Digest::of(b"linked"));
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                set_mode(path.parent().unwrap(), 0o700);
                std::os::unix::fs::symlink("/etc/passwd", path).unwrap();
            },
            DamageKind::StrayName,
            "blobs/sha256",
        ),
        (
            "a stray file with wrong bytes",
            |data| {
                let path = blob_path(data, &Digest::of(b"right"));
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                set_mode(path.parent().unwrap(), 0o700);
                fs::write(&path, "wrong").unwrap();
                set_mode(&path, 0o600);
            },
            DamageKind::WrongHash,
            "has the digest",
        ),
        (
            "a blob that others may read",
            |data| set_mode(&layer(data), 0o644),
            DamageKind::WidePermissions,
            "0644",
        ),
        (
            "a directory that others may enter",
            |data| set_mode(layer(data).parent().unwrap(), 0o755),
            DamageKind::WidePermissions,
            "0755",
        ),
        (
            "a database that others may read",
            |data| set_mode(&data.join("access.sqlite"), 0o640),
            DamageKind::WidePermissions,
            "access.sqlite",
        ),
        (
            "the data directory open",
            |data| set_mode(data, 0o711),
            DamageKind::WidePermissions,
            "0711",
        ),
        (
            "a tag without its manifest",
            |data| {
                let index = "(SELECT id FROM manifests WHERE media_type LIKE '%index%')";
                sql(
                    data,
                    &format!(
                        "DELETE FROM manifest_references WHERE manifest_id = {index};
                         DELETE FROM manifests WHERE id = {index}"
                    ),
                );
            },
            DamageKind::DanglingTag,
            "docker.io/library/alpine:latest",
        ),
        (
            "a link without its repository",
            |data| {
                sql(
                    data,
                    "INSERT INTO blob_links SELECT 99, id, 1 FROM blobs LIMIT 1",
                );
            },
            DamageKind::DanglingRow,
            "blob_links",
        ),
        (
            "an index of the database broken",
            |data| {
                sql(
                    data,
                    "PRAGMA writable_schema = ON;
                     UPDATE sqlite_schema SET sql = 'CREATE INDEX blob_links_blob ON blob_links (linked_at)'
                     WHERE name = 'blob_links_blob'",
                );
            },
            DamageKind::Database,
            "cache.sqlite",
        ),
    ];
    for (name, damage, kind, text) in cases {
        let (directory, store) = fresh();
        sound(&store);
        assert_eq!(damage_of(&store), [], "{name}: sound before");
        drop(store);
        let data = directory.path().join("data");
        damage(&data);
        let store = Store::open(&data).unwrap();
        let found = damage_of(&store);
        assert!(!found.is_empty(), "{name}: not found");
        for (found, what) in &found {
            assert_eq!(found, kind, "{name}: {what}");
            assert!(what.contains(text), "{name}: {what}");
        }
    }
}

#[test]
fn a_manifest_that_is_none_is_found() {
    let (_directory, store) = fresh();
    let here = repository(&store, "here");
    let index = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    for bytes in [b"{\"schemaVersion\":2".as_slice(), index, b""] {
        let digest = Digest::of(bytes);
        store.blobs.put(&digest, bytes).unwrap();
        let kept = NewManifest {
            digest,
            media_type: MediaType::OciManifest,
            size: bytes.len() as u64,
            references: vec![],
            subject: None,
            tag: None,
            now: at(1),
        };
        store.cache.keep_manifest(here, &kept).unwrap();
    }
    keep(
        &store,
        here,
        b"{\"not\": \"a manifest, and not kept as one\"}",
        at(1),
    );
    let found = damage_of(&store);
    assert_eq!(found.len(), 3, "{found:?}");
    for (kind, what) in found {
        assert_eq!(kind, DamageKind::InvalidManifest, "{what}");
        assert!(
            what.contains("application/vnd.oci.image.manifest"),
            "{what}"
        );
    }
}

#[test]
fn a_damaged_page_of_a_database_is_a_finding_not_a_failure() {
    let (directory, store) = fresh();
    sound(&store);
    store.shut_down().unwrap();
    drop(store);
    let path = directory.path().join("data/access.sqlite");
    let file = OpenOptions::new()
        .write(true)
        .read(true)
        .open(&path)
        .unwrap();
    let size = file.metadata().unwrap().len();
    file.write_all_at(&[0xa5; 4096], size - 4096).unwrap();
    let store = Store::open(&directory.path().join("data")).unwrap();
    let found = damage_of(&store);
    assert!(
        found
            .iter()
            .any(|(kind, what)| *kind == DamageKind::Database && what.contains("access.sqlite")),
        "{found:?}"
    );
}
