//! Manifests, lists and their headers, as a good registry gives them.

use breakwater::oci::{Digest, MediaType, Reference};
use breakwater::upstream::FaultKind;
use strum::VariantNames as _;

use super::{DEADLINE, bytes_of, get, latest, make, repository, settings, spool, stage, upstream};
use crate::support::fake_upstream::{Answer, FakeUpstream, Image, Index};

#[test]
fn manifests_of_every_type_arrive_as_they_are() {
    let fake = FakeUpstream::start();
    let (oci, docker) = (Image::oci(1, &[10]), Image::docker(2, &[20]));
    fake.put_image("library/alpine", "oci", &oci);
    fake.put_image("library/alpine", "docker", &docker);
    let index = Index::of(&[("amd64", &oci), ("arm64", &Image::oci(3, &[30]))]);
    let list = Index::of(&[("amd64", &docker)]);
    fake.put_index("library/alpine", "index", &index);
    fake.put_index("library/alpine", "list", &list);
    let upstream = upstream(&fake);
    for (tag, bytes, media_type) in [
        ("oci", &oci.manifest, MediaType::OciManifest),
        ("docker", &docker.manifest, MediaType::DockerManifest),
        ("index", &index.bytes, MediaType::OciIndex),
        ("list", &list.bytes, MediaType::DockerList),
    ] {
        let reference = Reference::parse(tag).unwrap();
        let head = upstream
            .head_manifest(&repository(), &reference, DEADLINE)
            .unwrap();
        assert_eq!(head.digest, Some(Digest::of(bytes)), "{tag}");
        assert_eq!(head.media_type, Some(media_type), "{tag}");
        assert_eq!(head.size, Some(bytes.len() as u64), "{tag}");
        let by_digest = Reference::Digest(Digest::of(bytes));
        for reference in [reference, by_digest] {
            let fetched = upstream
                .get_manifest(&repository(), &reference, spool)
                .unwrap();
            assert_eq!(bytes_of(&fetched.content), *bytes, "{tag}");
            assert_eq!(fetched.content_type, media_type.as_str(), "{tag}");
            assert_eq!(fetched.digest, Some(Digest::of(bytes)), "{tag}");
        }
    }
    for request in fake.requests() {
        let accept = request.header("accept").unwrap();
        for media_type in MediaType::VARIANTS {
            assert!(accept.contains(media_type), "{accept}");
        }
        assert!(!accept.contains('*'), "{accept}");
        assert_eq!(request.header("accept-encoding"), Some("identity"));
        assert_eq!(request.header("authorization"), None);
        let agent = format!("breakwater/{}", env!("CARGO_PKG_VERSION"));
        assert_eq!(request.header("user-agent"), Some(agent.as_str()));
    }
    assert_eq!(fake.connections(), 1, "one connection serves them all");
}

#[test]
fn digest_headers_that_are_missing_or_malformed_are_none() {
    let (fake, image) = stage();
    let upstream = upstream(&fake);
    for answer in [
        Answer::good().without_header("Docker-Content-Digest"),
        Answer::good().header("Docker-Content-Digest", "sha256:abc"),
        Answer::good().header("Docker-Content-Digest", "../../etc/passwd"),
    ] {
        fake.on("*", "/manifests/").next([answer.clone(), answer]);
        let head = upstream
            .head_manifest(&repository(), &latest(), DEADLINE)
            .unwrap();
        assert_eq!(head.digest, None);
        let fetched = upstream
            .get_manifest(&repository(), &latest(), spool)
            .unwrap();
        assert_eq!(
            (fetched.digest, bytes_of(&fetched.content)),
            (None, image.manifest.clone())
        );
    }
    // A well-formed one is passed on even if it is wrong: the caller compares.
    let other = Digest::of(b"other");
    fake.on("*", "/manifests/")
        .next([Answer::good().header("Docker-Content-Digest", other.as_str())]);
    let head = upstream
        .head_manifest(&repository(), &latest(), DEADLINE)
        .unwrap();
    assert_eq!(head.digest, Some(other));
}

#[test]
fn lists_come_with_their_next_page() {
    let (fake, image) = stage();
    for tag in ["1", "2", "3"] {
        fake.put_manifest("library/alpine", tag, image.media_type, &image.manifest);
    }
    let upstream = upstream(&fake);
    let page = upstream.tags_list(&repository(), "n=2", spool).unwrap();
    assert_eq!(page.content_type, "application/json");
    assert_eq!(
        bytes_of(&page.body),
        br#"{"name":"library/alpine","tags":["1","2"]}"#
    );
    assert_eq!(page.next.as_deref(), Some("n=2&last=2"));
    let page = upstream
        .tags_list(&repository(), "n=2&last=2", spool)
        .unwrap();
    assert_eq!(
        bytes_of(&page.body),
        br#"{"name":"library/alpine","tags":["3","latest"]}"#
    );
    assert_eq!(page.next, None);

    let subject = image.digest();
    for answer in [Answer::good(), Answer::status(405), Answer::status(501)] {
        fake.on("GET", "/referrers/").next([answer]);
        let missing = upstream
            .referrers(&repository(), &subject, "", spool)
            .unwrap_err();
        assert_eq!(missing.kind, FaultKind::NotFound, "{missing}");
    }
    let descriptor = serde_json::json!({"artifactType": "a/b+c", "digest": subject.as_str()});
    fake.put_referrer("library/alpine", &subject, descriptor);
    let all = upstream
        .referrers(&repository(), &subject, "", spool)
        .unwrap();
    assert_eq!(all.filters_applied, None);
    assert_eq!(all.content_type, MediaType::OciIndex.as_str());
    for (wanted, found) in [("a%2Fb%2Bc", true), ("d", false)] {
        let query = format!("artifactType={wanted}");
        let some = upstream
            .referrers(&repository(), &subject, &query, spool)
            .unwrap();
        assert_eq!(some.filters_applied.as_deref(), Some("artifactType"));
        let body = String::from_utf8(bytes_of(&some.body)).unwrap();
        assert_eq!(body.contains("a/b+c"), found, "{body}");
    }
}

#[test]
fn a_path_in_the_url_stays_before_v2() {
    let fake = FakeUpstream::start();
    fake.on("GET", "/prefix/v2/library/alpine/manifests/latest")
        .always(Answer::body(200, MediaType::OciIndex.as_str(), "{}"));
    let upstream = make(settings(&format!("{}/prefix/", fake.url())));
    assert_eq!(get(&upstream).unwrap(), b"{}");
}
