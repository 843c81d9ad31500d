//! The nightly run: saves the rows of the databases, so that a box that loses one loses a day of it at most.
//!
//! The time comes from the caller. A night that the box was off, or the disk full, is made up for.

use crate::error::Result;
use crate::store::Store;
use crate::time::Timestamp;

const DAY: i64 = 24 * 60 * 60;
/// When a night's run is due, in seconds after midnight UTC.
const HOUR: i64 = 2 * 60 * 60;

/// Saves the rows if that was not done since the last night; says whether it was done now.
///
/// # Errors
/// Those of [`Store::save_rows`].
pub fn save_if_due(store: &Store, now: Timestamp) -> Result<bool> {
    let is_due = is_due(store.rows_saved_at(), now);
    if is_due {
        store.save_rows(now)?;
    }
    Ok(is_due)
}

fn is_due(saved_at: Option<Timestamp>, now: Timestamp) -> bool {
    let since_two = now.0.saturating_sub(HOUR).rem_euclid(DAY);
    let night = Timestamp(now.0.saturating_sub(since_two));
    // What was saved while the clock was ahead would otherwise count until the clock gets there.
    saved_at.is_none_or(|saved_at| saved_at < night || saved_at > now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::parse_moment;

    #[test]
    fn every_night_is_due_once_and_a_missed_one_is_made_up_for() {
        let at = |text: &str| parse_moment(text).unwrap();
        let now = at("2026-03-10T01:59:59Z");
        let (morning, noon) = (at("2026-03-10T02:00:00Z"), at("2026-03-10T12:00:00Z"));
        for (saved, now, expected) in [
            (None, now, true),
            (Some("2026-03-09T02:00:05Z"), now, false),
            (Some("2026-03-09T01:59:00Z"), now, true),
            (Some("2026-03-09T02:00:05Z"), morning, true),
            (Some("2026-03-10T02:00:00Z"), noon, false),
            (Some("2026-03-01T02:00:00Z"), noon, true),
            (Some("2027-01-01T02:00:00Z"), noon, true),
        ] {
            assert_eq!(is_due(saved.map(at), now), expected, "{saved:?} {now}");
        }
    }
}
