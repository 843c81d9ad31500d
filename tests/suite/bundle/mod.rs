//! Bundles of images: what is exported, and what becomes of it.

mod deltas;
mod export;
mod faults;
mod import;
mod import_archives;
mod import_crash;
mod import_refused;
mod make;
mod round_trip;
mod scale;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::Output;

use breakwater::oci::Digest;
use breakwater::upkeep::bundle::{BundleManifest, MANIFEST};
use serde_json::json;

use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image, Index};
use crate::support::pushing::{Hosted, image, must_push_blob, push_image, put_manifest};

/// One entry of a tar.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    name: String,
    bytes: Vec<u8>,
}

/// A box that has cached an index of two platforms and hosts two images, of which one is signed.
struct Stage {
    _fake: FakeUpstream,
    hosted: Hosted,
    index: Index,
    signed: Digest,
}

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

impl Stage {
    fn new() -> Self {
        let fake = FakeUpstream::start();
        let amd64 = Image::oci(1, &[50_000, 3_000_000]);
        let arm64 = Image::oci(2, &[40_000]);
        let s390x = Image::oci(3, &[30_000]);
        let index = Index::of(&[("amd64", &amd64), ("arm64", &arm64), ("s390x", &s390x)]);
        fake.put_index("library/alpine", "3.20", &index);
        let hosted = Hosted::of(Appliance::with_upstream(fake.url()));
        let client = Client::of(&hosted.appliance);
        pull(&client, "library/alpine", "3.20", &[]);
        for image in [&amd64, &arm64] {
            let digest = image.digest();
            pull(&client, "library/alpine", digest.as_str(), &[image]);
        }
        let pusher = hosted.client(&["acme/api"]);
        let (signed, _) = push_image(&pusher, "acme/api", "1", &[b"first", b"shared"]);
        push_image(&pusher, "acme/api", "2", &[b"second", b"shared"]);
        sign(&pusher, &signed);
        Self {
            _fake: fake,
            hosted,
            index,
            signed,
        }
    }

    fn appliance(&self) -> &Appliance {
        &self.hosted.appliance
    }
}

/// Attaches a signature by its subject, and one by the name of its tag.
fn sign(pusher: &Client, subject: &Digest) {
    let by_subject = json!({ "subject": { "mediaType": OCI_MANIFEST, "digest": subject.as_str(), "size": 1 },
        "artifactType": "application/vnd.dev.sigstore.bundle.v0.3+json" });
    let tag = format!("sha256-{}.sig", subject.hex());
    for (reference, layer, more) in [
        (None, &b"by subject"[..], by_subject),
        (Some(tag.as_str()), b"by tag", json!({})),
    ] {
        for blob in [&b"{}"[..], layer] {
            must_push_blob(pusher, "acme/api", blob);
        }
        let manifest = image(b"{}", &[layer], more);
        let digest = Digest::of(&manifest);
        let reference = reference.unwrap_or(digest.as_str());
        let answer = put_manifest(pusher, "acme/api", reference, OCI_MANIFEST, &manifest);
        assert_eq!(answer.status, 201, "{answer:?}");
    }
}

/// Pulls a manifest by tag or digest, and these images' blobs.
fn pull(client: &Client, name: &str, reference: &str, images: &[&Image]) {
    let got = client.get(&format!("/v2/{name}/manifests/{reference}"));
    assert_eq!(got.status, 200, "{}", got.text());
    for image in images {
        for bytes in image.blobs() {
            let digest = Digest::of(bytes);
            let got = client.get(&format!("/v2/{name}/blobs/{digest}"));
            assert!(got.status == 200 && got.complete, "{}", got.text());
        }
    }
}

fn entries(path: &Path) -> Vec<Entry> {
    let mut archive = tar::Archive::new(File::open(path).unwrap());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let header = entry.header().clone();
        let plain = (
            header.mode().unwrap(),
            header.uid().unwrap(),
            header.gid().unwrap(),
            header.mtime().unwrap(),
        );
        assert_eq!(plain, (0o644, 0, 0, 0));
        assert_eq!(header.entry_type(), tar::EntryType::Regular);
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        let name = entry.path().unwrap().display().to_string();
        Entry { name, bytes }
    });
    entries.collect()
}

fn manifest(entries: &[Entry]) -> BundleManifest {
    assert_eq!(entries[1].name, MANIFEST);
    BundleManifest::read(entries[1].bytes.as_slice()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The names in a directory, sorted.
fn names_in(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
