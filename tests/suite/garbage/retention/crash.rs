//! The box is killed at random moments of a cleanup, beside pushes and pulls, and started again.

use std::time::Duration;

use breakwater::oci::Digest;
use rusqlite::Connection;
use rustix::process::Signal;

use crate::crash::Random;
use crate::support::pushing::{Hosted, OCI_MANIFEST, image, must_push_blob, put_manifest};

const REPOSITORY: &str = "acme/api/web";
const TAGS: usize = 150;
const ROUNDS: usize = 4;

#[test]
fn a_box_that_is_killed_during_a_cleanup_is_sound_and_finishes_it() {
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut hosted = Hosted::start();
    let path = hosted.appliance.data().join("registry.sqlite");
    let settings = [
        "cleanup.enabled=true",
        "cleanup.keep_n=5",
        "cleanup.older_than=",
        "cleanup.name_regex_keep=keep.*",
    ];
    let mut arguments = vec!["project", "set", "acme/api"];
    arguments.extend(settings);
    hosted.appliance.ok(&arguments);
    let push = |hosted: &Hosted, tag: &str| {
        let client = hosted.client(&[REPOSITORY]);
        let config = format!("{{\"tag\":\"{tag}\"}}");
        must_push_blob(&client, REPOSITORY, config.as_bytes());
        let manifest = image(config.as_bytes(), &[], serde_json::json!({}));
        let answer = put_manifest(&client, REPOSITORY, tag, OCI_MANIFEST, &manifest);
        assert_eq!(answer.status, 201, "{answer:?}");
        (Digest::of(&manifest), manifest)
    };
    let kept = push(&hosted, "keep-me");
    for round in 0..ROUNDS {
        for tag in 0..TAGS / ROUNDS {
            push(&hosted, &format!("t{round}-{tag}"));
        }
        // So that manifests go too, not only tags.
        let connection = Connection::open(&path).unwrap();
        connection.busy_timeout(Duration::from_secs(5)).unwrap();
        connection
            .execute("UPDATE manifests SET pushed_at = pushed_at - 7200", [])
            .unwrap();
        drop(connection);
        std::thread::scope(|scope| {
            let mut cleaning = hosted
                .appliance
                .command(&["project", "cleanup", "acme/api"]);
            let running = scope.spawn(move || drop(cleaning.output()));
            let pulling = &hosted;
            let kept = &kept;
            scope
                .spawn(move || {
                    let client = pulling.client(&[REPOSITORY]);
                    let pulled = client.get(&format!("/v2/{REPOSITORY}/manifests/keep-me"));
                    assert_eq!((pulled.status, &pulled.body), (200, &kept.1));
                })
                .join()
                .unwrap();
            std::thread::sleep(Duration::from_micros(random.below(60_000)));
            hosted.appliance.signal(Signal::KILL);
            running.join().unwrap();
        });
        hosted.appliance.wait();
        hosted.appliance.restart();
        hosted.appliance.ok(&["verify"]);
    }
    hosted.appliance.ok(&["project", "cleanup", "acme/api"]);
    let client = hosted.client(&[REPOSITORY]);
    let tags = client.get(&format!("/v2/{REPOSITORY}/tags/list")).json();
    assert_eq!(tags["tags"].as_array().unwrap().len(), 6, "{tags}");
    let pulled = client.get(&format!("/v2/{REPOSITORY}/manifests/keep-me"));
    assert_eq!((pulled.status, pulled.body), (200, kept.1));
    hosted.appliance.ok(&["verify"]);
    let connection = Connection::open(&path).unwrap();
    let left: i64 = connection
        .query_row("SELECT count(*) FROM manifests", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 6);
}
