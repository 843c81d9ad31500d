//! Whether other machines can pull through the box as it listens: whom the mirror refused, whether it could let anybody
//! in, and whether what is sent to it can be read on the way.

use std::net::SocketAddr;

use super::machine::listening;
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
    let mut findings = Vec::new();
    let refused = server.map_or(&[][..], |server| &server.refused_networks);
    findings.extend(refused.iter().map(|refused| {
        let what = format!(
            "{} asked the mirror for {} without a login, last at {}, and no network rule lets {} in: its clients pull past this box",
            refused.address, refused.image, refused.last_at, refused.cidr
        );
        Finding::new(
            Severity::Warning,
            "network_refused",
            what,
            refused.remedy(),
        )
    }));
    let beyond: Vec<(String, SocketAddr)> = listening(place, server)
        .into_iter()
        .filter(|(_, address)| !address.ip().to_canonical().is_loopback())
        .collect();
    // A proxy ends TLS, and names the clients.
    let has_proxies = !place.config.server.trusted_proxies.is_empty();
    if refused.is_empty() && (!beyond.is_empty() || has_proxies) {
        findings.extend(nobody_trusted(place, store)?);
    }
    if !has_proxies {
        findings.extend(plain_http(&beyond));
    }
    Ok(findings)
}

/// The box listens to other machines, and its mirror is for this one alone.
fn nobody_trusted(place: &Workplace, store: &Store) -> Result<Option<Finding>> {
    if !place.config.mirror.enabled {
        return Ok(None);
    }
    let mirror = store.access.group_by_path(&place.config.mirror.group)?;
    let mirror = mirror.map(|group| group.id);
    let is_for_others = store.access.networks()?.iter().any(|rule| {
        let is_of_mirror = rule.group.is_none() || rule.group == mirror;
        is_of_mirror && !rule.cidr.addr().to_canonical().is_loopback()
    });
    if is_for_others {
        return Ok(None);
    }
    Ok(Some(Finding::new(
        Severity::Warning,
        "no_network_trusted",
        "this box listens to other machines, and its mirror lets none of them in: docker there pulls past it",
        "`breakwater network add CIDR --ability fill` lets the network of the clients in; where all of them log in, set enabled = false in [mirror]",
    )))
}

/// Passwords, tokens and images are sent for all to read.
fn plain_http(beyond: &[(String, SocketAddr)]) -> Option<Finding> {
    let (_, address) = beyond.iter().find(|(scheme, _)| scheme == "http")?;
    let what = format!(
        "other machines reach this box by plain HTTP at {address}: who is on the way can read passwords and change images, and docker logs in there only where it is among insecure-registries"
    );
    let has_tls = beyond.iter().any(|(scheme, _)| scheme == "https");
    let (severity, remedy) = match has_tls {
        true => (
            Severity::Note,
            "let server.listen have loopback addresses alone, if all clients can use TLS",
        ),
        false => (
            Severity::Warning,
            "make a certificate with `breakwater tls self-signed`, and serve it at tls.listen",
        ),
    };
    Some(Finding::new(severity, "plain_http", what, remedy))
}
