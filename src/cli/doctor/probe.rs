//! `doctor --probe`: asks every upstream one free question, whether a server runs or not. Without it the
//! doctor connects to nobody.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::{Finding, Severity};
use crate::cli::workplace::Workplace;
use crate::error::Result;
use crate::oci::{Reference, RepositoryName};
use crate::proxy::UpstreamClient;
use crate::server;
use crate::store::Store;
use crate::upstream::{FaultKind, Upstream};

/// For each upstream, dance included; they are asked at the same time.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn find(place: &Workplace, store: &Arc<Store>) -> Result<Vec<Finding>> {
    if place.config.offline || store.is_offline()? {
        // Which is told in any case.
        return Ok(Vec::new());
    }
    let offline = Arc::new(AtomicBool::new(false));
    let clients = server::upstreams(&place.config, store, &offline)?.clients()?;
    Ok(std::thread::scope(|scope| {
        let asked: Vec<_> = clients
            .iter()
            .map(|client| scope.spawn(move || of_client(client)))
            .collect();
        let findings = asked.into_iter().filter_map(|thread| thread.join().ok());
        findings.flatten().collect()
    }))
}

fn of_client(client: &UpstreamClient) -> Option<Finding> {
    let name = match &client.group {
        Some(group) => format!("{} of {group}", client.name),
        None => client.name.clone(),
    };
    let what = match &client.upstream {
        Ok(upstream) => format!("the upstream {name} was asked: {}", complaint(upstream)?),
        Err(why) => format!("the upstream {name} cannot be used: {why}"),
    };
    Some(Finding::new(
        Severity::Error,
        "upstream_unreachable",
        what,
        "check its URL, its username and password, the proxy variables, and the way to it",
    ))
}

/// What is wrong with it. HEAD of a manifest is free at Docker Hub, and that nobody has this one is a good
/// answer; so is a registry's that it tells strangers nothing of it, unless it refuses the password.
fn complaint(upstream: &Upstream) -> Option<String> {
    let repository = RepositoryName::parse("breakwater/probe").ok()?;
    let reference = Reference::parse("latest").ok()?;
    let fault = upstream
        .head_manifest(&repository, &reference, PATIENCE)
        .err()?;
    match fault.kind {
        FaultKind::NotFound | FaultKind::MethodNotAllowed => None,
        FaultKind::Denied if !fault.refuses_credentials() => None,
        _ => Some(fault.message),
    }
}
