//! What ends warming early: a budget, a signal, a crash, and that no server runs.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{assert_whole, lines, said, text};
use crate::support::appliance::Appliance;
use crate::support::fake_upstream::{Answer, FakeUpstream, Gate, Image};

#[test]
fn a_budget_is_kept_whatever_is_asked_for_at_once() {
    let upstream = FakeUpstream::start();
    let images: Vec<_> = (0..6).map(|seed| Image::oci(seed, &[4_000])).collect();
    let names: Vec<_> = (0..6).map(|number| format!("org/app{number}")).collect();
    for (name, image) in names.iter().zip(&images) {
        upstream.put_image(name, "latest", image);
    }
    upstream.count_pulls(100, 23);
    let appliance = Appliance::with_upstream(upstream.url());
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let arguments = [&["warm", "--keep-budget", "20", "--jobs", "6"][..], &names].concat();
    let output = appliance.run_cli(&arguments);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(upstream.count("GET", "/manifests/"), 3);
    let (summary, aside) = (text(&output.stdout), text(&output.stderr));
    assert!(summary.contains("3 of 6 images here, 3 new"), "{summary}");
    assert!(summary.contains("; 3 left"), "{summary}");
    assert!(aside.contains("its rate limit resets by 20"), "{aside}");
    assert_eq!(aside.matches("docker.io/org/app").count(), 3, "{aside}");

    // What is here costs nothing, also where nothing is left.
    upstream.forget_requests();
    let output = appliance.run_cli(&[&arguments[..], &["--json"]].concat());
    let told = lines(&output);
    let left: Vec<_> = told
        .iter()
        .filter(|line| line["outcome"] == "left")
        .collect();
    assert_eq!(left.len(), 3);
    assert!(
        left.iter().all(|line| line["remaining_pulls"] == 20),
        "{left:?}"
    );
    assert_eq!(upstream.count("GET", "/manifests/"), 0);
    upstream.count_pulls(100, 100);
    appliance.ok(&arguments);
    upstream.stop();
    for (name, image) in names.iter().zip(&images) {
        assert_whole(&appliance, name, "latest", image);
    }
}

#[test]
fn a_signal_ends_it_with_the_sum_of_what_was_done() {
    let upstream = FakeUpstream::start();
    let (first, second) = (Image::oci(1, &[4_000]), Image::oci(2, &[400_000]));
    upstream.put_image("org/first", "1", &first);
    upstream.put_image("org/second", "1", &second);
    let gate = Gate::new();
    let slow = Answer::good().wait_at(100_000, &gate);
    upstream
        .on("GET", second.layer_digest(0).as_str())
        .always(slow);
    let appliance = Appliance::with_upstream(upstream.url());
    for signal in [Signal::INT, Signal::TERM] {
        let mut command = appliance.command(&[
            "warm",
            "org/first:1",
            "org/second:1",
            "org/third:1",
            "--jobs",
            "1",
            "--json",
        ]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // When it tells of the first, the second has begun.
        let mut first_line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut first_line).unwrap();
        assert!(first_line.contains("docker.io/org/first:1"), "{first_line}");
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let begun = Instant::now();
        kill_process(pid, signal).unwrap();
        let mut rest = Vec::new();
        stdout.read_to_end(&mut rest).unwrap();
        let mut output = child.wait_with_output().unwrap();
        output.stdout = rest;
        assert!(begun.elapsed() < Duration::from_secs(20));
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        let told = lines(&output);
        let summary = &told.last().unwrap()["summary"];
        assert_eq!(summary["interrupted"], 2, "{told:?}");
        assert_eq!(summary["images"], 3);
    }
    gate.open();
    upstream.behave();
    appliance.ok(&["warm", "org/second:1"]);
    upstream.stop();
    assert_whole(&appliance, "org/second", "1", &second);
}

#[test]
fn a_server_that_is_killed_in_the_middle_goes_on_where_it_was() {
    let upstream = FakeUpstream::start();
    let image = Image::oci(1, &[3_000_000]);
    upstream.put_image("org/app", "1", &image);
    let gate = Gate::new();
    let slow = Answer::good().wait_at(2_000_000, &gate);
    upstream
        .on("GET", image.layer_digest(0).as_str())
        .next([slow]);
    let mut appliance = Appliance::with_upstream(upstream.url());
    let mut command = appliance.command(&["warm", "org/app:1"]);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    gate.await_arrival();
    await_staged(&appliance, 1_000_000);
    appliance.kill();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("the running server at"),
        "{}",
        said(&output)
    );
    gate.open();
    let output = appliance.run_cli(&["warm", "org/app:1"]);
    assert_eq!(output.status.code(), Some(1));
    let told = said(&output);
    assert!(
        told.contains("no server runs on") && told.contains("breakwater serve"),
        "{told}"
    );
    upstream.forget_requests();
    appliance.restart();
    appliance.ok(&["warm", "org/app:1"]);
    let requests = upstream.requests_for("GET", image.layer_digest(0).as_str());
    let range = requests[0]
        .header("range")
        .expect("only the rest is asked for");
    let from: u64 = range
        .trim_start_matches("bytes=")
        .trim_end_matches('-')
        .parse()
        .unwrap();
    assert!(from > 500_000, "{range}");
    upstream.stop();
    assert_whole(&appliance, "org/app", "1", &image);
}

#[test]
fn nothing_to_warm_is_no_failure_and_no_name_is_wrong_usage() {
    let appliance = Appliance::start();
    let directory = tempfile::tempdir().unwrap();
    let list = directory.path().join("warm.list");
    std::fs::write(&list, "# nothing yet\n").unwrap();
    let told = appliance.ok(&["warm", "--file", list.to_str().unwrap()]);
    assert!(told.contains("nothing to warm"), "{told}");
    let output = appliance.run_cli(&["warm"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("no image is named"),
        "{}",
        said(&output)
    );
    let output = appliance.run_cli(&["warm", "--file", "/nowhere/warm.list"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("/nowhere/warm.list"),
        "{}",
        said(&output)
    );
}

/// Waits until so many bytes lie where fills arrive.
fn await_staged(appliance: &Appliance, bytes: u64) {
    let begun = Instant::now();
    loop {
        let staged = std::fs::read_dir(appliance.data().join("staging")).unwrap();
        let sizes = staged.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()));
        if sizes.sum::<u64>() >= bytes {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing arrives");
        std::thread::sleep(Duration::from_millis(20));
    }
}
