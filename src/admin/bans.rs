//! Bans after too many failed logins. They live in the memory of the running server, and end with it.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Admin, Operation};
use crate::auth::bans::{Ban, FailureKey, machine, shown};
use crate::error::{Error, Kind, Result, excerpt};
use crate::store::{Event, EventKind, Page, Store, Window};
use crate::time::Timestamp;
use crate::words::words;

/// All bans, the newest last
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListBans {
    #[serde(default)]
    #[schemars(skip)]
    pub window: Window,
}

/// Let an address, or a user with the password, log in again; the failures that led to the ban are forgotten
#[derive(Debug, Serialize, Deserialize, JsonSchema, clap::Args)]
#[command(after_help = "\
Examples:
  breakwater ban remove 10.1.2.3
  breakwater ban remove 2001:db8:1:2::/64
  breakwater ban remove alice")]
pub struct RemoveBan {
    /// As `ban list` shows it; of IPv6 also any address of the network
    #[arg(value_name = "ADDRESS|USER")]
    #[schemars(skip)]
    pub name: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Ban")]
#[serde(deny_unknown_fields)]
pub struct BanView {
    pub kind: BannedKind,
    /// An IPv4 address, or an IPv6 network of 64 bits; null for a user
    pub address: Option<String>,
    /// Null for an address, and for a name that is no user's: people type passwords there
    pub username: Option<String>,
    pub failed_logins: u32,
    pub banned_at: Timestamp,
    pub ends_at: Timestamp,
}

words! {
    "snake_case"
    pub enum BannedKind { Address, User }
}

impl BanView {
    fn new(store: &Store, ban: Ban) -> Result<Self> {
        let (kind, address, username) = match ban.of {
            FailureKey::Address(network) => (BannedKind::Address, Some(shown(&network)), None),
            FailureKey::Account(name) => {
                let user = store.access.user_by_name(&name)?;
                (BannedKind::User, None, user.map(|user| user.name))
            }
        };
        Ok(Self {
            kind,
            address,
            username,
            failed_logins: ban.failures,
            banned_at: ban.since,
            ends_at: ban.until,
        })
    }

    /// Whom it is about, for people.
    pub fn of(&self) -> &str {
        let name = self.address.as_deref().or(self.username.as_deref());
        name.unwrap_or("(no user's name)")
    }
}

impl Operation for ListBans {
    const NAME: &'static str = "bans.list";
    type View = Page<BanView>;

    fn perform(self, admin: &Admin<'_>) -> Result<Page<BanView>> {
        let bans = admin.server.map(|server| server.bans()).unwrap_or_default();
        Page::of(bans, self.window).try_map(|ban| BanView::new(admin.store, ban))
    }
}

impl Operation for RemoveBan {
    const NAME: &'static str = "bans.remove";
    type View = ();

    fn perform(self, admin: &Admin<'_>) -> Result<()> {
        let lifted = admin.server.and_then(|server| server.lift_ban(&self.name));
        let event = Event::new(EventKind::BanLifted);
        let event = match lifted {
            Some(FailureKey::Address(network)) => event.subject("address", &shown(&network), None),
            Some(FailureKey::Account(name)) => match admin.store.access.user_by_name(&name)? {
                Some(user) => event
                    .subject("user", &user.name, Some(user.id.0))
                    .user(Some((&user.name, user.id))),
                None => event,
            },
            None => {
                let what = match admin.server {
                    Some(_) => format!("`{}` is not banned", excerpt(&self.name)),
                    None => "no server runs here, and bans end with it".to_owned(),
                };
                let missing = Error::new(Kind::NotFound, what).about("Ban");
                let network = self.name.parse::<IpNet>().ok();
                let remedy = match network.filter(|network| machine(*network).is_none()) {
                    Some(_) => {
                        "name one address, or an IPv6 network of 64 bits, as `breakwater ban list` shows it"
                    }
                    None => "see `breakwater ban list`",
                };
                return Err(missing.remedy(remedy));
            }
        };
        admin.store.audit.record(&admin.actor, &event);
        Ok(())
    }
}
