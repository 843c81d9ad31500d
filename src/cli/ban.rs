//! `breakwater ban`: who may not log in after too many failed logins.

use clap::{Args, Subcommand};

use super::Outcome;
use super::output::{Table, print_json, tell_done};
use super::shown::Shown;
use super::workplace::Workplace;
use crate::admin::{ListBans, RemoveBan};
use crate::error::Result;

/// See and lift bans after failed logins
///
/// After auth.ban_after wrong passwords or tokens within auth.ban_for, an address, or a user with the password, may not log in
/// for auth.ban_for. A token that was revoked or has expired is no guess, and bans nobody.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater ban list
  breakwater ban remove 10.1.2.3")]
pub(super) struct BanCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List addresses and users that may not log in, and until when
    #[command(after_help = "Example:\n  breakwater ban list --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    Remove(Shown<RemoveBan>),
}

impl BanCommand {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        match self.action {
            Action::List { json } => list(place, json)?,
            Action::Remove(Shown { request, json }) => {
                let name = request.name.clone();
                place.perform(request)?;
                tell_done("removed", &name, json, &format!("{name} may log in again"))?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn list(place: &Workplace, json: bool) -> Result<()> {
    let bans = place.perform(ListBans::default())?.entries;
    if json {
        return print_json(&bans);
    }
    let mut table = Table::new(&["BANNED", "FAILED LOGINS", "SINCE", "UNTIL"]);
    for ban in bans {
        table.row([
            ban.of().to_owned(),
            ban.failed_logins.to_string(),
            ban.banned_at.to_string(),
            ban.ends_at.to_string(),
        ]);
    }
    table.print()
}
