//! The lines of one screen. Decides what is left out where the terminal has too few lines.

use super::rates::Rates;
use crate::admin::{ActivityView, ArrivingView, TroubleView};
use crate::cli::output::{Table, counted, shown_size};
use crate::cli::status::shown_age;
use crate::proxy::UpstreamState;
use crate::telemetry::escape_text;
use crate::time::Timestamp;
use crate::upstream::BreakerState;

/// Lines, each with its end. `aside` stands at the end of the first. Without `rates` nothing is known of them yet.
pub(super) fn lines(
    view: &ActivityView,
    rates: Option<&Rates>,
    size: Option<(usize, usize)>,
    aside: Option<&str>,
) -> Vec<String> {
    let width = size.map(|(columns, _)| columns);
    let mut lines: Vec<String> = head(view, rates, aside)
        .iter()
        .map(|line| format!("{}\n", cut(&escape_text(line), width)))
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

/// What makes a terminal show just these lines: each is written over what stood there. No end behind the last: it would
/// move the others up.
pub(super) fn drawn(lines: &[String], has_colours: bool) -> String {
    const HOME: &str = "\u{1b}[H";
    const END_OF_LINE: &str = "\u{1b}[K";
    const END_OF_SCREEN: &str = "\u{1b}[J";
    let mut text = HOME.to_owned();
    for (number, line) in lines.iter().enumerate() {
        if number > 0 {
            text.push('\n');
        }
        let line = line.trim_end();
        match has_colours && is_heading(line) {
            true => text.push_str(&format!("\u{1b}[1m{line}\u{1b}[0m")),
            false => text.push_str(line),
        }
        text.push_str(END_OF_LINE);
    }
    text.push_str(END_OF_SCREEN);
    text
}

fn is_heading(line: &str) -> bool {
    let first = line.split_whitespace().next().unwrap_or_default();
    first.len() > 3 && first.bytes().all(|byte| byte.is_ascii_uppercase())
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
        shown_size(view.free_bytes),
        shown_size(view.disk_bytes),
        shown_size(view.min_free)
    ));
    lines
}

/// A table with an empty line before it, with no more than `most` lines in all; of `in_all` rows.
fn section(
    table: Option<Table>,
    in_all: usize,
    width: Option<usize>,
    most: Option<usize>,
) -> Vec<String> {
    let Some(table) = table else {
        return Vec::new();
    };
    let text = table.fitted(width);
    let mut lines = vec!["\n".to_owned()];
    lines.extend(text.lines().map(|line| format!("{line}\n")));
    let rows = lines.len().saturating_sub(2);
    // Neither the empty line nor the heading alone says anything.
    let room = most.map_or(usize::MAX, |most| if most < 3 { 0 } else { most });
    let left_out = match lines.len() <= room {
        true => in_all.saturating_sub(rows),
        false => {
            lines.truncate(room.saturating_sub(1));
            in_all.saturating_sub(lines.len().saturating_sub(2))
        }
    };
    if left_out > 0 && lines.len() < room && !lines.is_empty() {
        lines.push(format!(
            "{}\n",
            cut(&format!("… and {left_out} more"), width)
        ));
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
        let age = status.last_failure_at.map(|at| now.since(at).as_secs());
        let age = age.map(|age| format!("{} ago: ", shown_age(age)));
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
        limit.map_or_else(String::new, |limit| {
            let window = std::time::Duration::from_secs(limit.window_seconds);
            limit.read_at.plus(window).to_string()
        }),
        failure.unwrap_or_default(),
    ]
}

fn arriving(view: &ActivityView) -> Option<Table> {
    let mut table = Table::new(&["FETCH", "DIGEST", "ARRIVED", "CLIENTS", "FOR"]);
    for arriving in &view.arriving {
        table.row([
            format!("{}/{}", arriving.upstream, arriving.repository),
            short_digest(&arriving.digest),
            shown_arrived(arriving),
            arriving.clients.to_string(),
            format!("{} s", arriving.seconds),
        ]);
    }
    (!view.arriving.is_empty()).then_some(table)
}

/// As docker shows it.
fn short_digest(digest: &str) -> String {
    let hex = digest.split_once(':').map_or(digest, |(_, hex)| hex);
    hex.chars().take(12).collect()
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
