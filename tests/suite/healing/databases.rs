//! A database that is damaged or missing at the start.

use std::fs;
use std::path::Path;

use super::{doctor, pull, put_and_pull};
use crate::faults::assert_clean;
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image};
use crate::support::pushing::{Hosted, push_image};

fn lose(data: &Path, database: &str) {
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(data.join(format!("{database}{end}")));
    }
}

/// Writes garbage over the middle of a file, whose first page stays.
fn garble(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let length = bytes.len();
    bytes[4096..length.min(64 << 10)].fill(0xa5);
    fs::write(path, bytes).unwrap();
}

struct Case {
    name: &'static str,
    harm: fn(&Path),
    /// Whether something is left of the database to be set aside.
    is_set_aside: bool,
    /// Whether the rows of what was pulled before the save are there again.
    has_rows: bool,
}

const CASES: [Case; 6] = [
    Case {
        name: "overwritten with garbage",
        harm: |data| fs::write(data.join("cache.sqlite"), [b'x'; 9000]).unwrap(),
        is_set_aside: true,
        has_rows: true,
    },
    Case {
        name: "garbled behind its first page",
        harm: |data| garble(&data.join("cache.sqlite")),
        is_set_aside: true,
        has_rows: true,
    },
    Case {
        name: "cut short",
        harm: |data| {
            let file = fs::File::options()
                .write(true)
                .open(data.join("cache.sqlite"));
            file.unwrap().set_len(20_480).unwrap();
        },
        is_set_aside: true,
        has_rows: true,
    },
    Case {
        name: "deleted",
        harm: |data| lose(data, "cache.sqlite"),
        is_set_aside: false,
        has_rows: true,
    },
    Case {
        name: "deleted, and the newest saved rows garbled",
        harm: |data| {
            lose(data, "cache.sqlite");
            garble(&data.join("saved/cache.sqlite.1"));
        },
        is_set_aside: false,
        has_rows: true,
    },
    Case {
        name: "garbage, and nothing saved that is sound",
        harm: |data| {
            fs::write(data.join("cache.sqlite"), [b'x'; 9000]).unwrap();
            fs::write(data.join("saved/cache.sqlite.1"), "nothing").unwrap();
            garble(&data.join("saved/cache.sqlite.2"));
        },
        is_set_aside: true,
        has_rows: false,
    },
];

#[test]
fn a_lost_cache_database_is_replaced_by_the_newest_sound_saved_rows_and_the_box_serves() {
    let fake = FakeUpstream::start();
    let (before, after) = (Image::oci(1, &[40_000]), Image::oci(2, &[40_000]));
    for case in CASES {
        let name = case.name;
        fake.restart();
        let mut appliance = Appliance::builder()
            .upstream(fake.url())
            .toml("[cache]\ntag_ttl = \"1h\"")
            .start();
        put_and_pull(&fake, &appliance, "library/before", &before);
        appliance.ok(&["backup", "--nightly"]);
        appliance.ok(&["backup", "--nightly"]);
        put_and_pull(&fake, &appliance, "library/after", &after);
        appliance.stop();
        (case.harm)(&appliance.data());
        appliance.restart();

        appliance.wait_for_log("do not know");
        let log = appliance.log();
        let how = if case.is_set_aside {
            "damaged"
        } else {
            "missing"
        };
        assert!(
            log.contains(&format!("cache.sqlite was {how}")),
            "{name}: {log}"
        );
        let instead = if case.has_rows {
            "the rows saved at"
        } else {
            "there were no saved rows"
        };
        assert!(log.contains(instead), "{name}: {log}");
        assert!(
            doctor(&appliance).contains(&"cache_rows_lost".to_owned()),
            "{name}"
        );
        let health = Client::of(&appliance).get("/-/health").json();
        assert_eq!(
            health["checks"]["cache_rows"]["status"], "degraded",
            "{name}"
        );
        let aside: Vec<_> = fs::read_dir(appliance.data().join("damaged"))
            .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
            .unwrap_or_default();
        assert_eq!(!aside.is_empty(), case.is_set_aside, "{name}: {aside:?}");

        if case.has_rows {
            fake.stop();
            assert!(
                pull(&appliance, "library/before", &before)
                    .iter()
                    .all(|word| word == "hit"),
                "{name}"
            );
            fake.restart();
        }
        // What came after the save is fetched again; its files are there once.
        assert!(
            pull(&appliance, "library/after", &after)
                .iter()
                .all(|word| word == "miss"),
            "{name}"
        );
        assert!(
            pull(&appliance, "library/after", &after)
                .iter()
                .all(|word| word == "hit"),
            "{name}"
        );
        pull(&appliance, "library/before", &before);
        assert_clean(&appliance);
        appliance.restart();
        pull(&appliance, "library/before", &before);
        assert_clean(&appliance);
    }
}

#[test]
fn a_command_that_finds_the_cache_database_damaged_takes_the_saved_rows_too() {
    let fake = FakeUpstream::start();
    let mut appliance = Appliance::with_upstream(fake.url());
    put_and_pull(&fake, &appliance, "library/app", &Image::oci(1, &[1_000]));
    appliance.ok(&["backup", "--nightly"]);
    appliance.stop();
    fs::write(appliance.data().join("cache.sqlite"), [b'x'; 9000]).unwrap();
    let output = appliance.run_cli(&["cache", "list"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("cache.sqlite was damaged"), "{said}");
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(listed.contains("library/app"), "{listed}");
}

#[test]
fn a_lost_precious_database_keeps_the_box_from_starting_and_the_error_names_the_copy() {
    for (database, how) in [
        ("access.sqlite", "is damaged"),
        ("access.sqlite", "is missing"),
        ("registry.sqlite", "is damaged"),
        ("registry.sqlite", "is missing"),
    ] {
        let mut hosted = Hosted::start();
        let pushed = b"precious".as_slice();
        let (digest, bytes) = push_image(&hosted.client(&["acme/api"]), "acme/api", "1", &[pushed]);
        hosted.appliance.ok(&["backup", "--nightly"]);
        hosted.appliance.stop();
        let data = hosted.appliance.data();
        let path = data.join(database);
        match how {
            "is missing" => lose(&data, database),
            _ => garble(&path),
        }
        let before = fs::read(&path).ok();
        let refused = |arguments: &[&str]| {
            let output = hosted.appliance.run_cli(arguments);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success(), "{arguments:?}");
            said
        };
        let said = refused(&["serve", "--listen", "127.0.0.1:0"]);
        let copy = data.join("saved/backup.sqlite.1");
        let copy = copy.to_str().unwrap();
        for part in [
            database,
            how,
            &format!("breakwater restore {copy}"),
            "saved at 20",
        ] {
            assert!(said.contains(part), "{database} {how}: {said} lacks {part}");
        }
        let said = refused(&["init"]);
        assert!(said.contains(database), "{said}");
        assert_eq!(fs::read(&path).ok(), before, "it was left alone");

        hosted.appliance.ok(&["restore", copy]);
        hosted.appliance.restart();
        let client = hosted.client(&["acme/api"]);
        let answer = client.get(&format!("/v2/acme/api/manifests/{digest}"));
        assert_eq!((answer.status, answer.body), (200, bytes));
        assert_clean(&hosted.appliance);
    }
}
