//! `breakwater client check`, and the script that says the same: run beside boxes, and beside what is none.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::appliance::{Appliance, breakwater};
use crate::support::certificates::Authority;
use crate::support::client::Client;
use crate::support::fake_upstream::FakeUpstream;

/// Exit status, and the last thing that was looked at: its word, whether it is well, what it says with the remedy.
fn check(options: &[&str]) -> (i32, String, bool, String) {
    let empty = tempfile::tempdir().unwrap();
    let output = breakwater()
        .args(["client", "check", "--json"])
        .args(options)
        .current_dir(empty.path())
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{options:?}: {output:?}"));
    let last = report["checks"].as_array().unwrap().last().unwrap();
    let text = |field: &str| last[field].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        report["ok"], last["ok"],
        "the first that is wrong is the last"
    );
    // It makes nothing where it is run.
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
    (
        output.status.code().unwrap(),
        text("check"),
        last["ok"] == true,
        format!("{} ({})", text("what"), text("remedy")),
    )
}

#[track_caller]
fn assert_wrong(options: &[&str], word: &str, parts: &[&str]) {
    let (status, check, ok, text) = check(options);
    assert_eq!((status, check.as_str(), ok), (1, word, false), "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn a_box_that_can_be_pulled_from_is_fine_and_one_that_cannot_says_why() {
    let appliance = Appliance::start();
    let url = appliance.url("");
    let (status, word, ok, _) = check(&[&url]);
    assert_eq!((status, word.as_str(), ok), (0, "trusted", true));
    let plain = breakwater()
        .args(["client", "check", &url])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&plain.stdout).into_owned();
    assert_eq!(
        text.lines()
            .filter(|line| line.starts_with("fine: "))
            .count(),
        4,
        "{text}"
    );

    appliance.ok(&["network", "remove", "127.0.0.0/8"]);
    assert_wrong(
        &[&url],
        "trusted",
        &[
            "127.0.0.1",
            "breakwater network add 127.0.0.0/24 --ability fill",
            "docker login",
        ],
    );
}

#[test]
fn what_is_no_box_is_told_apart() {
    let fake = FakeUpstream::start();
    assert_wrong(&[fake.url()], "breakwater", &["is no Breakwater"]);
    // Nobody listens at a port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{free}");
    assert_wrong(
        &[&url],
        "reachable",
        &["connection refused", "server.listen", "firewall"],
    );
    assert_wrong(
        &["http://nowhere.invalid:5000"],
        "reachable",
        &["nowhere.invalid:5000"],
    );
    for options in [&["ftp://x"][..], &["http://x/path"], &["http://"]] {
        let output = breakwater()
            .args(["client", "check"])
            .args(options)
            .output();
        assert_eq!(output.unwrap().status.code(), Some(2), "{options:?}");
    }
}

/// A box with this certificate, and where it speaks TLS.
fn with_certificate(directory: &Path, certificate: &str, key: &str) -> (Appliance, SocketAddr) {
    std::fs::write(directory.join("crt"), certificate).unwrap();
    std::fs::write(directory.join("key"), key).unwrap();
    let directory = directory.display();
    let toml = format!(
        "[tls]\ncertificate = \"{directory}/crt\"\nkey = \"{directory}/key\"\nlisten = [\"0.0.0.0:0\"]"
    );
    let appliance = Appliance::builder().toml(&toml).start();
    let log = appliance.log();
    let (_, rest) = log.rsplit_once("listening on https://").unwrap();
    let address: SocketAddr = rest.split('"').next().unwrap().parse().unwrap();
    (appliance, ([127, 0, 0, 1], address.port()).into())
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_with_the_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let ca = directory.path().join("ca.crt");
    std::fs::write(&ca, authority.pem()).unwrap();
    let ca = ca.to_str().unwrap();
    let day = Duration::from_secs(86_400);
    let issued = authority.issue(day);
    let (appliance, tls) = with_certificate(directory.path(), &issued.certificate, &issued.key);
    let url = format!("https://{tls}");
    assert_wrong(
        &[&url],
        "tls",
        &[
            "authority",
            &format!("/etc/docker/certs.d/{tls}/ca.crt"),
            "--ca",
        ],
    );
    let (status, word, ok, text) = check(&[&url, "--ca", ca]);
    assert_eq!((status, word.as_str(), ok), (0, "trusted", true), "{text}");
    // Without a scheme it is https.
    assert_eq!(check(&[&tls.to_string(), "--ca", ca]).0, 0);
    let plain = appliance.address();
    assert_wrong(
        &[&format!("https://{plain}")],
        "tls",
        &["speaks no TLS", &format!("http://{plain}")],
    );
    let other_name = format!("https://127.0.0.2:{}", tls.port());
    assert_wrong(
        &[&other_name, "--ca", ca],
        "tls",
        &["not for 127.0.0.2", "localhost", "--name"],
    );
    drop(appliance);

    let now = SystemTime::now();
    for (begin, end, part) in [
        (now - 2 * day, now - day, "has ended"),
        (now + day, now + 2 * day, "does not hold yet"),
    ] {
        let issued = authority.issue_between(begin, end);
        let (_appliance, tls) =
            with_certificate(directory.path(), &issued.certificate, &issued.key);
        assert_wrong(
            &[&format!("https://{tls}"), "--ca", ca],
            "tls",
            &[part, "clock"],
        );
    }
}

/// Answers every request as a Breakwater does whose clock is an hour behind.
fn with_wrong_clock() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let answer = format!(
                "HTTP/1.1 401 Unauthorized\r\nDate: Mon, 02 Nov 2020 10:00:00 GMT\r\nWWW-Authenticate: Bearer realm=\"http://{address}/jwt/auth\",service=\"dependency_proxy\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn a_clock_that_is_wrong_is_said() {
    let url = format!("http://{}", with_wrong_clock());
    assert_wrong(&[&url], "clock", &["2020-11-02T10:00:00Z", "NTP"]);
}

/// Answers as a Breakwater until it is asked for a token; then with what a terminal would obey.
fn with_an_evil_answer() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let length = stream.read(&mut head).unwrap_or(0);
            let is_token = head[..length].starts_with(b"GET /jwt");
            let answer = match is_token {
                false => {
                    "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"x\",service=\"dependency_proxy\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                }
                true => {
                    "HTTP/1.1 500 Oh\r\nContent-Length: 9\r\nConnection: close\r\n\r\n\x1b[2J\x07evil"
                }
            };
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn the_script_prints_nothing_that_a_terminal_obeys() {
    let appliance = Appliance::start();
    let (own, other) = (appliance.url(""), with_an_evil_answer());
    let text = Client::of(&appliance).get("/-/client-check").text();
    let text = text.replace(&own, &format!("http://{other}"));
    if let Some((status, said)) = run(&text) {
        assert_eq!(status, 1, "{said}");
        assert!(said.contains("[2Jevil"), "{said}");
        assert!(!said.contains(['\x1b', '\x07']), "{said:?}");
    }
}

/// What the script prints, and its exit status; `None` where this machine has no curl.
fn script(appliance: &Appliance) -> Option<(i32, String)> {
    let script = Client::of(appliance).get("/-/client-check");
    assert_eq!(script.status, 200);
    run(&script.text())
}

fn run(script: &str) -> Option<(i32, String)> {
    if Command::new("curl").arg("--version").output().is_err() {
        return None;
    }
    let mut shell = Command::new("sh");
    let output = crate::support::appliance::run_with_input(&mut shell, script);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some((output.status.code().unwrap(), text))
}

#[test]
fn the_script_says_the_same_without_the_program() {
    let appliance = Appliance::start();
    if let Some((status, text)) = script(&appliance) {
        assert_eq!(status, 0, "{text}");
        assert_eq!(text.matches("fine: ").count(), 4, "{text}");
        appliance.ok(&["network", "remove", "127.0.0.0/8"]);
        let (status, text) = script(&appliance).unwrap();
        assert_eq!(status, 1, "{text}");
        assert!(
            text.contains("breakwater network add 127.0.0.0/24"),
            "{text}"
        );
    }
    let client = Client::of(&appliance);
    let text = client.get("/-/client-check").text();
    assert!(
        text.starts_with("#!/bin/sh\n") && !text.contains("@URL@"),
        "{text}"
    );
    assert!(
        text.contains(&format!("url='{}'", appliance.url(""))),
        "{text}"
    );
    assert_eq!(client.head("/-/client-check").status, 200);
    assert_eq!(client.request("POST", "/-/client-check", b"").status, 405);
    // A host that would be more than a word in the script gets none.
    for host in ["x';id;'", "$(id)", "a`id`"] {
        let answer = client.with("Host", host).get("/-/client-check");
        assert_ne!(answer.status, 200, "{host}: {}", answer.text());
    }
}
