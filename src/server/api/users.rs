//! Users: people with a password, and service accounts without one.

use serde_json::json;

use super::answer::{Answer, Failure, object};
use super::ask::Ask;
use super::table::{Role, Shape, Table};
use crate::admin::{
    AddUser, GetCurrentUser, GetUser, ListUsers, RemoveUser, SetBlocked, SetPassword,
};
use crate::error::Kind;

/// `/user`, `/users`.
pub(super) fn endpoints(table: &mut Table) {
    let (anyone, administrator) = (Role::Anyone, Role::Administrator);
    let summary = "The user whom the token speaks for";
    table.one::<GetCurrentUser>("GET /user", anyone, summary);
    table.page::<_, ListUsers>("GET /users", anyone, "All users");
    table.one::<GetUser>("GET /users/:id", anyone, "One user");
    let summary = "Make a user or a service account";
    let makes = table.one::<AddUser>("POST /users", administrator, summary);
    makes.handler = create;
    let summary = "Change a user's password";
    let changes = table.one::<SetPassword>("PUT /users/:id", administrator, summary);
    changes.handler = edit;
    let summary = "Remove a user with memberships and tokens";
    table.nothing::<RemoveUser>("DELETE /users/:id", administrator, summary);
    let boolean = Shape::One(table.shape::<bool>("Boolean"));
    for (path, summary, handler) in [
        ("POST /users/:id/block", "Let a user in nowhere", block as _),
        (
            "POST /users/:id/unblock",
            "Let a user in again",
            unblock as _,
        ),
    ] {
        let blocks = table.nothing::<SetBlocked>(path, administrator, summary);
        blocks.gives = (201, boolean);
        blocks.handler = handler;
    }
}

fn create(ask: &mut Ask<'_, '_>) -> Answer {
    let fields = &ask.fields;
    let mut kinds = ["service", "force_random_password"].iter();
    let is_service = kinds.any(|field| fields.boolean(field) == Some(true));
    let wrong = match (fields.has("password"), is_service) {
        (true, true) => Some("password, service are mutually exclusive"),
        (false, false) => {
            Some("password, service are missing, at least one parameter must be provided")
        }
        _ => None,
    };
    if let Some(wrong) = wrong {
        return Err(Failure::parameters(wrong));
    }
    let made = ask.perform(ask.request::<AddUser>()?);
    let made = made.map_err(|error| match (error.kind(), error.subject()) {
        (Kind::Conflict, None) => Failure::message(409, "Username has already been taken"),
        _ => Failure::Of(error),
    })?;
    object(201, &json!(made))
}

fn edit(ask: &mut Ask<'_, '_>) -> Answer {
    let changed = ask.perform(ask.request::<SetPassword>()?);
    let changed = changed.map_err(|error| match (error.kind(), error.subject()) {
        (Kind::Conflict, None) => {
            Failure::invalid("password", "this is a service account, which has none")
        }
        _ => Failure::Of(error),
    })?;
    object(200, &json!(changed))
}

fn block(ask: &mut Ask<'_, '_>) -> Answer {
    set_blocked(ask, true)
}

fn unblock(ask: &mut Ask<'_, '_>) -> Answer {
    set_blocked(ask, false)
}

fn set_blocked(ask: &Ask<'_, '_>, blocked: bool) -> Answer {
    ask.perform(SetBlocked {
        blocked,
        ..ask.request()?
    })?;
    object(201, &json!(true))
}
