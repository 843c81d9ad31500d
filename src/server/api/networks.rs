//! Networks that are trusted without a login, beyond GitLab.

use serde_json::json;

use super::answer::{Answer, Failure, nothing, object, page};
use super::ask::Ask;
use super::parameters::{Type, optional, required};
use super::table::{Endpoint, Role, Scope, Shape};
use crate::admin::{AddNetwork, ListNetworks, RemoveNetwork};
use crate::error::Kind;
use crate::store::{Ability, Page};

/// `/networks`.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: "GET",
        path: "/networks",
        scope: Scope::Read,
        role: Role::Administrator,
        parameters: &[],
        gives: (200, Shape::Page("Network")),
        summary: "All network rules",
        handler: list,
    },
    Endpoint {
        method: "POST",
        path: "/networks",
        scope: Scope::Write,
        role: Role::Administrator,
        parameters: &[
            required("cidr", Type::Text, "such as 10.0.0.0/8"),
            required(
                "ability",
                Type::OneOf(&["read", "fill"]),
                "what its addresses may",
            ),
            optional(
                "group",
                Type::Text,
                "where, by path; the mirror unless given",
            ),
        ],
        gives: (201, Shape::One("Network")),
        summary: "Trust a network without a login",
        handler: add,
    },
    Endpoint {
        method: "DELETE",
        path: "/networks/:cidr",
        scope: Scope::Write,
        role: Role::Administrator,
        parameters: &[optional(
            "group",
            Type::Text,
            "where, by path; the mirror unless given",
        )],
        gives: (204, Shape::Nothing),
        summary: "Trust it no more; the slash is written as %2F",
        handler: remove,
    },
];

fn list(ask: &mut Ask<'_, '_>) -> Answer {
    let networks = ask.perform(ListNetworks {})?;
    page(
        ask,
        |window| Ok(Page::of(networks, window)),
        |network| Ok(json!(network)),
    )
}

fn group(ask: &Ask<'_, '_>) -> Option<String> {
    ask.fields.text("group").map(str::to_owned)
}

fn add(ask: &mut Ask<'_, '_>) -> Answer {
    let request = AddNetwork {
        cidr: ask.fields.text("cidr").unwrap_or_default().to_owned(),
        ability: match ask.fields.text("ability") {
            Some("fill") => Ability::Fill,
            _ => Ability::Read,
        },
        group: group(ask),
    };
    let added = ask.perform(request).map_err(Failure::refused("cidr"))?;
    object(201, &json!(added))
}

fn remove(ask: &mut Ask<'_, '_>) -> Answer {
    let request = RemoveNetwork {
        cidr: ask.capture("cidr").to_owned(),
        group: group(ask),
        mirror_only: true,
    };
    ask.perform(request).map_err(|error| match error.kind() {
        Kind::NotFound => Failure::not_found("Network"),
        _ => Failure::refused("cidr")(error),
    })?;
    nothing()
}
