//! Commands on a terminal: what they ask, and what they do not show of the answer.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{InputModes, LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::cli::initialised;
use crate::support::client::Client;

/// A command that has a terminal for its three streams.
pub(crate) struct OnTerminal {
    controller: File,
    /// The terminal's other end, to see in which mode it is.
    terminal: File,
    child: Child,
    hears: Receiver<Vec<u8>>,
    shown: Vec<u8>,
    /// How much of it was waited for.
    at: usize,
}

impl OnTerminal {
    pub(crate) fn start(mut command: Command, columns: u16, lines: u16) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let path = ptsname(&controller, Vec::new()).unwrap();
        let terminal = || {
            let mut options = File::options();
            options.read(true).write(true);
            options.custom_flags(OFlags::NOCTTY.bits() as i32);
            options.open(path.to_str().unwrap()).unwrap()
        };
        let controller = File::from(controller);
        set_size(&controller, columns, lines);
        let own = terminal();
        let child = command.stdin(terminal()).stdout(terminal());
        let child = child.stderr(terminal()).spawn().unwrap();
        // The terminals of this process are closed with the command, so that the reader comes to an end.
        drop(command);
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
        Self {
            controller,
            terminal: own,
            child,
            hears,
            shown: Vec::new(),
            at: 0,
        }
    }

    /// Waits until this is shown behind what was waited for before.
    pub(crate) fn wait_for(&mut self, text: &str) {
        let begun = Instant::now();
        loop {
            let shown = self.shown();
            if let Some(at) = shown.find(text) {
                self.at += at + text.len();
                return;
            }
            let left = Duration::from_secs(30).saturating_sub(begun.elapsed());
            match self.hears.recv_timeout(left) {
                Ok(bytes) => self.shown.extend(bytes),
                Err(_) => panic!("{text:?} is not shown: {shown}"),
            }
        }
    }

    /// Whether Control-S stops what is shown.
    pub(crate) fn can_be_stopped(&self) -> bool {
        let modes = tcgetattr(&self.terminal).unwrap().input_modes;
        modes.contains(InputModes::IXON)
    }

    /// What was shown behind what was waited for.
    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown[self.at..]).into_owned()
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.controller.write_all(keys.as_bytes()).unwrap();
    }

    pub(crate) fn resize(&self, columns: u16, lines: u16) {
        set_size(&self.controller, columns, lines);
        // It is not the terminal of the command's session, whose processes the kernel would tell.
        kill_process(Pid::from_child(&self.child), Signal::WINCH).unwrap();
    }

    pub(crate) fn modes(&self) -> LocalModes {
        tcgetattr(&self.terminal).unwrap().local_modes
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end; how it ended, and what was shown behind what was waited for.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        while let Ok(bytes) = self.hears.recv_timeout(Duration::from_millis(500)) {
            self.shown.extend(bytes);
        }
        (status, self.shown())
    }
}

fn set_size(terminal: &File, columns: u16, lines: u16) {
    let size = Winsize {
        ws_row: lines,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal, size).unwrap();
}

/// Runs a command with a terminal for its three streams. Each answer is typed when the words before it have been
/// printed; what the terminal showed at the end.
pub(super) fn on_a_terminal(command: Command, dialogue: &[(&str, &str)]) -> (ExitStatus, String) {
    let mut terminal = OnTerminal::start(command, 0, 0);
    for (question, answer) in dialogue {
        terminal.wait_for(question);
        // The question comes before the terminal is told to show nothing.
        std::thread::sleep(Duration::from_millis(300));
        terminal.press(answer);
    }
    terminal.at = 0;
    terminal.end()
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

#[test]
fn rows_of_audit_and_history_differ_on_a_terminal_of_80_columns() {
    let appliance = initialised();
    appliance.ok(&["group", "add", "acme"]);
    for project in ["api", "web"] {
        appliance.ok(&["project", "add", &format!("acme/{project}")]);
    }
    for name in ["alice-of-the-platform-team", "alina-of-the-platform-team"] {
        appliance.ok(&["user", "add", name, "--service"]);
        appliance.ok(&["user", "block", name]);
        appliance.ok(&["user", "unblock", name]);
    }
    for (arguments, least) in [
        (&["audit"][..], 9),
        (&["cache", "history"], 24),
        (&["cache", "history", "--period", "week"], 28),
        (&["cache", "history", "--period", "month"], 30),
        (&["cache", "history", "--period", "year"], 12),
    ] {
        let (status, shown) = OnTerminal::start(appliance.command(arguments), 80, 24).end();
        assert!(status.success(), "{shown}");
        let lines: Vec<&str> = shown.lines().collect();
        let widest = lines.iter().map(|line| line.chars().count()).max();
        assert!(widest <= Some(80), "{arguments:?}: {shown}");
        let is_stacked = lines.iter().any(|line| line.starts_with("EVENT  "));
        let rows: Vec<String> = match is_stacked {
            true => shown.split("\r\n\r\n").map(str::to_owned).collect(),
            false => lines[1..].iter().map(|line| (*line).to_owned()).collect(),
        };
        assert!(rows.len() >= least, "{arguments:?}: {shown}");
        let different: std::collections::HashSet<_> = rows.iter().collect();
        assert_eq!(different.len(), rows.len(), "{arguments:?}: {shown}");
        for name in ["user.blocked", "user.unblocked"] {
            assert!(arguments != ["audit"] || shown.contains(name), "{shown}");
        }
    }
}
