//! What a protected tag stands for stays whole: neither a delete of a part by its digest nor a second push of the
//! same bytes gets round the rule.

use breakwater::oci::{Algorithm, Digest};
use serde_json::{Value, json};

use super::{Stage, stage};
use crate::support::client::Client;
use crate::support::pushing::{
    OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, descriptor, image, must_push_blob, push_image,
    put_manifest,
};

const APP: &str = "acme/api/app";
const OTHER: &str = "acme/api/other";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const IMMUTABLE: &str = "tag immutable; it can neither be moved nor deleted";

impl Stage {
    /// A client that may do with both repositories whatever the user may.
    fn client_of_both(&self, user: &str) -> Client {
        let scopes = [APP, OTHER].map(|name| format!("repository:{name}:*"));
        let basic = self.client.basic(user, &self.api(user));
        self.client.bearer(&basic.token(&[&scopes[0], &scopes[1]]))
    }
}

fn path(repository: &str, reference: &str) -> String {
    format!("/v2/{repository}/manifests/{reference}")
}

/// Pushes an index of one manifest; its bytes.
fn push_index(
    client: &Client,
    repository: &str,
    tag: &str,
    media_type: &str,
    part: &[u8],
) -> Vec<u8> {
    let index = json!({
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [descriptor(Algorithm::Sha256, media_type, part)],
    });
    let index = index.to_string().into_bytes();
    let answer = put_manifest(client, repository, tag, OCI_INDEX, &index);
    assert_eq!(answer.status, 201, "{answer:?}");
    index
}

#[test]
fn a_part_of_what_a_protected_tag_names_is_not_deleted_under_it() {
    let stage = stage();
    let rules: [&[&str]; 2] = [
        &["^v[0-9]+$", "--immutable"],
        &["^prod$", "--min-delete", "owner"],
    ];
    for rule in rules {
        let words = [&["rule", "tag", "acme/api"], rule].concat();
        stage.appliance.ok(&words);
    }
    let maintainer = stage.client_of_both("maintainer");
    let owner = stage.client_of_both("owner");
    let delete = |client: &Client, repository: &str, digest: &Digest| {
        let answer = client.request("DELETE", &path(repository, digest.as_str()), b"");
        let message = match answer.status {
            202 => String::new(),
            _ => answer.message(),
        };
        (answer.status, message)
    };

    // An index in an index: the image is needed two steps below the tag.
    let (child, bytes) = push_image(&maintainer, APP, "amd64", &[b"one"]);
    let inner = push_index(&maintainer, APP, "inner", OCI_MANIFEST, &bytes);
    let outer = push_index(&maintainer, APP, "v1", OCI_INDEX, &inner);
    for part in [&child, &Digest::of(&inner), &Digest::of(&outer)] {
        for client in [&maintainer, &owner] {
            let (status, message) = delete(client, APP, part);
            assert_eq!(status, 403, "{part}");
            assert!(message.starts_with(IMMUTABLE), "{message}");
        }
    }
    for (reference, expected) in [
        ("v1", &outer),
        ("inner", &inner),
        (Digest::of(&inner).as_str(), &inner),
        ("amd64", &bytes),
        (child.as_str(), &bytes),
    ] {
        let pulled = maintainer.get(&path(APP, reference));
        assert_eq!(
            (pulled.status, &pulled.body),
            (200, expected),
            "{reference}"
        );
    }

    // The same image in a repository where no protected tag leads to it.
    push_image(&maintainer, OTHER, "amd64", &[b"one"]);
    push_index(&maintainer, OTHER, "latest", OCI_MANIFEST, &bytes);
    assert_eq!(delete(&maintainer, OTHER, &child), (202, String::new()));
    assert_eq!(maintainer.get(&path(OTHER, "latest")).status, 200);
    assert_eq!(maintainer.get(&path(OTHER, "amd64")).status, 404);

    // A rule that asks for a level lets that level through.
    let (child, bytes) = push_image(&maintainer, OTHER, "arm64", &[b"two"]);
    push_index(&maintainer, OTHER, "prod", OCI_MANIFEST, &bytes);
    let (status, message) = delete(&maintainer, OTHER, &child);
    assert_eq!(status, 403);
    assert!(message.starts_with("tag protected"), "{message}");
    assert_eq!(delete(&owner, OTHER, &child), (202, String::new()));
}

#[test]
fn the_same_bytes_again_do_not_change_the_type_of_what_a_tag_names() {
    let stage = stage();
    stage
        .appliance
        .ok(&["rule", "tag", "acme/api", "^v[0-9]+$", "--immutable"]);
    let maintainer = stage.client_of_both("maintainer");
    let developer = stage.client_of_both("developer");
    must_push_blob(&maintainer, APP, b"{}");
    // Without a type of its own, so that both types fit.
    let mut manifest: Value = serde_json::from_slice(&image(b"{}", &[], json!({}))).unwrap();
    manifest.as_object_mut().unwrap().remove("mediaType");
    assert_eq!(manifest["config"]["mediaType"], OCI_CONFIG);
    let manifest = manifest.to_string().into_bytes();
    let digest = Digest::of(&manifest);
    let put = |client: &Client, reference: &str, media_type: &str| {
        put_manifest(client, APP, reference, media_type, &manifest)
    };
    assert_eq!(put(&maintainer, "v1", OCI_MANIFEST).status, 201);
    for reference in [digest.as_str(), "v1", "latest"] {
        let refused = put(&developer, reference, DOCKER_MANIFEST);
        assert_eq!(refused.verdict(), (400, "MANIFEST_INVALID".to_owned()));
        let message = refused.message();
        assert!(
            message.contains(&format!("is kept as {OCI_MANIFEST} already")),
            "{message}"
        );
    }
    assert_eq!(developer.get(&path(APP, "latest")).status, 404);
    assert_eq!(put(&developer, digest.as_str(), OCI_MANIFEST).status, 201);
    for reference in ["v1", digest.as_str()] {
        let pulled = developer.get(&path(APP, reference));
        assert_eq!((pulled.status, &pulled.body), (200, &manifest));
        assert_eq!(pulled.field("Content-Type"), Some(OCI_MANIFEST));
    }
}
