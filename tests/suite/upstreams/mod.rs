//! Several upstreams at run time: groups that bring their own, whose content never mixes, and what
//! commands change under a running server.

mod built_in;
mod changes;
mod deny;
mod refused;
mod settings;
mod sharing;

use breakwater::oci::Digest;

use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::Image;

/// The name that upstreams have here unless it matters.
const NAME: &str = "private.test";
const FILL: &[&str] = &["read_registry", "write_registry"];
const READ: &[&str] = &["read_registry"];

/// A group's dependency proxy, as one member sees it.
struct Member {
    client: Client,
    repository: String,
}

impl Member {
    fn manifest(&self, reference: impl std::fmt::Display) -> String {
        format!("/v2/{}/manifests/{reference}", self.repository)
    }

    fn blob(&self, bytes: &[u8]) -> String {
        format!("/v2/{}/blobs/{}", self.repository, Digest::of(bytes))
    }

    /// Pulls a manifest and its blobs; where each came from.
    fn pull(&self, reference: &str, image: &Image) -> Vec<String> {
        let answer = self.client.get(&self.manifest(reference));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.body, image.manifest);
        let mut words = vec![answer.cache().to_owned()];
        for blob in image.blobs() {
            let answer = self.client.get(&self.blob(blob));
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert!(answer.complete && answer.body == *blob);
            words.push(answer.cache().to_owned());
        }
        words
    }

    /// Panics unless neither the manifest nor any blob of `image` can be had.
    fn assert_hidden(&self, image: &Image) {
        let mut paths = vec![self.manifest(image.digest())];
        paths.extend(image.blobs().map(|blob| self.blob(blob)));
        for path in paths {
            for method in ["GET", "HEAD"] {
                let answer = self.client.request(method, &path, b"");
                // 503 where the upstream refuses the group's password.
                assert!(
                    matches!(answer.status, 404 | 503),
                    "{method} {path}: {answer:?}"
                );
            }
        }
    }
}

/// A group with one member of the same name, whose token has these scopes; it pulls `image`.
fn member(appliance: &Appliance, group: &str, scopes: &[&str], image: &str) -> Member {
    let known = appliance.json(&["group", "list", "--json"]);
    let known = known.as_array().unwrap();
    if !known.iter().any(|one| one["full_path"] == group) {
        appliance.ok(&["group", "add", group]);
    }
    let user = format!("{}-{}", group.replace('/', "-"), scopes.len());
    let secret = appliance.token(&user, scopes);
    appliance.ok(&["member", "add", group, &user, "--level", "guest"]);
    let repository = format!("{group}/dependency_proxy/containers/{image}");
    let scope = format!("repository:{repository}:pull");
    let token = Client::of(appliance).basic(&user, &secret).token(&[&scope]);
    Member {
        client: Client::of(appliance).bearer(&token),
        repository,
    }
}

/// Adds a group's upstream on loopback.
fn add(appliance: &Appliance, group: &str, url: &str, login: Option<(&str, &str)>) {
    let mut arguments = vec!["upstream", "add", NAME, url, "--group", group];
    arguments.push("--allow-private-addresses");
    let password = match login {
        Some((username, password)) => {
            arguments.extend(["--username", username, "--password-stdin"]);
            password
        }
        None => "",
    };
    appliance.ok_with_input(&arguments, &format!("{password}\n"));
}
