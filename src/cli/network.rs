//! `breakwater network`: networks that are trusted without a login.

use clap::{Args, Subcommand};

use super::Outcome;
use super::output::{Table, print_json, tell, tell_removed};
use super::shown::Shown;
use super::workplace::Workplace;
use crate::admin::{AddNetwork, ListNetworks, RemoveNetwork};
use crate::error::Result;

/// Trust networks to read or fill without a login
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  breakwater network add 10.1.0.0/16 --ability fill")]
pub(super) struct Network {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Add(Shown<AddNetwork>),
    /// List all trusted networks
    #[command(after_help = "Example:\n  breakwater network list --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    Remove(Shown<RemoveNetwork>),
}

impl Network {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        match self.action {
            Action::Add(Shown { request, json }) => {
                let added = place.perform(request)?;
                let place = added.group_path.as_deref().unwrap_or("the mirror");
                let (cidr, ability) = (added.cidr, <&str>::from(added.ability));
                let line = format!("{cidr} may {ability} {place} without a login");
                tell(&added, json, &line)?;
            }
            Action::List { json } => list(place, json)?,
            Action::Remove(Shown { request, json }) => {
                let (cidr, group) = (request.cidr.clone(), request.group.clone());
                place.perform(request)?;
                let line = match &group {
                    Some(group) => format!("{cidr} is trusted no more for {group}"),
                    None => format!("{cidr} is trusted no more"),
                };
                tell_removed(&cidr, group, json, &line)?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn list(place: &Workplace, json: bool) -> Result<()> {
    let networks = place.perform(ListNetworks::default())?.entries;
    if json {
        return print_json(&networks);
    }
    let mut table = Table::new(&["NETWORK", "ABILITY", "FOR"]);
    for network in networks {
        table.row([
            network.cidr.to_string(),
            <&str>::from(network.ability).to_owned(),
            network
                .group_path
                .unwrap_or_else(|| "(the mirror)".to_owned()),
        ]);
    }
    table.print()
}
