//! Job tokens, beyond GitLab: a CI system makes one for each job, and ends it with the job.

use serde_json::{Value, json};

use super::answer::{Answer, Failure, nothing, object, page};
use super::ask::Ask;
use super::parameters::{Type, optional};
use super::table::{Endpoint, Role, Scope, Shape};
use super::tokens;
use crate::auth::administration::expiry::parse_ttl;
use crate::auth::administration::{names, tokens::create_token};
use crate::store::{Level, NewToken, Page, Token, TokenFilter, TokenId, TokenKind};

/// `/projects/:id/job_tokens`.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: "GET",
        path: "/projects/:id/job_tokens",
        scope: Scope::Read,
        role: Role::Project(Some(Level::Developer)),
        parameters: &[optional(
            "active",
            Type::Boolean,
            "only those that let somebody in",
        )],
        gives: (200, Shape::Page("JobToken")),
        summary: "One's own job tokens for a project; for its maintainers all of them",
        handler: list,
    },
    Endpoint {
        method: "POST",
        path: "/projects/:id/job_tokens",
        scope: Scope::Write,
        role: Role::Project(Some(Level::Developer)),
        parameters: &[
            optional(
                "name",
                Type::Text,
                "what it is called in lists; job unless given",
            ),
            optional(
                "ttl",
                Type::Text,
                "how long it lives: 1s to 30d, 1h unless given; no longer than one's own token that makes it for oneself",
            ),
            optional(
                "user_id",
                Type::Integer,
                "whom it speaks for, for administrators; oneself unless given",
            ),
        ],
        gives: (201, Shape::One("NewJobToken")),
        summary: "Make a token for one job; it logs in as gitlab-ci-token",
        handler: create,
    },
    Endpoint {
        method: "DELETE",
        path: "/projects/:id/job_tokens/:token_id",
        scope: Scope::Write,
        role: Role::Project(Some(Level::Developer)),
        parameters: &[],
        gives: (204, Shape::Nothing),
        summary: "End a job token",
        handler: end,
    },
];

fn shape(ask: &Ask<'_, '_>, token: &Token) -> Value {
    json!({
        "id": token.id,
        "name": token.name,
        "user_id": token.user_id,
        "project_id": token.project_id,
        "created_at": token.created_at.to_string(),
        "expires_at": token.expires_at.map(|at| at.to_string()),
        "revoked": token.revoked,
        "active": tokens::is_active(token, ask.call.now),
        "created_by": token.maker.label,
        "made_by": token.maker.token_id,
    })
}

/// Whether it is of the path's project, and the caller's or the caller is a maintainer.
fn may_see(ask: &Ask<'_, '_>, token: &Token) -> Result<bool, Failure> {
    let project = ask.project()?.project.id;
    let is_own = ask
        .identity
        .principal
        .user()
        .is_some_and(|user| token.user_id == Some(user.id));
    Ok(token.kind == TokenKind::Job
        && token.project_id == Some(project)
        && (is_own || ask.authority().has(Level::Maintainer)))
}

fn list(ask: &mut Ask<'_, '_>) -> Answer {
    let of_all = tokens::filter_of_place(ask, TokenKind::Job);
    let own = ask.identity.principal.user().map(|user| user.id);
    let access = &ask.store().access;
    let read = |window| match (ask.authority().has(Level::Maintainer), own) {
        (true, _) => access.tokens_page(&of_all, window),
        (false, None) => Ok(Page::of(Vec::new(), window)),
        (false, user) => access.tokens_page(&TokenFilter { user, ..of_all }, window),
    };
    page(ask, read, |token| Ok(shape(ask, token)))
}

fn create(ask: &mut Ask<'_, '_>) -> Answer {
    let own = ask.user()?.id;
    let fields = &ask.fields;
    let user_id = match fields.integer("user_id") {
        Some(id) if id != own.0 && !ask.is_administrator() => {
            return Err(Failure::forbidden_because(
                "only administrators make job tokens for somebody else",
            ));
        }
        Some(id) => ask.find_user(id)?.id,
        None => own,
    };
    let name = fields.text("name").unwrap_or("job");
    names::check_token_name(name).map_err(Failure::refused("name"))?;
    let ttl = parse_ttl(fields.text("ttl").unwrap_or("1h")).map_err(Failure::refused("ttl"))?;
    let token = NewToken {
        kind: TokenKind::Job,
        name: name.to_owned(),
        digest: [0; 32],
        scopes: Vec::new(),
        user_id: Some(user_id),
        group_id: None,
        project_id: Some(ask.project()?.project.id),
        username: None,
        access_level: None,
        expires_at: Some(ask.call.now.plus(ttl)),
        maker: ask.identity.principal.maker(),
    };
    let (token, secret) = create_token(ask.store(), &ask.actor(), token)?;
    object(201, &tokens::with_secret(shape(ask, &token), &secret))
}

fn end(ask: &mut Ask<'_, '_>) -> Answer {
    let token = ask.store().access.token(TokenId(ask.number("token_id")?))?;
    match token {
        Some(token) if may_see(ask, &token)? => {
            ask.store().access.revoke_token(&ask.actor(), token.id)?;
            nothing()
        }
        _ => Err(Failure::not_found("Job Token")),
    }
}
