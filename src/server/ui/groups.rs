//! Groups.

use maud::{Markup, html};

use super::parts::{self, Field};
use super::places::{self, Place, VISIBILITIES, limit, typed_limit, visibility};
use super::visit::{Refused, Visit};
use super::{Page, Shown, projects};
use crate::admin::{GroupView, ProjectView};
use crate::human::counted;
use crate::store::{Level, OnReadOnlyMiss};

/// How many of what lies in a group its page lists; there are lists for all.
const LISTED: u64 = 20;

/// `/groups`
pub(super) fn list(visit: &mut Visit<'_, '_>) -> Shown {
    let search = visit.query("search").unwrap_or_default();
    let query = parts::encoded(&search);
    let groups = visit.list::<GroupView>(&format!("/groups?search={query}"))?;
    let body = html! {
        p { "A group holds projects and other groups, has members, and has a dependency proxy of its own, through which its members pull." }
        (parts::search("Part of the path", &search))
        @if groups.entries.is_empty() {
            p.empty {
                @if search.is_empty() { "You are a member of no group yet: an administrator of this box makes groups, and their owners add members." }
                @else { "No group that you may see has this in its path." }
            }
        } @else { (table(&groups.entries)) }
        (parts::pager(visit, &groups))
        @if visit.is_administrator() { (new(visit, None)) }
    };
    Ok(Page::new("Groups", body))
}

fn table(groups: &[GroupView]) -> Markup {
    let rows = groups.iter().map(|group| {
        html! {
            td { a href=(format!("/groups/{}", group.id.0)) { (group.full_path) } }
            td { (visibility(group.visibility)) }
            td { @if group.dependency_proxy_enabled { "On" } @else { "Off" } }
        }
    });
    parts::table(&["Group", "Who may see it", "Dependency proxy"], rows)
}

/// A form for a group at the top, or in another one.
fn new(visit: &Visit<'_, '_>, parent: Option<&GroupView>) -> Markup {
    const FORM: &str = "new-group";
    let path = Field::of(FORM, "path", "Name").help("Small letters and digits, with - _ . in between. It is part of the names of images, and cannot be changed.").required();
    let seen = Field::of(FORM, "visibility", "Who may see it").value("private");
    let fields = html! {
        (parts::hidden("_next", "/groups/{id}"))
        @if let Some(parent) = parent { (parts::hidden("parent_id", &parent.id.0.to_string())) }
        (path.input(visit, "text"))
        (seen.select(visit, &VISIBILITIES))
        button type="submit" { "Make the group" }
    };
    let form = parts::form(
        visit,
        FORM,
        ("POST", "/groups"),
        "The group was made.",
        &fields,
    );
    html! {
        @match parent {
            Some(_) => (parts::folded(visit, FORM, "New group in this one", &form)),
            None => { h2 { "New group" } (form) },
        }
    }
}

/// `/groups/:id`
pub(super) fn show(visit: &mut Visit<'_, '_>) -> Shown {
    let (place, group) = places::group(visit)?;
    let path = &place.path;
    let groups: Vec<GroupView> = visit.get(&format!("{path}/subgroups?per_page={LISTED}"))?;
    let projects: Vec<ProjectView> = visit.get(&format!("{path}/projects?per_page={LISTED}"))?;
    let pull = format!(
        "docker pull {}/{}/dependency_proxy/containers/alpine:latest",
        visit.host(),
        group.full_path
    );
    let below = parts::encoded(&format!("{}/", group.full_path));
    let are_more = |count: usize| count as u64 >= LISTED;
    let body = html! {
        (facts(&group))
        @if group.dependency_proxy_enabled {
            (parts::copied("Pull through the dependency proxy of this group", &pull))
        }
        h2 { "Groups in this one" }
        @if groups.is_empty() { p.empty { "There are none." } } @else { (table(&groups)) }
        @if are_more(groups.len()) { p { a href=(format!("/groups?search={below}")) { "All groups below this one" } } }
        @if place.has(Level::Owner) { (new(visit, Some(&group))) }
        h2 { "Projects" }
        @if projects.is_empty() { p.empty { "There are none. A project holds the images that are pushed to this box." } }
        @else { (projects::table(&projects)) }
        @if are_more(projects.len()) { p { a href=(format!("/projects?search={below}")) { "All projects below this group" } } }
        @if place.has(Level::Maintainer) { (projects::new(visit, &group)) }
    };
    Ok(place.page(visit, "", &body))
}

fn facts(group: &GroupView) -> Markup {
    let miss = match group.on_read_only_miss {
        OnReadOnlyMiss::PassThrough => "It is passed through, and not kept",
        OnReadOnlyMiss::Deny => "It is refused",
    };
    html! {
        dl {
            dt { "Who may see it" } dd { (visibility(group.visibility)) }
            dt { "Dependency proxy" } dd { @if group.dependency_proxy_enabled { "On" } @else { "Off: pulls through it are answered with 404" } }
            dt { "Not cached, and the client may not fill" } dd { (miss) }
            @if let Some(upstream) = &group.default_upstream { dt { "Upstream of paths that name none" } dd { (upstream) } }
            dt { "May be cached of what it pulled" } dd { (limit(group.max_size)) }
            dt { "May be pushed, here and below" } dd { (limit(group.quota)) }
            dt { "Made" } dd { (parts::time(group.created_at)) }
        }
    }
}

/// `/groups/:id/settings`
pub(super) fn settings(visit: &mut Visit<'_, '_>) -> Shown {
    let (place, group) = places::group(visit)?;
    if !place.is_managed() {
        return Err(Refused::forbidden());
    }
    let path = &place.path;
    let purge = format!("{path}/dependency_proxy/cache");
    let purged = format!(
        "Every image that {} has pulled, and no other group, leaves the cache, but for those that are pinned or that a rule protects. Its next pull is fetched from the upstream, which must be reachable then.",
        group.full_path
    );
    let body = html! {
        h2 { "Settings" }
        (form(visit, path, &group))
        h2 { "Cache" }
        (parts::confirmed(visit, ("DELETE", &purge), "Purge what this group has pulled", &purged, "The cache of the group is purged."))
        h2 { "Removal" }
        (removal(visit, &place)?)
    };
    Ok(place.page(visit, "Settings of", &body))
}

fn form(visit: &Visit<'_, '_>, path: &str, group: &GroupView) -> Markup {
    const FORM: &str = "settings";
    let field = |name, label, help| Field::of(FORM, name, label).help(help);
    let (max_size, quota) = (typed_limit(group.max_size), typed_limit(group.quota));
    let fields = html! {
        (field("visibility", "Who may see it", "Also who may pull through its dependency proxy.").value(group.visibility.as_str()).select(visit, &VISIBILITIES))
        (field("dependency_proxy_enabled", "The dependency proxy is on", "Off: pulls through it are answered with 404. What is cached stays.").value(if group.dependency_proxy_enabled { "true" } else { "false" }).tick(visit))
        (field("on_read_only_miss", "Not cached, and the client may not fill", "For clients whose token reads the dependency proxy but does not fill it.").value(group.on_read_only_miss.as_str()).select(visit, &[("pass_through", "Pass it through from the upstream, and keep nothing"), ("deny", "Refuse it with 404")]))
        (parts::hidden("_keep", "default_upstream"))
        (field("default_upstream", "Upstream of paths that name none", "Such as quay.io. Empty: as the group above, or the box.").value(group.default_upstream.as_deref().unwrap_or_default()).input(visit, "text"))
        @if visit.is_administrator() {
            (parts::hidden("_sizes", "max_size quota"))
            (field("max_size", "May be cached of what it pulled", "Such as 50GB or 200GiB. 0: no limit of its own.").value(&max_size).input(visit, "text"))
            (field("quota", "May be pushed, here and below", "Such as 50GB or 200GiB. 0: no limit of its own.").value(&quota).input(visit, "text"))
        } @else {
            p.soft { "Limits of size are set by administrators of this box." }
        }
        button type="submit" { "Save" }
    };
    parts::form(
        visit,
        FORM,
        ("PUT", path),
        "The settings were saved.",
        &fields,
    )
}

fn removal(visit: &mut Visit<'_, '_>, place: &Place) -> Result<Markup, Refused> {
    let path = &place.path;
    let groups = visit.list::<GroupView>(&format!("{path}/descendant_groups?per_page=1"))?;
    let all = format!("{path}/projects?include_subgroups=true&per_page=1");
    let projects = visit.list::<ProjectView>(&all)?;
    let counted = |count: Option<u64>, noun| {
        count.map_or_else(|| format!("its {noun}s"), |count| counted(count, noun))
    };
    let what = format!(
        "{} goes for good, with {} and {} below it, their members, tokens and rules. Nobody can reach the images that were pushed there any more. It is refused where a rule keeps you from deleting one of them.",
        place.name,
        counted(groups.total, "group"),
        counted(projects.total, "project"),
    );
    let fields = html! { (parts::hidden("_next", "/groups")) p { (what) } };
    Ok(parts::confirmed_with(
        visit,
        ("DELETE", path),
        "Remove the group",
        &fields,
        "The group was removed.",
    ))
}
