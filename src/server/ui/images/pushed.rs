//! What was pushed: repositories, their tags, and what a tag points to.

use maud::{Markup, html};

use super::parts::{Part, kind, referrers, table};
use super::tabs;
use crate::admin::RemovedImages;
use crate::http::Method;
use crate::server::api::{RepositoryView, TagDetailsView, TagImageView, TagView};
use crate::server::ui::parts::{self, encoded};
use crate::server::ui::places;
use crate::server::ui::visit::{Refused, Visit};
use crate::server::ui::{Page, Shown};
use crate::store::Level;

/// `/repositories`, of one project or group where `?project=ID` or `?group=ID` names it.
pub(in crate::server::ui) fn repositories(visit: &mut Visit<'_, '_>) -> Shown {
    let search = visit.query("search").unwrap_or_default();
    let id = |name: &str| visit.query(name).and_then(|id| id.parse::<i64>().ok());
    let path = match (id("project"), id("group")) {
        (Some(id), _) => format!("/projects/{id}/registry/repositories?tags_count=true"),
        (_, Some(id)) => format!("/groups/{id}/registry/repositories?tags_count=true"),
        _ => {
            let search = encoded(&search);
            format!("/registry/repositories?tags_count=true&search={search}")
        }
    };
    let is_all = path.starts_with("/registry");
    let listed = visit.list::<RepositoryView>(&path)?;
    let body = html! {
        (tabs(visit))
        @match is_all {
            true => (parts::search("Part of the path", &search)),
            false => p { a href="/repositories" { "All repositories" } },
        }
        @match listed.entries.is_empty() {
            true if !search.is_empty() => p.empty { "No repository that you may see is called so." },
            true => p.empty { "Nothing was pushed yet that you may see: push an image to a project. " a href="/start" { "Getting started" } " shows how." },
            false => {
                (parts::table(&["Repository", "Tags", "Since"], listed.entries.iter().map(|row| html! {
                    td { a href=(format!("/repositories/{}", row.id)) { (row.path) } }
                    td.number { @if let Some(count) = row.tags_count { (count) } }
                    td { (parts::time(row.created_at)) }
                })))
                (parts::pager(visit, &listed))
            }
        }
    };
    Ok(Page::new("Pushed images", body))
}

fn find(visit: &mut Visit<'_, '_>) -> Result<RepositoryView, Refused> {
    // Numbers alone, so that nothing else gets into the path.
    let id: i64 = visit
        .capture("id")
        .parse()
        .map_err(|_| Refused::not_found())?;
    visit.get(&format!("/registry/repositories/{id}?tags_count=true"))
}

fn below(row: &RepositoryView) -> String {
    format!(
        "/projects/{}/registry/repositories/{}",
        row.project_id.0, row.id
    )
}

/// `/repositories/ID`: its tags.
pub(in crate::server::ui) fn repository(visit: &mut Visit<'_, '_>) -> Shown {
    let row = find(visit)?;
    let path = below(&row);
    let tags = visit.list::<TagView>(&format!("{path}/tags"))?;
    let mut details = Vec::new();
    for tag in &tags.entries {
        let tag = visit.may_get::<TagDetailsView>(&format!("{path}/tags/{}", tag.name))?;
        details.extend(tag);
    }
    let project = format!("/projects/{}", row.project_id.0);
    let level = places::level(visit, &project)?;
    let may_delete = level >= Some(Level::Maintainer);
    let body = html! {
        (tabs(visit))
        (parts::copied("Pull from it with docker", &format!("docker pull {}:TAG", row.location)))
        h2 { "Tags" }
        @match details.is_empty() {
            true => p.empty { "It has no tag: its images are pulled by their digests." },
            false => {
                (parts::table(&["Tag", "Digest", "Size", "First pushed", "Last pulled"], details.iter().map(|details| html! {
                    td { a href=(format!("/repositories/{}/tags/{}", row.id, details.tag.name)) { (details.tag.name) } }
                    td { (parts::digest(&details.digest)) }
                    td.number { (parts::size(details.total_size)) }
                    td { (parts::time(details.created_at)) }
                    td { (parts::time_or(details.last_pulled_at, "never")) }
                })))
                (parts::pager(visit, &tags))
            }
        }
        @if may_delete {
            h2 { "Delete the repository" }
            (delete_all(visit, &row))
        }
    };
    Ok(Page::new(row.path, body))
}

fn delete_all(visit: &Visit<'_, '_>, row: &RepositoryView) -> Markup {
    let tags = row.tags_count.unwrap_or_default();
    let fields = html! {
        p { "All of its images go, with " (crate::human::counted(tags, "tag")) "; none goes where a rule protects one. This cannot be taken back." }
        button.danger type="submit" { "Delete all images" }
    };
    let done = ("The repository was deleted.", "/repositories");
    html! {
        details.confirm {
            summary { "Delete all images…" }
            (parts::form_to(visit, "delete", ("DELETE", &below(row)), done, &fields))
        }
    }
}

/// `/repositories/ID/tags/TAG`: what it points to.
pub(in crate::server::ui) fn tag(visit: &mut Visit<'_, '_>) -> Shown {
    let row = find(visit)?;
    let tag = encoded(visit.capture("tag"));
    let path = format!("{}/tags/{tag}", below(&row));
    let image: TagImageView = visit.get(&format!("{path}/image"))?;
    let all: Vec<_> = image.parts.iter().map(part).collect();
    let delete = image
        .may_delete
        .then(|| delete(visit, &row, &image, (&tag, &path)));
    let body = html! {
        (tabs(visit))
        p { a href=(format!("/repositories/{}", row.id)) { "All tags of " (row.path) } }
        (parts::copied("Pull it with docker", &format!("docker pull {}:{tag}", row.location)))
        (facts(&image, &tag))
        h2 { "Platforms and layers" }
        (table(&all))
        @if visit.is_administrator() {
            p { a href=(super::link(&format!("hosted:{}:{tag}", row.path))) { "What of it other images need too" } }
        }
        (referrers(&image.referrers, "None was pushed."))
        @if let Some(delete) = &delete {
            h2 { "Delete the tag" }
            (delete)
        }
    };
    Ok(Page::new(format!("{}:{tag}", row.path), body))
}

fn part(part: &crate::server::api::TagPartView) -> Part<'_> {
    Part {
        digest: &part.digest,
        media_type: &part.media_type,
        platform: part.platform.as_deref(),
        of: part.of.as_deref(),
        size: part.size,
        is_here: part.is_here,
        shared_with: None,
    }
}

fn others<'i>(image: &'i TagImageView, tag: &str) -> Vec<&'i str> {
    let tags = image.tags.iter().map(String::as_str);
    tags.filter(|other| *other != tag).collect()
}

fn facts(image: &TagImageView, tag: &str) -> Markup {
    let others = others(image, tag);
    html! {
        dl {
            dt { "Digest" } dd { code { (image.digest) } }
            dt { "Other tags of this digest" } dd { (listed(&others)) }
            dt { "Kind" } dd { (kind(&image.media_type)) " (" code { (image.media_type) } ")" }
            dt { "Size" } dd { (parts::size(image.size)) }
            @if image.missing > 0 { dt { "State" } dd { span.badge.bad { "damaged" } " " (image.missing) " of its parts are not here: push it again, or restore a backup." } }
            dt { "Pushed" }
            dd { (parts::time(image.pushed_at)) @if let Some(by) = &image.pushed_by { " by " (by) } }
            dt { "Last pulled" } dd { (parts::time_or(image.last_pulled_at, "never")) }
        }
    }
}

fn listed(tags: &[&str]) -> Markup {
    let (first, rest) = tags.split_at(tags.len().min(30));
    html! {
        @for (place, tag) in first.iter().enumerate() { @if place > 0 { ", " } code { (tag) } }
        @if first.is_empty() { "none" }
        @if !rest.is_empty() { " and " (rest.len()) " more" }
    }
}

fn delete(
    visit: &mut Visit<'_, '_>,
    row: &RepositoryView,
    image: &TagImageView,
    (tag, path): (&str, &str),
) -> Markup {
    let others = others(image, tag);
    let back = format!("/repositories/{}", row.id);
    let consequences = match others.is_empty() {
        true => goes(going(visit, row, tag).as_ref(), image),
        false => {
            html! { "The image stays, and nothing is freed, because these tags have the same digest: " (listed(&others)) "." }
        }
    };
    let fields = html! {
        p { (consequences) }
        button.danger type="submit" { "Delete the tag" }
    };
    html! {
        details.confirm {
            summary { "Delete the tag…" }
            (parts::form_to(visit, "delete", ("DELETE", path), ("The tag was deleted.", &back), &fields))
        }
    }
}

/// What would go with the tag. REST tells that to administrators alone, because it depends on images that may be hidden
/// from others.
fn going(visit: &mut Visit<'_, '_>, row: &RepositoryView, tag: &str) -> Option<RemovedImages> {
    if !visit.is_administrator() {
        return None;
    }
    let image = format!("{}:{tag}", row.path);
    let fields = [("image", image.as_str()), ("dry_run", "true")];
    let going = visit.ask(Method::Delete, "/registry/images", &fields);
    // Whoever may not ask is told what others are.
    going.ok()
}

fn goes(going: Option<&RemovedImages>, image: &TagImageView) -> Markup {
    html! {
        "No other tag has this digest"
        @match going {
            Some(going) if going.images.is_empty() => ", but the image stays, and nothing is freed, because another one of this repository needs it.",
            Some(going) => { ": the image can still be pulled by its digest until it is collected as garbage. Then " (parts::size(going.freed_bytes)) " are freed." },
            None => { ": the image can still be pulled by its digest until it is collected as garbage. Then at most " (parts::size(image.size)) " are freed: what other images need too stays." },
        }
    }
}
