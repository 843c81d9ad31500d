//! `breakwater network`: networks that are trusted without a login.

use clap::{Args, Subcommand};
use ipnet::IpNet;
use serde_json::json;

use super::Outcome;
use super::output::{Table, print, print_json};
use super::words::{Ability, ability_word};
use super::workplace::{Workplace, find_group};
use crate::auth::administration::networks::parse_cidr;
use crate::error::{Error, Kind, Result};
use crate::store::{self, GroupId, Store};

/// Trust networks to read or fill without a login
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  breakwater network add 10.1.0.0/16 --ability fill")]
pub(super) struct Network {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Trust a network; without --group for the mirror alone
    #[command(after_help = "\
Examples:
  breakwater network add 10.1.0.0/16 --ability fill
  breakwater network add 10.2.0.0/16 --ability read --group acme")]
    Add {
        /// Such as 10.1.0.0/16, fd00::/8, or one address
        cidr: String,
        /// To pull what is cached, or also to fill the cache
        #[arg(long, value_enum)]
        ability: Ability,
        /// For a group's dependency proxy instead of the mirror
        #[arg(long, value_name = "PATH")]
        group: Option<String>,
    },
    /// List all trusted networks
    #[command(after_help = "Example:\n  breakwater network list --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Stop trusting a network; without --group everywhere
    #[command(after_help = "Example:\n  breakwater network remove 127.0.0.0/8")]
    Remove {
        /// As it was added
        cidr: String,
        /// For one group alone
        #[arg(long, value_name = "PATH")]
        group: Option<String>,
    },
}

impl Network {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        match self.action {
            Action::Add {
                cidr,
                ability,
                group,
            } => {
                let cidr = parse_cidr(&cidr)?;
                let store = place.open_store()?;
                let group_id = group
                    .as_deref()
                    .map(|path| find_group(&store, path))
                    .transpose()?
                    .map(|group| group.id);
                let network = store::Network {
                    cidr,
                    ability: ability.into(),
                    group: group_id,
                };
                store.access.add_network(&place.actor, &network)?;
                let place = group.as_deref().unwrap_or("the mirror");
                print(&format!(
                    "{cidr} may {} {place} without a login",
                    ability_word(network.ability)
                ))?;
            }
            Action::List { json } => list(&place.open_store()?, json)?,
            Action::Remove { cidr, group } => {
                remove(place, parse_cidr(&cidr)?, group.as_deref())?;
            }
        }
        Ok(Outcome::Done)
    }
}

/// The group's path; a rule outlives no group, but a list must not fail if one did.
fn group_path(store: &Store, id: Option<GroupId>) -> Result<Option<String>> {
    Ok(match id {
        Some(id) => store.access.group(id)?.map(|group| group.path),
        None => None,
    })
}

fn list(store: &Store, json: bool) -> Result<()> {
    let networks = store.access.networks()?;
    if json {
        let shape = |network: &store::Network| {
            Ok(json!({
                "cidr": network.cidr,
                "ability": ability_word(network.ability),
                "group_id": network.group,
                "group_path": group_path(store, network.group)?,
            }))
        };
        return print_json(&networks.iter().map(shape).collect::<Result<Vec<_>>>()?);
    }
    let mut table = Table::new(&["NETWORK", "ABILITY", "FOR"]);
    for network in networks {
        let place = group_path(store, network.group)?.unwrap_or_else(|| "(the mirror)".to_owned());
        table.row([
            network.cidr.to_string(),
            ability_word(network.ability).to_owned(),
            place,
        ]);
    }
    table.print()
}

fn remove(place: &Workplace, cidr: IpNet, group: Option<&str>) -> Result<()> {
    let store = place.open_store()?;
    let only = group
        .map(|path| find_group(&store, path))
        .transpose()?
        .map(|group| group.id);
    let mut removed = false;
    for network in store.access.networks()? {
        if network.cidr == cidr && (only.is_none() || network.group == only) {
            removed |= store
                .access
                .remove_network(&place.actor, cidr, network.group)?;
        }
    }
    if !removed {
        return Err(Error::new(
            Kind::NotFound,
            format!("{cidr} is not trusted there anyway"),
        )
        .remedy("see `breakwater network list`"));
    }
    print(&format!("{cidr} is trusted no more"))
}

#[cfg(test)]
mod tests {
    use super::parse_cidr;

    #[test]
    fn networks_have_no_host_bits() {
        for (text, expected) in [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("10.1.2.3", Some("10.1.2.3/32")),
            ("fd00::/8", Some("fd00::/8")),
            ("::1", Some("::1/128")),
            ("10.1.2.3/8", None),
            ("fd00::1/8", None),
            ("10.0.0.0/33", None),
            ("localhost", None),
            ("", None),
        ] {
            assert_eq!(
                parse_cidr(text).ok().map(|n| n.to_string()).as_deref(),
                expected,
                "{text:?}"
            );
        }
        let error = parse_cidr("10.1.2.3/8").unwrap_err().to_string();
        assert!(
            error.contains("10.0.0.0/8") && error.contains("or 10.1.2.3 "),
            "{error}"
        );
    }
}
