//! Projects.

use maud::{Markup, html};

use super::parts::{self, Field};
use super::places::{self, VISIBILITIES, limit, typed_limit, visibility};
use super::visit::{Refused, Visit};
use super::{Page, Shown};
use crate::admin::{GroupView, ProjectView};
use crate::human::counted;
use crate::server::api::RepositoryView;
use crate::store::Level;

/// `/projects`
pub(super) fn list(visit: &mut Visit<'_, '_>) -> Shown {
    let search = visit.query("search").unwrap_or_default();
    let query = parts::encoded(&search);
    let projects = visit.list::<ProjectView>(&format!("/projects?search={query}"))?;
    let body = html! {
        p { "A project holds the images that are pushed to this box, at its path and below it." }
        (parts::search("Part of the path", &search))
        @if projects.entries.is_empty() {
            p.empty {
                @if search.is_empty() { "There is no project yet that you may see: maintainers of a group make them on the " a href="/groups" { "page of the group" } "." }
                @else { "No project that you may see has this in its path." }
            }
        } @else { (table(&projects.entries)) }
        (parts::pager(visit, &projects))
    };
    Ok(Page::new("Projects", body))
}

pub(super) fn table(projects: &[ProjectView]) -> Markup {
    let rows = projects.iter().map(|project| {
        let cleanup = &project.container_expiration_policy;
        html! {
            td { a href=(format!("/projects/{}", project.id.0)) { (project.path_with_namespace) } }
            td { (visibility(project.visibility)) }
            td { @if cleanup.enabled { "On" } @else { "Off" } }
        }
    });
    parts::table(&["Project", "Who may see it", "Cleanup of old tags"], rows)
}

/// A form for a project in the group.
pub(super) fn new(visit: &Visit<'_, '_>, group: &GroupView) -> Markup {
    const FORM: &str = "new-project";
    let field = |name, label, help, value| {
        Field::of(FORM, name, label)
            .help(help)
            .value(value)
            .required()
    };
    let fields = html! {
        (parts::hidden("_next", "/projects/{id}"))
        (parts::hidden("namespace_id", &group.id.0.to_string()))
        (field("path", "Name", "Small letters and digits, with - _ . in between. It is part of the names of images, and cannot be changed.", "").input(visit, "text"))
        (field("visibility", "Who may see it", "", "private").select(visit, &VISIBILITIES))
        button type="submit" { "Make the project" }
    };
    let form = parts::form(
        visit,
        FORM,
        ("POST", "/projects"),
        "The project was made.",
        &fields,
    );
    parts::folded(visit, FORM, "New project in this group", &form)
}

/// `/projects/:id`
pub(super) fn show(visit: &mut Visit<'_, '_>) -> Shown {
    let (place, project) = places::project(visit)?;
    let list = format!("{}/registry/repositories?tags_count=true", place.path);
    let repositories = match visit.list::<RepositoryView>(&list) {
        Ok(repositories) => Some(repositories),
        Err(refused) if matches!(refused.status, 403 | 404) => None,
        Err(refused) => return Err(refused),
    };
    let name = format!("{}/{}", visit.host(), project.path_with_namespace);
    let push = format!("docker tag IMAGE {name}:latest\ndocker push {name}:latest");
    let body = html! {
        (facts(&project))
        h2 { "Repositories" }
        @match &repositories {
            Some(repositories) if !repositories.entries.is_empty() => {
                (parts::table(&["Repository", "Tags"], repositories.entries.iter().map(repository)))
                @if repositories.more { p { a href=(format!("/repositories?project={}", project.id.0)) { "All repositories of this project" } } }
            }
            Some(_) => p.empty { "Nothing was pushed yet." },
            None => p.empty { "You see this project, but may not pull its images: that takes the level reporter." },
        }
        @if place.has(Level::Developer) { (parts::copied("Push an image", &push)) }
    };
    Ok(place.page(visit, "", &body))
}

fn repository(repository: &RepositoryView) -> Markup {
    html! {
        td { a href=(format!("/repositories/{}", repository.id)) { (repository.path) } }
        td.number { @if let Some(tags) = repository.tags_count { (tags) } }
    }
}

fn facts(project: &ProjectView) -> Markup {
    let (group, policy) = (&project.namespace, &project.container_expiration_policy);
    html! {
        dl {
            dt { "Group" } dd { a href=(format!("/groups/{}", group.id.0)) { (group.full_path) } }
            dt { "Who may see it" } dd { (visibility(project.visibility)) }
            dt { "May be pushed" } dd { (limit(project.quota)) }
            dt { "Cleanup of old tags" }
            dd {
                @match policy.next_run_at {
                    Some(at) if policy.enabled => { "Runs next at " (parts::time(at)) }
                    _ => "Off",
                }
                @if let Some(run) = &policy.last_run {
                    small {
                        "Last run " (parts::time(run.started_at)) ": " (counted(run.removed_tags, "tag")) " went, " (counted(run.kept_tags, "tag")) " stayed."
                        @if let Some(error) = &run.error { " It failed: " (error) }
                    }
                }
            }
            dt { "Made" } dd { (parts::time(project.created_at)) }
        }
    }
}

/// `/projects/:id/settings`
pub(super) fn settings(visit: &mut Visit<'_, '_>) -> Shown {
    let (place, project) = places::project(visit)?;
    if !place.is_managed() {
        return Err(Refused::forbidden());
    }
    let removal = format!(
        "{} goes for good, with its members, tokens and rules. Nobody can reach the images that were pushed there any more. It is refused where a rule keeps you from deleting one of them.",
        place.name
    );
    let removal = html! { (parts::hidden("_next", "/projects")) p { (removal) } };
    let body = html! {
        @if place.has(Level::Owner) {
            h2 { "Settings" }
            (form(visit, &place.path, &project))
        }
        h2 { "Cleanup of old tags" }
        p { "The cleanup policy lets old tags go by themselves, in each repository of the project: of the tags that may go, those stay that match what stays, that are among the newest, or that are too young. The tag latest stays, and so does what a rule protects." }
        (policy(visit, &place.path, &project))
        @if place.has(Level::Owner) {
            h2 { "Removal" }
            (parts::confirmed_with(visit, ("DELETE", &place.path), "Remove the project", &removal, "The project was removed."))
        }
    };
    Ok(place.page(visit, "Settings of", &body))
}

fn form(visit: &Visit<'_, '_>, path: &str, project: &ProjectView) -> Markup {
    const FORM: &str = "settings";
    let field = |name, label, help, value| Field::of(FORM, name, label).help(help).value(value);
    let quota = typed_limit(project.quota);
    let fields = html! {
        (field("visibility", "Who may see it", "A public project is one that everybody who is signed in may pull from, if the groups above it are public too.", project.visibility.as_str()).select(visit, &VISIBILITIES))
        @if visit.is_administrator() {
            (parts::hidden("_sizes", "quota"))
            (field("quota", "May be pushed", "Such as 50GB or 200GiB. 0: no limit of its own.", &quota).input(visit, "text"))
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

fn policy(visit: &Visit<'_, '_>, path: &str, project: &ProjectView) -> Markup {
    const FORM: &str = "cleanup";
    /// Which an empty field takes away.
    const KEEP: &str = "container_expiration_policy_attributes[keep_n] container_expiration_policy_attributes[older_than] container_expiration_policy_attributes[name_regex_delete] container_expiration_policy_attributes[name_regex_keep]";
    let policy = &project.container_expiration_policy;
    let field = |name, label, help, value| Field::of(FORM, name, label).help(help).value(value);
    let keep_n = policy
        .keep_n
        .map(|count| count.to_string())
        .unwrap_or_default();
    let older_than = policy.older_than.map_or("", Into::into);
    let fields = html! {
        (parts::hidden("_keep", KEEP))
        (field("container_expiration_policy_attributes[enabled]", "It runs by itself", "", if policy.enabled { "true" } else { "false" }).tick(visit))
        (field("container_expiration_policy_attributes[cadence]", "How often", "Saving begins the time anew.", policy.cadence.into()).select(visit, &[
            ("1d", "Every day"), ("7d", "Every week"), ("14d", "Every two weeks"), ("1month", "Every 30 days"), ("3month", "Every 90 days"),
        ]))
        (field("container_expiration_policy_attributes[name_regex_delete]", "Tags that may go", "A regular expression of the whole name, such as .* or pr-[0-9]+. Empty: no tag goes.", policy.name_regex_delete.as_deref().unwrap_or_default()).input(visit, "text"))
        (field("container_expiration_policy_attributes[name_regex_keep]", "Tags that stay all the same", "A regular expression of the whole name, such as v.+", policy.name_regex_keep.as_deref().unwrap_or_default()).input(visit, "text"))
        (field("container_expiration_policy_attributes[keep_n]", "How many of the newest stay", "In each repository.", &keep_n).select(visit, &[
            ("", "None"), ("1", "1"), ("5", "5"), ("10", "10"), ("25", "25"), ("50", "50"), ("100", "100"),
        ]))
        (field("container_expiration_policy_attributes[older_than]", "Younger ones stay", "The age counts from the last push.", older_than).select(visit, &[
            ("", "No: age does not count"), ("7d", "Up to 7 days"), ("14d", "Up to 14 days"), ("30d", "Up to 30 days"), ("60d", "Up to 60 days"), ("90d", "Up to 90 days"),
        ]))
        button type="submit" { "Save the policy" }
    };
    parts::form(
        visit,
        FORM,
        ("PUT", path),
        "The cleanup policy was saved.",
        &fields,
    )
}
