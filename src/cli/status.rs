//! `breakwater status`: how the box is, on one screen; and `breakwater version`.

use clap::Args;
use serde_json::json;

use super::Outcome;
use super::doctor::{Callers, Doctor};
use super::output::{Table, counted, print, print_json, shown_size, shown_time};
use super::workplace::{Holder, Workplace};
use crate::admin::{ShowStatus, StatusView, VersionView};
use crate::control;
use crate::error::Result;
use crate::human::shown_span;
use crate::time::Timestamp;

/// Show how the box is, on one screen: what it serves, its upstreams, its disk, its last backup
///
/// Where no server runs, it says so, shows what the databases tell, and exits with 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater status
  breakwater status --json")]
pub(super) struct Status {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[arg(skip)]
    callers: Callers,
}

/// Print the version of this program
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  breakwater version --json")]
pub(super) struct Version {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Version {
    pub(super) fn run(&self) -> Result<Outcome> {
        let view = VersionView::here();
        match self.json {
            true => print_json(&view)?,
            false => print(&format!("breakwater {}", view.version))?,
        }
        Ok(Outcome::Done)
    }
}

impl Status {
    /// As [`Doctor::look_around`].
    pub(super) fn look_around(&mut self) {
        self.callers = Callers::see();
    }

    pub(super) fn run(&self, place: &Workplace) -> Result<Outcome> {
        let (server, view) = match place.holder()? {
            Holder::Server(server) => {
                let view = place.ask(&server, &ShowStatus {})?;
                (Some(server.status()?), view)
            }
            here @ Holder::Here(..) => (None, place.perform_by(here, ShowStatus {})?),
        };
        let outcome = match server {
            Some(_) => Outcome::Done,
            None => Outcome::Bad,
        };
        let found = Doctor::count(place, &self.callers);
        if self.json {
            let doctor = found.as_ref().ok();
            print_json(&json!({ "server": server, "status": view, "doctor": doctor }))?;
            return Ok(outcome);
        }
        for (field, value) in fields(place, server.as_ref(), &view) {
            print(&format!("{field:<12} {value}"))?;
        }
        let counts = match found {
            Ok(found) => format!(
                "{}, {}",
                counted(found.errors as u64, "error"),
                counted(found.warnings as u64, "warning")
            ),
            Err(error) => format!("could not look: {error}"),
        };
        print(&format!(
            "{:<12} {counts} (see `breakwater doctor`)",
            "doctor"
        ))?;
        upstreams(&view)?;
        Ok(outcome)
    }
}

fn fields(
    place: &Workplace,
    server: Option<&control::Status>,
    view: &StatusView,
) -> Vec<(&'static str, String)> {
    let mut fields = Vec::new();
    match server {
        Some(server) => {
            let up = Timestamp::now().since(server.started_at);
            let version = format!(
                "{}, up since {} ({}), process {}",
                server.version,
                server.started_at,
                shown_span(up),
                server.pid
            );
            fields.push(("breakwater", version));
            fields.push(("listens on", server.listening.join(", ")));
        }
        None => {
            let data = place.config.data.display();
            let none = format!("{}; no server runs on {data}", view.version);
            fields.push(("breakwater", none));
        }
    }
    let offline = match (view.offline.offline, view.offline.by_configuration) {
        (false, _) => "no",
        (true, true) => "yes, by `offline = true` in the configuration: nothing is fetched",
        (true, false) => "yes, by command: nothing is fetched (`breakwater offline off` ends it)",
    };
    fields.push(("offline", offline.to_owned()));
    if let Some(activity) = &view.activity {
        let now = format!(
            "{}, {} fetches for {}, {}",
            counted(activity.connections as u64, "connection"),
            activity.fetches,
            counted(activity.waiting_clients as u64, "client"),
            counted(activity.bans as u64, "ban")
        );
        fields.push(("now", now));
        fields.push(("from cache", shown_hits(activity)));
    }
    fields.push(("cached", shown_cached(view)));
    let pushed = &view.pushed;
    fields.push((
        "pushed",
        format!(
            "{} in {}, {}; repositories: {}",
            shown_size(pushed.bytes),
            counted(pushed.images, "image"),
            counted(pushed.tags, "tag"),
            pushed.repositories
        ),
    ));
    let disk = &view.disk;
    fields.push((
        "disk",
        format!(
            "{} free of {}; {} stay free",
            shown_size(disk.free_bytes),
            shown_size(disk.bytes),
            shown_size(disk.min_free)
        ),
    ));
    fields.push((
        "last backup",
        format!(
            "{}; copied below the data directory: {}",
            shown_time(view.last_backup_at, "never"),
            shown_time(view.rows_saved_at, "never")
        ),
    ));
    fields.push(("scrub", shown_scrub(view)));
    fields
}

/// `82 % of 1,204 answers, 91 % of 3.2 GiB, since the start`
fn shown_hits(activity: &crate::admin::Activity) -> String {
    if activity.served == 0 {
        return "nothing was pulled since the start".to_owned();
    }
    let percent = |part: u64, of: u64| part.saturating_mul(100).checked_div(of).unwrap_or_default();
    format!(
        "{} % of {}, {} % of {}, since the start",
        percent(activity.served_from_cache, activity.served),
        counted(activity.served, "answer"),
        percent(activity.served_bytes_from_cache, activity.served_bytes),
        shown_size(activity.served_bytes)
    )
}

fn shown_cached(view: &StatusView) -> String {
    let limit = match view.disk.max_size {
        Some(most) => format!("of {} that cache.max_size allows", shown_size(most)),
        None => "limited by the disk alone".to_owned(),
    };
    format!(
        "{} in {}, {}; {limit}",
        shown_size(view.cached.bytes),
        counted(view.cached.manifests, "manifest"),
        counted(view.cached.tags, "tag")
    )
}

fn shown_scrub(view: &StatusView) -> String {
    let Some(scrub) = &view.scrub else {
        return "has not begun".to_owned();
    };
    let damaged = match scrub.damaged {
        0 => "nothing is damaged".to_owned(),
        number => format!("{number} files are damaged or lost (see `breakwater doctor`)"),
    };
    match scrub.ended_at {
        Some(at) => format!("all was read by {at}; {damaged}"),
        None => format!(
            "the first round goes on since {}; {damaged}",
            scrub.begun_at
        ),
    }
}

fn upstreams(view: &StatusView) -> Result<()> {
    if view.upstreams.is_empty() {
        return Ok(());
    }
    print("")?;
    let mut table = Table::new(&["UPSTREAM", "GROUP", "BREAKER", "PULLS LEFT", "LAST FAILURE"]);
    for upstream in &view.upstreams {
        let status = &upstream.status;
        let left = status.rate_limit.as_ref();
        table.row([
            status.name.clone(),
            upstream.group.clone().unwrap_or_default(),
            <&str>::from(status.breaker).to_owned(),
            left.map_or_else(String::new, |limit| {
                format!("{} of {}", limit.remaining, limit.limit)
            }),
            status.last_failure.clone().unwrap_or_default(),
        ]);
    }
    table.print()
}
