//! `breakwater offline`: whether any connection may leave the box.

use clap::{Args, Subcommand};

use super::Outcome;
use super::output::{hint, print, print_json};
use super::workplace::Workplace;
use crate::admin::{ShowOffline, SwitchOffline};
use crate::error::Result;
use crate::store::UNRECORDED;

/// Cut the box off from its upstreams, or connect it again
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater offline on
  breakwater offline status")]
pub(super) struct Offline {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// From the next request on no connection leaves the box, also after a restart
    #[command(after_help = "Example:\n  breakwater offline on")]
    On {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Ask upstreams again
    #[command(after_help = "Example:\n  breakwater offline off")]
    Off {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say whether the box is offline, and by whose word
    #[command(after_help = "Example:\n  breakwater offline status --json")]
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Offline {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        match self.action {
            Action::On { json } => switch(place, true, json)?,
            Action::Off { json } => switch(place, false, json)?,
            Action::Status { json } => status(place, json)?,
        }
        Ok(Outcome::Done)
    }
}

fn switch(place: &Workplace, offline: bool, json: bool) -> Result<()> {
    if !place.perform(SwitchOffline { offline })?.is_recorded {
        hint(UNRECORDED);
    }
    match json {
        true => status(place, true),
        false => Ok(()),
    }
}

fn status(place: &Workplace, json: bool) -> Result<()> {
    let view = place.perform(ShowOffline {})?;
    if json {
        return print_json(&view);
    }
    let word = match (view.offline, view.by_configuration) {
        (false, _) => "online",
        (true, true) => "offline, by `offline = true` in the configuration",
        (true, false) => "offline, by command",
    };
    print(word)
}
