//! Somebody ran something as root, or copied the data directory: what the server's user may not read or write at the
//! start is named, with the remedy, or, where it can be done without, the box serves and `doctor` names it.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{REPOSITORY, assert_clean, blob, manifest};
use crate::support::appliance::{Appliance, as_user, run_with_input};
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image};

/// The user of the server: `nobody`.
const USER: u32 = 65_534;

fn set(path: &Path, owner: u32, mode: u32) {
    chown(path, Some(owner), Some(owner)).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A stopped box of [`USER`] with a kept image, its own secrets made; `None` where this user cannot give files away.
fn stage(fake: &FakeUpstream, image: &Image) -> Option<Appliance> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can give files away");
        return None;
    }
    fake.put_image(REPOSITORY, "1", image);
    let mut appliance = Appliance::builder().upstream(fake.url()).prepare();
    let data = appliance.data();
    let above = data.parent().unwrap();
    std::fs::set_permissions(above, Permissions::from_mode(0o755)).unwrap();
    std::fs::create_dir(&data).unwrap();
    set(&data, USER, 0o700);
    appliance.restart();
    let client = Client::of(&appliance);
    assert_eq!(client.get(&manifest("1")).status, 200);
    assert_eq!(client.get(&blob(&image.layer_digest(0))).cache(), "miss");
    let add = "upstream add x.test https://x.test --username u --password-stdin";
    appliance.ok_with_input(&add.split(' ').collect::<Vec<_>>(), "secret\n");
    assert!(appliance.stop().success());
    Some(appliance)
}

/// Starts the server: it serves (and is killed), or what it said before it ended with status 1.
fn start(appliance: &Appliance) -> Result<(), String> {
    let said = appliance.data().with_file_name("said");
    let file = std::fs::File::create(&said).unwrap();
    let mut child = appliance
        .command(&["serve", "--listen", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file)
        .spawn()
        .unwrap();
    let begun = Instant::now();
    loop {
        let text = std::fs::read_to_string(&said).unwrap();
        if let Some(status) = child.try_wait().unwrap() {
            assert_eq!(status.code(), Some(1), "{text}");
            return Err(text);
        }
        let serves = text.contains("listening on");
        if serves || begun.elapsed() > super::DEADLINE {
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(serves, "neither served nor ended: {text}");
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs `doctor`; what it prints.
fn doctor(appliance: &Appliance) -> String {
    let output = appliance.run_cli(&["doctor"]);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The signing key.
fn signing_key(data: &Path) -> PathBuf {
    let mut keys = std::fs::read_dir(data.join("keys"))
        .unwrap()
        .map(|key| key.unwrap().path());
    keys.find(|path| path.to_string_lossy().contains("jwt-"))
        .unwrap()
}

#[test]
fn what_the_server_cannot_do_without_is_named_with_the_remedy() {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[50_000]);
    let Some(appliance) = stage(&fake, &image) else {
        return;
    };
    let data = appliance.data();
    // What is taken away from the server's user, and its mode.
    let table = [
        ("access.sqlite".into(), 0o600),
        ("access.sqlite-wal".into(), 0o600),
        ("cache.sqlite".into(), 0o600),
        ("registry.sqlite".into(), 0o600),
        ("audit.sqlite".into(), 0o600),
        ("audit.sqlite-shm".into(), 0o600),
        // It can be read, but not be told that the box runs.
        ("cache.sqlite".into(), 0o644),
        ("lock".into(), 0o600),
        ("blobs".into(), 0o700),
        ("staging".into(), 0o700),
        ("keys".into(), 0o700),
        (signing_key(&data), 0o600),
        ("log".into(), 0o700),
        ("log/auth_json.log".into(), 0o600),
    ];
    for (name, taken) in table {
        let path = data.join(&name);
        let given = path.metadata().unwrap().permissions().mode() & 0o7777;
        set(&path, 0, taken);
        let said = start(&appliance);
        let told = doctor(&appliance);
        set(&path, USER, given);
        let said = said.expect_err(&format!("{} ({taken:o}) was no obstacle", name.display()));
        let last = said.lines().last().unwrap_or_default();
        let shown = path.display().to_string();
        // SQLite does not say which of a database's three files it was.
        let database = shown
            .trim_end_matches("-wal")
            .trim_end_matches("-shm")
            .to_owned();
        assert!(
            last.starts_with("breakwater: ") && last.contains(&database),
            "{shown}: {said}"
        );
        assert!(
            last.contains("(give it") || last.contains("belong to the user"),
            "{shown}: {said}"
        );
        assert!(told.contains(&shown), "{shown}: {told}");
        assert!(told.contains("chown"), "{shown}: {told}");
    }
    assert_eq!(start(&appliance), Ok(()));
    assert_clean(&appliance);
}

#[test]
fn what_can_be_done_without_is_told_by_the_doctor() {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[50_000]);
    let Some(mut appliance) = stage(&fake, &image) else {
        return;
    };
    let data = appliance.data();
    // (what is taken away or left open, its owner, its mode, the doctor's finding)
    for (name, owner, mode, check) in [
        ("blobs/sha256", 0, 0o755, "disk_not_writable"),
        ("staging", 0, 0o755, "disk_not_writable"),
        ("access.sqlite", 0, 0o644, "permissions_owner"),
        ("registry.sqlite", 0, 0o644, "permissions_owner"),
        ("audit.sqlite", 0, 0o644, "permissions_owner"),
        ("secret.key", 0, 0o600, "permissions_owner"),
        ("initial_root_password", 0, 0o600, "permissions_owner"),
        ("secret.key", USER, 0o640, "permissions_wide"),
        ("access.sqlite", USER, 0o644, "permissions_wide"),
        ("log/auth_json.log", USER, 0o604, "permissions_wide"),
        ("keys", USER, 0o755, "permissions_wide"),
        ("blobs", USER, 0o711, "permissions_wide"),
    ] {
        let path = data.join(name);
        let given = path.metadata().unwrap().permissions().mode() & 0o7777;
        set(&path, owner, mode);
        appliance.restart();
        let client = Client::of(&appliance);
        assert_eq!(
            client.get(&blob(&image.layer_digest(0))).cache(),
            "hit",
            "{name}"
        );
        assert_eq!(client.get("/-/readiness").status, 200, "{name}");
        let report = appliance.run_cli(&["doctor", "--json"]);
        let told = String::from_utf8_lossy(&report.stdout).into_owned();
        assert!(told.contains(check), "{name}: {told}");
        assert!(told.contains(&path.display().to_string()), "{name}: {told}");
        appliance.stop();
        set(&path, USER, given);
        assert_clean(&appliance);
    }
    // A directory that others may enter is closed to them, where it is ours.
    set(&data, USER, 0o755);
    appliance.restart();
    assert_eq!(data.metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

/// A socket of a server that was killed is replaced, whoever it belongs to; what is no socket is named.
#[test]
fn a_control_socket_that_was_left_behind_is_replaced() {
    let fake = FakeUpstream::start();
    let Some(mut appliance) = stage(&fake, &Image::oci(1, &[50_000])) else {
        return;
    };
    let socket = appliance.data().join("control.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    set(&socket, 0, 0o600);
    appliance.restart();
    assert_eq!(appliance.ok(&["offline", "status"]).lines().count(), 1);
    appliance.stop();
    std::fs::create_dir(&socket).unwrap();
    let said = start(&appliance).unwrap_err();
    assert!(said.contains(&socket.display().to_string()), "{said}");
    assert!(
        said.lines().last().unwrap().ends_with(')'),
        "no remedy: {said}"
    );
    std::fs::remove_dir(&socket).unwrap();
    assert_eq!(start(&appliance), Ok(()));
}

/// Not root, and the directory is somebody else's: closed, or open for reading; or there is none, and no right to
/// make one.
#[test]
fn a_data_directory_of_somebody_else_is_refused() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can be somebody else");
        return;
    }
    let appliance = Appliance::builder().prepare();
    let above = appliance.data().parent().unwrap().to_owned();
    std::fs::set_permissions(&above, Permissions::from_mode(0o755)).unwrap();
    let data = appliance.data();
    let refused = |what: &str| {
        for arguments in [&["serve", "--listen", "127.0.0.1:0"][..], &["init"]] {
            let mut command = as_user(&appliance.command(arguments), USER);
            let output = run_with_input(&mut command, "");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{what}: {said}");
            let last = said.lines().last().unwrap();
            assert!(last.contains(&data.display().to_string()), "{what}: {said}");
            assert!(last.ends_with(')'), "{what}: no remedy: {said}");
        }
    };
    refused("there is none");
    std::fs::create_dir(&data).unwrap();
    for mode in [0o700, 0o755] {
        set(&data, 0, mode);
        refused(&format!("empty, {mode:o}"));
    }
    std::fs::set_permissions(&data, Permissions::from_mode(0o700)).unwrap();
    appliance.ok(&["init"]);
    for mode in [0o700, 0o755] {
        set(&data, 0, mode);
        refused(&format!("a store, {mode:o}"));
    }
}
