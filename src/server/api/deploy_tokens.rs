//! Deploy tokens of groups and projects, each with a username of its own.

use super::answer::{Answer, Failure, object, page};
use super::ask::{Ask, Place};
use super::parameters::{Parameter, Type, optional};
use super::place_tokens::refuse_bots;
use super::table::{Endpoint, Role, Scope, Shape};
use super::tokens::{self, CREATION, ROTATION};
use crate::admin::CreateToken;
use crate::store::{Level, Token, TokenId, TokenKind};

const NEW: &[Parameter] = &[
    CREATION[0],
    CREATION[1],
    CREATION[2],
    optional(
        "username",
        Type::Text,
        "gitlab+deploy-token-ID unless given",
    ),
];

const FILTERS: &[Parameter] = &[optional(
    "active",
    Type::Boolean,
    "only those that let somebody in",
)];

/// The endpoints of one kind of place.
macro_rules! endpoints {
    ($places:literal, $managed:expr) => {
        [
            Endpoint {
                method: "GET",
                path: concat!("/", $places, "/:id/deploy_tokens"),
                scope: Scope::Read,
                role: $managed,
                parameters: FILTERS,
                gives: (200, Shape::Page("DeployToken")),
                summary: "Its deploy tokens",
                handler: list,
            },
            Endpoint {
                method: "POST",
                path: concat!("/", $places, "/:id/deploy_tokens"),
                scope: Scope::Write,
                role: $managed,
                parameters: NEW,
                gives: (201, Shape::One("NewDeployToken")),
                summary: "Make a deploy token for it",
                handler: create,
            },
            Endpoint {
                method: "GET",
                path: concat!("/", $places, "/:id/deploy_tokens/:token_id"),
                scope: Scope::Read,
                role: $managed,
                parameters: &[],
                gives: (200, Shape::One("DeployToken")),
                summary: "One of its deploy tokens",
                handler: get,
            },
            Endpoint {
                method: "DELETE",
                path: concat!("/", $places, "/:id/deploy_tokens/:token_id"),
                scope: Scope::Write,
                role: $managed,
                parameters: &[],
                gives: (204, Shape::Nothing),
                summary: "Revoke one of its deploy tokens",
                handler: revoke,
            },
            Endpoint {
                method: "POST",
                path: concat!("/", $places, "/:id/deploy_tokens/:token_id/rotate"),
                scope: Scope::Write,
                role: $managed,
                parameters: ROTATION,
                gives: (200, Shape::One("NewDeployToken")),
                summary: "Replace one of its deploy tokens by another one",
                handler: rotate,
            },
        ]
    };
}

/// `/groups/:id/deploy_tokens`.
pub(super) const OF_GROUPS: &[Endpoint] = &endpoints!("groups", Role::Group(Some(Level::Owner)));
/// `/projects/:id/deploy_tokens`.
pub(super) const OF_PROJECTS: &[Endpoint] =
    &endpoints!("projects", Role::Project(Some(Level::Maintainer)));
/// `/deploy_tokens`.
pub(super) const OF_BOX: &[Endpoint] = &[Endpoint {
    method: "GET",
    path: "/deploy_tokens",
    scope: Scope::Read,
    role: Role::Administrator,
    parameters: FILTERS,
    gives: (200, Shape::Page("DeployToken")),
    summary: "All deploy tokens",
    handler: list,
}];

/// Whether it is a deploy token of the place that the path names, if it names one.
fn belongs(ask: &Ask<'_, '_>, token: &Token) -> bool {
    token.kind == TokenKind::Deploy
        && match ask.place() {
            Place::None => true,
            Place::Group(group) => token.group_id == Some(group.id),
            Place::Project(placed) => token.project_id == Some(placed.project.id),
        }
}

fn list(ask: &mut Ask<'_, '_>) -> Answer {
    let filter = tokens::filter_of_place(ask, TokenKind::Deploy);
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
        .ok_or_else(|| Failure::not_found("Deploy Token"))
}

fn get(ask: &mut Ask<'_, '_>) -> Answer {
    object(200, &tokens::view(ask, &find(ask)?)?)
}

fn create(ask: &mut Ask<'_, '_>) -> Answer {
    refuse_bots(ask)?;
    let deploy = match ask.place() {
        Place::Group(group) => group.path.clone(),
        Place::Project(placed) => placed.project.path.clone(),
        Place::None => return Err(Failure::not_found("Group")),
    };
    let of = CreateToken {
        deploy: Some(deploy),
        ..CreateToken::default()
    };
    tokens::create(ask, of)
}

fn revoke(ask: &mut Ask<'_, '_>) -> Answer {
    tokens::revoke(ask, find(ask)?.id)
}

fn rotate(ask: &mut Ask<'_, '_>) -> Answer {
    let token = find(ask)?;
    refuse_bots(ask)?;
    tokens::rotate(ask, token.id)
}
