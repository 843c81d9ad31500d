//! Tenants beside each other: a digest is worth nothing where it was not pushed, quotas hold, cached paths take no
//! push, and what one may not see looks like what does not exist.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use breakwater::oci::Digest;
use serde_json::json;

use crate::support::appliance::Appliance;
use crate::support::client::{Client, connect, exchange};
use crate::support::fake_upstream::{FakeUpstream, Image};
use crate::support::pushing::{
    BlobWay, Hosted, OCI_MANIFEST, bytes, image, must_push_blob, push_blob, push_image,
    put_manifest, start,
};

const MINE: &str = "acme/api/web";
const THEIRS: &str = "rival/secret";

/// A box with a second tenant, and that tenant's client.
fn two_tenants() -> (Hosted, Client) {
    let hosted = Hosted::start();
    let appliance = &hosted.appliance;
    appliance.ok(&["group", "add", "rival"]);
    appliance.ok(&["project", "add", "rival/secret"]);
    let secret = appliance.token("rival-dev", &["api"]);
    appliance.ok(&[
        "member",
        "add",
        "rival",
        "rival-dev",
        "--level",
        "maintainer",
    ]);
    let client = hosted.client_as("rival-dev", &secret, &[THEIRS], "pull,push,delete");
    (hosted, client)
}

#[test]
fn a_digest_opens_nothing_in_another_repository() {
    let (hosted, theirs) = two_tenants();
    let (secret, config) = (b"their secret layer", b"{\"their\":\"config\"}");
    for blob in [&secret[..], config] {
        must_push_blob(&theirs, THEIRS, blob);
    }
    let manifest = image(config, &[secret], json!({}));
    assert_eq!(
        put_manifest(&theirs, THEIRS, "t", OCI_MANIFEST, &manifest).status,
        201
    );
    // Mine, with a token that names their repository too: the endpoint grants only what I may do.
    let mine = hosted.client(&[MINE, THEIRS]);
    let digest = Digest::of(secret);
    let mount = format!("/v2/{MINE}/blobs/uploads/?mount={digest}");
    for path in [format!("{mount}&from={THEIRS}"), mount] {
        let answer = mine.request("POST", &path, b"");
        assert_eq!(answer.status, 202, "{path}: {answer:?}");
    }
    for blob in [secret.as_slice(), config] {
        let path = format!("/v2/{MINE}/blobs/{}", Digest::of(blob));
        assert_eq!(mine.head(&path).status, 404);
    }
    let pushed = put_manifest(&mine, MINE, "t", OCI_MANIFEST, &manifest);
    assert_eq!(pushed.verdict(), (400, "MANIFEST_BLOB_UNKNOWN".into()));
    for kind in ["manifests", "blobs"] {
        let path = format!("/v2/{MINE}/{kind}/{}", Digest::of(&manifest));
        assert_eq!(mine.get(&path).status, 404);
    }
    // Their uploads are not mine either.
    let location = start(&theirs, THEIRS);
    let stolen = location.replace(THEIRS, MINE);
    assert_eq!(
        mine.get(&stolen).verdict(),
        (404, "BLOB_UPLOAD_UNKNOWN".into())
    );
    // The same bytes of my own are mine, and theirs stay theirs when mine go.
    must_push_blob(&mine, MINE, secret);
    let path = |repository: &str| format!("/v2/{repository}/blobs/{digest}");
    assert_eq!(mine.request("DELETE", &path(MINE), b"").status, 202);
    assert_eq!(theirs.get(&path(THEIRS)).body, secret);
}

#[test]
fn a_repository_that_one_may_not_see_looks_like_none() {
    let (hosted, theirs) = two_tenants();
    push_image(&theirs, THEIRS, "t", &[b"layer"]);
    let digest = Digest::of(b"layer");
    let mine = hosted.client(&[MINE]);
    for what in [
        "manifests/t".to_owned(),
        format!("blobs/{digest}"),
        "tags/list".into(),
        format!("referrers/{digest}"),
    ] {
        let [hidden, absent] = [THEIRS, "rival/absent"].map(|repository| {
            let client = hosted.client_as("dev", &hosted.secret, &[repository], "pull");
            let answer = client.get(&format!("/v2/{repository}/{what}"));
            (
                answer.status,
                answer.code(),
                answer.text().replace(repository, "NAME"),
            )
        });
        assert_eq!(hidden, absent, "{what}");
        assert_eq!((hidden.0, &*hidden.1), (404, "NAME_UNKNOWN"), "{what}");
    }
    for (method, what) in [
        ("POST", "blobs/uploads/"),
        ("PUT", "manifests/t"),
        ("DELETE", "manifests/t"),
    ] {
        let [hidden, absent] = [THEIRS, "rival/absent"].map(|repository| {
            let answer = mine.request(method, &format!("/v2/{repository}/{what}"), b"");
            (answer.status, answer.text().replace(repository, "NAME"))
        });
        assert_eq!(hidden, absent, "{method} {what}");
        assert_eq!(hidden.0, 404, "{method} {what}");
    }
}

#[test]
fn a_token_pushes_only_what_it_is_for() {
    let hosted = Hosted::start();
    let reader = hosted.client_as("dev", &hosted.secret, &[MINE], "pull");
    let pusher = hosted.client_as("dev", &hosted.secret, &[MINE], "pull,push");
    let (digest, _) = push_image(&pusher, MINE, "t", &[b"layer"]);
    let manifest = format!("/v2/{MINE}/manifests/{digest}");
    for (client, method, path, actions) in [
        (
            &reader,
            "POST",
            format!("/v2/{MINE}/blobs/uploads/"),
            "pull,push",
        ),
        (&reader, "PUT", manifest.clone(), "pull,push"),
        (&reader, "DELETE", manifest.clone(), "delete"),
        (&pusher, "DELETE", manifest.clone(), "delete"),
    ] {
        let answer = client.request(method, &path, b"");
        assert_eq!(answer.status, 401, "{method} {path}: {answer:?}");
        let challenge = answer.field("WWW-Authenticate").unwrap();
        let scope = format!(r#"scope="repository:{MINE}:{actions}""#);
        assert!(challenge.contains(&scope), "{challenge}");
        assert!(challenge.contains("insufficient_scope"), "{challenge}");
    }
    let anonymous = Client::of(&hosted.appliance);
    for (method, actions) in [("GET", "pull"), ("PUT", "pull,push"), ("DELETE", "delete")] {
        let answer = anonymous.request(method, &manifest, b"");
        assert_eq!(answer.status, 401);
        let scope = format!(r#"scope="repository:{MINE}:{actions}""#);
        assert!(answer.field("WWW-Authenticate").unwrap().contains(&scope));
    }
}

#[test]
fn a_quota_is_refused_before_the_bytes_and_at_the_moment_that_it_is_full() {
    let hosted = Hosted::start();
    let appliance = &hosted.appliance;
    let client = hosted.client(&[MINE, "acme/api/other"]);
    let first = bytes(1, 600_000);
    must_push_blob(&client, MINE, &first);
    appliance.ok(&["project", "set", "acme/api", "quota=1MB"]);
    let large = bytes(2, 500_000);
    let digest = Digest::of(&large);
    let denied = |answer: crate::support::client::Answer, what: &str| {
        assert_eq!(
            answer.verdict(),
            (403, "DENIED".into()),
            "{what}: {answer:?}"
        );
        assert!(
            answer.message().contains("quota of acme/api"),
            "{what}: {}",
            answer.message()
        );
    };
    for way in BlobWay::ALL {
        // A chunked push fails somewhere on its way, which the helper does not expect.
        if matches!(way, BlobWay::PostOnly | BlobWay::PostPut) {
            denied(
                push_blob(&client, MINE, way, &digest, &large),
                &format!("{way:?}"),
            );
        }
    }
    // Announced, and refused before anything is sent.
    let location = start(&client, MINE);
    let jwt = hosted.client(&[MINE]);
    let head = jwt
        .with("Expect", "100-continue")
        .with("Content-Length", "900000000")
        .request("PATCH", &location, b"");
    denied(head, "announced");
    // Not announced: refused when it is too much.
    let chunked = |location: &str, body: &[u8]| {
        let mut message = jwt.head_of("PATCH", location);
        message.push_str("Transfer-Encoding: chunked\r\n\r\n");
        let mut message = message.into_bytes();
        for chunk in body.chunks(100_000) {
            message.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            message.extend_from_slice(chunk);
            message.extend_from_slice(b"\r\n");
        }
        message.extend_from_slice(b"0\r\n\r\n");
        exchange(appliance.address(), &message, false).unwrap()
    };
    denied(chunked(&location, &large), "chunked");
    // What had arrived of it takes no room any more.
    assert_eq!(
        client.get(&location).verdict(),
        (404, "BLOB_UPLOAD_UNKNOWN".into())
    );
    // Two that fit alone and not together: what is staged counts, and is free again when it is given up.
    let halves = [bytes(3, 300_000), bytes(4, 300_000)];
    let locations = [start(&client, MINE), start(&client, "acme/api/other")];
    let patch = |n: usize| client.request("PATCH", &locations[n], &halves[n]);
    assert_eq!(patch(0).status, 202);
    denied(patch(1), "beside what is staged");
    assert_eq!(client.request("DELETE", &locations[0], b"").status, 204);
    assert_eq!(patch(1).status, 202);
    assert_eq!(client.request("DELETE", &locations[1], b"").status, 204);
    // Both staged under a larger quota, which holds at the moment that they are kept.
    appliance.ok(&["project", "set", "acme/api", "quota=2MB"]);
    let locations = [start(&client, MINE), start(&client, MINE)];
    for (half, location) in halves.iter().zip(&locations) {
        assert_eq!(client.request("PATCH", location, half).status, 202);
    }
    appliance.ok(&["project", "set", "acme/api", "quota=1MB"]);
    let close = |n: usize| {
        let path = format!("{}?digest={}", locations[n], Digest::of(&halves[n]));
        client.request("PUT", &path, b"")
    };
    assert_eq!(close(0).status, 201);
    denied(close(1), "the second of two");
    assert_eq!(
        client
            .head(&format!("/v2/{MINE}/blobs/{}", Digest::of(&halves[1])))
            .status,
        404
    );
    // What is there already costs nothing more: elsewhere in the project, or once more.
    let mount = format!(
        "/v2/acme/api/other/blobs/uploads/?mount={}&from={MINE}",
        Digest::of(&first)
    );
    assert_eq!(client.request("POST", &mount, b"").status, 201);
    // A manifest counts too.
    let config = b"{}";
    must_push_blob(&client, MINE, config);
    let manifest = image(
        config,
        &[&first],
        json!({ "annotations": { "a": "x".repeat(200_000) } }),
    );
    denied(
        put_manifest(&client, MINE, "t", OCI_MANIFEST, &manifest),
        "a manifest",
    );
    let small = image(config, &[&first], json!({}));
    assert_eq!(
        put_manifest(&client, MINE, "t", OCI_MANIFEST, &small).status,
        201
    );
    // A larger quota, of the group too, and it fits.
    appliance.ok(&["project", "set", "acme/api", "quota=10MB"]);
    assert_eq!(
        push_blob(&client, MINE, BlobWay::PostPut, &digest, &large).status,
        201
    );
    appliance.ok(&["group", "set", "acme", "quota=1MB"]);
    let more = bytes(9, 10);
    let answer = push_blob(&client, MINE, BlobWay::PostOnly, &Digest::of(&more), &more);
    assert_eq!(answer.verdict(), (403, "DENIED".into()));
    assert!(
        answer.message().contains("acme (1000000 bytes)"),
        "{}",
        answer.message()
    );
    assert_eq!(appliance.json(&["verify", "--json"])["clean"], true);
}

#[test]
fn uploads_side_by_side_stage_no_more_than_the_quota_together() {
    let hosted = Hosted::start();
    let appliance = &hosted.appliance;
    let client = hosted.client(&[MINE, "acme/api/other"]);
    let kept = bytes(1, 200_000);
    must_push_blob(&client, MINE, &kept);
    let quota: u64 = 2_000_000;
    appliance.ok(&["project", "set", "acme/api", "quota=2MB"]);
    let part = bytes(2, 600_000);
    for announced in [false, true] {
        // All of them have begun before any has sent much, and none ends before what is staged was looked at.
        let mut streams: Vec<_> = (0..8)
            .map(|n| {
                let repository = [MINE, "acme/api/other"][n % 2];
                let location = start(&client, repository);
                let mut head = client.head_of("PATCH", &location);
                head.push_str(&match announced {
                    true => format!("Content-Length: {}\r\n\r\n", part.len() + 1),
                    false => "Transfer-Encoding: chunked\r\n\r\n".to_owned(),
                });
                let mut stream = connect(appliance.address());
                stream.write_all(head.as_bytes()).unwrap();
                stream
            })
            .collect();
        for piece in part.chunks(20_000) {
            for stream in &mut streams {
                // Whom the box has refused does not take it any more.
                let _ = match announced {
                    true => stream.write_all(piece),
                    false => stream.write_all(
                        &[format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat(),
                    ),
                };
            }
            let staged = staged(appliance) + kept.len() as u64;
            assert!(staged <= quota, "{announced}: {staged} bytes");
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        // One of them fits in any case.
        while staged(appliance) < part.len() as u64 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let staged_at_last = staged(appliance);
        assert!(
            staged_at_last >= part.len() as u64,
            "{announced}: {staged_at_last}"
        );
        assert!(staged_at_last + kept.len() as u64 <= quota);
        drop(streams);
        // What was taken for them is free again.
        let rows = rusqlite::Connection::open(appliance.data().join("registry.sqlite")).unwrap();
        let uploads: Vec<(String, String)> = rows
            .prepare("SELECT uploads.id, path FROM uploads JOIN repositories ON repositories.id = repository_id")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        for (id, path) in uploads {
            let location = format!("/v2/{path}/blobs/uploads/{id}");
            let mut answer = client.request("DELETE", &location, b"");
            while answer.status == 409 && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(20));
                answer = client.request("DELETE", &location, b"");
            }
            // One that was refused may just be ending by itself.
            assert!(matches!(answer.status, 204 | 404), "{answer:?}");
        }
        let fits = bytes(3, 1_790_000);
        let location = start(&client, MINE);
        assert_eq!(client.request("PATCH", &location, &fits).status, 202);
        assert_eq!(client.request("DELETE", &location, b"").status, 204);
    }
    assert_eq!(appliance.json(&["verify", "--json"])["clean"], true);
}

/// Whoever says that much will come, and sends nothing, keeps no room from his neighbours.
#[test]
fn what_is_only_announced_starves_no_neighbour() {
    let hosted = Hosted::start();
    let client = hosted.client(&[MINE, "acme/api/other"]);
    hosted
        .appliance
        .ok(&["project", "set", "acme/api", "quota=2GB"]);
    let location = start(&client, MINE);
    let mut head = client.head_of("PATCH", &location);
    head.push_str("Content-Length: 1999500000\r\nExpect: 100-continue\r\n\r\n");
    let mut silent = connect(hosted.appliance.address());
    silent.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    silent.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");
    must_push_blob(&client, "acme/api/other", &bytes(4, 1_000_000));
    // Now it does not fit any more, which is said before anything of it is read.
    let location = start(&client, MINE);
    let mut head = client.head_of("PATCH", &location);
    head.push_str("Content-Length: 1999500000\r\nExpect: 100-continue\r\n\r\n");
    let mut late = connect(hosted.appliance.address());
    late.write_all(head.as_bytes()).unwrap();
    late.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 403");
}

/// Bytes that lie in the files of uploads.
fn staged(appliance: &Appliance) -> u64 {
    let files = std::fs::read_dir(appliance.data().join("staging")).unwrap();
    let files = files.filter_map(|file| file.unwrap().metadata().ok());
    files.map(|metadata| metadata.len()).sum()
}

#[test]
fn cached_repositories_take_no_push() {
    let fake = FakeUpstream::start();
    fake.put_image("library/alpine", "latest", &Image::oci(1, &[100]));
    let hosted = Hosted::of(Appliance::with_upstream(fake.url()));
    let client = Client::of(&hosted.appliance);
    let digest = Digest::of(b"x");
    for repository in [
        "library/alpine",
        "docker.io/library/alpine",
        "acme/dependency_proxy/containers/alpine",
    ] {
        for (method, what) in [
            ("POST", "blobs/uploads/".to_owned()),
            ("GET", "blobs/uploads/0123".to_owned()),
            ("PATCH", "blobs/uploads/0123".to_owned()),
            ("PUT", "blobs/uploads/0123".to_owned()),
            ("DELETE", "blobs/uploads/0123".to_owned()),
            ("PUT", "manifests/latest".to_owned()),
            ("DELETE", "manifests/latest".to_owned()),
            ("DELETE", format!("blobs/{digest}")),
        ] {
            let answer = client.request(method, &format!("/v2/{repository}/{what}"), b"");
            assert_eq!(
                answer.verdict(),
                (405, "UNSUPPORTED".into()),
                "{method} {repository}/{what}"
            );
        }
    }
    let pulled = client.get("/v2/library/alpine/manifests/latest");
    assert_eq!((pulled.status, pulled.cache()), (200, "miss"));
}

#[test]
fn tags_keep_to_the_rules_of_their_project() {
    let hosted = Hosted::start();
    let appliance = &hosted.appliance;
    let client = hosted.client(&[MINE]);
    let (first, manifest) = push_image(&client, MINE, "v1", &[b"layer"]);
    let (_, second) = push_image(&client, MINE, "latest", &[b"layer", b"more"]);
    appliance.ok(&["rule", "tag", "acme/api", "^v", "--immutable"]);
    appliance.ok(&["rule", "tag", "acme/api", "^release", "--min-push", "owner"]);
    let put = |tag: &str, bytes: &[u8]| put_manifest(&client, MINE, tag, OCI_MANIFEST, bytes);
    assert_eq!(put("v1", &manifest).status, 201, "the same again");
    assert_eq!(put("v2", &second).status, 201, "a new one");
    for (tag, bytes) in [("v1", &second), ("release-1", &manifest)] {
        let answer = put(tag, bytes);
        assert_eq!(
            answer.verdict(),
            (403, "DENIED".into()),
            "{tag}: {answer:?}"
        );
    }
    let by_parameter = put(
        &format!("{}?tag=v1&tag=other", Digest::of(&second)),
        &second,
    );
    assert_eq!(by_parameter.status, 403);
    let path = |reference: &str| format!("/v2/{MINE}/manifests/{reference}");
    assert_eq!(
        client.head(&path("other")).status,
        404,
        "all of them or none"
    );
    assert_eq!(
        client.head(&path("v1")).field("Docker-Content-Digest"),
        Some(first.as_str())
    );
    for reference in ["v1", first.as_str()] {
        let answer = client.request("DELETE", &path(reference), b"");
        assert_eq!(answer.status, 403, "{reference}: {answer:?}");
        assert_eq!(client.head(&path("v1")).status, 200);
    }
    assert_eq!(client.request("DELETE", &path("latest"), b"").status, 202);
}
