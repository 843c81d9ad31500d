//! `breakwater cache gc`: garbage collection, by the running server, or here where none runs.

use clap::Args;
use serde_json::Value;

use super::Outcome;
use super::output::{print, print_json, shown_size};
use super::workplace::Workplace;
use crate::control::GarbageRequest;
use crate::error::{Error, Kind, Result};
use crate::store::Store;
use crate::time::Timestamp;
use crate::upkeep::garbage::{self, Collection};

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
            let what = format!("`{}` is no time", self.grace.escape_debug());
            Error::new(Kind::Usage, what).remedy("write --grace 30m, or 2h")
        })?;
        let request = GarbageRequest {
            dry_run: self.dry_run,
            untagged: self.untagged,
            removed_projects: self.removed_projects,
            unreferenced: self.unreferenced,
            grace,
        };
        let store = place.open_store()?;
        let collected = match place.running_server()? {
            Some(server) => server.collect_garbage(request)?,
            None => {
                let _lock = store.lock()?;
                collect(&store, request)?
            }
        };
        if self.json {
            print_json(&collected)?;
        } else {
            tell(&collected)?;
        }
        Ok(Outcome::Done)
    }
}

/// Collects as the command asks; what was removed, as JSON.
pub(super) fn collect(store: &Store, request: GarbageRequest) -> Result<Value> {
    let collection = Collection {
        grace: request.grace,
        untagged: request.untagged,
        removed_projects: request.removed_projects,
        unreferenced: request.unreferenced,
        dry_run: request.dry_run,
        ..Collection::periodic(Timestamp::now())
    };
    let collected = garbage::collect(store, &collection)?;
    serde_json::to_value(collected)
        .map_err(|error| Error::internal("a report is no JSON").because(error))
}

fn tell(collected: &Value) -> Result<()> {
    let number = |name: &str| collected[name].as_u64().unwrap_or_default();
    let named = |name: &str| collected[name].as_array().map_or(&[][..], Vec::as_slice);
    let manifests = named("manifests");
    for name in manifests.iter().chain(named("unreferenced")) {
        print(name.as_str().unwrap_or("?"))?;
    }
    let verb = match collected["dry_run"].as_bool() {
        Some(true) => "would remove",
        _ => "removed",
    };
    print(&format!(
        "{verb} {} manifests, {} links to blobs, {} uploads; {} files, {}",
        manifests.len(),
        number("links"),
        number("uploads"),
        number("files"),
        shown_size(number("bytes")),
    ))?;
    match number("of_removed_projects") {
        0 => {}
        count => print(&format!(
            "{count} images of removed projects stay; --removed-projects removes them"
        ))?,
    }
    if collected["strays_left"].as_bool() == Some(true) {
        print(
            "files without a row stay until rows and files are compared, which `breakwater serve` does",
        )?;
    }
    Ok(())
}
