//! The list of what is kept of upstreams.

use maud::{Markup, html};

use super::{link, tabs};
use crate::human::short_digest;
use crate::server::ui::parts::{self, encoded};
use crate::server::ui::visit::Visit;
use crate::server::ui::{Page, Shown};
use crate::store::CachedImage;

const ORDERS: &[(&str, &str)] = &[
    ("", "Name"),
    ("pulled", "Last pulled first"),
    ("filled", "Last fetched first"),
    ("size", "Largest first"),
];

/// So many pages of the list can be seen: nobody reads on for longer, and each costs more than the one before.
const PAGES: u64 = 500;

/// `/images`: for who is no administrator, what was pushed.
pub(in crate::server::ui) fn list(visit: &mut Visit<'_, '_>) -> Shown {
    if !visit.is_administrator() {
        return super::repositories(visit);
    }
    let asked = |name: &str| visit.query(name).unwrap_or_default();
    let (search, sort, group) = (asked("search"), asked("sort"), asked("group"));
    let mut path = format!("/cache/images?search={}", encoded(&search));
    for (name, value) in [("sort", &sort), ("group", &group)] {
        if !value.is_empty() {
            path.push_str(&format!("&{name}={}", encoded(value)));
        }
    }
    let page = visit
        .query("page")
        .and_then(|page| page.parse::<u64>().ok());
    let images = match page.is_some_and(|page| page > PAGES) {
        true => None,
        false => Some(visit.list::<CachedImage>(&path)?),
    };
    let is_filtered = !search.is_empty() || !group.is_empty();
    let body = html! {
        (tabs(visit))
        form.search role="search" {
            div {
                label for="search" { "Part of a name; * for anything" }
                input #search name="search" type="search" value=(search);
            }
            div {
                label for="group" { "Pulled by the group" }
                input #group name="group" value=(group);
            }
            div {
                label for="sort" { "Order" }
                select #sort name="sort" {
                    @for (value, name) in ORDERS {
                        option value=(value) selected[*value == sort] { (name) }
                    }
                }
            }
            button type="submit" { "Search" }
        }
        @match &images {
            None => (no_further(visit)),
            Some(images) if images.entries.is_empty() && is_filtered => p.empty { "No image that is cached is called so." },
            Some(images) if images.entries.is_empty() => p.empty { "No image is cached yet: pull one through this box. " a href="/start" { "Getting started" } " shows how." },
            Some(images) => {
                (parts::table(&["Image", "Kind", "Size", "Last pulled", "Fetched", "State"], images.entries.iter().map(row)))
                (parts::pager(visit, images))
            }
        }
    };
    Ok(Page::new("Images", body))
}

/// In the place of a page behind the last that can be seen.
fn no_further(visit: &Visit<'_, '_>) -> Markup {
    html! {
        p.empty {
            "Only the first " (PAGES) " pages are shown: search for a part of the name. "
            a href=(visit.link(&[("page", "")])) { "To the first page" }
            ". " code { "breakwater cache list" } " and the REST API list all of them."
        }
    }
}

fn row(image: &CachedImage) -> Markup {
    let name = image.name();
    html! {
        td { a href=(link(&name)) { (shortened(image)) } }
        td { (super::parts::kind(&image.media_type)) }
        td.number { (parts::size(image.size)) }
        td { (parts::time_or(image.last_pulled_at, "never")) }
        td { (parts::time(image.fetched_at)) }
        td { (state(image.missing, image.gone_at.is_some())) }
    }
}

/// Without a tag, with the beginning of its digest.
fn shortened(image: &CachedImage) -> String {
    match &image.tag {
        Some(_) => image.name(),
        None => format!(
            "{}@{}…",
            image.name_without_tag(),
            short_digest(&image.digest)
        ),
    }
}

pub(super) fn state(missing: u64, is_gone: bool) -> Markup {
    html! {
        @if missing > 0 { span.badge.warn title="The next pull fetches what is missing" { "in part" } " " }
        @if is_gone { span.badge.warn { "gone upstream" } }
        @if missing == 0 && !is_gone { span.badge.good { "whole" } }
    }
}
