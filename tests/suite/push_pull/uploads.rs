//! Uploads over broken connections, restarts and hours: resumed where they stopped, by one writer at a time, in memory
//! that does not grow with them.

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use breakwater::oci::{Algorithm, Digest};

use crate::support::appliance::Appliance;
use crate::support::client::{Client, connect, read_head};
use crate::support::pushing::{Hosted, bytes, must_push_blob, patch_range, start};
use crate::support::small_disk::SmallDisk;

const REPOSITORY: &str = "acme/api/web";

fn arrived(client: &Client, location: &str) -> usize {
    let status = client.get(location);
    assert_eq!(status.status, 204, "{status:?}");
    let range = status.field("Range").unwrap().strip_prefix("0-").unwrap();
    range.parse::<usize>().unwrap() + 1
}

/// Sends the head of a `PATCH` that announces `length`, and as much of its body.
fn begin_patch(
    hosted: &Hosted,
    client: &Client,
    location: &str,
    length: usize,
    part: &[u8],
) -> std::net::TcpStream {
    let mut stream = connect(hosted.appliance.address());
    let head = client.head_of("PATCH", location);
    write!(stream, "{head}Content-Length: {length}\r\n\r\n").unwrap();
    stream.write_all(part).unwrap();
    stream
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_broken_upload_goes_on_where_it_stopped_also_after_restarts() {
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let mut hosted = Hosted::start();
        let client = hosted.client(&[REPOSITORY]);
        let content = bytes(11, 900_000);
        let digest = Digest::of_with(algorithm, &content);
        let begun = client.request(
            "POST",
            &format!(
                "/v2/{REPOSITORY}/blobs/uploads/?digest-algorithm={}",
                algorithm.as_str()
            ),
            b"",
        );
        let location = begun.field("Location").unwrap().to_owned();
        // The connection breaks in the middle of a body.
        let stream = begin_patch(
            &hosted,
            &client,
            &location,
            content.len(),
            &content[..300_000],
        );
        wait_for("it arrives", || arrived(&client, &location) == 300_000);
        stream.shutdown(Shutdown::Both).unwrap();
        drop(stream);
        // The box is stopped, and then killed.
        hosted.appliance.restart();
        wait_for("the writer has gone", || {
            patch_range(&client, &location, 300_000, &content[300_000..600_000]).status == 202
        });
        hosted.appliance.kill();
        hosted.appliance.restart();
        assert_eq!(arrived(&client, &location), 600_000);
        let path = format!("/v2/{REPOSITORY}/blobs/{digest}");
        assert_eq!(client.head(&path).status, 404, "not before it is whole");
        let closing = format!("{location}?digest={digest}");
        let range = format!("600000-{}", content.len() - 1);
        let closed =
            client
                .with("Content-Range", &range)
                .request("PUT", &closing, &content[600_000..]);
        assert_eq!(closed.status, 201, "{closed:?}");
        assert!(client.get(&path).body == content);
        assert_eq!(hosted.appliance.json(&["verify", "--json"])["clean"], true);
    }
}

#[test]
fn one_request_writes_to_an_upload_at_a_time() {
    let hosted = Hosted::start();
    let client = hosted.client(&[REPOSITORY]);
    let content = bytes(12, 500_000);
    let location = start(&client, REPOSITORY);
    let mut first = begin_patch(
        &hosted,
        &client,
        &location,
        content.len(),
        &content[..200_000],
    );
    wait_for("it arrives", || arrived(&client, &location) == 200_000);
    let digest = Digest::of(&content);
    for (method, path) in [
        ("PATCH", location.clone()),
        ("PUT", format!("{location}?digest={digest}")),
        ("DELETE", location.clone()),
    ] {
        let answer = client.request(method, &path, b"intruder");
        assert_eq!(answer.status, 409, "{method}: {answer:?}");
        assert_eq!(answer.field("Location"), Some(&*location), "{method}");
        assert!(answer.field("Range").is_some(), "{method}");
    }
    first.write_all(&content[200_000..]).unwrap();
    let (answer, _) = read_head(&mut first).unwrap();
    assert_eq!(answer.status, 202);
    let closed = client.request("PUT", &format!("{location}?digest={digest}"), b"");
    assert_eq!(
        closed.status, 201,
        "nobody else's bytes are in it: {closed:?}"
    );
}

#[test]
fn many_uploads_at_once_are_all_right_and_the_same_blob_from_many_is_one() {
    let hosted = Hosted::start();
    let client = hosted.client(&[REPOSITORY]);
    let shared = bytes(13, 200_000);
    std::thread::scope(|scope| {
        for worker in 0..8_u64 {
            let (client, shared) = (&client, &shared);
            scope.spawn(move || {
                for content in [shared.clone(), bytes(100 + worker, 150_000)] {
                    let location = start(client, REPOSITORY);
                    assert_eq!(client.request("PATCH", &location, &content).status, 202);
                    let digest = Digest::of(&content);
                    let path = format!("{location}?digest={digest}");
                    assert_eq!(client.request("PUT", &path, b"").status, 201);
                    let path = format!("/v2/{REPOSITORY}/blobs/{digest}");
                    assert!(client.get(&path).body == content);
                }
            });
        }
    });
    let report = hosted.appliance.json(&["verify", "--json"]);
    assert_eq!(
        (&report["clean"], &report["blobs"]),
        (&true.into(), &9.into())
    );
}

#[test]
fn a_large_upload_costs_no_memory_in_its_size() {
    let hosted = Hosted::start();
    let client = hosted.client(&[REPOSITORY]);
    // Warm, so that only the upload itself is measured.
    let small = bytes(14, 300_000);
    let location = start(&client, REPOSITORY);
    assert_eq!(client.request("PATCH", &location, &small).status, 202);
    hosted.appliance.reset_peak_memory();
    let before = hosted.appliance.memory().resident;
    let length = 300 << 20;
    let piece = bytes(15, 1 << 20);
    let location = start(&client, REPOSITORY);
    let mut stream = begin_patch(&hosted, &client, &location, length, b"");
    let mut hasher = breakwater::oci::Hasher::new(Algorithm::Sha256);
    for _ in 0..length >> 20 {
        hasher.update(&piece);
        stream.write_all(&piece).unwrap();
    }
    let (answer, _) = read_head(&mut stream).unwrap();
    assert_eq!(answer.status, 202);
    let digest = hasher.finish();
    let closed = client.request("PUT", &format!("{location}?digest={digest}"), b"");
    assert_eq!(closed.status, 201, "{closed:?}");
    let grown = hosted.appliance.memory().peak.saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes for an upload of {length}");
}

fn staged_uploads(hosted: &Hosted) -> usize {
    std::fs::read_dir(hosted.appliance.data().join("staging"))
        .unwrap()
        .filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().starts_with("upload-")
        })
        .count()
}

#[test]
fn a_push_that_fills_the_disk_gives_its_room_back() {
    let mut appliance = Appliance::builder().prepare();
    let Some(disk) = SmallDisk::mount(appliance.data(), "32m") else {
        return;
    };
    appliance.restart();
    let hosted = Hosted::of(appliance);
    let client = hosted.client(&[REPOSITORY]);
    let large = bytes(16, 8 << 20);
    let digest = Digest::of(&large);
    must_push_blob(&client, REPOSITORY, b"warm");
    disk.leave(4 << 20);
    for method in ["PATCH", "PUT"] {
        let location = start(&client, REPOSITORY);
        let path = match method {
            "PUT" => format!("{location}?digest={digest}"),
            _ => location.clone(),
        };
        let full = client.request(method, &path, &large);
        assert_eq!(full.status, 507, "{method}: {full:?}");
        assert_eq!(staged_uploads(&hosted), 0, "{method}");
        for again in ["GET", "PATCH"] {
            assert_eq!(
                client.request(again, &location, b"").verdict(),
                (404, "BLOB_UPLOAD_UNKNOWN".into()),
                "{method}, {again}"
            );
        }
    }
    must_push_blob(&client, REPOSITORY, &bytes(17, 1 << 20));
}

#[test]
fn a_project_has_only_so_many_uploads_open() {
    let hosted = Hosted::start();
    hosted.appliance.ok(&["project", "add", "acme/other"]);
    let client = hosted.client(&[REPOSITORY, "acme/api/two", "acme/other"]);
    let first = start(&client, REPOSITORY);
    for _ in 1..1_000 {
        start(&client, REPOSITORY);
    }
    let path = "/v2/acme/api/two/blobs/uploads/";
    let refused = client.request("POST", path, b"");
    assert_eq!(refused.verdict(), (403, "DENIED".into()));
    assert!(
        refused.message().contains("1000 unfinished uploads"),
        "{}",
        refused.message()
    );
    assert_eq!(staged_uploads(&hosted), 1_000);
    start(&client, "acme/other");
    assert_eq!(client.request("DELETE", &first, b"").status, 204);
    assert_eq!(client.request("POST", path, b"").status, 202);
}

#[test]
fn whoever_loses_against_the_end_of_an_upload_makes_no_new_file() {
    let hosted = Hosted::start();
    let client = hosted.client(&[REPOSITORY]);
    for round in 0..60 {
        let content = bytes(200 + round, 1_000);
        let location = start(&client, REPOSITORY);
        assert_eq!(client.request("PATCH", &location, &content).status, 202);
        let path = format!("{location}?digest={}", Digest::of(&content));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let answer = client.request("PATCH", &location, b"");
                    assert!(matches!(answer.status, 202 | 404 | 409), "{answer:?}");
                });
            }
            let closed = client.request("PUT", &path, b"");
            assert!(matches!(closed.status, 201 | 409), "{closed:?}");
            if closed.status == 409 {
                wait_for("it ends", || {
                    client.request("PUT", &path, b"").status == 201
                });
            }
        });
        assert_eq!(staged_uploads(&hosted), 0, "round {round}");
        assert_eq!(
            client.request("PATCH", &location, b"late").verdict(),
            (404, "BLOB_UPLOAD_UNKNOWN".into())
        );
    }
}
