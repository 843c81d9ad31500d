//! `breakwater init`: the store and its first administrator, without starting a server.

use clap::Args;
use serde_json::json;

use super::Outcome;
use super::output::{hint, print, print_json};
use super::workplace::Workplace;
use crate::error::Result;
use crate::server;
use crate::store::{DataLock, Store};
use crate::time::Timestamp;

/// Make the data directory, and in it an administrator `root` with a random password
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater init
  breakwater init --data /var/lib/breakwater")]
pub(super) struct Init {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Init {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        let data = &place.config.data;
        Store::make_directory(data)?;
        // A server that starts at this moment makes the first start itself.
        let lock = DataLock::take(data)?;
        if let Some(lost) = Store::mend_databases(data, &lock, Timestamp::now())? {
            hint(&lost.sentence());
        }
        let store = Store::create(data)?;
        let sentences =
            server::first_start(&place.actor, &store, &place.config, store.directory())?;
        if self.json {
            let view = json!({ "data": data, "is_new": !sentences.is_empty() });
            print_json(&view)?;
            return Ok(Outcome::Done);
        }
        if sentences.is_empty() {
            print(&format!(
                "there is a store at {} already; nothing to do",
                data.display()
            ))?;
        } else {
            print(&format!("made a store at {}", data.display()))?;
        }
        for sentence in sentences {
            print(&sentence)?;
        }
        Ok(Outcome::Done)
    }
}
