//! The machines of clients: whom the mirror refuses is seen, what they need is printed, and what keeps them from pulling is
//! said there. Real sockets and processes; another machine is played by an address that a configured proxy names.

mod check;
mod lines;
mod refused;

use serde_json::Value;

use crate::support::appliance::Appliance;

/// The findings of the doctor of one check: what, and what to do.
fn findings(appliance: &Appliance, check: &str) -> Vec<(String, String)> {
    let mut command = appliance.command(&["doctor", "--json"]);
    let output = command.env("BREAKWATER_CACHE_MIN_FREE", "0%").output();
    let report: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    let findings = findings.filter(|finding| finding["check"] == check);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    findings
        .map(|finding| (text(&finding["what"]), text(&finding["remedy"])))
        .collect()
}
