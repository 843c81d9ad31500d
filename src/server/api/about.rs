//! The box itself: its version, and what this API has.

use serde_json::json;

use super::answer::{Answer, object};
use super::ask::Ask;
use super::openapi;
use super::table::{Endpoint, Role, Scope, Shape};

/// `/version`, `/metadata`, `/openapi.json`.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: "GET",
        path: "/version",
        scope: Scope::Read,
        role: Role::Anyone,
        parameters: &[],
        gives: (200, Shape::One("Version")),
        summary: "The version of this box",
        handler: version,
    },
    Endpoint {
        method: "GET",
        path: "/metadata",
        scope: Scope::Read,
        role: Role::Anyone,
        parameters: &[],
        gives: (200, Shape::One("Version")),
        summary: "The version of this box",
        handler: version,
    },
    Endpoint {
        method: "GET",
        path: "/openapi.json",
        scope: Scope::Open,
        role: Role::Anyone,
        parameters: &[],
        gives: (200, Shape::One("Object")),
        summary: "This document",
        handler: document,
    },
];

fn version(_: &mut Ask<'_, '_>) -> Answer {
    let version = env!("CARGO_PKG_VERSION");
    object(
        200,
        &json!({ "version": version, "revision": version, "enterprise": false }),
    )
}

fn document(ask: &mut Ask<'_, '_>) -> Answer {
    object(
        200,
        &openapi::document(&ask.call.external_url(ask.appliance))?,
    )
}
