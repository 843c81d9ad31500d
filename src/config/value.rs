//! The small languages in which values are written: sizes, times, addresses, networks, URLs.
//!
//! Pure. Every parser says in one sentence what is wrong; the caller adds which key, and where.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::error::excerpt;
use crate::oci::RepositoryName;

/// An amount of disk: bytes, or a share of the filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// So many bytes.
    Bytes(u64),
    /// So many hundredths of the filesystem, 0 to 100.
    Percent(u8),
}

impl Size {
    /// Reads a size as the configuration does.
    ///
    /// # Errors
    /// A sentence about what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        size(text)
    }

    /// In bytes, of a filesystem of that size.
    pub fn of(self, filesystem: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => (filesystem / 100).saturating_mul(u64::from(percent)),
        }
    }

    /// As [`Self::of`], where zero means that there is no limit.
    pub fn limit(self, filesystem: u64) -> Option<u64> {
        Some(self.of(filesystem)).filter(|bytes| *bytes > 0)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{bytes}B"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// A sentence about what is wrong with a value.
pub(super) type Wrong = String;

/// `0`, `500MB` (powers of 1000), `10GiB` (powers of 1024), `5%`.
pub(super) fn size(text: &str) -> Result<Size, Wrong> {
    let wrong = || "it is no size such as 10GiB, 500MB or 5%".to_owned();
    let text = text.trim();
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = text.strip_suffix(unit).unwrap_or_default();
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let unit = unit.trim().to_ascii_lowercase();
    if unit == "%" {
        return match u8::try_from(number) {
            Ok(percent @ 0..=100) => Ok(Size::Percent(percent)),
            _ => Err("it is more than 100%".to_owned()),
        };
    }
    let factor: u64 = match unit.as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(wrong()),
    };
    let bytes = number
        .checked_mul(factor)
        .ok_or("it is larger than any disk")?;
    Ok(Size::Bytes(bytes))
}

/// `30s`, `15m`, `24h`, `30d`, `1h 30m`, `0`.
pub(super) fn duration(text: &str) -> Result<Duration, Wrong> {
    humantime::parse_duration(text.trim())
        .map_err(|_| "it is no time such as 30s, 15m, 24h or 30d".to_owned())
}

/// `127.0.0.1:5000`, `[::1]:5000`.
pub(super) fn address(text: &str) -> Result<SocketAddr, Wrong> {
    text.trim().parse().map_err(|_| {
        format!(
            "`{}` is no IP address with a port, such as 127.0.0.1:5000 or [::]:5000",
            excerpt(text)
        )
    })
}

/// `10.0.0.0/8`, `fd00::/8`, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, Wrong> {
    let text = text.trim();
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
        .map(|network| network.trunc())
        .map_err(|_| format!("`{}` is no network such as 10.0.0.0/8", excerpt(text)))
}

/// Whatever is written.
pub(super) fn any(text: &str) -> Result<String, Wrong> {
    Ok(text.to_owned())
}

/// A URL of http or https with a host, perhaps a port and a path; given back without a slash at its
/// end. User information is refused because it would stand in logs, query and fragment because
/// paths are appended.
pub(super) fn url(text: &str) -> Result<String, Wrong> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .ok_or("it is no URL that begins with https:// or http://")?;
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it holds a space, or a character that is not ASCII".to_owned());
    }
    if rest.contains(['?', '#']) {
        return Err("a query or a fragment makes no sense here".to_owned());
    }
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return Err("a user name or password does not belong into a URL".to_owned());
    }
    check_authority(authority)?;
    Ok(text.trim_end_matches('/').to_owned())
}

/// As [`url`], but without a path; or nothing at all.
pub(super) fn origin_url(text: &str) -> Result<String, Wrong> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let url = url(text)?;
    if url.matches('/').count() > 2 {
        return Err("a path makes no sense here: registries live at the root of a host".to_owned());
    }
    Ok(url)
}

fn check_authority(authority: &str) -> Result<(), Wrong> {
    let no_host = || "it names no valid host".to_owned();
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(no_host)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| no_host())?;
            let port = match port.strip_prefix(':') {
                None if port.is_empty() => None,
                None => return Err(no_host()),
                some => some,
            };
            ("v6", port)
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if host.len() > 253 || !host.trim_end_matches('.').split('.').all(label) {
        return Err(no_host());
    }
    let valid = |port: &str| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    match port {
        Some(port) if !valid(port) => Err("its port is no number from 1 to 65535".to_owned()),
        _ => Ok(()),
    }
}

/// A group's path of one part.
pub(super) fn top_level_group(text: &str) -> Result<String, Wrong> {
    match RepositoryName::parse(text) {
        Ok(name) if name.components().count() == 1 && !text.contains('.') => Ok(text.to_owned()),
        _ => Err(
            "it is no name of a top-level group: lower-case letters, digits, _ and -".to_owned(),
        ),
    }
}

/// A level, or directives as tracing-subscriber's `EnvFilter` reads them.
pub(super) fn log_level(text: &str) -> Result<String, Wrong> {
    let wrong = || {
        "it is none of error, warn, info, debug, trace, off, nor directives such as info,breakwater::proxy=debug".to_owned()
    };
    // A single unknown word would pass as the name of a module, and silence everything else.
    let word = !text.contains(['=', ',']);
    let level = ["error", "warn", "info", "debug", "trace", "off"]
        .iter()
        .any(|level| text.eq_ignore_ascii_case(level));
    if word && !level {
        return Err(wrong());
    }
    match text.parse::<tracing_subscriber::filter::EnvFilter>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_shares() {
        let cases: &[(&str, Option<Size>)] = &[
            ("0", Some(Size::Bytes(0))),
            ("500MB", Some(Size::Bytes(500_000_000))),
            ("10GiB", Some(Size::Bytes(10 << 30))),
            ("10 gib", Some(Size::Bytes(10 << 30))),
            ("1TB", Some(Size::Bytes(1_000_000_000_000))),
            ("5%", Some(Size::Percent(5))),
            ("100%", Some(Size::Percent(100))),
            ("101%", None),
            ("300%", None),
            ("", None),
            ("GiB", None),
            ("-1", None),
            ("1.5GiB", None),
            ("10XB", None),
            ("99999999999TiB", None),
            ("é", None),
        ];
        for (text, expected) in cases {
            assert_eq!(size(text).ok(), *expected, "{text:?}");
        }
    }

    #[test]
    fn times_have_units() {
        for (text, seconds) in [
            ("30s", 30),
            ("15m", 900),
            ("24h", 86_400),
            ("30d", 2_592_000),
            ("0", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for text in ["", "15", "m", "-1s", "fortnight"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn urls_have_a_host_and_no_secrets() {
        let cases: &[(&str, Option<&str>)] = &[
            (
                "https://registry-1.docker.io",
                Some("https://registry-1.docker.io"),
            ),
            (
                "https://registry-1.docker.io/",
                Some("https://registry-1.docker.io"),
            ),
            ("http://127.0.0.1:5000", Some("http://127.0.0.1:5000")),
            ("http://[::1]:5000", Some("http://[::1]:5000")),
            ("https://[::1]", Some("https://[::1]")),
            ("https://host/path", Some("https://host/path")),
            ("docker.io", None),
            ("ftp://docker.io", None),
            ("https://", None),
            ("https:///v2", None),
            ("https://user:secret@docker.io", None),
            ("https://docker.io?x=y", None),
            ("https://docker.io/#x", None),
            ("https://docker.io:0", None),
            ("https://docker.io:70000", None),
            ("https://docker.io:+1", None),
            ("https://docker.io:", None),
            ("https://a b", None),
            ("https://a..b", None),
            ("https://-a", None),
            ("https://[::1", None),
            ("https://[::1]x", None),
            ("https://dö.io", None),
            ("https://a\nb", None),
        ];
        for (text, expected) in cases {
            assert_eq!(url(text).ok().as_deref(), *expected, "{text:?}");
        }
        assert!(origin_url("https://box.example/path").is_err());
        assert_eq!(
            origin_url("https://box.example/"),
            Ok("https://box.example".to_owned())
        );
        assert_eq!(origin_url(""), Ok(String::new()));
    }

    #[test]
    fn networks_are_cut_to_their_prefix() {
        assert_eq!(network("10.1.2.3/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(network("::1").unwrap().to_string(), "::1/128");
        assert!(network("10.0.0.0/33").is_err());
        assert!(network("localhost").is_err());
    }

    #[test]
    fn levels_are_words_or_directives() {
        for text in ["info", "WARN", "off", "info,breakwater::proxy=debug"] {
            assert!(log_level(text).is_ok(), "{text}");
        }
        for text in ["", "verbose", "info,breakwater=loud"] {
            assert!(log_level(text).is_err(), "{text}");
        }
    }
}
