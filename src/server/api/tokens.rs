//! What the kinds of access tokens have in common: their fields, making, rotating and revoking them.

use serde_json::{Value, json};

use super::answer::{Answer, Failure, nothing, object};
use super::ask::{Ask, Place};
use super::parameters::{Parameter, Type, optional, required};
use super::table::Table;
use crate::admin::tokens::{AccessTokenView, DeployTokenView, JobTokenView, TokenView};
use crate::admin::{CreateToken, RevokeToken, RotateToken};
use crate::error::Kind;
use crate::store::{Token, TokenFilter, TokenId, TokenKind};

/// The fields of a new personal access token.
pub(super) const CREATION: [Parameter; 3] = [
    required("name", Type::Text, "what it is called in lists"),
    required("scopes", Type::TextList, "what it is worth"),
    optional("expires_at", Type::Text, EXPIRY),
];

/// The fields of a rotation.
pub(super) const ROTATION: &[Parameter] = &[optional(
    "expires_at",
    Type::Text,
    "as at creation, but at most a year away or as before; a week from now unless given, or as long as before; whoever rotates another token of one's own makes one, which ends with the token that is used",
)];

/// What lists of tokens can be asked for.
pub(super) const STATE_FILTERS: [Parameter; 3] = [
    optional("search", Type::Text, "a part of the name"),
    optional("state", Type::OneOf(&["active", "inactive"]), "only these"),
    optional(
        "revoked",
        Type::Boolean,
        "only those that are revoked, or not",
    ),
];

/// How `expires_at` is written.
pub(super) const EXPIRY: &str = "a date (its first moment in UTC), a time, or never; 365 days from now unless given. A personal token that is made for oneself with another one ends with that one at the latest, and is revoked with it";

/// The shapes of the answers.
pub(super) fn views(table: &mut Table) {
    table.view::<AccessTokenView>();
    table.view::<DeployTokenView>();
    table.view::<JobTokenView>();
}

/// How a token is shown.
pub(super) fn view(ask: &Ask<'_, '_>, token: &Token) -> Result<Value, Failure> {
    let view = TokenView::of(ask.store(), token.clone(), ask.call.now)?;
    Ok(json!(view))
}

/// What the list's fields ask for.
pub(super) fn filter(ask: &Ask<'_, '_>) -> TokenFilter {
    let (fields, now) = (&ask.fields, ask.call.now);
    let by_state = fields.text("state").map(|state| state == "active");
    let active = by_state.or(fields.boolean("active"));
    TokenFilter {
        search: fields.text("search").map(str::to_owned),
        revoked: fields.boolean("revoked"),
        active: active.map(|active| (active, now)),
        ..TokenFilter::default()
    }
}

/// As [`filter`], for tokens of one kind of the place that the path names; all places' where it names none.
pub(super) fn filter_of_place(ask: &Ask<'_, '_>, kind: TokenKind) -> TokenFilter {
    let (group, project) = match ask.place() {
        Place::Group(group) => (Some(group.id), None),
        Place::Project(placed) => (None, Some(placed.project.id)),
        Place::None => (None, None),
    };
    TokenFilter {
        kind: Some(kind),
        group,
        project,
        ..filter(ask)
    }
}

/// Makes a token from the fields `name`, `scopes`, `username`, `expires_at` and `ttl`; `of` says of which kind, and whose.
pub(super) fn create(ask: &Ask<'_, '_>, of: CreateToken) -> Answer {
    let fields = &ask.fields;
    let text = |name| fields.text(name).map(str::to_owned);
    let request = CreateToken {
        name: text("name").unwrap_or(of.name),
        scopes: fields.list("scopes").to_vec(),
        username: text("username"),
        expires_at: text("expires_at"),
        ttl: text("ttl"),
        ..of
    };
    let made = ask.perform(request)?;
    object(201, &json!(made))
}

/// Replaces a token by one with another secret.
pub(super) fn rotate(ask: &Ask<'_, '_>, id: TokenId) -> Answer {
    let request = RotateToken {
        id: id.0,
        expires_at: ask.fields.text("expires_at").map(str::to_owned),
    };
    let made = ask.perform(request).map_err(|error| match error.kind() {
        Kind::Conflict => Failure::message(400, "400 Bad request - token already revoked"),
        _ => Failure::Of(error),
    })?;
    object(200, &json!(made))
}

pub(super) fn revoke(ask: &Ask<'_, '_>, id: TokenId) -> Answer {
    ask.perform(RevokeToken { id: id.0 })?;
    nothing()
}
