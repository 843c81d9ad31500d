//! `breakwater verify`: the scrub, by the running server, or here where none runs.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use super::output::{print, print_json, shown_size};
use super::workplace::{Holder, Workplace};
use super::{Outcome, unavailable};
use crate::control::Progress;
use crate::error::{Error, Kind, Result};
use crate::store::Store;
use crate::upkeep;

/// How often a terminal hears how far it is.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// Hash every blob again and compare rows with files; exit status 1 if anything is damaged
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater verify
  breakwater verify --json")]
pub(super) struct Verify {
    /// Mend what can be mended: refused by this version, so help does not offer it
    #[arg(long, hide = true)]
    repair: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        if self.repair {
            return Err(unavailable("`verify --repair`")
                .remedy("run `breakwater verify` to see what is damaged"));
        }
        let progress = Bar::new();
        let show = |done: u64, total: u64| progress.show(done, total);
        let report = match place.holder()? {
            Holder::Server(server) => server.verify(&show),
            Holder::Here(_lock, store) => report(&store, &show),
        };
        progress.clear();
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

/// The report as JSON, with `clean` beside its fields.
pub(super) fn report(store: &Store, progress: Progress<'_>) -> Result<Value> {
    let report = upkeep::verify(store, progress)?;
    let clean = report.is_clean();
    let mut value = serde_json::to_value(report)
        .map_err(|error| Error::internal("a report is no JSON").because(error))?;
    if let Some(fields) = value.as_object_mut() {
        fields.insert("clean".to_owned(), Value::from(clean));
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
    let (blobs, size) = (number("blobs"), shown_size(number("bytes")));
    let verdict = match damage.len() {
        0 => "nothing is damaged".to_owned(),
        1 => "1 thing is damaged".to_owned(),
        more => format!("{more} things are damaged"),
    };
    print(&format!("verified {blobs} blobs, {size}: {verdict}"))
}

/// A line on a terminal's standard error that is written over and over.
struct Bar {
    terminal: bool,
    last: Mutex<Option<Instant>>,
}

impl Bar {
    fn new() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            last: Mutex::new(None),
        }
    }

    fn show(&self, done: u64, total: u64) {
        let Ok(mut last) = self.last.try_lock() else {
            return;
        };
        if self.terminal && last.is_none_or(|last| last.elapsed() >= PROGRESS_EVERY) {
            *last = Some(Instant::now());
            write_over(&format!("{} of {}", shown_size(done), shown_size(total)));
        }
    }

    fn clear(&self) {
        if self.terminal {
            write_over("");
        }
    }
}

fn write_over(text: &str) {
    // Progress that cannot be shown is no failure.
    let _ = std::io::stderr().write_all(format!("\r\u{1b}[K{text}").as_bytes());
}
