//! The token endpoint, `/jwt/auth` (distribution, "Token Authentication Specification" and "OAuth2 Token
//! Authentication"): GET with Basic credentials, POST with a form, or nobody from a trusted network.
//!
//! Trust in a network never turns a wrong password into a login. The one exception is a daemon that sends
//! a mirror the credentials it has for Docker Hub: see [`is_for_docker_hub`].

use std::io::Read as _;

use serde_json::json;

use super::call::{Call, Credentials};
use super::router::{self, Place};
use super::{Appliance, error};
use crate::auth::jwt::{AUDIENCES, Bearer, Issue};
use crate::auth::policy::{self, Refusal};
use crate::auth::secret::{self, Shape};
use crate::auth::{Identity, Principal};
use crate::error::{Error, Kind, Result};
use crate::http::{Method, Response};
use crate::oci::{AccessEntry, Scope};

/// The largest form that is read.
const MAX_FORM: u64 = 64 * 1024;

/// What a token request says, however it came.
struct TokenRequest {
    credentials: Option<(String, String)>,
    service: Option<String>,
    account: Option<String>,
    scopes: Vec<Scope>,
}

pub(super) fn token(appliance: &Appliance, call: &mut Call<'_>) -> Result<Response> {
    let request = match call.request.method {
        Method::Get => from_query(call)?,
        Method::Post => from_form(call)?,
        _ => {
            return Ok(
                error::body(405, "UNSUPPORTED", "the token endpoint takes GET and POST")
                    .header("Allow", "GET, POST"),
            );
        }
    };
    let service = request.service.as_deref().unwrap_or(AUDIENCES[0]);
    let Some(audience) = AUDIENCES.into_iter().find(|known| *known == service) else {
        return Err(
            Error::new(Kind::NotFound, "this box knows no service of that name")
                .remedy("use service=dependency_proxy"),
        );
    };
    let identity = identify(appliance, call, &request)?;
    call.note_principal(&identity.principal);
    if let Err(Refusal::Denied(ability)) = policy::login(&identity.principal) {
        return Ok(forbidden(&Refusal::Denied(ability).error("").to_string()));
    }
    let access = granted(appliance, &identity, &request.scopes)?;
    if matches!(identity.principal, Principal::Anonymous) {
        anonymous_may_have(appliance, &identity, &request, &access)?;
    }
    let jwt = appliance.authenticator.jwts().issue(Issue {
        bearer: bearer(&identity.principal),
        subject: &identity.principal.label(),
        access,
        audience,
        now: call.now,
    })?;
    let ttl = appliance.authenticator.jwts().ttl().as_secs();
    let answer = json!({ "token": jwt, "access_token": jwt, "expires_in": ttl, "issued_at": call.now.to_string() });
    Ok(error::json_body(
        Response::new(200).header("Cache-Control", "no-store"),
        &answer,
    ))
}

fn from_query(call: &Call<'_>) -> Result<TokenRequest> {
    let credentials = match call.credentials() {
        Credentials::Basic(user, password) => Some((user, password)),
        Credentials::None => None,
        Credentials::Bearer(_) | Credentials::Unknown => {
            return Err(Error::new(
                Kind::Unauthorized,
                "the token endpoint takes a user name and a password or token",
            )
            .remedy("log in with `docker login`"));
        }
    };
    let scopes = call.query_all("scope");
    Ok(TokenRequest {
        credentials,
        service: call.query("service"),
        account: call.query("account"),
        scopes: Scope::parse_all(scopes.iter().map(String::as_str))?,
    })
}

fn from_form(call: &mut Call<'_>) -> Result<TokenRequest> {
    let mut form = Vec::new();
    let read = (&mut call.request.body)
        .take(MAX_FORM + 1)
        .read_to_end(&mut form);
    read.map_err(|error| Error::new(Kind::BadRequest, "the form did not arrive").because(error))?;
    if form.len() as u64 > MAX_FORM {
        return Err(Error::new(
            Kind::BadRequest,
            "the form is larger than 64 KiB",
        ));
    }
    let pairs: Vec<(String, String)> = form_urlencoded::parse(&form).into_owned().collect();
    let all = |name: &'static str| {
        pairs
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    let first = |name| all(name).next().map(str::to_owned);
    let credentials = match first("grant_type").as_deref() {
        Some("password") => first("username").zip(first("password")),
        // What a client sends back as refresh token is a token's secret; nothing else is ever one.
        Some("refresh_token") => first("refresh_token")
            .filter(|token| secret::shape(token) != Shape::Other)
            .map(|token| ("<token>".to_owned(), token)),
        _ => None,
    };
    if credentials.is_none() {
        return Err(Error::new(Kind::BadRequest, "the form holds no credentials")
            .remedy("send grant_type=password with username and password, or grant_type=refresh_token with a token"));
    }
    Ok(TokenRequest {
        credentials,
        service: first("service"),
        account: None,
        scopes: Scope::parse_all(all("scope"))?,
    })
}

fn identify(appliance: &Appliance, call: &Call<'_>, request: &TokenRequest) -> Result<Identity> {
    let Some((user, password)) = &request.credentials else {
        return Ok(Identity::anonymous(call.address));
    };
    if is_for_docker_hub(appliance, call, request, user, password)? {
        return Ok(Identity::anonymous(call.address));
    }
    appliance
        .authenticator
        .by_basic(user, password, call.address, call.now)
}

/// Whether these are a daemon's credentials for Docker Hub, sent to us because we are its mirror
/// (moby#42022). All of it must hold: a trusted address, at least one scope, every scope a pull on a
/// mirror path, an account that is none of ours, a secret without one of our prefixes.
fn is_for_docker_hub(
    appliance: &Appliance,
    call: &Call<'_>,
    request: &TokenRequest,
    user: &str,
    password: &str,
) -> Result<bool> {
    if request.scopes.is_empty() || secret::shape(password) != Shape::Other {
        return Ok(false);
    }
    let nobody = Identity::anonymous(call.address);
    if appliance.authorize_mirror(&nobody)?.is_err() {
        return Ok(false);
    }
    for scope in &request.scopes {
        let mirror = matches!(place(scope), Some(Place::Mirror { .. }))
            && pull_allowed(appliance, &nobody, scope)?;
        if !mirror || scope.actions != ["pull"] {
            return Ok(false);
        }
    }
    let accounts = [Some(user), request.account.as_deref()];
    for account in accounts.into_iter().flatten() {
        if appliance.authenticator.knows_user(account)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The part of the requested scopes that the identity may have: what is missing is left out.
fn granted(
    appliance: &Appliance,
    identity: &Identity,
    scopes: &[Scope],
) -> Result<Vec<AccessEntry>> {
    let mut access: Vec<AccessEntry> = Vec::new();
    for scope in scopes {
        let wants_pull = scope
            .actions
            .iter()
            .any(|action| action == "pull" || action == "*");
        if wants_pull && pull_allowed(appliance, identity, scope)? {
            let kind = scope.kind.clone();
            access.push(AccessEntry {
                kind,
                name: scope.name.clone(),
                actions: vec!["pull".to_owned()],
            });
        }
    }
    Ok(access)
}

/// Whether the identity may pull what a scope names.
fn pull_allowed(appliance: &Appliance, identity: &Identity, scope: &Scope) -> Result<bool> {
    match place(scope) {
        Some(Place::Group { group, .. }) => {
            Ok(appliance.authorize_group(identity, &group)?.is_ok())
        }
        Some(Place::Mirror { host, image, .. }) => {
            let first = image.components().next().unwrap_or_default();
            let hosted = host.is_none() && appliance.authenticator.group(first)?.is_some();
            Ok(!hosted && appliance.authorize_mirror(identity)?.is_ok())
        }
        None => Ok(false),
    }
}

/// Where the repository of a scope is; `None` for what is no repository of this box.
fn place(scope: &Scope) -> Option<Place> {
    let name: Vec<&str> = scope.name.split('/').collect();
    if scope.kind == "repository" {
        router::place(&name, None).ok()
    } else {
        None
    }
}

/// Nobody gets a token only for what a network rule allows; without any scope, where the mirror is allowed.
fn anonymous_may_have(
    appliance: &Appliance,
    identity: &Identity,
    request: &TokenRequest,
    access: &[AccessEntry],
) -> Result<()> {
    let allowed = if request.scopes.is_empty() {
        appliance.authorize_mirror(identity)?.is_ok()
    } else {
        !access.is_empty()
    };
    if allowed {
        Ok(())
    } else {
        Err(Refusal::Unauthenticated.error(""))
    }
}

fn bearer(principal: &Principal) -> Bearer {
    match principal {
        Principal::Anonymous => Bearer::Anonymous,
        Principal::Password(user) => Bearer::Password {
            user: user.id,
            version: user.password_version,
        },
        Principal::PersonalToken(_, token) => Bearer::Token { id: token.id },
    }
}

/// GitLab's fields and the OCI form at once: docker shows the message only of the latter.
fn forbidden(message: &str) -> Response {
    let body = json!({
        "message": "access forbidden",
        "status": "error",
        "http_status": 403,
        "errors": [{ "code": "DENIED", "message": message, "detail": null }],
    });
    error::json_body(Response::new(403), &body)
}
