//! The store and the scrub, on real files: every test has a data directory of its own.

mod access;
mod audit;
mod blobs;
mod cache;
mod processes;
mod recovery;
mod rules;
mod verify;

use std::path::Path;

use breakwater::oci::{Digest, MediaType, RegistryHost, RepositoryName, Tag};
use breakwater::store::{Actor, NewManifest, RepositoryId, Store};
use breakwater::time::Timestamp;
use tempfile::TempDir;

/// A fresh store; the directory goes when the first is dropped.
fn fresh() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(&directory.path().join("data")).unwrap();
    (directory, store)
}

/// Who makes changes in these tests.
fn by_box() -> Actor {
    Actor::on_the_box(None)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds)
}

fn tag(text: &str) -> Tag {
    Tag::parse(text).unwrap()
}

fn repository(store: &Store, name: &str) -> RepositoryId {
    let host = RegistryHost::parse("docker.io").unwrap();
    let origin = store.cache.origin(&host, "anonymous").unwrap();
    let name = RepositoryName::parse(name).unwrap();
    store.cache.repository(origin, &name).unwrap()
}

/// A blob with file, row and link.
fn keep(store: &Store, repository: RepositoryId, bytes: &[u8], now: Timestamp) -> Digest {
    let digest = Digest::of(bytes);
    store.blobs.put(&digest, bytes).unwrap();
    store
        .cache
        .keep_blob(repository, &digest, bytes.len() as u64, now)
        .unwrap();
    digest
}

/// An image of one config and these layers, with files and rows, under a tag or none.
fn keep_image(
    store: &Store,
    repository: RepositoryId,
    layers: &[&[u8]],
    tag: Option<&str>,
    now: Timestamp,
) -> (Digest, u64) {
    let config = b"{}";
    let descriptor = |bytes: &[u8]| {
        format!(
            r#"{{"mediaType":"application/octet-stream","digest":"{}","size":{}}}"#,
            Digest::of(bytes),
            bytes.len()
        )
    };
    let listed: Vec<String> = layers.iter().map(|layer| descriptor(layer)).collect();
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]}}"#,
        MediaType::OciManifest.as_str(),
        descriptor(config),
        listed.join(",")
    );
    let mut references = vec![Digest::of(config)];
    keep(store, repository, config, now);
    for layer in layers {
        references.push(keep(store, repository, layer, now));
    }
    let kept = NewManifest {
        digest: Digest::of(manifest.as_bytes()),
        media_type: MediaType::OciManifest,
        size: manifest.len() as u64,
        references,
        subject: None,
        tag: tag.map(self::tag),
        now,
    };
    store.blobs.put(&kept.digest, manifest.as_bytes()).unwrap();
    store.cache.keep_manifest(repository, &kept).unwrap();
    (kept.digest, kept.size)
}

/// An index of these manifests, with file and rows.
fn keep_index(
    store: &Store,
    repository: RepositoryId,
    children: &[(Digest, u64)],
    tag: &str,
    now: Timestamp,
) -> (Digest, u64) {
    let listed: Vec<String> = children
        .iter()
        .map(|(digest, size)| {
            format!(
                r#"{{"mediaType":"{}","digest":"{digest}","size":{size}}}"#,
                MediaType::OciManifest.as_str()
            )
        })
        .collect();
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{}]}}"#,
        MediaType::OciIndex.as_str(),
        listed.join(",")
    );
    let kept = NewManifest {
        digest: Digest::of(index.as_bytes()),
        media_type: MediaType::OciIndex,
        size: index.len() as u64,
        references: children.iter().map(|(digest, _)| digest.clone()).collect(),
        subject: None,
        tag: Some(self::tag(tag)),
        now,
    };
    store.blobs.put(&kept.digest, index.as_bytes()).unwrap();
    store.cache.keep_manifest(repository, &kept).unwrap();
    (kept.digest, kept.size)
}

/// Where the blob's file is, by the layout that the interface promises.
fn blob_path(data: &Path, digest: &Digest) -> std::path::PathBuf {
    data.join("blobs")
        .join(digest.algorithm().as_str())
        .join(&digest.hex()[..2])
        .join(digest.hex())
}

/// A connection of somebody else, who may break what the store would not.
fn strangers_connection(path: &Path) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection
        .pragma_update(None, "foreign_keys", false)
        .unwrap();
    connection
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}
