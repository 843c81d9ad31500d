//! Networks that are trusted without a login.

use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Admin, Named, Operation, one_of};
use crate::error::{Error, Kind, Result, excerpt};
use crate::store::{Ability, Group, GroupId, Network, Page, Window};
use crate::time::Timestamp;

/// Trust a network; without --group for the mirror alone
#[derive(Debug, Serialize, Deserialize, JsonSchema, clap::Args)]
#[command(after_help = "\
Examples:
  breakwater network add 10.1.0.0/16 --ability fill
  breakwater network add 10.2.0.0/16 --ability read --group acme")]
pub struct AddNetwork {
    /// Such as 10.1.0.0/16, fd00::/8, or one address
    pub cidr: String,
    /// To pull what is cached, or also to fill the cache
    #[arg(long, value_parser = one_of::<Ability>())]
    pub ability: Ability,
    /// For a group's dependency proxy instead of the mirror, by path
    #[arg(long, value_name = "PATH")]
    pub group: Option<String>,
}

/// Stop trusting a network; without --group everywhere
#[derive(Debug, Serialize, Deserialize, JsonSchema, clap::Args)]
#[command(after_help = "Example:\n  breakwater network remove 127.0.0.0/8")]
pub struct RemoveNetwork {
    /// As it was added
    #[schemars(skip)]
    pub cidr: String,
    /// For one group alone, by path
    #[arg(long, value_name = "PATH")]
    pub group: Option<String>,
    /// For the mirror alone, where no group is named
    #[arg(skip)]
    #[serde(default)]
    #[schemars(skip)]
    pub mirror_only: bool,
}

/// List all trusted networks
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListNetworks {
    #[serde(default)]
    #[schemars(skip)]
    pub window: Window,
}

/// A network as it is shown.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Network")]
#[serde(deny_unknown_fields)]
pub struct NetworkView {
    #[schemars(with = "String")]
    pub cidr: IpNet,
    pub ability: Ability,
    /// Null for the mirror
    pub group_id: Option<GroupId>,
    pub group_path: Option<String>,
}

impl NetworkView {
    fn new(network: Network, group: Option<Group>) -> Self {
        Self {
            cidr: network.cidr,
            ability: network.ability,
            group_id: network.group,
            group_path: group.map(|group| group.path),
        }
    }
}

/// The networks whose clients asked the mirror within the last day and were refused, because no rule lets them in. Known
/// to a running server alone.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListRefusedNetworks {}

/// A network that no rule lets into the mirror.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RefusedNetwork")]
#[serde(deny_unknown_fields)]
pub struct RefusedNetworkView {
    #[schemars(with = "String")]
    pub cidr: IpNet,
    /// The one of its addresses that asked last.
    #[schemars(with = "String")]
    pub address: IpAddr,
    /// What it asked for.
    pub image: String,
    pub requests: u64,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
}

impl RefusedNetworkView {
    /// The command that lets it in.
    pub fn remedy(&self) -> String {
        format!(
            "`breakwater network add {} --ability fill` lets it pull and fill the cache, `--ability read` only pull",
            self.cidr
        )
    }
}

impl Operation for ListRefusedNetworks {
    const NAME: &'static str = "networks.refused";
    type View = Vec<RefusedNetworkView>;

    fn perform(self, admin: &Admin<'_>) -> Result<Vec<RefusedNetworkView>> {
        let Some(server) = admin.server else {
            return Ok(Vec::new());
        };
        let access = &admin.store.access;
        let mirror = access.group_by_path(&admin.config.mirror.group)?;
        let mirror = mirror.map(|group| group.id);
        let rules = access.networks()?;
        let mut refused = server.refused_networks();
        refused.retain(|refused| {
            let mut rules = rules.iter();
            !rules.any(|rule| {
                let is_of_mirror = rule.group.is_none() || rule.group == mirror;
                is_of_mirror && rule.cidr.contains(&refused.address)
            })
        });
        Ok(refused)
    }
}

impl Operation for AddNetwork {
    const NAME: &'static str = "networks.add";
    type View = NetworkView;

    fn perform(self, admin: &Admin<'_>) -> Result<NetworkView> {
        let group = find_group(admin, self.group)?;
        let network = Network {
            cidr: parse_cidr(&self.cidr)?,
            ability: self.ability,
            group: group.as_ref().map(|group| group.id),
        };
        let added = admin.store.access.add_network(&admin.actor, &network);
        added.map_err(|error| error.about("cidr"))?;
        Ok(NetworkView::new(network, group))
    }
}

impl Operation for ListNetworks {
    const NAME: &'static str = "networks.list";
    type View = Page<NetworkView>;

    fn perform(self, admin: &Admin<'_>) -> Result<Page<NetworkView>> {
        let access = &admin.store.access;
        let networks = access.networks()?.into_iter().map(|network| {
            let group = network.group.map(|id| access.group(id)).transpose()?;
            Ok(NetworkView::new(network, group.flatten()))
        });
        Ok(Page::of(networks.collect::<Result<_>>()?, self.window))
    }
}

impl Operation for RemoveNetwork {
    const NAME: &'static str = "networks.remove";
    type View = ();

    fn perform(self, admin: &Admin<'_>) -> Result<()> {
        let cidr = parse_cidr(&self.cidr)?;
        let group = find_group(admin, self.group)?.map(|group| group.id);
        let is_everywhere = group.is_none() && !self.mirror_only;
        let access = &admin.store.access;
        let mut removed = false;
        for network in access.networks()? {
            if network.cidr == cidr && (is_everywhere || network.group == group) {
                removed |= access.remove_network(&admin.actor, cidr, network.group)?;
            }
        }
        if removed {
            return Ok(());
        }
        let what = format!("{cidr} is not trusted there anyway");
        let missing = Error::new(Kind::NotFound, what).about("Network");
        Err(missing.remedy("see `breakwater network list`"))
    }
}

/// The group of that path; none for an empty path, which is how forms leave a field out.
fn find_group(admin: &Admin<'_>, path: Option<String>) -> Result<Option<Group>> {
    let path = path.filter(|path| !path.is_empty());
    path.map(|path| admin.group(&Named::Text(path))).transpose()
}

/// A network by its first address and its prefix. Host bits are refused: whoever writes
/// 10.1.2.3/8 may have meant one machine, and would trust sixteen million.
fn parse_cidr(text: &str) -> Result<IpNet> {
    let parsed = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let Ok(network) = parsed else {
        let what = format!("`{}` is no network", excerpt(text));
        let wrong = Error::new(Kind::Usage, what).about("cidr");
        return Err(wrong.remedy("write it as 10.1.0.0/16 or fd00::/8"));
    };
    if network.trunc() == network {
        return Ok(network);
    }
    let what = format!("{network} is an address inside of a network, not a network");
    Err(Error::new(Kind::Usage, what).about("cidr").remedy(format!(
        "write {} for the whole network, or {} for one machine",
        network.trunc(),
        network.addr()
    )))
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
