//! What was served and how much came and went, summed up by the hour: for charts. Beside what they are about: where the
//! rows of the cache are lost, what they said of it is of no use either.

use rusqlite::params;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CacheDb;
use crate::error::Result;
use crate::store::statement::{list, run, size, stored_size};
use crate::time::Timestamp;

const HOUR: i64 = 60 * 60;
/// So many of the newest stay, which are those of 400 days. Not by the clock: one that is far ahead, if only once, would
/// take all of them with it.
const KEPT: u32 = 9_600;

/// What a box did in some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sums {
    /// Manifests and blobs of upstreams' images that went to clients
    pub served: u64,
    /// Those of them that were kept already
    pub served_from_cache: u64,
    pub served_bytes: u64,
    pub served_bytes_from_cache: u64,
    /// Bytes that came from upstreams
    pub fetched_bytes: u64,
    /// Bytes of files that went for want of room, or of pulls
    pub evicted_bytes: u64,
    /// Requests that were refused for what the client is or is not: 401 and 429 to a login or token, 403, and what is hidden
    pub refused: u64,
}

impl Sums {
    /// Number by number.
    #[must_use]
    fn join(self, other: Self, each: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            served: each(self.served, other.served),
            served_from_cache: each(self.served_from_cache, other.served_from_cache),
            served_bytes: each(self.served_bytes, other.served_bytes),
            served_bytes_from_cache: each(
                self.served_bytes_from_cache,
                other.served_bytes_from_cache,
            ),
            fetched_bytes: each(self.fetched_bytes, other.fetched_bytes),
            evicted_bytes: each(self.evicted_bytes, other.evicted_bytes),
            refused: each(self.refused, other.refused),
        }
    }

    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.join(other, u64::saturating_add)
    }

    /// What came since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        self.join(earlier, u64::saturating_sub)
    }
}

impl CacheDb {
    /// Adds to the hour of `now`.
    ///
    /// # Errors
    /// `Full`, `Busy`, `Sql`.
    pub fn add_to_hour(&self, sums: &Sums, now: Timestamp) -> Result<()> {
        let hour = now.0.div_euclid(HOUR).saturating_mul(HOUR);
        self.database.write(|connection| {
            run(
                connection,
                "add to the sums of an hour",
                "INSERT INTO hours (begins_at, served, served_from_cache, served_bytes,
                     served_bytes_from_cache, fetched_bytes, evicted_bytes, refused)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (begins_at) DO UPDATE SET
                     served = served + excluded.served,
                     served_from_cache = served_from_cache + excluded.served_from_cache,
                     served_bytes = served_bytes + excluded.served_bytes,
                     served_bytes_from_cache
                         = served_bytes_from_cache + excluded.served_bytes_from_cache,
                     fetched_bytes = fetched_bytes + excluded.fetched_bytes,
                     evicted_bytes = evicted_bytes + excluded.evicted_bytes,
                     refused = refused + excluded.refused",
                params![
                    hour,
                    stored_size(sums.served),
                    stored_size(sums.served_from_cache),
                    stored_size(sums.served_bytes),
                    stored_size(sums.served_bytes_from_cache),
                    stored_size(sums.fetched_bytes),
                    stored_size(sums.evicted_bytes),
                    stored_size(sums.refused),
                ],
            )?;
            run(
                connection,
                "forget old hours",
                "DELETE FROM hours WHERE begins_at <=
                     (SELECT begins_at FROM hours ORDER BY begins_at DESC LIMIT 1 OFFSET ?1)",
                [KEPT],
            )
            .map(drop)
        })
    }

    /// The hours that begin from `from` on and not behind `until`, as they could where the clock was once ahead: those in
    /// which anything happened, in order.
    ///
    /// # Errors
    /// `Sql`.
    pub fn hours_between(
        &self,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<(Timestamp, Sums)>> {
        self.database.read(|connection| {
            list(
                connection,
                "list the sums of hours",
                "SELECT begins_at, served, served_from_cache, served_bytes,
                     served_bytes_from_cache, fetched_bytes, evicted_bytes, refused
                 FROM hours WHERE begins_at BETWEEN ?1 AND ?2 ORDER BY begins_at",
                [from.0, until.0],
                |row| {
                    let sums = Sums {
                        served: size(row, 1)?,
                        served_from_cache: size(row, 2)?,
                        served_bytes: size(row, 3)?,
                        served_bytes_from_cache: size(row, 4)?,
                        fetched_bytes: size(row, 5)?,
                        evicted_bytes: size(row, 6)?,
                        refused: size(row, 7)?,
                    };
                    Ok((row.get(0)?, sums))
                },
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(count: u64) -> Sums {
        Sums {
            served: count,
            ..Sums::default()
        }
    }

    #[test]
    fn an_hour_is_added_up_and_goes_after_four_hundred_days_of_hours() {
        let directory = tempfile::tempdir().unwrap();
        let cache = CacheDb::open(&directory.path().join("cache.sqlite")).unwrap();
        let day = 24 * HOUR;
        let add = |count, at| cache.add_to_hour(&served(count), Timestamp(at)).unwrap();
        add(1, 1_000 * day + 1);
        add(2, 1_000 * day + HOUR - 1);
        add(4, 1_000 * day + HOUR);
        let hours = |from| {
            let until = Timestamp(2_000 * day);
            cache.hours_between(Timestamp(from), until).unwrap()
        };
        let first = (Timestamp(1_000 * day), served(3));
        let second = (Timestamp(1_000 * day + HOUR), served(4));
        assert_eq!(hours(0), [first, second]);
        assert_eq!(hours(1_000 * day + 1), [second]);
        let last = i64::from(KEPT);
        for number in 2..=last {
            add(8, 1_000 * day + number * HOUR);
        }
        let left = hours(0);
        assert_eq!(left.first(), Some(&second));
        let last = (Timestamp(1_000 * day + last * HOUR), served(8));
        assert_eq!(left.last(), Some(&last));
    }

    #[test]
    fn a_clock_that_was_ahead_once_takes_no_history_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let cache = CacheDb::open(&directory.path().join("cache.sqlite")).unwrap();
        let now = 20_000 * 24 * HOUR;
        let add = |count, at| cache.add_to_hour(&served(count), Timestamp(at)).unwrap();
        add(1, now - HOUR);
        add(2, now + 10_000 * 24 * HOUR);
        add(4, now);
        let hours = cache.hours_between(Timestamp(0), Timestamp(now)).unwrap();
        let before = (Timestamp(now - HOUR), served(1));
        assert_eq!(hours, [before, (Timestamp(now), served(4))]);
    }
}
