//! `doctor --probe`: asks every upstream one free question, whether a server runs or not. Without it the
//! doctor connects to nobody.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::{Finding, Severity, upstream_subject};
use crate::cli::workplace::Workplace;
use crate::error::Result;
use crate::proxy::UpstreamClient;
use crate::server;
use crate::store::Store;

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
    let (what, remedy) = match &client.upstream {
        Ok(upstream) => {
            let fault = upstream.probe(PATIENCE).err()?;
            let what = format!("the upstream {name} was asked: {}", fault.message);
            (what, fault.remedy)
        }
        Err(why) => (format!("the upstream {name} cannot be used: {why}"), None),
    };
    let remedy = remedy
        .unwrap_or_else(|| "check its URL, the proxy variables, and the way to it".to_owned());
    Some(Finding::new(
        Severity::Error,
        "upstream_unreachable",
        what,
        remedy,
    ))
    .map(|finding| finding.about(upstream_subject(&client.name, client.group.as_deref())))
}
