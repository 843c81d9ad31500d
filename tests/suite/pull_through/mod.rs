//! The dependency proxy as clients see it: the real binary between a raw client and a fake upstream.

mod blobs;
mod lists;
mod manifests;
mod outages;
mod parts;
mod upstreams;

use crate::support::appliance::Appliance;
use crate::support::client::{Answer, Client};
use crate::support::fake_upstream::{FakeUpstream, Image};

/// Tags are believed for ever, or asked for each time: neither depends on how fast the machine is.
const BELIEVE: &str = "tag_ttl = \"1h\"";
const ASK: &str = "tag_ttl = \"0s\"";

/// A box whose tags are always asked for, and which forgets at once what the upstream did not have.
const ALWAYS_ASK: &str =
    "[cache]\ntag_ttl = \"0s\"\nnegative_ttl = \"0s\"\nrevalidate_timeout = \"30s\"";

/// An upstream with one image of two layers as `library/alpine:latest`, and a box in front of it.
fn stage(toml: &str) -> (FakeUpstream, Image, Appliance, Client) {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[100_000, 2_000]);
    fake.put_image("library/alpine", "latest", &image);
    let appliance = Appliance::builder().upstream(fake.url()).toml(toml).start();
    let client = Client::of(&appliance);
    (fake, image, appliance, client)
}

/// Changes a line of the configuration, and starts the box again.
fn reconfigure(appliance: &mut Appliance, from: &str, to: &str) {
    let config = std::fs::read_to_string(appliance.config()).unwrap();
    assert!(config.contains(from), "{config}");
    std::fs::write(appliance.config(), config.replace(from, to)).unwrap();
    appliance.restart();
}

/// `/v2/NAME/manifests/REFERENCE`
fn manifest(name: &str, reference: impl std::fmt::Display) -> String {
    format!("/v2/{name}/manifests/{reference}")
}

/// `/v2/NAME/blobs/DIGEST`
fn blob(name: &str, digest: impl std::fmt::Display) -> String {
    format!("/v2/{name}/blobs/{digest}")
}

/// Pulls a whole image by tag, as a client does; the words of `X-Cache`, manifest first.
fn pull(client: &Client, name: &str, tag: &str, image: &Image) -> Vec<String> {
    let got = client.get(&manifest(name, tag));
    assert_eq!(got.status, 200, "{}", got.text());
    assert_eq!(got.body, image.manifest);
    let mut words = vec![got.cache().to_owned()];
    for bytes in image.blobs() {
        let digest = breakwater::oci::Digest::of(bytes);
        let got = client.get(&blob(name, digest));
        assert_eq!(got.status, 200, "{}", got.text());
        assert!(got.body == *bytes && got.complete);
        words.push(got.cache().to_owned());
    }
    words
}

/// Panics unless the answer is an error in the form of the spec, with a sentence that holds `says`.
fn assert_error(answer: &Answer, status: u16, code: &str, says: &str) {
    assert_eq!(answer.verdict(), (status, code.to_owned()), "{answer:?}");
    let message = answer.message();
    assert!(message.contains(says) && message.contains(' '), "{message}");
    assert_eq!(answer.field("Content-Type"), Some("application/json"));
    assert!(answer.field("X-Request-Id").is_some());
}
