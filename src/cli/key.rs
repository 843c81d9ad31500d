//! `breakwater key`: the keys that sign the token endpoint's JWTs. Shows ids and times, never a key.

use clap::{Args, Subcommand};

use super::Outcome;
use super::output::{Table, hint, print_json, shown_time, tell};
use super::shown::Shown;
use super::workplace::Workplace;
use crate::admin::{ListKeys, RotateKey};
use crate::error::Result;
use crate::time::Timestamp;

/// List and rotate the keys that sign the short-lived tokens of the token endpoint
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater key list
  breakwater key rotate")]
pub(super) struct Key {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a new key; it signs from the next login on, also in the running server
    ///
    /// What older keys have signed stays good until it expires (`auth.token_ttl`), so nobody notices. Keys
    /// that verify nothing any more are removed, at a rotation and at the server's start.
    #[command(after_help = "\
Examples:
  breakwater key rotate
  breakwater key rotate --at-once")]
    Rotate(Shown<RotateKey>),
    /// List the keys: which one signs, and until when the others verify
    #[command(after_help = "Example:\n  breakwater key list --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Key {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        match self.action {
            Action::Rotate(Shown { request, json }) => rotate(place, request, json)?,
            Action::List { json } => list(place, json)?,
        }
        Ok(Outcome::Done)
    }
}

fn rotate(place: &Workplace, request: RotateKey, json: bool) -> Result<()> {
    let rotated = place.perform(request)?;
    for removed in &rotated.removed {
        hint(&format!("removed key {removed}"));
    }
    let line = format!("key {} signs from now on", rotated.id);
    tell(&rotated, json, &line)
}

fn list(place: &Workplace, json: bool) -> Result<()> {
    let keys = place.perform(ListKeys {})?;
    if json {
        return print_json(&keys);
    }
    let now = Timestamp::now();
    let mut table = Table::new(&["ID", "STATE", "CREATED", "VERIFIES UNTIL"]);
    for key in keys {
        let state = match key.verifies_until {
            None => "signs",
            Some(end) if now < end => "verifies",
            Some(_) => "retired",
        };
        table.row([
            key.id,
            state.to_owned(),
            key.created_at.to_string(),
            shown_time(key.verifies_until, "replaced"),
        ]);
    }
    table.print()
}
