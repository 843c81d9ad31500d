//! Networks that are trusted without login: rows of `networks`.

use ipnet::IpNet;
use rusqlite::params;
use serde::Serialize;

use super::groups::group_place;
use super::{AccessDb, GroupId, taken};
use crate::error::{Error, Kind, Result};
use crate::store::audit::{Actor, Event, EventKind};
use crate::store::statement::{decoded, list, run, words_in_sql};
use crate::words::words;

words! {
    "snake_case"
    /// What a network rule allows.
    #[derive(PartialOrd, Ord)]
    pub enum Ability {
        /// What is cached, and what passes through.
        Read,
        /// Reading, and writing into the cache what came from an upstream.
        Fill,
    }
}

words_in_sql!(Ability);

/// A network that is trusted without login. `group` None: the mirror's group alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Network {
    /// The addresses; host bits are dropped when it is stored.
    pub cidr: IpNet,
    pub ability: Ability,
    /// Where they may it.
    pub group: Option<GroupId>,
}

impl AccessDb {
    /// All networks, in the order in which they were added.
    pub fn networks(&self) -> Result<Vec<Network>> {
        self.database.read(|connection| {
            list(
                connection,
                "list networks",
                "SELECT cidr, ability, group_id FROM networks ORDER BY id",
                [],
                |row| {
                    Ok(Network {
                        cidr: decoded(row, 0, |text| {
                            text.parse().map_err(|error: ipnet::AddrParseError| {
                                Error::new(Kind::Sql, "a network's address is wrong").because(error)
                            })
                        })?,
                        ability: row.get(1)?,
                        group: row.get(2)?,
                    })
                },
            )
        })
    }

    /// `Conflict` if the same network has a rule for the same group already, whatever it allows.
    pub fn add_network(&self, actor: &Actor, network: &Network) -> Result<()> {
        let cidr = network.cidr.trunc();
        self.database
            .change(actor, |connection| {
                run(
                    connection,
                    "add network",
                    "INSERT INTO networks (cidr, group_id, ability) VALUES (?1, ?2, ?3)",
                    params![cidr.to_string(), network.group, network.ability,],
                )?;
                let event = Event::new(EventKind::NetworkAdded)
                    .subject("network", &cidr.to_string(), None)
                    .place(group_place(connection, network.group)?)
                    .detail("ability", <&str>::from(network.ability));
                Ok(((), Some(event)))
            })
            .map_err(|error| {
                taken(error, || {
                    format!("there is a rule for the network {cidr} already")
                })
            })
    }

    /// Whether there was such a rule.
    pub fn remove_network(
        &self,
        actor: &Actor,
        cidr: IpNet,
        group: Option<GroupId>,
    ) -> Result<bool> {
        let cidr = cidr.trunc().to_string();
        self.database.change(actor, |connection| {
            let removed = run(
                connection,
                "remove network",
                "DELETE FROM networks WHERE cidr = ?1 AND group_id IS ?2",
                params![cidr, group],
            )?;
            if removed == 0 {
                return Ok((false, None));
            }
            let event = Event::new(EventKind::NetworkRemoved)
                .subject("network", &cidr, None)
                .place(group_place(connection, group)?);
            Ok((true, Some(event)))
        })
    }
}
