//! The command line as a person or a script meets it.

mod audit;
mod backup;
mod backup_whole;
mod completions;
mod configuration;
mod doctor;
mod doctor_callers;
mod doctor_machine;
mod doctor_proxies;
pub(crate) mod doctor_surroundings;
mod help;
mod identity;
mod json;
mod manual;
mod one_writer;
mod privilege;
mod progress;
mod removal;
mod repository;
mod rules;
mod second_day;
mod serve;
mod store;
mod systemd;
pub(crate) mod terminal;
mod tls;
mod tls_reload;
mod top;
mod usage;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use crate::support::appliance::Appliance;

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A store without a server.
fn initialised() -> Appliance {
    let appliance = Appliance::builder().prepare();
    appliance.ok(&["init"]);
    appliance
}

/// Asserts that directories are 0700 and everything else is 0600.
fn assert_private(path: &Path) {
    let metadata = std::fs::symlink_metadata(path).unwrap();
    let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
    let mode = metadata.permissions().mode() & 0o7777;
    assert_eq!(mode, expected, "{} has mode {mode:o}", path.display());
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            assert_private(&entry.unwrap().path());
        }
    }
}
