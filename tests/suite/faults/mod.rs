//! When the upstream misbehaves: the box as a process between a client that notices everything and an
//! upstream that does as it is told.

mod bad_disk;
pub(crate) mod client;
mod freshness;
mod full_disk;
mod lies;
mod one_fetch;
mod permissions;
mod read_only;
mod resume;
mod slow_disk;
mod table;
mod writes;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use breakwater::oci::Digest;

use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::FakeUpstream;

/// The repository at the upstream that most of these tests pull from.
const REPOSITORY: &str = "library/app";
/// How long anything may take that is waited for.
const DEADLINE: Duration = Duration::from_secs(60);

/// An upstream, and a box before it with the group `readers`, whose image may be read from here without a
/// login, but not filled.
fn stage(toml: &str) -> (FakeUpstream, Appliance) {
    let fake = FakeUpstream::start();
    let appliance = Appliance::builder().upstream(fake.url()).toml(toml).start();
    add_readers(&appliance);
    (fake, appliance)
}

fn add_readers(appliance: &Appliance) {
    appliance.ok(&["group", "add", "readers"]);
    appliance.ok(&[
        "network",
        "add",
        "127.0.0.0/8",
        "--ability",
        "read",
        "--group",
        "readers",
    ]);
}

/// The path of a blob for whoever may fill.
fn blob(digest: &Digest) -> String {
    format!("/v2/{REPOSITORY}/blobs/{digest}")
}

/// The path of a blob for whoever may read only.
fn readers_blob(digest: &Digest) -> String {
    format!("/v2/readers/dependency_proxy/containers/{REPOSITORY}/blobs/{digest}")
}

/// The path of a manifest for whoever may fill.
fn manifest(reference: impl std::fmt::Display) -> String {
    format!("/v2/{REPOSITORY}/manifests/{reference}")
}

/// Where a kept blob lies.
fn kept_at(appliance: &Appliance, digest: &Digest) -> PathBuf {
    let hex = digest.hex();
    appliance
        .data()
        .join("blobs/sha256")
        .join(&hex[..2])
        .join(hex)
}

fn is_kept(appliance: &Appliance, digest: &Digest) -> bool {
    kept_at(appliance, digest).exists()
}

/// The lengths of what is staged.
pub(crate) fn staged(appliance: &Appliance) -> Vec<u64> {
    let entries = std::fs::read_dir(appliance.data().join("staging")).expect("staging");
    let lengths = entries.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()));
    lengths.collect()
}

/// Nothing is damaged, by the box's own account.
pub(crate) fn assert_clean(appliance: &Appliance) {
    let report = appliance.json(&["verify", "--json"]);
    assert_eq!(report["damage"], serde_json::json!([]), "{report:#}");
}

/// The sum of a metric's samples whose series begins so.
fn metric(client: &Client, series: &str) -> f64 {
    let text = client.get("/metrics").text();
    let samples = text.lines().filter(|line| line.starts_with(series));
    samples
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}

/// How often `docker.io` lied, by the box's own account.
fn lies(appliance: &Appliance) -> u64 {
    let status = appliance.json(&["upstream", "status", "--json"]);
    status[0]["lies"].as_u64().expect("a number")
}

/// Polls until `done` holds.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < DEADLINE, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs `work` so many times at once.
fn at_once<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let start = std::sync::Barrier::new(count);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|number| {
                let (start, work) = (&start, &work);
                scope.spawn(move || {
                    start.wait();
                    work(number)
                })
            })
            .collect();
        let results = threads.into_iter().map(|thread| thread.join().unwrap());
        results.collect()
    })
}
