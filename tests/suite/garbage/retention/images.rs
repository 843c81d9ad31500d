//! What goes with the last tag of a manifest, and what keeps it.

use std::time::Duration;

use breakwater::oci::{Digest, MediaType, Reference, Tag};
use breakwater::store::{CleanupPolicy, NewHostedManifest, NewTag};
use breakwater::time::Timestamp;
use breakwater::upkeep::retention;
use serde_json::json;

use super::{DAY, REPOSITORY, Workshop, everything, image};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// As [`everything`], but for tags that begin with `keep`.
fn but_kept() -> CleanupPolicy {
    CleanupPolicy {
        name_regex_keep: Some("keep.*".to_owned()),
        ..everything()
    }
}

fn index(children: &[&Digest]) -> Vec<u8> {
    let children: Vec<_> = children
        .iter()
        .map(|child| json!({ "mediaType": MediaType::OciManifest.as_str(), "digest": child.as_str(), "size": 1 }))
        .collect();
    json!({ "schemaVersion": 2, "manifests": children })
        .to_string()
        .into_bytes()
}

#[test]
fn a_manifest_goes_with_its_last_tag_and_with_what_only_it_consists_of() {
    let mut workshop = Workshop::new();
    for blob in [&b"{}"[..], b"a", b"b", b"c", b"d", b"e", b"f"] {
        workshop.push_blob(REPOSITORY, blob);
    }
    let put = |bytes: &[u8], media_type: MediaType, tags: &[&str]| {
        let digest = Digest::of(bytes);
        let tags = tags.iter().map(|tag| Tag::parse(tag).unwrap()).collect();
        workshop.put_tagged(
            REPOSITORY,
            &Reference::Digest(digest.clone()),
            tags,
            bytes,
            media_type,
        );
        digest
    };
    let oci = MediaType::OciManifest;
    let twice = put(&image(&[b"{}", b"a"], None), oci, &["v1", "keep-v1"]);
    let once = put(&image(&[b"{}", b"b"], None), oci, &["v2"]);
    let (own, shared) = (
        put(&image(&[b"{}", b"c"], None), oci, &[]),
        put(&image(&[b"{}", b"d"], None), oci, &["v3"]),
    );
    let going = put(&index(&[&own, &shared]), MediaType::OciIndex, &["v4"]);
    let staying = put(&index(&[&shared]), MediaType::OciIndex, &["keep-v5"]);
    let signature = put(&image(&[b"{}", b"e"], Some(&going)), oci, &[]);
    let of_signature = put(&image(&[b"{}", b"f"], Some(&signature)), oci, &["sbom"]);
    let of_staying = put(&image(&[b"{}", b"f"], Some(&staying)), oci, &["attested"]);
    let untagged = put(&image(&[b"{}"], None), oci, &[]);
    let signed = format!("{}.sig", twice.as_str().replace(':', "-"));
    put(&image(&[b"{}", b"a", b"b"], None), oci, &[&signed]);
    workshop.now = workshop.now.plus(DAY);
    workshop.set_policy(but_kept());
    workshop.clean_up();
    let mut left = ["keep-v1".to_owned(), "keep-v5".to_owned(), signed];
    left.sort();
    assert_eq!(workshop.tags(), left, "a signature stays with its image");
    for (what, digest, stays) in [
        ("another tag names it", &twice, true),
        ("nothing names it", &once, false),
        ("only a part of an index that goes", &own, false),
        ("part of an index that stays", &shared, true),
        ("an index without a tag", &going, false),
        ("an index with one", &staying, true),
        ("attached to what goes", &signature, false),
        ("attached to that", &of_signature, false),
        ("attached to what stays", &of_staying, true),
        ("never had a tag", &untagged, true),
    ] {
        assert_eq!(workshop.has_image(digest), stays, "{what}");
        assert!(workshop.file_exists(digest) == stays, "the file of: {what}");
    }
    // The layers have the grace of garbage, and then go.
    assert!(workshop.has_blob(REPOSITORY, &Digest::of(b"c")));
    workshop.now = workshop.now.plus(2 * HOUR);
    workshop.collect(false);
    for (layer, stays) in [
        (&b"a"[..], true),
        (b"c", false),
        (b"d", true),
        (b"e", false),
        (b"f", true),
    ] {
        assert_eq!(workshop.file_exists(&Digest::of(layer)), stays, "{layer:?}");
    }
    let report = breakwater::upkeep::verify(&workshop.store, &|_, _| {}).unwrap();
    assert!(report.damage.is_empty(), "{report:?}");
}

#[test]
fn a_manifest_that_was_just_pushed_waits_an_hour_and_stays_if_it_is_tagged_again() {
    let mut workshop = Workshop::new();
    let (again, gone) = (
        workshop.push_tag("again", &[b"{}", b"a"]),
        workshop.push_tag("gone", &[b"{}", b"b"]),
    );
    workshop.set_policy(everything());
    workshop.clean_up();
    assert!(workshop.tags().is_empty());
    assert!(
        workshop.has_image(&again) && workshop.has_image(&gone),
        "a push may rely on them"
    );
    workshop.now = workshop.now.plus(HOUR / 2);
    workshop.push_tag("again", &[b"{}", b"a"]);
    retention::Retention::default()
        .sweep(&workshop.store, workshop.now)
        .unwrap();
    assert!(workshop.has_image(&gone));
    workshop.now = workshop.now.plus(HOUR / 2);
    retention::Retention::default()
        .sweep(&workshop.store, workshop.now)
        .unwrap();
    assert!(workshop.has_image(&again) && !workshop.has_image(&gone));
    assert_eq!(workshop.tags(), ["again"]);
}

#[test]
fn twenty_thousand_tags_go_in_steps_between_which_others_write() {
    const TAGS: usize = 20_000;
    let workshop = Workshop::new();
    workshop.push_blob(REPOSITORY, b"{}");
    let long_ago = Timestamp(workshop.now.0 - 86_400);
    for image in 0..1_000 {
        let annotated = format!("{{\"number\":{image}}}");
        let new = NewHostedManifest {
            digest: Digest::of(annotated.as_bytes()),
            media_type: MediaType::OciManifest,
            size: annotated.len() as u64,
            artifact_type: None,
            subject: None,
            annotations: None,
            references: vec![],
            required: vec![],
            tags: (0..TAGS / 1_000)
                .map(|tag| NewTag {
                    name: Tag::parse(&format!("t{image}-{tag}")).unwrap(),
                    immutable_by: None,
                })
                .collect(),
            pushed_by: "test".into(),
            now: long_ago,
        };
        workshop
            .store
            .registry
            .put_manifest(workshop.place_of(REPOSITORY), &new, &[])
            .unwrap();
    }
    workshop.set_policy(CleanupPolicy {
        keep_n: Some(100),
        ..everything()
    });
    let begun = std::time::Instant::now();
    let (longest, writes) = workshop.others_writes(|| workshop.clean_up());
    println!(
        "{TAGS} tags in {:?}; {writes} writes of others, the longest {longest:?}",
        begun.elapsed()
    );
    assert!(longest < Duration::from_millis(500), "{longest:?}");
    assert!(writes > 20, "{writes}");
    assert_eq!(workshop.tags().len(), 100);
    let left = workshop.count("manifests");
    assert_eq!(left, 5, "those that the newest tags name");
    assert_eq!(workshop.count("cleanup_left"), 0);
}
