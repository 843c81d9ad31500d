//! `breakwater upstream`: where images are fetched from, and how that goes.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Outcome;
use super::output::{Table, print_json};
use super::workplace::Workplace;
use crate::error::{Error, Kind, Result};

/// Show the upstreams and how they are
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater upstream list
  breakwater upstream status")]
pub(super) struct Upstream {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the configured upstreams, with their state where a server runs
    #[command(after_help = "Example:\n  breakwater upstream list --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Ask the running server how its upstreams are: reachable, failing, how much of a rate limit is left
    #[command(after_help = "Example:\n  breakwater upstream status --json")]
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Upstream {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        match self.action {
            Action::List { json } => list(place, json)?,
            Action::Status { json } => status(place, json)?,
        }
        Ok(Outcome::Done)
    }
}

fn list(place: &Workplace, json: bool) -> Result<()> {
    let live = match place.running_server()? {
        Some(server) => server.get("/upstreams")?,
        None => Value::Null,
    };
    let state = |name: &str| {
        let found = live
            .as_array()?
            .iter()
            .find(|status| status["name"] == name)?;
        Some(text(&found["breaker"]))
    };
    let upstreams = &place.config.upstreams;
    if json {
        let shape = |upstream: &crate::config::UpstreamConfig| {
            json!({
                "name": upstream.name.as_str(),
                "url": upstream.url,
                "username": upstream.username,
                "breaker": state(upstream.name.as_str()),
            })
        };
        return print_json(&upstreams.iter().map(shape).collect::<Vec<_>>());
    }
    let mut table = Table::new(&["NAME", "URL", "USERNAME", "BREAKER"]);
    for upstream in upstreams {
        let name = upstream.name.as_str();
        let state = state(name).unwrap_or_else(|| "(no server runs)".to_owned());
        table.row([
            name.to_owned(),
            upstream.url.clone(),
            upstream.username.clone(),
            state,
        ]);
    }
    table.print()
}

fn status(place: &Workplace, json: bool) -> Result<()> {
    let data = &place.config.data;
    let Some(server) = place.running_server()? else {
        let what = format!(
            "no server runs on {}: only a running one knows how upstreams are",
            data.display()
        );
        return Err(Error::new(Kind::NotFound, what).remedy("start it with `breakwater serve`"));
    };
    let answer = server.get("/upstreams")?;
    let upstreams: Vec<Value> = serde_json::from_value(answer).unwrap_or_default();
    if json {
        return print_json(&upstreams.into_iter().map(with_times).collect::<Vec<_>>());
    }
    let mut table = Table::new(&[
        "NAME",
        "BREAKER",
        "FAILURES",
        "LAST SUCCESS",
        "RATE LIMIT",
        "LAST FAILURE",
    ]);
    for upstream in upstreams.into_iter().map(with_times) {
        let limit = &upstream["rate_limit"];
        let limit = match limit {
            Value::Null => "unknown".to_owned(),
            limit => format!(
                "{} of {} left",
                text(&limit["remaining"]),
                text(&limit["limit"])
            ),
        };
        let failure = match &upstream["last_failure"] {
            Value::Null => "none".to_owned(),
            failure => format!(
                "{} at {}",
                text(failure),
                text(&upstream["last_failure_at"])
            ),
        };
        let success = match &upstream["last_success_at"] {
            Value::Null => "never".to_owned(),
            at => text(at),
        };
        let failures = text(&upstream["failures_in_a_row"]);
        table.row([
            text(&upstream["name"]),
            text(&upstream["breaker"]),
            failures,
            success,
            limit,
            failure,
        ]);
    }
    table.print()
}

/// The server speaks in seconds, people and `/api/v4` in RFC 3339.
fn with_times(mut upstream: Value) -> Value {
    let render = |value: &mut Value| {
        if let Some(seconds) = value.as_i64() {
            *value = Value::from(crate::time::Timestamp(seconds).to_string());
        }
    };
    for name in ["last_failure_at", "last_success_at"] {
        upstream.get_mut(name).map(render);
    }
    upstream.pointer_mut("/rate_limit/read_at").map(render);
    upstream
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
