//! Logins and what they are worth: the worked examples that need only users, personal tokens, groups and
//! networks, over HTTP and with the command line as the other process.

mod audit;
mod bans;
mod consequences;
mod fills;
mod forged;
mod hidden;
mod keys;
mod kinds;
mod refusals;
mod secrets;
mod ways;
mod who;

use std::path::Path;

use crate::support::appliance::Appliance;
use crate::support::client::{Answer, Client};
use crate::support::fake_upstream::{FakeUpstream, Image};

const IMAGE: &str = "acme/dependency_proxy/containers/alpine";
const SCOPE: &str = "repository:acme/dependency_proxy/containers/alpine:pull";
const BOTH: &[&str] = &["read_registry", "write_registry"];

struct Stage {
    fake: FakeUpstream,
    image: Image,
    appliance: Appliance,
    client: Client,
}

/// A private group `acme` with the guest `alice`, and an image.
fn stage() -> Stage {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[20_000]);
    fake.put_image("library/alpine", "latest", &image);
    let toml = "[cache]\ntag_ttl = \"1h\"\nnegative_ttl = \"0s\"";
    let appliance = Appliance::builder().upstream(fake.url()).toml(toml).start();
    appliance.ok(&["group", "add", "acme"]);
    appliance.ok(&["user", "add", "alice", "--service"]);
    appliance.ok(&["member", "add", "acme", "alice", "--level", "guest"]);
    let client = Client::of(&appliance);
    Stage {
        fake,
        image,
        appliance,
        client,
    }
}

impl Stage {
    /// Logs in as `docker login` and `docker pull` do; the client with its JWT.
    fn login(&self, user: &str, secret: &str) -> Client {
        let basic = self.client.basic(user, secret);
        let base =
            basic.get("/jwt/auth?service=dependency_proxy&offline_token=true&client_id=docker");
        assert_eq!(base.status, 200, "{}", base.text());
        self.client.bearer(&basic.token(&[SCOPE]))
    }

    /// Pulls the image by tag: the words of `X-Cache`.
    fn pull(&self, client: &Client) -> Vec<String> {
        let got = client.get(&format!("/v2/{IMAGE}/manifests/latest"));
        assert_eq!(got.body, self.image.manifest, "{}", got.text());
        let mut words = vec![got.cache().to_owned()];
        for bytes in self.image.blobs() {
            let digest = breakwater::oci::Digest::of(bytes);
            let got = client.get(&format!("/v2/{IMAGE}/blobs/{digest}"));
            assert!(got.body == *bytes && got.complete, "{}", got.head);
            words.push(got.cache().to_owned());
        }
        words
    }

    fn manifest(&self, client: &Client) -> Answer {
        client.get(&format!("/v2/{IMAGE}/manifests/latest"))
    }

    /// All that is kept: files by name, and rows as `cache list` and `cache stats` have them.
    fn kept(&self) -> (Vec<String>, String) {
        let mut names = Vec::new();
        walk(&self.appliance.data().join("blobs"), &mut |path| {
            names.push(path.display().to_string());
        });
        names.sort();
        (names, self.appliance.ok(&["cache", "list", "--json"]))
    }
}

/// Calls `found` for every file below a directory.
fn walk(directory: &Path, found: &mut dyn FnMut(&Path)) {
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            found(&path);
        }
    }
}
