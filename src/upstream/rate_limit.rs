//! Docker Hub's rate limit, as its headers tell it on answers about manifests: `ratelimit-limit:
//! 100;w=21600`, `ratelimit-remaining: 76;w=21600`, `docker-ratelimit-source: 192.0.2.1`; and
//! `Retry-After`. Pure, the clock is a parameter. Nothing is decided here.

use std::time::Duration;

use crate::error::excerpt;
use crate::time::Timestamp;

/// Docker Hub's `ratelimit-*` headers.
#[derive(
    Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Pulls within the window.
    pub limit: u64,
    /// Pulls that are left.
    pub remaining: u64,
    pub window_seconds: u64,
    /// `docker-ratelimit-source`: the address or account that is counted.
    pub source: Option<String>,
    /// When an answer said so.
    pub read_at: Timestamp,
}

impl RateLimit {
    /// When the window ends at the latest, if what remains was read at its beginning.
    pub fn ends_at(&self) -> Timestamp {
        self.read_at.plus(Duration::from_secs(self.window_seconds))
    }

    /// Reads the headers of one answer; `None` unless both limit and remainder are there and numbers.
    pub(super) fn read<'a>(
        header: impl Fn(&str) -> Option<&'a str>,
        now: Timestamp,
    ) -> Option<Self> {
        let (limit, window) = quota(header("ratelimit-limit")?)?;
        let (remaining, other_window) = quota(header("ratelimit-remaining")?)?;
        Some(Self {
            limit,
            remaining,
            window_seconds: window.or(other_window).unwrap_or(0),
            source: header("docker-ratelimit-source").map(|source| excerpt(source.trim())),
            read_at: now,
        })
    }
}

/// `100;w=21600` → 100 and the window, if it was said.
fn quota(text: &str) -> Option<(u64, Option<u64>)> {
    let mut parts = text.split(';').map(str::trim);
    let amount = parts.next()?.parse().ok()?;
    let window = parts
        .find_map(|part| part.strip_prefix("w="))
        .and_then(|window| window.parse().ok());
    Some((amount, window))
}

/// `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date. A date that is past is zero; more than
/// a day is a day.
pub(super) fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let text = text.trim();
    let wait = if text.bytes().all(|b| b.is_ascii_digit()) {
        // A number too large for u64 is still a number: the bound below is what counts.
        (!text.is_empty()).then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)))?
    } else {
        let date = jiff::fmt::rfc2822::DateTimeParser::new()
            .relaxed_weekday(true)
            .parse_timestamp(text)
            .ok()?;
        Timestamp(date.as_second()).since(now)
    };
    Some(wait.min(DAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(784_111_777); // Sun, 06 Nov 1994 08:49:37 GMT

    #[test]
    fn docker_hubs_headers_are_read() {
        let full = |limit, remaining, window_seconds, source: Option<&str>| {
            Some(RateLimit {
                limit,
                remaining,
                window_seconds,
                source: source.map(str::to_owned),
                read_at: NOW,
            })
        };
        type Header = Option<&'static str>;
        type Case = (Header, Header, Header, Option<RateLimit>);
        let cases: &[Case] = &[
            (
                Some("100;w=21600"),
                Some("76;w=21600"),
                Some("192.0.2.1"),
                full(100, 76, 21600, Some("192.0.2.1")),
            ),
            (Some("200"), Some("0"), None, full(200, 0, 0, None)),
            (
                Some(" 200 ; w=60"),
                Some("1"),
                Some("a\nb"),
                full(200, 1, 60, Some("a\\nb")),
            ),
            (
                Some("100;w=x"),
                Some("5;w=60"),
                None,
                full(100, 5, 60, None),
            ),
            (Some("many"), Some("5"), None, None),
            (Some("100"), None, None, None),
            (None, Some("5"), None, None),
            (Some("-1"), Some("5"), None, None),
        ];
        for (limit, remaining, source, expected) in cases {
            let read = RateLimit::read(
                |name| match name {
                    "ratelimit-limit" => *limit,
                    "ratelimit-remaining" => *remaining,
                    "docker-ratelimit-source" => *source,
                    _ => None,
                },
                NOW,
            );
            assert_eq!(read, *expected, "{limit:?} {remaining:?}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let cases = [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("99999999999999999999999", Some(86_400)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:48:37 GMT", Some(0)),
            ("Sun, 06 Nov 2094 08:49:37 GMT", Some(86_400)),
            ("", None),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
        ];
        for (text, expected) in cases {
            let expected = expected.map(Duration::from_secs);
            assert_eq!(retry_after(text, NOW), expected, "{text:?}");
        }
    }
}
