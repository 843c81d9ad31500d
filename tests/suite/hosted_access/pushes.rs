//! The same rules at the write itself: pushes, pulls and deletes by HTTP, judged again at every request.

use breakwater::oci::Digest;

use super::{ALL, Stage, stage};
use crate::support::client::{Answer, Client};

const NAME: &str = "acme/api/app";
const PUSH_PROTECTED: &str = "container protected; you are not allowed to push new package";
const DELETE_PROTECTED: &str = "container protected; you are not allowed to delete this package";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A manifest with this annotation, and the blob that it refers to.
fn image(mark: &str) -> (Vec<u8>, &'static [u8]) {
    let config = b"{}";
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{}","size":2}},"layers":[],"annotations":{{"mark":"{mark}"}}}}"#,
        Digest::of(config)
    );
    (manifest.into_bytes(), config)
}

/// Pushes an image under a tag, as clients do; the first answer that is no success, or the last one.
fn push(client: &Client, tag: &str, mark: &str) -> Answer {
    let (manifest, config) = image(mark);
    let digest = Digest::of(config);
    let upload = format!("/v2/{NAME}/blobs/uploads/?digest={digest}");
    let blob = client.request("POST", &upload, config);
    if blob.status != 201 {
        return blob;
    }
    client.with("Content-Type", MANIFEST).request(
        "PUT",
        &format!("/v2/{NAME}/manifests/{tag}"),
        &manifest,
    )
}

impl Stage {
    /// A client with a JWT for whatever the user may do with the repository.
    fn granted_client(&self, user: &str, secret: &str) -> Client {
        let scope = "repository:acme/api/app:*";
        self.client
            .bearer(&self.client.basic(user, secret).token(&[scope]))
    }
}

fn said(answer: &Answer) -> (u16, String) {
    (answer.status, answer.message())
}

#[test]
fn a_rule_bites_on_the_next_request_of_a_token_that_was_issued_before() {
    let stage = stage();
    let developer = stage.granted_client("developer", &stage.api("developer"));
    let admin = stage.granted_client("admin", &stage.api("admin"));
    assert_eq!(push(&developer, "1", "a").status, 201);
    let rule = stage.appliance.json(&[
        "rule",
        "add",
        "acme/api",
        "acme/api*",
        "--min-push",
        "maintainer",
        "--json",
    ]);
    let id = rule["id"].to_string();
    let refused = push(&developer, "1", "b");
    assert_eq!(said(&refused), (403, PUSH_PROTECTED.to_owned()));
    assert_eq!(refused.code(), "DENIED");
    assert_eq!(push(&admin, "1", "b").status, 201);
    // Example 16, all with one token of the administrator.
    stage
        .appliance
        .ok(&["rule", "set", &id, "--push-protected-up-to", "no_access"]);
    let (status, message) = said(&push(&admin, "1", "c"));
    let told = format!("{PUSH_PROTECTED}: rule {id} (`acme/api*`) lets nobody do it (");
    assert!(status == 403 && message.starts_with(&told), "{message}");
    stage
        .appliance
        .ok(&["rule", "set", &id, "--push-protected-up-to", "developer"]);
    assert_eq!(push(&admin, "1", "c").status, 201);
    // Pulling was never in question.
    let pulled = developer.get(&format!("/v2/{NAME}/manifests/1"));
    assert_eq!(pulled.body, image("c").0, "{}", pulled.text());
}

#[test]
fn a_lost_membership_and_a_lowered_level_bite_on_the_next_request() {
    let stage = stage();
    let developer = stage.granted_client("developer", &stage.api("developer"));
    assert_eq!(push(&developer, "1", "a").status, 201);
    let path = format!("/v2/{NAME}/manifests/1");
    stage
        .appliance
        .ok(&["member", "add", "acme", "developer", "--level", "reporter"]);
    let (status, message) = said(&push(&developer, "1", "b"));
    assert_eq!(status, 403);
    assert!(message.contains("ask for the level developer"), "{message}");
    assert_eq!(developer.get(&path).status, 200);
    stage
        .appliance
        .ok(&["member", "add", "acme", "developer", "--level", "guest"]);
    assert_eq!(developer.get(&path).status, 403);
    stage
        .appliance
        .ok(&["member", "remove", "acme", "developer"]);
    assert_eq!(developer.get(&path).verdict(), (404, "NAME_UNKNOWN".into()));
}

#[test]
fn deletes_are_protected_likewise() {
    let stage = stage();
    let developer = stage.granted_client("developer", &stage.api("developer"));
    let maintainer = stage.granted_client("maintainer", &stage.api("maintainer"));
    assert_eq!(push(&developer, "1", "a").status, 201);
    let path = format!("/v2/{NAME}/manifests/1");
    let (status, message) = said(&developer.request("DELETE", &path, b""));
    assert_eq!(status, 403);
    assert!(
        message.contains("ask for the level maintainer"),
        "{message}"
    );
    let rule = stage.appliance.json(&[
        "rule",
        "add",
        "acme/api",
        "acme/api*",
        "--min-delete",
        "owner",
        "--json",
    ]);
    let (status, message) = said(&maintainer.request("DELETE", &path, b""));
    let told = format!(
        "{DELETE_PROTECTED}: rule {} (`acme/api*`) asks for the level owner (",
        rule["id"]
    );
    assert!(status == 403 && message.starts_with(&told), "{message}");
    stage
        .appliance
        .ok(&["rule", "remove", &rule["id"].to_string()]);
    assert_eq!(maintainer.request("DELETE", &path, b"").status, 202);
    assert_eq!(maintainer.get(&path).status, 404);
}

#[test]
fn single_tags_are_protected_and_immutable() {
    let stage = stage();
    let developer = stage.granted_client("developer", &stage.api("developer"));
    let maintainer = stage.granted_client("maintainer", &stage.api("maintainer"));
    stage.appliance.ok(&[
        "rule",
        "add",
        "acme/api",
        "acme/api*",
        "--tags",
        "prod*",
        "--min-push",
        "owner",
    ]);
    stage.appliance.ok(&[
        "rule",
        "tag",
        "acme/api",
        "^v[0-9]+",
        "--min-push",
        "maintainer",
    ]);
    stage
        .appliance
        .ok(&["rule", "tag", "acme/api", "^release-", "--immutable"]);
    assert_eq!(push(&developer, "latest", "a").status, 201);
    let prod = push(&developer, "prod-1", "a");
    assert_eq!(said(&prod), (403, PUSH_PROTECTED.to_owned()));
    let (status, message) = said(&push(&maintainer, "prod-1", "a"));
    let told = format!("{PUSH_PROTECTED}: rule 1 (`acme/api*` with tags `prod*`) asks for");
    assert!(status == 403 && message.starts_with(&told), "{message}");
    let (status, message) = said(&push(&developer, "v1", "a"));
    assert_eq!(status, 403);
    assert!(message.starts_with("tag protected"), "{message}");
    assert_eq!(push(&maintainer, "v1", "a").status, 201);
    // Made once; the same again is fine; another never, nor can it be taken away.
    assert_eq!(push(&developer, "release-1", "a").status, 201);
    assert_eq!(push(&developer, "release-1", "a").status, 201);
    let (status, message) = said(&push(&maintainer, "release-1", "b"));
    assert_eq!(status, 403);
    assert!(message.contains("immutable"), "{message}");
    let rule = ": rule 3 (tags `^release-`) makes it so";
    assert!(message.contains(rule), "{message}");
    let (_, message) = said(&push(&developer, "release-1", "b"));
    assert!(
        message.contains("immutable") && !message.contains("rule"),
        "{message}"
    );
    let path = format!("/v2/{NAME}/manifests/release-1");
    assert_eq!(maintainer.request("DELETE", &path, b"").status, 403);
    // By its digest it would take the tag with it.
    let by_digest = format!("/v2/{NAME}/manifests/{}", Digest::of(&image("a").0));
    assert_eq!(maintainer.request("DELETE", &by_digest, b"").status, 403);
    assert_eq!(developer.get(&path).body, image("a").0);
}

#[test]
fn deploy_and_job_tokens_push_where_they_may() {
    let stage = stage();
    stage.appliance.ok(&["project", "add", "acme/web"]);
    let both = "read_registry,write_registry";
    let deploy = |place: &str| {
        let secret = stage.create(&["--deploy", place, "--username", "d", "--scope", both]);
        stage.granted_client("d", &secret)
    };
    let job = |project: &str| {
        let secret = stage.create(&["--job", project, "--user", "developer", "--ttl", "1h"]);
        stage.granted_client("gitlab-ci-token", &secret)
    };
    assert_eq!(push(&deploy("acme/api"), "1", "a").status, 201);
    assert_eq!(push(&deploy("acme"), "1", "b").status, 201);
    assert_eq!(push(&deploy("acme/web"), "1", "c").status, 404);
    assert_eq!(push(&job("acme/api"), "1", "c").status, 201);
    let (status, message) = said(&push(&job("acme/web"), "1", "d"));
    assert_eq!(status, 403);
    assert!(message.contains("its own project"), "{message}");
    let path = format!("/v2/{NAME}/manifests/1");
    assert_eq!(job("acme/web").get(&path).body, image("c").0);
    let deleted = deploy("acme/api").request("DELETE", &path, b"");
    assert_eq!(deleted.status, 403, "a deploy token never deletes");
    stage.appliance.ok(&[
        "rule",
        "add",
        "acme/api",
        "acme/api*",
        "--min-push",
        "maintainer",
    ]);
    assert_eq!(
        said(&push(&deploy("acme"), "1", "e")),
        (403, PUSH_PROTECTED.to_owned())
    );
}

#[test]
fn a_jwt_does_no_more_than_it_was_issued_for() {
    let stage = stage();
    let secret = stage.api("owner");
    let basic = stage.client.basic("owner", &secret);
    let pulls = basic.token(&["repository:acme/api/app:pull"]);
    let other = basic.token(&["repository:acme/api:pull,push,delete"]);
    for jwt in [pulls, other] {
        let refused = push(&stage.client.bearer(&jwt), "1", "a");
        assert_eq!(refused.status, 401, "{}", refused.text());
        let challenge = refused.field("WWW-Authenticate").unwrap().to_owned();
        assert!(
            challenge.contains(r#"scope="repository:acme/api/app:pull,push""#),
            "{challenge}"
        );
        assert!(
            challenge.contains(r#"error="insufficient_scope""#),
            "{challenge}"
        );
    }
    assert_eq!(
        push(&stage.client.bearer(&basic.token(&[ALL])), "1", "a").status,
        201
    );
}
