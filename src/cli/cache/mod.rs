//! `breakwater cache`: what is kept, what stays, and what goes. `gc` has a file of its own.

mod evict;
mod history;
mod pins;
mod purge;
mod show;

use clap::{Args, Subcommand};

use super::Outcome;
use super::garbage::Gc;
use super::output::{Table, print, print_json, shown_size, shown_time};
use super::progress::Bar;
use super::workplace::Workplace;
use crate::admin::{
    CacheStatistics, CacheStatisticsView, ListCachedImages, RecallStatistics, one_of,
};
use crate::error::Result;
use crate::human::short_digest;
use crate::store::ImageOrder;

/// Show what is cached, say what stays, and let images go
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater cache list
  breakwater cache show alpine:3.20
  breakwater cache pin alpine")]
pub(super) struct Cache {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List cached images
    #[command(after_help = "\
Examples:
  breakwater cache list
  breakwater cache list 'quay.io/*/x' --json
  breakwater cache list --sort size --group acme
  breakwater cache list 'hosted:acme/*'")]
    List {
        /// Part of HOST/NAME:TAG; * stands for anything; what was pushed by hosted:PATH:TAG
        pattern: Option<String>,
        /// The last pulled first, the largest, or the last that came from its upstream; by name without it
        #[arg(long, value_parser = one_of::<ImageOrder>())]
        sort: Option<ImageOrder>,
        /// Only what this group has pulled, by path
        #[arg(long, value_name = "PATH")]
        group: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    Show(show::Show),
    /// Show how much is cached, by upstream and group, and how much was pushed, by project and group
    ///
    /// A running server counts at most every few minutes where that takes long, and says when it did.
    #[command(after_help = "\
Example:
  breakwater cache stats --json")]
    Stats {
        /// Count now, which takes seconds on a large box
        #[arg(long)]
        now: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    History(history::History),
    Pin(pins::Add),
    Unpin(pins::Remove),
    Pins(pins::List),
    Evict(evict::Evict),
    Purge(purge::PurgeCommand),
    Gc(Gc),
}

impl Cache {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        match self.action {
            Action::List {
                pattern,
                sort,
                group,
                json,
            } => {
                let request = ListCachedImages {
                    search: pattern,
                    sort,
                    group,
                    ..ListCachedImages::default()
                };
                list(place, request, json)?;
            }
            Action::Show(show) => show.run(place)?,
            Action::Stats { now, json } => stats(place, now, json)?,
            Action::History(history) => history.run(place)?,
            Action::Pin(add) => add.run(place)?,
            Action::Unpin(remove) => remove.run(place)?,
            Action::Pins(list) => list.run(place)?,
            Action::Evict(evict) => evict.run(place)?,
            Action::Purge(purge) => purge.run(place)?,
            Action::Gc(gc) => return gc.run(place),
        }
        Ok(Outcome::Done)
    }
}

fn list(place: &Workplace, request: ListCachedImages, json: bool) -> Result<()> {
    let bar = Bar::new("listing what is cached", json);
    let images = place.perform(request)?.entries;
    drop(bar);
    if json {
        return print_json(&images);
    }
    let mut table = Table::new(&[
        "IMAGE",
        "DIGEST",
        "SIZE",
        "KEPT",
        "CONFIRMED",
        "LAST PULLED",
    ]);
    for image in images {
        table.row([
            image.name(),
            short_digest(&image.digest).to_owned(),
            shown_size(image.size),
            match image.missing {
                0 => "whole".to_owned(),
                missing => format!("in part ({missing} missing)"),
            },
            shown_time(Some(image.confirmed_at), ""),
            shown_time(image.last_pulled_at, "never"),
        ]);
    }
    table.print()
}

fn stats(place: &Workplace, now: bool, json: bool) -> Result<()> {
    let bar = Bar::new("counting what is cached", json);
    let known = match now {
        true => None,
        false => Some(place.perform(RecallStatistics {})?),
    };
    // Without the shares while it is counted for the first time.
    let view = match known.filter(|known| known.upstreams.is_some()) {
        Some(known) => known,
        None => place.perform(CacheStatistics {})?,
    };
    drop(bar);
    if json {
        return print_json(&view);
    }
    let totals = &view.totals;
    for (field, value) in [
        ("counted", shown_time(Some(view.as_of), "")),
        ("repositories", totals.repositories.to_string()),
        ("tags", totals.tags.to_string()),
        ("manifests", totals.manifests.to_string()),
        ("blobs", totals.blobs.to_string()),
        ("size", shown_size(totals.bytes)),
        ("shared", shown_size(view.shared_bytes.unwrap_or_default())),
        (
            "limit",
            match view.max_size {
                Some(most) => format!("{}, by cache.max_size", shown_size(most)),
                None => format!("{} of the disk stay free", shown_size(view.min_free)),
            },
        ),
        ("evicted", shown_eviction(&view)),
        (
            "pushed",
            view.pushed.as_ref().map_or_else(String::new, |pushed| {
                let totals = &pushed.totals;
                format!("{} in {} images", shown_size(totals.bytes), totals.images)
            }),
        ),
        (
            "disk",
            format!(
                "{} free of {}",
                shown_size(view.disk_free_bytes),
                shown_size(view.disk_bytes)
            ),
        ),
    ] {
        print(&format!("{field:<14} {value}"))?;
    }
    let (upstreams, pushed) = (view.upstreams.unwrap_or_default(), view.pushed);
    let has_pushed = pushed
        .as_ref()
        .is_some_and(|pushed| !pushed.projects.is_empty());
    if upstreams.is_empty() && !has_pushed {
        return Ok(());
    }
    print("")?;
    let mut table = Table::new(&["OF OR FOR", "IMAGES", "SIZE", "ONLY THERE", "LIMIT"]);
    for share in upstreams {
        table.row([
            share.name,
            share.images.to_string(),
            shown_size(share.bytes),
            shown_size(share.exclusive_bytes),
            share.max_size.map_or_else(String::new, shown_size),
        ]);
    }
    for share in view.groups.unwrap_or_default() {
        let path = share.group_path.as_deref().unwrap_or("(gone)");
        table.row([
            format!("group {path}"),
            share.images.to_string(),
            shown_size(share.bytes),
            shown_size(share.exclusive_bytes),
            share.max_size.map_or_else(String::new, shown_size),
        ]);
    }
    let pushed = pushed.into_iter();
    let pushed = pushed.flat_map(|pushed| {
        [
            ("pushed to", pushed.projects),
            ("pushed below", pushed.groups),
        ]
    });
    for (noun, shares) in pushed {
        for share in shares {
            table.row([
                format!("{noun} {}", share.path),
                share.images.to_string(),
                shown_size(share.bytes),
                String::new(),
                share.quota.map_or_else(String::new, shown_size),
            ]);
        }
    }
    table.print()
}

/// When images last went for want of room, and how long the last of them had not been pulled.
fn shown_eviction(view: &CacheStatisticsView) -> String {
    let Some(at) = view.last_eviction_at else {
        return "never for want of room".to_owned();
    };
    let hours = view.eviction_age_seconds.unwrap_or_default() / 3600;
    let age = match hours {
        0..48 => format!("{hours} hours"),
        _ => format!("{} days", hours / 24),
    };
    format!("last at {at}, what had not been pulled for {age}")
}
