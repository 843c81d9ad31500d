//! `breakwater top`: what goes on, once and live.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustix::termios::LocalModes;
use serde_json::Value;

use crate::cli::terminal::OnTerminal;
use crate::cli::{initialised, stderr};
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{Answer, FakeUpstream, Gate, Image};

const END: &str = "\u{1b}[?25h\u{1b}[?1049l";

#[test]
fn top_tells_what_arrives_how_much_was_hit_and_what_was_refused() {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[80_000]);
    fake.put_image("library/alpine", "latest", &image);
    fake.set_rate_limit(100, 87);
    let gate = Gate::new();
    let layer = image.layer_digest(0);
    fake.on("GET", &layer.to_string())
        .next([Answer::good().wait_at(40_000, &gate)]);
    let appliance = Appliance::with_upstream(fake.url());
    let client = Client::of(&appliance);
    let pull = || client.get("/v2/library/alpine/manifests/latest").status;
    assert_eq!(pull(), 200);
    assert_eq!(client.get("/v2/library/nosuch/manifests/1").status, 404);
    let blob = format!("/v2/library/alpine/blobs/{layer}");
    std::thread::scope(|scope| {
        let one = scope.spawn(|| client.get(&blob).status);
        let two = scope.spawn(|| Client::of(&appliance).get(&blob).status);
        gate.await_arrival();
        let begun = Instant::now();
        let seen = loop {
            let seen = appliance.json(&["top", "--once", "--json", "--every", "0.2"]);
            if seen["waiting_clients"] == 2 && seen["arriving"][0]["received_bytes"] != 0 {
                break seen;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{seen}");
        };
        let arriving = &seen["arriving"][0];
        assert_eq!(arriving["upstream"], "docker.io");
        assert_eq!(arriving["repository"], "library/alpine");
        assert_eq!(arriving["digest"], layer.to_string());
        assert_eq!(arriving["bytes"], 80_000);
        assert_eq!(arriving["clients"], 2);
        assert!(
            arriving["received_bytes"].as_u64() <= Some(40_000),
            "{arriving}"
        );
        assert_eq!(seen["upstreams"][0]["rate_limit"]["remaining"], 87);
        assert_eq!((&seen["pulls"], &seen["fetches"]), (&1.into(), &1.into()));
        assert!(seen["disk"]["bytes"].as_u64() > seen["disk"]["free_bytes"].as_u64());

        let text = appliance.ok(&["top", "--once", "--every", "0.2"]);
        assert!(!text.contains('\u{1b}'), "{text}");
        let fetch = format!("docker.io/library/alpine  sha256:{}", &layer.hex()[..12]);
        for part in [
            &fetch,
            " % of 78.1 KiB",
            "87 of 100",
            "0 % of 1 answer since the start",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        gate.open();
        assert_eq!((one.join().unwrap(), two.join().unwrap()), (200, 200));
    });
    // A line for each refresh, with what came in between.
    let mut command = appliance.command(&["top", "--json", "--every", "0.5"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["pulls_per_second"], 0.0);
    assert_eq!((pull(), pull()), (200, 200));
    let begun = Instant::now();
    while next()["pulls"] != 3 {
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
    child.kill().unwrap();
    child.wait().unwrap();

    // What is refused and what fails is among the last troubles, and the same only once.
    fake.stop();
    for _ in 0..2 {
        let path = "/v2/library/other/manifests/1";
        assert!(client.get(path).status >= 500);
    }
    let seen = appliance.json(&["top", "--once", "--json", "--every", "0.2"]);
    let trouble = &seen["troubles"][0];
    assert_eq!(seen["troubles"].as_array().unwrap().len(), 1, "{seen}");
    assert_eq!(trouble["path"], "/v2/library/other/manifests/1", "{seen}");
    assert!(trouble["status"].as_u64() >= Some(500) && trouble["why"].is_string());
    assert_eq!(trouble["times"], 2);
}

#[test]
fn top_refreshes_in_place_and_leaves_the_terminal_as_it_was() {
    let appliance = Appliance::start();
    for end in ["q", "\u{3}", ""] {
        let command = appliance.command(&["top", "--every", "0.2"]);
        let mut terminal = OnTerminal::start(command, 100, 30);
        let before = terminal.modes();
        terminal.wait_for("\u{1b}[?1049h\u{1b}[?25l\u{1b}[H\u{1b}[Kbreakwater top");
        let raw = terminal.modes();
        assert!(!raw.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG));
        assert!(!terminal.can_be_stopped());
        // Again and again at the same place.
        for _ in 0..3 {
            terminal.wait_for("\u{1b}[H\u{1b}[Kbreakwater top");
        }
        terminal.wait_for("\u{1b}[K\u{1b}[1mUPSTREAM");
        // A new size is drawn at once and not only at the next refresh: the screen is then a shorter first line. It is as wide
        // as the terminal, and nothing is erased behind it, which would erase its last character.
        terminal.resize(30, 1);
        terminal.wait_for("\u{1b}[H\u{1b}[Jbreakwater top");
        terminal.wait_for("…\u{1b}[H");
        match end {
            "" => terminal.signal(Signal::TERM),
            key => terminal.press(key),
        }
        terminal.wait_for(END);
        assert_eq!(terminal.modes(), before);
        let (status, shown) = terminal.end();
        assert!(status.success(), "{end:?}: {shown}");
        assert_eq!(shown, "", "nothing comes after the end");
    }
}

#[test]
fn a_second_signal_ends_top_where_it_stands_and_the_terminal_is_as_it_was() {
    let appliance = Appliance::start();
    let command = appliance.command(&["top", "--every", "0.2"]);
    let mut terminal = OnTerminal::start(command, 100, 30);
    let before = terminal.modes();
    terminal.wait_for("q ends");
    // It waits for a server that does not answer, which takes five seconds.
    appliance.signal(Signal::STOP);
    std::thread::sleep(Duration::from_secs(1));
    let begun = Instant::now();
    terminal.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(200));
    terminal.signal(Signal::TERM);
    terminal.wait_for(END);
    let spent = begun.elapsed();
    appliance.signal(Signal::CONT);
    assert!(spent < Duration::from_secs(3), "{spent:?}");
    assert_eq!(terminal.modes(), before);
    let (status, _) = terminal.end();
    assert_eq!(status.signal(), Some(15), "{status:?}");
}

#[test]
fn without_a_terminal_for_keys_top_prints_one_screen() {
    let appliance = Appliance::start();
    let mut shell = std::process::Command::new("sh");
    let top = appliance.command(&["top", "--every", "0.2"]);
    let words = std::iter::once(top.get_program()).chain(top.get_args());
    shell
        .args(["-c", "exec \"$@\" </dev/null", "sh"])
        .args(words);
    let mut terminal = OnTerminal::start(shell, 100, 30);
    terminal.wait_for("breakwater top");
    let (status, shown) = terminal.end();
    assert!(status.success() && !shown.contains('\u{1b}'), "{shown}");
}

#[test]
fn a_screen_is_no_wider_and_no_longer_than_its_terminal_and_has_no_colours_where_they_are_refused()
{
    let appliance = Appliance::start();
    for (columns, lines) in [(30_u16, 4_u16), (60, 10), (200, 50)] {
        let mut command = appliance.command(&["top", "--every", "0.2"]);
        command.env("NO_COLOR", "1");
        let mut terminal = OnTerminal::start(command, columns, lines);
        terminal.wait_for("\u{1b}[H");
        terminal.wait_for("\u{1b}[H");
        terminal.wait_for("\u{1b}[H");
        terminal.press("q");
        let (_, shown) = terminal.end();
        let screen = shown.split("\u{1b}[H").next().unwrap();
        let screen = screen.split(END).next().unwrap();
        let screen = screen.replace("\u{1b}[K", "").replace("\u{1b}[J", "");
        let rows: Vec<&str> = screen.split("\r\n").collect();
        assert!(
            rows.len() <= usize::from(lines),
            "{columns}x{lines}: {screen}"
        );
        for row in rows {
            assert!(
                row.chars().count() <= usize::from(columns),
                "{columns}: {row}"
            );
            assert!(!row.contains('\u{1b}'), "{row:?}");
        }
    }
}

#[test]
fn top_outlives_a_restart_of_the_server_and_needs_one_to_begin() {
    let output = initialised().run_cli(&["top"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("no server runs here"),
        "{}",
        stderr(&output)
    );
    let mut appliance = Appliance::start();
    let command = appliance.command(&["top", "--every", "0.2"]);
    let mut terminal = OnTerminal::start(command, 200, 30);
    terminal.wait_for("q ends");
    appliance.stop();
    terminal.wait_for("no answer: no server runs here");
    appliance.restart();
    terminal.wait_for("q ends");
    terminal.press("q");
    assert!(terminal.end().0.success());
    for (every, code) in [("0", 2), ("x", 2), ("99999", 2), ("0.5", 0)] {
        let output = appliance.run_cli(&["top", "--once", "--every", every]);
        assert_eq!(output.status.code(), Some(code), "{every}");
    }
}
