//! By which URLs clients reach the box: the configured one, or those of its listeners, with the addresses of this machine
//! in the place of 0.0.0.0 and `[::]`, which are no addresses to connect to.

use std::net::{IpAddr, SocketAddr};

pub(super) use crate::admin::Reached;
use crate::config::{Config, TlsConfig};
use crate::error::{Error, Kind, Result, excerpt};
use crate::http::{CertificateSummary, interface_addresses};

/// Those of `listening`, which are base URLs of listeners, in their order; `server.external_url` alone where it is set.
pub(super) fn urls(config: &Config, listening: &[String]) -> Vec<Reached> {
    let external = config.server.external_url.trim_end_matches('/');
    if !external.is_empty() {
        return vec![Reached {
            url: external.to_owned(),
            is_beyond_loopback: true,
        }];
    }
    let mut own = interface_addresses().unwrap_or_default();
    own.retain(|address| !address.is_unspecified() && !is_link_local(*address));
    // A name is worth more than an address, and IPv4 is what most people read.
    own.sort_by_key(|address| (address.is_loopback(), address.is_ipv6()));
    let certificate = certificate(&config.tls);
    let machine = rustix::system::uname();
    let machine = machine.nodename().to_string_lossy().into_owned();
    let hosts = Hosts {
        own: &own,
        certificate: certificate.as_ref(),
        machine: &machine,
    };
    let listeners = listening.iter().filter_map(|url| listener(url));
    let of_listeners = listeners.flat_map(|(scheme, address)| hosts.reach(&scheme, address));
    let mut urls: Vec<Reached> = Vec::new();
    for reached in of_listeners {
        if !urls.contains(&reached) {
            urls.push(reached);
        }
    }
    urls
}

/// The one to name to other machines: by TLS, if the box speaks it to them.
pub(super) fn for_other_machines(urls: &[Reached]) -> Option<&Reached> {
    let beyond = || urls.iter().filter(|url| url.is_beyond_loopback);
    let tls = beyond().find(|url| url.is_tls());
    tls.or_else(|| beyond().next()).or_else(|| urls.first())
}

/// A URL as somebody gave it; without a scheme it is https.
pub(super) fn given(url: &str) -> Result<Reached> {
    let url = url.trim_end_matches('/');
    let url = match url.contains("://") {
        true => url.to_owned(),
        false => format!("https://{url}"),
    };
    let wrong = || {
        let what = format!("`{}` is no URL of a box", excerpt(&url));
        Error::new(Kind::Usage, what).remedy("write http://HOST:PORT or https://HOST:PORT")
    };
    let (scheme, place) = url.split_once("://").ok_or_else(wrong)?;
    let is_place = |c: char| c.is_ascii_alphanumeric() || "._-:[]".contains(c);
    let is_valid = matches!(scheme, "http" | "https") && !place.is_empty();
    if !is_valid || !place.chars().all(is_place) {
        return Err(wrong());
    }
    let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let is_beyond_loopback = host != "localhost" && !address.is_ok_and(|ip| ip.is_loopback());
    Ok(Reached {
        is_beyond_loopback,
        url,
    })
}

/// The certificate that is served, if it can be read.
pub(super) fn certificate(tls: &TlsConfig) -> Option<CertificateSummary> {
    let (certificate, key) = (tls.certificate.as_ref()?, tls.key.as_ref()?);
    CertificateSummary::from_files(certificate, key).ok()
}

/// Base URLs of the listeners, as configured.
pub(super) fn configured(config: &Config) -> Vec<String> {
    let plain = config.server.listen.iter();
    let plain = plain.map(|address| format!("http://{address}"));
    let tls = config.tls.listen.iter();
    plain
        .chain(tls.map(|address| format!("https://{address}")))
        .collect()
}

/// Scheme and address of a listener's URL.
pub(super) fn listener(url: &str) -> Option<(String, SocketAddr)> {
    let (scheme, address) = url.split_once("://")?;
    Some((
        scheme.to_owned(),
        address.trim_end_matches('/').parse().ok()?,
    ))
}

/// What a listener of this machine can be called.
struct Hosts<'a> {
    /// The addresses of this machine.
    own: &'a [IpAddr],
    certificate: Option<&'a CertificateSummary>,
    /// What the machine calls itself: others may not know it by that name.
    machine: &'a str,
}

impl Hosts<'_> {
    fn reach(&self, scheme: &str, address: SocketAddr) -> Vec<Reached> {
        let ip = address.ip().to_canonical();
        let mut hosts: Vec<IpAddr> = match ip.is_unspecified() {
            true => {
                let own = self.own.iter().copied();
                own.filter(|own| address.is_ipv6() || own.is_ipv4())
                    .collect()
            }
            false => vec![ip],
        };
        if hosts.iter().any(|host| !host.is_loopback()) {
            hosts.retain(|host| !host.is_loopback());
        }
        if hosts.is_empty() {
            // No interface is up: the machine itself reaches it.
            hosts.push([127, 0, 0, 1].into());
        }
        let is_beyond_loopback = !ip.is_loopback();
        let reached = |host: &str| Reached {
            url: match (scheme, address.port()) {
                ("https", 443) | ("http", 80) => format!("{scheme}://{host}"),
                (_, port) => format!("{scheme}://{host}:{port}"),
            },
            is_beyond_loopback,
        };
        let Some(certificate) = self.certificate.filter(|_| scheme == "https") else {
            let hosts = hosts.iter().map(|host| reached(&written(*host)));
            return hosts.collect();
        };
        let (own_names, given): (Vec<&str>, Vec<&str>) = {
            let names = certificate.names.iter().map(String::as_str);
            let names = names.filter(|name| *name != "localhost" && !name.starts_with('*'));
            names.partition(|name| self.is_machine(name))
        };
        let addresses = hosts
            .iter()
            .filter(|host| certificate.addresses.contains(host));
        let addresses = addresses.map(|host| written(*host));
        // Loopback is reached by no name that others know.
        let given = given.into_iter().filter(|_| is_beyond_loopback);
        let own_names = own_names.into_iter().filter(|_| is_beyond_loopback);
        let hosts = given.map(str::to_owned).chain(addresses);
        let mut hosts: Vec<String> = hosts.chain(own_names.map(str::to_owned)).collect();
        if hosts.is_empty() {
            hosts.extend(certificate.names.first().cloned());
        }
        hosts.iter().map(|host| reached(host)).collect()
    }

    fn is_machine(&self, name: &str) -> bool {
        let short = self.machine.split('.').next().unwrap_or_default();
        [self.machine, short]
            .map(str::to_ascii_lowercase)
            .contains(&name.to_ascii_lowercase())
    }
}

/// As it stands in a URL.
fn written(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// Such an address means something on one link only, and no URL can name it.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn certificate(names: &[&str], addresses: &[&str]) -> CertificateSummary {
        CertificateSummary {
            not_before: Timestamp(0),
            not_after: Timestamp(1),
            names: names.iter().map(|&name| name.to_owned()).collect(),
            addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn listeners_are_named_as_clients_reach_them() {
        let own: Vec<IpAddr> = ["10.0.0.5", "fd00::5", "127.0.0.1", "::1"]
            .map(|ip| ip.parse().unwrap())
            .to_vec();
        let given = certificate(
            &["box.example", "*.box.example", "Farm", "localhost"],
            &["10.0.0.5", "127.0.0.1"],
        );
        let of_machine = certificate(&["farm", "localhost"], &["10.0.0.5"]);
        let nameless = certificate(&["farm.example", "localhost"], &[]);
        struct Case<'a> {
            own: &'a [IpAddr],
            certificate: Option<&'a CertificateSummary>,
            listener: &'a str,
            urls: &'a [&'a str],
        }
        let plain = |listener, urls| Case {
            own: &own,
            certificate: None,
            listener,
            urls,
        };
        let tls = |certificate, listener, urls| Case {
            own: &own,
            certificate: Some(certificate),
            listener,
            urls,
        };
        for case in [
            plain("http://127.0.0.1:5000", &["http://127.0.0.1:5000"]),
            plain("http://0.0.0.0:5000", &["http://10.0.0.5:5000"]),
            plain(
                "http://[::]:5000",
                &["http://10.0.0.5:5000", "http://[fd00::5]:5000"],
            ),
            plain("http://[fd00::9]:80", &["http://[fd00::9]"]),
            Case {
                own: &own[2..],
                ..plain("http://0.0.0.0:5000", &["http://127.0.0.1:5000"])
            },
            Case {
                own: &[],
                ..plain("http://0.0.0.0:5000", &["http://127.0.0.1:5000"])
            },
            tls(
                &given,
                "https://0.0.0.0:5443",
                &[
                    "https://box.example:5443",
                    "https://10.0.0.5:5443",
                    "https://Farm:5443",
                ],
            ),
            tls(
                &given,
                "https://127.0.0.1:5443",
                &["https://127.0.0.1:5443"],
            ),
            tls(
                &of_machine,
                "https://0.0.0.0:443",
                &["https://10.0.0.5", "https://farm"],
            ),
            tls(
                &nameless,
                "https://10.0.0.5:5443",
                &["https://farm.example:5443"],
            ),
            tls(&given, "http://10.0.0.5:5000", &["http://10.0.0.5:5000"]),
        ] {
            let hosts = Hosts {
                own: case.own,
                certificate: case.certificate,
                machine: "farm.lan",
            };
            let (scheme, address) = listener(case.listener).unwrap();
            let reached = hosts.reach(&scheme, address).into_iter();
            let urls: Vec<String> = reached.map(|reached| reached.url).collect();
            assert_eq!(urls, case.urls, "{}", case.listener);
        }
    }

    #[test]
    fn other_machines_are_told_of_tls_first() {
        let reached = |url: &str, is_beyond_loopback| Reached {
            url: url.to_owned(),
            is_beyond_loopback,
        };
        let here = reached("http://127.0.0.1:5000", false);
        let plain = reached("http://10.0.0.5:5000", true);
        let tls = reached("https://10.0.0.5:5443", true);
        let pick = |urls: &[&Reached]| {
            let urls: Vec<Reached> = urls.iter().map(|&url| url.clone()).collect();
            for_other_machines(&urls).map(|url| url.url.clone())
        };
        for (urls, expected) in [
            (&[&here, &plain, &tls][..], &tls),
            (&[&here, &plain], &plain),
            (&[&here], &here),
        ] {
            assert_eq!(pick(urls).as_ref(), Some(&expected.url));
        }
        assert_eq!(pick(&[]), None);
    }
}
