//! What was pushed is precious: damage is reported and mended by a push, never dropped; a backup brings the rows back,
//! and the files beside it the bytes.

use std::fs;
use std::path::PathBuf;

use breakwater::oci::Digest;
use serde_json::{Value, json};

use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::pushing::{BlobWay, Hosted, OCI_MANIFEST, push_blob, push_image, put_manifest};

const REPOSITORY: &str = "acme/api/web";

fn file(appliance: &Appliance, digest: &Digest) -> PathBuf {
    let hex = digest.hex();
    appliance
        .data()
        .join("blobs/sha256")
        .join(&hex[..2])
        .join(hex)
}

fn damage(appliance: &Appliance) -> Vec<(String, String)> {
    let output = appliance.run_cli(&["verify", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let damage = report["damage"].as_array().unwrap();
    assert_eq!(output.status.success(), damage.is_empty());
    let text = |item: &Value, field: &str| item[field].as_str().unwrap().to_owned();
    damage
        .iter()
        .map(|item| (text(item, "kind"), text(item, "what")))
        .collect()
}

#[test]
fn damage_is_reported_survives_restarts_and_is_mended_by_a_push() {
    let mut hosted = Hosted::start();
    let client = hosted.client(&[REPOSITORY]);
    let (manifest, manifest_bytes) =
        push_image(&client, REPOSITORY, "t", &[b"layer one", b"layer two"]);
    let blob = |bytes: &[u8]| format!("/v2/{REPOSITORY}/blobs/{}", Digest::of(bytes));
    let cases: [(&str, &[u8], &str); 2] = [
        ("gone", b"layer one", "missing_file"),
        ("shorter", b"layer two", "wrong_size"),
    ];
    fs::remove_file(file(&hosted.appliance, &Digest::of(b"layer one"))).unwrap();
    fs::write(file(&hosted.appliance, &Digest::of(b"layer two")), b"layer").unwrap();
    for round in ["before a restart", "after it", "after garbage collection"] {
        let found = damage(&hosted.appliance);
        for (what, bytes, kind) in cases {
            let digest = Digest::of(bytes);
            assert!(
                found
                    .iter()
                    .any(|(of, text)| of == kind && text.contains(digest.hex())),
                "{round}: {what}: {found:?}"
            );
            assert_eq!(client.head(&blob(bytes)).status, 404, "{round}: {what}");
        }
        assert_eq!(found.len(), 2, "{round}: {found:?}");
        match round {
            "before a restart" => {
                // As after a crash, so that rows and files are compared.
                hosted.appliance.kill();
                hosted.appliance.restart();
                hosted.appliance.wait_for_log("rows and files agree");
            }
            _ => drop(hosted.appliance.ok(&["cache", "gc", "--grace", "0s"])),
        }
    }
    // The image is still listed, and a push of its layers mends it.
    assert_eq!(
        client.head(&format!("/v2/{REPOSITORY}/manifests/t")).status,
        200
    );
    for (_, bytes, _) in cases {
        let answer = push_blob(
            &client,
            REPOSITORY,
            BlobWay::PostPut,
            &Digest::of(bytes),
            bytes,
        );
        assert_eq!(answer.status, 201);
        assert_eq!(client.get(&blob(bytes)).body, bytes);
    }
    assert_eq!(damage(&hosted.appliance), []);
    // Bytes that changed without changing their number: verify finds them, and a push mends them too.
    fs::write(
        file(&hosted.appliance, &Digest::of(b"layer one")),
        b"layer 0ne",
    )
    .unwrap();
    fs::write(
        file(&hosted.appliance, &manifest),
        vec![b' '; manifest_bytes.len()],
    )
    .unwrap();
    let kinds: Vec<_> = damage(&hosted.appliance)
        .into_iter()
        .map(|(kind, _)| kind)
        .collect();
    assert_eq!(kinds, ["wrong_hash", "wrong_hash"]);
    let manifest_path = format!("/v2/{REPOSITORY}/manifests/t");
    assert_eq!(
        client.get(&manifest_path).verdict(),
        (500, "UNKNOWN".into())
    );
    let answer = push_blob(
        &client,
        REPOSITORY,
        BlobWay::Streamed,
        &Digest::of(b"layer one"),
        b"layer one",
    );
    assert_eq!(answer.status, 201);
    assert_eq!(
        put_manifest(&client, REPOSITORY, "t", OCI_MANIFEST, &manifest_bytes).status,
        201
    );
    assert!(client.get(&manifest_path).body == manifest_bytes);
    assert_eq!(damage(&hosted.appliance), []);
}

#[test]
fn a_restore_without_the_files_says_so_to_whoever_looks_and_is_mended_by_a_push() {
    let hosted = Hosted::start();
    let client = hosted.client(&[REPOSITORY]);
    let (manifest, manifest_bytes) = push_image(&client, REPOSITORY, "t", &[b"layer"]);
    let backup = hosted.appliance.data().with_file_name("backup.sqlite");
    let backup = backup.to_str().unwrap().to_owned();
    hosted.appliance.ok(&["backup", &backup]);

    let mut other = Appliance::builder().prepare();
    other.ok(&["init"]);
    other.ok(&["restore", &backup]);
    other.restart();
    other.wait_for_log("files of pushed images that are missing");
    let doctor = other.run_cli(&["doctor", "--json"]);
    let doctor = String::from_utf8(doctor.stdout).unwrap();
    assert!(doctor.contains("pushed_files_missing"), "{doctor}");
    assert!(doctor.contains(&format!("{REPOSITORY}:t")), "{doctor}");
    let verified = other.run_cli(&["verify"]);
    let verified = String::from_utf8(verified.stdout).unwrap();
    assert!(
        verified.contains(&format!("of {REPOSITORY}:t is missing")),
        "{verified}"
    );
    let shown = other.json(&["cache", "show", "--json", &format!("hosted:{REPOSITORY}:t")]);
    assert_eq!(shown["missing"], 1, "{shown}");

    let hosted = Hosted {
        secret: hosted.secret.clone(),
        appliance: other,
    };
    let client = hosted.client(&[REPOSITORY]);
    let tag = format!("/v2/{REPOSITORY}/manifests/t");
    let layer = format!("/v2/{REPOSITORY}/blobs/{}", Digest::of(b"layer"));
    for path in [
        &tag,
        &format!("/v2/{REPOSITORY}/manifests/{manifest}"),
        &layer,
    ] {
        let answer = client.get(path);
        assert_eq!(answer.status, 500, "{answer:?}");
        let message = answer.message();
        assert!(
            message.contains("its file is missing or damaged here"),
            "{message}"
        );
        assert!(message.contains("push the image again"), "{message}");
        assert_eq!(client.head(path).status, 404, "a push sends it again");
    }
    push_image(&client, REPOSITORY, "t", &[b"layer"]);
    assert!(client.get(&tag).body == manifest_bytes);
    assert_eq!(client.get(&layer).status, 200);
    assert_eq!(damage(&hosted.appliance), []);
}

#[test]
fn a_backup_brings_back_the_rows_of_what_was_pushed() {
    let mut hosted = Hosted::start();
    let client = hosted.client(&[REPOSITORY]);
    push_image(&client, REPOSITORY, "before", &[b"layer"]);
    let backup = hosted.appliance.data().with_file_name("backup.sqlite");
    let backup = backup.to_str().unwrap().to_owned();
    hosted.appliance.ok(&["backup", &backup]);
    push_image(&client, REPOSITORY, "after", &[b"another layer"]);
    let gone = client.request("DELETE", &format!("/v2/{REPOSITORY}/manifests/before"), b"");
    assert_eq!(gone.status, 202);
    hosted.appliance.stop();

    // Another box, with the files of this one and its keys, and no rows at all.
    for lost in ["registry.sqlite", "cache.sqlite"] {
        fs::remove_file(hosted.appliance.data().join(lost)).unwrap();
    }
    hosted.appliance.ok(&["restore", &backup]);
    hosted.appliance.restart();
    let path = |tag: &str| format!("/v2/{REPOSITORY}/manifests/{tag}");
    assert_eq!(client.get(&path("before")).status, 200);
    assert_eq!(
        client.get(&path("after")).status,
        404,
        "it was pushed later"
    );
    let layer = format!("/v2/{REPOSITORY}/blobs/{}", Digest::of(b"layer"));
    assert_eq!(client.get(&layer).body, b"layer");
    hosted.appliance.wait_for_log("rows and files agree");
    assert_eq!(damage(&hosted.appliance), []);
    // And it goes on from there.
    push_image(&client, REPOSITORY, "after", &[b"another layer"]);
    assert_eq!(client.get(&path("after")).status, 200);
}

#[test]
fn a_backup_without_rows_of_pushed_images_leaves_those_that_are_there() {
    let mut hosted = Hosted::start();
    let client = hosted.client(&[REPOSITORY]);
    push_image(&client, REPOSITORY, "t", &[b"layer"]);
    let backup = hosted.appliance.data().with_file_name("old.sqlite");
    hosted.appliance.ok(&["backup", backup.to_str().unwrap()]);
    hosted.appliance.stop();
    // As an older version made it.
    let connection = rusqlite::Connection::open(&backup).unwrap();
    connection.execute_batch("DROP TABLE attached").unwrap();
    drop(connection);
    hosted.appliance.ok(&["restore", backup.to_str().unwrap()]);
    hosted.appliance.restart();
    let client = hosted.client(&[REPOSITORY]);
    assert_eq!(
        client.get(&format!("/v2/{REPOSITORY}/manifests/t")).status,
        200
    );
    let tags = client.get(&format!("/v2/{REPOSITORY}/tags/list")).json();
    assert_eq!(tags, json!({ "name": REPOSITORY, "tags": ["t"] }));
    assert!(Client::of(&hosted.appliance).get("/v2/").status == 401);
}
