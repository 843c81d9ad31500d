//! Changing an upstream that was added by command.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::probe::probed;
use super::{UpstreamView, check, is_configured, sealing_keys, unknown};
use crate::admin::caller::forbidden_because;
use crate::admin::{Admin, Named, Operation};
use crate::auth::seal::Owner;
use crate::error::{Error, Kind, Result};
use crate::oci::RegistryHost;
use crate::store::{GroupId, NewUpstream, UpstreamRow};

/// Changes an upstream that was added by command. `Debug` is missing, as it holds a password.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
pub struct SetUpstream {
    #[schemars(skip)]
    pub name: String,
    /// The group's instead of the box's
    #[schemars(skip)]
    pub group: Option<Named<GroupId>>,
    /// Where it is, such as https://quay.io
    pub url: Option<String>,
    /// How the box logs in there, with a password; empty: not at all
    pub username: Option<String>,
    /// Stored encrypted; to be given anew where url, auth_realm or ca change
    pub password: Option<String>,
    /// A token server on another host that may get the credentials; empty: none
    pub auth_realm: Option<String>,
    /// Further roots, as PEM; empty: none
    pub ca: Option<String>,
    /// Whether it may resolve to loopback, link-local and private addresses; for administrators
    pub allow_private_addresses: Option<bool>,
    /// Bytes of it that may be cached; 0: no limit of its own
    pub max_size: Option<u64>,
    /// Whether it is asked afterwards if it can be used so; it is unless this is false
    pub probe: Option<bool>,
}

impl Operation for SetUpstream {
    const NAME: &'static str = "upstreams.set";
    type View = UpstreamView;

    fn perform(self, admin: &Admin<'_>) -> Result<UpstreamView> {
        let name = RegistryHost::parse(&self.name)?;
        let group = self.group.as_ref().map(|group| admin.group(group));
        let group = group.transpose()?;
        let id = group.as_ref().map(|group| group.id);
        let path = group.map(|group| group.path);
        let (probe, changed) = (self.probe != Some(false), self.changed());
        let access = &admin.store.access;
        // Where somebody else changes it meanwhile, it is judged and changed again as it is then.
        let (before, upstream) = loop {
            let before = find(admin, &name, id, path.as_deref())?;
            self.judge(admin, &before.upstream)?;
            if changed.is_empty() {
                return Err(Error::new(Kind::Usage, "nothing is to be changed")
                    .remedy("name what is, such as url=https://quay.io"));
            }
            let upstream = self.applied(admin, &before.upstream)?;
            if access.set_upstream(&admin.actor, &before, &upstream, &changed)? {
                break (before, upstream);
            }
        };
        let tested = match probe {
            true => probed(admin, &upstream, path.as_deref())?,
            false => None,
        };
        let row = UpstreamRow { upstream, ..before };
        Ok(UpstreamView {
            tested,
            ..UpstreamView::of_row(row, path)
        })
    }
}

fn find(
    admin: &Admin<'_>,
    name: &RegistryHost,
    group: Option<GroupId>,
    path: Option<&str>,
) -> Result<UpstreamRow> {
    let rows = admin.store.access.upstreams()?;
    let is_it = |row: &UpstreamRow| row.upstream.name == *name && row.upstream.group == group;
    match rows.into_iter().find(is_it) {
        Some(row) => Ok(row),
        None if group.is_none() && is_configured(admin.config, name) => {
            Err(super::configured(name).remedy("change it there and restart the server"))
        }
        None => Err(unknown(name, path)),
    }
}

impl SetUpstream {
    /// The fields that are given, for the audit.
    fn changed(&self) -> Vec<String> {
        let given = [
            ("url", self.url.is_some()),
            ("username", self.username.is_some()),
            ("password", self.password.is_some()),
            ("auth_realm", self.auth_realm.is_some()),
            ("ca", self.ca.is_some()),
            (
                "allow_private_addresses",
                self.allow_private_addresses.is_some(),
            ),
            ("max_size", self.max_size.is_some()),
        ];
        let given = given.into_iter().filter(|(_, is_given)| *is_given);
        given.map(|(field, _)| field.to_owned()).collect()
    }

    /// A group's owner chooses neither the network that the box reaches, nor where a password goes that somebody else
    /// gave it; the latter nobody does by changing another thing alone (`applied`).
    fn judge(&self, admin: &Admin<'_>, before: &NewUpstream) -> Result<()> {
        if admin.caller.is_administrator() {
            return Ok(());
        }
        if self.allow_private_addresses.is_some() {
            let why = "only administrators of the box choose whether private addresses are reached";
            return Err(forbidden_because(why));
        }
        let goes_elsewhere = self.url.is_some() || self.auth_realm.is_some() || self.ca.is_some();
        if goes_elsewhere && before.allow_private_addresses {
            let why =
                "it may reach private addresses, so only administrators of the box say where it is";
            return Err(forbidden_because(why));
        }
        let has_new_password = self.password.is_some() || self.username.as_deref() == Some("");
        if goes_elsewhere && before.credentials.is_some() && !has_new_password {
            let why = "whoever says where it is, or who proves to be it, gives its password too";
            return Err(forbidden_because(why));
        }
        Ok(())
    }

    fn applied(&self, admin: &Admin<'_>, before: &NewUpstream) -> Result<NewUpstream> {
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        let mut upstream = before.clone();
        if let Some(url) = &self.url {
            upstream.url = url.trim_end_matches('/').to_owned();
        }
        if let Some(realm) = &self.auth_realm {
            upstream.auth_realm = given(realm);
        }
        if let Some(ca) = &self.ca {
            upstream.ca = given(ca);
        }
        if let Some(most) = self.max_size {
            upstream.max_size = (most > 0).then_some(most);
        }
        if let Some(allow) = self.allow_private_addresses {
            if upstream.group.is_none() && !allow {
                let what = "the box's own upstreams reach private addresses";
                return Err(Error::new(Kind::Usage, what)
                    .remedy("add it for a group, with `breakwater upstream add --group`")
                    .about("allow_private_addresses"));
            }
            upstream.allow_private_addresses = allow;
        }
        let moves = (&upstream.url, &upstream.auth_realm, &upstream.ca)
            != (&before.url, &before.auth_realm, &before.ca);
        let known = upstream.credentials.as_ref().map(|(name, _)| name.clone());
        let is_other = self.username.is_some() && self.username != known;
        let username = self.username.as_ref().or(known.as_ref()).and_then(given);
        match (username, &self.password) {
            (None, None) => {
                upstream.credentials = None;
                check(&upstream, None)?;
            }
            (None, Some(_)) => {
                return Err(Error::new(Kind::Usage, "a password alone is no login")
                    .remedy("give its username too")
                    .about("username"));
            }
            (Some(_), None) if is_other => {
                return Err(
                    Error::new(Kind::Usage, "another username has another password")
                        .remedy(
                            "give it too, as `password` (on the command line `--password-stdin`)",
                        )
                        .about("password"),
                );
            }
            // The sealed one stays as it is.
            (Some(_), None) => {
                check(&upstream, Some(""))?;
                if moves {
                    let what = "its password would go to another place, or to whoever proves to be it in another way";
                    return Err(Error::new(Kind::Usage, what)
                        .remedy("give the password anew, as `password` (on the command line `--password-stdin`), or end the login first, with an empty `username`")
                        .about("password"));
                }
            }
            (Some(username), Some(password)) => {
                // The client is made first, and only to hear what is wrong with the settings.
                upstream.credentials = Some((username.clone(), Vec::new()));
                check(&upstream, Some(password))?;
                let owner = Owner::upstream(&upstream.name, upstream.group);
                let sealed = sealing_keys(admin.store)?.seal(&owner, password)?;
                upstream.credentials = Some((username, sealed));
            }
        }
        Ok(upstream)
    }
}
