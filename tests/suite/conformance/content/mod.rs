//! Every shape of content that the suite knows: pushed, listed, looked at, pulled, found by its subject, deleted.

mod cases;

use serde_json::{Value, json};

use super::REPOSITORY;
use crate::support::client::Client;
use crate::support::pushing::{BlobWay, Hosted, OCI_INDEX, descriptor, push_blob, put_manifest};
use cases::{Content, cases};

#[test]
fn every_shape_of_content_is_pushed_listed_pulled_and_deleted() {
    let hosted = Hosted::start();
    let client = hosted.client(&[REPOSITORY]);
    for (name, content) in cases() {
        println!("{name}");
        push(&client, &content);
        list(&client, &content);
        pull(&client, &content);
        referrers(&client, &content);
        delete(&client, &content);
    }
    assert_eq!(hosted.appliance.json(&["verify", "--json"])["clean"], true);
}

fn push(client: &Client, content: &Content) {
    for (number, blob) in content.blobs.iter().enumerate() {
        let way = BlobWay::ALL[number % BlobWay::ALL.len()];
        let answer = push_blob(client, REPOSITORY, way, &content.digest(blob), blob);
        assert_eq!(answer.status, 201, "{way:?}: {answer:?}");
    }
    for (place, (bytes, media_type)) in content.manifests.iter().enumerate() {
        let digest = content.digest(bytes);
        let tags: Vec<_> = content
            .tags
            .iter()
            .filter(|(_, of)| *of == place)
            .map(|(tag, _)| *tag)
            .collect();
        let mut references = vec![digest.to_string()];
        if content.tag_parameters {
            let query: Vec<_> = tags.iter().map(|tag| format!("tag={tag}")).collect();
            references[0].push_str(&format!("?{}", query.join("&")));
        } else {
            references.extend(tags.iter().map(|tag| (*tag).to_owned()));
        }
        let subject: Value = serde_json::from_slice::<Value>(bytes).unwrap()["subject"].clone();
        for reference in references {
            let answer = put_manifest(client, REPOSITORY, &reference, media_type, bytes);
            assert_eq!(answer.status, 201, "{reference}: {answer:?}");
            assert_eq!(answer.field("Docker-Content-Digest"), Some(digest.as_str()));
            assert_eq!(answer.field("OCI-Subject"), subject["digest"].as_str());
            let location = format!("/v2/{REPOSITORY}/manifests/{digest}");
            assert_eq!(answer.field("Location"), Some(&*location));
            let said: Vec<_> = answer
                .head
                .lines()
                .filter_map(|line| line.strip_prefix("OCI-Tag: "))
                .collect();
            let expected = if content.tag_parameters {
                &tags[..]
            } else {
                &[]
            };
            assert_eq!(said, expected);
        }
    }
}

fn list(client: &Client, content: &Content) {
    let answer = client.get(&format!("/v2/{REPOSITORY}/tags/list"));
    assert_eq!(answer.status, 200);
    let listed = answer.json()["tags"].clone();
    for (tag, _) in &content.tags {
        assert!(
            listed.as_array().unwrap().contains(&Value::from(*tag)),
            "{tag}: {listed}"
        );
    }
}

fn pull(client: &Client, content: &Content) {
    let tagged = content
        .tags
        .iter()
        .map(|(tag, of)| ((*tag).to_owned(), *of));
    let by_digest = content
        .manifests
        .iter()
        .enumerate()
        .map(|(place, (bytes, _))| (content.digest(bytes).to_string(), place));
    for (reference, place) in tagged.chain(by_digest) {
        let (bytes, media_type) = &content.manifests[place];
        let path = format!("/v2/{REPOSITORY}/manifests/{reference}");
        let client = client.with("Accept", media_type);
        for answer in [client.head(&path), client.get(&path)] {
            assert_eq!(answer.status, 200, "{path}");
            assert_eq!(answer.field("Content-Type"), Some(*media_type));
            assert_eq!(
                answer.field("Content-Length"),
                Some(&*bytes.len().to_string())
            );
            let digest = content.digest(bytes);
            assert_eq!(answer.field("Docker-Content-Digest"), Some(digest.as_str()));
            assert!(answer.body.is_empty() || answer.body == *bytes);
        }
        assert!(client.get(&path).body == *bytes, "byte for byte");
    }
    for blob in &content.blobs {
        let path = format!("/v2/{REPOSITORY}/blobs/{}", content.digest(blob));
        assert!(client.get(&path).body == *blob);
    }
}

/// Of each subject exactly its referrers, as they were pushed; by artifact type too.
fn referrers(client: &Client, content: &Content) {
    let mut expected: Vec<(String, Value)> = Vec::new();
    for (bytes, media_type) in &content.manifests {
        let manifest: Value = serde_json::from_slice(bytes).unwrap();
        let Some(subject) = manifest["subject"]["digest"].as_str() else {
            continue;
        };
        let mut entry = descriptor(content.algorithm(), media_type, bytes);
        let artifact_type = match &manifest["artifactType"] {
            Value::Null => manifest["config"]["mediaType"].clone(),
            given => given.clone(),
        };
        entry["artifactType"] = artifact_type;
        if !manifest["annotations"].is_null() {
            entry["annotations"] = manifest["annotations"].clone();
        }
        expected.push((subject.to_owned(), entry));
    }
    for (subject, entry) in &expected {
        let path = format!("/v2/{REPOSITORY}/referrers/{subject}");
        let answer = client.get(&path);
        assert_eq!(answer.field("Content-Type"), Some(OCI_INDEX));
        assert_eq!(answer.field("OCI-Filters-Applied"), None);
        let index = answer.json();
        assert_eq!(
            (&index["schemaVersion"], &index["mediaType"]),
            (&json!(2), &json!(OCI_INDEX))
        );
        let all = index["manifests"].as_array().unwrap();
        assert!(all.contains(entry), "{entry} is not in {all:?}");
        assert_eq!(
            all.len(),
            expected.iter().filter(|(of, _)| of == subject).count()
        );
        let artifact_type = entry["artifactType"].as_str().unwrap();
        let answer = client.get(&format!("{path}?artifactType={artifact_type}"));
        assert_eq!(answer.field("OCI-Filters-Applied"), Some("artifactType"));
        let found = answer.json()["manifests"].clone();
        assert!(found.as_array().unwrap().contains(entry));
        assert!(
            found
                .as_array()
                .unwrap()
                .iter()
                .all(|one| one["artifactType"] == artifact_type)
        );
    }
}

fn delete(client: &Client, content: &Content) {
    let gone = |kind: &str, what: &str, code: &str| {
        let path = format!("/v2/{REPOSITORY}/{kind}/{what}");
        let answer = client.request("DELETE", &path, b"");
        assert_eq!(answer.status, 202, "{path}: {answer:?}");
        assert_eq!(client.head(&path).status, 404);
        let again = client.request("DELETE", &path, b"");
        assert_eq!(again.verdict(), (404, code.into()));
    };
    for (tag, of) in &content.tags {
        gone("manifests", tag, "MANIFEST_UNKNOWN");
        let digest = content.digest(&content.manifests[*of].0);
        let path = format!("/v2/{REPOSITORY}/manifests/{digest}");
        assert_eq!(client.head(&path).status, 200, "the tag alone is gone");
    }
    for (bytes, _) in content.manifests.iter().rev() {
        gone(
            "manifests",
            content.digest(bytes).as_str(),
            "MANIFEST_UNKNOWN",
        );
    }
    let mut digests: Vec<_> = content
        .blobs
        .iter()
        .map(|blob| content.digest(blob))
        .collect();
    digests.sort();
    digests.dedup();
    for digest in digests {
        gone("blobs", digest.as_str(), "BLOB_UNKNOWN");
    }
}
