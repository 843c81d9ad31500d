//! "Content Discovery": tags and referrers page by page, the catalog, and what is not there.

use breakwater::oci::Digest;
use serde_json::{Value, json};

use super::REPOSITORY;
use crate::support::client::{Answer, Client};
use crate::support::pushing::{Hosted, OCI_INDEX, OCI_MANIFEST, image, push_image, put_manifest};

/// The target of `Link` with `rel="next"`.
fn next(answer: &Answer) -> Option<String> {
    let link = answer.field("Link")?;
    let target = link.strip_prefix('<')?.strip_suffix(">; rel=\"next\"")?;
    Some(target.to_owned())
}

/// Every entry, following `Link`, and how many pages they came in.
fn all_pages(client: &Client, path: &str, field: &str) -> (Vec<Value>, usize) {
    let (mut entries, mut pages, mut path) = (Vec::new(), 0, path.to_owned());
    loop {
        let answer = client.get(&path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        entries.extend(answer.json()[field].as_array().unwrap().clone());
        pages += 1;
        match next(&answer) {
            Some(following) => path = following,
            None => return (entries, pages),
        }
    }
}

#[test]
fn tags_come_sorted_in_pages() {
    let hosted = Hosted::start();
    let client = hosted.client(&[REPOSITORY]);
    let path = format!("/v2/{REPOSITORY}/tags/list");
    assert_eq!(client.get(&path).verdict(), (404, "NAME_UNKNOWN".into()));
    let (digest, manifest) = push_image(&client, REPOSITORY, "only-one", &[b"layer"]);
    let mut names: Vec<String> = (0..205).map(|n| format!("t{n}")).collect();
    names.extend(["A", "_x", "a.b-c", "Z9"].map(str::to_owned));
    for some in names.chunks(100) {
        let query: Vec<_> = some.iter().map(|name| format!("tag={name}")).collect();
        let reference = format!("{digest}?{}", query.join("&"));
        let answer = put_manifest(&client, REPOSITORY, &reference, OCI_MANIFEST, &manifest);
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    names.push("only-one".to_owned());
    names.sort();
    let names: Vec<_> = names.into_iter().map(Value::from).collect();
    for (query, pages) in [
        ("", 3),
        ("?n=7", 30),
        ("?n=1000", 1),
        ("?n=99999", 1),
        ("?n=210", 1),
    ] {
        let (found, count) = all_pages(&client, &format!("{path}{query}"), "tags");
        assert_eq!((found.len(), count), (names.len(), pages), "{query}");
        assert_eq!(found, names, "{query}");
    }
    let answer = client.get(&format!("{path}?n=3&last=t200"));
    assert_eq!(
        answer.json(),
        json!({ "name": REPOSITORY, "tags": ["t201", "t202", "t203"] })
    );
    let expected = format!("{path}?n=3&last=t203");
    assert_eq!(next(&answer), Some(expected));
    let last = client.get(&format!("{path}?last=t98"));
    assert_eq!(
        (last.json()["tags"].clone(), next(&last)),
        (json!(["t99"]), None)
    );
    let none = client.get(&format!("{path}?n=0"));
    assert_eq!(
        (none.json()["tags"].clone(), next(&none)),
        (json!([]), None)
    );
    for n in ["x", "-1", "1e3", ""] {
        assert_eq!(client.get(&format!("{path}?n={n}")).status, 400, "n={n}");
    }
    let too_many: Vec<_> = (0..101).map(|n| format!("tag=x{n}")).collect();
    let reference = format!("{digest}?{}", too_many.join("&"));
    let answer = put_manifest(&client, REPOSITORY, &reference, OCI_MANIFEST, &manifest);
    assert_eq!(answer.status, 400);
}

#[test]
fn referrers_come_in_pages_and_before_their_subject() {
    let hosted = Hosted::start();
    let client = hosted.client(&[REPOSITORY]);
    let unknown = Digest::of(b"nothing");
    let path = format!("/v2/{REPOSITORY}/referrers/{unknown}");
    let answer = client.get(&path);
    assert_eq!(
        answer.status, 200,
        "a repository that is not here has no referrers"
    );
    assert_eq!(
        answer.json(),
        json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [] })
    );
    push_image(&client, REPOSITORY, "seed", &[b"layer"]);
    let config = b"{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"diff_ids\":[],\"type\":\"layers\"}}";
    let digest = crate::support::pushing::must_push_blob(&client, REPOSITORY, config);
    assert_eq!(digest, Digest::of(config));
    let subject = image(
        config,
        &[b"layer"],
        json!({ "annotations": { "the": "subject" } }),
    );
    let of_subject = json!({ "mediaType": OCI_MANIFEST, "digest": Digest::of(&subject).as_str(),
                             "size": subject.len() });
    let types = [
        "application/vnd.example.sbom",
        "application/vnd.example.signature",
    ];
    for number in 0..7 {
        let manifest = image(
            config,
            &[b"layer"],
            json!({ "subject": of_subject, "artifactType": types[number % 2],
                    "annotations": { "number": number.to_string() } }),
        );
        let digest = Digest::of(&manifest).to_string();
        let answer = put_manifest(&client, REPOSITORY, &digest, OCI_MANIFEST, &manifest);
        assert_eq!(answer.status, 201);
        assert_eq!(answer.field("OCI-Subject"), of_subject["digest"].as_str());
    }
    let path = format!("/v2/{REPOSITORY}/referrers/{}", Digest::of(&subject));
    for round in ["before the subject", "after it"] {
        for (query, count, pages) in [
            (String::new(), 7, 1),
            ("?n=3".into(), 7, 3),
            (format!("?artifactType={}", types[0]), 4, 1),
            (format!("?n=2&artifactType={}", types[0]), 4, 2),
            ("?artifactType=application/vnd.example.other".into(), 0, 1),
        ] {
            let (mut found, in_pages) = all_pages(&client, &format!("{path}{query}"), "manifests");
            assert_eq!((found.len(), in_pages), (count, pages), "{round}: {query}");
            found.dedup();
            assert_eq!(found.len(), count, "{round}: {query}");
        }
        let digest = Digest::of(&subject).to_string();
        let answer = put_manifest(&client, REPOSITORY, &digest, OCI_MANIFEST, &subject);
        assert_eq!(answer.status, 201);
    }
    let malformed = client.get(&format!("/v2/{REPOSITORY}/referrers/sha256:x"));
    assert_eq!(malformed.verdict(), (400, "DIGEST_INVALID".into()));
}

#[test]
fn large_lists_of_referrers_are_cut_into_answers_that_clients_take() {
    let hosted = Hosted::start();
    let client = hosted.client(&[REPOSITORY]);
    push_image(&client, REPOSITORY, "seed", &[b"layer"]);
    let config = b"{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"diff_ids\":[],\"type\":\"layers\"}}";
    let subject = Digest::of(b"some subject");
    for number in 0..5 {
        let manifest = image(
            config,
            &[b"layer"],
            json!({ "subject": { "mediaType": OCI_MANIFEST, "digest": subject.as_str(), "size": 1 },
                    "annotations": { "number": number.to_string(), "large": "x".repeat(1_200_000) } }),
        );
        let digest = Digest::of(&manifest).to_string();
        let answer = put_manifest(&client, REPOSITORY, &digest, OCI_MANIFEST, &manifest);
        assert_eq!(answer.status, 201);
    }
    let path = format!("/v2/{REPOSITORY}/referrers/{subject}");
    assert!(client.get(&path).body.len() < 4 << 20);
    let (found, pages) = all_pages(&client, &path, "manifests");
    assert_eq!(found.len(), 5);
    assert!(pages > 1);
    // One answer reads what is in it, not all that there is.
    for number in 5..25 {
        let manifest = image(
            config,
            &[b"layer"],
            json!({ "subject": { "mediaType": OCI_MANIFEST, "digest": subject.as_str(), "size": 1 },
                    "annotations": { "number": number.to_string(), "large": "x".repeat(3_500_000) } }),
        );
        let digest = Digest::of(&manifest).to_string();
        let answer = put_manifest(&client, REPOSITORY, &digest, OCI_MANIFEST, &manifest);
        assert_eq!(answer.status, 201);
    }
    client.get(&path);
    hosted.appliance.reset_peak_memory();
    let before = hosted.appliance.memory().resident;
    assert_eq!(client.get(&path).status, 200);
    let grown = hosted.appliance.memory().peak.saturating_sub(before);
    assert!(grown < 40 << 20, "{grown} bytes for one answer");
    let (found, _) = all_pages(&client, &path, "manifests");
    assert_eq!(found.len(), 25);
    for count in [1, 2, 24, 25] {
        let (paged, _) = all_pages(&client, &format!("{path}?n={count}"), "manifests");
        assert_eq!(paged, found, "{count}");
    }
}

#[test]
fn the_catalog_lists_what_the_caller_may_see() {
    let hosted = Hosted::start();
    let appliance = &hosted.appliance;
    appliance.ok(&["group", "add", "rival"]);
    appliance.ok(&["project", "add", "rival/secret"]);
    let rival = appliance.token("rival-dev", &["api"]);
    appliance.ok(&[
        "member",
        "add",
        "rival",
        "rival-dev",
        "--level",
        "maintainer",
    ]);
    let mine: Vec<String> = (0..5).map(|n| format!("acme/api/r{n}")).collect();
    for repository in &mine {
        push_image(&hosted.client(&[repository]), repository, "1", &[b"layer"]);
    }
    let theirs = hosted.client_as("rival-dev", &rival, &["rival/secret"], "pull,push");
    push_image(&theirs, "rival/secret", "1", &[b"layer"]);
    // Begun, but nothing is in it.
    crate::support::pushing::start(&hosted.client(&["acme/api/empty"]), "acme/api/empty");

    let catalog = |user: &str, secret: &str| {
        let client = Client::of(appliance);
        let jwt = client.basic(user, secret).token(&["registry:catalog:*"]);
        client.bearer(&jwt)
    };
    let dev = catalog("dev", &hosted.secret);
    let expected: Vec<_> = mine.iter().cloned().map(Value::from).collect();
    for (query, pages) in [("", 1), ("?n=2", 3), ("?n=5", 1)] {
        let found = all_pages(&dev, &format!("/v2/_catalog{query}"), "repositories");
        assert_eq!(found, (expected.clone(), pages), "{query}");
    }
    let found = all_pages(
        &catalog("rival-dev", &rival),
        "/v2/_catalog",
        "repositories",
    );
    assert_eq!(found, (vec![json!("rival/secret")], 1));

    let anonymous = Client::of(appliance).get("/v2/_catalog");
    assert_eq!(anonymous.verdict(), (401, "UNAUTHORIZED".into()));
    let challenge = anonymous.field("WWW-Authenticate").unwrap();
    assert!(
        challenge.contains(r#"scope="registry:catalog:*""#),
        "{challenge}"
    );
    let for_something_else = hosted.client(&[REPOSITORY]).get("/v2/_catalog");
    assert_eq!(for_something_else.status, 401);
    assert_eq!(dev.request("DELETE", "/v2/_catalog", b"").status, 405);
}
