//! One image, with everything that is known of it.

use maud::{Markup, html};

use super::kept::state;
use super::parts::{Part, kind, referrers, table};
use super::tabs;
use crate::admin::{ImageDetails, Stays};
use crate::human::counted;
use crate::server::ui::parts::{self, encoded};
use crate::server::ui::visit::{Refused, Visit};
use crate::server::ui::{Page, Shown};

/// So many of its tags are shown.
const TAGS: usize = 30;

/// `/images/show?image=HOST/NAME:TAG`; with `when=yes` also what goes before it, which takes a look at all images.
pub(in crate::server::ui) fn show(visit: &mut Visit<'_, '_>) -> Shown {
    let name = visit.query("image").unwrap_or_default();
    let path = format!("/cache/image?image={}", encoded(&name));
    let image: ImageDetails = visit.get(&format!("{path}&brief=true"))?;
    // By its digest, so that it is this image wherever the tag has moved meanwhile.
    let digest = image.upstream.as_ref().map(|upstream| {
        let name = format!("{upstream}/{}@{}", image.repository, image.digest);
        format!("/cache/image?image={}&recall=true", encoded(&name))
    });
    let when = digest.filter(|_| visit.query("when").is_some());
    let when = when.map(|path| visit.get::<ImageDetails>(&path));
    let name = full_name(&image);
    let all: Vec<_> = image.parts.iter().map(part).collect();
    let if_none = match image.upstream {
        Some(_) => "None is here. A signature is kept when somebody asks for it.",
        None => "None was pushed.",
    };
    let body = html! {
        (tabs(visit))
        (facts(visit, &image, when.as_ref()))
        h2 { "Platforms and layers" }
        (table(&all))
        (referrers(&image.referrers, if_none))
        @if image.upstream.is_some() {
            h2 { "Who pulled it" }
            (pulls(&image))
            (actions(visit, &image, &name))
        }
    };
    Ok(Page::new(name, body))
}

pub(super) fn full_name(image: &ImageDetails) -> String {
    let repository = &image.repository;
    let name = match &image.upstream {
        Some(upstream) => format!("{upstream}/{repository}"),
        None => format!("hosted:{repository}"),
    };
    match &image.tag {
        Some(tag) => format!("{name}:{tag}"),
        None => format!("{name}@{}", image.digest),
    }
}

fn part(part: &crate::admin::PartView) -> Part<'_> {
    Part {
        digest: &part.digest,
        media_type: &part.media_type,
        platform: part.platform.as_deref(),
        of: part.of.as_deref(),
        size: part.size,
        is_here: part.is_cached,
        shared_with: Some(part.shared_with),
    }
}

fn facts(
    visit: &Visit<'_, '_>,
    image: &ImageDetails,
    when: Option<&Result<ImageDetails, Refused>>,
) -> Markup {
    let shared = image.size.saturating_sub(image.exclusive_bytes);
    let (first, others) = image.tags.split_at(image.tags.len().min(TAGS));
    html! {
        dl {
            dt { "Digest" } dd { code { (image.digest) } }
            dt { "Tags" }
            dd {
                @for (place, tag) in first.iter().enumerate() {
                    @if place > 0 { ", " } code { (tag) }
                }
                @if first.is_empty() { "none: it was pulled by its digest, or its tag moved on" }
                @if !others.is_empty() { " and " (others.len()) " more" }
            }
            dt { "Kind" } dd { (kind(&image.media_type)) " (" code { (image.media_type) } ")" }
            dt { "Size" }
            dd { (parts::size(image.size)) @if shared > 0 { ", of which other images need " (parts::size(shared)) " too" } }
            dt { "State" }
            dd {
                (state(image.missing, image.gone_at.is_some()))
                @if image.missing > 0 { " " (counted(image.missing, "part")) " of it not here" }
                @if let Some(at) = image.gone_at { " The upstream does not have it any more, or denies it, since " (parts::time(at)) "." }
            }
            @match &image.pushed_by {
                Some(pushed_by) => { dt { "Pushed" } dd { (parts::time(image.fetched_at)) " by " (pushed_by) } },
                None => {
                    dt { "Fetched" } dd { (parts::time(image.fetched_at)) }
                    dt { "Last confirmed by the upstream" }
                    dd { (parts::time_or(image.confirmed_at, "never")) }
                }
            }
            dt { "Last pulled" } dd { (parts::time_or(image.last_pulled_at, "never")) }
            @if image.upstream.is_some() {
                dt { "When it goes" }
                dd {
                    @match when {
                        Some(whole) => (parts::worked_out("when", whole, |whole| goes_and_when(whole, true), &html! {})),
                        None => {
                            (goes_and_when(image, false))
                            @if image.stays.is_none() { " " a href=(visit.link(&[("when", "yes")])) { "Work out what goes before it" } "." }
                        }
                    }
                }
            }
        }
    }
}

fn goes_and_when(image: &ImageDetails, is_whole: bool) -> Markup {
    html! {
        (goes(image, is_whole))
        @if let Some(at) = image.unused_at { " If nobody pulls it, it goes at " (parts::time(at)) " in any case." }
        @if is_whole { " As of " (parts::time(image.as_of)) "." }
    }
}

/// Why it is still here, or when it is its turn.
fn goes(image: &ImageDetails, is_whole: bool) -> Markup {
    html! {
        @match (image.stays, &image.before) {
            (Some(Stays::Pinned), _) if image.pins.is_empty() => "Never: what it belongs to is pinned.",
            (Some(Stays::Pinned), _) => { "Never: it is pinned by " @for (place, pin) in image.pins.iter().enumerate() { @if place > 0 { ", " } code { (pin) } } "." },
            (Some(Stays::Busy), _) => "Not now: it was pulled or fetched in the last minutes.",
            (Some(Stays::Away), _) => "Not now: its upstream does not answer, or may not be asked.",
            (Some(Stays::Part), _) => "With the image that it is a part of.",
            (Some(Stays::Gone), _) => "Last of all: the upstream does not have it any more.",
            (None, Some(before)) if before.images == 0 => "Next, as soon as room is needed.",
            (None, Some(before)) => { "When room is needed, after " (counted(before.images, "other image")) " of " (parts::size(before.bytes)) "." },
            (None, None) if is_whole => "When room is needed.",
            (None, None) => "When room is needed and it is its turn.",
        }
    }
}

fn pulls(image: &ImageDetails) -> Markup {
    html! {
        @match image.pulls.is_empty() {
            true => p.empty { "Nobody has pulled it yet: it was fetched ahead, or belongs to another image." },
            false => {
                p { "The first of them had it fetched." }
                (parts::table(&["Group", "First", "Last", "Times"], image.pulls.iter().map(|pulls| html! {
                    td { @match &pulls.group_path { Some(path) => (path), None => "a group that is gone" } }
                    td { (parts::time(pulls.first_at)) }
                    td { (parts::time(pulls.last_at)) }
                    td.number { (pulls.count) }
                })))
            }
        }
    }
}

fn actions(visit: &Visit<'_, '_>, image: &ImageDetails, name: &str) -> Markup {
    let is_pinned_itself = image.pins.iter().any(|pin| pin == name);
    let pattern =
        |fields: Markup| html! { input type="hidden" name="pattern" value=(name); (fields) };
    html! {
        h2 { "Pin or purge" }
        @match is_pinned_itself {
            true => (parts::form(visit, "unpin", ("DELETE", "/cache/pins"), "It is not pinned any more: it goes when it is its turn.", &pattern(html! {
                p { "It stays whatever has to go, until it is unpinned." }
                button type="submit" { "Unpin this image" }
            }))),
            false => (parts::form(visit, "pin", ("POST", "/cache/pins"), "The image is pinned: it stays, whatever has to go.", &pattern(html! {
                input type="hidden" name="brief" value="true";
                p { "A pinned image stays, whatever has to go, and also when nobody pulls it." }
                button type="submit" { "Pin this image" }
            }))),
        }
        p { a href=(format!("/images/purge?image={}", encoded(name))) { "Purge this image" } ": shows first what would go." }
    }
}
