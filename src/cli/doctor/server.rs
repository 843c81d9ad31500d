//! What the running server says of itself, asked once for all checks: one that hangs costs the doctor a few
//! seconds, and is a finding.

use std::time::Duration;

use super::{Finding, Severity};
use crate::admin::{BanView, ListBans, ListRefusedNetworks, RefusedNetworkView, UpstreamStates};
use crate::cli::workplace::Workplace;
use crate::control::Status;
use crate::error::Result;
use crate::proxy::UpstreamState;

/// For each answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Its answers.
pub(super) struct RunningServer {
    pub(super) status: Status,
    pub(super) upstreams: Vec<UpstreamState>,
    pub(super) refused_networks: Vec<RefusedNetworkView>,
    pub(super) bans: Vec<BanView>,
}

/// The server that runs here, or what there is to say of there being none that answers.
pub(super) fn ask(place: &Workplace) -> std::result::Result<RunningServer, Finding> {
    match answers(place) {
        Ok(Some(server)) => Ok(server),
        Ok(None) => Err(Finding::new(
            Severity::Note,
            "no_server",
            "no server runs: whether upstreams answer is not known",
            "start it with `breakwater serve`",
        )),
        Err(error) => Err(Finding::new(
            Severity::Error,
            "server_silent",
            error.what_and_why(),
            error
                .remedy_text()
                .unwrap_or("look at its log, and start it again"),
        )),
    }
}

fn answers(place: &Workplace) -> Result<Option<RunningServer>> {
    let Some(server) = place.running_server()? else {
        return Ok(None);
    };
    let server = server.with_patience(PATIENCE);
    Ok(Some(RunningServer {
        status: server.status()?,
        upstreams: place.ask(&server, &UpstreamStates::default())?.entries,
        refused_networks: place.ask(&server, &ListRefusedNetworks::default())?,
        bans: place.ask(&server, &ListBans::default())?.entries,
    }))
}
