//! Protection rules: which there are, and who they let push and delete.

mod forms;
mod tester;

use maud::{Markup, html};

use super::parts;
use super::places::{self, Place};
use super::visit::{Refused, Visit};
use super::{Page, Shown};
use crate::admin::rules::{RepositoryRuleView, TagRuleView};
use crate::admin::{GroupView, ProjectView};
use crate::store::MinimumLevel;

/// Each brings a form to change it.
const RULES: &str = "per_page=10";

/// `/rules`: of what the visitor manages.
pub(super) fn list(visit: &mut Visit<'_, '_>) -> Shown {
    let is_of_groups = visit.query("of").as_deref() == Some("groups");
    let pages = [
        ("/rules".to_owned(), "Projects"),
        ("/rules?of=groups".to_owned(), "Groups"),
    ];
    let body = match is_of_groups {
        true => groups(visit)?,
        false => projects(visit)?,
    };
    let managed = "/projects?min_access_level=40&per_page=1";
    let may_ask = visit.is_administrator() || !visit.get::<Vec<ProjectView>>(managed)?.is_empty();
    let tester = may_ask.then(|| tester::tester(visit));
    let body = html! {
        p { "A rule asks for more than the levels of members do: to push to repositories and tags of a project, or to delete from them; and, in a group, to fill its cache or to purge it. Where several rules match, the strictest holds." }
        (parts::tabs(visit, "Rules of", &pages))
        (body)
        @if let Some(tester) = tester { (tester) }
    };
    Ok(Page::new("Rules", body))
}

fn projects(visit: &mut Visit<'_, '_>) -> Result<Markup, Refused> {
    let path = match visit.is_administrator() {
        true => "/projects",
        false => "/projects?min_access_level=40",
    };
    let projects = visit.list::<ProjectView>(path)?;
    let mut rows = Vec::new();
    for project in &projects.entries {
        let page = format!("/projects/{}/rules", project.id.0);
        let rules = format!("/projects/{}/registry/protection", project.id.0);
        let repositories =
            count::<RepositoryRuleView>(visit, &format!("{rules}/repository/rules"))?;
        let tags = count::<TagRuleView>(visit, &format!("{rules}/tag/rules"))?;
        rows.push(html! {
            td { a href=(page) { (project.path_with_namespace) } }
            td { (repositories) }
            td { (tags) }
        });
    }
    Ok(html! {
        @if rows.is_empty() { p.empty { "You manage no project. The rules of a project are made by its maintainers." } }
        @else { (parts::table(&["Project", "Rules about repositories", "Rules about tags"], rows.into_iter())) }
        (parts::pager(visit, &projects))
    })
}

fn groups(visit: &mut Visit<'_, '_>) -> Result<Markup, Refused> {
    let path = match visit.is_administrator() {
        true => "/groups",
        false => "/groups?owned=true",
    };
    let groups = visit.list::<GroupView>(path)?;
    let mut rows = Vec::new();
    for group in &groups.entries {
        let rules = format!(
            "/groups/{}/registry/protection/repository/rules",
            group.id.0
        );
        let rules = count::<RepositoryRuleView>(visit, &rules)?;
        rows.push(html! {
            td { a href=(format!("/groups/{}/rules", group.id.0)) { (group.full_path) } }
            td { (rules) }
        });
    }
    Ok(html! {
        @if rows.is_empty() { p.empty { "You own no group. The rules of a group are made by its owners." } }
        @else { (parts::table(&["Group", "Rules about its cache"], rows.into_iter())) }
        (parts::pager(visit, &groups))
    })
}

fn count<V: serde::de::DeserializeOwned>(
    visit: &mut Visit<'_, '_>,
    rules: &str,
) -> Result<u64, Refused> {
    let rules = visit.list::<V>(&format!("{rules}?per_page=1"))?;
    Ok(rules.total.unwrap_or_default())
}

/// `/groups/:id/rules`
pub(super) fn of_group(visit: &mut Visit<'_, '_>) -> Shown {
    let (place, _) = places::group(visit)?;
    let body = html! {
        p { "These rules are about what this group, and those below it, have in the cache. Whoever may not fill it is served what is kept, and gets the rest passed through." }
        (repositories(visit, &place)?)
    };
    Ok(place.page(visit, "Rules of", &body))
}

/// `/projects/:id/rules`
pub(super) fn of_project(visit: &mut Visit<'_, '_>) -> Shown {
    let (place, _) = places::project(visit)?;
    let page = format!("{}/rules", place.path);
    let pages = [
        (page.clone(), "Repositories"),
        (format!("{page}?of=tags"), "Tags"),
    ];
    let body = match visit.query("of").as_deref() {
        Some("tags") => tags(visit, &place)?,
        _ => repositories(visit, &place)?,
    };
    let repository = parts::encoded(&place.name);
    let body = html! {
        (parts::tabs(visit, "Rules about", &pages))
        (body)
        p { a href=(format!("/rules?repository={repository}#test")) { "May somebody push this tag, and why?" } }
    };
    Ok(place.page(visit, "Rules of", &body))
}

fn repositories(visit: &mut Visit<'_, '_>, place: &Place) -> Result<Markup, Refused> {
    let list = format!("{}/registry/protection/repository/rules", place.path);
    let rules = visit.list::<RepositoryRuleView>(&format!("{list}?{RULES}"))?;
    let [what, push, delete] = match place.is_group {
        true => ["Cached images", "Who may fill", "Who may purge"],
        false => ["Repositories", "Who may push", "Who may delete"],
    };
    let rows = rules.entries.iter().map(|rule| {
        let path = format!("{list}/{}", rule.id.0);
        html! {
            td {
                code { (rule.repository_path_pattern) }
                small {
                    @if let Some(tags) = &rule.matching_package_version { "tags " code { (tags) } ", " }
                    "rule " (rule.id.0)
                }
            }
            td { span.narrow { (push) ": " } (who(rule.minimum_access_level_for_push)) }
            td { span.narrow { (delete) ": " } (who(rule.minimum_access_level_for_delete)) }
            td {
                (forms::change_repository(visit, place, rule, &path))
                (remove(visit, &path))
            }
        }
    });
    Ok(html! {
        @if rules.entries.is_empty() {
            p.empty { "There is no rule yet: the levels of members decide alone." }
        } @else { (parts::table(&[what, push, delete, ""], rows)) }
        (parts::pager(visit, &rules))
        (forms::new_repository(visit, place, &list))
    })
}

fn tags(visit: &mut Visit<'_, '_>, place: &Place) -> Result<Markup, Refused> {
    let list = format!("{}/registry/protection/tag/rules", place.path);
    let rules = visit.list::<TagRuleView>(&format!("{list}?{RULES}"))?;
    let rows = rules.entries.iter().map(|rule| {
        let path = format!("{list}/{}", rule.id.0);
        html! {
            td {
                code { (rule.tag_name_pattern) }
                @if rule.immutable { " " span.badge { "immutable" } }
                small { "rule " (rule.id.0) }
            }
            td {
                span.narrow { "Who may push: " }
                (who(rule.minimum_access_level_for_push))
                @if rule.immutable { small { "once: then the tag stays what it is" } }
            }
            td {
                span.narrow { "Who may delete: " }
                @if rule.immutable { "Nobody" }
                @else { (who(rule.minimum_access_level_for_delete)) }
            }
            td {
                (forms::change_tag(visit, rule, &path))
                (remove(visit, &path))
            }
        }
    });
    Ok(html! {
        @if rules.entries.is_empty() {
            p.empty { "There is no rule yet: the levels of members decide alone, and every tag can be moved." }
        } @else { (parts::table(&["Tags that match", "Who may push", "Who may delete", ""], rows)) }
        (parts::pager(visit, &rules))
        (forms::new_tag(visit, &list))
    })
}

fn remove(visit: &Visit<'_, '_>, path: &str) -> Markup {
    let what = "What the rule protected is protected no more, from the next request on.";
    parts::confirmed(
        visit,
        ("DELETE", path),
        "Remove",
        what,
        "The rule was removed.",
    )
}

fn who(least: Option<MinimumLevel>) -> &'static str {
    match least {
        None => "Everybody who may anyway",
        Some(MinimumLevel::Maintainer) => "Maintainers and owners",
        Some(MinimumLevel::Owner) => "Owners",
        Some(MinimumLevel::Admin) => "Administrators of this box",
        Some(MinimumLevel::NoAccess) => "Nobody, administrators included",
    }
}
