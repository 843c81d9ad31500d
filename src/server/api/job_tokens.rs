//! Job tokens, beyond GitLab: a CI system makes one for each job, and ends it with the job.

use super::answer::{Answer, Failure, page};
use super::ask::Ask;
use super::parameters::{Type, optional};
use super::table::{Endpoint, Role, Scope, Shape};
use super::tokens;
use crate::admin::{CreateToken, Named};
use crate::store::{Level, Page, Token, TokenFilter, TokenId, TokenKind};

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
    page(ask, read, |token| tokens::view(ask, token))
}

fn create(ask: &mut Ask<'_, '_>) -> Answer {
    let own = ask.user()?;
    let user = match ask.fields.integer("user_id") {
        Some(id) if id != own.id.0 && !ask.is_administrator() => {
            return Err(Failure::forbidden_because(
                "only administrators make job tokens for somebody else",
            ));
        }
        Some(id) => ask.find_user(id)?.id,
        None => own.id,
    };
    let of = CreateToken {
        name: "job".to_owned(),
        user: Some(Named::Id(user)),
        job: Some(Named::Id(ask.project()?.project.id)),
        ..CreateToken::default()
    };
    tokens::create(ask, of)
}

fn end(ask: &mut Ask<'_, '_>) -> Answer {
    let token = ask.store().access.token(TokenId(ask.number("token_id")?))?;
    match token {
        Some(token) if may_see(ask, &token)? => tokens::revoke(ask, token.id),
        _ => Err(Failure::not_found("Job Token")),
    }
}
