//! Exports that are killed, that meet damage, that have no room or no right to write.

use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Stdio;
use std::time::{Duration, Instant};

use breakwater::oci::Digest;

use super::{entries, manifest, names_in, pull, stderr};
use crate::crash::Random;
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image};
use crate::support::pushing::{Hosted, bytes, push_image};
use crate::support::small_disk::SmallDisk;

const MIB: usize = 1024 * 1024;

fn pushed(layers: &[&[u8]]) -> Hosted {
    let hosted = Hosted::start();
    let pusher = hosted.client(&["acme/api"]);
    for (layer, tag) in layers.iter().zip(["1", "2", "3"]) {
        push_image(&pusher, "acme/api", tag, &[layer]);
    }
    hosted
}

#[test]
fn an_export_that_is_killed_leaves_nothing_that_looks_whole() {
    let hosted = pushed(&[&bytes(1, 24 * MIB)]);
    let outside = tempfile::tempdir().unwrap();
    let path = outside.path().join("b.tar");
    let output = path.to_str().unwrap();
    let export = ["export", "hosted:acme/*", "--split", "5MB", "-o", output];
    let mut random = Random(u64::from(std::process::id()) << 17 | 1);
    let mut cut = 0;
    for _ in 0..50 {
        let mut command = hosted.appliance.command(&export);
        let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let begun = Instant::now();
        // From its first byte on.
        while names_in(outside.path()).is_empty() && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(random.below(60)));
        child.kill().unwrap();
        child.wait().unwrap();
        let names = names_in(outside.path());
        // The list of the parts has its name last, and what lies here without it is no bundle. All were on the disk by then.
        let is_listed = names.iter().any(|name| name == "b.tar.sha256");
        let is_named = names.iter().any(|name| !name.ends_with(".partial"));
        if is_listed || (is_named && names.iter().any(|name| name == "b.tar.sha256.partial")) {
            for name in names {
                std::fs::remove_file(outside.path().join(name)).unwrap();
            }
            continue;
        }
        assert!(
            names.iter().all(|name| name.ends_with(".partial")),
            "{names:?}"
        );
        cut += 1;
        let again = hosted.appliance.run_cli(&export);
        assert!(again.status.success(), "{}", stderr(&again));
        let said = stderr(&again);
        assert!(
            said.contains("an earlier export to") && said.contains("was broken off"),
            "{said}"
        );
        for name in names_in(outside.path()) {
            assert!(!name.ends_with(".partial"), "{name}");
            std::fs::remove_file(outside.path().join(name)).unwrap();
        }
    }
    assert!(
        cut > 0,
        "no kill met an export: the moments are badly chosen"
    );
}

#[test]
fn an_image_with_a_damaged_file_is_left_out_and_named() {
    let hosted = pushed(&[b"good", b"bad", b"gone"]);
    let blobs = hosted.appliance.data().join("blobs/sha256");
    let file = |layer: &[u8]| {
        let digest = Digest::of(layer);
        blobs.join(&digest.hex()[..2]).join(digest.hex())
    };
    std::fs::write(file(b"bad"), "dab").unwrap();
    std::fs::remove_file(file(b"gone")).unwrap();
    let outside = tempfile::tempdir().unwrap();
    let path = outside.path().join("b.tar");
    let export = ["export", "hosted:acme/*", "-o", path.to_str().unwrap()];
    let partly = hosted.appliance.run_cli(&export);
    let said = stderr(&partly);
    assert_eq!(partly.status.code(), Some(1), "{said}");
    assert!(said.contains("left out hosted:acme/api:2"), "{said}");
    assert!(said.contains(Digest::of(b"bad").as_str()), "{said}");
    assert!(said.contains("left out hosted:acme/api:3"), "{said}");
    let entries = entries(&path);
    let manifest = manifest(&entries);
    let names: Vec<_> = manifest.images.iter().map(|image| &*image.name).collect();
    assert_eq!(names, ["acme/api:1"]);
    assert_eq!(manifest.size, std::fs::metadata(&path).unwrap().len());
    for entry in entries
        .iter()
        .filter(|entry| entry.name.starts_with("blobs/"))
    {
        assert!(
            entry.name.ends_with(Digest::of(&entry.bytes).hex()),
            "{}",
            entry.name
        );
    }

    let outside = tempfile::tempdir().unwrap();
    let path = outside.path().join("b.tar");
    let alone = ["export", "hosted:acme/api:2", "-o", path.to_str().unwrap()];
    let nothing = hosted.appliance.run_cli(&alone);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(
        stderr(&nothing).contains("cannot be exported"),
        "{}",
        stderr(&nothing)
    );
    assert_eq!(names_in(outside.path()), Vec::<String>::new());
}

#[test]
fn an_image_that_is_here_in_part_is_left_out_and_named() {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[1000, 2000]);
    fake.put_image("library/alpine", "1", &image);
    let appliance = Appliance::with_upstream(fake.url());
    pull(&Client::of(&appliance), "library/alpine", "1", &[]);
    let outside = tempfile::tempdir().unwrap();
    let path = outside.path().join("b.tar");
    let export = ["export", "alpine:1", "-o", path.to_str().unwrap()];
    let refused = stderr(&appliance.run_cli(&export));
    assert!(refused.contains("it is here in part only"), "{refused}");
    assert_eq!(names_in(outside.path()), Vec::<String>::new());
}

#[test]
fn a_full_disk_is_told_and_nothing_is_left() {
    let hosted = pushed(&[&bytes(1, 6 * MIB)]);
    let outside = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(outside.path().join("medium"), "4m") else {
        return;
    };
    let path = disk.path().join("b.tar");
    let export = ["export", "hosted:acme/*", "-o", path.to_str().unwrap()];
    let refused = hosted.appliance.run_cli(&export);
    let said = stderr(&refused);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("the bundle takes 6.0 MiB"), "{said}");
    assert_eq!(names_in(disk.path()), Vec::<String>::new());
}

#[test]
fn root_is_told_where_the_owner_of_the_data_directory_may_write() {
    if !rustix::process::geteuid().is_root() {
        println!("only root becomes somebody else: nothing tested");
        return;
    }
    const NOBODY: u32 = 65534;
    let mut hosted = pushed(&[b"layer"]);
    hosted.appliance.stop();
    let data = hosted.appliance.data();
    let parent = data.parent().unwrap().to_owned();
    std::fs::set_permissions(&parent, PermissionsExt::from_mode(0o755)).unwrap();
    let all = std::process::Command::new("chown")
        .args(["-R", "65534:65534"])
        .arg(&data)
        .status();
    assert!(all.unwrap().success());
    let outside = tempfile::tempdir().unwrap();
    let path = outside.path().join("b.tar");
    let export = ["export", "hosted:acme/*", "-o", path.to_str().unwrap()];
    let refused = stderr(&hosted.appliance.run_cli(&export));
    assert!(
        refused.contains("install -d -o 65534 DIRECTORY"),
        "{refused}"
    );
    chown(outside.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    hosted.appliance.ok(&export);
    assert_eq!(names_in(outside.path()), ["b.tar", "b.tar.sha256"]);
}
