//! Lists of tags and of referrers: the upstream's own words, paged through the box, and from the cache
//! while it is away; never an empty list that nobody gave.

use std::collections::BTreeSet;

use breakwater::oci::MediaType;
use serde_json::{Value, json};

use super::{ALWAYS_ASK, assert_error, manifest, stage};
use crate::support::client::{Client, assert_sound};
use crate::support::fake_upstream::{Answer, Image};

/// Follows `Link` from page to page, as a client does; all entries of the field, and the pages.
fn follow(client: &Client, path: &str, field: &str) -> (Vec<Value>, usize) {
    let (mut found, mut pages, mut next) = (Vec::new(), 0, Some(path.to_owned()));
    let mut seen = BTreeSet::new();
    while let Some(path) = next {
        assert!(seen.insert(path.clone()), "{path} leads to itself");
        let answer = client.get(&path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        found.extend(answer.json()[field].as_array().unwrap().iter().cloned());
        pages += 1;
        next = answer.field("Link").map(|link| {
            let target = link.strip_prefix('<').unwrap().split_once('>').unwrap();
            assert_eq!(target.1, "; rel=\"next\"", "{link}");
            assert!(
                target.0.starts_with("/v2/"),
                "leads away from the box: {link}"
            );
            target.0.to_owned()
        });
    }
    (found, pages)
}

#[test]
fn tags_are_listed_and_paged_through_the_box() {
    let (fake, image, appliance, client) = stage(ALWAYS_ASK);
    for n in 0..7 {
        fake.put_image("library/alpine", &format!("v{n}"), &image);
    }
    let all = "/v2/library/alpine/tags/list";
    let (tags, pages) = follow(&client, all, "tags");
    assert_eq!((tags.len(), pages), (8, 1));
    let (paged, pages) = follow(&client, &format!("{all}?n=3"), "tags");
    assert_eq!((&paged, pages), (&tags, 3));
    let (plain, _) = follow(&client, "/v2/alpine/tags/list?n=5", "tags");
    assert_eq!(plain, tags);
    let rest = client.get(&format!("{all}?n=2&last=v3"));
    assert_eq!(rest.json()["tags"], json!(["v4", "v5"]));
    assert_eq!(rest.field("OCI-Namespace"), Some("docker.io"));
    // From the cache while the upstream is away, pages included.
    fake.stop();
    let (stale, pages) = follow(&client, &format!("{all}?n=3"), "tags");
    assert_eq!((&stale, pages), (&tags, 3));
    assert_eq!(client.get(all).cache(), "stale");
    assert_sound(&appliance);
}

#[test]
fn cached_tags_are_listed_where_the_list_itself_was_never_asked_for() {
    let (fake, image, appliance, client) = stage(ALWAYS_ASK);
    for n in 0..5 {
        fake.put_image("library/alpine", &format!("v{n}"), &image);
        client.get(&manifest("alpine", format!("v{n}")));
    }
    fake.stop();
    let (tags, pages) = follow(&client, "/v2/library/alpine/tags/list?n=2", "tags");
    assert_eq!(json!(tags), json!(["v0", "v1", "v2", "v3", "v4"]));
    assert_eq!(pages, 3);
    // Of what was never pulled nothing is known: an empty list would be invented.
    let unknown = client.get("/v2/library/never/tags/list");
    assert_error(&unknown, 503, "UNAVAILABLE", "docker.io");
    assert_sound(&appliance);
}

#[test]
fn a_repository_that_the_upstream_does_not_know_has_no_tags() {
    let (fake, _, appliance, client) = stage(ALWAYS_ASK);
    fake.on("GET", "/tags/list").always(Answer::status(404));
    let unknown = client.get("/v2/library/never/tags/list");
    assert_error(&unknown, 404, "NAME_UNKNOWN", "docker.io/library/never");
    assert_sound(&appliance);
}

#[test]
fn an_upstream_may_page_in_its_own_words() {
    // As quay.io does: a cursor that only it can read.
    let (fake, _, appliance, client) = stage(ALWAYS_ASK);
    let page =
        |tag: &str| Answer::body(200, "application/json", json!({"tags": [tag]}).to_string());
    let link = "</v2/library/alpine/tags/list?n=1&next_page=gAAA%3D%3D>; rel=\"next\"";
    fake.on("GET", "/tags/list")
        .next([page("a").header("Link", link), page("b")]);
    let (tags, pages) = follow(&client, "/v2/alpine/tags/list?n=1", "tags");
    assert_eq!((json!(tags), pages), (json!(["a", "b"]), 2));
    let asked = fake.requests_for("GET", "/tags/list");
    assert_eq!(asked[1].query, "n=1&next_page=gAAA%3D%3D");
    assert_sound(&appliance);
}

#[test]
fn what_is_no_list_is_not_passed_on() {
    let (fake, image, appliance, client) = stage(ALWAYS_ASK);
    let tags = "/v2/library/alpine/tags/list";
    let referrers = format!("/v2/library/alpine/referrers/{}", image.digest());
    for path in [tags, &referrers] {
        for body in [
            "<script>alert(1)</script>",
            "[]",
            "{}",
            "{\"tags\": 1, \"manifests\": 1}",
        ] {
            fake.on("GET", path)
                .next([Answer::body(200, "image/svg+xml", body)]);
            assert_error(&client.get(path), 503, "UNAVAILABLE", "docker.io");
        }
    }
    // The type is ours, whatever the upstream says.
    let list = json!({"name": "library/alpine", "tags": null}).to_string();
    fake.on("GET", tags)
        .next([Answer::body(200, "image/svg+xml", list)]);
    let got = client.get(tags);
    assert_eq!(got.field("Content-Type"), Some("application/json"));
    assert_eq!(got.field("X-Content-Type-Options"), Some("nosniff"));
    let long = "a".repeat(256);
    let refused = client.get(&format!("{referrers}?artifactType={long}"));
    assert_eq!(refused.status, 400);
    assert_sound(&appliance);
}

#[test]
fn referrers_are_passed_on_with_filters_and_pages() {
    let (fake, image, appliance, client) = stage(ALWAYS_ASK);
    let digest = image.digest();
    let path = format!("/v2/library/alpine/referrers/{digest}");
    for (seed, kind) in [(1, "a/sbom"), (2, "a/signature"), (3, "a/sbom")] {
        let one = Image::oci(seed, &[1]);
        fake.put_referrer(
            "library/alpine",
            &digest,
            json!({
                "mediaType": one.media_type.as_str(), "digest": one.digest().as_str(),
                "size": one.manifest.len(), "artifactType": kind,
            }),
        );
    }
    let all = client.get(&path);
    assert_eq!(all.status, 200, "{}", all.text());
    assert_eq!(
        all.field("Content-Type"),
        Some(MediaType::OciIndex.as_str())
    );
    assert_eq!(all.json()["manifests"].as_array().unwrap().len(), 3);
    let some = client.get(&format!("{path}?artifactType=a/sbom"));
    assert_eq!(some.json()["manifests"].as_array().unwrap().len(), 2);
    assert_eq!(some.field("OCI-Filters-Applied"), Some("artifactType"));
    fake.stop();
    for (query, count) in [("", 3), ("?artifactType=a/sbom", 2)] {
        let stale = client.get(&format!("{path}{query}"));
        assert_eq!((stale.status, stale.cache()), (200, "stale"), "{query}");
        assert_eq!(stale.json()["manifests"].as_array().unwrap().len(), count);
    }
    // A type that was never asked for is found in the whole list, which the client filters.
    let other = client.get(&format!("{path}?artifactType=a/other"));
    assert_eq!((other.status, other.cache()), (200, "stale"));
    assert_eq!(other.json()["manifests"].as_array().unwrap().len(), 3);
    assert_eq!(other.field("OCI-Filters-Applied"), None);
    // What was never asked for is not known to be empty.
    let path = format!(
        "/v2/library/alpine/referrers/{}",
        Image::oci(9, &[1]).digest()
    );
    let other = client.get(&format!("{path}?artifactType=a/sbom"));
    assert_error(&other, 503, "UNAVAILABLE", "docker.io");
    assert_sound(&appliance);
}

#[test]
fn referrers_that_the_upstream_pages_are_paged_through_the_box() {
    let (fake, image, appliance, client) = stage(ALWAYS_ASK);
    let path = format!("/v2/library/alpine/referrers/{}", image.digest());
    let page = |name: &str| {
        let index = json!({"schemaVersion": 2, "mediaType": MediaType::OciIndex.as_str(), "manifests": [name]});
        Answer::body(200, MediaType::OciIndex.as_str(), index.to_string())
    };
    let link = format!("<{}{path}?last=one>; rel=\"next\"", fake.url());
    fake.on("GET", "/referrers/")
        .next([page("one").header("Link", &link), page("two")]);
    let (found, pages) = follow(&client, &path, "manifests");
    assert_eq!((json!(found), pages), (json!(["one", "two"]), 2));
    assert_sound(&appliance);
}

#[test]
fn an_upstream_without_referrers_is_read_by_its_fallback_tag() {
    let (fake, image, appliance, client) = stage(ALWAYS_ASK);
    let digest = image.digest();
    let path = format!("/v2/library/alpine/referrers/{digest}");
    // Without the tag it has not said that there are none.
    assert_error(&client.get(&path), 404, "MANIFEST_UNKNOWN", "docker.io");
    let index = json!({
        "schemaVersion": 2, "mediaType": MediaType::OciIndex.as_str(), "manifests": [],
    });
    let index = index.to_string();
    let tag = digest.to_string().replace(':', "-");
    fake.put_manifest(
        "library/alpine",
        &tag,
        MediaType::OciIndex,
        index.as_bytes(),
    );
    let found = client.get(&path);
    assert_eq!((found.status, found.text()), (200, index.clone()));
    assert_eq!(
        found.field("Content-Type"),
        Some(MediaType::OciIndex.as_str())
    );
    fake.stop();
    let stale = client.get(&path);
    assert_eq!(
        (stale.status, stale.cache(), stale.text()),
        (200, "stale", index)
    );
    assert_sound(&appliance);
}
