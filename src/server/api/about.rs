//! The box itself: its version, what is wrong with it, and what this API has.

use serde_json::{Map, Value};

use super::answer::{Answer, object};
use super::ask::Ask;
use super::openapi;
use super::table::{Nothing, Role, Scope, Shape, Table};
use crate::admin::{ShowFindings, ShowVersion};

pub(super) fn endpoints(table: &mut Table) {
    for path in ["GET /version", "GET /metadata"] {
        table.one::<ShowVersion>(path, Role::Anyone, "The version of this box");
    }
    let summary = "What is wrong or risky here, and what to do about it; a minute old at most";
    table.one::<ShowFindings>("GET /doctor", Role::Administrator, summary);
    let shape = Shape::One(table.shape::<Map<String, Value>>("Object"));
    let path = "GET /openapi.json";
    let opens = table.row::<Nothing>(path, Role::Anyone, "This document", shape, document);
    opens.scope = Scope::Open;
}

fn document(ask: &mut Ask<'_, '_>) -> Answer {
    let url = ask.call.external_url(ask.appliance);
    object(200, &openapi::document(&url))
}
