//! What commands write, beside a running server, on a full disk: all of it or nothing, and the reason.

use std::path::Path;

use super::NOT_OURS;
use crate::faults::assert_clean;
use crate::support::appliance::{Appliance, run_with_input};
use crate::support::pushing::{Hosted, must_push_blob, start};
use crate::support::rows::contents;
use crate::support::small_disk::SmallDisk;

const SPLIT: &str = "dependency_proxy_split_abilities";

/// Every command that changes something, in an order in which each can be done; with what it reads.
const CHANGES: &[(&str, &str)] = &[
    ("user add alice --password-stdin", "correct horse battery\n"),
    ("user add bot --service", ""),
    (
        "user passwd alice --password-stdin",
        "battery staple horse\n",
    ),
    ("user block alice", ""),
    ("user unblock alice", ""),
    ("group add far", ""),
    ("group set far visibility=public", ""),
    ("project add far/away", ""),
    ("project set far/away quota=1MiB", ""),
    ("member add far bot --level developer", ""),
    ("member remove far bot", ""),
    ("token create --name one --user bot --scope api", ""),
    (
        "token create --name two --group far --scope api --level maintainer",
        "",
    ),
    (
        "token create --name three --project far/away --scope api --level maintainer",
        "",
    ),
    (
        "token create --name four --deploy far --scope read_registry",
        "",
    ),
    ("token create --name five --job acme/api --user dev", ""),
    ("token rotate 1", ""),
    ("token revoke 2", ""),
    ("feature disable dependency_proxy_split_abilities", ""),
    (
        "feature disable dependency_proxy_split_abilities --group far",
        "",
    ),
    (
        "feature reset dependency_proxy_split_abilities --group far",
        "",
    ),
    ("rule add acme/api acme/api* --min-push maintainer", ""),
    ("rule set 1 --min-push owner", ""),
    ("rule tag acme/api ^v --min-push maintainer", ""),
    ("rule remove 1", ""),
    ("registry add other --issuer here --audience there", ""),
    ("registry remove other", ""),
    ("network add 192.0.2.0/24 --ability read --group far", ""),
    ("network remove 192.0.2.0/24", ""),
    ("upstream add quay.io https://quay.io", ""),
    (
        "upstream add x.test https://x.test --username u --password-stdin",
        "secret\n",
    ),
    ("upstream remove quay.io", ""),
    // A blob that no image needs, and an upload that nobody goes on with.
    ("cache gc --grace 0s", ""),
    ("key rotate", ""),
    ("key rotate --at-once", ""),
    ("project remove far/away --yes", ""),
    ("group remove far --yes", ""),
    ("user remove alice", ""),
    ("tls self-signed", ""),
];

/// What only reads, and answers on a full disk as on any other.
const LOOKS: &[&str] = &[
    "user list",
    "group list",
    "project list",
    "member list acme",
    "token list",
    "feature list",
    "rule list acme/api",
    "registry list",
    "network list",
    "upstream list",
    "upstream status",
    "offline status",
    "cache list",
    "cache stats",
    "cache history",
    "cache gc --dry-run",
    "key list",
    "audit",
    "status",
    "group show acme",
    "project show acme/api",
    "user show root",
    "config show",
    "verify",
];

fn run(appliance: &Appliance, line: &str, input: &str) -> (Option<i32>, String) {
    let arguments: Vec<&str> = line.split(' ').collect();
    let output = run_with_input(&mut appliance.command(&arguments), input);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

fn assert_says_full(line: &str, (status, said): &(Option<i32>, String)) {
    assert_eq!(*status, Some(1), "{line}: {said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("breakwater: "), "{line}: {said}");
    for part in [": ", "(free space on "] {
        assert!(last.contains(part), "{line}: {said}");
    }
    assert!(
        last.contains("full") || last.contains("No space left"),
        "{line}: {said}"
    );
}

/// Nothing of what `act` does stays.
fn unchanged<T>(disk: &SmallDisk, what: &str, act: impl FnOnce() -> T) -> T {
    let before = contents(disk.path(), &NOT_OURS);
    let done = act();
    let after = contents(disk.path(), &NOT_OURS);
    // What an upload that has expired has staged goes first: it makes the room that its row may need.
    let expired = |line: &&String| what.starts_with("cache gc") && line.contains("upload-");
    let differences = before.symmetric_difference(&after);
    let changed: Vec<_> = differences.filter(|line| !expired(line)).collect();
    assert!(changed.is_empty(), "{what}: {changed:#?}");
    done
}

#[test]
fn a_command_changes_nothing_on_a_full_disk_and_says_why_and_works_once_there_is_room() {
    let mut appliance = Appliance::builder().prepare();
    let Some(disk) = SmallDisk::mount(appliance.data(), "16m") else {
        return;
    };
    appliance.restart();
    let hosted = Hosted::of(appliance);
    let appliance = &hosted.appliance;
    appliance.token("dev", &["read_api"]);
    let pusher = hosted.client(&["acme/api"]);
    must_push_blob(&pusher, "acme/api", b"loose");
    start(&pusher, "acme/api");
    let rows = rusqlite::Connection::open(disk.path().join("registry.sqlite")).unwrap();
    rows.execute("UPDATE uploads SET started_at = 0", [])
        .unwrap();
    let staged = std::fs::read_dir(disk.path().join("staging"))
        .unwrap()
        .next();
    let staged = std::fs::File::open(staged.unwrap().unwrap().path()).unwrap();
    staged.set_modified(std::time::UNIX_EPOCH).unwrap();
    for (line, input) in CHANGES {
        disk.fill_for(disk.path());
        let refused = match line.starts_with("tls") {
            // Its directory may be made before there is no room for what goes in.
            true => run(appliance, line, input),
            false => unchanged(&disk, line, || run(appliance, line, input)),
        };
        let made = std::fs::read_dir(disk.path().join("tls"));
        assert_eq!(made.map_or(0, Iterator::count), 0, "{line}");
        assert_says_full(line, &refused);
        disk.empty();
        let (status, said) = run(appliance, line, input);
        assert_eq!(status, Some(0), "{line}: {said}");
    }
    disk.fill_for(disk.path());
    // The switch that cuts the box off is a name without bytes: it works all the same, and says what is lost.
    for line in ["offline on", "offline off"] {
        let (status, said) = run(appliance, line, "");
        assert_eq!(status, Some(0), "{line}: {said}");
        assert!(
            said.contains("could not be written to the audit database"),
            "{line}: {said}"
        );
    }
    for line in LOOKS {
        let (status, said) = unchanged(&disk, line, || run(appliance, line, ""));
        assert_eq!(status, Some(0), "{line}: {said}");
    }
    disk.empty();
    assert_eq!(crate::faults::staged(appliance), Vec::<u64>::new());
    assert_eq!(appliance.ok(&["feature", "list"]).matches(SPLIT).count(), 1);
    assert_clean(appliance);
}

/// Backups go through the data directory, and to a place that may be full by itself.
#[test]
fn a_backup_or_a_restore_on_a_full_disk_leaves_what_was_there() {
    let mut appliance = Appliance::builder().prepare();
    let (elsewhere, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Some(disk) = SmallDisk::mount(appliance.data(), "16m") else {
        return;
    };
    let Some(other) = SmallDisk::mount(elsewhere.path().join("disk"), "64k") else {
        return;
    };
    appliance.restart();
    appliance.ok(&["group", "add", "acme"]);
    let good = outside.path().join("good.sqlite");
    let backup = |to: &Path| format!("backup {}", to.display());
    assert_eq!(run(&appliance, &backup(&good), "").0, Some(0));
    appliance.ok(&["group", "add", "later"]);

    // No room in the data directory; none where the file is to be.
    let second = outside.path().join("second.sqlite");
    disk.fill_for(disk.path());
    assert_says_full(
        "backup",
        &unchanged(&disk, "backup", || run(&appliance, &backup(&second), "")),
    );
    assert!(!second.exists());
    disk.empty();
    let small = other.path().join("small.sqlite");
    assert_says_full("backup", &run(&appliance, &backup(&small), ""));
    assert!(!small.exists());

    let restore = format!("restore {}", good.display());
    disk.fill_for(disk.path());
    appliance.kill();
    for left in [0, 4 << 10, 64 << 10, 128 << 10, 256 << 10, 400 << 10] {
        disk.empty();
        disk.leave(left);
        let groups = |appliance: &Appliance| appliance.ok(&["group", "list"]);
        let refused = run(&appliance, &restore, "");
        disk.empty();
        let done = refused.0 == Some(0);
        if !done {
            assert_says_full(&format!("restore with {left} bytes"), &refused);
        }
        assert_eq!(
            groups(&appliance).contains("later"),
            !done,
            "{left}: {}",
            refused.1
        );
        assert_clean(&appliance);
        disk.fill();
    }
    disk.empty();
    assert_eq!(run(&appliance, &restore, "").0, Some(0));
    assert!(!appliance.ok(&["group", "list"]).contains("later"));
    appliance.restart();
}
