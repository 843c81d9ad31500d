//! The clients of the upstreams that stand in the configuration, with their passwords read from their files.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::config::UpstreamConfig;
use crate::error::{Error, Result};
use crate::proxy;
use crate::store::Store;
use crate::upstream::{Ca, Credentials, Settings, Timeouts, Upstream};

/// The client of a configured upstream. `offline` tells it that no connection may leave the box.
///
/// # Errors
/// `Config` for one that cannot be used, `Io` for its password file.
pub fn configured_client(
    store: &Store,
    config: &UpstreamConfig,
    offline: &Arc<AtomicBool>,
) -> Result<Upstream> {
    proxy::keyed(store, client(config, offline)?)
}

/// Whether a server could use the upstream: its password file, its further roots, its URL.
///
/// # Errors
/// `Config` where it cannot be used, `Io` for its files.
pub fn check_upstream(config: &UpstreamConfig) -> Result<()> {
    client(config, &Arc::default()).map(drop)
}

fn client(config: &UpstreamConfig, offline: &Arc<AtomicBool>) -> Result<Upstream> {
    let password = match &config.password_file {
        Some(path) => read_password(path)?,
        None => String::new(),
    };
    let credentials = (!config.username.is_empty()).then(|| Credentials {
        username: config.username.clone(),
        password,
    });
    let settings = Settings {
        name: config.name.clone(),
        url: config.url.clone(),
        credentials,
        auth_realm: config.auth_realm.clone(),
        ca: config.ca.clone().map(Ca::File),
        allow_private_addresses: true,
        timeouts: Timeouts::default(),
    };
    Upstream::new(settings, Arc::clone(offline))
}

fn read_password(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::io("cannot read the upstream's password file", path, error)
            .remedy("check `password_file` and its owner")
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
