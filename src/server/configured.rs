//! The upstreams of the configuration and of the store.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::admin::configured_client;
use crate::config::Config;
use crate::error::Result;
use crate::proxy::Upstreams;
use crate::store::Store;

/// The upstreams of the configuration and of the store. `offline` tells their clients that no connection may
/// leave the box.
///
/// # Errors
/// `Config` for an upstream of the configuration that cannot be used, `Io` for its password file.
pub fn upstreams(
    config: &Config,
    store: &Arc<Store>,
    offline: &Arc<AtomicBool>,
) -> Result<Upstreams> {
    let configured = config.upstreams.iter();
    let configured = configured
        .map(|upstream| configured_client(store, upstream, offline))
        .collect::<Result<Vec<_>>>()?;
    let default = config.mirror.default.clone();
    let (store, offline) = (Arc::clone(store), Arc::clone(offline));
    let upstreams = Upstreams::new(store, configured, default, offline);
    Ok(match config.built_in_upstream() {
        Some(name) => upstreams.with_built_in(name.clone()),
        None => upstreams,
    })
}
