//! Bundles of many bytes: how fast they are written and read beside `tar`, and in how much memory.
//!
//! `BREAKWATER_BUNDLE_MB` says how large (48 if it does not; `scripts/bench --bundle` takes 20,000).

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;
use crate::crash::number;

/// Of one layer.
const MOST: usize = 256 << 20;
const MEMORY: u64 = 48_000_000;

/// Bytes that no two layers share, and that no filesystem compresses.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Runs it to a good end; how long it took, with all that it wrote on the disk, and the most memory that it held.
pub(super) fn run(command: &mut Command, wrote: &Path) -> (Duration, u64) {
    let begun = Instant::now();
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let peak = wait(&mut child);
    let synced = Command::new("sync").arg("-f").arg(wrote).status();
    assert!(synced.unwrap().success());
    (begun.elapsed(), peak)
}

fn wait(child: &mut Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let high = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let high = high.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        peak = peak.max(high.unwrap_or(0) * 1024);
        if let Some(ended) = child.try_wait().unwrap() {
            assert!(ended.success(), "{ended}");
            return peak;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_large_bundle_goes_about_as_fast_as_tar_in_little_memory() {
    let size = number("BREAKWATER_BUNDLE_MB").unwrap_or(48) as usize * 1_000_000;
    let from = Hosted::start();
    let pusher = from.client(&["acme/api"]);
    let mut layers = Vec::new();
    let mut left = size;
    while left > 0 {
        let bytes = noise(left as u64, left.min(MOST));
        left -= bytes.len();
        must_push_blob(&pusher, "acme/api", &bytes);
        layers.push(
            json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": Digest::of(&bytes).as_str(), "size": bytes.len() }),
        );
    }
    let config = must_push_blob(&pusher, "acme/api", b"{}");
    let manifest = json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config.as_str(), "size": 2 },
        "layers": layers });
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let put = put_manifest(&pusher, "acme/api", "1", OCI_MANIFEST, &manifest);
    assert_eq!(put.status, 201);

    let disk = tempfile::tempdir().unwrap();
    let bundle = disk.path().join("bundle.tar");
    let text = bundle.to_str().unwrap();
    let blobs = from.appliance.data().join("blobs");
    let plain = disk.path().join("plain.tar");
    // What is measured first finds the files in the page cache as what comes later does.
    let mut tar = Command::new("tar");
    let tar = tar.arg("-cf").arg(&plain).arg("-C").arg(&blobs).arg(".");
    let mut best = [Duration::MAX; 4];
    let mut peaks = [0; 2];
    // Of the largest ones there is never more on the disk than twice their bytes.
    let rounds = if size > 4_000_000_000 { 1 } else { 2 };
    from.appliance.reset_peak_memory();
    for _ in 0..rounds {
        let _ = fs::remove_file(&bundle);
        let (took, _) = run(tar, disk.path());
        best[0] = best[0].min(took);
        fs::remove_file(&plain).unwrap();
        let export = ["export", "hosted:acme/*", "--force", "-o", text];
        let (took, peak) = run(&mut from.appliance.command(&export), disk.path());
        best[1] = best[1].min(took);
        peaks[0] = peaks[0].max(peak);
    }
    let exporting = from.appliance.memory().peak;
    drop(from);
    let mut importing = 0;
    for _ in 0..rounds {
        let plain = disk.path().join("plain");
        fs::create_dir(&plain).unwrap();
        let mut tar = Command::new("tar");
        let (took, _) = run(
            tar.arg("-xf").arg(&bundle).arg("-C").arg(&plain),
            disk.path(),
        );
        best[2] = best[2].min(took);
        fs::remove_dir_all(&plain).unwrap();
        let there = Hosted::start();
        let (took, peak) = run(
            &mut there.appliance.command(&["import", text]),
            &there.appliance.data(),
        );
        best[3] = best[3].min(took);
        peaks[1] = peaks[1].max(peak);
        importing = importing.max(there.appliance.memory().peak);
        let client = there.client(&["acme/api"]);
        let got = client.get("/v2/acme/api/manifests/1");
        assert_eq!((got.status, got.body), (200, manifest.clone()));
    }
    let rate = |took: Duration| size as f64 / 1e6 / took.as_secs_f64();
    println!(
        "{} MB: export {:.0} MB/s, {:.2} of tar, {} MB held (server {}); import {:.0} MB/s, {:.2} of tar, {} MB held (server {})",
        size / 1_000_000,
        rate(best[1]),
        best[0].as_secs_f64() / best[1].as_secs_f64(),
        peaks[0] / 1_000_000,
        exporting / 1_000_000,
        rate(best[3]),
        best[2].as_secs_f64() / best[3].as_secs_f64(),
        peaks[1] / 1_000_000,
        importing / 1_000_000,
    );
    assert!(peaks.iter().all(|peak| *peak < MEMORY), "{peaks:?}");
    assert!(
        exporting < 2 * MEMORY && importing < 2 * MEMORY,
        "{exporting} {importing}"
    );
}
