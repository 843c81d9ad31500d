//! Commands on a terminal: what they ask, and what they do not show of the answer.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::cli::initialised;
use crate::support::client::Client;

/// Runs a command with a terminal for its three streams. Each answer is typed when the words before it have been
/// printed; what the terminal showed at the end.
pub(super) fn on_a_terminal(
    mut command: Command,
    dialogue: &[(&str, &str)],
) -> (ExitStatus, String) {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let path = ptsname(&controller, Vec::new()).unwrap();
    let terminal = || {
        let mut options = File::options();
        options.read(true).write(true);
        Stdio::from(options.open(path.to_str().unwrap()).unwrap())
    };
    let child = command.stdin(terminal()).stdout(terminal());
    let mut child = child.stderr(terminal()).spawn().unwrap();
    // The terminals of this process are closed with the command, so that the reader comes to an end.
    drop(command);
    let mut controller = File::from(controller);
    let mut reader = controller.try_clone().unwrap();
    let (said, hears) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 1024];
        while let Ok(count @ 1..) = reader.read(&mut bytes) {
            if said.send(bytes[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    let mut shown = Vec::new();
    for (question, answer) in dialogue {
        let begun = Instant::now();
        while !String::from_utf8_lossy(&shown).contains(question) {
            let left = Duration::from_secs(30).saturating_sub(begun.elapsed());
            let text = || String::from_utf8_lossy(&shown).into_owned();
            match hears.recv_timeout(left) {
                Ok(bytes) => shown.extend(bytes),
                Err(_) => panic!("{question:?} is not asked: {}", text()),
            }
        }
        // The question comes before the terminal is told to show nothing.
        std::thread::sleep(Duration::from_millis(300));
        controller.write_all(answer.as_bytes()).unwrap();
    }
    let status = child.wait().unwrap();
    while let Ok(bytes) = hears.recv_timeout(Duration::from_millis(500)) {
        shown.extend(bytes);
    }
    (status, String::from_utf8_lossy(&shown).into_owned())
}

#[test]
fn a_password_is_asked_for_and_never_shown() {
    let mut appliance = initialised();
    let password = "correct horse 7";
    let line = format!("{password}\n");
    let dialogue = [("password of alice: ", &*line), ("again: ", &*line)];
    let command = appliance.command(&["user", "add", "alice"]);
    let (status, shown) = on_a_terminal(command, &dialogue);
    assert!(
        status.success() && shown.contains("added user alice"),
        "{shown}"
    );
    assert!(!shown.contains("horse"), "{shown}");

    let other = [
        ("password of alice: ", &*line),
        ("again: ", "something else\n"),
    ];
    let command = appliance.command(&["user", "passwd", "alice"]);
    let (status, shown) = on_a_terminal(command, &other);
    assert_eq!(status.code(), Some(2), "{shown}");
    assert!(shown.contains("the two passwords differ"), "{shown}");
    assert!(
        !shown.contains("horse") && !shown.contains("something"),
        "{shown}"
    );

    let arguments = [
        "upstream",
        "add",
        "hub.example",
        "https://hub.example",
        "--no-probe",
    ];
    let login = ["--username", "acme", "--password-stdin"];
    let command = appliance.command(&[&arguments[..], &login].concat());
    let (status, shown) = on_a_terminal(command, &[("password: ", &line)]);
    assert!(status.success() && !shown.contains("horse"), "{shown}");

    appliance.restart();
    let client = Client::of(&appliance).basic("alice", password);
    assert_eq!(client.get("/v2/").status, 200);
}
