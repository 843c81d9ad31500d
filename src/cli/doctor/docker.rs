//! The docker daemons on this machine: whether they pull through the box that runs beside them.

use std::net::SocketAddr;

use serde_json::Value;

use super::dockerd::{Daemon, daemons};
use super::machine::{listening, read_plain_file};
use super::server::RunningServer;
use super::{Finding, Severity};
use crate::cli::reached;
use crate::cli::workplace::Workplace;

pub(super) fn find(place: &Workplace, server: Option<&RunningServer>) -> Vec<Finding> {
    if !place.config.mirror.enabled {
        return Vec::new();
    }
    let own = Own::of(place, server);
    let of_daemon = |daemon: Daemon| {
        let settings = read_plain_file(&daemon.settings);
        // Neither told anything nor at home here.
        if daemon.told_by.is_empty() && settings.is_err() {
            return None;
        }
        let settings = settings.unwrap_or_default();
        of_daemon(&daemon, &settings, &own)
    };
    daemons().into_iter().filter_map(of_daemon).collect()
}

/// What a mirror's URL must lead to.
struct Own {
    external_url: String,
    /// The URL to put into docker's settings.
    url: String,
    /// Scheme and address of each listener.
    listening: Vec<(String, SocketAddr)>,
    /// What the machine and its certificate are called.
    names: Vec<String>,
}

impl Own {
    fn of(place: &Workplace, server: Option<&RunningServer>) -> Self {
        let config = &place.config;
        let machine = rustix::system::uname();
        let mut names = vec![machine.nodename().to_string_lossy().into_owned()];
        names.extend(
            reached::certificate(&config.tls)
                .map(|summary| summary.names)
                .unwrap_or_default(),
        );
        let listening = listening(place, server);
        let urls: Vec<String> = listening
            .iter()
            .map(|(scheme, address)| format!("{scheme}://{address}"))
            .collect();
        let urls = reached::urls(config, &urls);
        Self {
            external_url: config.server.external_url.clone(),
            url: urls
                .into_iter()
                .next()
                .map_or_else(String::new, |reached| reached.url),
            listening,
            names,
        }
    }

    /// Whether a mirror's URL leads here.
    fn is_at(&self, mirror: &str) -> bool {
        let mirror = mirror.trim_end_matches('/');
        if !self.external_url.is_empty() && mirror == self.external_url.trim_end_matches('/') {
            return true;
        }
        let Some((scheme, rest)) = mirror.split_once("://") else {
            return false;
        };
        let authority = rest.split('/').next().unwrap_or_default();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => {
                (host, port.parse().ok())
            }
            _ => (authority, Some(if scheme == "https" { 443 } else { 80 })),
        };
        let host = host.trim_matches(['[', ']']);
        let is_named = self
            .names
            .iter()
            .any(|name| name.eq_ignore_ascii_case(host));
        self.listening.iter().any(|(own_scheme, address)| {
            let ip = address.ip();
            // Of a box that listens everywhere every name may be its own.
            let is_host = ip.is_unspecified()
                || host == ip.to_string()
                || host == "localhost" && ip.is_loopback()
                || is_named && !ip.is_loopback();
            own_scheme == scheme && port == Some(address.port()) && is_host
        })
    }
}

/// `settings` is the text of the daemon's file; empty where there is none.
fn of_daemon(daemon: &Daemon, settings: &str, own: &Own) -> Option<Finding> {
    let file = daemon.settings.display();
    let put = format!(
        "put {{\"registry-mirrors\": [\"{}\"]}} into {file}",
        own.url
    );
    let settings = match settings {
        "" => Value::Null,
        text => match serde_json::from_str(text) {
            Ok(settings) => settings,
            Err(error) => {
                return Some(Finding::new(
                    Severity::Warning,
                    "docker_settings",
                    format!("{file} is no JSON ({error}): docker will not start with it"),
                    format!("mend it; to pull through this box, {put} and restart docker"),
                ));
            }
        },
    };
    let of_file = settings.get("registry-mirrors").and_then(Value::as_array);
    let of_file = of_file.into_iter().flatten().filter_map(Value::as_str);
    let of_file: Vec<&str> = of_file.collect();
    let (mirrors, told_by, remedy) = if daemon.mirrors.is_empty() {
        let remedy = format!("{put} and restart docker, if it shall pull through this box");
        (of_file, file.to_string(), remedy)
    } else {
        let remedy = format!(
            "take --registry-mirror out of {}, {put} and restart docker, if it shall pull through this box",
            daemon.told_by
        );
        let mirrors: Vec<&str> = daemon.mirrors.iter().map(String::as_str).collect();
        if !of_file.is_empty() {
            let told_by = &daemon.told_by;
            return Some(Finding::new(
                Severity::Warning,
                "docker_settings",
                format!("{file} and {told_by} both name mirrors: docker will not start with both"),
                remedy,
            ));
        }
        (mirrors, daemon.told_by.clone(), remedy)
    };
    let Some(first) = mirrors.first() else {
        return Some(Finding::new(
            Severity::Note,
            "docker_without_mirror",
            "docker on this machine uses no mirror",
            remedy,
        ));
    };
    if own.is_at(first) {
        return None;
    }
    let all = mirrors.join(", ");
    let what = if mirrors.iter().any(|mirror| own.is_at(mirror)) {
        format!(
            "docker on this machine asks {first} before this box: {told_by} names {all} in this order"
        )
    } else {
        format!(
            "docker on this machine pulls through {all}, which is not this box; so it says in {told_by}"
        )
    };
    Some(Finding::new(
        Severity::Warning,
        "docker_elsewhere",
        what,
        remedy,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::reached::listener;

    fn own(listening: &str, external_url: &str) -> Own {
        let first = listening.split(' ').next().unwrap_or_default();
        let url = if external_url.is_empty() {
            first
        } else {
            external_url
        };
        Own {
            external_url: external_url.to_owned(),
            url: url.to_owned(),
            listening: listening.split(' ').filter_map(listener).collect(),
            names: vec!["box".to_owned(), "cache.example".to_owned()],
        }
    }

    #[test]
    fn mirrors_are_this_box_or_another() {
        let loopback = "http://127.0.0.1:5000 https://127.0.0.1:5443";
        let lan = "https://10.0.0.5:443";
        for (mirror, listening, external_url, expected) in [
            ("http://127.0.0.1:5000", loopback, "", true),
            ("http://localhost:5000/", loopback, "", true),
            ("https://localhost:5443", loopback, "", true),
            ("http://127.0.0.1:5001", loopback, "", false),
            ("http://localhost:5443", loopback, "", false),
            ("https://mirror.gcr.io", loopback, "", false),
            // A name of this machine leads to an address that others reach.
            ("http://box:5000", loopback, "", false),
            ("http://box:5000", "http://10.0.0.5:5000", "", true),
            ("https://Cache.Example", lan, "", true),
            ("https://other.example", lan, "", false),
            ("https://10.0.0.5/", lan, "", true),
            ("http://cache.lan:5000", "http://0.0.0.0:5000", "", true),
            ("http://[::1]:5000", "http://[::1]:5000", "", true),
            (
                "https://far.example/",
                loopback,
                "https://far.example",
                true,
            ),
            ("nonsense", loopback, "", false),
        ] {
            let own = own(listening, external_url);
            assert_eq!(own.is_at(mirror), expected, "{mirror} {listening}");
        }
    }

    #[test]
    fn settings_and_command_lines_are_judged_alike() {
        let own = own("http://127.0.0.1:5000", "");
        let here = r#"{"registry-mirrors": ["http://127.0.0.1:5000"]}"#;
        let there = r#"{"registry-mirrors": ["https://mirror.gcr.io"]}"#;
        let both = r#"{"registry-mirrors": ["https://mirror.gcr.io", "http://127.0.0.1:5000"]}"#;
        for (flags, settings, expected) in [
            (&[][..], "", Some("docker_without_mirror")),
            (&[], "{}", Some("docker_without_mirror")),
            (&[], "{", Some("docker_settings")),
            (&[], here, None),
            (&[], there, Some("docker_elsewhere")),
            (&[], both, Some("docker_elsewhere")),
            (&["http://127.0.0.1:5000"], "", None),
            (&["http://127.0.0.1:5000"], "{}", None),
            (&["https://mirror.gcr.io"], "{}", Some("docker_elsewhere")),
            (&["https://mirror.gcr.io"], here, Some("docker_settings")),
        ] {
            let daemon = Daemon {
                mirrors: flags.iter().map(|&mirror| mirror.to_owned()).collect(),
                settings: "/etc/docker/daemon.json".into(),
                told_by: "the unit".to_owned(),
            };
            let found = of_daemon(&daemon, settings, &own);
            assert_eq!(
                found.map(|finding| finding.check),
                expected,
                "{flags:?} {settings}"
            );
        }
    }
}
