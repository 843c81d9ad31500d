//! `breakwater cache gc`: garbage collection, by the running server, or here where none runs.

use clap::Args;

use super::Outcome;
use super::output::{print, print_json, shown_size};
use super::progress::Bar;
use super::workplace::Workplace;
use crate::admin::CollectGarbage;
use crate::error::{Error, Kind, Result};
use crate::upkeep::garbage::Collected;

/// Remove what pushed images do not need any more: blobs that no image refers to, uploads that expired
///
/// The running server does the same every hour; blobs and images younger than an hour are left alone.
/// Images of projects that are not there any more stay, unless you ask for them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater cache gc --dry-run
  breakwater cache gc --untagged")]
pub(super) struct Gc {
    /// Remove nothing, only show what would go
    #[arg(long)]
    dry_run: bool,
    /// Also remove images without a tag that no index and no subject needs
    #[arg(long)]
    untagged: bool,
    /// Also remove, at once, all images of projects that were removed; not after restoring a backup without them
    #[arg(long)]
    removed_projects: bool,
    /// Also remove files that no image refers to: kept when a database was lost, or an older backup restored
    #[arg(long)]
    unreferenced: bool,
    /// How long what is not needed is left alone: 30m, 2h; with 0s a push that goes on now may have to begin again
    #[arg(long, value_name = "TIME", default_value = "1h")]
    grace: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Gc {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        let grace = humantime::parse_duration(&self.grace).map_err(|_| {
            let what = format!("`{}` is no value of --grace", self.grace.escape_debug());
            Error::new(Kind::Usage, what).remedy("write a time such as 30m or 2h")
        })?;
        let bar = Bar::new("collecting garbage", self.json);
        let collected = place.perform(CollectGarbage {
            dry_run: self.dry_run,
            untagged: self.untagged,
            removed_projects: self.removed_projects,
            unreferenced: self.unreferenced,
            grace,
        })?;
        drop(bar);
        if self.json {
            print_json(&collected)?;
        } else {
            tell(&collected)?;
        }
        Ok(Outcome::Done)
    }
}

fn tell(collected: &Collected) -> Result<()> {
    for name in collected.manifests.iter().chain(&collected.unreferenced) {
        print(name)?;
    }
    let verb = match collected.dry_run {
        true => "would remove",
        false => "removed",
    };
    print(&format!(
        "{verb} {} manifests, {} links to blobs, {} uploads; {} files, {}",
        collected.manifests.len(),
        collected.links,
        collected.uploads,
        collected.files,
        shown_size(collected.bytes),
    ))?;
    match collected.of_removed_projects {
        0 => {}
        count => print(&format!(
            "{count} images of removed projects stay; --removed-projects removes them"
        ))?,
    }
    if collected.strays_left {
        print(
            "files without a row stay until rows and files are compared, which `breakwater serve` does",
        )?;
    }
    Ok(())
}
