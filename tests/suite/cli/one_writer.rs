//! One process writes: the running server does what commands ask for, and without one the command takes the lock.

use std::fs::OpenOptions;
use std::io::Write as _;

use rustix::fs::{FlockOperation, flock};

use super::stderr;
use crate::support::appliance::Appliance;
use crate::support::client::{Client, token_path};

const SCOPE: &[&str] = &["repository:library/alpine:pull"];

#[test]
fn a_command_changes_what_the_next_request_is_answered_and_is_audited_by_its_account() {
    // The server holds the lock, so whatever succeeds was done by it.
    let appliance = Appliance::start();
    let client = Client::of(&appliance);
    for _ in 0..20 {
        appliance.ok(&["network", "remove", "127.0.0.0/8"]);
        assert_eq!(client.get(&token_path(SCOPE)).status, 401);
        appliance.ok(&["network", "add", "127.0.0.0/8", "--ability", "fill"]);
        assert_eq!(client.get(&token_path(SCOPE)).status, 200);
    }
    let events = appliance.audit(&[]);
    let added = events.as_array().unwrap().iter();
    let mut added = added.filter(|event| event["event"] == "network.added");
    assert!(
        added.any(|event| event["actor"].as_str().unwrap().starts_with("box (")),
        "{events}"
    );
}

#[test]
fn what_the_server_refuses_is_told_like_the_commands_own_errors() {
    let mut appliance = Appliance::start();
    let arguments: [(&[&str], i32); 2] = [
        (&["network", "add", "10.1.2.3/8", "--ability", "read"], 2),
        (&["network", "remove", "10.0.0.0/8"], 1),
    ];
    let told = |appliance: &Appliance| {
        arguments.map(|(arguments, status)| {
            let output = appliance.run_cli(arguments);
            assert_eq!(output.status.code(), Some(status), "{arguments:?}");
            stderr(&output)
        })
    };
    let by_the_server = told(&appliance);
    appliance.stop();
    assert_eq!(told(&appliance), by_the_server);
}

#[test]
fn without_a_server_a_command_takes_the_lock_or_says_who_has_it() {
    let appliance = Appliance::builder().prepare();
    appliance.ok(&["init"]);
    let lock = appliance.data().join("lock");
    let mut held = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(lock)
        .unwrap();
    flock(&held, FlockOperation::LockExclusive).unwrap();
    writeln!(held, "4711").unwrap();
    let add = ["network", "add", "10.0.0.0/8", "--ability", "read"];
    let output = appliance.run_cli(&add);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("pid 4711"), "{}", stderr(&output));
    // One that ends in time is waited for.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| appliance.ok(&add));
        std::thread::sleep(std::time::Duration::from_millis(300));
        drop(held);
        waiting.join().unwrap();
    });
}
