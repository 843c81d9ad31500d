//! `breakwater repository`: what was pushed, and its removal by the box's administrator.

use serde_json::json;

use crate::support::pushing::{
    Hosted, OCI_INDEX, OCI_MANIFEST, image, must_push_blob, push_image, put_manifest,
};

const WEB: &str = "acme/api/web";

#[test]
fn the_administrator_sees_and_removes_tags_images_and_repositories() {
    let hosted = Hosted::start();
    let appliance = &hosted.appliance;
    let client = hosted.client(&["acme/api", WEB]);
    push_image(&client, "acme/api", "v1", &[b"shared layer"]);
    let (twice, bytes) = push_image(
        &client,
        WEB,
        "v1",
        &[b"shared layer", b"layer of the first"],
    );
    put_manifest(&client, WEB, "v2", OCI_MANIFEST, &bytes);
    let config = b"{\"os\":\"linux\"}";
    must_push_blob(&client, WEB, config);
    let child = image(config, &[], json!({}));
    let child_digest = breakwater::oci::Digest::of(&child);
    put_manifest(&client, WEB, child_digest.as_str(), OCI_MANIFEST, &child);
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        { "mediaType": OCI_MANIFEST, "digest": child_digest.as_str(), "size": child.len() }] });
    let index = index.to_string().into_bytes();
    put_manifest(&client, WEB, "multi", OCI_INDEX, &index);
    let pulled = client.get(&format!("/v2/{WEB}/manifests/v1"));
    assert_eq!(pulled.status, 200);
    appliance.ok(&["rule", "tag", "acme/api", "^v1$", "--immutable"]);

    let listed = appliance.json(&["repository", "list", "--json"]);
    let paths: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["path"], &one["tags_count"]))
        .collect();
    assert_eq!(json!(paths), json!([["acme/api", 1], [WEB, 3]]));
    assert_eq!(
        appliance.json(&["repository", "list", "acme/api", "--json"]),
        listed
    );
    let shown = appliance.json(&["repository", "show", WEB, "--json"]);
    let protected: Vec<_> = shown["tags"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|tag| tag["is_protected"] == true)
        .map(|tag| &tag["name"])
        .collect();
    assert_eq!(protected, ["v1"]);
    assert!(shown["bytes"].as_u64().unwrap() > 1_000, "{shown}");
    let text = appliance.ok(&["repository", "show", WEB]);
    assert!(
        text.contains("LAST PULL") && text.contains(twice.as_str()),
        "{text}"
    );

    struct Case {
        image: String,
        tags: &'static [&'static str],
        images: usize,
        frees: Vec<usize>,
    }
    let first = b"layer of the first".len();
    for case in [
        Case {
            image: format!("{WEB}:v2"),
            tags: &["v2"],
            images: 0,
            frees: vec![],
        },
        Case {
            image: format!("{WEB}@{twice}"),
            tags: &["v1", "v2"],
            images: 1,
            frees: vec![bytes.len(), first],
        },
        Case {
            image: format!("{WEB}:multi"),
            tags: &["multi"],
            images: 2,
            frees: vec![index.len(), child.len(), config.len()],
        },
        Case {
            image: WEB.to_owned(),
            tags: &["multi", "v1", "v2"],
            images: 3,
            frees: vec![bytes.len(), first, index.len(), child.len(), config.len()],
        },
    ] {
        let would = appliance.json(&["repository", "delete", &case.image, "--dry-run", "--json"]);
        let tags: Vec<_> = would["tags"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tag| &tag["name"])
            .collect();
        assert_eq!(tags, case.tags, "{}", case.image);
        assert_eq!(
            would["images"].as_array().unwrap().len(),
            case.images,
            "{}",
            case.image
        );
        assert_eq!(
            would["freed_bytes"],
            case.frees.iter().sum::<usize>(),
            "{}",
            case.image
        );
    }
    let needed = appliance.run_cli(&["repository", "delete", &format!("{WEB}@{child_digest}")]);
    assert_eq!(needed.status.code(), Some(1));
    let why = String::from_utf8(needed.stderr).unwrap();
    assert!(
        why.contains("which stays (delete that one instead)"),
        "{why}"
    );
    let missing = appliance.run_cli(&["repository", "delete", &format!("{WEB}:none")]);
    assert_eq!(missing.status.code(), Some(1));
    let unasked = appliance.run_cli(&["repository", "delete", WEB]);
    assert_eq!(unasked.status.code(), Some(2));
    let why = String::from_utf8(unasked.stderr).unwrap();
    assert!(
        why.contains("3 tags and 3 images (give --yes"),
        "several tags go only where somebody says so: {why}"
    );
    assert_eq!(
        client.get(&format!("/v2/{WEB}/manifests/v2")).status,
        200,
        "nothing was deleted"
    );

    appliance.ok(&["repository", "delete", &format!("{WEB}:v2")]);
    assert_eq!(client.get(&format!("/v2/{WEB}/manifests/v2")).status, 404);
    assert_eq!(client.get(&format!("/v2/{WEB}/manifests/v1")).status, 200);
    let told = appliance.ok(&["repository", "delete", &format!("{WEB}@{twice}")]);
    assert!(
        told.contains("tag v1, protected by a rule") && told.contains("deleted 1 tag and 1 image"),
        "{told}"
    );
    assert_eq!(
        client.get(&format!("/v2/{WEB}/manifests/{twice}")).status,
        404
    );
    appliance.ok(&["repository", "delete", &format!("{WEB}:multi")]);
    assert_eq!(
        client
            .get(&format!("/v2/{WEB}/manifests/{child_digest}"))
            .status,
        404
    );
    appliance.ok(&["repository", "delete", "acme/api"]);
    assert_eq!(appliance.json(&["repository", "list", "--json"]), json!([]));
    let events = appliance.audit(&[]).to_string();
    assert!(events.contains("images.removed"), "{events}");
    appliance.ok(&["verify"]);
}
