//! Crashes: the box is killed at random moments of concurrent pushes, deletions and garbage collections and started
//! again. Nothing is damaged, no push that was acknowledged is lost, and nothing deleted comes back.
//!
//! `BREAKWATER_CRASH_ROUNDS` says how often (25 if it does not), `BREAKWATER_CRASH_SEED` repeats a run.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use breakwater::oci::Digest;
use serde_json::json;

use crate::crash::{Random, number};
use crate::support::appliance::Appliance;
use crate::support::client::{Answer, Client, assert_sound};
use crate::support::pushing::{Hosted, OCI_MANIFEST, bytes, image};

const REPOSITORIES: [&str; 2] = ["acme/api/web", "acme/api/worker"];
/// After so many rounds a new data directory is begun, so that `verify` stays quick.
const ROUNDS_PER_BOX: u64 = 10;
const PUSHERS: u64 = 3;
/// Every push has this one among its layers, so that pushes share a file.
const SHARED: &[u8] = b"a layer that all images have";

/// What the box has said: repository and tag, and the manifest; `None` for one that it has deleted.
type Acknowledged = BTreeMap<(&'static str, String), Option<Pushed>>;

#[derive(Clone)]
struct Pushed {
    manifest: Vec<u8>,
    blobs: Vec<Vec<u8>>,
}

#[derive(Debug, Default)]
struct Figures {
    rounds: u64,
    /// Pushes that were acknowledged.
    pushed: usize,
    deleted: usize,
    /// Uploads that had begun when the box was killed.
    cut: usize,
    collections: usize,
}

#[test]
fn a_crash_at_any_moment_of_a_push_loses_nothing_that_was_acknowledged() {
    let rounds = number("BREAKWATER_CRASH_ROUNDS").unwrap_or(25);
    let seed = number("BREAKWATER_CRASH_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("BREAKWATER_CRASH_SEED={seed} BREAKWATER_CRASH_ROUNDS={rounds}");
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut figures = Figures::default();
    let began = Instant::now();
    let mut place = None;
    for round in 0..rounds {
        if round % ROUNDS_PER_BOX == 0 {
            place = Some((Hosted::start(), Acknowledged::new()));
        }
        let (hosted, acknowledged) = place.as_mut().expect("a box");
        crash(hosted, acknowledged, round, &mut random, &mut figures);
    }
    println!("{figures:?}, nothing lost, in {:?}", began.elapsed());
    assert!(
        rounds < 10 || figures.pushed > 0 && figures.cut > 0 && figures.collections > 0,
        "no kill met a push: the moments are badly chosen: {figures:?}"
    );
}

/// Pushes, deletes and collects until the box is killed, and looks at what it makes of that.
fn crash(
    hosted: &mut Hosted,
    acknowledged: &mut Acknowledged,
    round: u64,
    random: &mut Random,
    figures: &mut Figures,
) {
    let client = hosted.client(&REPOSITORIES);
    let is_over = AtomicBool::new(false);
    let heard = Mutex::new(std::mem::take(acknowledged));
    let delay = Duration::from_micros(random.below(400_000));
    std::thread::scope(|scope| {
        for pusher in 0..PUSHERS {
            let seed = random.below(u64::MAX / 2);
            let (client, heard) = (&client, &heard);
            scope.spawn(move || push_until_gone(client, heard, round, pusher, Random(seed | 1)));
        }
        let (appliance, is_over) = (&hosted.appliance, &is_over);
        let collector = scope.spawn(move || collect_until(appliance, is_over));
        std::thread::sleep(delay);
        // The test's own handle on the process is busy in the other thread: by its id.
        let pid = rustix::process::Pid::from_raw(i32::try_from(appliance.pid()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        is_over.store(true, Ordering::Relaxed);
        figures.collections += collector.join().expect("the collector ends");
    });
    hosted.appliance.wait();
    *acknowledged = heard.into_inner().expect("no pusher panicked");
    figures.cut += staged(&hosted.appliance);
    hosted.appliance.restart();
    assert_sound(&hosted.appliance);
    assert_kept(&client, acknowledged);
    // What the crash left goes, and nothing else does.
    hosted.appliance.ok(&["cache", "gc", "--grace", "0s"]);
    assert_sound(&hosted.appliance);
    assert_kept(&client, acknowledged);
    figures.rounds += 1;
    figures.pushed = figures.pushed.max(acknowledged.len());
    figures.deleted += acknowledged.values().filter(|kept| kept.is_none()).count();
}

/// Image after image, until the box is gone.
fn push_until_gone(
    client: &Client,
    heard: &Mutex<Acknowledged>,
    round: u64,
    pusher: u64,
    mut random: Random,
) {
    for number in 0.. {
        let repository = REPOSITORIES[usize::try_from(random.below(2)).unwrap()];
        let tag = format!("r{round}-p{pusher}-{number}");
        let config = format!("{{\"tag\":\"{tag}\"}}").into_bytes();
        let layer = bytes(
            random.below(u64::MAX),
            usize::try_from(random.below(300_000)).unwrap(),
        );
        let manifest = image(&config, &[&layer, SHARED], json!({}));
        let pushed = Pushed {
            manifest,
            blobs: vec![config, layer, SHARED.to_vec()],
        };
        match push(client, repository, &tag, &pushed) {
            Ok(true) => {}
            // A collection without grace took a blob before its manifest came: the client begins again.
            Ok(false) => continue,
            Err(_) => return,
        }
        let key = (repository, tag);
        heard
            .lock()
            .unwrap()
            .insert(key.clone(), Some(pushed.clone()));
        if random.below(4) == 0 {
            // From now on it may be there or not, until the box has said so.
            heard.lock().unwrap().remove(&key);
            let digest = Digest::of(&pushed.manifest);
            let path = format!("/v2/{repository}/manifests/{digest}");
            match client.try_request("DELETE", &path, b"") {
                Ok(answer) => assert_eq!(answer.status, 202, "{answer:?}"),
                Err(_) => return,
            }
            heard.lock().unwrap().insert(key, None);
        }
    }
}

/// Whether it was acknowledged; an error where the box is gone.
fn push(client: &Client, repository: &str, tag: &str, pushed: &Pushed) -> io::Result<bool> {
    for blob in &pushed.blobs {
        let path = format!("/v2/{repository}/blobs/{}", Digest::of(blob));
        if client.try_request("HEAD", &path, b"")?.status == 200 {
            continue;
        }
        let begun = client.try_request("POST", &format!("/v2/{repository}/blobs/uploads/"), b"")?;
        assert_eq!(begun.status, 202, "{begun:?}");
        let location = begun.field("Location").unwrap().to_owned();
        let (first, second) = blob.split_at(blob.len() / 2);
        let patched = client.try_request("PATCH", &location, first)?;
        assert_eq!(patched.status, 202, "{patched:?}");
        let closing = format!("{location}?digest={}", Digest::of(blob));
        let put = client.try_request("PUT", &closing, second)?;
        assert_eq!(put.status, 201, "{put:?}");
    }
    let put = client.with("Content-Type", OCI_MANIFEST).try_request(
        "PUT",
        &format!("/v2/{repository}/manifests/{tag}"),
        &pushed.manifest,
    )?;
    match put.status {
        201 => Ok(true),
        _ => {
            assert_eq!(put.verdict(), (400, "MANIFEST_BLOB_UNKNOWN".into()));
            Ok(false)
        }
    }
}

/// Garbage collections, one after the other; how many came to their end.
fn collect_until(appliance: &Appliance, is_over: &AtomicBool) -> usize {
    let mut done = 0;
    while !is_over.load(Ordering::Relaxed) {
        let output = appliance.run_cli(&["cache", "gc", "--grace", "0s", "--json"]);
        done += usize::from(output.status.success());
    }
    done
}

fn staged(appliance: &Appliance) -> usize {
    let staging = appliance.data().join("staging");
    let names = std::fs::read_dir(staging).unwrap();
    names
        .filter(|name| {
            let name = name.as_ref().unwrap().file_name();
            name.to_string_lossy().starts_with("upload-")
        })
        .count()
}

fn assert_kept(client: &Client, acknowledged: &Acknowledged) {
    let get = |path: String| -> Answer { client.get(&path) };
    for ((repository, tag), kept) in acknowledged {
        let answer = get(format!("/v2/{repository}/manifests/{tag}"));
        let Some(pushed) = kept else {
            assert_eq!(answer.status, 404, "{repository}:{tag} was deleted");
            continue;
        };
        assert_eq!(
            answer.status, 200,
            "{repository}:{tag} was pushed: {answer:?}"
        );
        assert!(answer.body == pushed.manifest, "{repository}:{tag}");
        for blob in &pushed.blobs {
            let digest = Digest::of(blob);
            let answer = get(format!("/v2/{repository}/blobs/{digest}"));
            assert!(
                answer.status == 200 && answer.body == *blob,
                "{digest} of {repository}:{tag}: {}",
                answer.status
            );
        }
    }
}
