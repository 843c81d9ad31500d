//! The audit, with filters: of the box for administrators, of a group or project for those who manage it.

use maud::html;
use serde_json::Value;

use super::parts;
use super::visit::Visit;
use super::{Page, Shown};
use crate::admin::{AuditEventView, GroupView, ProjectView};

/// The parameters of REST that the form has.
const FILTERS: &[(&str, &str, &str)] = &[
    ("event_name", "Event", "text"),
    ("username", "User", "text"),
    ("ip_address", "Address", "text"),
    ("token_id", "Token's id", "number"),
    ("created_after", "From", "date"),
    ("created_before", "Until", "date"),
];

pub(super) fn list(visit: &mut Visit<'_, '_>) -> Shown {
    // Administrators have every place, and others those that they manage.
    let managed = |level: u8| match visit.is_administrator() {
        true => String::new(),
        false => format!("min_access_level={level}&"),
    };
    let (of_groups, of_projects) = (managed(50), managed(40));
    let owned = visit.get::<Vec<GroupView>>(&format!("/groups?{of_groups}per_page=50"))?;
    let managed = visit.get::<Vec<ProjectView>>(&format!("/projects?{of_projects}per_page=50"))?;
    let groups = owned
        .iter()
        .map(|group| (format!("groups/{}", group.id.0), group.full_path.clone()));
    let projects = managed.iter().map(|project| {
        (
            format!("projects/{}", project.id.0),
            project.path_with_namespace.clone(),
        )
    });
    let places: Vec<_> = groups.chain(projects).collect();
    let chosen = match visit.query("place") {
        None if visit.is_administrator() => String::new(),
        None => places
            .first()
            .map(|(place, _)| place.clone())
            .unwrap_or_default(),
        Some(place) => place,
    };
    if chosen.is_empty() && !visit.is_administrator() {
        let body = html! { p.empty { "You see the audit of groups that you own and of projects that you maintain; there are none." } };
        return Ok(Page::new("Audit", body));
    }
    let path = match chosen.as_str() {
        "" => "/audit_events".to_owned(),
        place if is_place(place) => format!("/{place}/audit_events"),
        _ => return Err(super::visit::Refused::not_found()),
    };
    let mut query = form_urlencoded::Serializer::new(String::from("per_page=50"));
    for (name, ..) in FILTERS {
        if let Some(value) = visit.query(name) {
            query.append_pair(name, &value);
        }
    }
    let query = query.finish();
    let events = visit.list::<AuditEventView>(&format!("{path}?{query}"))?;
    let body = html! {
        form.search role="search" {
            @if !places.is_empty() {
                div {
                    label for="place" { "Where" }
                    select #place name="place" {
                        @if visit.is_administrator() { option value="" selected[chosen.is_empty()] { "The whole box" } }
                        @for (place, name) in &places {
                            option value=(place) selected[*place == chosen] { (name) }
                        }
                    }
                }
            }
            @for (name, label, kind) in FILTERS {
                div {
                    label for=(name) { (label) }
                    input id=(name) name=(name) type=(kind) value=(visit.query(name).unwrap_or_default())
                        placeholder=[(*name == "event_name").then_some("token.*")];
                }
            }
            button type="submit" { "Show" }
        }
        (parts::table(&["Time", "Event", "Who", "What", "Where", "Address", "Details"], events.entries.iter().map(|event| {
            let details = &event.details;
            html! {
                td { (parts::time(event.created_at)) @if details.count > 1 { small { (details.count) " times, last " (parts::time(details.last_time)) } } }
                td { code { (event.event_name) } }
                td { (details.author_name) }
                td { @if let Some(kind) = &details.target_type { (kind) " " } (details.target_details.as_deref().unwrap_or_default()) }
                td { (details.entity_path.as_deref().unwrap_or_default()) }
                td { (details.ip_address.as_deref().unwrap_or_default()) }
                td { (changes(&details.changes)) }
            }
        })))
        (parts::pager(visit, &events))
        p.soft { "The newest come first. " code { "breakwater audit" } " shows the same on the box." }
    };
    Ok(Page::new("Audit", body))
}

/// `groups/7` or `projects/7`, whose audit REST gives to whoever manages it.
fn is_place(place: &str) -> bool {
    let id = place
        .strip_prefix("groups/")
        .or_else(|| place.strip_prefix("projects/"));
    id.is_some_and(|id| id.parse::<u32>().is_ok())
}

/// `name: value` for each detail of an event.
fn changes(details: &Value) -> String {
    let fields = details.as_object().into_iter().flatten();
    let fields = fields.map(|(name, value)| match value {
        Value::String(text) => format!("{name}: {text}"),
        value => format!("{name}: {value}"),
    });
    fields.collect::<Vec<_>>().join(", ")
}
