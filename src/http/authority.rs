//! What a request is addressed to: `Host` and the four forms of the request target (RFC 9112 section 3.2).
//!
//! Stricter than the grammar of URIs where nobody needs the freedom, because the host becomes part of URLs
//! that are sent back, and the path decides what may be seen.

use std::net::{IpAddr, Ipv6Addr};

use super::{Refused, Scheme};

/// A request target, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) path: String,
    pub(super) query: Option<String>,
    /// The authority of the absolute form, which counts instead of `Host`.
    pub(super) authority: Option<String>,
}

/// Reads `target`. `CONNECT` must have been refused before: its authority form is none of these.
pub(super) fn parse_target(method: &str, target: &[u8]) -> Result<Target, Refused> {
    let visible = target.iter().all(|byte| matches!(byte, b'!'..=b'~'));
    let target = str::from_utf8(target)
        .ok()
        .filter(|text| visible && !text.contains('#'))
        .ok_or(Refused::bad(
            "the request target holds a character that it must not hold",
        ))?;
    if target.starts_with('/') {
        let (path, query) = split_query(target);
        return Ok(Target {
            path: path.to_owned(),
            query,
            authority: None,
        });
    }
    if target == "*" && method == "OPTIONS" {
        return Ok(Target {
            path: target.to_owned(),
            query: None,
            authority: None,
        });
    }
    absolute_form(method, target)
}

fn absolute_form(method: &str, target: &str) -> Result<Target, Refused> {
    const FORM: Refused = Refused::bad("the request target is neither a path nor a URL");
    let (scheme, rest) = target.split_once("://").ok_or(FORM)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(FORM);
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let (path, query) = split_query(rest);
    let path = match path {
        // RFC 9112 section 3.2.4: this is how a proxy is asked for `OPTIONS *` of the server behind it.
        "" if method == "OPTIONS" && query.is_none() => "*",
        "" => "/",
        path => path,
    };
    Ok(Target {
        path: path.to_owned(),
        query,
        authority: Some(parse_authority(authority.as_bytes())?),
    })
}

fn split_query(target: &str) -> (&str, Option<String>) {
    match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    }
}

/// Checks `host[:port]` and gives it in lower case, without an empty port.
///
/// Names of letters, digits, `-`, `.` and `_`, IPv4 and `[IPv6]`; user information, percent-encoding and
/// zone ids are refused.
pub(super) fn parse_authority(authority: &[u8]) -> Result<String, Refused> {
    str::from_utf8(authority)
        .ok()
        .and_then(checked)
        .ok_or(Refused::bad(
            "the host that the request names is no host[:port]",
        ))
}

/// The host and the port that an authority names, to be compared with those of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    pub host: Host,
    /// The port that it names, or else the scheme's.
    pub port: u16,
}

/// What a host is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// By its address; IPv4-mapped IPv6 addresses are IPv4 here.
    Address(IpAddr),
    /// By a name, in lower case and without the dot that a complete one may end in.
    Name(String),
}

impl Authority {
    /// Reads `host[:port]`, as in a URL of this scheme; `None` where it is none.
    pub fn parse(authority: &str, scheme: Scheme) -> Option<Self> {
        let authority = checked(authority)?;
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority.as_str(), scheme.default_port()),
        };
        let name = host.strip_suffix('.').unwrap_or(host);
        let address = name.trim_start_matches('[').trim_end_matches(']').parse();
        let host = match address {
            Ok(address) => Host::Address(IpAddr::to_canonical(&address)),
            Err(_) => Host::Name(name.to_owned()),
        };
        Some(Self { host, port })
    }
}

fn checked(authority: &str) -> Option<String> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            let host = authority.strip_suffix(port)?;
            let port = match port.strip_prefix(':') {
                Some(port) => port,
                None if port.is_empty() => port,
                None => return None,
            };
            (host, port)
        }
        None => {
            let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            (!host.is_empty() && host.len() <= 255 && host.bytes().all(plain))
                .then_some((host, port))?
        }
    };
    let mut host = host.to_ascii_lowercase();
    if !port.is_empty() {
        let digits = port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| port.parse::<u16>().ok())??;
        host.push(':');
        host.push_str(&number.to_string());
    }
    Some(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hosts() {
        let cases: &[(&str, Option<&str>)] = &[
            ("a", Some("a")),
            ("Registry.Example.ORG", Some("registry.example.org")),
            ("localhost:5000", Some("localhost:5000")),
            ("a_b-c.d:080", Some("a_b-c.d:80")),
            ("a:", Some("a")),
            ("127.0.0.1:5000", Some("127.0.0.1:5000")),
            ("[::1]", Some("[::1]")),
            ("[::1]:5000", Some("[::1]:5000")),
            ("[2001:DB8::1]:", Some("[2001:db8::1]")),
            ("", None),
            (":80", None),
            ("a b", None),
            ("a,b", None),
            ("a/b", None),
            ("a?b", None),
            ("a#b", None),
            ("a\\b", None),
            ("a@b", None),
            ("u:p@b", None),
            ("a%41", None),
            ("a:b", None),
            ("a:-1", None),
            ("a:+1", None),
            ("a:65536", None),
            ("a:000080", None),
            ("a:80:80", None),
            ("::1", None),
            ("[::1", None),
            ("[::1]5000", None),
            ("[fe80::1%25eth0]", None),
            ("[v1.a]", None),
            ("[127.0.0.1]", None),
            ("[]", None),
            ("\u{e4}", None),
            ("a\"", None),
            ("<script>", None),
        ];
        for (input, expected) in cases {
            let result = parse_authority(input.as_bytes()).ok();
            assert_eq!(result.as_deref(), *expected, "{input:?}");
        }
        assert!(parse_authority(&[b'a'; 256]).is_err());
        assert!(parse_authority(b"a\xff").is_err());
    }

    #[test]
    fn authorities_are_compared_by_host_and_port() {
        use Scheme::{Http, Https};
        let read = |text: &str, scheme| {
            let authority = Authority::parse(text, scheme)?;
            Some(match authority.host {
                Host::Address(address) => format!("address {address} {}", authority.port),
                Host::Name(name) => format!("name {name} {}", authority.port),
            })
        };
        let cases: &[(&str, Scheme, Option<&str>)] = &[
            ("Box.Example", Http, Some("name box.example 80")),
            ("box.example.", Https, Some("name box.example 443")),
            ("box.example.:5000", Https, Some("name box.example 5000")),
            ("box.example:", Http, Some("name box.example 80")),
            ("127.0.0.1:5000", Http, Some("address 127.0.0.1 5000")),
            ("127.0.0.1.", Http, Some("address 127.0.0.1 80")),
            ("[::1]", Https, Some("address ::1 443")),
            ("[0:0::1]:5000", Http, Some("address ::1 5000")),
            ("[::ffff:10.0.0.1]:5", Http, Some("address 10.0.0.1 5")),
            ("127.1", Http, Some("name 127.1 80")),
            ("", Http, None),
            ("a/b", Http, None),
            ("u@a", Http, None),
        ];
        for (text, scheme, expected) in cases {
            assert_eq!(read(text, *scheme).as_deref(), *expected, "{text}");
        }
    }

    #[test]
    fn targets() {
        let target = |path: &str, query: Option<&str>, authority: Option<&str>| {
            Some(Target {
                path: path.into(),
                query: query.map(Into::into),
                authority: authority.map(Into::into),
            })
        };
        let cases: &[(&str, &str, Option<Target>)] = &[
            ("GET", "/", target("/", None, None)),
            ("GET", "/v2/?", target("/v2/", Some(""), None)),
            ("GET", "/a?b=c?d", target("/a", Some("b=c?d"), None)),
            ("GET", "//a", target("//a", None, None)),
            ("GET", "/%2e%2e/", target("/%2e%2e/", None, None)),
            ("OPTIONS", "*", target("*", None, None)),
            ("OPTIONS", "http://a", target("*", None, Some("a"))),
            ("OPTIONS", "http://a/", target("/", None, Some("a"))),
            (
                "GET",
                "http://A:80/b?c",
                target("/b", Some("c"), Some("a:80")),
            ),
            ("GET", "HTTPS://a", target("/", None, Some("a"))),
            ("GET", "http://a?b", target("/", Some("b"), Some("a"))),
            (
                "GET",
                "http://[::1]:5/b",
                target("/b", None, Some("[::1]:5")),
            ),
            ("GET", "*", None),
            ("GET", "", None),
            ("GET", "a", None),
            ("GET", "a:80", None),
            ("GET", "?a", None),
            ("GET", "/a#b", None),
            ("GET", "/a\tb", None),
            ("GET", "/\u{e4}", None),
            ("GET", "ftp://a/", None),
            ("GET", "http:///a", None),
            ("GET", "http://", None),
            ("GET", "http://u@a/", None),
            ("GET", "http:/a", None),
            ("GET", "http://a b/", None),
        ];
        for (method, input, expected) in cases {
            let result = parse_target(method, input.as_bytes()).ok();
            assert_eq!(result, *expected, "{method} {input:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_paths_are_visible(target: Vec<u8>) {
            if let Ok(target) = parse_target("OPTIONS", &target) {
                prop_assert!(target.path == "*" || target.path.starts_with('/'));
                prop_assert!(target.path.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }

        #[test]
        fn a_checked_host_stays_as_it_is(host in "[a-zA-Z0-9.:_\\[\\]-]{0,24}") {
            if let Ok(once) = parse_authority(host.as_bytes()) {
                prop_assert_eq!(parse_authority(once.as_bytes()), Ok(once.clone()));
            }
        }
    }
}
