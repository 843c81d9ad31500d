//! When a token ends: as people write it, and whether it is soon. Pure.

use std::time::Duration;

use crate::error::{Error, Kind, Result, excerpt};
use crate::store::{Token, TokenKind};
use crate::time::{Timestamp, parse_moment};

/// How long before its end a token ends soon.
const SOON: Duration = Duration::from_secs(14 * 86_400);
/// Whoever makes a token for no longer than this does not wait to be told of its end.
const SHORT_LIFE: Duration = Duration::from_secs(28 * 86_400);
/// The furthest that a time from now may lie away: a hundred years.
const FURTHEST: Duration = Duration::from_secs(100 * 365 * 86_400);
/// The longest that a job may take.
const LONGEST_JOB: Duration = Duration::from_secs(30 * 86_400);

/// `30d` from `now`, a date (its first moment in UTC), an RFC 3339 time, or `never`.
pub fn parse_expiry(text: &str, now: Timestamp) -> Result<Option<Timestamp>> {
    let wrong =
        |what: String| Err(Error::new(Kind::Usage, what).remedy("write 30d, 2027-01-31 or never"));
    if text == "never" {
        return Ok(None);
    }
    let at = parse_moment(text).or_else(|| {
        let duration = humantime::parse_duration(text).ok();
        duration
            .filter(|duration| *duration <= FURTHEST)
            .map(|duration| now.plus(duration))
    });
    match at {
        None => wrong(format!("`{}` is no time to expire at", excerpt(text))),
        Some(at) if at <= now => wrong(format!("`{}` is not in the future", excerpt(text))),
        at => Ok(at),
    }
}

/// How long a job token lives: a second to 30 days.
pub fn parse_ttl(text: &str) -> Result<Duration> {
    let ttl = humantime::parse_duration(text).ok();
    ttl.filter(|ttl| (Duration::from_secs(1)..=LONGEST_JOB).contains(ttl))
        .ok_or_else(|| {
            let what = format!("`{}` is no time that a job token can live", excerpt(text));
            Error::new(Kind::Usage, what).remedy("write 1s to 30d, such as 1h")
        })
}

/// When a token ends that ends within two weeks, which was not meant when it was made: as that of a job, or of one
/// that was made for a week.
pub fn ends_soon(token: &Token, now: Timestamp) -> Option<Timestamp> {
    let is_soon = |at: &Timestamp| at.since(now) <= SOON && at.since(token.created_at) > SHORT_LIFE;
    let is_meant = token.is_active(now) && token.kind != TokenKind::Job;
    token.expires_at.filter(|at| is_meant && is_soon(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_is_a_time_from_now_a_date_or_never() {
        // 2026-11-23T00:00:00Z
        let now = Timestamp(1_795_392_000);
        assert_eq!(now.to_string(), "2026-11-23T00:00:00Z");
        let cases: &[(&str, Option<Option<&str>>)] = &[
            ("never", Some(None)),
            ("30d", Some(Some("2026-12-23T00:00:00Z"))),
            ("365d", Some(Some("2027-11-23T00:00:00Z"))),
            ("2h", Some(Some("2026-11-23T02:00:00Z"))),
            ("2027-01-31", Some(Some("2027-01-31T00:00:00Z"))),
            (
                "2027-01-31T12:00:00+02:00",
                Some(Some("2027-01-31T10:00:00Z")),
            ),
            ("2026-11-23", None),
            ("2020-01-01", None),
            ("0", None),
            ("200000000d", None),
            ("soon", None),
            ("", None),
            ("2027-02-30", None),
            ("2027-01-31T12:00:00", None),
        ];
        for (text, expected) in cases {
            let got = parse_expiry(text, now)
                .ok()
                .map(|at| at.map(|at| at.to_string()));
            let expected = expected.map(|at| at.map(str::to_owned));
            assert_eq!(got, expected, "{text:?}");
        }
    }

    #[test]
    fn a_job_lives_a_second_to_a_month() {
        for (text, seconds) in [
            ("1h", Some(3600)),
            ("90s", Some(90)),
            ("30d", Some(2_592_000)),
            ("31d", None),
            ("0s", None),
            ("never", None),
            ("", None),
        ] {
            let got = parse_ttl(text).ok().map(|ttl| ttl.as_secs());
            assert_eq!(got, seconds, "{text:?}");
        }
    }
}
