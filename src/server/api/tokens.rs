//! Access tokens: personal ones, those of groups and projects, deploy tokens, and, beyond GitLab, those that a CI system
//! makes for each job.

use schemars::JsonSchema;
use serde_json::json;

use super::answer::{Answer, Failure, object};
use super::ask::Ask;
use super::table::{Endpoint, Role, Scope, Table};
use crate::admin::Operation;
use crate::admin::tokens::{
    AccessTokenView, CreateAccessToken, CreateDeployToken, CreateJobToken, CreatePersonalToken,
    DeployTokenView, GetOwnToken, GetToken, JobTokenView, ListAccessTokens, ListDeployTokens,
    ListJobTokens, ListPersonalTokens, RevokeOwnToken, RevokeToken, RotateOwnToken, RotateToken,
    ShownToken,
};
use crate::error::{Error, Kind};
use crate::store::Level;

pub(super) fn endpoints(table: &mut Table) {
    personal(table);
    let owner = Role::Group(Some(Level::Owner));
    of_place(table, "/groups/:id", Role::Group(None), owner);
    let maintainer = Role::Project(Some(Level::Maintainer));
    of_place(table, "/projects/:id", Role::Project(None), maintainer);
    let (path, summary) = ("GET /deploy_tokens", "All deploy tokens");
    table.page::<_, ListDeployTokens>(path, Role::Administrator, summary);
    of_jobs(table);
}

fn personal(table: &mut Table) {
    let anyone = Role::Anyone;
    let path = "/personal_access_tokens";
    table.page::<_, ListPersonalTokens>(
        &format!("GET {path}"),
        anyone,
        "One's own personal access tokens; for administrators everybody's",
    );
    let summary = "The token that is used";
    let own = table.one::<GetOwnToken>(&format!("GET {path}/self"), anyone, summary);
    own.scope = Scope::Valid;
    let summary = "Revoke the token that is used";
    let own = table.nothing::<RevokeOwnToken>(&format!("DELETE {path}/self"), anyone, summary);
    own.scope = Scope::Valid;
    let summary = "Replace the token that is used by another one";
    rotates::<RotateOwnToken>(table, &format!("{path}/self"), anyone, summary).scope =
        Scope::SelfRotation;
    one_of::<AccessTokenView>(
        table,
        &format!("{path}/:id"),
        anyone,
        "a personal access token",
    );

    let path = "POST /user/personal_access_tokens";
    let summary = "Make a personal access token for oneself";
    table.one::<CreatePersonalToken>(path, anyone, summary);
    let path = "POST /users/:user_id/personal_access_tokens";
    let summary = "Make a personal access token for a user";
    table.one::<CreatePersonalToken>(path, Role::Administrator, summary);
}

/// The access tokens of a group or project, which are bots with a level of their own, and its deploy tokens.
fn of_place(table: &mut Table, place: &str, seen: Role, managed: Role) {
    let path = &format!("{place}/access_tokens");
    table.page::<_, ListAccessTokens>(&format!("GET {path}"), managed, "Its access tokens");
    let summary = "Make an access token for it";
    table.one::<CreateAccessToken>(&format!("POST {path}"), managed, summary);
    let summary = "Replace the access token that is used by another one";
    rotates::<RotateOwnToken>(table, &format!("{path}/self"), seen, summary).scope =
        Scope::SelfRotation;
    let what = "one of its access tokens";
    one_of::<AccessTokenView>(table, &format!("{path}/:token_id"), managed, what);

    let path = &format!("{place}/deploy_tokens");
    table.page::<_, ListDeployTokens>(&format!("GET {path}"), managed, "Its deploy tokens");
    let summary = "Make a deploy token for it";
    table.one::<CreateDeployToken>(&format!("POST {path}"), managed, summary);
    let what = "one of its deploy tokens";
    one_of::<DeployTokenView>(table, &format!("{path}/:token_id"), managed, what);
}

/// One token of a kind, at `path`: shown, revoked, replaced.
fn one_of<V: ShownToken + JsonSchema>(table: &mut Table, path: &str, role: Role, what: &str) {
    table.one::<GetToken<V>>(&format!("GET {path}"), role, &format!("Show {what}"));
    let summary = format!("Revoke {what}");
    table.nothing::<RevokeToken<V>>(&format!("DELETE {path}"), role, &summary);
    rotates::<RotateToken<V>>(table, path, role, &format!("Replace {what} by another one"));
}

fn rotates<'t, O: Operation<View: JsonSchema>>(
    table: &'t mut Table,
    path: &str,
    role: Role,
    summary: &str,
) -> &'t mut Endpoint {
    let rotates = table.one::<O>(&format!("POST {path}/rotate"), role, summary);
    (rotates.gives.0, rotates.handler) = (200, rotate::<O>);
    rotates
}

fn of_jobs(table: &mut Table) {
    let (path, developer) = (
        "/projects/:id/job_tokens",
        Role::Project(Some(Level::Developer)),
    );
    let summary = "One's own job tokens for a project; for its maintainers all of them";
    table.page::<_, ListJobTokens>(&format!("GET {path}"), developer, summary);
    let summary = "Make a token for one job; it logs in as gitlab-ci-token";
    table.one::<CreateJobToken>(&format!("POST {path}"), developer, summary);
    let path = format!("DELETE {path}/:token_id");
    table.nothing::<RevokeToken<JobTokenView>>(&path, developer, "End a job token");
}

/// GitLab's words, and what has taken the token's place, where something has.
fn already_revoked(error: &Error) -> String {
    let words = "400 Bad request - token already revoked";
    match error.subject() {
        Some(_) => format!("{words}: {}", error.what()),
        None => words.to_owned(),
    }
}

fn rotate<O: Operation>(ask: &mut Ask<'_, '_>) -> Answer {
    let made = ask.perform(ask.request::<O>()?);
    let made = made.map_err(|error| match error.kind() {
        Kind::Conflict => Failure::message(400, already_revoked(&error)),
        _ => Failure::Of(error),
    })?;
    object(ask.status(), &json!(made))
}
