//! Deltas of large layers: how long they take, and in how much memory.
//!
//! `BREAKWATER_DELTA_MB` says how much is in the layer (8 if it does not).

use std::time::Instant;

use super::*;
use crate::bundle::scale::run;
use crate::crash::number;

/// Of each end.
const MEMORY: u64 = 512_000_000;

#[test]
fn a_large_layer_is_made_again_in_bounded_memory() {
    let size = number("BREAKWATER_DELTA_MB").unwrap_or(8) as usize * 1_000_000;
    let old = bytes(1, size);
    // Every tenth megabyte is new, and all of it is elsewhere.
    let mut new = bytes(2, 777);
    for (number, piece) in old.chunks(1_000_000).enumerate() {
        match number % 10 {
            3 => new.extend(bytes(number as u64, 100_000)),
            _ => new.extend_from_slice(piece),
        }
    }
    let (old, new) = (gzip("go-1", 1, &old), gzip("go-1", 1, &new));
    let (here, there, disk) = pushed(&old, &new);
    let path = |name: &str| disk.path().join(name).to_str().unwrap().to_owned();
    drop(old);
    let (have, to) = (path("have"), path("2.tar"));
    let export = ["export", "hosted:acme/api:2", "--have", &have, "-o", &to];
    let begun = Instant::now();
    let (_, sender) = run(&mut here.appliance.command(&export), disk.path());
    let exported = begun.elapsed();
    let import = ["import", to.as_str()];
    let begun = Instant::now();
    let (_, receiver) = run(&mut there.appliance.command(&import), disk.path());
    let imported = begun.elapsed();
    let delta = std::fs::metadata(&to).unwrap().len();
    println!(
        "{} MB in the layer: whole {:.1} MB, delta {:.1} MB; export {:.1} s, {} MB held; import {:.1} s, {} MB held",
        size / 1_000_000,
        new.len() as f64 / 1e6,
        delta as f64 / 1e6,
        exported.as_secs_f64(),
        sender / 1_000_000,
        imported.as_secs_f64(),
        receiver / 1_000_000,
    );
    assert!(delta < new.len() as u64 / 5, "{delta} of {}", new.len());
    assert!(sender < MEMORY && receiver < MEMORY, "{sender} {receiver}");
    let digest = breakwater::oci::Digest::of(&new);
    let got = there
        .client(&["acme/api"])
        .get(&format!("/v2/acme/api/blobs/{digest}"));
    assert_eq!(got.status, 200);
    assert!(got.body == new);
}
