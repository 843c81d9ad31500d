//! The proxy between this box and the internet, from `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and
//! `NO_PROXY`, upper or lower case, with the meaning that curl and Go give them.
//!
//! ureq's own reading differs (one proxy for all schemes, no subdomains and no networks in
//! `NO_PROXY`), so the choice is made here, for each request. Requests of either scheme go through
//! the proxy by CONNECT. Loopback is never asked for through a proxy.

use std::net::IpAddr;

use super::url::Url;
use crate::error::{Error, Kind, Result};

/// Which requests go through which proxy.
#[derive(Clone, Default)]
pub struct Proxies {
    https: Option<ureq::Proxy>,
    http: Option<ureq::Proxy>,
    bypass: Vec<Bypass>,
}

impl Proxies {
    /// Reads the environment of this process.
    ///
    /// # Errors
    /// `Config` for a proxy URL that cannot be used, named by its variable and without its value,
    /// which may hold a password.
    pub fn from_environment() -> Result<Self> {
        Self::read(|name| std::env::var(name).ok())
    }

    /// As [`Proxies::from_environment`], from any source of variables.
    ///
    /// # Errors
    /// As there.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let find = |name: &str| {
            [name.to_ascii_lowercase(), name.to_owned()]
                .into_iter()
                .find_map(|name| {
                    let value = variable(&name)?;
                    (!value.trim().is_empty()).then(|| (name, value.trim().to_owned()))
                })
        };
        let proxy = |name: &str| {
            find(name)
                .or_else(|| find("ALL_PROXY"))
                .map(|(name, value)| parse(&name, &value))
                .transpose()
        };
        let bypass = find("NO_PROXY").map_or_else(Vec::new, |(_, list)| {
            list.split([',', ' ']).filter_map(Bypass::parse).collect()
        });
        Ok(Self {
            https: proxy("HTTPS_PROXY")?,
            http: proxy("HTTP_PROXY")?,
            bypass,
        })
    }

    /// The proxy for `url`, if it is not to be asked directly.
    pub(super) fn for_url(&self, url: &Url) -> Option<&ureq::Proxy> {
        let proxy = if url.is_https() {
            self.https.as_ref()?
        } else {
            self.http.as_ref()?
        };
        let direct = is_loopback(url.host()) || self.bypass.iter().any(|entry| entry.matches(url));
        (!direct).then_some(proxy)
    }
}

fn parse(name: &str, value: &str) -> Result<ureq::Proxy> {
    let wrong = |why: &str| {
        Error::new(Kind::Config, format!("{name} {why}"))
            .remedy("write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT")
    };
    let proxy = ureq::Proxy::new(value).map_err(|_| wrong("is not the URL of a proxy"))?;
    match proxy.protocol() {
        ureq::ProxyProtocol::Http | ureq::ProxyProtocol::Https => Ok(proxy),
        _ => Err(wrong("names a SOCKS proxy, which is not supported")),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

/// One entry of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq)]
enum Bypass {
    /// `*`
    Everything,
    /// `example.com`: it and what is below it. With a leading dot or `*.`: only what is below it.
    Name {
        name: String,
        itself: bool,
        port: Option<u16>,
    },
    /// `10.0.0.0/8`
    Network(ipnet::IpNet),
    /// `10.1.2.3`
    Address { address: IpAddr, port: Option<u16> },
}

impl Bypass {
    fn parse(entry: &str) -> Option<Self> {
        let entry = entry.trim().to_ascii_lowercase();
        if entry == "*" {
            return Some(Self::Everything);
        }
        if let Ok(network) = entry.parse() {
            return Some(Self::Network(network));
        }
        if let Ok(address) = entry.trim_matches(['[', ']']).parse() {
            let port = None;
            return Some(Self::Address { address, port });
        }
        if let Ok(socket) = entry.parse::<std::net::SocketAddr>() {
            return Some(Self::Address {
                address: socket.ip(),
                port: Some(socket.port()),
            });
        }
        let (name, port) = match entry.split_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (entry.as_str(), None),
        };
        let below = name.strip_prefix('*').unwrap_or(name).strip_prefix('.');
        let itself = below.is_none();
        let name = below.unwrap_or(name).to_owned();
        (!name.is_empty()).then_some(Self::Name { name, itself, port })
    }

    fn matches(&self, url: &Url) -> bool {
        let port_fits = |port: &Option<u16>| port.is_none_or(|port| port == url.port());
        let host = url.host();
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        match self {
            Self::Everything => true,
            Self::Name { name, itself, port } => {
                let below = host
                    .strip_suffix(name.as_str())
                    .is_some_and(|rest| rest.ends_with('.'));
                port_fits(port) && (below || (*itself && host == name))
            }
            Self::Network(network) => address.is_some_and(|address| network.contains(&address)),
            Self::Address { address: own, port } => port_fits(port) && address == Some(*own),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &'static [(&str, &str)]) -> Result<Proxies> {
        Proxies::read(|name| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    fn chosen(proxies: &Proxies, url: &str) -> Option<String> {
        proxies
            .for_url(&Url::parse(url).unwrap())
            .map(|proxy| proxy.host().to_owned())
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        type Case = (
            &'static [(&'static str, &'static str)],
            Option<&'static str>,
            Option<&'static str>,
        );
        let cases: &[Case] = &[
            (&[], None, None),
            (&[("HTTPS_PROXY", "http://s:1")], Some("s"), None),
            (&[("http_proxy", "http://p:1")], None, Some("p")),
            (
                &[("HTTP_PROXY", "p:3128"), ("https_proxy", "s:1")],
                Some("s"),
                Some("p"),
            ),
            (
                &[("HTTPS_PROXY", "http://u:1"), ("https_proxy", "http://l:1")],
                Some("l"),
                None,
            ),
            (
                &[("ALL_PROXY", "http://a:1"), ("HTTP_PROXY", "http://p:1")],
                Some("a"),
                Some("p"),
            ),
            (&[("HTTPS_PROXY", " ")], None, None),
        ];
        for (variables, https, http) in cases {
            let proxies = proxies(variables).unwrap();
            assert_eq!(
                chosen(&proxies, "https://quay.io/").as_deref(),
                *https,
                "{variables:?}"
            );
            assert_eq!(
                chosen(&proxies, "http://quay.io/").as_deref(),
                *http,
                "{variables:?}"
            );
        }
    }

    #[test]
    fn a_wrong_proxy_is_named_without_its_value() {
        for value in [
            "http://u:secret@",
            "socks5://u:secret@h:1",
            "gopher://u:secret@h",
        ] {
            let error = Proxies::read(|name| (name == "HTTPS_PROXY").then(|| value.to_owned()))
                .map(|_| ())
                .unwrap_err();
            assert_eq!(error.kind(), Kind::Config, "{value}");
            assert!(error.to_string().contains("HTTPS_PROXY"), "{error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn no_proxy_means_what_curl_and_go_mean() {
        let proxies = proxies(&[
            ("ALL_PROXY", "http://p:1"),
            (
                "NO_PROXY",
                "corp.example, .below.example,*.star.example,10.0.0.0/8,192.0.2.7,h.example:5000,[2001:db8::1]",
            ),
        ])
        .unwrap();
        for (url, direct) in [
            ("https://corp.example/", true),
            ("https://CORP.example:8443/", true),
            ("https://r.corp.example/", true),
            ("https://notcorp.example/", false),
            ("https://corp.example.evil/", false),
            ("https://below.example/", false),
            ("https://x.below.example/", true),
            ("https://star.example/", false),
            ("https://x.star.example/", true),
            ("http://10.9.8.7:5000/", true),
            ("http://11.0.0.1/", false),
            ("https://192.0.2.7/", true),
            ("https://192.0.2.8/", false),
            ("https://h.example:5000/", true),
            ("https://h.example/", false),
            ("https://[2001:db8::1]/", true),
            ("http://127.0.0.1:5000/", true),
            ("http://localhost:5000/", true),
            ("http://[::1]/", true),
            ("https://quay.io/", false),
        ] {
            assert_eq!(chosen(&proxies, url).is_none(), direct, "{url}");
        }
    }

    #[test]
    fn a_star_bypasses_every_proxy() {
        let proxies = proxies(&[("ALL_PROXY", "http://p:1"), ("no_proxy", "*")]).unwrap();
        assert_eq!(chosen(&proxies, "https://quay.io/"), None);
    }
}
