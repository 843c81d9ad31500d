//! The shapes of content that the suite knows.

use breakwater::oci::{Algorithm, Digest};
use serde_json::{Value, json};

use crate::support::pushing::{
    EMPTY_JSON, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, bytes, descriptor, merge,
};

/// What is pushed for one case, in order.
#[derive(Default)]
pub(super) struct Content {
    algorithm: Option<Algorithm>,
    pub(super) blobs: Vec<Vec<u8>>,
    pub(super) manifests: Vec<(Vec<u8>, &'static str)>,
    /// Tag and the manifest's place in `manifests`.
    pub(super) tags: Vec<(&'static str, usize)>,
    /// Whether tags are set by `?tag=`, with the push by digest.
    pub(super) tag_parameters: bool,
    seed: u64,
}

impl Content {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            ..Self::default()
        }
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm.unwrap_or(Algorithm::Sha256)
    }

    pub(super) fn digest(&self, bytes: &[u8]) -> Digest {
        Digest::of_with(self.algorithm(), bytes)
    }

    fn blob(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let descriptor = descriptor(self.algorithm(), media_type, &bytes);
        self.blobs.push(bytes);
        descriptor
    }

    fn layer(&mut self) -> Value {
        self.seed += 1;
        self.blob(OCI_LAYER, bytes(self.seed, 600))
    }

    fn config(&mut self) -> Value {
        self.seed += 1;
        let config = json!({ "architecture": "amd64", "os": "linux", "author": self.seed });
        self.blob(OCI_CONFIG, config.to_string().into_bytes())
    }

    fn manifest(&mut self, media_type: &'static str, value: &Value) -> Value {
        let bytes = value.to_string().into_bytes();
        let descriptor = descriptor(self.algorithm(), media_type, &bytes);
        self.manifests.push((bytes, media_type));
        descriptor
    }

    fn image(&mut self, more: Value) -> Value {
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": self.config(),
            "layers": [self.layer(), self.layer()],
        });
        merge(&mut manifest, more);
        self.manifest(OCI_MANIFEST, &manifest)
    }

    fn artifact(&mut self, artifact_type: &str, more: Value) -> Value {
        self.seed += 1;
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": artifact_type,
            "config": self.blob(EMPTY_JSON, b"{}".to_vec()),
            "layers": [self.blob(artifact_type, bytes(self.seed, 90))],
        });
        merge(&mut manifest, more);
        self.manifest(OCI_MANIFEST, &manifest)
    }

    fn index(&mut self, manifests: &[Value], more: Value) -> Value {
        let mut index =
            json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests });
        merge(&mut index, more);
        self.manifest(OCI_INDEX, &index)
    }

    fn tag_last(mut self, tag: &'static str) -> Self {
        self.tags.push((tag, self.manifests.len() - 1));
        self
    }
}

pub(super) fn cases() -> Vec<(&'static str, Content)> {
    let build = |seed: u64, build: fn(&mut Content)| {
        let mut content = Content::new(seed * 1000);
        build(&mut content);
        content
    };
    let subject = json!({ "mediaType": OCI_MANIFEST, "digest": Digest::of(b"missing").as_str(), "size": 123 });
    let mut missing_subject = Content::new(99_000);
    missing_subject.artifact(
        "application/vnd.example.one",
        json!({ "subject": subject, "annotations": { "org.example": "hello" } }),
    );
    let sha512 = |seed| Content {
        algorithm: Some(Algorithm::Sha512),
        ..Content::new(seed)
    };
    let mut by_sha512 = sha512(98_000);
    let children = [by_sha512.image(json!({})), by_sha512.image(json!({}))];
    by_sha512.index(&children, json!({}));
    let mut parameters_512 = Content {
        tag_parameters: true,
        ..sha512(97_000)
    };
    parameters_512.image(json!({}));
    let mut parameters = Content {
        tag_parameters: true,
        ..Content::new(96_000)
    };
    let child = parameters.image(json!({}));
    parameters.index(&[child], json!({}));
    vec![
        ("an image", build(1, |c| drop(c.image(json!({})))).tag_last("image")),
        (
            "a large manifest",
            build(2, |c| {
                let annotations: serde_json::Map<_, _> = (0..390)
                    .map(|n| (format!("large-{n}"), Value::from("A".repeat(10_000))))
                    .collect();
                c.image(json!({ "annotations": annotations }));
            })
            .tag_last("large"),
        ),
        (
            "an index",
            build(3, |c| {
                let children = [c.image(json!({})), c.image(json!({}))];
                c.index(&children, json!({}));
            })
            .tag_last("index"),
        ),
        (
            "an index of indexes",
            build(4, |c| {
                let first = [c.image(json!({})), c.image(json!({}))];
                let second = [c.image(json!({}))];
                let indexes = [c.index(&first, json!({})), c.index(&second, json!({}))];
                c.index(&indexes, json!({}));
            })
            .tag_last("nested"),
        ),
        (
            "an empty index",
            build(5, |c| drop(c.index(&[], json!({})))).tag_last("empty-index"),
        ),
        (
            "an artifact",
            build(6, |c| drop(c.artifact("application/vnd.example.one", json!({}))))
                .tag_last("artifact"),
        ),
        (
            "an index of artifacts",
            build(7, |c| {
                let children = [c.artifact("application/vnd.example.one", json!({}))];
                c.index(&children, json!({ "artifactType": "application/vnd.example.one" }));
            })
            .tag_last("artifact-index"),
        ),
        (
            "an artifact whose only layer is the empty one",
            build(8, |c| {
                let empty = c.blob(EMPTY_JSON, b"{}".to_vec());
                let manifest = json!({
                    "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": empty, "layers": [empty],
                    "artifactType": "application/vnd.example.one",
                });
                c.manifest(OCI_MANIFEST, &manifest);
            })
            .tag_last("artifact-without-layers"),
        ),
        (
            "artifacts with a subject",
            build(9, |c| {
                let subject = c.image(json!({}));
                c.image(json!({ "subject": subject }));
                for artifact_type in ["application/vnd.example.one", "application/vnd.example.two"] {
                    c.artifact(
                        artifact_type,
                        json!({ "subject": subject, "annotations": { "org.example": artifact_type } }),
                    );
                }
            })
            .tag_last("tagged-artifact"),
        ),
        (
            "an index with a subject",
            build(10, |c| {
                let child = c.image(json!({}));
                let subject = c.index(std::slice::from_ref(&child), json!({}));
                c.index(
                    &[child],
                    json!({ "subject": subject, "artifactType": "application/vnd.example.one",
                            "annotations": { "a": "b" } }),
                );
            })
            .tag_last("index-with-subject"),
        ),
        ("a subject that is not here", missing_subject.tag_last("missing-subject")),
        (
            "content inside descriptors",
            build(11, |c| {
                use base64::Engine as _;
                let config = b"{\"inside\":true}".to_vec();
                let data = base64::engine::general_purpose::STANDARD.encode(&config);
                let mut described = c.blob(OCI_CONFIG, config);
                described["data"] = Value::from(data);
                let manifest = json!({
                    "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described,
                    "layers": [c.layer()],
                });
                c.manifest(OCI_MANIFEST, &manifest);
            })
            .tag_last("data-field"),
        ),
        (
            "layers that may not be distributed",
            build(12, |c| {
                let elsewhere = |seed: u64, media_type: &str| {
                    let digest = Digest::of(&bytes(seed, 5));
                    json!({
                        "mediaType": media_type, "digest": digest.as_str(), "size": 123_456,
                        "urls": [format!("https://store.example.com/{digest}")],
                    })
                };
                let manifest = json!({
                    "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": c.config(),
                    "layers": [
                        elsewhere(1, "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
                        elsewhere(2, "application/vnd.oci.image.layer.nondistributable.v1.tar"),
                        elsewhere(3, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
                        c.layer(),
                    ],
                });
                c.manifest(OCI_MANIFEST, &manifest);
            })
            .tag_last("non-distributable"),
        ),
        (
            "fields that nobody knows",
            build(13, |c| {
                let odd = json!({ "org.example.odd": { "deep": [1, null, "x"] }, "zzz": 1.5e300 });
                let child = c.image(odd.clone());
                c.index(&[child], odd);
            })
            .tag_last("custom-fields"),
        ),
        (
            "an image without layers",
            build(14, |c| {
                let manifest = json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST,
                                       "config": c.config(), "layers": [] });
                c.manifest(OCI_MANIFEST, &manifest);
            })
            .tag_last("no-layers"),
        ),
        (
            "an index of which one image is not here",
            build(15, |c| {
                let absent = json!({ "mediaType": OCI_MANIFEST, "digest": Digest::of(b"absent").as_str(),
                                     "size": 1024 });
                let children = [c.image(json!({})), absent];
                c.index(&children, json!({}));
            })
            .tag_last("sparse-index"),
        ),
        (
            "Docker's schema 2",
            build(16, |c| {
                const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
                const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
                let config = c.blob(
                    "application/vnd.docker.container.image.v1+json",
                    b"{\"docker\":1}".to_vec(),
                );
                let layer = c.blob(
                    "application/vnd.docker.image.rootfs.diff.tar.gzip",
                    bytes(77, 300),
                );
                let image = c.manifest(
                    MANIFEST,
                    &json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config,
                             "layers": [layer] }),
                );
                c.manifest(
                    LIST,
                    &json!({ "schemaVersion": 2, "mediaType": LIST, "manifests": [image] }),
                );
            })
            .tag_last("docker"),
        ),
        ("sha512", by_sha512),
        ("tags as parameters", parameters.tag_last("param-1").tag_last("param-2")),
        ("tags as parameters, sha512", parameters_512.tag_last("param-512")),
    ]
}
