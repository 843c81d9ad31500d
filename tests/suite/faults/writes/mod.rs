//! Every kind of write that the program makes, on a disk without room or with a database that somebody else holds.

mod commands;
mod served;
mod starts;

use std::path::Path;

use serde_json::Value;

use crate::support::appliance::Appliance;

/// In the data directory, but not what is compared: what the tests fill the disk with, and the logs.
const NOT_OURS: [&str; 2] = ["filler", "log"];

/// How many events of this kind the audit tells of, each as often as it counts.
fn audit_kinds(appliance: &Appliance, kind: &str) -> i64 {
    let events = appliance.json(&["audit", "--json", "--limit", "10000"]);
    let of_kind = events.as_array().unwrap().iter();
    of_kind
        .filter(|event| event["event"] == kind)
        .map(|event| event["count"].as_i64().unwrap())
        .sum()
}

/// The log of logins, each line of which is an object.
fn log_lines(data: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(data.join("log/auth_json.log")).unwrap();
    let lines = text.lines().map(serde_json::from_str);
    lines.map(|line| line.expect("a whole line")).collect()
}
