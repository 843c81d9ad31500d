//! Completions of names from the running box: real shells, a real server.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::cli::stdout;
use crate::support::appliance::{Appliance, breakwater, run_with_input};
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image};
use crate::support::pushing::{Hosted, push_image};

/// A box with names of every kind.
fn stage() -> (FakeUpstream, Hosted) {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[1_000]);
    for (repository, tag) in [
        ("library/alpine", "3.19"),
        ("library/alpine", "3.20"),
        ("library/debian", "12"),
        ("org/alp", "1"),
    ] {
        fake.put_image(repository, tag, &image);
    }
    let hosted = Hosted::of(Appliance::with_upstream(fake.url()));
    let client = Client::of(&hosted.appliance);
    for path in [
        "library/alpine/manifests/3.19",
        "library/alpine/manifests/3.20",
    ] {
        assert_eq!(client.get(&format!("/v2/{path}")).status, 200);
    }
    for path in ["library/debian/manifests/12", "org/alp/manifests/1"] {
        assert_eq!(client.get(&format!("/v2/{path}")).status, 200);
    }
    let pusher = hosted.client(&["acme/api"]);
    push_image(&pusher, "acme/api", "1", &[b"x"]);
    let appliance = &hosted.appliance;
    appliance.ok(&["group", "add", "acme/backend"]);
    appliance.ok(&["user", "add", "alice", "--service"]);
    appliance.ok(&["user", "add", "alina", "--service"]);
    appliance.ok(&[
        "upstream",
        "add",
        "quay.io",
        "https://quay.io",
        "--no-probe",
    ]);
    (fake, hosted)
}

fn script(shell: &str) -> String {
    stdout(&breakwater().args(["completions", shell]).output().unwrap())
}

/// The line with the box's places before what is completed.
fn line(appliance: &Appliance, rest: &str) -> String {
    let (config, data) = (appliance.config(), appliance.data());
    let (config, data) = (config.display(), data.display());
    format!("breakwater --config {config} --data {data} {rest}")
}

/// With the program's directory on the path.
fn shell(name: &str, arguments: &[&str], input: &str) -> String {
    let program = std::path::PathBuf::from(breakwater().get_program());
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", program.parent().unwrap().display());
    let mut command = Command::new(name);
    command.args(arguments).env("PATH", path);
    let output = run_with_input(&mut command, input);
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && err.is_empty(), "{name}: {err}");
    stdout(&output)
}

/// What bash makes of the line when Tab is pressed: it parts words at : and = too, and replaces the last of the parts.
fn by_bash(script: &str, line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in line.split(' ') {
        let mut rest = word;
        while let Some(at) = rest.find([':', '=']) {
            if at > 0 {
                words.push(rest[..at].to_owned());
            }
            words.push(rest[at..=at].to_owned());
            rest = &rest[at + 1..];
        }
        if !rest.is_empty() || word.is_empty() {
            words.push(rest.to_owned());
        }
    }
    let in_quotes = |word: &str| format!("'{}'", word.replace('\'', "'\\''"));
    let quoted: Vec<String> = words.iter().map(|word| in_quotes(word)).collect();
    let call = format!(
        "COMP_WORDS=({})\nCOMP_CWORD={}\nCOMP_LINE={}\nCOMP_POINT={}\nCOMPREPLY=()\n_breakwater breakwater {} ''\n[[ ${{#COMPREPLY[@]}} -eq 0 ]] || printf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        quoted.join(" "),
        words.len() - 1,
        in_quotes(line),
        line.len(),
        in_quotes(words.last().unwrap()),
    );
    let input = format!("{script}\ncomplete -p breakwater >/dev/null\n{call}");
    let out = shell("bash", &["--norc", "--noprofile", "-s"], &input);
    out.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_names_of_the_running_box() {
    let (_fake, mut hosted) = stage();
    let script = script("bash");
    let appliance = &hosted.appliance;
    for (rest, offers) in [
        ("user show al", &["alice", "alina"][..]),
        ("user block alic", &["alice"]),
        ("user add al", &[]),
        ("group show ac", &["acme", "acme/backend"]),
        ("group show acme/", &["acme/backend"]),
        ("project show ", &["acme/api"]),
        ("project add acme/", &["acme/backend"]),
        ("member add acme ali", &["alice", "alina"]),
        ("token create --user ali", &["alice", "alina"]),
        ("token create --user=ali", &["alice", "alina"]),
        ("token create --deploy acme/a", &["acme/api"]),
        ("upstream test q", &["quay.io"]),
        ("repository show acme", &["acme/api"]),
        ("rule check ali", &["alice", "alina"]),
        ("rule check alice acme/a", &["acme/api"]),
        ("cache show a", &["alpine"]),
        ("cache show o", &["org/alp"]),
        ("cache show al", &["alpine"]),
        ("cache pin debian d", &["debian", "docker.io/"]),
        (
            "cache show docker.io/library/d",
            &["docker.io/library/debian"],
        ),
        // Behind a colon bash replaces what comes behind it.
        ("cache show alpine:", &["3.19", "3.20"]),
        ("cache show docker.io/library/alpine:3.2", &["3.20"]),
        ("warm debian:12 alpine:3.1", &["3.19"]),
        ("cache show 'no-such", &[]),
        ("cache show 'al", &[]),
    ] {
        let offered = by_bash(&script, &line(appliance, rest));
        if offers.is_empty() {
            let names = ["alice", "alina", "acme", "alpine"];
            let none = !offered.iter().any(|offer| names.contains(&&**offer));
            assert!(none, "{rest}: {offered:?}");
        } else {
            assert_eq!(offered, offers, "{rest}");
        }
    }
    // Words and options are completed as before.
    let offered = by_bash(&script, &line(appliance, "user sh"));
    assert_eq!(offered, ["show"]);
    // Odd beginnings harm nothing.
    for odd in [
        "$(touch_x)",
        "`x`",
        "*",
        "%s",
        "\\",
        "--",
        "-",
        "=",
        ":",
        "ü",
        "\"a",
    ] {
        by_bash(&script, &line(appliance, &format!("user show {odd}")));
    }
    // Where no server runs, nothing is said and nothing waits.
    hosted.appliance.stop();
    let begun = Instant::now();
    let none = line(&hosted.appliance, "user show al");
    assert!(!by_bash(&script, &none).contains(&"alice".to_owned()));
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[test]
fn names_come_quickly_and_never_too_many_and_a_server_that_hangs_is_not_waited_for() {
    use rustix::process::Signal;
    let (_fake, hosted) = stage();
    let appliance = &hosted.appliance;
    for number in 0..130 {
        appliance.ok(&["group", "add", &format!("many{number:03}")]);
    }
    let words = line(appliance, "group show many");
    let words: Vec<&str> = words.split(' ').collect();
    let ask = || {
        let begun = Instant::now();
        let mut command = breakwater();
        let output = command
            .args(["complete", "--"])
            .args(&words)
            .output()
            .unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
        (stdout(&output).lines().count(), begun.elapsed())
    };
    let quickest = (0..5).map(|_| ask().1).min().unwrap();
    assert!(quickest < Duration::from_millis(200), "{quickest:?}");
    assert_eq!(ask().0, 100);
    appliance.signal(Signal::STOP);
    let (names, spent) = ask();
    appliance.signal(Signal::CONT);
    assert!(
        names == 0 && spent < Duration::from_secs(2),
        "{names} {spent:?}"
    );
    // A pipe is no configuration: nothing waits for who might write to it.
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe").display().to_string();
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let words = ["--", "breakwater", "--config", &pipe, "user", "show", "a"];
    let output = breakwater().arg("complete").args(words).output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty());
    // Whatever comes, it is an answer.
    for words in [
        &[][..],
        &["breakwater"],
        &["breakwater", "user", "show"],
        &["x", "--config"],
    ] {
        let output = breakwater().args(["complete", "--"]).args(words).output();
        assert!(output.unwrap().status.success(), "{words:?}");
    }
}

#[test]
fn fish_and_zsh_complete_names_where_they_are_there() {
    let (_fake, hosted) = stage();
    let appliance = &hosted.appliance;
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, script(name)).unwrap();
        path.display().to_string()
    };
    let is_there = |name: &str| {
        let is_there = Command::new(name).arg("--version").output().is_ok();
        if !is_there {
            eprintln!("skipped: {name} is not installed");
        }
        is_there
    };
    if is_there("fish") {
        let line = line(appliance, "user show al");
        let input = format!("source {}\ncomplete -C '{line}'\n", file("fish"));
        let offered = shell("fish", &["--no-config"], &input);
        assert_eq!(offered, "alice\nalina\n");
    }
    if is_there("zsh") {
        // Its own functions complete on a terminal alone: here `compadd` says what it is given.
        let line = line(appliance, "user show al");
        let quoted: Vec<String> = line.split(' ').map(|word| format!("'{word}'")).collect();
        let input = format!(
            "compdef() {{ }}\ncompadd() {{ print -l -- $@ }}\nsource {}\nwords=({})\nCURRENT=${{#words}}\n_breakwater\n",
            file("zsh"),
            quoted.join(" ")
        );
        assert_eq!(shell("zsh", &["-f", "-s"], &input), "--\nalice\nalina\n");
    }
}
