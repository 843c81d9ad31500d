//! Where requests and credentials may go: the rules of redirects, token realms and addresses.
//!
//! Pure: whoever connects asks here first, with the address that it is about to connect to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::url::Url;

/// The registry and the token realm of Docker Hub: two hosts of one owner.
const DOCKER_HUB: (&str, &str) = ("registry-1.docker.io", "auth.docker.io");

/// Judges a redirect. The error is a phrase that follows the redirecting host's name.
///
/// Never from https to http: what was asked in confidence would go on in the clear.
pub(super) fn redirect(from: &Url, to: &Url) -> Result<(), String> {
    if from.is_https() && !to.is_https() {
        return Err(format!(
            "redirects from https to plain http at {}",
            to.authority()
        ));
    }
    Ok(())
}

/// What may be sent to a token realm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Realm {
    /// Username and password may go there.
    Trusted,
    /// Only a request without credentials.
    Anonymous,
}

/// Judges the realm that a challenge names. `configured` is the upstream's own setting, which stands
/// for the operator's word. The error is a phrase that follows the upstream's name.
///
/// With credentials an unknown realm gets no request at all, not even an anonymous one: its token
/// would silently show less than the operator paid for, and the cause would be hard to find.
pub(super) fn realm(
    upstream: &Url,
    realm: &Url,
    configured: Option<&Url>,
    has_credentials: bool,
) -> Result<Realm, String> {
    if upstream.is_https() && !realm.is_https() {
        return Err(format!(
            "names a token realm without https, {realm}, which gets no request"
        ));
    }
    if configured.is_some_and(|own| own.same_origin(realm) && own.path() == realm.path()) {
        return Ok(Realm::Trusted);
    }
    let hub = upstream.is_https()
        && (upstream.host(), realm.host()) == DOCKER_HUB
        && (upstream.port(), realm.port()) == (443, 443);
    if upstream.host() == realm.host() || hub {
        return Ok(Realm::Trusted);
    }
    if has_credentials {
        return Err(format!(
            "names a token realm on another host, {realm}, which does not get the credentials \
             (if they are meant for it, set auth_realm to it)"
        ));
    }
    Ok(Realm::Anonymous)
}

/// An address that an upstream may not have. Its text follows the host's name.
#[derive(Debug)]
pub(super) struct ForbiddenAddress(pub(super) IpAddr);

impl fmt::Display for ForbiddenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "has the address {}, which is not public (an administrator can allow private addresses \
             for this upstream)",
            self.0
        )
    }
}

impl std::error::Error for ForbiddenAddress {}

/// Whether `address` is on the public internet: not loopback, link-local, private, shared (RFC 6598),
/// unspecified, multicast, broadcast, reserved, for tests or documentation, unique-local; nor an IPv6
/// address that holds such an IPv4 one.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let forbidden = a == 0
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_documentation()
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19))
        || a >= 224;
    !forbidden
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // Mapped and compatible IPv4, `::` and `::1`, and NAT64's local prefix.
        [0, 0, 0, 0, 0, _, _, _] | [0x64, 0xff9b, 1, ..] => false,
        // NAT64 and 6to4 lead to the IPv4 address within.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        // Teredo, benchmarks, ORCHID, documentation.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, ..] => false,
        // Global unicast is 2000::/3; unique-local, link-local, site-local and multicast are not.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// Judges a host that a proxy will resolve, where no address can be checked: literal addresses in any
/// notation that a resolver knows, and names that mean this machine, are refused unless public.
pub(super) fn may_ask_proxy_for(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse() {
        return is_public(address);
    }
    let name = host.trim_end_matches('.');
    let last = name.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().all(|b| b.is_ascii_digit())
        || last
            .strip_prefix("0x")
            .is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    !numeric && last != "localhost"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn credentials_go_only_where_the_rules_say() {
        use Realm::{Anonymous, Trusted};
        const HUB: &str = "https://registry-1.docker.io";
        type Case = (
            &'static str,
            &'static str,
            Option<&'static str>,
            bool,
            Option<Realm>,
        );
        let cases: &[Case] = &[
            // The upstream's own host, any port, never less secure.
            (
                "https://r.io",
                "https://r.io/token",
                None,
                true,
                Some(Trusted),
            ),
            (
                "https://r.io",
                "https://r.io:8443/token",
                None,
                true,
                Some(Trusted),
            ),
            (
                "https://r.io",
                "https://R.IO/token",
                None,
                true,
                Some(Trusted),
            ),
            (
                "http://r.io",
                "http://r.io/token",
                None,
                true,
                Some(Trusted),
            ),
            (
                "http://r.io",
                "https://r.io/token",
                None,
                true,
                Some(Trusted),
            ),
            ("https://r.io", "http://r.io/token", None, true, None),
            ("https://r.io", "http://r.io/token", None, false, None),
            // A host that only looks like it.
            ("https://r.io", "https://r.io.evil/token", None, true, None),
            ("https://r.io", "https://auth.r.io/token", None, true, None),
            ("https://r.io", "https://evil/r.io", None, true, None),
            // Docker Hub's pair, only as it is.
            (
                HUB,
                "https://auth.docker.io/token",
                None,
                true,
                Some(Trusted),
            ),
            (HUB, "https://auth.docker.io:8443/token", None, true, None),
            (HUB, "http://auth.docker.io/token", None, true, None),
            (
                "http://registry-1.docker.io",
                "https://auth.docker.io/token",
                None,
                true,
                None,
            ),
            (
                "https://auth.docker.io",
                "https://registry-1.docker.io/t",
                None,
                true,
                None,
            ),
            (
                "https://r.io",
                "https://auth.docker.io/token",
                None,
                true,
                None,
            ),
            // The operator configured this URL and no other; the challenge adds the query.
            (
                "https://r.io",
                "https://sso.x/t?a",
                Some("https://sso.x/t"),
                true,
                Some(Trusted),
            ),
            (
                "https://r.io",
                "https://sso.x/other",
                Some("https://sso.x/t"),
                true,
                None,
            ),
            (
                "https://r.io",
                "https://sso.x:1/t",
                Some("https://sso.x/t"),
                true,
                None,
            ),
            (
                "https://r.io",
                "http://sso.x/t",
                Some("http://sso.x/t"),
                true,
                None,
            ),
            (
                "http://r.io",
                "http://sso.x/t",
                Some("http://sso.x/t"),
                true,
                Some(Trusted),
            ),
            (
                "https://r.io",
                "http://sso.x/t",
                Some("https://sso.x/t"),
                true,
                None,
            ),
            // Without credentials another host may be asked, but never in the clear.
            (
                "https://r.io",
                "https://auth.r.io/token",
                None,
                false,
                Some(Anonymous),
            ),
            ("https://r.io", "http://auth.r.io/token", None, false, None),
            (
                "http://r.io",
                "http://auth.r.io/token",
                None,
                false,
                Some(Anonymous),
            ),
        ];
        for (upstream, at, configured, credentials, expected) in cases {
            let configured = configured.map(url);
            let judged = realm(&url(upstream), &url(at), configured.as_ref(), *credentials);
            assert_eq!(
                judged.ok(),
                *expected,
                "{upstream} {at} {configured:?} {credentials}"
            );
        }
    }

    #[test]
    fn redirects_never_lose_https() {
        for (from, to, allowed) in [
            ("https://a", "https://b", true),
            ("http://a", "http://b", true),
            ("http://a", "https://b", true),
            ("https://a", "http://a", false),
        ] {
            assert_eq!(
                redirect(&url(from), &url(to)).is_ok(),
                allowed,
                "{from} {to}"
            );
        }
    }

    #[test]
    fn only_public_addresses_are_public() {
        for (address, public) in [
            ("1.1.1.1", true),
            ("100.63.255.255", true),
            ("100.128.0.0", true),
            ("172.32.0.1", true),
            ("192.0.1.1", true),
            ("223.255.255.255", true),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("10.0.0.1", false),
            ("100.64.0.1", false),
            ("100.127.255.255", false),
            ("127.0.0.1", false),
            ("127.255.0.1", false),
            ("169.254.169.254", false),
            ("172.16.0.1", false),
            ("172.31.255.255", false),
            ("192.0.0.8", false),
            ("192.0.2.1", false),
            ("192.168.0.1", false),
            ("198.18.0.1", false),
            ("224.0.0.1", false),
            ("240.0.0.1", false),
            ("255.255.255.255", false),
            ("2606:4700::1111", true),
            ("2a00:1450::1", true),
            ("64:ff9b::101:101", true),
            ("2002:101:101::", true),
            ("::", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:1.1.1.1", false),
            ("::7f00:1", false),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b::a00:1", false),
            ("64:ff9b:1::1", false),
            ("2002:7f00:1::", false),
            ("2001::1", false),
            ("2001:db8::1", false),
            ("fc00::1", false),
            ("fd12::1", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
            ("100::1", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
    }

    #[test]
    fn a_proxy_is_not_asked_for_addresses_of_this_machine() {
        for (host, allowed) in [
            ("quay.io", true),
            ("1.1.1.1", true),
            ("127.0.0.1", false),
            ("[::1]", false),
            ("[2606:4700::1111]", true),
            ("localhost", false),
            ("a.localhost", false),
            ("localhost.", false),
            ("2130706433", false),
            ("0x7f000001", false),
            ("0x7f.1", false),
            ("127.1", false),
        ] {
            assert_eq!(may_ask_proxy_for(host), allowed, "{host}");
        }
    }
}
