//! Asking an upstream whether it can be used as it is configured.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::configured_client;
use crate::admin::{Admin, Named, Operation};
use crate::error::Result;
use crate::oci::RegistryHost;
use crate::proxy;
use crate::store::{GroupId, NewUpstream, UpstreamRow};
use crate::upstream::Upstream;

/// How long an upstream may think about it, dance included.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks an upstream a question that costs no pull: over new connections, and with a new login.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct TestUpstream {
    #[schemars(skip)]
    pub name: String,
    /// The group's instead of the box's
    #[schemars(skip)]
    pub group: Option<Named<GroupId>>,
}

/// What came of asking an upstream.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestedUpstream {
    pub name: String,
    /// The path of the group that brings it; null: the box's
    pub group: Option<String>,
    pub url: String,
    /// Whether it can be used as it is configured
    pub ok: bool,
    /// What it said, or what is wrong
    pub message: String,
    /// What to do about it
    pub remedy: Option<String>,
    pub milliseconds: u64,
}

impl Operation for TestUpstream {
    const NAME: &'static str = "upstreams.test";
    type View = TestedUpstream;

    fn perform(self, admin: &Admin<'_>) -> Result<TestedUpstream> {
        admin.refuse_offline("no upstream is asked")?;
        let name = RegistryHost::parse(&self.name)?;
        let group = self.group.map(|group| admin.group(&group)).transpose()?;
        let id = group.as_ref().map(|group| group.id);
        let path = group.map(|group| group.path);
        let of_same_name =
            |row: &UpstreamRow| row.upstream.name == name && row.upstream.group == id;
        let rows = admin.store.access.upstreams()?;
        let configured = admin.config.upstreams.iter().find(|one| one.name == name);
        let is_built_in = admin.config.built_in_upstream() == Some(&name);
        let row = rows.iter().find(|row| of_same_name(row));
        match (row, configured) {
            (Some(row), configured) if id.is_some() || is_built_in || configured.is_none() => {
                tested(admin, &row.upstream, path.as_deref())
            }
            (_, Some(configured)) if id.is_none() => {
                let offline = Arc::new(AtomicBool::new(false));
                let client = configured_client(admin.store, configured, &offline);
                Ok(asked(client, &name, &configured.url, None))
            }
            _ => Err(super::unknown(&name, path.as_deref())),
        }
    }
}

/// What came of asking an upstream that was added or changed; nothing where the box is offline.
pub(super) fn probed(
    admin: &Admin<'_>,
    upstream: &NewUpstream,
    group: Option<&str>,
) -> Result<Option<TestedUpstream>> {
    if admin.is_offline()? {
        return Ok(None);
    }
    tested(admin, upstream, group).map(Some)
}

fn tested(
    admin: &Admin<'_>,
    upstream: &NewUpstream,
    group: Option<&str>,
) -> Result<TestedUpstream> {
    let offline = Arc::new(AtomicBool::new(false));
    let client = proxy::client_of(admin.store, upstream, &offline);
    Ok(asked(client, &upstream.name, &upstream.url, group))
}

fn asked(
    client: Result<Upstream>,
    name: &RegistryHost,
    url: &str,
    group: Option<&str>,
) -> TestedUpstream {
    let begun = Instant::now();
    let (ok, message, remedy) = match client.as_ref().map(|client| client.probe(PATIENCE)) {
        Ok(Ok(())) => {
            let logs_in = client.as_ref().is_ok_and(Upstream::has_credentials);
            let message = match logs_in {
                true => format!("{name} answers, and takes the username and password"),
                false => format!("{name} answers"),
            };
            (true, message, None)
        }
        Ok(Err(fault)) => (false, fault.message, fault.remedy),
        Err(error) => (
            false,
            error.what_and_why(),
            error.remedy_text().map(str::to_owned),
        ),
    };
    TestedUpstream {
        name: name.to_string(),
        group: group.map(str::to_owned),
        url: url.to_owned(),
        ok,
        message,
        remedy,
        milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}
