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
use crate::auth::policy::{self, Refusal, Worth};
use crate::auth::scope::Ability;
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
    let judged = judge(appliance, &identity, &request.scopes)?;
    if let Some(missing) = judged.missing.filter(|_| judged.access.is_empty()) {
        return Ok(forbidden(&Refusal::Denied(missing).error("").to_string()));
    }
    let access = judged.access;
    if matches!(identity.principal, Principal::Anonymous) {
        anonymous_may_have(appliance, &identity, &request, &access)?;
    }
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
        .by_basic(user, password, call.address, &call.id, call.now)
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
            && proxied_by(appliance, scope, true)?.is_some();
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

/// What a token request comes to.
#[derive(Default)]
struct Judged {
    /// The part of the requested scopes that the identity may have: what else is missing is left out.
    access: Vec<AccessEntry>,
    /// An ability that the credential lacks; refuses the request where nothing is granted.
    missing: Option<Ability>,
    /// Whether the credential is let in only because enforcement is off.
    is_tolerated: bool,
}

impl Judged {
    fn note(&mut self, worth: std::result::Result<Worth, Ability>) {
        match worth {
            Ok(worth) => self.is_tolerated |= worth.is_tolerated,
            Err(missing) => self.missing = Some(missing),
        }
    }
}

/// Judges every requested scope by the flags of its group, and a login, which names none, by the box's. So
/// is a scope about a group that the caller may not see: the answer never tells that it exists.
fn judge(appliance: &Appliance, identity: &Identity, scopes: &[Scope]) -> Result<Judged> {
    let mut judged = Judged::default();
    let principal = &identity.principal;
    let is_anonymous = matches!(principal, Principal::Anonymous);
    if scopes.is_empty() && !is_anonymous {
        judged.note(policy::worth(principal, appliance.box_flags()?));
    }
    for scope in scopes {
        let pulls = scope
            .actions
            .iter()
            .any(|action| action == "pull" || action == "*");
        let group = proxied_by(appliance, scope, is_anonymous)?.filter(|_| pulls);
        let verdict = match &group {
            Some(group) => appliance.authorize_group(identity, group)?,
            None => Err(Refusal::Unknown),
        };
        match (verdict, &group) {
            (Ok(_), Some(group)) => {
                if !is_anonymous {
                    judged.note(policy::worth(principal, appliance.group_flags(group)?));
                }
                judged.access.push(AccessEntry {
                    kind: scope.kind.clone(),
                    name: scope.name.clone(),
                    actions: vec!["pull".to_owned()],
                });
            }
            (Err(Refusal::Denied(missing)), _) => judged.missing = Some(missing),
            (Err(Refusal::Unknown), _) | (Ok(_), None) if !is_anonymous => {
                judged.note(policy::worth(principal, appliance.box_flags()?));
            }
            _ => {}
        }
    }
    Ok(judged)
}

/// The group whose dependency proxy serves what a scope names; `None` for what is no cached repository.
///
/// A name below a group of this box is hosted, unless the request says otherwise by `ns`, which a scope
/// cannot carry. What a token grants is only an upper bound, so it may name such a repository too; but
/// nobody gets an anonymous token for one.
fn proxied_by(appliance: &Appliance, scope: &Scope, is_anonymous: bool) -> Result<Option<String>> {
    match place(scope) {
        Some(Place::Group { group, .. }) => Ok(Some(group)),
        Some(Place::Mirror { host, image, .. }) => {
            let first = image.components().next().unwrap_or_default();
            let hosted = host.is_none() && appliance.authenticator.group(first)?.is_some();
            Ok(appliance
                .mirror_group
                .clone()
                .filter(|_| !(hosted && is_anonymous)))
        }
        None => Ok(None),
    }
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
        event["user_id"] = json!(user.id);
    }
    if let Some(token) = principal.token() {
        event["token_kind"] = json!(token.kind.as_str());
        event["token_id"] = json!(token.id);
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
        Principal::PersonalToken(_, token)
        | Principal::GroupToken(_, token)
        | Principal::ProjectToken(_, token)
        | Principal::GroupDeployToken(_, token)
        | Principal::ProjectDeployToken(_, token)
        | Principal::JobToken(_, _, token) => Bearer::Token { id: token.id },
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
