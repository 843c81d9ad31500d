//! What is damaged or lost on the disk is found, named, and mended or reported.

mod databases;
mod repairs;
mod saves;
mod scrubs;

use std::path::{Path, PathBuf};

use breakwater::oci::Digest;

use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image};

fn manifest_path(repository: &str, reference: &str) -> String {
    format!("/v2/{repository}/manifests/{reference}")
}

fn blob_path(repository: &str, digest: &Digest) -> String {
    format!("/v2/{repository}/blobs/{digest}")
}

/// Where the file of a blob is.
fn file_of(data: &Path, digest: &Digest) -> PathBuf {
    let hex = digest.hex();
    data.join("blobs/sha256").join(&hex[..2]).join(hex)
}

/// Puts the image at the upstream, and pulls it whole.
fn put_and_pull(fake: &FakeUpstream, appliance: &Appliance, repository: &str, image: &Image) {
    fake.put_image(repository, "1", image);
    pull(appliance, repository, image);
}

/// Pulls the image by its tag `1`, and every blob; the word of each answer.
fn pull(appliance: &Appliance, repository: &str, image: &Image) -> Vec<String> {
    let client = Client::of(appliance);
    let mut words = Vec::new();
    let mut get = |path: String, expected: &[u8]| {
        let answer = client.get(&path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert!(answer.body == expected, "{path}");
        words.push(answer.cache().to_owned());
    };
    get(manifest_path(repository, "1"), &image.manifest);
    for blob in image.blobs() {
        get(blob_path(repository, &Digest::of(blob)), blob);
    }
    words
}

/// Flips a bit in the middle.
fn flip_bit(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// The checks that `doctor` found something for.
fn doctor(appliance: &Appliance) -> Vec<String> {
    let output = appliance.run_cli(&["doctor", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .map(|finding| finding["check"].as_str().unwrap().to_owned())
        .collect()
}
