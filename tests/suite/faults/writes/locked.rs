//! Another process holds a database's write lock and does not let go: whoever reads gets it, whoever writes is told.
//!
//! Nothing here is timed: the lock is held until everything has answered.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use breakwater::oci::Digest;
use rusqlite::Connection;

use super::audit_kinds;
use crate::faults::{assert_clean, at_once, blob, manifest, metric, wait_until};
use crate::support::appliance::Appliance;
use crate::support::client::{Answer, Client, token_path};
use crate::support::fake_upstream::{FakeUpstream, Image};
use crate::support::pushing::{Hosted, must_push_blob, start};
use crate::support::rows::DATABASES;

const PROJECT: &str = "acme/api";

/// Holds the write lock until it is dropped.
fn hold(data: &Path, database: &str) -> Connection {
    let connection = Connection::open(data.join(database)).unwrap();
    connection.busy_timeout(Duration::from_secs(30)).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    connection
}

fn assert_busy(answer: &Answer, message: &str) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.field("Retry-After"), Some("5"), "{answer:?}");
    assert!(
        message.contains("in use by another process: try again"),
        "{message}"
    );
}

#[test]
fn pulls_go_on_and_changes_are_told_while_the_access_database_is_held() {
    serve_while_held("access.sqlite");
}

#[test]
fn pulls_go_on_while_the_cache_database_is_held() {
    serve_while_held("cache.sqlite");
}

#[test]
fn pulls_go_on_and_pushes_are_told_while_the_registry_database_is_held() {
    serve_while_held("registry.sqlite");
}

#[test]
fn pulls_go_on_and_changes_are_told_while_the_audit_database_is_held() {
    serve_while_held("audit.sqlite");
}

fn serve_while_held(database: &str) {
    let fake = FakeUpstream::start();
    let appliance = Appliance::builder()
        .upstream(fake.url())
        .toml("[cache]\ntag_ttl = \"0s\"\nnegative_ttl = \"0s\"")
        .start();
    let hosted = Hosted::of(appliance);
    let appliance = &hosted.appliance;
    let client = Client::of(appliance);
    let pusher = hosted.client(&[PROJECT]);
    let image = Image::oci(1, &[50_000]);
    for tag in ["1", "gone"] {
        fake.put_image(crate::faults::REPOSITORY, tag, &image);
        assert_eq!(client.get(&manifest(tag)).status, 200);
    }
    fake.on("HEAD", "/manifests/gone")
        .always(crate::support::fake_upstream::Answer::status(404));
    let kept = blob(&image.layer_digest(0));
    assert_eq!(client.get(&kept).cache(), "miss");
    let pushed = must_push_blob(&pusher, PROJECT, b"pushed");
    let pushed = format!("/v2/{PROJECT}/blobs/{pushed}");
    let rest = client
        .with("PRIVATE-TOKEN", &appliance.token("root", &["api"]))
        .with("Content-Type", "application/json");

    let held = hold(&appliance.data(), database);
    // Many at once do not wait for the lock one after the other.
    let pulls = at_once(24, |n| match n % 3 {
        0 => client.get(&manifest("1")),
        1 => client.get(&manifest("gone")),
        _ => client.get(&kept),
    });
    for (n, answer) in pulls.iter().enumerate() {
        let word = ["revalidated", "stale", "hit"][n % 3];
        assert_eq!((answer.status, answer.cache()), (200, word), "{database}");
    }
    // A cold one, of a repository that has no row yet.
    let cold = Image::oci(2, &[20_000]);
    let repository = "library/cold";
    fake.put_image(repository, "1", &cold);
    let got = client.get(&format!("/v2/{repository}/manifests/1"));
    assert!(got.status == 200 && got.body == cold.manifest, "{database}");
    let layer = format!("/v2/{repository}/blobs/{}", cold.layer_digest(0));
    let got = client.get(&layer);
    assert!(got.complete && got.body == cold.layers[0], "{database}");
    assert_eq!(pusher.get(&pushed).body, b"pushed");
    let scope = format!("repository:{PROJECT}:pull");
    let login = client
        .basic("dev", &hosted.secret)
        .get(&token_path(&[&scope]));
    assert_eq!(login.status, 200, "{database}");
    assert_eq!(client.get("/-/readiness").status, 200, "{database}");

    let group = r#"{"path":"later"}"#;
    let add_group = || rest.request("POST", "/api/v4/groups", group.as_bytes());
    let push = || pusher.request("POST", &format!("/v2/{PROJECT}/blobs/uploads/"), b"");
    // What changes users, groups and the like writes to two of them, a push to one.
    let changes = matches!(database, "access.sqlite" | "audit.sqlite");
    let refused = add_group();
    match changes {
        true => assert_busy(&refused, refused.json()["message"].as_str().unwrap()),
        false => assert_eq!(refused.status, 201, "{database}: {refused:?}"),
    }
    let refused = push();
    match database {
        "registry.sqlite" => {
            assert_busy(&refused, &refused.message());
            assert_eq!(refused.code(), "UNAVAILABLE");
        }
        _ => assert_eq!(refused.status, 202, "{database}: {refused:?}"),
    }
    let command = appliance.run_cli(&["group", "add", "other"]);
    let said = String::from_utf8_lossy(&command.stderr).into_owned();
    assert_eq!(command.status.success(), !changes, "{database}: {said}");
    if changes {
        assert!(
            said.contains("another process") && said.contains("(try again"),
            "{said}"
        );
    }
    let doctor = appliance.run_cli(&["doctor", "--json"]);
    let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(
        told.contains("database_locked") && told.contains(database),
        "{told}"
    );
    drop(held);
    assert_eq!(push().status, 202, "{database}");
    if changes {
        assert_eq!(add_group().status, 201, "{database}");
    }
    wait_until("what could not be kept is", || {
        client.get(&layer).cache() == "hit"
    });
    let busy = "breakwater_database_errors_total{reason=\"busy\"}";
    assert!(metric(&client, busy) >= 1.0);
    let doctor = appliance.run_cli(&["doctor", "--json"]);
    assert!(!String::from_utf8_lossy(&doctor.stdout).contains("database_locked"));
    wait_until("the login is written", || {
        audit_kinds(appliance, "login.succeeded") >= 1
    });
    assert_clean(appliance);
}

/// Who may push is asked for blobs before a push, and told at once what is there: the mark that keeps garbage
/// collection away is written later.
#[test]
fn whoever_may_push_reads_before_a_write_that_waits_has_ended() {
    let hosted = Hosted::start();
    let client = hosted.client(&[PROJECT]);
    let digest = must_push_blob(&client, PROJECT, b"here");
    let data = hosted.appliance.data();
    let held = hold(&data, "registry.sqlite");
    // So long ago that a push must not rely on it without a new mark.
    held.execute("UPDATE blob_links SET needed_at = 0", [])
        .unwrap();
    held.execute_batch("COMMIT; BEGIN IMMEDIATE").unwrap();
    let has_ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (has_ended, client) = (&has_ended, &client);
        let waiting = scope.spawn(move || {
            let answer = client.request("POST", &format!("/v2/{PROJECT}/blobs/uploads/"), b"");
            has_ended.store(true, Ordering::SeqCst);
            answer
        });
        let path = format!("/v2/{PROJECT}/blobs/{digest}");
        assert_eq!(client.head(&path).status, 200);
        assert_eq!(client.get(&path).body, b"here");
        assert!(
            !has_ended.load(Ordering::SeqCst),
            "the reads have waited for the write"
        );
        assert_eq!(waiting.join().unwrap().status, 503);
    });
    drop(held);
    let connection = Connection::open(data.join("registry.sqlite")).unwrap();
    let marked =
        "SELECT min(needed_at) FROM blob_links JOIN blobs ON blobs.id = blob_id WHERE digest = ?1";
    wait_until("the mark is written", || {
        let at: i64 = connection
            .query_row(marked, [digest.as_str()], |row| row.get(0))
            .unwrap();
        at > 0
    });
    start(&client, PROJECT);
    assert_eq!(digest, Digest::of(b"here"));
}

/// A start notes that it runs; where that cannot be written, it serves all the same.
#[test]
fn a_box_starts_while_a_database_is_held() {
    for database in DATABASES {
        let mut appliance = Appliance::start();
        appliance.stop();
        let held = hold(&appliance.data(), database);
        appliance.restart();
        assert_eq!(
            Client::of(&appliance).get("/-/readiness").status,
            200,
            "{database}"
        );
        drop(held);
        assert_clean(&appliance);
    }
}
