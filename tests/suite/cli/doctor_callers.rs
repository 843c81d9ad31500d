//! Who may call the doctor, and when: as root, as the owner, as a stranger, with a server and without, with what
//! hangs. It always ends, with the exit status that was promised.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::doctor_machine::{inside, is_root, wait_for, write};
use super::doctor_surroundings::{assert_found, doctor, found, set_mode};
use super::{initialised, stderr, stdout};
use crate::support::appliance::{Appliance, as_user, breakwater};
use crate::support::fake_upstream::{Answer, FakeUpstream};

/// More than all patience of one run together, on a busy machine.
const END: Duration = Duration::from_secs(45);

/// Runs a command that must end by itself.
fn ends(command: &mut Command) -> Output {
    let begun = Instant::now();
    let output = command.output().unwrap();
    assert!(begun.elapsed() < END, "it took {:?}", begun.elapsed());
    output
}

const NOBODY: u32 = 65_534;

#[test]
fn the_owner_and_root_see_the_same_and_a_stranger_why_not() {
    if !is_root() {
        return;
    }
    let owner = 12_345;
    let appliance = Appliance::builder().prepare();
    let data = appliance.data();
    set_mode(data.parent().unwrap(), 0o755);
    std::fs::create_dir(&data).unwrap();
    set_mode(&data, 0o700);
    std::os::unix::fs::chown(&data, Some(owner), Some(owner)).unwrap();
    appliance.ok(&["init"]);
    // All of it but when it was looked.
    let report = |output: &Output| -> Value {
        let mut report: Value = serde_json::from_str(&stdout(output)).unwrap();
        report["as_of"] = Value::Null;
        report
    };
    let as_root = ends(&mut doctor(&appliance));
    let as_owner = ends(&mut as_user(&doctor(&appliance), owner));
    assert_eq!(report(&as_root), report(&as_owner));
    assert_eq!(as_root.status.code(), Some(0), "{}", stdout(&as_root));
    assert_eq!(as_owner.status.code(), Some(0));
    assert_eq!(stderr(&as_root), stderr(&as_owner));
    let mut as_stranger = as_user(&doctor(&appliance), NOBODY);
    assert_found(
        &mut as_stranger,
        "store_unusable",
        "error",
        "ermission denied",
    );
    assert_eq!(ends(&mut as_stranger).status.code(), Some(1));
    // No file has changed hands.
    for entry in std::fs::read_dir(&data).unwrap() {
        let metadata = entry.unwrap().metadata().unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&metadata), owner);
    }
}

#[test]
fn what_is_not_there_and_what_does_not_parse_is_an_error_in_words() {
    let appliance = Appliance::builder().prepare();
    let output = ends(&mut doctor(&appliance));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("there is no store at"),
        "{}",
        stderr(&output)
    );
    assert!(!appliance.data().exists(), "the doctor made a store");

    let appliance = initialised();
    for (text, part) in [
        ("[server]\nlistne = []\n", "listne"),
        ("[server\n", "breakwater.toml"),
        ("[server]\nmax_connections = -1\n", "max_connections"),
    ] {
        std::fs::write(appliance.config(), text).unwrap();
        let output = ends(&mut doctor(&appliance));
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
    let wrong = ends(breakwater().args(["doctor", "--jsn"]));
    assert_eq!(wrong.status.code(), Some(2), "wrong usage");
}

#[test]
fn a_box_that_is_offline_is_healthy_and_asks_nobody() {
    let fake = FakeUpstream::start();
    let appliance = Appliance::with_upstream(fake.url());
    appliance.ok(&["offline", "on"]);
    let probe = || appliance.command(&["doctor", "--json", "--probe"]);
    assert_found(&mut probe(), "offline", "note", "offline on purpose");
    for check in ["upstream_fails", "upstream_unreachable"] {
        assert_eq!(found(&mut probe(), check), [], "{check}");
    }
    assert_eq!(fake.requests().len(), 0);
}

#[test]
fn a_server_that_hangs_is_a_finding() {
    let appliance = Appliance::start();
    appliance.signal(Signal::STOP);
    let output = ends(&mut doctor(&appliance));
    appliance.signal(Signal::CONT);
    let report = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert!(report.contains("\"server_silent\""), "{report}");
    // The rest was looked at all the same.
    assert!(report.contains("\"initial_password\""), "{report}");
    assert_eq!(found(&mut doctor(&appliance), "server_silent"), []);
}

#[test]
fn a_database_that_another_process_holds_is_a_finding() {
    let appliance = initialised();
    let path = appliance.data().join("cache.sqlite");
    let holder = rusqlite::Connection::open(path).unwrap();
    holder
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")
        .unwrap();
    let output = ends(&mut doctor(&appliance));
    let report = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert!(report.contains("cache.sqlite"), "{report}");
}

#[test]
fn an_upstream_that_hangs_is_not_waited_for() {
    let fake = FakeUpstream::start();
    fake.on("HEAD", "/manifests/").always(Answer::silence());
    let appliance = Appliance::builder().upstream(fake.url()).prepare();
    appliance.ok(&["init"]);
    let mut probe = appliance.command(&["doctor", "--json", "--probe"]);
    let output = ends(&mut probe);
    let report = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert!(report.contains("\"upstream_unreachable\""), "{report}");
}

/// A name server that takes every question and answers none, in a network of the command's own.
#[test]
fn a_name_server_that_hangs_is_not_waited_for() {
    if !is_root() {
        return;
    }
    let appliance = Appliance::builder()
        .upstream("http://registry.example")
        .prepare();
    appliance.ok(&["init"]);
    let etc = tempfile::tempdir().unwrap();
    write(&etc.path().join("resolv.conf"), "nameserver 127.0.0.1\n");
    write(&etc.path().join("nsswitch.conf"), "hosts: dns\n");
    let server = "socket(S, 2, 2, 17) && bind(S, pack(q(S n a4 x8), 2, 53, \"\\x7f\\0\\0\\1\")) or die; print qq(ready\\n); close(STDOUT); sleep 120";
    let wait = wait_for("grep -q ready /etc/ready");
    let prelude = format!(
        "ip link set lo up; mount --bind \"$1\" /etc; \
         perl -e '$| = 1; {server}' > /etc/ready & \
         {wait}"
    );
    let namespace = ["--mount", "--net", "--pid", "--fork", "--mount-proc"];
    let probe = appliance.command(&["doctor", "--json", "--probe"]);
    let output = ends(&mut inside(&probe, &namespace, &prelude, etc.path()));
    let report = stdout(&output);
    assert_eq!(
        output.status.code(),
        Some(1),
        "{report} {}",
        stderr(&output)
    );
    assert!(report.contains("\"upstream_unreachable\""), "{report}");
    // Not because the name is unknown: that would have been an answer.
    assert!(
        report.contains("did not answer") || report.contains("time"),
        "{report}"
    );
}
