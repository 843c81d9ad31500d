//! What requests write, on a full disk: pushes and deletions are refused whole, pulls and logins go on.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use breakwater::oci::Digest;
use serde_json::json;

use super::{NOT_OURS, audit_kinds, log_lines};
use crate::faults::{assert_clean, metric, wait_until};
use crate::support::appliance::Appliance;
use crate::support::client::{Answer, Client, token_path};
use crate::support::fake_upstream::{FakeUpstream, Image};
use crate::support::pushing::{
    BlobWay, Hosted, OCI_MANIFEST, bytes, image, must_push_blob, push_blob, push_image, start,
};
use crate::support::rows::contents;
use crate::support::small_disk::SmallDisk;

const PROJECT: &str = "acme/api";
const OTHER: &str = "acme/api/other";

/// A refusal in the form of the registry protocol that says what is wrong with the box, and to whom to turn.
fn assert_full(answer: &Answer, asked: &str) {
    assert_eq!(
        answer.verdict(),
        (507, "UNAVAILABLE".to_owned()),
        "{asked}: {answer:?}"
    );
    let (message, status_line) = (answer.message(), answer.head.lines().next().unwrap());
    for part in [
        "the disk of this box is full",
        "free space",
        "its log says more",
    ] {
        assert!(message.contains(part), "{asked}: {message}");
    }
    // docker shows nothing else of it.
    assert!(
        status_line.contains("the disk of this box is full"),
        "{status_line}"
    );
    assert!(!answer.text().contains("sqlite"), "{}", answer.text());
}

/// The ways to push a manifest, to take things away, and what is expected of them when there is room.
fn requests(pushed: &Digest, layer: &Digest) -> Vec<(&'static str, String, Vec<u8>, u16)> {
    let config = br#"{"architecture":"amd64","os":"linux"}"#;
    let manifest = image(config, &[b"layer"], json!({ "annotations": { "a": "b" } }));
    let (v2, uploads) = (
        format!("/v2/{PROJECT}"),
        format!("/v2/{PROJECT}/blobs/uploads/"),
    );
    let by_digest = Digest::of(&manifest);
    let monolithic = bytes(7, 100_000);
    let posted = Digest::of(&monolithic);
    vec![
        ("POST", uploads.clone(), Vec::new(), 202),
        (
            "POST",
            format!("{uploads}?digest={posted}"),
            monolithic,
            201,
        ),
        (
            "POST",
            format!("/v2/{OTHER}/blobs/uploads/?mount={layer}&from={PROJECT}"),
            Vec::new(),
            201,
        ),
        ("PUT", format!("{v2}/manifests/new"), manifest.clone(), 201),
        ("PUT", format!("{v2}/manifests/{by_digest}"), manifest, 201),
        ("DELETE", format!("{v2}/manifests/old"), Vec::new(), 202),
        (
            "DELETE",
            format!("{v2}/manifests/{pushed}"),
            Vec::new(),
            202,
        ),
        ("DELETE", format!("{v2}/blobs/{layer}"), Vec::new(), 202),
    ]
}

#[test]
fn a_push_or_a_deletion_is_refused_whole_on_a_full_disk_and_done_once_there_is_room() {
    let mut appliance = Appliance::builder().prepare();
    let Some(disk) = SmallDisk::mount(appliance.data(), "16m") else {
        return;
    };
    appliance.restart();
    let hosted = Hosted::of(appliance);
    let client = hosted.client(&[PROJECT, OTHER]);
    let (pushed, _) = push_image(&client, PROJECT, "old", &[b"gone"]);
    let config = br#"{"architecture":"amd64","os":"linux"}"#;
    must_push_blob(&client, PROJECT, config);
    must_push_blob(&client, PROJECT, b"layer");
    let loose = must_push_blob(&client, PROJECT, b"loose");
    let cancelled = start(&client, PROJECT);
    let typed = client.with("Content-Type", OCI_MANIFEST);

    let mut requests = requests(&pushed, &loose);
    requests.push(("DELETE", cancelled, Vec::new(), 204));
    for (method, path, body, expected) in requests {
        disk.fill_for(disk.path());
        let before = contents(disk.path(), &NOT_OURS);
        let refused = typed.request(method, &path, &body);
        assert_full(&refused, &format!("{method} {path}"));
        let after = contents(disk.path(), &NOT_OURS);
        let changed: Vec<_> = before.symmetric_difference(&after).collect();
        assert!(changed.is_empty(), "{method} {path}: {changed:#?}");
        // What is here can be read meanwhile, also by whoever asks before a push.
        let blob = format!("/v2/{PROJECT}/blobs/{}", Digest::of(b"layer"));
        assert_eq!(client.head(&blob).status, 200);
        assert_eq!(client.get(&blob).body, b"layer");
        disk.empty();
        let done = typed.request(method, &path, &body);
        assert_eq!(done.status, expected, "{method} {path}: {done:?}");
    }
    assert_clean(&hosted.appliance);
    let log = hosted.appliance.log();
    assert!(
        log.contains("request failed") && log.contains("free space on the filesystem"),
        "{log}"
    );
}

/// A piece that does not fit ends its upload, and so does a last request whose row cannot be written: nobody could
/// go on, and what was staged would only take more room.
#[test]
fn an_upload_that_meets_a_full_disk_ends_and_leaves_no_file() {
    let mut appliance = Appliance::builder().prepare();
    let Some(disk) = SmallDisk::mount(appliance.data(), "16m") else {
        return;
    };
    appliance.restart();
    let hosted = Hosted::of(appliance);
    let client = hosted.client(&[PROJECT]);
    let blob = bytes(8, 300_000);
    let digest = Digest::of(&blob);
    for (method, staged_before, body) in [
        ("PATCH", false, blob.clone()),
        ("PUT", false, blob.clone()),
        ("PUT", true, Vec::new()),
    ] {
        let location = start(&client, PROJECT);
        if staged_before {
            assert_eq!(client.request("PATCH", &location, &blob).status, 202);
        }
        disk.fill_for(disk.path());
        let path = match method {
            "PUT" => format!("{location}?digest={digest}"),
            _ => location.clone(),
        };
        assert_full(
            &client.request(method, &path, &body),
            &format!("{method} {staged_before}"),
        );
        assert_eq!(crate::faults::staged(&hosted.appliance), Vec::<u64>::new());
        disk.empty();
        assert_eq!(
            client.get(&location).verdict(),
            (404, "BLOB_UPLOAD_UNKNOWN".into())
        );
        assert_eq!(
            client.head(&format!("/v2/{PROJECT}/blobs/{digest}")).status,
            404
        );
        assert_clean(&hosted.appliance);
    }
    let again = push_blob(&client, PROJECT, BlobWay::Chunked, &digest, &blob);
    assert_eq!(again.status, 201, "{again:?}");
}

/// A log of logins in whose last page there is room for half a line.
fn fill_last_page_of_log(data: &Path) {
    let line = json!({ "username": "before", "padding": "" }).to_string();
    let padding = "x".repeat(4096 - 60 - line.len());
    let line = json!({ "username": "before", "padding": padding }).to_string();
    let log = data.join("log");
    std::fs::create_dir(&log).unwrap();
    std::fs::write(log.join("auth_json.log"), format!("{line}\n")).unwrap();
    for (path, mode) in [(log.join("auth_json.log"), 0o600), (log, 0o700)] {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
}

#[test]
fn pulls_and_logins_go_on_while_nothing_can_be_noted_and_it_is_noted_later() {
    let fake = FakeUpstream::start();
    let mut appliance = Appliance::builder()
        .upstream(fake.url())
        .toml("[cache]\ntag_ttl = \"0s\"\nnegative_ttl = \"0s\"")
        .prepare();
    let Some(disk) = SmallDisk::mount(appliance.data(), "32m") else {
        return;
    };
    fill_last_page_of_log(disk.path());
    appliance.restart();
    let hosted = Hosted::of(appliance);
    let appliance = &hosted.appliance;
    let client = Client::of(appliance);
    // Who is let in without all abilities is told of in the log of logins.
    let half = appliance.token("half", &["read_registry"]);
    for flag in [
        "enforce_abilities_check_for_dependency_proxy",
        "dependency_proxy_split_abilities",
    ] {
        appliance.ok(&["feature", "disable", flag]);
    }
    let lacking = || {
        client.basic("half", &half).get(&token_path(&[
            "repository:acme/dependency_proxy/containers/alpine:pull",
        ]))
    };
    let (kept, cold) = (Image::oci(1, &[50_000]), Image::oci(2, &[50_000]));
    fake.put_image("library/kept", "1", &kept);
    fake.put_image("library/gone", "1", &kept);
    fake.put_image("library/cold", "1", &cold);
    for path in ["kept", "gone"] {
        assert_eq!(
            client
                .get(&format!("/v2/library/{path}/manifests/1"))
                .status,
            200
        );
    }
    let kept_blob = format!("/v2/library/kept/blobs/{}", kept.layer_digest(0));
    assert_eq!(client.get(&kept_blob).cache(), "miss");
    let logins = audit_kinds(appliance, "login.succeeded");
    disk.fill_for(disk.path());
    let before = contents(disk.path(), &NOT_OURS);

    // (path, X-Cache, body)
    let cold_digest = cold.layer_digest(0);
    fake.on("HEAD", "/library/gone/")
        .always(crate::support::fake_upstream::Answer::status(404));
    for (path, word, body) in [
        (
            "/v2/library/kept/manifests/1".to_owned(),
            "revalidated",
            &kept.manifest,
        ),
        (kept_blob, "hit", &kept.layers[0]),
        // A tag that is gone upstream cannot be marked so.
        (
            "/v2/library/gone/manifests/1".to_owned(),
            "stale",
            &kept.manifest,
        ),
        // A repository that no row knows.
        (
            "/v2/library/cold/manifests/1".to_owned(),
            "miss",
            &cold.manifest,
        ),
        (
            format!("/v2/library/cold/blobs/{cold_digest}"),
            "bypass",
            &cold.layers[0],
        ),
    ] {
        for method in ["HEAD", "GET"] {
            let answer = client.request(method, &path, b"");
            assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
            if method == "GET" {
                assert_eq!(answer.cache(), word, "{path}");
                assert!(answer.complete && answer.body == *body, "{path}");
            }
        }
    }
    assert_eq!(client.get("/v2/library/cold/tags/list").status, 200);
    // A login writes nothing on its way: not by password, not by token, not a wrong one.
    let scope = format!("repository:{PROJECT}:pull");
    let password = appliance.root_password();
    for (user, secret, status) in [
        ("root", &*password, 200),
        ("dev", &*hosted.secret, 200),
        ("dev", "wrong", 401),
    ] {
        let answer = client.basic(user, secret).get(&token_path(&[&scope]));
        assert_eq!(answer.status, status, "{user}: {answer:?}");
        assert_eq!(
            client.basic(user, secret).get("/v2/").status,
            status,
            "{user}"
        );
    }
    let after = contents(disk.path(), &NOT_OURS);
    assert_eq!(before, after);
    assert_eq!(lacking().status, 200);
    // The log has what its own file has no room for, and does not repeat itself for ever.
    appliance.wait_for_log("an event of authentication was not logged");
    appliance.wait_for_log("could not be written to the audit");
    assert!(metric(&client, "breakwater_database_errors_total{reason=\"full\"}") >= 1.0);
    assert_eq!(metric(&client, "breakwater_disk_free_bytes"), 0.0);
    let health = client.get("/-/health").json();
    assert_eq!(health["checks"]["disk"]["status"], "degraded", "{health}");
    assert_eq!(client.get("/-/readiness").status, 200, "{health}");
    let doctor = appliance.run_cli(&["doctor"]);
    let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert_eq!(doctor.status.code(), Some(1), "{told}");
    assert!(
        told.contains("is full") && told.contains("free space on it"),
        "{told}"
    );

    disk.empty();
    wait_until("the logins of meanwhile are written", || {
        audit_kinds(appliance, "login.failed") == 2
            && audit_kinds(appliance, "login.succeeded") > logins
    });
    assert_eq!(
        client
            .get(&format!("/v2/library/cold/blobs/{cold_digest}"))
            .cache(),
        "miss"
    );
    assert_eq!(lacking().status, 200);
    // Whole lines only, and the last one is the login of just now.
    let lines = log_lines(disk.path());
    let users: Vec<_> = lines.iter().map(|line| &line["username"]).collect();
    assert_eq!(users, ["before", "half"]);
    assert_clean(appliance);
}
