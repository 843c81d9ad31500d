//! What goes: next, when somebody purges it, and never, because it is pinned.

use maud::{Markup, html};

use super::{link, tabs};
use crate::admin::{EvictionView, PinView, PurgeView, Stays, VictimView};
use crate::http::Method;
use crate::human::counted;
use crate::server::ui::parts::{self, Field};
use crate::server::ui::visit::{Refused, Visit};
use crate::server::ui::{Page, Shown};

/// So many names are shown.
const SHOWN: usize = 50;

/// `/images/next?to=SIZE`: what would go, worked out when somebody asks, because that takes a look at all images.
pub(in crate::server::ui) fn next(visit: &mut Visit<'_, '_>) -> Shown {
    if !visit.is_administrator() {
        return Err(Refused::not_found());
    }
    let to = visit.query("to").unwrap_or_default();
    let is_asked = visit.query("asked").is_some();
    let going = is_asked.then(|| evict(visit, &to));
    let body = html! {
        (tabs(visit))
        p { "When room is needed, the images go first that are worth least: those that were pulled longest ago and least often, for the room that they take. Nothing goes by looking at it here." }
        form.search {
            input type="hidden" name="asked" value="yes";
            div {
                label for="to" { "Keep at most" }
                input #to name="to" value=(to) aria-describedby="to-help";
            }
            button type="submit" { "Work out what would go" }
        }
        p.soft #to-help { "A size, as 50GB or 200GiB; 0 for nothing. Where it is empty, as much as the configuration allows." }
        @if let Some(going) = &going { (parts::worked_out("would", going, |going| would_go(visit, going, &to), &html! {})) }
    };
    Ok(Page::new("What goes next", body))
}

fn evict(visit: &mut Visit<'_, '_>, to: &str) -> Result<EvictionView, Refused> {
    let mut fields = vec![("dry_run", "true"), ("recall", "true")];
    if !to.is_empty() {
        fields.push(("to", to));
    }
    visit.ask(Method::Post, "/cache/evict", &fields)
}

fn would_go(visit: &Visit<'_, '_>, going: &EvictionView, to: &str) -> Markup {
    let victims = going.victims.iter().take(SHOWN).zip(1_u64..);
    let left = going.images.saturating_sub(SHOWN as u64);
    html! {
        p.soft { "As of " (parts::time(going.as_of)) "." }
        @match going.images {
            0 if going.is_enough => p { "Nothing would go: " (parts::size(going.cached_bytes)) " are cached, and that is no more than may be." },
            0 => p { "Nothing can go now: " (parts::size(going.cached_bytes)) " are cached, and they stay for the reasons below." },
            images => {
                h2 { (counted(images, "image")) " would go" }
                p { "They free " (parts::size(going.bytes)) " of the " (parts::size(going.cached_bytes)) " that are cached." @if !going.is_enough { " That is not enough: the rest stays for the reasons below." } }
                (parts::table(&["Turn", "Image", "Frees", "Last pulled or fetched"], victims.map(|(victim, turn)| html! {
                    td.number { (turn) }
                    td {
                        @for name in victim.names.iter().take(3) { a href=(link(name)) { (name) } " " }
                        @if more(victim) > 0 { "and " (more(victim)) " more tags " }
                        @if victim.is_gone { span.badge.warn { "gone upstream" } }
                    }
                    td.number { (parts::size(victim.bytes)) }
                    td { (parts::time(victim.used_at)) }
                })))
                @if left > 0 { p.count { "and " (left) " more" } }
                (evict_now(visit, going, to))
            }
        }
        @if !going.stays.is_empty() {
            h2 { "What stays in any case" }
            (parts::table(&["Why", "Images", "Bytes"], going.stays.iter().map(|staying| html! {
                td { (why(staying.why)) }
                td.number { (staying.images) }
                td.number { (parts::size(staying.bytes)) }
            })))
        }
    }
}

/// How many tags are not shown.
fn more(victim: &VictimView) -> u64 {
    let left = victim.names.len().saturating_sub(3);
    victim.more_names.saturating_add(left as u64)
}

fn evict_now(visit: &Visit<'_, '_>, going: &EvictionView, to: &str) -> Markup {
    let fields = html! {
        input type="hidden" name="to" value=(to);
        p { (counted(going.images, "image")) " go from the disk and are fetched again when somebody pulls them." }
        button.danger type="submit" { "Let them go now" }
    };
    let done = ("The images have gone.", "/images/next");
    html! {
        details.confirm {
            summary { "Let them go now…" }
            (parts::form_to(visit, "evict", ("POST", "/cache/evict"), done, &fields))
        }
    }
}

fn why(stays: Stays) -> &'static str {
    match stays {
        Stays::Pinned => "Pinned, or part of what is pinned",
        Stays::Busy => "Pulled or fetched in the last minutes",
        Stays::Away => "The upstream does not answer, or may not be asked",
        Stays::Gone => "The upstream does not have it any more",
        Stays::Part => "Part of another image",
    }
}

/// `/images/pins`; with `counted=yes` also what each keeps, which takes a look at all images.
pub(in crate::server::ui) fn pins(visit: &mut Visit<'_, '_>) -> Shown {
    let is_counted = visit.query("counted").is_some();
    let keep = is_counted.then(|| visit.list::<PinView>("/cache/pins?recall=true"));
    let pins = visit.list::<PinView>("/cache/pins?brief=true")?;
    let body = html! {
        (tabs(visit))
        p { "What is pinned stays cached whatever has to go: images that are cached now, and those that come later." }
        @match &keep {
            Some(keep) => (parts::worked_out("keep", keep, |keep| table_of_pins(visit, &keep.entries), &table_of_pins(visit, &pins.entries))),
            None => {
                (table_of_pins(visit, &pins.entries))
                @if !pins.entries.is_empty() { p { a href=(visit.link(&[("counted", "yes")])) { "Work out what each keeps" } } }
            }
        }
        (parts::pager(visit, &pins))
        h2 { "New pin" }
        (parts::form(visit, "pin", ("POST", "/cache/pins"), "It is pinned.", &html! {
            input type="hidden" name="brief" value="true";
            (Field::of("pin", "pattern", "Images").help("As for docker: alpine (all its tags), alpine:3.20, quay.io/org/x@sha256:…; * stands for any run of characters, as in quay.io/org/*").required().input(visit, "text"))
            button type="submit" { "Pin" }
        }))
    };
    Ok(Page::new("Pins", body))
}

fn table_of_pins(visit: &Visit<'_, '_>, pins: &[PinView]) -> Markup {
    let counted_at = pins.first().and_then(|pin| pin.counted_at);
    let are_counted = counted_at.is_some();
    let mut headings = vec!["Images", "Pinned", "By"];
    if are_counted {
        headings.push("Keeps now");
    }
    headings.push("");
    let rows = pins.iter().zip(0_u64..).map(|(pin, number)| {
        html! {
            td { code { (pin.pattern) } }
            td { (parts::time(pin.created_at)) }
            td { (pin.created_by) }
            @if are_counted { td { (keeps(pin)) } }
            td { (unpin(visit, pin, number)) }
        }
    });
    html! {
        @match pins.is_empty() {
            true => p.empty { "Nothing is pinned yet: name below what must stay." },
            false => {
                @if let Some(at) = counted_at { p.soft { "Counted at " (parts::time(at)) "." } }
                (parts::table(&headings, rows))
            }
        }
    }
}

fn keeps(pin: &PinView) -> Markup {
    html! {
        @match (pin.images, pin.bytes) {
            (Some(images), Some(bytes)) if images > 0 => { (counted(images, "image")) ", " (parts::size(bytes)) },
            _ => "nothing yet",
        }
    }
}

fn unpin(visit: &Visit<'_, '_>, pin: &PinView, number: u64) -> Markup {
    let fields = html! {
        input type="hidden" name="pattern" value=(pin.pattern);
        button.small type="submit" aria-label=(format!("Unpin {}", pin.pattern)) { "Unpin" }
    };
    let done = "It is not pinned any more.";
    let form = format!("unpin-{number}");
    parts::form(visit, &form, ("DELETE", "/cache/pins"), done, &fields)
}

/// `/images/purge?image=PATTERN`, `?group=PATH` or `?all=true`: shows what would go, and only then offers it.
pub(in crate::server::ui) fn purge(visit: &mut Visit<'_, '_>) -> Shown {
    if !visit.is_administrator() {
        return Err(Refused::not_found());
    }
    let names = ["image", "group", "all", "pinned"];
    let asked = names.map(|name| (name, visit.query(name).unwrap_or_default()));
    let fields: Vec<_> = asked
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let value = |wanted: &str| {
        let mut asked = asked.iter();
        let found = asked.find(|(name, _)| *name == wanted);
        found.map_or("", |(_, value)| value.as_str())
    };
    let would = match fields.iter().any(|(name, _)| *name != "pinned") {
        true => {
            let dry_run = [("dry_run", "true"), ("recall", "true")];
            let fields: Vec<_> = fields.iter().copied().chain(dry_run).collect();
            Some(visit.ask::<PurgeView>(Method::Delete, "/cache/images", &fields))
        }
        false => None,
    };
    let would = would.as_ref();
    let body = html! {
        (tabs(visit))
        p { "To purge removes images from the cache; what is pulled again is fetched again. First it is shown what would go." }
        @if let Some(would) = would { (parts::worked_out("would", would, |view| would_be_purged(visit, view, &fields), &html! {})) }
        h2 { "What is to go" }
        form {
            label for="image" { "Images" }
            input #image name="image" value=(value("image")) aria-describedby="image-help";
            small #image-help { "As for docker: alpine is alpine:latest; or a pattern, as alpine:3.* or quay.io/org/*" }
            label for="group" { "Or what this group has pulled and no other" }
            input #group name="group" value=(value("group"));
            label.tick { input type="checkbox" name="all" value="true" checked[value("all") == "true"]; " Or everything that is cached" }
            label.tick { input type="checkbox" name="pinned" value="true" checked[value("pinned") == "true"]; " Pinned images too" }
            button type="submit" { "Show what would go" }
        }
    };
    Ok(Page::new("Purge", body))
}

fn would_be_purged(visit: &Visit<'_, '_>, view: &PurgeView, fields: &[(&str, &str)]) -> Markup {
    let left = view.names.len().saturating_sub(SHOWN);
    let hidden = html! {
        @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
        p { "This cannot be taken back; the images can be fetched again as long as their upstream has them." }
        button.danger type="submit" { "Purge" }
    };
    let done = ("It was purged.", "/images/purge");
    html! {
        h2 { "What would go" }
        dl {
            dt { "As of" } dd { (parts::time(view.as_of)) }
            dt { "Images" } dd { (view.images) @if view.tags > 0 { ", and " (counted(view.tags, "tag")) " of images that stay because they have other tags" } }
            dt { "Freed" } dd { (parts::size(view.bytes)) }
            @if view.shared_bytes > 0 { dt { "Stays, because others need it" } dd { (parts::size(view.shared_bytes)) } }
            @if view.pinned > 0 { dt { "Stays, because it is pinned" } dd { (counted(view.pinned, "image")) } }
            @if view.other_tags > 0 { dt { "Other tags of the repository that stay" } dd { (view.other_tags) } }
        }
        @if !view.names.is_empty() {
            ul {
                @for name in view.names.iter().take(SHOWN) { li { a href=(link(name)) { (name) } } }
                @if left > 0 { li { "and " (left) " more" } }
            }
        }
        @match view.images == 0 && view.tags == 0 {
            true => p.empty { "Nothing would go." },
            false => details.confirm {
                summary { "Purge…" }
                (parts::form_to(visit, "purge", ("DELETE", "/cache/images"), done, &hidden))
            },
        }
    }
}
