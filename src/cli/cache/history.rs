//! `breakwater cache history`.

use clap::Args;

use crate::admin::{Period, ShowHistory, one_of};
use crate::cli::output::{Table, print_json, shown_size};
use crate::cli::workplace::Workplace;
use crate::error::Result;
use crate::store::Sums;

/// Show what was served over time, how much of it was kept already, what came, and what went
///
/// Sums by the hour are kept for 400 days. SAVED is what went to clients without coming from an upstream for it.
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
            table.row(row(point.begins_at.to_string(), &point.sums));
        }
        table.row(row("in all".to_owned(), &view.total));
        table.print()
    }
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
