//! `breakwater key`: the keys that sign the token endpoint's JWTs. Shows ids and times, never a key.

use clap::{Args, Subcommand};
use serde_json::json;

use super::Outcome;
use super::output::{Table, hint, print, print_json, shown_time, time};
use super::workplace::Workplace;
use crate::auth::jwt::lifetime;
use crate::auth::keys::Keys;
use crate::error::Result;
use crate::store::{Event, EventKind};
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
    Rotate {
        /// A key has leaked: remove all older ones now; every client has to ask for a new token
        #[arg(long)]
        at_once: bool,
    },
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
            Action::Rotate { at_once } => rotate(place, at_once)?,
            Action::List { json } => list(place, json)?,
        }
        Ok(Outcome::Done)
    }
}

fn open(place: &Workplace, data: &std::path::Path) -> Result<Keys> {
    Keys::open_or_make(&data.join("keys"), lifetime(place.config.auth.token_ttl))
}

fn rotate(place: &Workplace, at_once: bool) -> Result<()> {
    let store = place.open_store()?;
    let keys = open(place, store.directory())?;
    let now = Timestamp::now();
    let record = |kind, id: &str| {
        let event = Event::new(kind).subject("key", id, None);
        store.audit.record(&place.actor, &event);
    };
    let id = keys.rotate(now)?;
    record(EventKind::KeyRotated, &id);
    for removed in keys.remove_retired(now, at_once)? {
        record(EventKind::KeyRemoved, &removed);
        hint(&format!("removed key {removed}"));
    }
    print(&format!("key {id} signs from now on"))
}

fn list(place: &Workplace, json: bool) -> Result<()> {
    let store = place.open_store()?;
    let keys = open(place, store.directory())?.all();
    if json {
        let shapes = keys.iter().map(|key| {
            json!({
                "id": key.id,
                "created_at": key.made_at.to_string(),
                "signs": key.retires_at.is_none(),
                "verifies_until": time(key.retires_at),
            })
        });
        return print_json(&shapes.collect::<Vec<_>>());
    }
    let now = Timestamp::now();
    let mut table = Table::new(&["ID", "STATE", "CREATED", "VERIFIES UNTIL"]);
    for key in keys {
        let state = match key.retires_at {
            None => "signs",
            Some(_) if key.verifies(now) => "verifies",
            Some(_) => "retired",
        };
        table.row([
            key.id.clone(),
            state.to_owned(),
            key.made_at.to_string(),
            shown_time(key.retires_at, "replaced"),
        ]);
    }
    table.print()
}
