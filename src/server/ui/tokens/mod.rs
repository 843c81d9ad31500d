//! Tokens: one's own, those of a group or project, and for administrators all.

mod listed;
mod made;
mod new;

use maud::{Markup, html};

use super::parts::{self, capital};
use super::places::{self, Place};
use super::visit::{Listed, Refused, Visit};
use super::{Page, Shown};
use crate::admin::tokens::{AccessTokenView, DeployTokenView, JobTokenView};
use crate::admin::{GroupView, ProjectView, UserView};
use listed::{Row, table};
use new::Kind;

pub(super) use made::made;

/// Which of a list are shown, in REST's query: few at once, since each brings forms of its own, and not those that ended
/// unless the page is asked for them.
fn which(visit: &Visit<'_, '_>, kind: Kind) -> &'static str {
    match (visit.query("ended"), kind) {
        (Some(_), _) => "per_page=15",
        (None, Kind::Personal | Kind::Access) => "per_page=15&state=active",
        (None, Kind::Deploy | Kind::Job) => "per_page=15&active=true",
    }
}

/// A list with its pages, and the way to what it leaves out.
fn shown<V>(visit: &Visit<'_, '_>, table: &Markup, tokens: &Listed<V>) -> Markup {
    let (link, text) = match visit.query("ended") {
        Some(_) => (
            visit.link(&[("ended", ""), ("page", "")]),
            "Only tokens that are in force",
        ),
        None => (
            visit.link(&[("ended", "true"), ("page", "")]),
            "Also tokens that were revoked or have expired",
        ),
    };
    html! {
        (table)
        (parts::pager(visit, tokens))
        p { a href=(link) { (text) } }
    }
}

/// `/tokens`
pub(super) fn own(visit: &mut Visit<'_, '_>) -> Shown {
    let of = visit.query("of");
    let user: Option<UserView> = visit.may_get("/user")?;
    let body = match (of.as_deref(), user) {
        (Some("all"), _) => of_everybody(visit)?,
        (Some("deploy"), _) => all_deploy_tokens(visit)?,
        (_, Some(user)) => {
            let shown = personal(visit, &user)?;
            let new = new::form(
                visit,
                Kind::Personal,
                "/user/personal_access_tokens",
                "New personal token",
            );
            html! {
                p { "A personal token logs in in your name, for docker, CI jobs and scripts, and does what its scopes allow, as far as you may do it." }
                (shown)
                (new)
            }
        }
        (_, None) => html! {
            p.empty { "You are signed in with the token of a group or a project. Such a token makes no others: sign in as a user for that." }
        },
    };
    let tabs = visit.is_administrator().then(|| {
        let pages = [
            ("/tokens".to_owned(), "Yours"),
            ("/tokens?of=all".to_owned(), "Personal tokens of all users"),
            ("/tokens?of=deploy".to_owned(), "All deploy tokens"),
        ];
        parts::tabs(visit, "Kinds of tokens", &pages)
    });
    let body = html! {
        @if let Some(tabs) = tabs { (tabs) }
        (body)
        p.soft { "Deploy tokens and access tokens are made on the page of their group or project, under Tokens." }
    };
    Ok(Page::new("Tokens", body))
}

/// The personal tokens of a user.
pub(super) fn personal(visit: &mut Visit<'_, '_>, user: &UserView) -> Result<Markup, Refused> {
    let which = which(visit, Kind::Personal);
    let list = format!("/personal_access_tokens?user_id={}&{which}", user.id.0);
    let tokens = visit.list::<AccessTokenView>(&list)?;
    let rows = tokens.entries.iter();
    let rows = rows.map(|token| Row::of_access(token, "/personal_access_tokens"));
    let rows: Vec<_> = rows.collect();
    Ok(shown(visit, &table(visit, None, rows), &tokens))
}

/// A form for a personal token of another user.
pub(super) fn new_for_user(visit: &Visit<'_, '_>, user: &UserView) -> Markup {
    let path = format!("/users/{}/personal_access_tokens", user.id.0);
    new::form(visit, Kind::Personal, &path, "New token for this user")
}

fn of_everybody(visit: &mut Visit<'_, '_>) -> Result<Markup, Refused> {
    let list = format!("/personal_access_tokens?{}", which(visit, Kind::Personal));
    let tokens = visit.list::<AccessTokenView>(&list)?;
    let mut rows = Vec::new();
    for token in &tokens.entries {
        let user = match token.user_id {
            Some(id) => visit.may_get::<UserView>(&format!("/users/{}", id.0))?,
            None => None,
        };
        let extra = html! {
            @if let Some(user) = user { a href=(format!("/users/{}", user.id.0)) { (user.username) } }
        };
        rows.push(Row::of_access(token, "/personal_access_tokens").with(extra));
    }
    Ok(shown(visit, &table(visit, Some("User"), rows), &tokens))
}

fn all_deploy_tokens(visit: &mut Visit<'_, '_>) -> Result<Markup, Refused> {
    let list = format!("/deploy_tokens?{}", which(visit, Kind::Deploy));
    let tokens = visit.list::<DeployTokenView>(&list)?;
    let mut rows = Vec::new();
    for token in &tokens.entries {
        let (place, path) = match (token.group_id, token.project_id) {
            (Some(group), _) => {
                let place = format!("/groups/{}", group.0);
                let group: Option<GroupView> = visit.may_get(&place)?;
                (place, group.map(|group| group.full_path))
            }
            (None, Some(project)) => {
                let place = format!("/projects/{}", project.0);
                let project: Option<ProjectView> = visit.may_get(&place)?;
                (place, project.map(|project| project.path_with_namespace))
            }
            (None, None) => continue,
        };
        let extra = html! {
            a href=(format!("{place}/tokens")) { (path.unwrap_or_default()) }
        };
        rows.push(Row::of_deploy(token, &format!("{place}/deploy_tokens")).with(extra));
    }
    Ok(shown(visit, &table(visit, Some("Of"), rows), &tokens))
}

/// `/groups/:id/tokens`
pub(super) fn of_group(visit: &mut Visit<'_, '_>) -> Shown {
    let (place, _) = places::group(visit)?;
    let body = of_place(visit, &place, &[Kind::Deploy, Kind::Access])?;
    Ok(place.page(visit, "Tokens of", &body))
}

/// `/projects/:id/tokens`
pub(super) fn of_project(visit: &mut Visit<'_, '_>) -> Shown {
    let (place, _) = places::project(visit)?;
    // Developers make job tokens, and know of no others.
    let others = format!("{}/deploy_tokens?per_page=1", place.path);
    let kinds: &[_] = match visit.may_get::<Vec<DeployTokenView>>(&others)? {
        Some(_) => &[Kind::Deploy, Kind::Access, Kind::Job],
        None => &[Kind::Job],
    };
    let body = of_place(visit, &place, kinds)?;
    Ok(place.page(visit, "Tokens of", &body))
}

fn of_place(visit: &mut Visit<'_, '_>, place: &Place, kinds: &[Kind]) -> Result<Markup, Refused> {
    let asked = visit.query("kind");
    let kind = kinds.iter().copied();
    let asked = kind
        .clone()
        .find(|kind| Some(kind.word()) == asked.as_deref());
    let kind = asked.or(kind.clone().next()).unwrap_or(Kind::Deploy);
    let (path, page) = (
        format!("{}{}", place.path, kind.path()),
        format!("{}/tokens", place.path),
    );
    let list = format!("{path}?{}", which(visit, kind));
    let listed = match kind {
        Kind::Deploy => {
            let tokens = visit.list::<DeployTokenView>(&list)?;
            let rows = tokens.entries.iter();
            let rows = rows.map(|token| Row::of_deploy(token, &path)).collect();
            shown(visit, &table(visit, None, rows), &tokens)
        }
        Kind::Job => {
            let tokens = visit.list::<JobTokenView>(&list)?;
            let rows = tokens.entries.iter();
            let rows = rows.map(|token| Row::of_job(token, &path)).collect();
            shown(visit, &table(visit, None, rows), &tokens)
        }
        Kind::Access | Kind::Personal => {
            let tokens = visit.list::<AccessTokenView>(&list)?;
            let rows = tokens.entries.iter();
            let rows = rows.map(|token| Row::of_access(token, &path)).collect();
            shown(visit, &table(visit, Some("Level"), rows), &tokens)
        }
    };
    let pages: Vec<_> = kinds
        .iter()
        .enumerate()
        .map(|(index, kind)| match index {
            0 => (page.clone(), kind.plural()),
            _ => (format!("{page}?kind={}", kind.word()), kind.plural()),
        })
        .collect();
    let title = format!("New {}", kind.noun());
    Ok(html! {
        @if pages.len() > 1 { (parts::tabs(visit, "Kinds of tokens", &pages)) }
        p { (capital(&kind.meaning(place.noun()))) }
        (listed)
        (new::form(visit, kind, &path, &title))
    })
}
