//! What people ask of the cache and tell it: pins, purges, what goes next and why.

mod doctor;
mod evict;
mod history;
mod incomplete;
mod pins;
mod purge;
mod show;
mod statistics;

use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image};

/// An upstream, and a box in front of it that believes tags.
fn stage() -> (FakeUpstream, Appliance, Client) {
    let fake = FakeUpstream::start();
    let toml = "[cache]\ntag_ttl = \"1h\"";
    let appliance = Appliance::builder().upstream(fake.url()).toml(toml).start();
    let client = Client::of(&appliance);
    (fake, appliance, client)
}

/// Pulls a manifest by tag or digest, and these images' blobs.
pub(crate) fn pull(client: &Client, name: &str, reference: &str, images: &[&Image]) {
    let got = client.get(&format!("/v2/{name}/manifests/{reference}"));
    assert_eq!(got.status, 200, "{}", got.text());
    for image in images {
        for bytes in image.blobs() {
            let digest = breakwater::oci::Digest::of(bytes);
            let got = client.get(&format!("/v2/{name}/blobs/{digest}"));
            assert!(got.status == 200 && got.complete, "{}", got.text());
        }
    }
}
