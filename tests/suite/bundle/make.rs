//! Bundles and archives made of bytes, also such as no program of good will makes.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use breakwater::oci::{Digest, MediaType};
use breakwater::time::Timestamp;
use breakwater::upkeep::bundle::{
    BundleManifest, BundledBlob, BundledFile, BundledImage, BundledManifest, BundledReferrer,
    DOCKER_MANIFEST, FORMAT, INDEX, ImageKind, LAYOUT, LAYOUT_TEXT, MANIFEST, Message, SIGNATURE,
    SigningKey, blob_entry,
};
use serde_json::json;

use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{Image, Index};

/// A tar, entry by entry.
#[derive(Clone, Default)]
pub(super) struct Tar(pub(super) Vec<u8>);

impl Tar {
    pub(super) fn file(self, name: &str, bytes: &[u8]) -> Self {
        self.entry(name, b'0', "", bytes.len() as u64, bytes)
    }

    /// Any entry; `size` is what the header says.
    pub(super) fn entry(
        mut self,
        name: &str,
        kind: u8,
        link: &str,
        size: u64,
        bytes: &[u8],
    ) -> Self {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..107].copy_from_slice(b"0000644");
        match size < 1 << 33 {
            true => header[124..135].copy_from_slice(format!("{size:011o}").as_bytes()),
            false => {
                header[124] = 0x80;
                header[128..136].copy_from_slice(&size.to_be_bytes());
            }
        }
        header[156] = kind;
        header[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].fill(b' ');
        let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        self.0.extend_from_slice(&header);
        self.0.extend_from_slice(bytes);
        let length = self.0.len().next_multiple_of(512);
        self.0.resize(length, 0);
        self
    }

    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

/// What is to be in a bundle.
#[derive(Clone, Default)]
pub(super) struct Maker {
    images: Vec<BundledImage>,
    manifests: BTreeMap<String, (MediaType, Vec<u8>)>,
    blobs: BTreeMap<String, Vec<u8>>,
    without: Vec<Digest>,
}

impl Maker {
    pub(super) fn image(mut self, name: &str, image: &Image) -> Self {
        self.add(image);
        self.named(name, ImageKind::Cached, image.media_type, &image.digest())
    }

    pub(super) fn hosted(mut self, name: &str, image: &Image) -> Self {
        self.add(image);
        self.named(name, ImageKind::Hosted, image.media_type, &image.digest())
    }

    /// An index of which only these images travel.
    pub(super) fn index(mut self, name: &str, index: &Index, images: &[&Image]) -> Self {
        for image in images {
            self.add(image);
        }
        let bytes = (index.media_type, index.bytes.clone());
        self.manifests.insert(index.digest().to_string(), bytes);
        self.named(name, ImageKind::Cached, index.media_type, &index.digest())
    }

    /// Attaches an image to the one that was added last.
    pub(super) fn attached(mut self, image: &Image, tag: Option<&str>) -> Self {
        self.add(image);
        self.images
            .last_mut()
            .unwrap()
            .referrers
            .push(BundledReferrer {
                digest: image.digest(),
                tag: tag.map(str::to_owned),
            });
        self
    }

    /// Leaves blobs out, because the other side has them.
    pub(super) fn without(mut self, digest: Digest) -> Self {
        self.without.push(digest);
        self
    }

    fn add(&mut self, image: &Image) {
        let bytes = (image.media_type, image.manifest.clone());
        self.manifests.insert(image.digest().to_string(), bytes);
        for blob in image.blobs() {
            self.blobs
                .insert(Digest::of(blob).to_string(), blob.clone());
        }
    }

    fn named(
        mut self,
        name: &str,
        kind: ImageKind,
        media_type: MediaType,
        digest: &Digest,
    ) -> Self {
        self.images.push(BundledImage {
            name: name.to_owned(),
            kind,
            digest: digest.clone(),
            media_type: media_type.as_str().to_owned(),
            platforms: Vec::new(),
            absent_platforms: Vec::new(),
            size: 0,
            time: Timestamp(0),
            referrers: Vec::new(),
        });
        self
    }

    pub(super) fn manifest(&self) -> BundleManifest {
        let file = |name: &str, bytes: &[u8]| BundledFile {
            name: name.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
        };
        let manifests =
            self.manifests
                .iter()
                .map(|(digest, (media_type, bytes))| BundledManifest {
                    digest: Digest::parse(digest).unwrap(),
                    media_type: media_type.as_str().to_owned(),
                    size: bytes.len() as u64,
                });
        let blobs = self.blobs.iter().map(|(digest, bytes)| {
            let digest = Digest::parse(digest).unwrap();
            BundledBlob {
                in_bundle: !self.without.contains(&digest),
                digest,
                size: bytes.len() as u64,
            }
        });
        BundleManifest {
            format: FORMAT,
            maker: "test".to_owned(),
            time: Timestamp(0),
            size: 0,
            images: self.images.clone(),
            files: vec![
                file(LAYOUT, LAYOUT_TEXT.as_bytes()),
                file(INDEX, b"{}"),
                file(DOCKER_MANIFEST, b"[]"),
            ],
            manifests: manifests.collect(),
            blobs: blobs.collect(),
            relies_on: self.without.clone(),
            deltas: Vec::new(),
        }
    }

    pub(super) fn tar(&self) -> Vec<u8> {
        self.signed_tar(None)
    }

    pub(super) fn signed_tar(&self, key: Option<&SigningKey>) -> Vec<u8> {
        let mut manifest = Vec::new();
        self.manifest().write(&mut manifest).unwrap();
        let mut tar = Tar::default()
            .file(LAYOUT, LAYOUT_TEXT.as_bytes())
            .file(MANIFEST, &manifest);
        if let Some(key) = key {
            let mut message = Message::default();
            message.write_all(&manifest).unwrap();
            tar = tar.file(SIGNATURE, key.sign(message, "a test").as_bytes());
        }
        self.rest(tar.file(INDEX, b"{}").file(DOCKER_MANIFEST, b"[]"))
            .end()
    }

    fn rest(&self, mut tar: Tar) -> Tar {
        for (digest, (_, bytes)) in &self.manifests {
            tar = tar.file(&blob_entry(&Digest::parse(digest).unwrap()), bytes);
        }
        for (digest, bytes) in &self.blobs {
            let digest = Digest::parse(digest).unwrap();
            if !self.without.contains(&digest) {
                tar = tar.file(&blob_entry(&digest), bytes);
            }
        }
        tar
    }

    /// An OCI layout of the same images, each with these annotations.
    pub(super) fn layout(&self, annotations: &serde_json::Value) -> Vec<u8> {
        let described = self.images.iter().map(|image| {
            json!({"mediaType": image.media_type, "digest": image.digest, "size": 0, "annotations": annotations})
        });
        let index = json!({"schemaVersion": 2, "manifests": described.collect::<Vec<_>>()});
        self.rest(Tar::default())
            .file(INDEX, index.to_string().as_bytes())
            .file(LAYOUT, LAYOUT_TEXT.as_bytes())
            .end()
    }
}

/// A directory with files to import.
pub(super) struct Disk(tempfile::TempDir);

impl Disk {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> String {
        let path: PathBuf = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// A box that no upstream answers, behind the gap.
pub(super) fn behind() -> Appliance {
    Appliance::builder().toml("offline = true").start()
}

/// Runs an import that fails; its one line.
pub(super) fn refused(appliance: &Appliance, arguments: &[&str]) -> String {
    let output = appliance.run_cli(&[&["import"], arguments].concat());
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
    error
}

/// Pulls an image by tag or digest as clients do, and compares every byte.
pub(super) fn pulls(client: &Client, name: &str, reference: &str, image: &Image) {
    let got = client.get(&format!("/v2/{name}/manifests/{reference}"));
    assert_eq!(got.status, 200, "{name}:{reference}: {}", got.text());
    assert_eq!(got.body, image.manifest);
    assert_eq!(got.field("Content-Type"), Some(image.media_type.as_str()));
    for blob in image.blobs() {
        let got = client.get(&format!("/v2/{name}/blobs/{}", Digest::of(blob)));
        assert!(got.status == 200 && got.complete, "{}", got.text());
        assert_eq!(&got.body, blob);
    }
}
