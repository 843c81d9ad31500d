//! Where a request comes from, and whether network rules hold for it. Pure.
//!
//! The address is the peer's. `X-Forwarded-For` counts only from configured proxies, and is read from
//! the right, past trusted ones.
//!
//! Network rules are for clients, which need no login where they are trusted. A proxy or a browser sends requests from
//! a trusted address too, on behalf of anybody, and so they get nothing by their network: neither what bears the marks
//! of a proxy that is not configured, or of one that does not say for whom it asks, nor what a browser sends for a page
//! of another site. Otherwise everybody whom a proxy on the same machine serves would count as loopback. A client that
//! leaves the marks out on purpose gets past this: it prevents accidents, and attacks by way of proxies and browsers,
//! which add the marks by themselves.
//!
//! A request from a proxy's address without any of the marks is of that machine itself.

use std::net::IpAddr;

use ipnet::IpNet;

/// The address of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress {
    /// The address; IPv4-mapped IPv6 addresses are given as IPv4.
    pub ip: IpAddr,
    /// Why no network rule holds for it, if that is so.
    pub not_trusted: Option<NotTrusted>,
}

/// Why no network rule holds for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTrusted {
    /// A configured proxy forwarded it, and does not say for whom.
    UnnamedClient,
    /// It has this header field, which proxies set, and its peer is no configured proxy.
    Forwarded(&'static str),
    /// It is HTTP/1.0, which no registry client speaks, and which proxies do unless they are told otherwise.
    OldProtocol,
    /// A browser sent it on behalf of a page of another site.
    OtherSite,
    /// It comes from loopback and asks for a host that is not this machine: a proxy passed it on, or a browser was led
    /// here by DNS rebinding.
    OtherHost,
}

/// What a request says of the way that it took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Provenance<'a> {
    /// All `X-Forwarded-For` values, joined by commas, in order.
    pub forwarded_for: Option<&'a str>,
    /// A header field that proxies set, `X-Forwarded-For` included.
    pub forwarding_field: Option<&'static str>,
    /// Whether it is HTTP/1.0.
    pub is_http_1_0: bool,
    /// Whether a browser says that it is on behalf of a page of another site.
    pub is_for_other_site: bool,
    /// Whether it comes from loopback and asks for a host that is not this machine.
    pub is_for_other_host: bool,
}

impl ClientAddress {
    /// The client behind `peer`.
    pub fn of(peer: IpAddr, provenance: Provenance<'_>, trusted_proxies: &[IpNet]) -> Self {
        let trusted = |ip: IpAddr| trusted_proxies.iter().any(|network| network.contains(&ip));
        let peer = peer.to_canonical();
        let Some(hops) = provenance.forwarded_for.filter(|_| trusted(peer)) else {
            return Self {
                ip: peer,
                not_trusted: provenance.not_trusted(trusted(peer)),
            };
        };
        let mut client = peer;
        for hop in hops.rsplit(',') {
            let Ok(ip) = hop.trim().parse::<IpAddr>() else {
                return Self {
                    ip: client,
                    not_trusted: Some(NotTrusted::UnnamedClient),
                };
            };
            client = ip.to_canonical();
            if !trusted(client) {
                break;
            }
        }
        // How a configured proxy speaks, and which host it asks for, says nothing of its client; the client's
        // browser still does.
        Self {
            ip: client,
            not_trusted: provenance
                .is_for_other_site
                .then_some(NotTrusted::OtherSite),
        }
    }

    /// The same address, with network rules in force.
    #[must_use]
    pub fn as_if_trusted(self) -> Self {
        Self {
            not_trusted: None,
            ..self
        }
    }
}

impl Provenance<'_> {
    /// What shows that the peer is not the client.
    fn not_trusted(&self, is_trusted_proxy: bool) -> Option<NotTrusted> {
        match self.forwarding_field {
            Some(_) if is_trusted_proxy => Some(NotTrusted::UnnamedClient),
            Some(field) => Some(NotTrusted::Forwarded(field)),
            None if self.is_http_1_0 => Some(NotTrusted::OldProtocol),
            None if self.is_for_other_site => Some(NotTrusted::OtherSite),
            None if self.is_for_other_host => Some(NotTrusted::OtherHost),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        peer: &'static str,
        provenance: Provenance<'static>,
        ip: &'static str,
        not_trusted: Option<NotTrusted>,
    }

    /// From this peer, without any mark.
    fn from(peer: &'static str) -> Case {
        Case {
            peer,
            provenance: Provenance::default(),
            ip: peer,
            not_trusted: None,
        }
    }

    impl Case {
        fn with(self, change: impl FnOnce(&mut Provenance<'static>)) -> Self {
            let mut case = self;
            change(&mut case.provenance);
            case
        }

        fn forwarded_for(self, hops: &'static str) -> Self {
            self.with(|it| {
                it.forwarded_for = Some(hops);
                it.forwarding_field = Some("X-Forwarded-For");
            })
        }

        fn is(self, ip: &'static str) -> Self {
            Self { ip, ..self }
        }

        fn doubted(self, not_trusted: NotTrusted) -> Self {
            Self {
                not_trusted: Some(not_trusted),
                ..self
            }
        }
    }

    #[test]
    fn forwarded_addresses_count_only_from_trusted_proxies() {
        use NotTrusted::{Forwarded, OldProtocol, OtherHost, OtherSite, UnnamedClient};
        const FOR: NotTrusted = Forwarded("X-Forwarded-For");
        let proxies = ["10.0.0.0/8".parse().unwrap()];
        let via = |it: &mut Provenance<'_>| it.forwarding_field = Some("Via");
        let old = |it: &mut Provenance<'_>| it.is_http_1_0 = true;
        let browser = |it: &mut Provenance<'_>| it.is_for_other_site = true;
        let host = |it: &mut Provenance<'_>| it.is_for_other_host = true;
        for case in [
            from("127.0.0.1"),
            from("::ffff:127.0.0.1").is("127.0.0.1"),
            from("127.0.0.1").forwarded_for("192.0.2.1").doubted(FOR),
            from("127.0.0.1").with(via).doubted(Forwarded("Via")),
            from("127.0.0.1").with(old).doubted(OldProtocol),
            from("127.0.0.1").with(browser).doubted(OtherSite),
            from("127.0.0.1").with(host).doubted(OtherHost),
            from("10.0.0.1"),
            from("10.0.0.1").with(via).doubted(UnnamedClient),
            from("10.0.0.1").with(old).doubted(OldProtocol),
            from("10.0.0.1").forwarded_for("192.0.2.1").is("192.0.2.1"),
            // A trusted proxy may ask in any way.
            from("10.0.0.1")
                .forwarded_for("192.0.2.1")
                .with(old)
                .with(host)
                .is("192.0.2.1"),
            from("10.0.0.1")
                .forwarded_for("192.0.2.1")
                .with(browser)
                .is("192.0.2.1")
                .doubted(OtherSite),
            from("10.0.0.1")
                .forwarded_for("127.0.0.1, 192.0.2.1")
                .is("192.0.2.1"),
            from("10.0.0.1")
                .forwarded_for("192.0.2.1, 10.0.0.2")
                .is("192.0.2.1"),
            from("10.0.0.1")
                .forwarded_for("nonsense")
                .doubted(UnnamedClient),
            from("10.0.0.1")
                .forwarded_for("127.0.0.1, nonsense")
                .doubted(UnnamedClient),
            from("10.0.0.1").forwarded_for("").doubted(UnnamedClient),
        ] {
            let client = ClientAddress::of(case.peer.parse().unwrap(), case.provenance, &proxies);
            assert_eq!(
                (client.ip.to_string().as_str(), client.not_trusted),
                (case.ip, case.not_trusted),
                "{} {:?}",
                case.peer,
                case.provenance
            );
        }
    }
}
