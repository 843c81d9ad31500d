//! The life of `serve`: start, signals, crash, a second one beside it, and whose the files are.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::{assert_private, stderr};
use crate::support::appliance::{Appliance, breakwater, run_with_input};

/// Serves on `data` until it is ready, makes sure that the process is `user`'s, and stops it.
fn serve_once(data: &Path, user: u32) {
    let mut child = breakwater()
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let ready = log.any(|line| line.unwrap().contains("listening on"));
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    let rest: Vec<_> = log.map(|line| line.unwrap()).collect();
    assert!(ready && child.wait().unwrap().success(), "{rest:#?}");
    let everywhere = format!("Uid:\t{user}\t{user}\t{user}\t{user}\n");
    assert!(status.contains(&everywhere), "{status}");
}

#[test]
fn root_becomes_the_owner_of_the_data_directory() {
    if !rustix::process::geteuid().is_root() {
        println!("only root can become somebody else: nothing tested");
        return;
    }
    // `nobody`, as everywhere on Linux.
    let (user, group) = (65534, 65534);
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(directory.path(), Some(user), Some(group)).unwrap();
    let run = |arguments: &[&str]| {
        let output = run_with_input(
            breakwater()
                .args(arguments)
                .arg("--data")
                .arg(directory.path()),
            "",
        );
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            stderr(&output)
        );
    };
    run(&["init"]);
    run(&["user", "add", "ci", "--service"]);
    run(&["verify"]);
    serve_once(directory.path(), user);
    let mut files = 0;
    let mut pending = vec![directory.path().to_owned()];
    while let Some(path) = pending.pop() {
        let metadata = std::fs::symlink_metadata(&path).unwrap();
        assert_eq!(
            (metadata.uid(), metadata.gid()),
            (user, group),
            "{}",
            path.display()
        );
        files += 1;
        if metadata.is_dir() {
            pending.extend(
                std::fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
    }
    assert!(files > 5, "only {files} files found");
    assert_private(directory.path());
}

#[test]
fn serve_starts_says_what_a_newcomer_needs_and_stops() {
    let mut appliance = Appliance::start();
    let url = appliance.url("");
    for text in [
        &*format!("listening on {url}"),
        &*appliance.data().display().to_string(),
        "initial_root_password",
        "registry-mirrors",
        "daemon.json",
    ] {
        assert!(
            appliance.log().contains(text),
            "{text:?} is missing in\n{}",
            appliance.log()
        );
    }
    assert!(!appliance.log().contains(&appliance.root_password()));
    assert!(
        appliance
            .log()
            .lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok()),
        "{}",
        appliance.log()
    );
    let status = appliance.json(&["upstream", "status", "--json"]);
    assert_eq!(status[0]["name"], "docker.io");
    assert_eq!(
        appliance.json(&["upstream", "list", "--json"])[0]["breaker"],
        status[0]["breaker"]
    );
    assert!(appliance.ok(&["upstream", "status"]).contains("docker.io"));
    assert_eq!(
        appliance.json(&["verify", "--json"])["clean"],
        true,
        "by the running server"
    );
    appliance.ok(&["user", "add", "ci", "--service"]);

    let begun = Instant::now();
    assert_eq!(appliance.stop().code(), Some(0), "{}", appliance.log());
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "an idle server stops at once"
    );
    assert!(!appliance.data().join("control.sock").exists());
    assert!(appliance.log().contains("stopped"));

    appliance.restart();
    assert_eq!(appliance.url(""), url);
    assert!(
        !appliance.log().contains("comparing rows with files"),
        "the last stop was clean"
    );
    appliance.signal(Signal::INT);
    assert_eq!(appliance.wait().code(), Some(0));
}

#[test]
fn systemd_is_told_when_it_is_ready_and_when_it_stops() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let next = || {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let mut appliance = Appliance::builder()
        .variable("NOTIFY_SOCKET", path.to_str().unwrap())
        .start();
    assert_eq!(next(), "READY=1\n");
    appliance.stop();
    assert_eq!(next(), "STOPPING=1\n");
}

#[test]
fn a_second_signal_stops_at_once() {
    // An upstream that takes connections and never answers keeps a pull in flight.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut appliance =
        Appliance::with_upstream(&format!("http://{}", silent.local_addr().unwrap()));
    let mut client = std::net::TcpStream::connect(appliance.address()).unwrap();
    let request = format!(
        "GET /v2/library/alpine/manifests/latest HTTP/1.1\r\nHost: {}\r\n\r\n",
        appliance.address()
    );
    client.write_all(request.as_bytes()).unwrap();
    let (_asked, _) = silent.accept().unwrap();

    appliance.signal(Signal::TERM);
    appliance.wait_for_log("stopping on SIGTERM");
    std::thread::sleep(Duration::from_millis(200));
    assert!(
        appliance.is_running(),
        "the pull in flight has time\n{}",
        appliance.log()
    );
    appliance.signal(Signal::TERM);
    let begun = Instant::now();
    assert_eq!(appliance.wait().code(), Some(1));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn after_a_crash_the_stale_socket_is_replaced_and_rows_are_compared() {
    let mut appliance = Appliance::start();
    appliance.kill();
    let socket = appliance.data().join("control.sock");
    assert!(
        std::fs::symlink_metadata(&socket)
            .unwrap()
            .file_type()
            .is_socket()
    );
    assert_eq!(
        appliance.run_cli(&["upstream", "status"]).status.code(),
        Some(1)
    );
    assert_eq!(
        appliance.json(&["verify", "--json"])["clean"],
        true,
        "by the command itself"
    );
    appliance.restart();
    appliance.wait_for_log("rows and files agree");
    appliance.ok(&["upstream", "status"]);
    assert_eq!(appliance.stop().code(), Some(0));
}

#[test]
fn a_second_server_on_the_same_data_says_who_holds_it() {
    let appliance = Appliance::start();
    let output = appliance.run_cli(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(1));
    let log = stderr(&output);
    let error = log.lines().last().unwrap();
    assert!(
        error.starts_with("breakwater: ") && error.contains("in use"),
        "{log}"
    );
    assert!(
        error.contains(&format!("process id {}", appliance.pid()))
            && error.contains(&appliance.url("")),
        "{log}"
    );
    // `init` beside a server is refused too, and harms nothing.
    assert_eq!(appliance.run_cli(&["init"]).status.code(), Some(1));
    appliance.ok(&["upstream", "status"]);
}

#[test]
fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let appliance = Appliance::builder().prepare();
    let output = appliance.run_cli(&["serve", "--listen", &address]);
    let error = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.lines().last().unwrap().contains(&address) && error.contains("--listen"),
        "{error}"
    );
}

#[test]
fn serve_refuses_a_key_that_does_not_exist_before_it_makes_anything() {
    let appliance = Appliance::builder()
        .toml("[cache]\nmin_fre = '1GiB'")
        .prepare();
    let output = appliance.run_cli(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("there is no key `cache.min_fre`")
            && stderr(&output).contains("did you mean `cache.min_free`?"),
        "{}",
        stderr(&output)
    );
    assert!(!appliance.data().exists());
}

#[test]
fn the_whole_data_directory_is_private() {
    let mut appliance = Appliance::start();
    appliance.token("ci", &["api"]);
    assert_private(&appliance.data());
    appliance.stop();
    assert_private(&appliance.data());
}
