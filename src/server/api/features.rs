//! Feature flags, for the box and for groups. GitLab's gates say which groups have a flag on; here a group may
//! also have one off that the box has on.

use serde_json::{Value, json};

use super::answer::{Answer, Failure, nothing, object};
use super::ask::Ask;
use super::parameters::{Type, optional, required};
use super::table::{Endpoint, Role, Scope, Shape};
use crate::auth::features::Flag;
use crate::store::{Feature, GroupId};

/// `/features`.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: "GET",
        path: "/features",
        scope: Scope::Read,
        role: Role::Administrator,
        parameters: &[],
        gives: (200, Shape::All("Feature")),
        summary: "All flags",
        handler: list,
    },
    Endpoint {
        method: "POST",
        path: "/features/:name",
        scope: Scope::Write,
        role: Role::Administrator,
        parameters: &[
            required("value", Type::Boolean, "on or off"),
            optional(
                "group",
                Type::TextList,
                "for these groups, by path, and those below them, instead of the box",
            ),
        ],
        gives: (201, Shape::One("Feature")),
        summary: "Turn a flag on or off",
        handler: set,
    },
    Endpoint {
        method: "DELETE",
        path: "/features/:name",
        scope: Scope::Write,
        role: Role::Administrator,
        parameters: &[optional(
            "group",
            Type::TextList,
            "only the values of these groups",
        )],
        gives: (204, Shape::Nothing),
        summary: "Give a flag its default again, and take away what groups have of their own",
        handler: reset,
    },
];

fn shape(flag: Flag, rows: &[Feature]) -> Value {
    let actors = |enabled: bool| -> Vec<String> {
        let of_groups = rows
            .iter()
            .filter(|row| row.flag == flag.as_str() && row.enabled == enabled);
        of_groups
            .filter_map(|row| Some(format!("Group:{}", row.group?.0)))
            .collect()
    };
    let value = flag.value(rows, &[]);
    let mut gates = vec![json!({ "key": "boolean", "value": value })];
    for (key, enabled) in [("actors", true), ("disabled_actors", false)] {
        let actors = actors(enabled);
        if !actors.is_empty() {
            gates.push(json!({ "key": key, "value": actors }));
        }
    }
    let state = match (gates.len(), value) {
        (2.., _) => "conditional",
        (_, true) => "on",
        (_, false) => "off",
    };
    json!({
        "name": flag.as_str(),
        "state": state,
        "gates": gates,
        "definition": { "name": flag.as_str(), "default_enabled": flag.default_value() },
    })
}

fn list(ask: &mut Ask<'_, '_>) -> Answer {
    let rows = ask.store().access.features()?;
    let shapes: Vec<_> = Flag::ALL.iter().map(|flag| shape(*flag, &rows)).collect();
    object(200, &Value::Array(shapes))
}

fn find(ask: &Ask<'_, '_>) -> Result<Flag, Failure> {
    Flag::parse(ask.capture("name")).ok_or_else(|| Failure::not_found("Feature"))
}

/// The groups that the field names.
fn groups(ask: &Ask<'_, '_>) -> Result<Vec<GroupId>, Failure> {
    let paths = ask.fields.list("group").iter();
    let found = paths.filter(|path| !path.is_empty());
    found
        .map(|path| match ask.appliance.authenticator.group(path)? {
            Some(group) => Ok(group.id),
            None => Err(Failure::message(400, format!("{path} is not found!"))),
        })
        .collect()
}

fn set(ask: &mut Ask<'_, '_>) -> Answer {
    let flag = find(ask)?;
    let value = ask.fields.boolean("value") == Some(true);
    let access = &ask.store().access;
    let groups = groups(ask)?;
    if groups.is_empty() {
        access.set_feature(&ask.actor(), flag.as_str(), None, value)?;
    }
    for group in groups {
        access.set_feature(&ask.actor(), flag.as_str(), Some(group), value)?;
    }
    object(201, &shape(flag, &access.features()?))
}

fn reset(ask: &mut Ask<'_, '_>) -> Answer {
    let flag = find(ask)?;
    let access = &ask.store().access;
    let groups = groups(ask)?;
    for row in access.features()? {
        let is_meant = groups.is_empty() || row.group.is_some_and(|id| groups.contains(&id));
        if row.flag == flag.as_str() && is_meant {
            access.reset_feature(&ask.actor(), flag.as_str(), row.group)?;
        }
    }
    nothing()
}
