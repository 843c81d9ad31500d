//! Access tokens of groups and projects: bots with a level of their own, which is never above their maker's.

use super::answer::{Answer, Failure, object, page};
use super::ask::{Ask, Place};
use super::parameters::{Parameter, Type, optional};
use super::personal_tokens::own;
use super::table::{Endpoint, Role, Scope, Shape};
use super::tokens::{self, CREATION, ROTATION, STATE_FILTERS};
use crate::admin::{CreateToken, Named};
use crate::auth::Principal;
use crate::store::{Level, Token, TokenId, TokenKind};

const NEW: &[Parameter] = &[
    CREATION[0],
    CREATION[1],
    CREATION[2],
    optional(
        "access_level",
        Type::Level,
        "40 unless given, at most the maker's own",
    ),
];

const SELF_ROTATION: &[Parameter] = &[optional(
    "expires_at",
    Type::Text,
    "as at creation, but no further off than the replaced token's own lifetime; a week from now unless given",
)];

const OF_GROUP: Role = Role::Group(Some(Level::Owner));
const OF_PROJECT: Role = Role::Project(Some(Level::Maintainer));

/// The endpoints of one kind of place; the two differ in the path and in who may.
macro_rules! endpoints {
    ($places:literal, $seen:expr, $managed:expr) => {
        [
            Endpoint {
                method: "GET",
                path: concat!("/", $places, "/:id/access_tokens"),
                scope: Scope::Read,
                role: $managed,
                parameters: &STATE_FILTERS,
                gives: (200, Shape::Page("AccessToken")),
                summary: "Its access tokens",
                handler: list,
            },
            Endpoint {
                method: "POST",
                path: concat!("/", $places, "/:id/access_tokens"),
                scope: Scope::Write,
                role: $managed,
                parameters: NEW,
                gives: (201, Shape::One("NewAccessToken")),
                summary: "Make an access token for it",
                handler: create,
            },
            Endpoint {
                method: "POST",
                path: concat!("/", $places, "/:id/access_tokens/self/rotate"),
                scope: Scope::SelfRotation,
                role: $seen,
                parameters: SELF_ROTATION,
                gives: (200, Shape::One("NewAccessToken")),
                summary: "Replace the access token that is used by another one",
                handler: rotate_self,
            },
            Endpoint {
                method: "GET",
                path: concat!("/", $places, "/:id/access_tokens/:token_id"),
                scope: Scope::Read,
                role: $managed,
                parameters: &[],
                gives: (200, Shape::One("AccessToken")),
                summary: "One of its access tokens",
                handler: get,
            },
            Endpoint {
                method: "DELETE",
                path: concat!("/", $places, "/:id/access_tokens/:token_id"),
                scope: Scope::Write,
                role: $managed,
                parameters: &[],
                gives: (204, Shape::Nothing),
                summary: "Revoke one of its access tokens",
                handler: revoke,
            },
            Endpoint {
                method: "POST",
                path: concat!("/", $places, "/:id/access_tokens/:token_id/rotate"),
                scope: Scope::Write,
                role: $managed,
                parameters: ROTATION,
                gives: (200, Shape::One("NewAccessToken")),
                summary: "Replace one of its access tokens by another one",
                handler: rotate,
            },
        ]
    };
}

/// `/groups/:id/access_tokens`.
pub(super) const OF_GROUPS: &[Endpoint] = &endpoints!("groups", Role::Group(None), OF_GROUP);
/// `/projects/:id/access_tokens`.
pub(super) const OF_PROJECTS: &[Endpoint] =
    &endpoints!("projects", Role::Project(None), OF_PROJECT);

/// Whether it is an access token of the place that the path names.
fn belongs(ask: &Ask<'_, '_>, token: &Token) -> bool {
    match ask.place() {
        Place::Group(group) => token.kind == TokenKind::Group && token.group_id == Some(group.id),
        Place::Project(placed) => {
            token.kind == TokenKind::Project && token.project_id == Some(placed.project.id)
        }
        Place::None => false,
    }
}

fn list(ask: &mut Ask<'_, '_>) -> Answer {
    let kind = match ask.place() {
        Place::Group(_) => TokenKind::Group,
        _ => TokenKind::Project,
    };
    let filter = tokens::filter_of_place(ask, kind);
    let access = &ask.store().access;
    page(
        ask,
        |window| access.tokens_page(&filter, window),
        |token| tokens::view(ask, token),
    )
}

fn find(ask: &Ask<'_, '_>) -> Result<Token, Failure> {
    let token = ask.store().access.token(TokenId(ask.number("token_id")?))?;
    token
        .filter(|token| belongs(ask, token))
        .ok_or_else(|| Failure::not_found("Access Token"))
}

fn get(ask: &mut Ask<'_, '_>) -> Answer {
    object(200, &tokens::view(ask, &find(ask)?)?)
}

fn create(ask: &mut Ask<'_, '_>) -> Answer {
    refuse_bots(ask)?;
    let level = ask
        .fields
        .level("access_level")
        .unwrap_or(Level::Maintainer);
    if !ask.authority().has(level) {
        return Err(Failure::message(
            400,
            "400 Bad request - Access level of the token can't be greater than the access level of the user who created the token",
        ));
    }
    let mut of = CreateToken {
        access_level: Some(level),
        ..CreateToken::default()
    };
    match ask.place() {
        Place::Group(group) => of.group = Some(Named::Id(group.id)),
        Place::Project(placed) => of.project = Some(Named::Id(placed.project.id)),
        Place::None => return Err(Failure::not_found("Group")),
    }
    tokens::create(ask, of)
}

fn revoke(ask: &mut Ask<'_, '_>) -> Answer {
    tokens::revoke(ask, find_within_level(ask)?.id)
}

fn rotate(ask: &mut Ask<'_, '_>) -> Answer {
    tokens::rotate(ask, find_within_level(ask)?.id)
}

/// The token of the path, which must not be worth more than the caller: whoever rotates it gets its secret.
fn find_within_level(ask: &Ask<'_, '_>) -> Result<Token, Failure> {
    let token = find(ask)?;
    refuse_bots(ask)?;
    ask.needs(token.access_level.unwrap_or(Level::Owner))?;
    Ok(token)
}

fn rotate_self(ask: &mut Ask<'_, '_>) -> Answer {
    let token = own(ask)?;
    if !belongs(ask, &token) {
        return Err(Failure::message(405, "405 Method Not Allowed"));
    }
    tokens::rotate(ask, token.id)
}

/// Tokens of groups and projects make no others, so that a leaked one ends when it is revoked.
pub(super) fn refuse_bots(ask: &Ask<'_, '_>) -> Result<(), Failure> {
    match ask.identity.principal {
        Principal::GroupToken(..) | Principal::ProjectToken(..) => Err(Failure::forbidden_because(
            "tokens of groups and projects make no others",
        )),
        _ => Ok(()),
    }
}
