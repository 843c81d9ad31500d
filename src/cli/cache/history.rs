//! `breakwater cache history`.

use clap::Args;

use crate::admin::{HistoryPoint, Period, ShowHistory, one_of};
use crate::cli::output::{Table, print_json, shown_size};
use crate::cli::workplace::Workplace;
use crate::error::Result;
use crate::store::Sums;

/// Show what was served over time, how much of it was kept already, what was fetched and what was evicted
///
/// Sums by the hour are kept for 400 days. SAVED is the part of BYTES that was
/// already in the cache. Times are in UTC.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater cache history
  breakwater cache history --period year --json")]
pub(super) struct History {
    /// 24 hours, 7 days by six hours, 30 days, or 12 months
    #[arg(long, default_value = "day", value_parser = one_of::<Period>())]
    period: Period,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl History {
    pub(super) fn run(self, place: &Workplace) -> Result<()> {
        let view = place.perform(ShowHistory {
            period: self.period,
        })?;
        if self.json {
            return print_json(&view);
        }
        let mut table = Table::new(&[
            "FROM", "SERVED", "HITS", "BYTES", "SAVED", "FETCHED", "EVICTED", "REFUSED",
        ]);
        for point in &view.points {
            table.row(row(begin(self.period, point), &point.sums));
        }
        table.row(row("in all".to_owned(), &view.total));
        table.print()
    }
}

/// As short as tells the points of a period apart.
fn begin(period: Period, point: &HistoryPoint) -> String {
    let text = point.begins_at.to_string().replace('T', " ");
    let part = match period {
        Period::Day | Period::Week => text.get(5..16),
        Period::Month => text.get(..10),
        Period::Year => text.get(..7),
    };
    part.unwrap_or(&text).to_owned()
}

fn row(from: String, sums: &Sums) -> [String; 8] {
    [
        from,
        sums.served.to_string(),
        percent(sums.served_from_cache, sums.served),
        shown_size(sums.served_bytes),
        shown_size(sums.served_bytes_from_cache),
        shown_size(sums.fetched_bytes),
        shown_size(sums.evicted_bytes),
        sums.refused.to_string(),
    ]
}

/// Empty where there is nothing to be a part of.
fn percent(part: u64, whole: u64) -> String {
    let percent = part.saturating_mul(100).checked_div(whole);
    percent.map_or_else(String::new, |percent| format!("{percent} %"))
}
