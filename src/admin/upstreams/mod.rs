//! Upstreams: those that the configuration names, which are only read here, and those that were added by command, for
//! the box or for a group and those below it.

mod client;
mod probe;
mod set;

pub use client::{check_upstream, configured_client};
pub use probe::{TestUpstream, TestedUpstream};
pub use set::SetUpstream;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Admin, Named, Operation};
use crate::auth::seal::{Owner, SealingKeys};
use crate::config::{Config, UpstreamConfig};
use crate::error::{Error, Kind, Result};
use crate::oci::RegistryHost;
use crate::proxy::{self, UpstreamState};
use crate::store::{Group, GroupId, NewUpstream, Page, Store, UpstreamId, UpstreamRow, Window};
use crate::time::Timestamp;
use crate::upstream::{BreakerState, Upstream};
use probe::probed;

/// Adds an upstream. `Debug` is missing, as it holds a password.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct AddUpstream {
    /// The word in paths and in `ns=`, such as quay.io.
    pub name: String,
    pub url: String,
    pub credentials: Option<Credentials>,
    /// For this group and those below it, by path; for the box where none is named.
    pub group: Option<String>,
    /// Further roots, as PEM.
    pub ca: Option<String>,
    pub auth_realm: Option<String>,
    pub allow_private_addresses: bool,
    /// Bytes of it that may be cached; none: no limit of its own.
    pub max_size: Option<u64>,
    /// Whether it is asked, once it is added, if it can be used so.
    #[serde(default)]
    pub probe: bool,
}

/// How the box logs in there. The password is sealed by whoever performs the operation.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Credentials {
    pub username: String,
    pub password: String,
}

/// Removes an upstream that was added by command; what was fetched from it stays cached.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RemoveUpstream {
    pub name: String,
    /// The group's instead of the box's, by path.
    pub group: Option<String>,
}

/// All upstreams as they were configured, with their breakers' states where a server runs.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListUpstreams {}

/// What a running server knows of its upstreams: of a group's own, or of all.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct UpstreamStates {
    #[serde(default)]
    #[schemars(skip)]
    pub group: Option<Named<GroupId>>,
    #[serde(default)]
    #[schemars(skip)]
    pub window: Window,
}

/// An upstream as it was configured.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "UpstreamSettings")]
#[serde(deny_unknown_fields)]
pub struct UpstreamView {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub id: Option<UpstreamId>,
    pub name: String,
    /// The path of the group that brings it; null for the box's.
    pub group: Option<String>,
    pub url: String,
    /// Empty where the box does not log in.
    pub username: String,
    pub auth_realm: Option<String>,
    pub has_ca: bool,
    pub allow_private_addresses: bool,
    /// Bytes of it that may be cached; null: no limit of its own.
    pub max_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Timestamp")]
    pub created_at: Option<Timestamp>,
    pub by_command: bool,
    /// Whether it stands in the configuration, which no operation changes.
    pub read_only: bool,
    /// Whether it is what the box has without a configuration: one of its name that is added takes its place.
    pub built_in: bool,
    /// Null where no server runs.
    pub breaker: Option<BreakerState>,
    /// What came of asking it, where it was just added or changed and asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TestedUpstream")]
    pub tested: Option<TestedUpstream>,
}

impl Operation for AddUpstream {
    const NAME: &'static str = "upstreams.add";
    type View = UpstreamView;

    fn perform(self, admin: &Admin<'_>) -> Result<UpstreamView> {
        let name = RegistryHost::parse(&self.name)?;
        if self.group.is_none() && is_configured(admin.config, &name) {
            return Err(configured(&name)
                .remedy("change it there and restart the server, or add it with --group"));
        }
        let store = admin.store;
        let group = find_group(admin, self.group)?;
        let id = group.as_ref().map(|group| group.id);
        let of_same_name =
            |row: &UpstreamRow| row.upstream.name == name && row.upstream.group == id;
        if store.access.upstreams()?.iter().any(of_same_name) {
            let what = format!("there is an upstream {name} already");
            return Err(Error::new(Kind::Conflict, what)
                .remedy("change it with `breakwater upstream set`, or remove it first"));
        }
        let mut upstream = NewUpstream {
            name,
            group: id,
            url: self.url.trim_end_matches('/').to_owned(),
            credentials: None,
            auth_realm: self.auth_realm,
            ca: self.ca,
            // Whoever configures the box chooses its network; a group's owner does not.
            allow_private_addresses: id.is_none() || self.allow_private_addresses,
            max_size: self.max_size,
        };
        if let Some(Credentials { username, password }) = self.credentials {
            // The client is made first, and only to hear what is wrong with the settings.
            upstream.credentials = Some((username.clone(), Vec::new()));
            check(&upstream, Some(&password))?;
            let owner = Owner::upstream(&upstream.name, id);
            let sealed = sealing_keys(store)?.seal(&owner, &password)?;
            upstream.credentials = Some((username, sealed));
        } else {
            check(&upstream, None)?;
        }
        let row = UpstreamRow {
            id: store.access.add_upstream(&admin.actor, &upstream)?,
            created_at: Timestamp::now(),
            upstream,
        };
        let path = group.map(|group| group.path);
        let tested = match self.probe {
            true => probed(admin, &row.upstream, path.as_deref())?,
            false => None,
        };
        Ok(UpstreamView {
            tested,
            ..UpstreamView::of_row(row, path)
        })
    }
}

impl Operation for RemoveUpstream {
    const NAME: &'static str = "upstreams.remove";
    type View = ();

    fn perform(self, admin: &Admin<'_>) -> Result<()> {
        let name = RegistryHost::parse(&self.name)?;
        let group = find_group(admin, self.group)?;
        let id = group.as_ref().map(|group| group.id);
        let access = &admin.store.access;
        if access.remove_upstream(&admin.actor, &name, id)? {
            return Ok(());
        }
        if id.is_none() && is_configured(admin.config, &name) {
            return Err(configured(&name).remedy("remove it there and restart the server"));
        }
        Err(unknown(
            &name,
            group.as_ref().map(|group| group.path.as_str()),
        ))
    }
}

impl Operation for ListUpstreams {
    const NAME: &'static str = "upstreams.list";
    type View = Vec<UpstreamView>;

    fn perform(self, admin: &Admin<'_>) -> Result<Vec<UpstreamView>> {
        let access = &admin.store.access;
        let (_, filesystem) = admin.store.blobs.space()?;
        let mut views: Vec<_> = admin
            .config
            .upstreams
            .iter()
            .map(|upstream| UpstreamView::of(upstream, admin.config, filesystem))
            .collect();
        let rows = access.upstreams()?;
        views.retain(|view| {
            let takes_its_place = |row: &UpstreamRow| {
                row.upstream.group.is_none() && row.upstream.name.as_str() == view.name
            };
            !(view.built_in && rows.iter().any(takes_its_place))
        });
        let groups = access.groups()?;
        let path = |id: GroupId| {
            let group = groups.iter().find(|group| group.id == id);
            group.map(|group| group.path.clone())
        };
        for row in rows {
            let path = row.upstream.group.and_then(path);
            views.push(UpstreamView::of_row(row, path));
        }
        let states = admin.server.map(|server| server.upstreams()).transpose()?;
        let states = states.unwrap_or_default();
        for view in &mut views {
            let is = |state: &&UpstreamState| {
                state.status.name == view.name
                    && state.group == view.group
                    && state.by_command == view.by_command
            };
            view.breaker = states.iter().find(is).map(|state| state.status.breaker);
        }
        Ok(views)
    }
}

impl Operation for UpstreamStates {
    const NAME: &'static str = "upstreams.states";
    type View = Page<UpstreamState>;

    fn perform(self, admin: &Admin<'_>) -> Result<Page<UpstreamState>> {
        let Some(server) = admin.server else {
            let what = format!(
                "no server runs on {}: only a running one knows how upstreams are",
                admin.config.data.display()
            );
            return Err(Error::new(Kind::NotFound, what).remedy("start it with `breakwater serve`"));
        };
        let mut states = server.upstreams()?;
        if let Some(group) = &self.group {
            let path = admin.group(group)?.path;
            states.retain(|state| state.group.as_ref() == Some(&path));
        }
        Ok(Page::of(states, self.window))
    }
}

impl UpstreamView {
    /// One that stands in the configuration.
    pub fn of(upstream: &UpstreamConfig, config: &Config, filesystem: u64) -> Self {
        Self {
            id: None,
            name: upstream.name.to_string(),
            group: None,
            url: upstream.url.clone(),
            username: upstream.username.clone(),
            auth_realm: upstream.auth_realm.clone(),
            has_ca: upstream.ca.is_some(),
            allow_private_addresses: true,
            max_size: upstream.max_size.limit(filesystem),
            created_at: None,
            by_command: false,
            read_only: true,
            built_in: config.built_in_upstream() == Some(&upstream.name),
            breaker: None,
            tested: None,
        }
    }

    fn of_row(row: UpstreamRow, group: Option<String>) -> Self {
        let upstream = row.upstream;
        Self {
            id: Some(row.id),
            name: upstream.name.to_string(),
            group,
            url: upstream.url,
            username: upstream
                .credentials
                .map(|(name, _)| name)
                .unwrap_or_default(),
            auth_realm: upstream.auth_realm,
            has_ca: upstream.ca.is_some(),
            allow_private_addresses: upstream.allow_private_addresses,
            max_size: upstream.max_size,
            created_at: Some(row.created_at),
            by_command: true,
            read_only: false,
            built_in: false,
            breaker: None,
            tested: None,
        }
    }
}

/// The keys to seal with. A new one is made only where nothing was sealed before: beside what nothing opens any
/// more it would hide that the old one is gone.
pub(super) fn sealing_keys(store: &Store) -> Result<SealingKeys> {
    let has_password = |row: &UpstreamRow| row.upstream.credentials.is_some();
    let is_first = !store.access.upstreams()?.iter().any(has_password)
        && store.access.external_registries()?.is_empty()
        && store.access.webhooks()?.is_empty();
    if is_first {
        SealingKeys::find_or_make(store.directory())
    } else {
        SealingKeys::find(store.directory())
    }
}

/// Whether a client can be made of it.
fn check(upstream: &NewUpstream, password: Option<&str>) -> Result<()> {
    let settings = proxy::settings(upstream, password.map(str::to_owned));
    Upstream::new(settings, Arc::new(AtomicBool::new(true))).map(drop)
}

fn find_group(admin: &Admin<'_>, path: Option<String>) -> Result<Option<Group>> {
    path.map(|path| admin.group(&Named::Text(path))).transpose()
}

/// Whether a source of the configuration names it.
fn is_configured(config: &Config, name: &RegistryHost) -> bool {
    let is_named = config.upstreams.iter().any(|one| one.name == *name);
    is_named && config.built_in_upstream() != Some(name)
}

fn unknown(name: &RegistryHost, group: Option<&str>) -> Error {
    let whose = group.map_or_else(|| "this box".to_owned(), |path| format!("group {path}"));
    let what = format!("{whose} has no upstream {name} of its own");
    let error = Error::new(Kind::NotFound, what).about("Upstream");
    error.remedy("see `breakwater upstream list`, or add it with `breakwater upstream add`")
}

fn configured(name: &RegistryHost) -> Error {
    let what = format!("the upstream {name} is the configuration's, which commands only read");
    Error::new(Kind::Conflict, what)
}
