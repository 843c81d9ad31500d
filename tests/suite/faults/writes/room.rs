//! That a full disk can be emptied by the program that filled it: room for the databases' logs is held beforehand, so
//! that deletions, and the collection of what they leave, go on.

use std::time::Duration;

use crate::faults::assert_clean;
use crate::support::appliance::Appliance;
use crate::support::pushing::{Hosted, bytes, push_image};
use crate::support::small_disk::SmallDisk;

const REPOSITORY: &str = "acme/api";

#[test]
fn what_was_pushed_is_deleted_and_collected_on_a_full_disk_also_after_a_start() {
    let mut appliance = Appliance::builder().prepare();
    let Some(disk) = SmallDisk::mount(appliance.data(), "24m") else {
        return;
    };
    appliance.restart();
    let mut hosted = Hosted::of(appliance);
    let mut images = Vec::new();
    {
        let client = hosted.client(&[REPOSITORY]);
        for (seed, tag) in [(1, "first"), (2, "second")] {
            let layer = bytes(seed, 4 << 20);
            images.push(push_image(&client, REPOSITORY, tag, &[&layer]).0);
        }
    }
    let free = || rustix::fs::statvfs(disk.path()).unwrap().f_bavail;
    for (image, restarted) in images.into_iter().zip([false, true]) {
        disk.fill();
        if restarted {
            hosted.appliance.restart();
        }
        assert!(free() < 8, "{restarted}: {} pages", free());
        let client = hosted.client(&[REPOSITORY]);
        let manifest = format!("/v2/{REPOSITORY}/manifests/{image}");
        let deleted = client.request("DELETE", &manifest, b"");
        assert_eq!(deleted.status, 202, "{restarted}: {deleted:?}");
        // The grace counts whole seconds.
        std::thread::sleep(Duration::from_millis(1100));
        let collected = hosted.appliance.ok(&["cache", "gc", "--grace", "0s"]);
        assert!(
            free() >= (4 << 20) / 4096,
            "{restarted}: {}: {collected:?}",
            free()
        );
        // And so there is room for others beside the reserve, without anybody's help.
        let pushed = push_image(&client, REPOSITORY, "next", &[&bytes(3, 1 << 20)]);
        let again = client.get(&format!("/v2/{REPOSITORY}/manifests/{}", pushed.0));
        assert_eq!(again.status, 200, "{restarted}: {again:?}");
        disk.empty();
    }
    assert_clean(&hosted.appliance);
}
