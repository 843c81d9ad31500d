//! Upstreams of the box and of groups: how each is, how many pulls are left, and a button that asks it.

use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::visit::{Listed, Visit};
use super::{Page, Shown, parts, places};
use crate::admin::GroupView;
use crate::human::{counted, shown_span};
use crate::proxy::UpstreamState;
use crate::time::Timestamp;
use crate::upstream::{BreakerState, RateLimit};

pub(super) fn of_box(visit: &mut Visit<'_, '_>) -> Shown {
    let upstreams = visit.list::<UpstreamState>("/upstreams?per_page=50")?;
    let body = html! {
        p { "The registries that images are fetched from. Asking one costs no pull." }
        (cards(visit, &upstreams))
        h2 { "Adding and changing" }
        p { "Upstreams are added on the box, since a password may be asked for:" }
        (parts::copied("Add one", "breakwater upstream add quay.io https://quay.io"))
        p { "See " code { "breakwater help upstreams" } "." }
    };
    Ok(Page::new("Upstreams", body))
}

pub(super) fn of_group(visit: &mut Visit<'_, '_>) -> Shown {
    let (place, _) = places::group(visit)?;
    let path = format!("{}/upstreams?per_page=50", place.path);
    let upstreams = visit.list::<UpstreamState>(&path)?;
    let add = format!(
        "breakwater upstream add quay.io https://quay.io --group {}",
        place.name
    );
    let body = html! {
        p { "Registries that images are fetched from for " (place.name) " and the groups below it alone, before those of the same name that the box has. Asking one costs no pull." }
        @if upstreams.entries.is_empty() { p.empty { "It brings none of its own: its images come from the upstreams of the groups above it and of the box." } }
        (cards(visit, &upstreams))
        h2 { "Adding and changing" }
        p { "Administrators add upstreams on the box, since a password may be asked for:" }
        (parts::copied("Add one", &add))
        p { "See " code { "breakwater help upstreams" } "." }
    };
    Ok(place.page(visit, "Upstreams of", &body))
}

fn cards(visit: &mut Visit<'_, '_>, upstreams: &Listed<UpstreamState>) -> Markup {
    let entries = upstreams.entries.iter();
    let cards: Vec<_> = entries.map(|upstream| card(visit, upstream)).collect();
    html! {
        section #upstreams data-refresh="15" {
            div.cards { @for card in &cards { (card) } }
        }
        (parts::pager(visit, upstreams))
    }
}

fn card(visit: &mut Visit<'_, '_>, upstream: &UpstreamState) -> Markup {
    let test = test_path(visit, upstream);
    let (status, now) = (&upstream.status, visit.call.now);
    html! {
        article.card {
            h2 { (status.name) }
            p { (state(status.breaker)) @if let Some(group) = &upstream.group { " of the group " (group) } }
            dl {
                dt { "Address" } dd { (status.url) }
                dt { "Answered last" } dd { (parts::time_or(status.last_success_at, "not since the start")) }
                dt { "Pulls left" } dd { (pulls_left(status.rate_limit.as_ref(), now)) }
                @if let (Some(failure), Some(at)) = (&status.last_failure, status.last_failure_at) {
                    dt { "Failed last" } dd { (parts::time(at)) ": " (failure) @if let Some(remedy) = &status.last_failure_remedy { " – " (remedy) } }
                }
                @if status.lies > 0 {
                    dt { "Wrong bytes" } dd { "It sent something else than it was asked for, " (counted(status.lies, "time")) " since the start." }
                }
            }
            @if let Some(test) = &test {
                (parts::button(visit, "POST", test, "Ask it now", "{name}: {message} ({milliseconds} ms)"))
            }
        }
    }
}

/// Where it is asked: one of a group below that group.
fn test_path(visit: &mut Visit<'_, '_>, upstream: &UpstreamState) -> Option<String> {
    let name = utf8_percent_encode(&upstream.status.name, NON_ALPHANUMERIC);
    let Some(path) = &upstream.group else {
        return Some(format!("/upstreams/{name}/test"));
    };
    let path = utf8_percent_encode(path, NON_ALPHANUMERIC);
    let group: GroupView = visit.may_get(&format!("/groups/{path}")).ok()??;
    Some(format!("/groups/{}/upstreams/{name}/test", group.id.0))
}

/// What is done with requests to it, in words.
pub(super) fn state(breaker: BreakerState) -> Markup {
    let (class, text) = match breaker {
        BreakerState::Closed => ("badge good", "answers"),
        BreakerState::Slow => ("badge warn", "slow: kept tags are served without asking"),
        BreakerState::HalfOpen => ("badge warn", "was away: being tried again"),
        BreakerState::Open => ("badge bad", "away: kept images are served without asking"),
        BreakerState::CredentialsRefused => {
            ("badge bad", "refuses the password that the box has for it")
        }
        BreakerState::Offline => ("badge warn", "not asked: the box is offline on purpose"),
        BreakerState::Unusable => ("badge bad", "cannot be used as it was added"),
    };
    html! { span class=(class) { (text) } }
}

/// What is left of the pulls that it allows, and when they come back.
pub(super) fn pulls_left(limit: Option<&RateLimit>, now: Timestamp) -> Markup {
    let Some(limit) = limit else {
        return html! { span.soft { "it names no limit" } };
    };
    let back = limit.ends_at();
    html! {
        (limit.remaining) " of " (limit.limit)
        (parts::meter("Pulls that are left", limit.remaining, limit.limit))
        small {
            @if now < back { "the window ends in at most " (shown_span(back.since(now))) } @else { "as of " (parts::time(limit.read_at)) }
            @if let Some(source) = &limit.source { ", counted for " (source) }
        }
    }
}
