//! What the doctor finds around the box: clock, disk, permissions, limits, expiries, upstreams. Each
//! condition is made for real.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{initialised, stdout};
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image};
use crate::support::rows::DATABASES;
use crate::support::small_disk::SmallDisk;

/// What the doctor says of a check: severities and sentences; every finding has a remedy.
pub(crate) fn found(command: &mut Command, check: &str) -> Vec<(String, String)> {
    let output = command.output().unwrap();
    let report: Value = serde_json::from_str(&stdout(&output))
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let errors = report["errors"].as_u64().unwrap();
    assert_eq!(
        output.status.code(),
        Some(i32::from(errors > 0)),
        "{report}"
    );
    let findings = report["findings"].as_array().unwrap().iter();
    let findings = findings.filter(|finding| finding["check"] == check);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    findings
        .map(|finding| {
            assert!(!text(&finding["remedy"]).is_empty(), "{finding}");
            (text(&finding["severity"]), text(&finding["what"]))
        })
        .collect()
}

pub(crate) fn doctor(appliance: &Appliance) -> Command {
    appliance.command(&["doctor", "--json"])
}

#[track_caller]
pub(super) fn assert_found(command: &mut Command, check: &str, severity: &str, part: &str) {
    let found = found(command, check);
    assert!(
        matches!(&found[..], [(s, what)] if s == severity && what.contains(part)),
        "{check}: {found:?}"
    );
}

pub(super) fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn sql(appliance: &Appliance, database: &str, text: &str) {
    let connection = rusqlite::Connection::open(appliance.data().join(database)).unwrap();
    connection.execute_batch(text).unwrap();
}

#[test]
fn a_clock_that_is_behind_or_not_synchronized() {
    let mut appliance = initialised();
    assert_eq!(found(&mut doctor(&appliance), "clock_behind"), []);
    // Recorded in 2100: so the clock must be wrong now.
    sql(
        &appliance,
        "audit.sqlite",
        "UPDATE events SET last_time = 4102444800",
    );
    assert_found(&mut doctor(&appliance), "clock_behind", "error", "2100");
    appliance.restart();
    appliance.stop();
    let log = appliance.log();
    assert!(log.contains("something was recorded here at 2100"), "{log}");

    let programs = tempfile::tempdir().unwrap();
    let timedatectl = programs.path().join("timedatectl");
    let path = format!("{}:/usr/bin:/bin", programs.path().display());
    for (says, expected) in [("yes", 0), ("no", 1), ("", 0)] {
        std::fs::write(&timedatectl, format!("#!/bin/sh\necho {says}\n")).unwrap();
        set_mode(&timedatectl, 0o700);
        let found = found(
            doctor(&appliance).env("PATH", &path),
            "clock_not_synchronized",
        );
        assert_eq!(found.len(), expected, "{says}: {found:?}");
    }
}

#[test]
fn a_disk_that_is_full_almost_full_or_read_only() {
    let appliance = Appliance::builder().prepare();
    let Some(disk) = SmallDisk::mount(appliance.data(), "64m") else {
        return;
    };
    appliance.ok(&["init"]);
    for check in [
        "disk_full",
        "disk_almost_full",
        "disk_read_only",
        "disk_not_writable",
    ] {
        assert_eq!(found(&mut doctor(&appliance), check), [], "{check}");
    }
    let keep = |bytes: &str| {
        let mut command = doctor(&appliance);
        command.env("BREAKWATER_CACHE_MIN_FREE", bytes);
        command
    };
    disk.leave(10 << 20);
    assert_found(&mut keep("50%"), "disk_almost_full", "warning", "min_free");
    disk.empty();
    disk.leave(1 << 20);
    assert_found(&mut keep("5%"), "disk_full", "error", "full");
    disk.empty();
    // The files of the databases' logs are kept, so that they can be read there; without them they cannot be opened,
    // and why is said all the same.
    disk.set_read_only(true);
    assert_found(
        &mut doctor(&appliance),
        "disk_read_only",
        "error",
        "read-only",
    );
    assert_eq!(found(&mut doctor(&appliance), "store_unusable"), []);
    disk.set_read_only(false);
    for database in DATABASES {
        for end in ["-wal", "-shm"] {
            std::fs::remove_file(disk.path().join(format!("{database}{end}"))).unwrap();
        }
    }
    disk.set_read_only(true);
    assert_found(
        &mut doctor(&appliance),
        "store_unusable",
        "error",
        "audit.sqlite",
    );
    assert_found(
        &mut doctor(&appliance),
        "disk_read_only",
        "error",
        "read-only",
    );
    disk.set_read_only(false);
    assert_eq!(found(&mut doctor(&appliance), "disk_read_only"), []);
}

#[test]
fn paths_that_others_may_read_or_that_are_others() {
    let appliance = initialised();
    let data = appliance.data();
    for check in ["permissions_wide", "permissions_owner"] {
        assert_eq!(found(&mut doctor(&appliance), check), [], "{check}");
    }
    let database = data.join("access.sqlite");
    set_mode(&database, 0o644);
    assert_found(
        &mut doctor(&appliance),
        "permissions_wide",
        "warning",
        "access.sqlite (0644)",
    );
    // Now others can reach it, too.
    set_mode(&data, 0o755);
    assert_found(
        &mut doctor(&appliance),
        "permissions_wide",
        "error",
        "access.sqlite (0644)",
    );
    set_mode(&data, 0o700);
    set_mode(&database, 0o600);

    let password = data.parent().unwrap().join("hub.password");
    std::fs::write(&password, "hunter2").unwrap();
    let with_password = || {
        let mut command = doctor(&appliance);
        command.env("BREAKWATER_UPSTREAMS_DOCKER_IO_USERNAME", "acme");
        command.env("BREAKWATER_UPSTREAMS_DOCKER_IO_PASSWORD_FILE", &password);
        command
    };
    set_mode(&password, 0o600);
    assert_eq!(found(&mut with_password(), "password_file_wide"), []);
    set_mode(&password, 0o644);
    assert_found(
        &mut with_password(),
        "password_file_wide",
        "error",
        "hub.password",
    );
    std::fs::remove_file(&password).unwrap();
    assert_found(
        &mut with_password(),
        "password_file_unreadable",
        "error",
        "No such file",
    );

    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can give a file away");
        return;
    }
    std::os::unix::fs::chown(data.join("keys"), Some(12_345), None).ok();
    std::os::unix::fs::chown(data.join("blobs/sha256"), Some(12_345), None).unwrap();
    assert_found(
        &mut doctor(&appliance),
        "permissions_owner",
        "error",
        "sha256 (user 12345)",
    );
}

#[test]
fn limits_below_the_configured_connections() {
    let appliance = initialised();
    let with_limit = |files: u32| {
        let inner = doctor(&appliance);
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {files}; exec \"$@\""), "sh"]);
        command.arg(inner.get_program()).args(inner.get_args());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    };
    assert_found(
        &mut with_limit(1024),
        "limit_files",
        "warning",
        "only 1024 files",
    );
    let mut roomy = with_limit(1024);
    roomy.env("BREAKWATER_SERVER_MAX_CONNECTIONS", "512");
    assert_eq!(found(&mut roomy, "limit_files"), []);
}

#[test]
fn tokens_that_expire_soon_and_expired_ones_that_are_still_sent() {
    let mut appliance = Appliance::start();
    appliance.ok(&["user", "add", "ci", "--service"]);
    let create = |name: &str, expires: &str| {
        let arguments = ["token", "create", "--name", name, "--user", "ci"];
        let scope = ["--scope", "read_registry", "--expires", expires];
        appliance
            .ok(&[&arguments[..], &scope].concat())
            .trim()
            .to_owned()
    };
    let old = create("old", "30d");
    create("unused", "30d");
    create("soon", "13d");
    create("day", "1d");
    create("later", "16d");
    create("never", "never");
    // It expired an hour ago, and somebody does not know.
    sql(
        &appliance,
        "access.sqlite",
        "UPDATE tokens SET expires_at = unixepoch() - 3600 WHERE name IN ('old', 'unused')",
    );
    sql(
        &appliance,
        "access.sqlite",
        "UPDATE tokens SET created_at = unixepoch() - 30 * 86400 WHERE name = 'soon'",
    );
    let client = Client::of(&appliance).basic("ci", &old);
    assert_eq!(client.get("/v2/").status, 401);
    appliance.stop();
    let report = &mut doctor(&appliance);
    assert_found(report, "tokens_expire_soon", "warning", "`soon`");
    assert_found(report, "tokens_expired_in_use", "warning", "from 127.0.0.1");
    for check in ["tokens_expire_soon", "tokens_expired_in_use"] {
        let [(_, what)] = &found(report, check)[..] else {
            panic!("one {check}");
        };
        for other in ["`later`", "`never`", "`unused`", "`day`"] {
            assert!(!what.contains(other), "{what}");
        }
    }
}

#[test]
fn upstreams_are_asked_only_where_that_is_wanted() {
    let fake = FakeUpstream::start();
    let appliance = Appliance::builder().upstream(fake.url()).prepare();
    appliance.ok(&["init"]);
    let probe = || appliance.command(&["doctor", "--json", "--probe"]);
    assert_eq!(found(&mut doctor(&appliance), "upstream_unreachable"), []);
    assert_eq!(fake.requests().len(), 0, "nobody was asked");
    assert_eq!(found(&mut probe(), "upstream_unreachable"), []);
    assert_eq!(fake.count("HEAD", "/manifests/"), 1);
    assert_eq!(
        fake.count("GET", "/manifests/"),
        0,
        "that would cost a pull"
    );

    fake.require_basic("acme", "hunter2");
    let password = appliance.data().parent().unwrap().join("hub.password");
    std::fs::write(&password, "hunter3").unwrap();
    let with_password = || {
        let mut command = probe();
        command.env("BREAKWATER_UPSTREAMS_DOCKER_IO_USERNAME", "acme");
        command.env("BREAKWATER_UPSTREAMS_DOCKER_IO_PASSWORD_FILE", &password);
        command
    };
    let refuses = "refuses the username and password";
    assert_found(
        &mut with_password(),
        "upstream_unreachable",
        "error",
        refuses,
    );
    std::fs::write(&password, "hunter2").unwrap();
    assert_eq!(found(&mut with_password(), "upstream_unreachable"), []);

    fake.forget_requests();
    appliance.ok(&["offline", "on"]);
    assert_found(&mut probe(), "offline", "note", "no upstream is asked");
    assert_eq!(fake.requests().len(), 0);
    appliance.ok(&["offline", "off"]);
    fake.stop();
    assert_found(&mut probe(), "upstream_unreachable", "error", "docker.io");
}

#[test]
fn a_rate_limit_that_is_almost_used_up() {
    let fake = FakeUpstream::start();
    fake.put_image("library/alpine", "1", &Image::oci(1, &[10]));
    fake.set_rate_limit(100, 50);
    let appliance = Appliance::with_upstream(fake.url());
    let client = Client::of(&appliance);
    assert_eq!(client.get("/v2/library/alpine/manifests/1").status, 200);
    assert_eq!(found(&mut doctor(&appliance), "rate_limit"), []);
    fake.set_rate_limit(100, 9);
    client.get("/v2/library/alpine/manifests/2");
    assert_found(
        &mut doctor(&appliance),
        "rate_limit",
        "warning",
        "9 of 100 pulls",
    );
}
