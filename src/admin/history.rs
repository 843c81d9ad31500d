//! What the box has done over time: how much of what it served was kept already, what came, and what went.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Admin, Operation};
use crate::error::Result;
use crate::store::Sums;
use crate::time::{Timestamp, month_of};
use crate::words::words;

const HOUR: i64 = 60 * 60;

words! {
    "snake_case"
    #[derive(Default)]
    /// How far back a history goes.
    pub enum Period {
        /// 24 hours, by the hour.
        #[default]
        Day,
        /// 7 days, by six hours.
        Week,
        /// 30 days, by the day.
        Month,
        /// 12 months, by the month.
        Year,
    }
}

/// The last of its points is the one that goes on.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ShowHistory {
    /// 24 hours, 7 days by six hours, 30 days, or 12 months; day without it
    #[serde(default)]
    pub period: Period,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "History")]
#[serde(deny_unknown_fields)]
pub struct HistoryView {
    pub period: Period,
    /// All points together
    pub total: Sums,
    /// In order; each ends where the next one begins, and the last one now
    pub points: Vec<HistoryPoint>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
pub struct HistoryPoint {
    /// In UTC
    pub begins_at: Timestamp,
    #[serde(flatten)]
    pub sums: Sums,
}

impl Operation for ShowHistory {
    const NAME: &'static str = "history.show";
    type View = HistoryView;

    fn perform(self, admin: &Admin<'_>) -> Result<HistoryView> {
        let now = Timestamp::now();
        let mut points: Vec<_> = begins(self.period, now)
            .into_iter()
            .map(|begins_at| HistoryPoint {
                begins_at,
                sums: Sums::default(),
            })
            .collect();
        let from = points.first().map_or(now, |first| first.begins_at);
        let hours = match admin.server {
            Some(server) => server.hours_until(from, now)?,
            None => admin.store.cache.hours_between(from, now)?,
        };
        let mut total = Sums::default();
        for (at, sums) in hours {
            let behind = points.partition_point(|point| point.begins_at <= at);
            let place = behind.checked_sub(1);
            if let Some(point) = place.and_then(|place| points.get_mut(place)) {
                point.sums = point.sums.plus(sums);
                total = total.plus(sums);
            }
        }
        Ok(HistoryView {
            period: self.period,
            total,
            points,
        })
    }
}

/// When the points of a period begin, in order; the last one is the one that `now` is in.
fn begins(period: Period, now: Timestamp) -> Vec<Timestamp> {
    let (count, hours) = match period {
        Period::Day => (24, 1),
        Period::Week => (28, 6),
        Period::Month => (30, 24),
        Period::Year => return months(12, now),
    };
    let step = HOUR.saturating_mul(hours);
    let last = now.0.div_euclid(step).saturating_mul(step);
    let back = |number: i64| Timestamp(last.saturating_sub(step.saturating_mul(number)));
    (0..count).rev().map(back).collect()
}

fn months(count: usize, now: Timestamp) -> Vec<Timestamp> {
    let before = |month: &Timestamp| Some(month_of(Timestamp(month.0.saturating_sub(1))));
    let months = std::iter::successors(Some(month_of(now)), before);
    let mut months: Vec<_> = months.take(count).collect();
    months.reverse();
    months
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::parse_moment;

    #[test]
    fn the_points_of_a_period_are_bounded_and_the_last_one_is_now() {
        let now = parse_moment("2026-03-01T07:59:59Z").unwrap();
        for (period, count, first, last) in [
            (
                Period::Day,
                24,
                "2026-02-28T08:00:00Z",
                "2026-03-01T07:00:00Z",
            ),
            (
                Period::Week,
                28,
                "2026-02-22T12:00:00Z",
                "2026-03-01T06:00:00Z",
            ),
            (
                Period::Month,
                30,
                "2026-01-31T00:00:00Z",
                "2026-03-01T00:00:00Z",
            ),
            (
                Period::Year,
                12,
                "2025-04-01T00:00:00Z",
                "2026-03-01T00:00:00Z",
            ),
        ] {
            let begins = begins(period, now);
            assert_eq!(begins.len(), count, "{period:?}");
            assert!(begins.is_sorted(), "{period:?}");
            assert_eq!(begins.first().unwrap().to_string(), first, "{period:?}");
            assert_eq!(begins.last().unwrap().to_string(), last, "{period:?}");
        }
    }
}
