//! What the pages of groups and those of projects have in common.

use maud::{Markup, html};

use super::Page;
use super::parts;
use super::visit::{Refused, Visit};
use crate::admin::{GroupView, MemberView, ProjectView};
use crate::config::Size;
use crate::human::shown_size;
use crate::store::{Level, Visibility};

/// GitLab's numbers of the levels, and what each may.
pub(super) const LEVELS: [(&str, &str); 5] = [
    ("10", "Guest: reads the dependency proxy"),
    ("20", "Reporter: pulls images too"),
    ("30", "Developer: pushes too"),
    ("40", "Maintainer: deletes images and manages projects too"),
    ("50", "Owner: manages the group too"),
];

pub(super) const VISIBILITIES: [(&str, &str); 2] = [
    ("private", "Members alone"),
    ("public", "Everybody who is signed in"),
];

/// The name of a level by GitLab's number.
pub(super) fn level_name(number: i64) -> &'static str {
    match Level::from_number(number) {
        Some(Level::Guest) => "Guest",
        Some(Level::Reporter) => "Reporter",
        Some(Level::Developer) => "Developer",
        Some(Level::Maintainer) => "Maintainer",
        Some(Level::Owner) => "Owner",
        None => "",
    }
}

pub(super) fn visibility(visibility: Visibility) -> &'static str {
    match visibility {
        Visibility::Private => "Members alone",
        Visibility::Public => "Everybody who is signed in",
    }
}

/// A limit, for people.
pub(super) fn limit(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "No limit of its own".to_owned(), shown_size)
}

/// A limit, as it is typed: so many bytes, exactly.
pub(super) fn typed_limit(bytes: Option<u64>) -> String {
    let bytes = bytes.unwrap_or_default();
    let units = ["TiB", "TB", "GiB", "GB", "MiB", "MB"];
    let exact = units.iter().find_map(|unit| {
        let Ok(Size::Bytes(one)) = Size::parse(&format!("1{unit}")) else {
            return None;
        };
        let number = bytes.checked_div(one).filter(|number| *number > 0)?;
        (bytes.checked_rem(one) == Some(0)).then(|| format!("{number}{unit}"))
    });
    exact.unwrap_or_else(|| bytes.to_string())
}

/// A group or a project.
pub(super) struct Place {
    /// On the page and in REST, such as `/groups/7`.
    pub(super) path: String,
    /// Such as `acme/team`.
    pub(super) name: String,
    pub(super) is_group: bool,
    /// Of the visitor: decides what is offered, not what is allowed.
    pub(super) level: Option<Level>,
}

/// The group of the page's path.
///
/// # Errors
/// What REST refuses.
pub(super) fn group(visit: &mut Visit<'_, '_>) -> Result<(Place, GroupView), Refused> {
    let group: GroupView = visit.get(&format!("/groups/{}", visit.capture("id")))?;
    let path = format!("/groups/{}", group.id.0);
    let place = Place {
        level: level(visit, &path)?,
        path,
        name: group.full_path.clone(),
        is_group: true,
    };
    Ok((place, group))
}

/// The project of the page's path.
///
/// # Errors
/// What REST refuses.
pub(super) fn project(visit: &mut Visit<'_, '_>) -> Result<(Place, ProjectView), Refused> {
    let project: ProjectView = visit.get(&format!("/projects/{}", visit.capture("id")))?;
    let path = format!("/projects/{}", project.id.0);
    let place = Place {
        level: level(visit, &path)?,
        path,
        name: project.path_with_namespace.clone(),
        is_group: false,
    };
    Ok((place, project))
}

/// What the visitor is on the group or project of this path in REST.
///
/// # Errors
/// What REST refuses for another reason than that there is nothing to see.
pub(super) fn level(visit: &mut Visit<'_, '_>, place: &str) -> Result<Option<Level>, Refused> {
    if visit.is_administrator() {
        return Ok(Some(Level::Owner));
    }
    let principal = &visit.visitor.identity.principal;
    let Some(user) = principal.user().map(|user| user.id) else {
        return Ok(principal.token().and_then(|token| token.access_level));
    };
    let member = format!("{place}/members/all/{}", user.0);
    let member: Option<MemberView> = visit.may_get(&member)?;
    Ok(member.map(|member| member.access_level))
}

impl Place {
    pub(super) fn noun(&self) -> &'static str {
        match self.is_group {
            true => "group",
            false => "project",
        }
    }

    pub(super) fn has(&self, level: Level) -> bool {
        self.level.is_some_and(|own| own >= level)
    }

    /// Whether members, tokens, rules and settings are the visitor's to change.
    pub(super) fn is_managed(&self) -> bool {
        self.has(match self.is_group {
            true => Level::Owner,
            false => Level::Maintainer,
        })
    }

    /// One of its pages; `title` is what comes before its name.
    pub(super) fn page(&self, visit: &Visit<'_, '_>, title: &str, body: &Markup) -> Page {
        let path = &self.path;
        let mut pages = vec![
            (path.clone(), "Overview"),
            (format!("{path}/members"), "Members"),
        ];
        if self.is_managed() || !self.is_group && self.has(Level::Developer) {
            pages.push((format!("{path}/tokens"), "Tokens"));
        }
        if self.is_managed() {
            pages.push((format!("{path}/rules"), "Rules"));
            pages.push((format!("{path}/settings"), "Settings"));
        }
        if self.is_managed() && self.is_group {
            pages.push((format!("{path}/upstreams"), "Upstreams"));
            pages.push((format!("{path}/webhooks"), "Webhooks"));
        }
        let label = format!("Pages of this {}", self.noun());
        let body = html! { (parts::tabs(visit, &label, &pages)) (body) };
        Page::new(format!("{title} {}", self.name).trim_start(), body)
    }
}
