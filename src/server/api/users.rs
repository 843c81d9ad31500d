//! Users: people with a password, and service accounts without one.

use serde_json::{Value, json};

use super::super::fields::put;
use super::answer::{Answer, Failure, nothing, object, page};
use super::ask::Ask;
use super::parameters::{Type, optional, required};
use super::table::{Endpoint, Role, Scope, Shape};
use crate::auth::administration::names::check_user_name;
use crate::auth::password;
use crate::error::Kind;
use crate::server::first_start::{ROOT, forget_initial_password};
use crate::store::{User, UserFilter, UserId};

/// `/user`, `/users`.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: "GET",
        path: "/user",
        scope: Scope::Read,
        role: Role::Anyone,
        parameters: &[],
        gives: (200, Shape::One("User")),
        summary: "The user whom the token speaks for",
        handler: current,
    },
    Endpoint {
        method: "GET",
        path: "/users",
        scope: Scope::Read,
        role: Role::Anyone,
        parameters: &[
            optional("username", Type::Text, "exactly this one"),
            optional("search", Type::Text, "a part of the name"),
            optional("active", Type::Boolean, "only those who are not blocked"),
            optional("blocked", Type::Boolean, "only those who are"),
            optional(
                "admins",
                Type::Boolean,
                "only administrators; for administrators",
            ),
        ],
        gives: (200, Shape::Page("User")),
        summary: "All users",
        handler: list,
    },
    Endpoint {
        method: "GET",
        path: "/users/:id",
        scope: Scope::Read,
        role: Role::Anyone,
        parameters: &[],
        gives: (200, Shape::One("User")),
        summary: "One user",
        handler: get,
    },
    Endpoint {
        method: "POST",
        path: "/users",
        scope: Scope::Write,
        role: Role::Administrator,
        parameters: &[
            required("username", Type::Text, "the login name"),
            optional(
                "password",
                Type::Text,
                "8 to 256 bytes; none for a service account",
            ),
            optional(
                "admin",
                Type::Boolean,
                "whether the user administers the box",
            ),
            optional("service", Type::Boolean, "an account without a password"),
            optional("force_random_password", Type::Boolean, "as service"),
        ],
        gives: (201, Shape::One("User")),
        summary: "Make a user or a service account",
        handler: create,
    },
    Endpoint {
        method: "PUT",
        path: "/users/:id",
        scope: Scope::Write,
        role: Role::Administrator,
        parameters: &[optional("password", Type::Text, "8 to 256 bytes")],
        gives: (200, Shape::One("User")),
        summary: "Change a user's password",
        handler: edit,
    },
    Endpoint {
        method: "DELETE",
        path: "/users/:id",
        scope: Scope::Write,
        role: Role::Administrator,
        parameters: &[],
        gives: (204, Shape::Nothing),
        summary: "Remove a user with memberships and tokens",
        handler: remove,
    },
    Endpoint {
        method: "POST",
        path: "/users/:id/block",
        scope: Scope::Write,
        role: Role::Administrator,
        parameters: &[],
        gives: (201, Shape::One("Boolean")),
        summary: "Let a user in nowhere",
        handler: block,
    },
    Endpoint {
        method: "POST",
        path: "/users/:id/unblock",
        scope: Scope::Write,
        role: Role::Administrator,
        parameters: &[],
        gives: (201, Shape::One("Boolean")),
        summary: "Let a user in again",
        handler: unblock,
    },
];

/// A user as others see it, and as an administrator does.
pub(super) fn shape(user: &User, for_administrator: bool) -> Value {
    let mut shape = json!({
        "id": user.id,
        "username": user.name,
        "name": user.name,
        "state": if user.blocked { "blocked" } else { "active" },
        "locked": false,
        "bot": user.service,
        "created_at": user.created_at.to_string(),
    });
    if for_administrator {
        put(&mut shape, "is_admin", json!(user.admin));
    }
    shape
}

fn current(ask: &mut Ask<'_, '_>) -> Answer {
    object(200, &shape(ask.user()?, ask.is_administrator()))
}

fn list(ask: &mut Ask<'_, '_>) -> Answer {
    let for_administrator = ask.is_administrator();
    let fields = &ask.fields;
    let asks_for = |field| fields.boolean(field) == Some(true);
    let filter = UserFilter {
        name: fields.text("username").map(str::to_owned),
        search: fields.text("search").map(str::to_owned),
        active: asks_for("active"),
        blocked: asks_for("blocked"),
        admin: asks_for("admins") && for_administrator,
    };
    let access = &ask.store().access;
    page(
        ask,
        |window| access.users_page(&filter, window),
        |user| Ok(shape(user, for_administrator)),
    )
}

fn get(ask: &mut Ask<'_, '_>) -> Answer {
    let user = ask.find_user(ask.number("id")?)?;
    object(200, &shape(&user, ask.is_administrator()))
}

fn create(ask: &mut Ask<'_, '_>) -> Answer {
    let fields = &ask.fields;
    let name = fields.text("username").unwrap_or_default();
    check_user_name(name).map_err(Failure::refused("username"))?;
    let is_service = ["service", "force_random_password"]
        .iter()
        .any(|field| fields.boolean(field) == Some(true));
    let hash = match fields.text("password") {
        Some(_) if is_service => {
            return Err(Failure::parameters(
                "password, service are mutually exclusive",
            ));
        }
        Some(password) => Some(password::hash(password).map_err(Failure::refused("password"))?),
        None if is_service => None,
        None => {
            return Err(Failure::parameters(
                "password, service are missing, at least one parameter must be provided",
            ));
        }
    };
    let is_admin = fields.boolean("admin") == Some(true);
    let access = &ask.store().access;
    let made = access.create_user(&ask.actor(), name, is_admin, is_service, hash.as_deref());
    let id = made.map_err(|error| match error.kind() {
        Kind::Conflict => Failure::message(409, "Username has already been taken"),
        _ => Failure::Of(error),
    })?;
    object(201, &shape(&*ask.find_user(id.0)?, true))
}

fn edit(ask: &mut Ask<'_, '_>) -> Answer {
    let user = ask.find_user(ask.number("id")?)?;
    if let Some(password) = ask.fields.text("password") {
        if user.service {
            let why = "this is a service account, which has none";
            return Err(Failure::invalid("password", why));
        }
        let hash = password::hash(password).map_err(Failure::refused("password"))?;
        ask.store()
            .access
            .set_password(&ask.actor(), user.id, &hash)?;
        if user.name == ROOT {
            forget_initial_password(ask.store())?;
        }
    }
    object(200, &shape(&*ask.find_user(user.id.0)?, true))
}

fn remove(ask: &mut Ask<'_, '_>) -> Answer {
    let user = somebody_else(ask)?;
    let name = ask.find_user(user.0)?.name.clone();
    ask.store().access.remove_user(&ask.actor(), user)?;
    if name == ROOT {
        forget_initial_password(ask.store())?;
    }
    nothing()
}

fn block(ask: &mut Ask<'_, '_>) -> Answer {
    let user = somebody_else(ask)?;
    ask.store().access.set_blocked(&ask.actor(), user, true)?;
    object(201, &json!(true))
}

fn unblock(ask: &mut Ask<'_, '_>) -> Answer {
    let user = ask.find_user(ask.number("id")?)?;
    ask.store()
        .access
        .set_blocked(&ask.actor(), user.id, false)?;
    object(201, &json!(true))
}

/// The user of the path, who must not be the caller: nobody locks themselves out by REST.
fn somebody_else(ask: &Ask<'_, '_>) -> Result<UserId, Failure> {
    let user = ask.find_user(ask.number("id")?)?;
    if ask.user()?.id == user.id {
        return Err(Failure::forbidden_because("this is yourself"));
    }
    Ok(user.id)
}
