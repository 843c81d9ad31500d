//! `breakwater offline`: whether any connection may leave the box.

use clap::{Args, Subcommand};
use serde_json::json;

use super::Outcome;
use super::output::{print, print_json};
use super::workplace::Workplace;
use crate::error::Result;
use crate::server;
use crate::store::{Event, EventKind, Store};

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
    On,
    /// Ask upstreams again
    #[command(after_help = "Example:\n  breakwater offline off")]
    Off,
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
            Action::On => switch(place, true)?,
            Action::Off => switch(place, false)?,
            Action::Status { json } => status(place, json)?,
        }
        Ok(Outcome::Done)
    }
}

/// By the running server, or, where none runs, for the next one.
fn switch(place: &Workplace, offline: bool) -> Result<()> {
    if let Some(server) = place.running_server()? {
        server.post(if offline {
            "/offline/on"
        } else {
            "/offline/off"
        })?;
        record(place, &place.open_store()?, offline);
        return Ok(());
    }
    if !offline && place.config.offline {
        return Err(server::offline_by_configuration());
    }
    let store = place.open_store()?;
    store.set_offline(offline)?;
    record(place, &store, offline);
    Ok(())
}

/// By whose command: the server does not know who asks.
fn record(place: &Workplace, store: &Store, offline: bool) {
    let kind = match offline {
        true => EventKind::OfflineOn,
        false => EventKind::OfflineOff,
    };
    store.audit.record(&place.actor, &Event::new(kind));
}

fn status(place: &Workplace, json: bool) -> Result<()> {
    let by_command = place.open_store()?.is_offline()?;
    let by_configuration = place.config.offline;
    // The server knows what it was started with; a file that was changed since counts at its next start.
    let offline = match place.running_server()? {
        Some(server) => server.status()?.offline,
        None => by_command || by_configuration,
    };
    if json {
        return print_json(&json!({
            "offline": offline,
            "by_command": by_command,
            "by_configuration": by_configuration,
        }));
    }
    let word = match (offline, by_configuration, by_command) {
        (false, ..) => "online",
        (true, true, _) => "offline, by `offline = true` in the configuration",
        (true, false, _) => "offline, by command",
    };
    print(word)
}
