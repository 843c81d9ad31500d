//! Starting on a full disk: a new box says why it cannot be made, one that is there serves what it has, and an
//! upgrade changes nothing before there is room.

use crate::faults::{REPOSITORY, assert_clean, blob, manifest};
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image};
use crate::support::small_disk::SmallDisk;

/// How a start or a command that cannot go on ended.
fn failed(appliance: &Appliance, arguments: &[&str]) -> String {
    let output = appliance.run_cli(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    let last = said.lines().last().unwrap_or_default().to_owned();
    assert!(last.starts_with("breakwater: "), "{said}");
    assert!(
        last.contains("full") || last.contains("No space left"),
        "{said}"
    );
    assert!(last.contains("free space on"), "{said}");
    last
}

#[test]
fn a_new_box_on_a_full_disk_says_so_and_is_made_once_there_is_room() {
    for left in [
        0,
        8 << 10,
        64 << 10,
        128 << 10,
        200 << 10,
        300 << 10,
        400 << 10,
    ] {
        let mut appliance = Appliance::builder().prepare();
        let Some(disk) = SmallDisk::mount(appliance.data(), "16m") else {
            return;
        };
        disk.leave(left);
        for arguments in [&["serve", "--listen", "127.0.0.1:0"][..], &["init"]] {
            failed(&appliance, arguments);
        }
        disk.empty();
        appliance.restart();
        let client = Client::of(&appliance);
        let password = appliance.root_password();
        assert_eq!(
            client.basic("root", &password).get("/v2/").status,
            200,
            "{left}"
        );
        assert_clean(&appliance);
    }
}

/// After a stop, a stop on the full disk, and a crash: with no room at all, and with little.
#[test]
fn a_box_that_is_there_starts_on_a_full_disk_and_serves_what_it_has() {
    let fake = FakeUpstream::start();
    let mut appliance = Appliance::builder().upstream(fake.url()).prepare();
    let Some(disk) = SmallDisk::mount(appliance.data(), "16m") else {
        return;
    };
    appliance.restart();
    let image = Image::oci(1, &[50_000]);
    fake.put_image(REPOSITORY, "1", &image);
    let kept = blob(&image.layer_digest(0));
    let pulled = |appliance: &Appliance| {
        let client = Client::of(appliance);
        assert_eq!(client.get(&manifest("1")).body, image.manifest);
        client.get(&kept).cache().to_owned()
    };
    assert_eq!(pulled(&appliance), "miss");
    let ends = ["stop", "kill", "stop without room"];
    for (end, left) in ends.iter().flat_map(|end| [(end, 0), (end, 64 << 10)]) {
        match *end {
            "stop" => assert!(appliance.stop().success()),
            "kill" => appliance.kill(),
            _ => {
                disk.fill_for(disk.path());
                let status = appliance.stop();
                let log = appliance.log();
                let last = log.lines().last().unwrap_or_default();
                assert_eq!(status.code(), Some(1), "{log}");
                assert!(
                    last.starts_with("breakwater: ") && last.contains("full"),
                    "{last}"
                );
                disk.empty();
            }
        }
        disk.leave(left);
        appliance.restart();
        assert_eq!(pulled(&appliance), "hit", "{end} {left}");
        let doctor = appliance.run_cli(&["doctor"]);
        let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert!(told.contains("is full"), "{told}");
        disk.empty();
        appliance.ok(&["group", "add", &format!("{}-{left}", end.replace(' ', "-"))]);
        assert_clean(&appliance);
    }
}

/// A database whose tables have to be made or changed first, as after an upgrade.
#[test]
fn a_database_that_cannot_be_migrated_keeps_the_box_from_starting_until_there_is_room() {
    let mut appliance = Appliance::builder().prepare();
    let Some(disk) = SmallDisk::mount(appliance.data(), "16m") else {
        return;
    };
    appliance.restart();
    appliance.ok(&["group", "add", "acme"]);
    for database in ["audit.sqlite", "cache.sqlite"] {
        appliance.stop();
        for end in ["", "-wal", "-shm"] {
            std::fs::remove_file(disk.path().join(format!("{database}{end}"))).unwrap();
        }
        // Room for its log, and not for its tables.
        disk.leave(44 << 10);
        let access = std::fs::read(disk.path().join("access.sqlite")).unwrap();
        let said = failed(&appliance, &["serve", "--listen", "127.0.0.1:0"]);
        assert!(said.contains(database), "{said}");
        let now = std::fs::read(disk.path().join("access.sqlite")).unwrap();
        assert!(access == now);
        let doctor = appliance.run_cli(&["doctor"]);
        let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert!(
            told.contains("the store cannot be opened") && told.contains("is full"),
            "{told}"
        );
        disk.empty();
        appliance.restart();
        assert!(appliance.ok(&["group", "list"]).contains("acme"));
        assert_clean(&appliance);
    }
}
