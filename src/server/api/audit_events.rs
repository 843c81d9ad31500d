//! Audit events, in GitLab's shape: for administrators all, for owners those of their group, for maintainers
//! those of their project. Newest first.

use serde_json::{Value, json};

use super::answer::{Answer, Failure, page};
use super::ask::{Ask, Place};
use super::parameters::{Parameter, Type, optional};
use super::table::{Endpoint, Role, Scope, Shape};
use crate::store::{EventFilter, EventUser, Level, PlaceFilter, RecordedEvent};
use crate::time::{Timestamp, parse_moment};

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
        summary: "What was changed, who was let in and who was refused",
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
    let filter = EventFilter {
        since: moment(ask, "created_after")?,
        before: moment(ask, "created_before")?,
        kind: ask.fields.text("event_name").map(str::to_owned),
        user: user(ask)?,
        place: match ask.place() {
            Place::None => None,
            Place::Group(group) => Some(PlaceFilter::Group(group.id)),
            Place::Project(placed) => Some(PlaceFilter::Project(placed.project.id)),
        },
        limit: None,
    };
    let audit = &ask.store().audit;
    page(
        ask,
        |window| audit.events_page(&filter, window),
        |event| Ok(shape(event)),
    )
}

/// The user of this name, as long as there is one; otherwise all who had it.
fn user(ask: &Ask<'_, '_>) -> Result<Option<EventUser>, Failure> {
    let Some(name) = ask.fields.text("username") else {
        return Ok(None);
    };
    Ok(Some(match ask.store().access.user_by_name(name)? {
        Some(user) => EventUser::Id(user.id),
        None => EventUser::Name(name.to_owned()),
    }))
}

fn moment(ask: &Ask<'_, '_>, field: &str) -> Result<Option<Timestamp>, Failure> {
    let text = ask.fields.text(field);
    text.map(|text| {
        parse_moment(text).ok_or_else(|| Failure::parameters(&format!("{field} is invalid")))
    })
    .transpose()
}

/// Ids are those of the time of the event: what has the same name today may be another one.
fn shape(event: &RecordedEvent) -> Value {
    let (kind, id) = match (event.group_id, event.project_id, event.about_user_id) {
        (_, Some(project), _) => ("Project", Some(project.0)),
        (Some(group), ..) => ("Group", Some(group.0)),
        (None, None, _) if event.group_path.is_some() => ("Group", None),
        (None, None, Some(user)) => ("User", Some(user.0)),
        (None, None, None) => ("Gitlab::Audit::InstanceScope", None),
    };
    json!({
        "id": event.id,
        "author_id": event.actor_user_id,
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
    })
}
