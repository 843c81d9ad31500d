//! `breakwater export`, `import`, `have` and `bundle`: images in one file, to be carried to a box without a way to their upstreams.

mod deltas;
mod export;
mod files;
mod have;
mod holding;
mod import;
mod key;
mod output;
mod parts;
mod room;
mod show;

pub(super) use export::Export;
pub(super) use have::Have;
pub(super) use import::Import;

use std::fs;
use std::path::Path;

use clap::{Args, Subcommand};

use super::Outcome;
use crate::error::{Error, Kind, Result};

/// Make a key that signs bundles, and look into one without importing it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater bundle key -o /etc/breakwater/bundles.key
  breakwater bundle show week48.tar --verify-key bundles.key.pub")]
pub(super) struct BundleCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Key(key::MakeKey),
    Show(show::Show),
}

impl BundleCommand {
    /// Needs no data directory: whoever carries a bundle has none.
    pub(super) fn run(&self) -> Result<Outcome> {
        match &self.action {
            Action::Key(key) => key.run(),
            Action::Show(show) => show.run(),
        }
    }
}

/// Reads a short text file that an argument names.
fn read_text(path: &Path) -> Result<String> {
    const MOST: u64 = 16 * 1024 * 1024;
    let failed = |error| Error::io("cannot read", path, error);
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > MOST {
        let what = format!("{} is larger than any list or key is", path.display());
        return Err(Error::new(Kind::Usage, what));
    }
    fs::read_to_string(path).map_err(failed)
}
