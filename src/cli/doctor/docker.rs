//! The docker daemon on this machine: whether it uses the box that runs beside it.

use std::net::SocketAddr;

use serde_json::Value;

use super::{Finding, Severity};
use crate::cli::workplace::Workplace;

/// Where docker reads its settings.
const FILE: &str = "/etc/docker/daemon.json";

pub(super) fn find(place: &Workplace) -> Option<Finding> {
    if !place.config.mirror.enabled {
        return None;
    }
    let text = std::fs::read_to_string(FILE).ok()?;
    let server = &place.config.server;
    of_settings(&text, &server.listen, &server.external_url)
}

fn of_settings(text: &str, listen: &[SocketAddr], external_url: &str) -> Option<Finding> {
    let own = match (external_url, listen.first()) {
        ("", Some(address)) => format!("http://{address}"),
        (url, _) => url.to_owned(),
    };
    let remedy = format!(
        "put {{\"registry-mirrors\": [\"{own}\"]}} into {FILE} and restart docker, if it shall pull through this box"
    );
    let finding =
        |severity, check, what: String| Some(Finding::new(severity, check, what, remedy.clone()));
    let Ok(settings) = serde_json::from_str::<Value>(text) else {
        let what = format!("{FILE} is no JSON: docker will not start with it");
        return finding(Severity::Warning, "docker_settings", what);
    };
    let mirrors: Vec<&str> = settings["registry-mirrors"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if mirrors.is_empty() {
        let what = "docker on this machine uses no mirror".to_owned();
        return finding(Severity::Note, "docker_without_mirror", what);
    }
    if mirrors
        .iter()
        .any(|mirror| is_here(mirror, listen, external_url))
    {
        return None;
    }
    let what = format!(
        "docker on this machine pulls through {}, which is not this box",
        mirrors.join(", ")
    );
    finding(Severity::Warning, "docker_elsewhere", what)
}

/// Whether a mirror's URL leads to one of the box's addresses.
fn is_here(mirror: &str, listen: &[SocketAddr], external_url: &str) -> bool {
    let mirror = mirror.trim_end_matches('/');
    if !external_url.is_empty() && mirror == external_url.trim_end_matches('/') {
        return true;
    }
    let Some((_, authority)) = mirror.split_once("://") else {
        return false;
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, port.parse().ok()),
        _ => (authority, None),
    };
    let host = host.trim_matches(['[', ']']);
    listen.iter().any(|address| {
        let is_port = port == Some(address.port());
        let is_loopback = host == "localhost" && address.ip().is_loopback();
        // Of a box that listens everywhere every name may be its own.
        is_port
            && (address.ip().is_unspecified() || is_loopback || host == address.ip().to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_this_box_or_another() {
        let loopback: &[SocketAddr] = &["127.0.0.1:5000".parse().unwrap()];
        let everywhere: &[SocketAddr] = &["0.0.0.0:5000".parse().unwrap()];
        let external = "https://cache.example";
        let mirrors = |url: &str| format!(r#"{{"registry-mirrors": ["{url}"]}}"#);
        for (text, listen, external_url, expected) in [
            ("{}".to_owned(), loopback, "", Some("docker_without_mirror")),
            ("{".to_owned(), loopback, "", Some("docker_settings")),
            (mirrors("http://127.0.0.1:5000"), loopback, "", None),
            (mirrors("http://localhost:5000/"), loopback, "", None),
            (
                mirrors("http://127.0.0.1:5001"),
                loopback,
                "",
                Some("docker_elsewhere"),
            ),
            (
                mirrors("https://mirror.gcr.io"),
                loopback,
                "",
                Some("docker_elsewhere"),
            ),
            (mirrors("http://cache.lan:5000"), everywhere, "", None),
            (mirrors("https://cache.example/"), loopback, external, None),
        ] {
            let found = of_settings(&text, listen, external_url);
            assert_eq!(found.map(|finding| finding.check), expected, "{text}");
        }
    }
}
