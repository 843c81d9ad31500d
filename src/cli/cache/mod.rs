//! `breakwater cache`: what is kept, and what stays. `gc` has a file of its own.

mod pins;

use clap::{Args, Subcommand};

use super::Outcome;
use super::garbage::Gc;
use super::output::{Table, print, print_json, shown_size, shown_time};
use super::workplace::Workplace;
use crate::admin::{CacheStatistics, ListCachedImages, ShowCachedImage};
use crate::error::Result;
use crate::store::CachedImage;

/// Show what is cached, and say what stays
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
  breakwater cache list 'quay.io/*/x' --json")]
    List {
        /// Part of HOST/NAME:TAG; * stands for anything
        pattern: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one cached image
    #[command(after_help = "\
Examples:
  breakwater cache show alpine
  breakwater cache show quay.io/org/x:1.0 --json")]
    Show {
        /// As for docker: alpine, alpine:3.20, quay.io/org/x@sha256:…
        image: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show how much is cached
    #[command(after_help = "Example:\n  breakwater cache stats --json")]
    Stats {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    Pin(pins::Add),
    Unpin(pins::Remove),
    Pins(pins::List),
    Gc(Gc),
}

impl Cache {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        match self.action {
            Action::List { pattern, json } => list(place, pattern, json)?,
            Action::Show { image, json } => show(place, image, json)?,
            Action::Stats { json } => stats(place, json)?,
            Action::Pin(add) => add.run(place)?,
            Action::Unpin(remove) => remove.run(place)?,
            Action::Pins(list) => list.run(place)?,
            Action::Gc(gc) => return gc.run(place),
        }
        Ok(Outcome::Done)
    }
}

fn list(place: &Workplace, pattern: Option<String>, json: bool) -> Result<()> {
    let images = place
        .perform(ListCachedImages {
            search: pattern,
            ..ListCachedImages::default()
        })?
        .entries;
    if json {
        return print_json(&images);
    }
    let mut table = Table::new(&["IMAGE", "DIGEST", "SIZE", "CONFIRMED", "LAST PULLED"]);
    for image in images {
        let short: String = image
            .digest
            .chars()
            .take("sha256:0123456789ab".len())
            .collect();
        table.row([
            name(&image),
            short,
            shown_size(image.size),
            shown_time(Some(image.confirmed_at), ""),
            shown_time(image.last_pulled_at, "never"),
        ]);
    }
    table.print()
}

/// `docker.io/library/alpine:3.20`, or with a digest where there is no tag.
fn name(image: &CachedImage) -> String {
    match &image.tag {
        Some(tag) => format!("{}/{}:{tag}", image.upstream, image.repository),
        None => format!("{}/{}@{}", image.upstream, image.repository, image.digest),
    }
}

fn show(place: &Workplace, image: String, json: bool) -> Result<()> {
    let image = place.perform(ShowCachedImage { image })?;
    if json {
        return print_json(&image);
    }
    for (field, value) in [
        ("image", name(&image)),
        ("digest", image.digest.clone()),
        ("type", image.media_type.clone()),
        ("size", shown_size(image.size)),
        ("fetched", image.fetched_at.to_string()),
        ("confirmed", image.confirmed_at.to_string()),
        ("last pulled", shown_time(image.last_pulled_at, "never")),
        ("gone upstream", shown_time(image.gone_at, "no")),
    ] {
        print(&format!("{field:<14} {value}"))?;
    }
    Ok(())
}

fn stats(place: &Workplace, json: bool) -> Result<()> {
    let view = place.perform(CacheStatistics {})?;
    if json {
        return print_json(&view);
    }
    let totals = &view.totals;
    for (field, value) in [
        ("repositories", totals.repositories.to_string()),
        ("tags", totals.tags.to_string()),
        ("manifests", totals.manifests.to_string()),
        ("blobs", totals.blobs.to_string()),
        ("size", shown_size(totals.bytes)),
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
    Ok(())
}
