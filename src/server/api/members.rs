//! Members of groups and projects, the inherited ones apart. Nobody gives, changes or takes away a level above
//! their own.

use std::sync::Arc;

use serde_json::{Value, json};

use super::answer::{Answer, Failure, nothing, object, page};
use super::ask::{Ask, Place};
use super::parameters::{Parameter, Type, optional, required};
use super::table::{Endpoint, Role, Scope, Shape};
use crate::store::{Level, Member, MemberFilter, UserId, Window};

const FILTERS: &[Parameter] = &[optional("query", Type::Text, "a part of the name")];

/// The endpoints of one kind of place.
macro_rules! endpoints {
    ($places:literal, $seen:expr, $managed:expr) => {[
        Endpoint {
            method: "GET",
            path: concat!("/", $places, "/:id/members"),
            scope: Scope::Read,
            role: $seen,
            parameters: FILTERS,
            gives: (200, Shape::Page("Member")),
            summary: "Its own members",
            handler: list,
        },
        Endpoint {
            method: "GET",
            path: concat!("/", $places, "/:id/members/all"),
            scope: Scope::Read,
            role: $seen,
            parameters: FILTERS,
            gives: (200, Shape::Page("Member")),
            summary: "Its members, with those of the groups above it that the caller may see, each with the highest level",
            handler: list_all,
        },
        Endpoint {
            method: "GET",
            path: concat!("/", $places, "/:id/members/all/:user_id"),
            scope: Scope::Read,
            role: $seen,
            parameters: &[],
            gives: (200, Shape::One("Member")),
            summary: "One member, inherited or not",
            handler: get_of_all,
        },
        Endpoint {
            method: "GET",
            path: concat!("/", $places, "/:id/members/:user_id"),
            scope: Scope::Read,
            role: $seen,
            parameters: &[],
            gives: (200, Shape::One("Member")),
            summary: "One of its own members",
            handler: get,
        },
        Endpoint {
            method: "POST",
            path: concat!("/", $places, "/:id/members"),
            scope: Scope::Write,
            role: $managed,
            parameters: &[
                optional("user_id", Type::Integer, "the user"),
                optional("username", Type::Text, "the user, by name"),
                required("access_level", Type::Level, "at most the caller's own"),
                optional(
                    "expires_at",
                    Type::Text,
                    "not supported: memberships do not expire",
                ),
            ],
            gives: (201, Shape::One("Member")),
            summary: "Make a user a member",
            handler: add,
        },
        Endpoint {
            method: "PUT",
            path: concat!("/", $places, "/:id/members/:user_id"),
            scope: Scope::Write,
            role: $managed,
            parameters: &[
                required("access_level", Type::Level, "at most the caller's own"),
                optional(
                    "expires_at",
                    Type::Text,
                    "not supported: memberships do not expire",
                ),
            ],
            gives: (200, Shape::One("Member")),
            summary: "Change a member's level",
            handler: edit,
        },
        Endpoint {
            method: "DELETE",
            path: concat!("/", $places, "/:id/members/:user_id"),
            scope: Scope::Write,
            role: $seen,
            parameters: &[],
            gives: (204, Shape::Nothing),
            summary: "End a membership; one's own too",
            handler: remove,
        },
    ]};
}

/// `/groups/:id/members`.
pub(super) const OF_GROUPS: &[Endpoint] =
    &endpoints!("groups", Role::Group(None), Role::Group(Some(Level::Owner)));
/// `/projects/:id/members`.
pub(super) const OF_PROJECTS: &[Endpoint] = &endpoints!(
    "projects",
    Role::Project(None),
    Role::Project(Some(Level::Maintainer))
);

fn shape(ask: &Ask<'_, '_>, member: &Member) -> Result<Value, Failure> {
    let user = ask.find_user(member.user_id.0)?;
    Ok(json!({
        "id": member.user_id,
        "username": member.user,
        "name": member.user,
        "state": if user.blocked { "blocked" } else { "active" },
        "membership_state": "active",
        "access_level": member.level.number(),
        "expires_at": null,
    }))
}

/// The place's own members.
fn direct(ask: &Ask<'_, '_>) -> MemberFilter {
    let (project, groups) = match ask.place() {
        Place::Group(group) => (None, vec![group.id]),
        Place::Project(placed) => (Some(placed.project.id), Vec::new()),
        Place::None => (None, Vec::new()),
    };
    MemberFilter {
        project,
        groups,
        search: ask.fields.text("query").map(str::to_owned),
        user: None,
    }
}

/// Its members and those of the groups above it that the caller may know of.
fn inherited(ask: &Ask<'_, '_>) -> Result<MemberFilter, Failure> {
    let lineage = match ask.place() {
        Place::Group(group) => ask.appliance.authenticator.lineage(group.id)?,
        Place::Project(placed) => Arc::clone(&placed.groups),
        Place::None => Arc::default(),
    };
    let mut groups = Vec::new();
    for &id in lineage.iter() {
        let group = ask.appliance.authenticator.group_by_id(id)?;
        if let Some(group) = group
            && ask.on_group(&group)?.is_some()
        {
            groups.push(id);
        }
    }
    Ok(MemberFilter {
        groups,
        ..direct(ask)
    })
}

fn page_of(ask: &Ask<'_, '_>, filter: &MemberFilter) -> Answer {
    let access = &ask.store().access;
    page(
        ask,
        |window| access.members_page(filter, window),
        |member| shape(ask, member),
    )
}

fn list(ask: &mut Ask<'_, '_>) -> Answer {
    page_of(ask, &direct(ask))
}

fn list_all(ask: &mut Ask<'_, '_>) -> Answer {
    page_of(ask, &inherited(ask)?)
}

/// The user among the members, if it is one.
fn member(
    ask: &Ask<'_, '_>,
    members: MemberFilter,
    user: UserId,
) -> Result<Option<Member>, Failure> {
    let filter = MemberFilter {
        user: Some(user),
        search: None,
        ..members
    };
    let found = ask.store().access.members_page(&filter, Window::ALL)?;
    Ok(found.entries.into_iter().next())
}

/// The member of the path.
fn find(ask: &Ask<'_, '_>, members: MemberFilter) -> Result<Member, Failure> {
    let user = UserId(ask.number("user_id")?);
    member(ask, members, user)?.ok_or_else(|| Failure::not_found("Member"))
}

fn get(ask: &mut Ask<'_, '_>) -> Answer {
    object(200, &shape(ask, &find(ask, direct(ask))?)?)
}

fn get_of_all(ask: &mut Ask<'_, '_>) -> Answer {
    object(200, &shape(ask, &find(ask, inherited(ask)?)?)?)
}

fn add(ask: &mut Ask<'_, '_>) -> Answer {
    let fields = &ask.fields;
    let user = match (fields.integer("user_id"), fields.text("username")) {
        (Some(id), _) => ask.find_user(id)?.id,
        (None, Some(name)) => match ask.store().access.user_by_name(name)? {
            Some(user) => user.id,
            None => return Err(Failure::not_found("User")),
        },
        (None, None) => {
            return Err(Failure::parameters(
                "user_id, username are missing, at least one parameter must be provided",
            ));
        }
    };
    if member(ask, direct(ask), user)?.is_some() {
        return Err(Failure::message(409, "Member already exists"));
    }
    put(ask, user, 201)
}

fn edit(ask: &mut Ask<'_, '_>) -> Answer {
    let member = find(ask, direct(ask))?;
    ask.needs(member.level)?;
    put(ask, member.user_id, 200)
}

/// Gives the user the level of the fields, which must not be above the caller's own.
fn put(ask: &Ask<'_, '_>, user: UserId, status: u16) -> Answer {
    if ask
        .fields
        .text("expires_at")
        .is_some_and(|text| !text.is_empty())
    {
        let why = "is not supported: memberships do not expire";
        return Err(Failure::invalid("expires_at", why));
    }
    let level = ask.fields.level("access_level").unwrap_or(Level::Guest);
    ask.needs(level)?;
    let (access, actor) = (&ask.store().access, ask.actor());
    match ask.place() {
        Place::Group(group) => access.set_member(&actor, group.id, user, level)?,
        Place::Project(placed) => {
            access.set_project_member(&actor, placed.project.id, user, level)?;
        }
        Place::None => {}
    }
    let member = member(ask, direct(ask), user)?;
    let member = member.ok_or_else(|| Failure::not_found("Member"))?;
    object(status, &shape(ask, &member)?)
}

fn remove(ask: &mut Ask<'_, '_>) -> Answer {
    let user = UserId(ask.number("user_id")?);
    let is_own = ask
        .identity
        .principal
        .user()
        .is_some_and(|own| own.id == user);
    let least = match ask.place() {
        Place::Project(_) => Level::Maintainer,
        _ => Level::Owner,
    };
    if !is_own {
        ask.needs(least)?;
    }
    let member = find(ask, direct(ask))?;
    if !is_own {
        ask.needs(member.level)?;
    }
    let (access, actor) = (&ask.store().access, ask.actor());
    match ask.place() {
        Place::Group(group) => access.remove_member(&actor, group.id, user)?,
        Place::Project(placed) => access.remove_project_member(&actor, placed.project.id, user)?,
        Place::None => false,
    };
    nothing()
}
