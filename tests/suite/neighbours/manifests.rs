//! Manifests that are made to break what others read: each is refused where it is pushed, or passes from an upstream
//! without being made anything of, and the lists of its repository go on answering.

use breakwater::oci::{Digest, MAX_CONTENT_SIZE, MediaType};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use super::Neighbours;
use crate::support::client::{Client, assert_sound};
use crate::support::fake_upstream::Image;
use crate::support::pushing::{
    EMPTY_JSON, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, must_push_blob, push_image,
    put_manifest,
};

/// A repository of the attacker's with an image whose referrers are asked for.
struct Target<'a> {
    neighbours: &'a Neighbours,
    client: Client,
    subject: String,
    config: String,
}

impl<'a> Target<'a> {
    fn of(neighbours: &'a Neighbours) -> Self {
        let client = neighbours.attacker(&["evil/app"]);
        let (digest, bytes) = push_image(&client, "evil/app", "latest", &[b"layer"]);
        let empty = must_push_blob(&client, "evil/app", b"{}");
        let descriptor = |media_type: &str, digest: &Digest, size: usize| {
            json!({ "mediaType": media_type, "digest": digest.as_str(), "size": size }).to_string()
        };
        Self {
            neighbours,
            client,
            subject: descriptor(OCI_MANIFEST, &digest, bytes.len()),
            config: descriptor(EMPTY_JSON, &empty, 2),
        }
    }

    /// An image manifest about the subject, with these fields.
    fn referrer(&self, fields: &str) -> String {
        let (subject, config) = (&self.subject, &self.config);
        format!(
            r#"{{"schemaVersion":2,"config":{config},"layers":[],"subject":{subject}{fields}}}"#
        )
    }

    fn push(&self, tag: &str, document: &str) -> u16 {
        let announced = if document.contains(r#""manifests""#) && !document.contains(r#""layers""#)
        {
            OCI_INDEX
        } else {
            OCI_MANIFEST
        };
        put_manifest(
            &self.client,
            "evil/app",
            tag,
            announced,
            document.as_bytes(),
        )
        .status
    }

    /// Every list of the repository answers; how many referrers and tags there are.
    fn lists(&self, after: &str) -> (usize, usize) {
        let digest = self
            .subject
            .split('"')
            .find(|text| text.starts_with("sha256:"))
            .unwrap();
        let referrers = self.client.get(&format!("/v2/evil/app/referrers/{digest}"));
        assert_eq!(referrers.status, 200, "{after}: {referrers:?}");
        let tags = self.client.get("/v2/evil/app/tags/list?n=1000");
        assert_eq!(tags.status, 200, "{after}: {tags:?}");
        let rest = self.neighbours.attacker_rest();
        let repositories = "/api/v4/projects/evil%2Fapp/registry/repositories";
        let repositories = rest.get(&format!(
            "{repositories}?tags=true&tags_count=true&size=true"
        ));
        assert_eq!(repositories.status, 200, "{after}: {repositories:?}");
        let id = repositories.json()[0]["id"].as_i64().unwrap();
        let path = format!("/api/v4/projects/evil%2Fapp/registry/repositories/{id}/tags");
        let details = rest.get(&format!("{path}?per_page=100"));
        assert_eq!(details.status, 200, "{after}: {details:?}");
        for tag in details.json().as_array().unwrap() {
            let one = rest.get(&format!("{path}/{}", tag["name"].as_str().unwrap()));
            assert_eq!(one.status, 200, "{after}: {one:?}");
        }
        let count = |answer: &serde_json::Value| answer.as_array().unwrap().len();
        (
            count(&referrers.json()["manifests"]),
            count(&tags.json()["tags"]),
        )
    }
}

/// Fields that break readers, with whether an upstream's image that has them is passed on.
fn hostile_fields() -> Vec<(&'static str, bool)> {
    vec![
        (r#","annotations":{"a":1e999}"#, true),
        (r#","annotations":{"a":"\ud800"}"#, true),
        (r#","annotations":{"a":1}"#, true),
        (r#","annotations":{"a":"1","a":"2"}"#, true),
        (r#","annotations":[]"#, true),
        (r#","artifactType":"\udc00""#, false),
        (r#","Annotations":{}"#, true),
        (r#","x":1e999"#, true),
        (r#","manifests":[]"#, false),
        (r#","fsLayers":[]"#, true),
        (r#","layers":[]"#, false),
        ("}{\"a\":1", false),
    ]
}

#[test]
fn no_pushed_document_ends_the_lists_of_its_repository() {
    let neighbours = Neighbours::start();
    let target = Target::of(&neighbours);
    assert_eq!(
        target.push("good", &target.referrer(r#","annotations":{"a":"b"}"#)),
        201
    );
    let before = target.lists("a good one");
    assert_eq!(before, (1, 2));
    neighbours.unharmed_by("hostile manifests", || {
        for (fields, _) in hostile_fields() {
            assert_eq!(
                target.push("bad", &target.referrer(fields)),
                400,
                "{fields}"
            );
            assert_eq!(target.lists(fields), before, "{fields}");
        }
        for depth in [129, 200, 100_000] {
            let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            for fields in [
                format!(r#","annotations":{{"a":{deep}}}"#),
                format!(r#","x":{deep}"#),
            ] {
                assert_eq!(target.push("bad", &target.referrer(&fields)), 400);
                assert_eq!(target.lists("nesting"), before);
            }
        }
    });
    let log = neighbours.appliance.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn sizes_that_add_up_to_more_than_a_number_holds_end_no_list() {
    let neighbours = Neighbours::start();
    let target = Target::of(&neighbours);
    let child = |n: u64, size: u64| {
        let digest = Digest::of(&n.to_le_bytes());
        format!(r#"{{"mediaType":"{OCI_MANIFEST}","digest":"{digest}","size":{size}}}"#)
    };
    let index = |children: &[String]| {
        format!(
            r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
            children.join(",")
        )
    };
    let greatest = i64::MAX.unsigned_abs();
    let beyond = index(&[child(1, greatest), child(2, greatest)]);
    neighbours.unharmed_by("sizes beyond all", || {
        assert_eq!(target.push("beyond", &beyond), 400);
        assert_eq!(target.lists("sizes near 2^63"), (0, 1));
        // As many of the greatest size as it takes.
        let many: Vec<String> = (0..2_000).map(|n| child(n, MAX_CONTENT_SIZE)).collect();
        assert_eq!(target.push("many", &index(&many)), 201);
        assert_eq!(target.lists("many great sizes"), (0, 2));
    });
    assert_sound(&neighbours.appliance);
}

#[test]
fn whatever_is_pushed_the_lists_of_its_repository_answer() {
    let neighbours = Neighbours::start();
    let target = Target::of(&neighbours);
    let values = prop::sample::select(vec![
        "1e999",
        "-1",
        "null",
        "[]",
        "{}",
        "{\"a\":\"b\"}",
        "{\"a\":1e999}",
        "{\"a\":[[]]}",
        "\"\\ud83d\"",
        "\"x/y\"",
        "\"\\u0000\"",
        "[{}]",
        "7",
    ]);
    let names = prop::sample::select(vec![
        "annotations",
        "artifactType",
        "layers",
        "manifests",
        "mediaType",
        "subject",
        "Config",
        "x",
        "data",
    ]);
    let fields = prop::collection::vec((names, values), 0..4);
    let mut runner = TestRunner::new(Config {
        cases: 96,
        failure_persistence: None,
        ..Config::default()
    });
    let ran = runner.run(&fields, |fields| {
        let fields: String = fields
            .iter()
            .map(|(name, value)| format!(r#","{name}":{value}"#))
            .collect();
        let status = target.push("any", &target.referrer(&fields));
        prop_assert!(matches!(status, 201 | 400), "{status}: {fields}");
        target.lists(&fields);
        Ok(())
    });
    ran.unwrap();
    let log = neighbours.appliance.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn an_upstream_s_odd_documents_pass_and_its_ambiguous_ones_do_not() {
    let neighbours = Neighbours::start();
    let client = neighbours.attacker(&["evil/dependency_proxy/containers/odd"]);
    let image = Image::oci(9, &[100]);
    neighbours
        .upstream
        .put_image("library/odd", "latest", &image);
    let path = "/v2/evil/dependency_proxy/containers/odd";
    let layer = format!(
        r#"{{"mediaType":"{OCI_LAYER}","digest":"{}","size":{}}}"#,
        image.layer_digest(0),
        i64::MAX
    );
    let config = json!({
        "mediaType": OCI_CONFIG, "digest": Digest::of(&image.config).as_str(), "size": image.config.len(),
    });
    neighbours.unharmed_by("an upstream's hostile manifests", || {
        for (number, (fields, passes)) in hostile_fields().into_iter().enumerate() {
            let document = format!(
                r#"{{"schemaVersion":2,"config":{config},"layers":[{layer},{layer}]{fields}}}"#
            );
            let (tag, bytes) = (format!("t{number}"), document.as_bytes());
            let upstream = &neighbours.upstream;
            upstream.put_manifest("library/odd", &tag, MediaType::OciManifest, bytes);
            for _ in 0..2 {
                let answer = client.get(&format!("{path}/manifests/{tag}"));
                assert_eq!(answer.status == 200, passes, "{fields}: {answer:?}");
                assert!(!passes || answer.body == bytes, "{fields}");
            }
            assert_eq!(
                client.get(&format!("{path}/tags/list")).status,
                200,
                "{fields}"
            );
            neighbours.appliance.ok(&["cache", "list", "--json"]);
            neighbours.appliance.ok(&["cache", "stats", "--json"]);
        }
    });
    let log = neighbours.appliance.log();
    assert!(!log.contains("panicked"), "{log}");
    assert_sound(&neighbours.appliance);
}
