//! Whether the box is cut off from its upstreams: on purpose, but good to know where an image does not come.

use super::server::RunningServer;
use super::{Finding, Severity};
use crate::cli::workplace::Workplace;
use crate::error::Result;
use crate::store::Store;

pub(super) fn find(
    place: &Workplace,
    store: &Store,
    server: Option<&RunningServer>,
) -> Result<Vec<Finding>> {
    let by_command = store.is_offline()?;
    let is_offline = match server {
        Some(server) => server.status.offline,
        None => by_command || place.config.offline,
    };
    if !is_offline {
        return Ok(Vec::new());
    }
    let remedy = match by_command {
        true => "`breakwater offline off` ends that",
        false => "set `offline = false` in the configuration, and restart the server",
    };
    Ok(vec![Finding::new(
        Severity::Note,
        "offline",
        "the box is offline on purpose: no upstream is asked",
        remedy,
    )])
}
