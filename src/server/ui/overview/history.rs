//! What was served over time, as charts.

use maud::{Markup, html};

use super::chart::{Bar, Chart, percent};
use crate::admin::{HistoryPoint, HistoryView, Period};
use crate::human::{counted, shown_size};
use crate::server::ui::parts;
use crate::server::ui::visit::Visit;

const PERIODS: &[(&str, Period, &str)] = &[
    ("day", Period::Day, "24 hours"),
    ("week", Period::Week, "7 days"),
    ("month", Period::Month, "30 days"),
    ("year", Period::Year, "12 months"),
];

/// The period that the page is asked for.
pub(super) fn period(visit: &Visit<'_, '_>) -> &'static str {
    let asked = visit.query("period").unwrap_or_default();
    let found = PERIODS.iter().find(|(word, ..)| *word == asked);
    found.map_or("day", |(word, ..)| word)
}

pub(super) fn show(visit: &Visit<'_, '_>, history: &HistoryView) -> Markup {
    let total = &history.total;
    let share = percent(total.served_from_cache, total.served);
    let hits = match total.served {
        0 => "Nothing was served in this time.".to_owned(),
        served => format!(
            "{share} of {} came from the cache.",
            counted(served, "answer")
        ),
    };
    let saved = match total.served_bytes {
        0 => "Nothing was served in this time.".to_owned(),
        bytes => format!(
            "{} of {} did not have to be fetched; {} came from upstreams.",
            shown_size(total.served_bytes_from_cache),
            shown_size(bytes),
            shown_size(total.fetched_bytes)
        ),
    };
    let answers = Chart {
        id: "hits",
        title: "Answers from the cache",
        sentence: &hits,
        names: ("Served", "From the cache"),
        shown: |number| number.to_string(),
    };
    let bytes = Chart {
        id: "saved",
        title: "Bytes saved",
        sentence: &saved,
        names: ("Bytes served", "Without fetching"),
        shown: shown_size,
    };
    let bar = |point: &HistoryPoint, part, whole| Bar {
        label: label(history.period, point),
        short: short(history.period, point),
        part,
        whole,
    };
    let points = &history.points;
    let hits: Vec<_> = points
        .iter()
        .map(|point| bar(point, point.sums.served_from_cache, point.sums.served))
        .collect();
    let saved: Vec<_> = points
        .iter()
        .map(|point| {
            let sums = &point.sums;
            bar(point, sums.served_bytes_from_cache, sums.served_bytes)
        })
        .collect();
    html! {
        h2 #served { "What was served" }
        nav aria-label="Time that the charts show" {
            ul.tabs {
                @for (word, period, name) in PERIODS {
                    li { a href=(format!("{}#served", visit.link(&[("period", word)]))) aria-current=[(*period == history.period).then_some("true")] { (name) } }
                }
            }
        }
        div.charts {
            (answers.draw(&hits))
            (bytes.draw(&saved))
        }
        @if total.evicted_bytes > 0 { p { "In the same time " (parts::size(total.evicted_bytes)) " went for want of room or of pulls." } }
        @if total.refused > 0 { p { (counted(total.refused, "request")) " were refused: the " a href="/audit" { "audit log" } " tells of those that matter." } }
    }
}

/// When the point begins: `2026-11-30 12:00 UTC`, or the day or the month alone.
fn label(period: Period, point: &HistoryPoint) -> String {
    let text = point.begins_at.to_string();
    let part = |end: usize| text.get(..end).unwrap_or(&text);
    match period {
        Period::Day | Period::Week => format!("{} UTC", part(16).replace('T', " ")),
        Period::Month => part(10).to_owned(),
        Period::Year => part(7).to_owned(),
    }
}

/// Below a bar.
fn short(period: Period, point: &HistoryPoint) -> String {
    let text = point.begins_at.to_string();
    let part = match period {
        Period::Day => text.get(11..16),
        Period::Week | Period::Month => text.get(5..10),
        Period::Year => text.get(..7),
    };
    part.unwrap_or_default().to_owned()
}
