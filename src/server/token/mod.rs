//! The token endpoint, `/jwt/auth` (distribution, "Token Authentication Specification" and "OAuth2 Token
//! Authentication"): GET with Basic credentials, POST with a form, or nobody from a trusted network.
//!
//! Trust in a network never turns a wrong password into a login. The one exception is a daemon that sends
//! a mirror the credentials it has for Docker Hub: see `anonymous`.
//!
//! - `request`: what a request says. `scopes`: what of it is granted. `anonymous`: who comes without a login.
//! - `external`: tokens for other registries.

mod anonymous;
mod external;
mod request;
mod scopes;

use serde_json::json;

use super::call::Call;
use super::fields::put;
use super::{Appliance, error};
use crate::auth::jwt::{AUDIENCES, Bearer, Issue};
use crate::auth::policy::Refusal;
use crate::auth::scope::Ability;
use crate::auth::{Identity, Principal};
use crate::error::{Error, Kind, Result};
use crate::http::{Method, Response};
use request::TokenRequest;
use scopes::judge;

pub(super) use external::keys;

pub(super) fn token(appliance: &Appliance, call: &mut Call<'_>) -> Result<Response> {
    let request = match call.request.method {
        Method::Get => request::from_query(call)?,
        Method::Post => request::from_form(call)?,
        _ => {
            return Ok(
                error::body(405, "UNSUPPORTED", "the token endpoint takes GET and POST")
                    .header("Allow", "GET, POST"),
            );
        }
    };
    let service = request.service.as_deref().unwrap_or(AUDIENCES[0]);
    let Some(audience) = AUDIENCES.into_iter().find(|known| *known == service) else {
        return external::token(appliance, call, &request, service);
    };
    let identity = identify(appliance, call, &request)?;
    call.note_principal(&identity.principal);
    let judged = judge(appliance, &identity, &request.scopes)?;
    if let Some(missing) = judged.missing.filter(|_| judged.access.is_empty()) {
        return Ok(forbidden(call, &Refusal::Denied(missing).error("")));
    }
    if matches!(identity.principal, Principal::Anonymous) {
        anonymous::anonymous_may_have(appliance, call, &identity, &request, &judged)?;
    }
    let access = judged.access;
    if judged.is_tolerated {
        report_missing_abilities(appliance, call, &identity);
    }
    let jwt = appliance.authenticator.jwts().issue(Issue {
        bearer: bearer(&identity.principal),
        subject: &identity.principal.label(),
        access,
        audience,
        now: call.now,
    })?;
    Ok(granted(appliance, call, &jwt))
}

/// The answer that holds a token.
fn granted(appliance: &Appliance, call: &Call<'_>, jwt: &str) -> Response {
    let ttl = appliance.authenticator.jwts().ttl().as_secs();
    let answer = json!({ "token": jwt, "access_token": jwt, "expires_in": ttl, "issued_at": call.now.to_string() });
    error::json_body(
        Response::new(200).header("Cache-Control", "no-store"),
        &answer,
    )
}

fn identify(appliance: &Appliance, call: &Call<'_>, request: &TokenRequest) -> Result<Identity> {
    let Some((user, password)) = &request.credentials else {
        return Ok(Identity::anonymous(call.address));
    };
    if anonymous::is_for_docker_hub(appliance, call, request, user, password)? {
        return Ok(Identity::anonymous(call.address));
    }
    let identity =
        appliance
            .authenticator
            .by_basic(user, password, call.address, &call.id, call.now);
    if identity
        .as_ref()
        .is_err_and(|error| error.kind() == Kind::Unauthorized)
    {
        anonymous::note_failed_login(appliance, call, request, user, password)?;
    }
    identity
}

/// The log line for a credential that is let in though it lacks abilities: once for each JWT issued.
fn report_missing_abilities(appliance: &Appliance, call: &Call<'_>, identity: &Identity) {
    const MESSAGE: &str = "Dependency proxy missing authentication abilities";
    let principal = &identity.principal;
    let abilities: Vec<_> = principal.abilities().iter().map(Ability::as_str).collect();
    let remote_ip = identity.address.ip.to_string();
    let username = principal
        .user()
        .map_or_else(|| principal.label(), |user| user.name.clone());
    let mut event = json!({
        "severity": "WARN",
        "time": call.now.to_string(),
        "correlation_id": call.id,
        "message": MESSAGE,
        "authentication_abilities": abilities,
        "username": username,
        "remote_ip": remote_ip,
    });
    if let Some(user) = principal.user() {
        put(&mut event, "user_id", json!(user.id));
    }
    if let Some(token) = principal.token() {
        put(&mut event, "token_kind", json!(token.kind.as_str()));
        put(&mut event, "token_id", json!(token.id));
    }
    appliance.auth_log.write(&event);
    tracing::warn!(
        request_id = call.id,
        username,
        remote_ip,
        ?abilities,
        "{MESSAGE}"
    );
}

fn bearer(principal: &Principal) -> Bearer {
    match principal {
        Principal::Anonymous => Bearer::Anonymous,
        Principal::Password(user) => Bearer::Password {
            user: user.id,
            version: user.password_version,
        },
        Principal::PersonalToken(_, token)
        | Principal::GroupToken(_, token)
        | Principal::ProjectToken(_, token)
        | Principal::GroupDeployToken(_, token)
        | Principal::ProjectDeployToken(_, token)
        | Principal::JobToken(_, _, token) => Bearer::Token { id: token.id },
    }
}

/// GitLab's fields and the OCI form at once: docker shows the message only of the latter.
fn forbidden(call: &mut Call<'_>, error: &Error) -> Response {
    call.note.why = Some(error.logged_why());
    let body = json!({
        "message": "access forbidden",
        "status": "error",
        "http_status": 403,
        "errors": [{ "code": "DENIED", "message": error.to_string(), "detail": null }],
    });
    error::json_body(Response::new(403), &body)
}
