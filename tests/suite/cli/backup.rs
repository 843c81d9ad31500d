//! Backups: taken beside a running server, put back without one, and what is refused.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::{assert_private, initialised, stderr};
use crate::support::appliance::{Appliance, breakwater, run_with_input};

fn names(appliance: &Appliance) -> Vec<String> {
    let users = appliance.json(&["user", "list", "--json"]);
    let users = users.as_array().unwrap().iter();
    users
        .map(|user| user["username"].as_str().unwrap().to_owned())
        .collect()
}

fn refused(appliance: &Appliance, arguments: &[&str], parts: &[&str]) {
    let output = appliance.run_cli(arguments);
    let error = stderr(&output);
    assert!(!output.status.success(), "{arguments:?}");
    assert_eq!(error.lines().count(), 1, "{arguments:?}: {error}");
    for part in parts {
        assert!(
            error.contains(part),
            "{arguments:?}: {error} lacks {part:?}"
        );
    }
}

#[test]
fn what_was_backed_up_beside_the_server_comes_back_and_no_id_comes_twice() {
    let mut appliance = Appliance::start();
    let outside = tempfile::tempdir().unwrap();
    let file = outside.path().join("box.sqlite");
    let file = file.to_str().unwrap();
    let kept = appliance.token("kept", &["read_registry"]);
    let said = appliance.ok(&["backup", file]);
    assert!(
        said.contains(file) && said.contains("secret.key") && said.contains("keys/"),
        "{said}"
    );
    let mode = std::fs::metadata(file).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let left: Vec<_> = std::fs::read_dir(outside.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "one file, and nothing beside it: {left:?}");
    let bytes = std::fs::read(file).unwrap();
    assert!(
        !bytes
            .windows(kept.len())
            .any(|part| part == kept.as_bytes())
    );
    refused(&appliance, &["backup", file], &["exists already"]);
    assert_eq!(std::fs::read(file).unwrap(), bytes, "it was left alone");

    appliance.token("lost", &["read_registry"]);
    let before = appliance.json(&["token", "list", "--json"]);
    refused(
        &appliance,
        &["restore", file],
        &["using the data directory", &appliance.pid().to_string()],
    );
    assert_eq!(names(&appliance), ["kept", "lost", "root"]);
    appliance.kill();
    let said = appliance.ok(&["restore", file]);
    assert!(said.contains("counts again"), "{said}");
    assert_eq!(names(&appliance), ["kept", "root"]);
    assert!(!appliance.data().join("access.sqlite-journal").exists());

    appliance.restart();
    let tokens = appliance.json(&["token", "list", "--json"]);
    assert_eq!(tokens.as_array().unwrap().len(), 1);
    appliance.token("new", &["read_registry"]);
    let highest = |tokens: &Value| {
        let ids = tokens.as_array().unwrap().iter();
        ids.map(|token| token["id"].as_i64().unwrap())
            .max()
            .unwrap()
    };
    let after = appliance.json(&["token", "list", "--json"]);
    assert!(highest(&after) > highest(&before), "{before} {after}");
    let users = appliance.json(&["user", "list", "--json"]);
    let id = |name: &str| {
        let mut users = users.as_array().unwrap().iter();
        users.find(|user| user["username"] == name).unwrap()["id"].as_i64()
    };
    // `lost` had the id after `kept`'s.
    assert!(id("new") > id("kept").map(|id| id + 1), "{users}");
    assert_eq!(appliance.json(&["verify", "--json"])["clean"], true);
    appliance.stop();
    assert_private(&appliance.data());
}

#[test]
fn a_new_box_takes_over_the_old_ones_database_and_its_password_file_goes() {
    let old = initialised();
    old.ok(&["group", "add", "acme"]);
    let file = old.data().with_file_name("box.sqlite");
    let file = file.to_str().unwrap();
    old.ok(&["backup", file]);
    let new = initialised();
    let said = new.ok(&["restore", file]);
    assert!(said.contains("initial_root_password"), "{said}");
    assert!(!new.data().join("initial_root_password").exists());
    let groups = new.ok(&["group", "list"]);
    assert!(groups.contains("acme"), "{groups}");
    // On the box that it comes from the file still holds root's password.
    old.ok(&["restore", file]);
    assert!(old.data().join("initial_root_password").exists());
}

#[test]
fn a_lost_or_unreadable_database_is_replaced_and_ids_jump() {
    let appliance = initialised();
    let file = appliance.data().with_file_name("box.sqlite");
    let file = file.to_str().unwrap();
    appliance.ok(&["user", "add", "ci", "--service"]);
    appliance.ok(&["backup", file]);
    let live = appliance.data().join("access.sqlite");
    std::fs::remove_file(&live).unwrap();
    refused(&appliance, &["user", "list"], &["access.sqlite"]);
    appliance.ok(&["restore", file]);
    assert_eq!(names(&appliance), ["ci", "root"]);

    std::fs::write(&live, "this was a database once".repeat(500)).unwrap();
    std::fs::write(appliance.data().join("access.sqlite-wal"), "and its log").unwrap();
    let output = appliance.run_cli(&["restore", file]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("a million higher"),
        "{}",
        stderr(&output)
    );
    assert_eq!(names(&appliance), ["ci", "root"]);
    let token = appliance.json(&[
        "token", "create", "--name", "t", "--user", "ci", "--scope", "api", "--json",
    ]);
    assert!(token["id"].as_i64().unwrap() > 1_000_000, "{token}");
    assert_eq!(appliance.json(&["verify", "--json"])["clean"], true);
}

#[test]
fn what_is_no_backup_of_ours_changes_nothing() {
    let appliance = initialised();
    appliance.ok(&["user", "add", "ci", "--service"]);
    let path = |name: &str| appliance.data().with_file_name(name);
    let text = |name: &str| path(name).to_str().unwrap().to_owned();
    appliance.ok(&["backup", &text("good")]);
    let good = std::fs::read(path("good")).unwrap();

    std::fs::write(path("empty"), "").unwrap();
    std::fs::write(path("text"), "users, groups and tokens").unwrap();
    std::fs::copy(appliance.data().join("cache.sqlite"), path("cache")).unwrap();
    std::fs::write(path("short"), &good[..good.len() / 2]).unwrap();
    // Every page but the first overwritten.
    let mut damaged = good.clone();
    damaged[4096..].fill(0xa5);
    std::fs::write(path("damaged"), damaged).unwrap();
    // The version in the file's header: 9999.
    let mut newer = good.clone();
    newer[60..64].copy_from_slice(&9999_u32.to_be_bytes());
    std::fs::write(path("newer"), newer).unwrap();
    std::fs::write(path("copied"), &good).unwrap();
    std::fs::write(path("copied-wal"), "what was written last").unwrap();

    let before = std::fs::read(appliance.data().join("access.sqlite")).unwrap();
    for (name, parts) in [
        ("empty", &["not a backup"][..]),
        ("text", &["not a backup"]),
        ("cache", &["not a backup"]),
        ("short", &["backup"]),
        ("damaged", &["backup"]),
        ("newer", &["newer breakwater", "upgrade"]),
        ("copied", &["copied-wal", "breakwater backup"]),
    ] {
        refused(&appliance, &["restore", &text(name)], parts);
        let now = std::fs::read(appliance.data().join("access.sqlite")).unwrap();
        assert!(before == now, "{name} changed the database");
    }
    let staging = appliance.data().join("staging");
    assert_eq!(std::fs::read_dir(staging).unwrap().count(), 0);
    assert_eq!(names(&appliance), ["ci", "root"]);
    appliance.ok(&["restore", &text("good")]);
}

#[test]
fn a_backup_that_fails_takes_nothing_away() {
    let appliance = Appliance::builder().prepare();
    let file = appliance.data().with_file_name("box.sqlite");
    let text = file.to_str().unwrap();
    refused(&appliance, &["backup", text], &["there is no store at"]);
    assert!(!file.exists(), "nothing was begun");
    std::fs::write(&file, "last year's").unwrap();
    refused(&appliance, &["backup", text], &["there is no store at"]);
    appliance.ok(&["init"]);
    refused(&appliance, &["backup", text], &["exists already"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "last year's");
}

#[test]
fn a_directory_that_is_no_store_does_not_become_one() {
    let appliance = initialised();
    let file = appliance.data().with_file_name("box.sqlite");
    appliance.ok(&["backup", file.to_str().unwrap()]);
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = breakwater();
    command
        .arg("restore")
        .arg(&file)
        .arg("--data")
        .arg(elsewhere.path());
    let output = run_with_input(&mut command, "");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("there is no store at"),
        "{}",
        stderr(&output)
    );
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn a_directory_that_the_configuration_leads_away_from_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("breakwater-data")).unwrap();
    let config = folder.path().join("breakwater.toml");
    std::fs::write(&config, "offline = true\n").unwrap();
    for (variable, is_named) in [(None, true), (Some("elsewhere"), false)] {
        let mut command = breakwater();
        command
            .current_dir(folder.path())
            .args(["user", "list", "--config"]);
        command
            .arg(&config)
            .envs(variable.map(|data| ("BREAKWATER_DATA", data)));
        let output = command.output().unwrap();
        let error = stderr(&output);
        assert!(!output.status.success(), "{error}");
        assert_eq!(
            error.contains("./breakwater-data is not used"),
            is_named,
            "{error}"
        );
    }
}

#[test]
fn root_keeps_backups_where_the_owner_may_not_write() {
    if !rustix::process::geteuid().is_root() {
        println!("only root can become somebody else: nothing tested");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let file = outside.path().join("box.sqlite");
    // `nobody`, as everywhere on Linux; a temporary directory is its maker's alone.
    std::os::unix::fs::chown(directory.path(), Some(65534), Some(65534)).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = breakwater();
        command.args(arguments).arg("--data").arg(directory.path());
        let output = run_with_input(&mut command, "");
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            stderr(&output)
        );
    };
    run(&["init"]);
    run(&["backup", file.to_str().unwrap()]);
    run(&["user", "add", "ci", "--service"]);
    run(&["restore", file.to_str().unwrap()]);
    use std::os::unix::fs::MetadataExt;
    let owner = |path: &std::path::Path| std::fs::metadata(path).unwrap().uid();
    assert_eq!(owner(&file), 0);
    assert_eq!(owner(&directory.path().join("access.sqlite")), 65534);
    assert_private(directory.path());
}

#[test]
fn tokens_of_a_backup_are_listed_as_they_were() {
    let appliance = initialised();
    let file = appliance.data().with_file_name("box.sqlite");
    let file = file.to_str().unwrap();
    appliance.token("ci", &["read_registry"]);
    appliance.ok(&["backup", file]);
    let before = appliance.json(&["token", "list", "--json"]);
    appliance.ok(&["token", "revoke", &before[0]["id"].to_string()]);
    assert_eq!(
        appliance.json(&["token", "list", "--json"])[0]["revoked"],
        json!(true)
    );
    appliance.ok(&["restore", file]);
    assert_eq!(appliance.json(&["token", "list", "--json"]), before);
}
