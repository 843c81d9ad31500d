//! Personal access tokens: one's own, and all of them for administrators. What others have is answered to
//! everybody else with 401, as GitLab does, whether it exists or not.

use serde_json::json;

use super::answer::{Answer, Failure, object, page};
use super::ask::Ask;
use super::parameters::{Parameter, Type, optional};
use super::table::{Endpoint, Role, Scope, Shape};
use super::tokens::{self, CREATION, STATE_FILTERS};
use crate::admin::tokens::AccessTokenView;
use crate::admin::{CreateToken, Named};
use crate::auth::Principal;
use crate::store::{Token, TokenFilter, TokenId, TokenKind, UserId};

const FILTERS: &[Parameter] = &[
    optional("user_id", Type::Integer, "only this user's"),
    STATE_FILTERS[0],
    STATE_FILTERS[1],
    STATE_FILTERS[2],
];

/// `/personal_access_tokens`, and where they are made.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: "GET",
        path: "/personal_access_tokens",
        scope: Scope::Read,
        role: Role::Anyone,
        parameters: FILTERS,
        gives: (200, Shape::Page("AccessToken")),
        summary: "One's own personal access tokens; for administrators everybody's",
        handler: list,
    },
    Endpoint {
        method: "GET",
        path: "/personal_access_tokens/self",
        scope: Scope::Valid,
        role: Role::Anyone,
        parameters: &[],
        gives: (200, Shape::One("AccessToken")),
        summary: "The token that is used",
        handler: get_self,
    },
    Endpoint {
        method: "DELETE",
        path: "/personal_access_tokens/self",
        scope: Scope::Valid,
        role: Role::Anyone,
        parameters: &[],
        gives: (204, Shape::Nothing),
        summary: "Revoke the token that is used",
        handler: revoke_self,
    },
    Endpoint {
        method: "POST",
        path: "/personal_access_tokens/self/rotate",
        scope: Scope::SelfRotation,
        role: Role::Anyone,
        parameters: tokens::ROTATION,
        gives: (200, Shape::One("NewAccessToken")),
        summary: "Replace the token that is used by another one",
        handler: rotate_self,
    },
    Endpoint {
        method: "GET",
        path: "/personal_access_tokens/:id",
        scope: Scope::Read,
        role: Role::Anyone,
        parameters: &[],
        gives: (200, Shape::One("AccessToken")),
        summary: "One personal access token",
        handler: get,
    },
    Endpoint {
        method: "DELETE",
        path: "/personal_access_tokens/:id",
        scope: Scope::Write,
        role: Role::Anyone,
        parameters: &[],
        gives: (204, Shape::Nothing),
        summary: "Revoke a personal access token",
        handler: revoke,
    },
    Endpoint {
        method: "POST",
        path: "/personal_access_tokens/:id/rotate",
        scope: Scope::Write,
        role: Role::Anyone,
        parameters: tokens::ROTATION,
        gives: (200, Shape::One("NewAccessToken")),
        summary: "Replace a personal access token by another one",
        handler: rotate,
    },
    Endpoint {
        method: "POST",
        path: "/user/personal_access_tokens",
        scope: Scope::Write,
        role: Role::Anyone,
        parameters: &CREATION,
        gives: (201, Shape::One("NewAccessToken")),
        summary: "Make a personal access token for oneself",
        handler: create_own,
    },
    Endpoint {
        method: "POST",
        path: "/users/:user_id/personal_access_tokens",
        scope: Scope::Write,
        role: Role::Administrator,
        parameters: &CREATION,
        gives: (201, Shape::One("NewAccessToken")),
        summary: "Make a personal access token for a user",
        handler: create,
    },
];

fn list(ask: &mut Ask<'_, '_>) -> Answer {
    let asked = ask.fields.integer("user_id").map(UserId);
    let of = match (ask.is_administrator(), asked) {
        (true, asked) => asked,
        (false, asked) => {
            let own = ask.user()?.id;
            if asked.is_some_and(|asked| asked != own) {
                return Err(Failure::unauthorized());
            }
            Some(own)
        }
    };
    let filter = TokenFilter {
        kind: Some(TokenKind::Personal),
        user: of,
        ..tokens::filter(ask)
    };
    let access = &ask.store().access;
    page(
        ask,
        |window| access.tokens_page(&filter, window),
        |token| tokens::view(ask, token),
    )
}

fn get(ask: &mut Ask<'_, '_>) -> Answer {
    object(200, &tokens::view(ask, &find(ask)?)?)
}

fn revoke(ask: &mut Ask<'_, '_>) -> Answer {
    tokens::revoke(ask, find(ask)?.id)
}

fn rotate(ask: &mut Ask<'_, '_>) -> Answer {
    tokens::rotate(ask, find(ask)?.id)
}

/// The personal access token of the path.
fn find(ask: &Ask<'_, '_>) -> Result<Token, Failure> {
    let token = ask.store().access.token(TokenId(ask.number("id")?))?;
    let token = token.filter(|token| token.kind == TokenKind::Personal);
    if ask.is_administrator() {
        return token.ok_or_else(|| Failure::not_found("Personal Access Token"));
    }
    let own = ask.identity.principal.user().map(|user| user.id);
    token
        .filter(|token| own.is_some() && token.user_id == own)
        .ok_or_else(Failure::unauthorized)
}

fn create_own(ask: &mut Ask<'_, '_>) -> Answer {
    let user = ask.user()?.id;
    create_for(ask, user)
}

fn create(ask: &mut Ask<'_, '_>) -> Answer {
    let user = ask.find_user(ask.number("user_id")?)?.id;
    create_for(ask, user)
}

fn create_for(ask: &Ask<'_, '_>, user: UserId) -> Answer {
    let of = CreateToken {
        user: Some(Named::Id(user)),
        ..CreateToken::default()
    };
    tokens::create(ask, of)
}

/// The token that is used, of whatever kind.
pub(super) fn own(ask: &Ask<'_, '_>) -> Result<Token, Failure> {
    let token = ask.identity.principal.token().cloned();
    token.ok_or_else(Failure::unauthorized)
}

fn get_self(ask: &mut Ask<'_, '_>) -> Answer {
    let view = AccessTokenView::of(ask.store(), own(ask)?, ask.call.now)?;
    object(200, &json!(view))
}

fn revoke_self(ask: &mut Ask<'_, '_>) -> Answer {
    tokens::revoke(ask, own(ask)?.id)
}

fn rotate_self(ask: &mut Ask<'_, '_>) -> Answer {
    if !matches!(ask.identity.principal, Principal::PersonalToken(..)) {
        return Err(Failure::message(405, "405 Method Not Allowed"));
    }
    tokens::rotate(ask, own(ask)?.id)
}
