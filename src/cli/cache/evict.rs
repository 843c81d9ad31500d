//! `breakwater cache evict`.

use clap::Args;

use crate::admin::{EvictImages, EvictionView, Stays, VictimView};
use crate::cli::output::{Table, counted, hint, print, print_json, shown_size};
use crate::cli::progress::Bar;
use crate::cli::workplace::Workplace;
use crate::error::Result;

/// Let the images go that are worth least, until no more is cached than you say
///
/// The running server does the same by itself when a limit is reached. Pinned images stay, and those that were pulled in
/// the last minutes, and those of an upstream that does not answer.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater cache evict --to 50GB --dry-run
  breakwater cache evict --to 200GiB")]
pub(super) struct Evict {
    #[command(flatten)]
    request: EvictImages,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Evict {
    pub(super) fn run(self, place: &Workplace) -> Result<()> {
        let bar = Bar::new("evicting", self.json);
        let view = place.perform(self.request)?;
        drop(bar);
        if self.json {
            return print_json(&view);
        }
        if view.dry_run {
            list(&view)?;
        }
        tell(&view)
    }
}

fn names(victim: &VictimView) -> String {
    let names = victim.names.join(" ");
    match victim.more_names {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}

fn list(view: &EvictionView) -> Result<()> {
    if view.victims.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&["IMAGE", "FREES", "LAST PULLED", "GONE UPSTREAM"]);
    for victim in &view.victims {
        table.row([
            names(victim),
            shown_size(victim.bytes),
            victim.used_at.to_string(),
            crate::cli::output::yes(victim.is_gone),
        ]);
    }
    table.print()?;
    match view.images.saturating_sub(view.victims.len() as u64) {
        0 => Ok(()),
        more => print(&format!("and {more} more")),
    }
}

fn tell(view: &EvictionView) -> Result<()> {
    let (verb, freed) = match view.dry_run {
        true => ("would go", "would be freed"),
        false => ("went", "were freed"),
    };
    let cached = shown_size(view.cached_bytes);
    match view.images {
        0 if view.is_enough => print(&format!("nothing has to go: {cached} are cached"))?,
        images => print(&format!(
            "{} {verb}, {} {freed} of {cached}",
            counted(images, "image"),
            shown_size(view.bytes)
        ))?,
    }
    for stays in &view.stays {
        let why = match stays.why {
            Stays::Pinned => "pinned",
            Stays::Busy => "pulled or fetched in the last minutes",
            Stays::Away => "of an upstream that does not answer or may not be asked",
            Stays::Gone => "gone upstream",
            Stays::Part => "a part of an image",
        };
        let (images, bytes) = (counted(stays.images, "image"), shown_size(stays.bytes));
        print(&format!("{images} stay in any case, {bytes}: {why}"))?;
    }
    if !view.is_enough {
        hint("more than that cannot go now");
    }
    Ok(())
}
