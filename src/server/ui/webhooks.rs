//! Webhooks: of the box for administrators, of a group for its owners.

use maud::{Markup, html};

use super::parts::{self, Field};
use super::places;
use super::visit::Visit;
use super::{Page, Shown};
use crate::admin::WebhookView;
use crate::human::counted;
use crate::store::NoticeKind;

/// What each event is, in words.
fn meaning(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::ImageFilled => "an image was fetched and kept",
        NoticeKind::ImagePushed => "an image was pushed",
        NoticeKind::ImageDeleted => "pushed images were deleted",
        NoticeKind::CacheEvicted => "what went from the cache, once a day",
        NoticeKind::PullRefused => "a pull was refused",
        NoticeKind::UpstreamDown => "an upstream does not answer any more",
        NoticeKind::UpstreamUp => "it answers again",
        NoticeKind::TokenExpiring => "a token ends within two weeks",
        NoticeKind::DiskShort => "the disk has little room left",
        NoticeKind::ScrubDamaged => "damaged bytes were found",
        NoticeKind::Ping => "a test",
        NoticeKind::EventsSummed => "the sum of events that came too fast to be told one by one",
    }
}

/// Those that can be chosen, in the order of the manual.
const KINDS: &[NoticeKind] = &[
    NoticeKind::ImageFilled,
    NoticeKind::ImagePushed,
    NoticeKind::ImageDeleted,
    NoticeKind::CacheEvicted,
    NoticeKind::PullRefused,
    NoticeKind::UpstreamDown,
    NoticeKind::UpstreamUp,
    NoticeKind::TokenExpiring,
    NoticeKind::DiskShort,
    NoticeKind::ScrubDamaged,
];

pub(super) fn of_box(visit: &mut Visit<'_, '_>) -> Shown {
    let hooks = visit.list::<WebhookView>("/hooks?per_page=50")?;
    let body = html! {
        p { "Receivers that are told what happens on the box. What happens in one group is told by the webhooks of that group too." }
        @for hook in &hooks.entries { (card(visit, "/hooks", hook)) }
        @if hooks.entries.is_empty() { p.empty { "Nobody is told anything yet." } }
        (parts::pager(visit, &hooks))
        (new(visit, "/hooks"))
    };
    Ok(Page::new("Webhooks", body))
}

pub(super) fn of_group(visit: &mut Visit<'_, '_>) -> Shown {
    let (place, _) = places::group(visit)?;
    let path = format!("{}/hooks", place.path);
    let hooks = visit.list::<WebhookView>(&format!("{path}?per_page=50"))?;
    let body = html! {
        p { "Receivers that are told what happens in " (place.name) " and the groups below it." }
        @for hook in &hooks.entries { (card(visit, &path, hook)) }
        @if hooks.entries.is_empty() { p.empty { "Nobody is told anything yet." } }
        (parts::pager(visit, &hooks))
        (new(visit, &path))
    };
    Ok(place.page(visit, "Webhooks of", &body))
}

/// The only time that a secret of a webhook is shown.
pub(super) fn made(secret: &str, back: &str) -> Page {
    let body = html! {
        p { "Copy the secret now: it is kept encrypted, and cannot be shown again. The receiver needs it to see that an event comes from this box." }
        (parts::copied("The secret", secret))
        p { a href=(back) { "I have copied it" } }
    };
    Page::new("Secret of the webhook", body)
}

fn card(visit: &Visit<'_, '_>, place: &str, hook: &WebhookView) -> Markup {
    let path = format!("{place}/{}", hook.id.0);
    let events: Vec<_> = hook.events.iter().map(|&kind| <&str>::from(kind)).collect();
    html! {
        article.card {
            h2 { (hook.url) }
            p {
                @match (hook.enabled, hook.failing_since) {
                    (false, _) => span.badge.warn { "switched off" },
                    (true, None) => span.badge.good { "delivers" },
                    (true, Some(since)) => { span.badge.bad { "fails" } " since " (parts::time(since)) },
                }
            }
            dl {
                @if let Some(group) = &hook.group_path { dt { "Group" } dd { (group) } }
                dt { "Events" } dd { @if events.is_empty() { "all" } @else { (events.join(", ")) } }
                dt { "Delivered last" } dd { (parts::time_or(hook.last_delivered_at, "never")) }
                dt { "Waiting" } dd { (counted(hook.queued, "event")) @if hook.dropped > 0 { ", " (hook.dropped) " dropped" } }
                @if let Some(until) = hook.old_secret_until { dt { "Signed with the old secret too" } dd { "until " (parts::time(until)) } }
                @if let Some(error) = &hook.last_error { dt { "Last failure" } dd { (error) } }
            }
            (parts::button(visit, "POST", &format!("{path}/test"), "Test it", "{message} ({milliseconds} ms)"))
            (parts::form(visit, &format!("{path}-switch"), ("PUT", &path), "The webhook was changed.", &html! {
                input type="hidden" name="enabled" value=(if hook.enabled { "false" } else { "true" });
                button.small type="submit" { @if hook.enabled { "Switch it off" } @else { "Switch it on" } }
            }))
            (parts::confirmed(visit, ("POST", &format!("{path}/rotate")), "New secret", "The webhook gets another secret, which is shown once. For 24 hours events are signed with the old one too.", "The webhook has a new secret."))
            (parts::confirmed(visit, ("DELETE", &path), "Remove", "The receiver is told nothing any more, and what waits for it is dropped.", "The webhook was removed."))
        }
    }
}

fn new(visit: &Visit<'_, '_>, path: &str) -> Markup {
    let options: Vec<_> = KINDS
        .iter()
        .map(|&kind| (<&str>::from(kind), meaning(kind)))
        .collect();
    html! {
        h2 { "New webhook" }
        (parts::form(visit, "add", ("POST", path), "The webhook was made.", &html! {
            (Field::of("add", "url", "Address").help("Events are posted there as JSON, signed as standardwebhooks.com describes it").required().input(visit, "url"))
            (Field::of("add", "events", "Events").help("None means all").ticks(visit, &options))
            @if visit.is_administrator() {
                (Field::of("add", "allow_private", "It may be a private address").help("Such as 10.1.2.3 or localhost").value("false").tick(visit))
            }
            button type="submit" { "Make the webhook" }
        }))
    }
}
