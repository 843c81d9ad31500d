//! Who may only read leaves nothing behind, from the first request on.

use super::{REPOSITORY, readers_blob, stage};
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::Image;

/// How many rows each table of `cache.sqlite` has.
fn rows(appliance: &Appliance) -> Vec<(String, i64)> {
    let connection = rusqlite::Connection::open(appliance.data().join("cache.sqlite")).unwrap();
    let mut tables = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        .unwrap();
    let names = tables.query_map([], |row| row.get::<_, String>(0)).unwrap();
    names
        .map(|name| {
            let name = name.unwrap();
            let count = format!("SELECT count(*) FROM \"{name}\"");
            let count = connection.query_row(&count, [], |row| row.get(0));
            (name, count.unwrap())
        })
        .collect()
}

/// The files below a directory.
fn files(below: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(below).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![path],
        })
        .collect()
}

#[test]
fn a_readers_first_pull_leaves_nothing_behind() {
    let (fake, appliance) = stage("");
    let image = Image::oci(1, &[100_000]);
    fake.put_image(REPOSITORY, "1", &image);
    let before = rows(&appliance);
    let client = Client::of(&appliance);
    let group = format!("/v2/readers/dependency_proxy/containers/{REPOSITORY}");
    let manifest = client.get(&format!("{group}/manifests/1"));
    assert_eq!(
        (manifest.body, manifest.status),
        (image.manifest.clone(), 200)
    );
    let layer = client.get(&readers_blob(&image.layer_digest(0)));
    assert_eq!((layer.status, layer.cache()), (200, "bypass"));
    assert!(layer.body == image.layers[0]);
    assert_eq!(client.get(&format!("{group}/tags/list")).status, 200);
    assert_eq!(client.get(&format!("{group}/manifests/none")).status, 404);
    assert_eq!(rows(&appliance), before);
    for below in ["blobs", "staging"] {
        assert!(files(&appliance.data().join(below)).is_empty(), "{below}");
    }
}
