//! Members of groups and projects.

use maud::{Markup, html};

use super::Shown;
use super::parts::{self, Field};
use super::places::{self, LEVELS, Place, level_name};
use super::visit::{Refused, Visit};
use crate::admin::{MemberView, UserState};

/// `/groups/:id/members`
pub(super) fn of_group(visit: &mut Visit<'_, '_>) -> Shown {
    let (place, _) = places::group(visit)?;
    let body = list(visit, &place)?;
    Ok(place.page(visit, "Members of", &body))
}

/// `/projects/:id/members`
pub(super) fn of_project(visit: &mut Visit<'_, '_>) -> Shown {
    let (place, _) = places::project(visit)?;
    let body = list(visit, &place)?;
    Ok(place.page(visit, "Members of", &body))
}

fn list(visit: &mut Visit<'_, '_>, place: &Place) -> Result<Markup, Refused> {
    let list = format!("{}/members", place.path);
    let members = visit.list::<MemberView>(&format!("{list}/all?per_page=15"))?;
    let mut rows = Vec::new();
    for member in &members.entries {
        let own = format!("{list}/{}", member.id.0);
        let direct: Option<MemberView> = visit.may_get(&own)?;
        rows.push(row(visit, place, member, direct.as_ref(), &own));
    }
    let above = match place.is_group {
        true => "the groups above this one",
        false => "the groups that it lies in",
    };
    Ok(html! {
        p { "Members of " (above) " are members here too. Where somebody is both, the higher level counts." }
        @if rows.is_empty() {
            p.empty { "Nobody is a member yet." @if place.is_managed() { " Add somebody below." } }
        } @else {
            (parts::table(&["Member", "Level", "From", ""], rows.into_iter()))
        }
        (parts::pager(visit, &members))
        @if place.is_managed() { (new(visit, place, &list)) }
    })
}

fn row(
    visit: &Visit<'_, '_>,
    place: &Place,
    member: &MemberView,
    direct: Option<&MemberView>,
    path: &str,
) -> Markup {
    let level = member.access_level;
    let from = match direct {
        Some(direct) if direct.access_level < level => format!(
            "A group above; {} here itself",
            level_name(direct.access_level.number())
        ),
        Some(_) => format!("This {}", place.noun()),
        None => "A group above".to_owned(),
    };
    let own = visit.visitor.identity.principal.user();
    let is_own = own.is_some_and(|user| user.id == member.id);
    let name = &member.username;
    let removal = format!(
        "{name} loses what this level allowed from the next request on, tokens included. What {name} pushed stays."
    );
    html! {
        td {
            (name)
            @if member.state == UserState::Blocked { " " span.badge.bad { "blocked" } }
            @if is_own { " " span.badge { "you" } }
        }
        td { (level_name(level.number())) }
        td { (from) }
        td {
            @if let Some(direct) = direct {
                @if place.is_managed() { (change(visit, direct, path)) }
                @if is_own {
                    (parts::confirmed(visit, ("DELETE", path), "Leave", "You lose what this level allowed from the next request on. Somebody else must add you again.", "You have left."))
                } @else if place.is_managed() {
                    (parts::confirmed(visit, ("DELETE", path), "Remove", &removal, "The member was removed."))
                }
            }
        }
    }
}

fn change(visit: &Visit<'_, '_>, member: &MemberView, path: &str) -> Markup {
    let form = format!("PUT{path}");
    let level = member.access_level.number().to_string();
    let label = format!("Level of {}", member.username);
    let field = Field::of(&form, "access_level", &label)
        .help("At most your own.")
        .value(&level)
        .required();
    let fields = html! {
        (field.select(visit, &LEVELS))
        button type="submit" { "Change the level" }
    };
    let shown = parts::form(
        visit,
        &form,
        ("PUT", path),
        "The level was changed.",
        &fields,
    );
    parts::folded(visit, &form, "Change", &shown)
}

fn new(visit: &Visit<'_, '_>, place: &Place, list: &str) -> Markup {
    const FORM: &str = "new-member";
    let name = Field::of(FORM, "username", "User name").required();
    let level = Field::of(FORM, "access_level", "Level")
        .help("At most your own.")
        .value("30")
        .required();
    let fields = html! {
        (name.input(visit, "text"))
        (level.select(visit, &LEVELS))
        button type="submit" { "Add the member" }
    };
    let done = format!("The user is a member of {} now.", place.name);
    html! {
        h2 { "New member" }
        (parts::form(visit, FORM, ("POST", list), &done, &fields))
    }
}
