//! Where a request comes from, and whether that may be believed. Pure.
//!
//! The address is the peer's. `X-Forwarded-For` counts only from configured proxies, and is read from
//! the right, past trusted ones. A request with forwarding headers from any other peer, or from a configured
//! proxy that does not say there for whom it asks, keeps the peer's address but gets no network grant: a
//! proxy on the same box must not turn the world into loopback. A request from a proxy's address without any
//! forwarding header is of that machine itself.

use std::net::IpAddr;

use ipnet::IpNet;

/// The address of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress {
    /// The address; IPv4-mapped IPv6 addresses are given as IPv4.
    pub ip: IpAddr,
    /// Whether network rules apply to it.
    pub trustworthy: bool,
}

/// What a request says of the way it took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Forwarding<'a> {
    /// All `X-Forwarded-For` values, joined by commas, in order.
    pub forwarded_for: Option<&'a str>,
    /// Whether any header is there that a proxy sets, in whatever form: see `server::call`.
    pub present: bool,
}

impl ClientAddress {
    /// The client behind `peer`.
    pub fn of(peer: IpAddr, forwarding: Forwarding<'_>, trusted_proxies: &[IpNet]) -> Self {
        let trusted = |ip: IpAddr| trusted_proxies.iter().any(|network| network.contains(&ip));
        let peer = peer.to_canonical();
        let Some(hops) = forwarding.forwarded_for.filter(|_| trusted(peer)) else {
            return Self {
                ip: peer,
                trustworthy: !forwarding.present,
            };
        };
        let mut client = peer;
        for hop in hops.rsplit(',') {
            let Ok(ip) = hop.trim().parse::<IpAddr>() else {
                return Self {
                    ip: client,
                    trustworthy: false,
                };
            };
            client = ip.to_canonical();
            if !trusted(client) {
                break;
            }
        }
        Self {
            ip: client,
            trustworthy: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarded_addresses_count_only_from_trusted_proxies() {
        let proxies = ["10.0.0.0/8".parse().unwrap()];
        let table: &[(&str, Option<&str>, bool, &str, bool)] = &[
            // peer, X-Forwarded-For, any forwarding header → client, trustworthy
            ("127.0.0.1", None, false, "127.0.0.1", true),
            ("::ffff:127.0.0.1", None, false, "127.0.0.1", true),
            ("127.0.0.1", Some("192.0.2.1"), true, "127.0.0.1", false),
            ("127.0.0.1", None, true, "127.0.0.1", false),
            ("10.0.0.1", None, false, "10.0.0.1", true),
            ("10.0.0.1", None, true, "10.0.0.1", false),
            ("10.0.0.1", Some("192.0.2.1"), true, "192.0.2.1", true),
            (
                "10.0.0.1",
                Some("127.0.0.1, 192.0.2.1"),
                true,
                "192.0.2.1",
                true,
            ),
            (
                "10.0.0.1",
                Some("192.0.2.1, 10.0.0.2"),
                true,
                "192.0.2.1",
                true,
            ),
            ("10.0.0.1", Some("nonsense"), true, "10.0.0.1", false),
            (
                "10.0.0.1",
                Some("127.0.0.1, nonsense"),
                true,
                "10.0.0.1",
                false,
            ),
            ("10.0.0.1", Some(""), true, "10.0.0.1", false),
        ];
        for (peer, forwarded_for, present, ip, trustworthy) in table {
            let forwarding = Forwarding {
                forwarded_for: *forwarded_for,
                present: *present,
            };
            let client = ClientAddress::of(peer.parse().unwrap(), forwarding, &proxies);
            assert_eq!(
                (client.ip.to_string().as_str(), client.trustworthy),
                (*ip, *trustworthy),
                "{peer} {forwarded_for:?}"
            );
        }
    }
}
