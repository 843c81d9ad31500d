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
    let mut findings = vec![Finding::new(
        Severity::Note,
        "offline",
        "the box is offline on purpose: no upstream is asked",
        remedy,
    )];
    let outside = server.map_or_else(Vec::new, points_outside);
    if !outside.is_empty() {
        findings.push(Finding::new(
            Severity::Note,
            "points_outside",
            format!(
                "what is configured still points outside, and is not asked: {}",
                outside.join(", ")
            ),
            "nothing has to be done: the names are needed for what is imported from there",
        ));
    }
    let webhooks = store.access.webhooks()?;
    let told = webhooks.iter().filter(|row| row.webhook.enabled);
    let told: Vec<_> = told.map(|row| row.webhook.origin()).collect();
    if !told.is_empty() {
        findings.push(Finding::new(
            Severity::Note,
            "points_outside",
            format!(
                "webhooks are not delivered while the box is offline, and their events are dropped after a day: {}",
                told.join(", ")
            ),
            "switch them off with `breakwater webhook set ID --enabled false` if that is for good",
        ));
    }
    Ok(findings)
}

/// The upstreams, each with its URL.
fn points_outside(server: &RunningServer) -> Vec<String> {
    let upstreams = server.upstreams.iter();
    let shown = upstreams.map(|upstream| match &upstream.group {
        Some(group) => format!(
            "{} of {group} ({})",
            upstream.status.name, upstream.status.url
        ),
        None => format!("{} ({})", upstream.status.name, upstream.status.url),
    });
    shown.collect()
}
