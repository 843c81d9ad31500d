//! Points in time as Unix seconds, as they stand in SQLite, JWTs and headers.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longer than anything here waits.
const NEVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Whole seconds since 1970-01-01 UTC.
///
/// JSON has it as text, as people read it: `"2026-11-23T05:43:12Z"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The system clock's time. Layers that must be pure take a `Timestamp` instead of calling this.
    pub fn now() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    }

    /// This time plus `duration`, in whole seconds; saturates.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)),
        )
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC: `2026-11-23T05:43:12Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0) {
            Ok(time) => write!(f, "{time}"),
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_moment(&text).ok_or_else(|| serde::de::Error::custom("it is no time"))
    }
}

/// The moment `wait` after `now`. A configuration or an upstream may say "never" with a number that no clock can add,
/// which `+` panics at: that is a year later.
pub fn after(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait.min(NEVER)).unwrap_or(now)
}

/// The moment at which `wait` is over.
pub fn deadline(wait: Duration) -> Instant {
    after(Instant::now(), wait)
}

/// The first moment, in UTC, of the month that `time` is in.
pub fn month_of(time: Timestamp) -> Timestamp {
    let begin = || {
        let date = jiff::Timestamp::from_second(time.0).ok()?;
        let date = jiff::tz::Offset::UTC.to_datetime(date).date();
        let midnight = date
            .first_of_month()
            .to_datetime(jiff::civil::Time::midnight());
        let midnight = jiff::tz::Offset::UTC.to_timestamp(midnight).ok()?;
        Some(Timestamp(midnight.as_second()))
    };
    begin().unwrap_or(time)
}

/// An RFC 3339 time, or a date: its first moment in UTC. `None` for anything else.
pub fn parse_moment(text: &str) -> Option<Timestamp> {
    // Time before date: a date's parser would take a time's date and forget the rest.
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(Timestamp(time.as_second()));
    }
    let date = (text.len() == 10).then(|| text.parse::<jiff::civil::Date>());
    let midnight = date?.ok()?.to_datetime(jiff::civil::Time::midnight());
    let midnight = jiff::tz::Offset::UTC.to_timestamp(midnight).ok()?;
    Some(Timestamp(midnight.as_second()))
}
