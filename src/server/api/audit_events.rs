//! Audit events, in GitLab's shape: for administrators all, for owners those of their group, for maintainers
//! those of their project. Newest first, and at most [`NEWEST`].

use serde_json::{Value, json};

use super::answer::{Answer, Failure, page};
use super::ask::{Ask, Place};
use super::parameters::{Parameter, Type, optional};
use super::table::{Endpoint, Role, Scope, Shape};
use crate::store::{EventFilter, Level, RecordedEvent};
use crate::time::{Timestamp, parse_moment};

/// How many of the newest events are looked through.
const NEWEST: u32 = 10_000;

const FILTERS: &[Parameter] = &[
    optional("created_after", Type::Text, "a date or a time"),
    optional("created_before", Type::Text, "a date or a time"),
    optional(
        "username",
        Type::Text,
        "what this user did, and what concerns it",
    ),
    optional("event_name", Type::Text, "such as token.created"),
];

/// `/audit_events`, and those of groups and projects.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: "GET",
        path: "/audit_events",
        scope: Scope::Read,
        role: Role::Administrator,
        parameters: FILTERS,
        gives: (200, Shape::Page("AuditEvent")),
        summary: "What was changed, who was let in and who was refused; the newest 10,000",
        handler: list,
    },
    Endpoint {
        method: "GET",
        path: "/groups/:id/audit_events",
        scope: Scope::Read,
        role: Role::Group(Some(Level::Owner)),
        parameters: FILTERS,
        gives: (200, Shape::Page("AuditEvent")),
        summary: "The same of a group and what is below it",
        handler: list,
    },
    Endpoint {
        method: "GET",
        path: "/projects/:id/audit_events",
        scope: Scope::Read,
        role: Role::Project(Some(Level::Maintainer)),
        parameters: FILTERS,
        gives: (200, Shape::Page("AuditEvent")),
        summary: "The same of a project",
        handler: list,
    },
];

fn list(ask: &mut Ask<'_, '_>) -> Answer {
    let before = moment(ask, "created_before")?;
    let name = ask.fields.text("event_name");
    let mut events = ask.store().audit.events(&EventFilter {
        since: moment(ask, "created_after")?,
        user: ask.fields.text("username").map(str::to_owned),
        group: match ask.place() {
            Place::None => None,
            Place::Group(group) => Some(group.path.clone()),
            Place::Project(placed) => Some(placed.project.path.clone()),
        },
        limit: Some(NEWEST),
    })?;
    events.retain(|event| {
        before.is_none_or(|before| event.time < before)
            && name.is_none_or(|name| event.kind == name)
    });
    events.reverse();
    page(ask, &events, |event| shape(ask, event))
}

fn moment(ask: &Ask<'_, '_>, field: &str) -> Result<Option<Timestamp>, Failure> {
    let text = ask.fields.text(field);
    text.map(|text| {
        parse_moment(text).ok_or_else(|| Failure::parameters(&format!("{field} is invalid")))
    })
    .transpose()
}

/// What the event is about, as far as it still exists: ids of what is gone are null.
fn shape(ask: &Ask<'_, '_>, event: &RecordedEvent) -> Result<Value, Failure> {
    let access = &ask.store().access;
    let user = |name: &Option<String>| match name {
        Some(name) => access.user_by_name(name),
        None => Ok(None),
    };
    let author = user(&event.actor_user)?.map(|user| user.id);
    let (kind, id) = match (&event.group_path, &event.about_user) {
        (Some(path), _) => match (access.group_by_path(path)?, access.project_by_path(path)?) {
            (Some(group), _) => ("Group", Some(group.id.0)),
            (None, Some(project)) => ("Project", Some(project.id.0)),
            (None, None) => ("Group", None),
        },
        (None, Some(_)) => ("User", user(&event.about_user)?.map(|user| user.id.0)),
        (None, None) => ("Gitlab::Audit::InstanceScope", None),
    };
    Ok(json!({
        "id": event.id,
        "author_id": author,
        "entity_id": id,
        "entity_type": kind,
        "event_name": event.kind,
        "details": {
            "author_name": event.actor,
            "target_id": event.subject_id,
            "target_type": event.subject_kind,
            "target_details": event.subject_name,
            "ip_address": event.address,
            "entity_path": event.group_path.as_ref().or(event.about_user.as_ref()),
            "correlation_id": event.correlation_id,
            "changes": event.details,
            "count": event.count,
            "last_time": event.last_time.to_string(),
        },
        "created_at": event.time.to_string(),
    }))
}
