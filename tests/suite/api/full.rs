//! Every change of the REST API on a full disk: refused whole, with the reason, and made once there is room.

use serde_json::Value;

use super::{Caller, stage_on, walk};
use crate::support::appliance::Appliance;
use crate::support::rows::contents;
use crate::support::small_disk::SmallDisk;

/// The disk of the data directory.
pub(super) struct FullDisk(SmallDisk);

impl FullDisk {
    /// Asks for a change while the disk is full: nothing of it is made.
    pub(super) fn refuses(
        &self,
        caller: &Caller<'_>,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) {
        let Self(disk) = self;
        let but = ["filler", "log"];
        disk.fill_for(disk.path());
        let before = contents(disk.path(), &but);
        let answer = caller.call(method, path, body);
        let after = contents(disk.path(), &but);
        disk.empty();
        let asked = format!("{method} {path}");
        let changed: Vec<_> = before.symmetric_difference(&after).collect();
        assert!(changed.is_empty(), "{asked} on a full disk: {changed:#?}");
        let message = answer.json()["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert_eq!(answer.status, 507, "{asked}: {}", answer.text());
        assert!(
            message.contains("the disk of this box is full") && message.contains("free space"),
            "{asked}: {}",
            answer.text()
        );
    }
}

#[test]
fn each_change_is_refused_whole_on_a_full_disk_and_made_once_there_is_room() {
    let mut appliance = Appliance::builder().toml(walk::PROXIED).prepare();
    let Some(disk) = SmallDisk::mount(appliance.data(), "16m") else {
        return;
    };
    appliance.restart();
    let stage = stage_on(appliance, Some(FullDisk(disk)));
    walk::walk(&stage);
    crate::faults::assert_clean(&stage.appliance);
}
