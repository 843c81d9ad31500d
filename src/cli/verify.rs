//! `breakwater verify`: everything read again, and mended where that is asked for, by the running server, or here where
//! none runs.

use clap::Args;
use serde_json::Value;

use super::Outcome;
use super::output::{print, print_json, shown_size};
use super::progress::Bar;
use super::workplace::{Holder, Workplace};
use crate::control::Progress;
use crate::error::{Error, Kind, Result};
use crate::store::{Repaired, Store};
use crate::time::Timestamp;
use crate::upkeep;

/// Hash every blob again and compare rows with files; exit status 1 if anything is damaged
///
/// The running server does the same by itself once in `cache.scrub`, and mends what it finds. What `--repair` finds
/// damaged is set aside in the data directory's `damaged/` and fetched again from its upstream: by the server at once, or,
/// where none runs, when it runs. What was pushed is reported, and stays where it is.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater verify
  breakwater verify --repair
  breakwater verify --json")]
pub(super) struct Verify {
    /// Mend what is damaged; exit status 1 if anything stays damaged, or is lost
    #[arg(long)]
    repair: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        let bar = Bar::new("verifying", self.json);
        let show = |done: u64, total: u64| bar.show(done, total);
        let report = match place.holder()? {
            Holder::Server(server) => server.verify(self.repair, &show),
            Holder::Here(_lock, store) => report(&store, self.repair, &show, Ok),
        };
        drop(bar);
        let report = report?;
        if self.json {
            print_json(&report)?;
        } else {
            tell(&report)?;
        }
        let clean = report.get("clean").and_then(Value::as_bool);
        match clean {
            Some(true) => Ok(Outcome::Done),
            Some(false) => Ok(Outcome::Bad),
            None => Err(Error::new(
                Kind::Io,
                "the running server's report does not say whether all is well",
            )
            .remedy("restart it, so that it has the version of the command line")),
        }
    }
}

/// The report as JSON, with `clean` beside its fields, and after a repair with `repair`. `fetch` fetches again what was
/// set aside, where somebody is there who can.
pub(super) fn report(
    store: &Store,
    repair: bool,
    progress: Progress<'_>,
    fetch: impl FnOnce(Repaired) -> Result<Repaired>,
) -> Result<Value> {
    let (report, repaired) = if repair {
        let (report, repaired) = upkeep::repair::repair(store, progress, Timestamp::now())?;
        (report, Some(fetch(repaired)?))
    } else {
        (upkeep::verify(store, progress)?, None)
    };
    let clean = match &repaired {
        Some(repaired) => report.is_clean_but_for_bytes() && repaired.is_complete(),
        None => report.is_clean(),
    };
    let no_json = |error| Error::internal("a report is no JSON").because(error);
    let mut value = serde_json::to_value(report).map_err(no_json)?;
    if let Some(fields) = value.as_object_mut() {
        fields.insert("clean".to_owned(), Value::from(clean));
        if let Some(repaired) = repaired {
            let repaired = serde_json::to_value(repaired).map_err(no_json)?;
            fields.insert("repair".to_owned(), repaired);
        }
    }
    Ok(value)
}

fn tell(report: &Value) -> Result<()> {
    let number = |name: &str| report[name].as_u64().unwrap_or_default();
    let damage = report["damage"].as_array().map_or(&[][..], Vec::as_slice);
    for item in damage {
        let text = |name: &str| item[name].as_str().unwrap_or("?").to_owned();
        print(&format!("{}: {}", text("kind"), text("what")))?;
    }
    let incomplete = report["incomplete"].as_array();
    for item in incomplete.into_iter().flatten() {
        let item = item.as_str().unwrap_or("?");
        print(&format!("incomplete: {item} (the next pull fetches them)"))?;
    }
    let (blobs, size) = (number("blobs"), shown_size(number("bytes")));
    let verdict = match damage.len() {
        0 => "nothing is damaged".to_owned(),
        1 => "1 thing is damaged".to_owned(),
        more => format!("{more} things are damaged"),
    };
    print(&format!("verified {blobs} blobs, {size}: {verdict}"))?;
    for (field, verb) in [
        ("fetched", "whole again"),
        ("lost", "lost"),
        ("waiting", "still to be fetched"),
        (
            "pushed",
            "pushed, and kept as it is until it is pushed again",
        ),
    ] {
        let items = report.get("repair").and_then(|repair| repair.get(field));
        for item in items.and_then(Value::as_array).into_iter().flatten() {
            print(&format!("{verb}: {}", item.as_str().unwrap_or("?")))?;
        }
    }
    Ok(())
}
