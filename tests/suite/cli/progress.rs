//! What takes more than a second says on a terminal what it does; beside JSON it says nothing.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::cli::terminal::OnTerminal;
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{Answer, FakeUpstream, Gate, Image};

/// A box with one cached image.
fn stage() -> (FakeUpstream, Image, Appliance) {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[20_000]);
    fake.put_image("library/alpine", "3.20", &image);
    let appliance = Appliance::with_upstream(fake.url());
    appliance.ok(&["warm", "alpine:3.20"]);
    (fake, image, appliance)
}

#[test]
fn what_takes_long_says_so_on_a_terminal_and_nothing_beside_json() {
    let (_fake, _image, appliance) = stage();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let bundle = path("bundle.tar");
    appliance.ok(&["export", "alpine:3.20", "-o", &bundle]);
    for (arguments, what) in [
        (&["verify"][..], "verifying"),
        (&["verify", "--repair"], "verifying"),
        (&["cache", "gc"], "collecting garbage"),
        (&["cache", "evict", "--to", "1GB"], "evicting"),
        (&["backup", &path("1.sqlite")], "copying the databases"),
        (&["backup", "--nightly"], "saving the rows"),
        (
            &["backup", "--with-images", &path("all")],
            "copying the databases",
        ),
        (
            &["export", "alpine:3.20", "--force", "-o", &path("b.tar")],
            "looking for the images",
        ),
        (&["import", &bundle], "reading the archive"),
        (&["cache", "purge", "alpine:3.20", "--dry-run"], "purging"),
    ] {
        let command = appliance.command(arguments);
        // A server that does not come on is one that has much to do.
        appliance.signal(Signal::STOP);
        let mut terminal = OnTerminal::start(command, 40, 24);
        terminal.wait_for(&format!("\r\u{1b}[K{what}, 1s"));
        terminal.wait_for(&format!("\r\u{1b}[K{what}, 2s"));
        appliance.signal(Signal::CONT);
        let (status, shown) = terminal.end();
        assert!(status.success(), "{arguments:?}: {shown}");
        let (_, after) = shown.rsplit_once("\r\u{1b}[K").unwrap();
        assert!(!after.contains(what) && !after.is_empty(), "{shown:?}");
    }
    for arguments in [&["verify", "--json"][..], &["cache", "gc", "--json"]] {
        let shown = with_a_halt(&appliance, appliance.command(arguments));
        assert!(
            shown.trim_start().starts_with('{'),
            "{arguments:?}: {shown:?}"
        );
        assert!(!shown.contains('\u{1b}'), "{arguments:?}: {shown:?}");
    }
}

/// Runs it on a terminal while the server stands still for a while.
fn with_a_halt(appliance: &Appliance, command: Command) -> String {
    appliance.signal(Signal::STOP);
    let terminal = OnTerminal::start(command, 40, 24);
    std::thread::sleep(Duration::from_millis(2_500));
    appliance.signal(Signal::CONT);
    let (status, shown) = terminal.end();
    assert!(status.success(), "{shown}");
    shown
}

#[test]
fn warming_shows_a_bar_for_each_image_on_a_terminal() {
    let (fake, _, appliance) = stage();
    let image = Image::oci(2, &[80_000]);
    fake.put_image("library/debian", "12", &image);
    let gate = Gate::new();
    fake.on("GET", &image.layer_digest(0).to_string())
        .next([Answer::good().wait_at(40_000, &gate)]);
    let mut terminal = OnTerminal::start(appliance.command(&["warm", "debian:12"]), 120, 24);
    gate.await_arrival();
    terminal.wait_for("debian:12");
    terminal.wait_for("[....");
    terminal.wait_for("0 of 1 image");
    gate.open();
    let (status, shown) = terminal.end();
    assert!(
        status.success() && shown.contains("1 of 1 image here"),
        "{shown}"
    );
    let got = Client::of(&appliance).get("/v2/library/debian/manifests/12");
    assert_eq!(got.cache(), "hit");
}

#[test]
fn a_table_is_no_wider_than_its_terminal_and_whole_without_one() {
    let (_fake, image, appliance) = stage();
    let digest = image.digest();
    let whole = appliance.ok(&["cache", "list"]);
    let known = format!("sha256:{}", &digest.hex()[..12]);
    assert!(
        whole.contains(&known) && whole.contains("alpine:3.20"),
        "{whole}"
    );
    for (arguments, widths) in [
        (&["cache", "list"][..], &[60_u16, 80, 100, 200][..]),
        (&["audit"], &[60, 80, 120]),
        (&["config", "show"], &[60, 80]),
        (&["upstream", "list"], &[60, 80]),
        (&["status"], &[80]),
    ] {
        for width in widths {
            let terminal = OnTerminal::start(appliance.command(arguments), *width, 24);
            let (_, shown) = terminal.end();
            for line in shown.lines() {
                let length = line.trim_end().chars().count();
                assert!(length <= usize::from(*width), "{width}: {line}");
            }
            // By its first twelve digits everybody knows an image.
            assert!(arguments[0] != "cache" || shown.contains(&known), "{shown}");
        }
    }
}

#[test]
fn help_is_coloured_on_a_terminal_alone_and_not_where_colours_are_refused() {
    let appliance = Appliance::builder().prepare();
    let plain = appliance.ok(&["warm", "--help"]);
    assert!(!plain.contains('\u{1b}'), "{plain}");
    for (name, value, is_coloured) in [
        ("OTHER", "1", true),
        ("NO_COLOR", "1", false),
        ("NO_COLOR", "", true),
        ("CLICOLOR", "0", false),
        ("TERM", "dumb", false),
    ] {
        let mut command = appliance.command(&["warm", "--help"]);
        command.env_remove("NO_COLOR").env_remove("CLICOLOR");
        command.env("TERM", "xterm").env(name, value);
        let (_, shown) = OnTerminal::start(command, 80, 24).end();
        assert_eq!(
            shown.contains("\u{1b}["),
            is_coloured,
            "{name}={value}: {shown}"
        );
    }
    let mut command = appliance.command(&["warm", "--help"]);
    let forced = command.env("CLICOLOR_FORCE", "1").output().unwrap();
    assert!(!String::from_utf8_lossy(&forced.stdout).contains('\u{1b}'));
}
