//! Pushing to the box as a client does: a project with its tenants, blobs by every way that the protocol has, and
//! small images made of bytes.

use breakwater::oci::{Algorithm, Digest};
use serde_json::{Value, json};

use super::appliance::Appliance;
use super::client::{Answer, Client};

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const EMPTY_JSON: &str = "application/vnd.oci.empty.v1+json";

/// A running box with the private project `acme/api`, and a maintainer's client.
pub(crate) struct Hosted {
    pub(crate) appliance: Appliance,
    /// A token of the user `dev`, a maintainer of `acme`.
    pub(crate) secret: String,
}

impl Hosted {
    pub(crate) fn start() -> Self {
        Self::of(Appliance::start())
    }

    /// Makes the project on a box that runs already.
    pub(crate) fn of(appliance: Appliance) -> Self {
        appliance.ok(&["group", "add", "acme"]);
        appliance.ok(&["project", "add", "acme/api"]);
        let secret = appliance.token("dev", &["api"]);
        appliance.ok(&["member", "add", "acme", "dev", "--level", "maintainer"]);
        Self { appliance, secret }
    }

    /// A client that may do everything with these repositories.
    pub(crate) fn client(&self, repositories: &[&str]) -> Client {
        self.client_as("dev", &self.secret, repositories, "pull,push,delete")
    }

    /// A client with the JWT that `secret` gets for `actions` on these repositories.
    pub(crate) fn client_as(
        &self,
        user: &str,
        secret: &str,
        repositories: &[&str],
        actions: &str,
    ) -> Client {
        let scopes: Vec<String> = repositories
            .iter()
            .map(|repository| format!("repository:{repository}:{actions}"))
            .collect();
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        let client = Client::of(&self.appliance);
        let jwt = client.basic(user, secret).token(&scopes);
        client.bearer(&jwt)
    }
}

/// The ways in which a blob can be pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlobWay {
    /// `POST` with the bytes and the digest.
    PostOnly,
    /// `POST`, then `PUT` with the bytes.
    PostPut,
    /// `POST`, one `PATCH` without a range, `PUT` without bytes.
    Streamed,
    /// `POST`, `PATCH`es with ranges, `PUT` without bytes.
    Chunked,
    /// `POST`, `PATCH`es with ranges, `PUT` with the last chunk.
    ChunkedPut,
}

impl BlobWay {
    pub(crate) const ALL: [Self; 5] = [
        Self::PostOnly,
        Self::PostPut,
        Self::Streamed,
        Self::Chunked,
        Self::ChunkedPut,
    ];
}

/// Pushes `bytes` under `digest`; the last answer.
pub(crate) fn push_blob(
    client: &Client,
    repository: &str,
    way: BlobWay,
    digest: &Digest,
    bytes: &[u8],
) -> Answer {
    let uploads = format!("/v2/{repository}/blobs/uploads/");
    if way == BlobWay::PostOnly {
        return client.request("POST", &format!("{uploads}?digest={digest}"), bytes);
    }
    let mut location = start(client, repository);
    let chunks: Vec<&[u8]> = bytes.chunks(bytes.len().div_ceil(3).max(1)).collect();
    let patched = match way {
        BlobWay::Streamed => {
            let answer = client.request("PATCH", &location, bytes);
            assert_eq!(answer.status, 202, "{answer:?}");
            location = answer.field("Location").unwrap().to_owned();
            chunks.len()
        }
        BlobWay::Chunked => chunks.len(),
        BlobWay::ChunkedPut => chunks.len().saturating_sub(1),
        BlobWay::PostPut | BlobWay::PostOnly => 0,
    };
    let mut at = 0;
    if matches!(way, BlobWay::Chunked | BlobWay::ChunkedPut) {
        for chunk in &chunks[..patched] {
            let answer = patch_range(client, &location, at, chunk);
            assert_eq!(answer.status, 202, "{answer:?}");
            at += chunk.len();
            assert_eq!(answer.field("Range"), Some(&*format!("0-{}", at - 1)));
            location = answer.field("Location").unwrap().to_owned();
        }
    }
    let location = format!("{location}?digest={digest}");
    match way {
        BlobWay::PostPut => client.request("PUT", &location, bytes),
        BlobWay::ChunkedPut if !chunks.is_empty() => {
            let last = chunks[chunks.len() - 1];
            let range = format!("{at}-{}", at + last.len() - 1);
            client
                .with("Content-Range", &range)
                .request("PUT", &location, last)
        }
        _ => client.request("PUT", &location, b""),
    }
}

/// Begins an upload; its location.
pub(crate) fn start(client: &Client, repository: &str) -> String {
    let answer = client.request("POST", &format!("/v2/{repository}/blobs/uploads/"), b"");
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.field("Location").expect("a location").to_owned()
}

/// `PATCH` of a chunk that begins at `at`.
pub(crate) fn patch_range(client: &Client, location: &str, at: usize, chunk: &[u8]) -> Answer {
    let range = format!("{at}-{}", (at + chunk.len()).saturating_sub(1));
    client
        .with("Content-Range", &range)
        .request("PATCH", location, chunk)
}

/// Pushes blobs that must be taken.
pub(crate) fn must_push_blob(client: &Client, repository: &str, bytes: &[u8]) -> Digest {
    let digest = Digest::of(bytes);
    let answer = push_blob(client, repository, BlobWay::PostPut, &digest, bytes);
    assert_eq!(answer.status, 201, "{answer:?}");
    digest
}

/// `PUT` of a manifest.
pub(crate) fn put_manifest(
    client: &Client,
    repository: &str,
    reference: &str,
    media_type: &str,
    bytes: &[u8],
) -> Answer {
    client.with("Content-Type", media_type).request(
        "PUT",
        &format!("/v2/{repository}/manifests/{reference}"),
        bytes,
    )
}

/// Pushes an image of these layers; its manifest's digest and bytes.
pub(crate) fn push_image(
    client: &Client,
    repository: &str,
    tag: &str,
    layers: &[&[u8]],
) -> (Digest, Vec<u8>) {
    let config = json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [] } });
    let config = config.to_string().into_bytes();
    must_push_blob(client, repository, &config);
    for layer in layers {
        must_push_blob(client, repository, layer);
    }
    let manifest = image(&config, layers, json!({}));
    let answer = put_manifest(client, repository, tag, OCI_MANIFEST, &manifest);
    assert_eq!(answer.status, 201, "{answer:?}");
    (Digest::of(&manifest), manifest)
}

/// A descriptor of these bytes.
pub(crate) fn descriptor(algorithm: Algorithm, media_type: &str, bytes: &[u8]) -> Value {
    json!({
        "mediaType": media_type,
        "digest": Digest::of_with(algorithm, bytes).as_str(),
        "size": bytes.len(),
    })
}

/// An OCI image manifest with `more` fields.
pub(crate) fn image(config: &[u8], layers: &[&[u8]], more: Value) -> Vec<u8> {
    let layers: Vec<_> = layers
        .iter()
        .map(|layer| descriptor(Algorithm::Sha256, OCI_LAYER, layer))
        .collect();
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(Algorithm::Sha256, OCI_CONFIG, config),
        "layers": layers,
    });
    merge(&mut manifest, more);
    manifest.to_string().into_bytes()
}

/// Puts the fields of `more` into `value`.
pub(crate) fn merge(value: &mut Value, more: Value) {
    let (Value::Object(fields), Value::Object(more)) = (value, more) else {
        panic!("both are objects");
    };
    fields.extend(more);
}

/// Bytes that differ for each `seed`.
pub(crate) fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(length).collect()
}
