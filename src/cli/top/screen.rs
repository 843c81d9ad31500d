//! The lines of one screen. Decides what is left out where the terminal has too few lines.

use super::rates::Rates;
use crate::admin::{ActivityView, ArrivingView, TroubleView};
use crate::cli::output::{Fitted, Table, counted, shown_size};
use crate::human::{short_digest, shown_span};
use crate::proxy::UpstreamState;
use crate::telemetry::escape_text;
use crate::time::Timestamp;
use crate::upstream::BreakerState;

/// A line of a screen, without its end.
pub(super) struct Line {
    pub(super) text: String,
    is_heading: bool,
}

impl Line {
    fn new(text: String) -> Self {
        Self {
            text,
            is_heading: false,
        }
    }
}

/// `aside` stands at the end of the first line. Without `rates` nothing is known of them yet.
pub(super) fn lines(
    view: &ActivityView,
    rates: Option<&Rates>,
    size: Option<(usize, usize)>,
    aside: Option<&str>,
) -> Vec<Line> {
    let width = size.map(|(columns, _)| columns);
    let mut lines: Vec<Line> = head(view, rates, aside)
        .iter()
        .map(|line| Line::new(cut(&escape_text(line), width)))
        .collect();
    let most = aside.and(size).map(|(_, lines)| lines.max(1));
    // Of the lines that are left, upstreams and troubles take a third each at most, and fetches the rest.
    let left = most.map(|most| most.saturating_sub(lines.len()));
    let third = left.map(|left| left / 3);
    let upstreams = section(upstreams(view), view.upstreams_in_all, width, third);
    let troubles = section(troubles(view), view.troubles.len(), width, third);
    let taken = upstreams.len().saturating_add(troubles.len());
    let left = left.map(|left| left.saturating_sub(taken));
    let arriving = section(arriving(view), view.activity.fetches, width, left);
    lines.extend(upstreams.into_iter().chain(arriving).chain(troubles));
    if let Some(most) = most {
        lines.truncate(most);
    }
    lines
}

/// What makes a terminal show just these lines: each is written over what stood there. What stood there is erased before
/// the line is written: behind a line that is as wide as the terminal the cursor still stands on the last character, which
/// would be erased with it. No end follows the last line, since that would move the others up.
pub(super) fn drawn(lines: &[Line], has_colours: bool) -> String {
    const HOME: &str = "\u{1b}[H";
    const ERASE_LINE: &str = "\u{1b}[K";
    const ERASE_REST: &str = "\u{1b}[J";
    let mut text = HOME.to_owned();
    let last = lines.len().saturating_sub(1);
    for (number, line) in lines.iter().enumerate() {
        if number > 0 {
            text.push('\n');
        }
        text.push_str(if number < last {
            ERASE_LINE
        } else {
            ERASE_REST
        });
        let shown = line.text.trim_end();
        match has_colours && line.is_heading {
            true => text.push_str(&format!("\u{1b}[1m{shown}\u{1b}[0m")),
            false => text.push_str(shown),
        }
    }
    text
}

fn head(view: &ActivityView, rates: Option<&Rates>, aside: Option<&str>) -> Vec<String> {
    let activity = &view.activity;
    let offline = match view.offline {
        true => "   offline: nothing is fetched",
        false => "",
    };
    let aside = aside.map_or_else(String::new, |aside| format!("   {aside}"));
    let mut lines = vec![format!("breakwater top   {}{offline}{aside}", view.at)];
    if let Some(rates) = rates {
        let size = |bytes: f64| format!("{}/s", shown_size(bytes as u64));
        lines.push(format!(
            "pulls    {}/s; sent {}, {} of it from the cache; from upstreams {}",
            rates.pulls_per_second,
            size(rates.sent_bytes_per_second),
            size(rates.cached_bytes_per_second),
            size(rates.received_bytes_per_second),
        ));
    } else {
        lines.push("pulls    …".to_owned());
    }
    let now = rates.and_then(|rates| rates.hit_ratio);
    let now = now.map(|ratio| format!("{:.0} % now, ", ratio * 100.0));
    let all = match activity.served {
        0 => "nothing was pulled through since the start".to_owned(),
        served => format!(
            "{:.0} % of {} since the start",
            activity.served_from_cache as f64 / served as f64 * 100.0,
            counted(served, "answer")
        ),
    };
    lines.push(format!("hits     {}{all}", now.unwrap_or_default()));
    lines.push(format!(
        "clients  {}, {} served while it arrives; {}; {} failures/s",
        counted(activity.connections as u64, "connection"),
        activity.waiting_clients,
        counted(activity.bans as u64, "ban"),
        rates.map_or(0.0, |rates| rates.failures_per_second),
    ));
    lines.push(format!(
        "disk     {} free of {}; {} stay free",
        shown_size(view.disk.free_bytes),
        shown_size(view.disk.bytes),
        shown_size(view.disk.min_free)
    ));
    lines
}

/// A table with an empty line before it, with no more than `most` lines in all; of `in_all` rows.
fn section(
    table: Option<Table>,
    in_all: usize,
    width: Option<usize>,
    most: Option<usize>,
) -> Vec<Line> {
    let room = most.unwrap_or(usize::MAX);
    // Neither the empty line nor the heading alone says anything.
    let Some(table) = table.filter(|_| room >= 3) else {
        return Vec::new();
    };
    let Fitted { heading, rows } = table.fit(width);
    let mut lines = vec![Line::new(String::new())];
    lines.extend(heading.map(|text| Line {
        text,
        is_heading: true,
    }));
    let needed = rows.iter().map(Vec::len).sum::<usize>();
    let is_whole = rows.len() >= in_all && lines.len().saturating_add(needed) <= room;
    // One line is for the number of those that are left out.
    let room = room.saturating_sub(usize::from(!is_whole));
    let mut shown: usize = 0;
    for mut row in rows {
        let left = room.saturating_sub(lines.len());
        if row.len() > left {
            if shown > 0 || left == 0 {
                break;
            }
            // Of one row that is too long its beginning says more than nothing.
            row.truncate(left);
        }
        lines.extend(row.into_iter().map(Line::new));
        shown = shown.saturating_add(1);
    }
    let left_out = in_all.saturating_sub(shown);
    if left_out > 0 {
        lines.push(Line::new(cut(&format!("… and {left_out} more"), width)));
    }
    lines
}

fn upstreams(view: &ActivityView) -> Option<Table> {
    let mut table = Table::new(&[
        "UPSTREAM",
        "GROUP",
        "STATE",
        "PULLS LEFT",
        "RESETS BY",
        "LAST FAILURE",
    ]);
    for upstream in &view.upstreams {
        table.row(upstream_row(upstream, view.at));
    }
    (!view.upstreams.is_empty()).then_some(table)
}

fn upstream_row(upstream: &UpstreamState, now: Timestamp) -> [String; 6] {
    let status = &upstream.status;
    let limit = status.rate_limit.as_ref();
    let failure = status.last_failure.as_ref().map(|why| {
        let age = status.last_failure_at.map(|at| shown_span(now.since(at)));
        let age = age.map(|age| format!("{age} ago: "));
        format!("{}{why}", age.unwrap_or_default())
    });
    let state = match (status.breaker, status.failures_in_a_row) {
        (BreakerState::Closed, 0) => "ok".to_owned(),
        (BreakerState::Closed, failures) => {
            format!("ok, {} in a row", counted(failures.into(), "failure"))
        }
        (state, _) => state.as_str().to_owned(),
    };
    [
        status.name.clone(),
        upstream.group.clone().unwrap_or_default(),
        state,
        limit.map_or_else(String::new, |limit| {
            format!("{} of {}", limit.remaining, limit.limit)
        }),
        limit.map_or_else(String::new, |limit| limit.ends_at().to_string()),
        failure.unwrap_or_default(),
    ]
}

fn arriving(view: &ActivityView) -> Option<Table> {
    let mut table = Table::new(&["FETCH", "DIGEST", "ARRIVED", "CLIENTS", "FOR"]);
    for arriving in &view.arriving {
        table.row([
            format!("{}/{}", arriving.upstream, arriving.repository),
            short_digest(&arriving.digest).to_owned(),
            shown_arrived(arriving),
            arriving.clients.to_string(),
            format!("{} s", arriving.seconds),
        ]);
    }
    (!view.arriving.is_empty()).then_some(table)
}

fn shown_arrived(arriving: &ArrivingView) -> String {
    let received = shown_size(arriving.received_bytes);
    let passed = match arriving.is_kept {
        true => "",
        false => ", passed through",
    };
    match arriving.bytes {
        Some(bytes) => {
            let percent = arriving
                .received_bytes
                .saturating_mul(100)
                .checked_div(bytes);
            let percent = percent.unwrap_or(100);
            format!("{percent} % of {}{passed}", shown_size(bytes))
        }
        None => format!("{received}{passed}"),
    }
}

fn troubles(view: &ActivityView) -> Option<Table> {
    let mut table = Table::new(&[
        "REFUSED OR FAILED",
        "STATUS",
        "TIMES",
        "FROM",
        "ASKED FOR",
        "WHY",
    ]);
    for trouble in &view.troubles {
        table.row(trouble_row(trouble));
    }
    (!view.troubles.is_empty()).then_some(table)
}

fn trouble_row(trouble: &TroubleView) -> [String; 6] {
    [
        trouble.at.to_string(),
        trouble.status.to_string(),
        trouble.times.to_string(),
        trouble.address.clone(),
        trouble.path.clone(),
        trouble.why.clone().unwrap_or_default(),
    ]
}

fn cut(line: &str, width: Option<usize>) -> String {
    match width {
        Some(width) if line.chars().count() > width => {
            let front = line.chars().take(width.saturating_sub(1));
            front.chain(['…']).collect()
        }
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: usize) -> Table {
        let mut table = Table::new(&["FETCH", "STATUS"]);
        for row in 0..rows {
            table.row([format!("{row}{}", "x".repeat(15)), "403".to_owned()]);
        }
        table
    }

    #[test]
    fn rows_that_are_left_out_are_counted_however_many_lines_a_row_takes() {
        for (width, rows, most, expected) in [
            (None, 3, Some(5), "… none"),
            (None, 3, Some(4), "… and 2 more"),
            // Three lines each and one between two: two of them, and what is left out.
            (Some(16), 5, Some(10), "… and 3 more"),
            (Some(16), 5, Some(5), "… and 4 more"),
            (Some(16), 5, Some(3), "… and 4 more"),
            (Some(16), 1, Some(4), "… none"),
            (None, 5, None, "… none"),
        ] {
            let lines = section(Some(table(rows)), rows, width, most);
            let text = lines.iter().map(|line| format!("{}\n", line.text));
            let text = text.collect::<String>();
            assert!(most.is_none_or(|most| lines.len() <= most), "{text}");
            let last = lines.last().map(|line| line.text.as_str());
            let last = last.filter(|last| last.contains(" more"));
            assert_eq!(last.unwrap_or("… none"), expected, "{most:?} {text}");
            let headings = lines.iter().filter(|line| line.is_heading);
            assert_eq!(headings.count(), usize::from(width.is_none()), "{text}");
        }
        assert!(section(Some(table(3)), 3, None, Some(2)).is_empty());
        assert_eq!(section(Some(table(3)), 9, None, None).len(), 6);
    }

    #[test]
    fn nothing_is_erased_behind_a_line() {
        let lines = ["first", "second"].map(|text| Line::new(text.to_owned()));
        let expected = "\u{1b}[H\u{1b}[Kfirst\n\u{1b}[Jsecond";
        assert_eq!(drawn(&lines, true), expected);
    }
}
