//! How the box is.

use std::time::Duration;

use maud::{Markup, html};

use super::{findings, history};
use crate::admin::{Activity, CacheStatisticsView, FindingsView, HistoryView, StatusView};
use crate::human::{counted, shown_span};
use crate::proxy::UpstreamState;
use crate::server::ui::parts;
use crate::server::ui::upstreams::{pulls_left, state};
use crate::server::ui::visit::Visit;
use crate::server::ui::{Page, Shown};
use crate::time::Timestamp;

/// So many upstreams' shares are shown.
const UPSTREAMS: usize = 20;

pub(super) fn show(visit: &mut Visit<'_, '_>) -> Shown {
    // Only what is shown anew is asked for.
    let part = match visit.refreshed.as_deref() {
        Some("now") => Some(now(&visit.get("/status")?)),
        Some("findings") => Some(findings::show(&visit.get("/doctor")?)),
        _ => None,
    };
    if let Some(part) = part {
        return Ok(Page::new("Overview", part));
    }
    let status: StatusView = visit.get("/status")?;
    let statistics: CacheStatisticsView = visit.get("/cache/statistics")?;
    let findings: FindingsView = visit.get("/doctor")?;
    let period = history::period(visit);
    let history: HistoryView = visit.get(&format!("/cache/history?period={period}"))?;
    let body = html! {
        @if status.offline.offline {
            p.warning { "This box is offline: nothing is fetched, and what is cached is served." }
        }
        (now(&status))
        (findings::show(&findings))
        (history::show(visit, &history))
        h2 { "Upstreams" }
        (upstreams(&status.upstreams, visit.call.now))
        h2 { "Disk" }
        (disk(&status, &statistics))
        h2 { "Safety" }
        (safety(&status))
    };
    Ok(Page::new("Overview", body))
}

/// What it does at this moment.
fn now(status: &StatusView) -> Markup {
    html! {
        section #now data-refresh="5" aria-label="Now" {
            @if let Some(activity) = &status.activity { (figures(activity)) }
        }
    }
}

fn figures(now: &Activity) -> Markup {
    let figure = |number: u64, what: &str| {
        html! {
            div.card {
                div.figure { (number) }
                div { (what) }
            }
        }
    };
    html! {
        div.cards.small {
            (figure(now.connections as u64, "connections"))
            (figure(now.fetches as u64, "layers arriving from upstreams"))
            (figure(now.waiting_clients as u64, "clients that wait for these"))
            (figure(now.bans as u64, "addresses and users that may not log in"))
        }
    }
}

fn upstreams(upstreams: &[UpstreamState], now: Timestamp) -> Markup {
    let headings = [
        "Upstream",
        "State",
        "Answered last",
        "Pulls left",
        "Failed last",
    ];
    html! {
        (parts::table(&headings, upstreams.iter().map(|upstream| {
            let status = &upstream.status;
            html! {
                td {
                    (status.name)
                    @if let Some(group) = &upstream.group { " of the group " (group) }
                    small { (status.url) }
                }
                td { (state(status.breaker)) }
                td { (parts::time_or(status.last_success_at, "not since the start")) }
                td { (pulls_left(status.rate_limit.as_ref(), now)) }
                td {
                    @match (&status.last_failure, status.last_failure_at) {
                        (Some(failure), Some(at)) => {
                            (parts::time(at)) ": " (parts::sentence(failure))
                            @if let Some(remedy) = &status.last_failure_remedy { small { (parts::sentence(remedy)) } }
                        },
                        _ => span.soft { "nothing" },
                    }
                }
            }
        })))
    }
}

/// What fills the disk. The cache's own table of files and of rows is a part of what else is there.
fn disk(status: &StatusView, statistics: &CacheStatisticsView) -> Markup {
    let disk = &status.disk;
    let upstreams = statistics.upstreams.as_deref().unwrap_or_default();
    let (cached, pushed) = (status.cached.bytes, status.pushed.bytes);
    let used = disk.bytes.saturating_sub(disk.free_bytes);
    let other = used.saturating_sub(cached).saturating_sub(pushed);
    let row = |what: Markup, label: &str, bytes: u64| {
        html! {
            td { (what) }
            td.number { (parts::size(bytes)) }
            td { (parts::meter(label, bytes, disk.bytes)) }
        }
    };
    let whole = |what: &str, bytes| row(html! { (what) }, what, bytes);
    let mut rows = vec![whole("Cached from upstreams", cached)];
    for share in upstreams.iter().take(UPSTREAMS) {
        let label = format!("Cached from {}", share.name);
        let what = html! {
            span.inner { "from " (share.name) ": " (counted(share.images, "image")) }
            @if let Some(most) = share.max_size { small { "at most " (parts::size(most)) } }
        };
        rows.push(row(what, &label, share.bytes));
    }
    rows.push(whole("Pushed here", pushed));
    rows.push(whole("Anything else on this disk", other));
    rows.push(whole("Free", disk.free_bytes));
    html! {
        (parts::table(&["What", "Bytes", "Of the disk"], rows.into_iter()))
        @if statistics.upstreams.is_none() { p.empty { "The shares of upstreams are being counted: load this page again in some seconds." } }
        dl {
            dt { "The disk" } dd { (parts::size(disk.bytes)) }
            dt { "Kept free" } dd { (parts::size(disk.min_free)) ": images go before less is free" }
            dt { "May be cached" }
            dd { @match disk.max_size { Some(most) => (parts::size(most)), None => "as much as what is kept free leaves" } }
            dt { "Images went last" }
            dd {
                @match (statistics.last_eviction_at, statistics.eviction_age_seconds) {
                    (Some(at), Some(age)) => {
                        (parts::time(at)) ": the last of them had not been pulled for " (shown_span(Duration::from_secs(age))) ". "
                        "The shorter that is, the more the cache lacks room."
                    },
                    _ => "never for want of room",
                }
            }
            dt { "Cached" }
            dd { (counted(status.cached.tags, "tag")) ", " (counted(status.cached.manifests, "manifest")) ": " a href="/images" { "all images" } }
        }
    }
}

fn safety(status: &StatusView) -> Markup {
    let at = |at| parts::time_or(at, "never");
    html! {
        dl {
            dt { "Last backup" } dd { (at(status.last_backup_at)) }
            dt { "Databases last copied" } dd { (at(status.rows_saved_at)) }
            @if let Some(scrub) = &status.scrub {
                dt { "All bytes last read again" } dd { (at(scrub.ended_at)) }
                @if scrub.damaged > 0 { dt { "Damaged files" } dd { span.badge.bad { (scrub.damaged) } } }
            }
            dt { "Version" } dd { (status.version) }
        }
    }
}
