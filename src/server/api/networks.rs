//! Networks that are trusted without a login, beyond GitLab.

use serde_json::{Value, json};

use super::answer::{Answer, Failure, nothing, object, page};
use super::ask::Ask;
use super::parameters::{Type, optional, required};
use super::table::{Endpoint, Role, Scope, Shape};
use crate::auth::administration::networks::parse_cidr;
use crate::store::{Ability, GroupId, Network};

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

fn shape(ask: &Ask<'_, '_>, network: &Network) -> Result<Value, Failure> {
    let group = match network.group {
        Some(id) => ask.appliance.authenticator.group_by_id(id)?,
        None => None,
    };
    Ok(json!({
        "cidr": network.cidr,
        "ability": network.ability.as_str(),
        "group_id": network.group,
        "group_path": group.map(|group| group.path.clone()),
    }))
}

fn list(ask: &mut Ask<'_, '_>) -> Answer {
    let networks = ask.store().access.networks()?;
    page(ask, &networks, |network| shape(ask, network))
}

/// The group of the field; `None`: the mirror.
fn group(ask: &Ask<'_, '_>) -> Result<Option<GroupId>, Failure> {
    let path = ask.fields.text("group").filter(|path| !path.is_empty());
    path.map(|path| Ok(ask.find_group(path)?.0.id)).transpose()
}

fn add(ask: &mut Ask<'_, '_>) -> Answer {
    let cidr = ask.fields.text("cidr").unwrap_or_default();
    let network = Network {
        cidr: parse_cidr(cidr).map_err(Failure::refused("cidr"))?,
        ability: match ask.fields.text("ability") {
            Some("fill") => Ability::Fill,
            _ => Ability::Read,
        },
        group: group(ask)?,
    };
    let added = ask.store().access.add_network(&ask.actor(), &network);
    added.map_err(Failure::refused("cidr"))?;
    object(201, &shape(ask, &network)?)
}

fn remove(ask: &mut Ask<'_, '_>) -> Answer {
    let cidr = parse_cidr(ask.capture("cidr")).map_err(Failure::refused("cidr"))?;
    let access = &ask.store().access;
    if access.remove_network(&ask.actor(), cidr, group(ask)?)? {
        nothing()
    } else {
        Err(Failure::not_found("Network"))
    }
}
