//! Points in time in the past, as people write them. Pure.

use crate::error::{Error, Kind, Result, excerpt};
use crate::time::{Timestamp, parse_moment};

/// A moment, or how long before `now`: `24h`, `30d`.
///
/// # Errors
/// `Usage`, with the argument that it was given as.
pub(super) fn parse_past(argument: &str, text: &str, now: Timestamp) -> Result<Timestamp> {
    let ago = || {
        let seconds = humantime::parse_duration(text).ok()?.as_secs();
        now.0
            .checked_sub(i64::try_from(seconds).ok()?)
            .map(Timestamp)
    };
    parse_moment(text).or_else(ago).ok_or_else(|| {
        let what = format!("`{}` is no value of {argument}", excerpt(text));
        Error::new(Kind::Usage, what).remedy("write 24h, 30d, 2027-01-31 or 2027-01-31T12:00:00Z")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_is_a_moment_or_a_time_ago() {
        // 2026-11-23T00:00:00Z
        let now = Timestamp(1_795_392_000);
        for (text, expected) in [
            ("24h", Some("2026-11-22T00:00:00Z")),
            ("1d 12h", Some("2026-11-21T12:00:00Z")),
            ("0s", Some("2026-11-23T00:00:00Z")),
            ("2026-11-01", Some("2026-11-01T00:00:00Z")),
            ("2026-11-01T12:00:00+02:00", Some("2026-11-01T10:00:00Z")),
            // Nothing has happened since then, but that is an answer too.
            ("2030-01-01", Some("2030-01-01T00:00:00Z")),
            ("yesterday", None),
            ("2026-11-31", None),
            ("-1h", None),
            ("", None),
        ] {
            let got = parse_past("--since", text, now)
                .ok()
                .map(|at| at.to_string());
            assert_eq!(got.as_deref(), expected, "{text:?}");
        }
    }
}
