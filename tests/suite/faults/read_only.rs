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

#[test]
fn where_a_group_denies_it_a_list_is_served_as_it_is_kept_and_never_fetched() {
    for (tag_ttl, expected) in [("60s", "hit"), ("0s", "stale")] {
        let (fake, appliance) = stage(&format!("[cache]\ntag_ttl = \"{tag_ttl}\"\n"));
        appliance.ok(&["group", "set", "readers", "on_read_only_miss=deny"]);
        let image = fake.put_image(REPOSITORY, "1", &Image::oci(1, &[1_000]));
        let signature = serde_json::json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": image.as_str(), "size": 1,
        });
        fake.put_referrer(REPOSITORY, &image, signature);
        let client = Client::of(&appliance);
        let group = format!("/v2/readers/dependency_proxy/containers/{REPOSITORY}");
        let lists = [
            ("tags/list".to_owned(), "NAME_UNKNOWN"),
            (format!("referrers/{image}"), "MANIFEST_UNKNOWN"),
        ];
        for (list, code) in &lists {
            let refused = client.get(&format!("{group}/{list}"));
            assert_eq!(refused.verdict(), (404, (*code).to_owned()), "{list}");
            let message = refused.message();
            let says_so = message.contains("not cached") && message.contains("may not fill");
            assert!(says_so, "{message}");
        }
        assert_eq!(fake.requests().len(), 0, "nobody was asked for it");
        for (list, _) in &lists {
            let filled = client.get(&format!("/v2/{REPOSITORY}/{list}"));
            assert_eq!((filled.status, filled.cache()), (200, "miss"), "{list}");
            fake.forget_requests();
            let kept = client.get(&format!("{group}/{list}"));
            assert_eq!((kept.status, kept.cache()), (200, expected), "{list}");
            assert_eq!(kept.body, filled.body);
            assert!(kept.field("Age").is_some());
            assert_eq!(fake.requests().len(), 0, "{list}");
        }
        // A page that nobody asked for yet: nothing, and then what is kept of the repository.
        let page = format!("{group}/tags/list?n=5");
        assert_eq!(client.get(&page).status, 404);
        assert_eq!(client.get(&super::manifest("1")).status, 200);
        let made = client.get(&page);
        assert_eq!((made.status, made.cache()), (200, "stale"));
        assert_eq!(made.json()["tags"], serde_json::json!(["1"]));
    }
}
