//! Who sends a request to the REST API, and whether the token's scopes are enough for the endpoint.

use super::answer::Failure;
use super::table::{Endpoint, Scope};
use crate::auth::credentials::{CredentialRefusal, NotLetIn};
use crate::auth::scope::Ability;
use crate::auth::{Identity, Principal};
use crate::error::{Error, Result};
use crate::server::Appliance;
use crate::server::call::{Call, Credentials};
use crate::store::{Actor, TokenId};

/// Who sends the request: a token's secret in `PRIVATE-TOKEN` or as Bearer, or where GitLab takes it that of a
/// job token in `JOB-TOKEN`. A JWT of the token endpoint is none, whatever it was issued for.
pub(super) fn identify(
    appliance: &Appliance,
    call: &mut Call<'_>,
    endpoint: &Endpoint,
) -> Result<Identity, Failure> {
    let takes_jobs = matches!(endpoint.scope, Scope::ReadOrJob | Scope::WriteOrJob);
    // An empty field is no failed login: scripts send one where their variable is not set.
    let field = |name| call.request.headers.get(name).filter(|it| !it.is_empty());
    let job = field("JOB-TOKEN").filter(|_| takes_jobs);
    let secret = match (field("PRIVATE-TOKEN"), job, call.credentials()) {
        (Some(secret), ..) | (None, Some(secret), _) => secret.to_owned(),
        (None, None, Credentials::Bearer(secret)) => secret,
        _ => return Err(Failure::unauthorized()),
    };
    let is_by_job = job.is_some() && field("PRIVATE-TOKEN").is_none();
    let authenticator = &appliance.authenticator;
    let identity = match authenticator.by_secret(&secret, call.address, &call.id, call.now) {
        Ok(identity) => identity,
        Err(NotLetIn::Other(error)) => return Err(error.into()),
        Err(NotLetIn::Refused { why, retry_after }) => {
            // Also where it was sent too often: otherwise whoever has the secret could keep its family alive. It is
            // not told again and again that the family has ended.
            if let CredentialRefusal::Revoked(id, _) = why
                && endpoint.scope == Scope::SelfRotation
                && (retry_after.is_none() || appliance.store.access.family_lives(id)?)
            {
                revoke_family(appliance, call, id)?;
            }
            if retry_after.is_some() {
                return Err(Error::from(NotLetIn::Refused { why, retry_after }).into());
            }
            call.note.why = Some(format!("login failed: {}", why.why()));
            return Err(refused(&why));
        }
    };
    call.note_principal(&identity.principal);
    if matches!(identity.principal, Principal::JobToken(..)) != is_by_job {
        return Err(Failure::unauthorized());
    }
    if !is_by_job {
        suffices(&identity, endpoint.scope)?;
    }
    Ok(identity)
}

/// Refuses a token whose scopes are not enough.
///
/// # Errors
/// 403, with the scopes that would be.
pub(super) fn suffices(identity: &Identity, scope: Scope) -> Result<(), Failure> {
    let abilities = identity.principal.abilities();
    match scope {
        Scope::Read | Scope::ReadOrJob if !abilities.has(Ability::ReadApi) => {
            Err(Failure::insufficient_scope("api read_api"))
        }
        Scope::Write | Scope::SelfRotation | Scope::WriteOrJob
            if !abilities.has(Ability::WriteApi) =>
        {
            Err(Failure::insufficient_scope("api"))
        }
        _ => Ok(()),
    }
}

/// GitLab's words, where it has some.
fn refused(refusal: &CredentialRefusal) -> Failure {
    Failure::invalid_token(match refusal {
        CredentialRefusal::Expired(_) => {
            "Token is expired. You can either do re-authorization or token refresh."
        }
        CredentialRefusal::Revoked(..) => {
            "Token was revoked. You have to re-authorize from the user."
        }
        CredentialRefusal::Blocked(_) => "The user of this token is blocked.",
        _ => return Failure::unauthorized(),
    })
}

/// Whoever rotates a token that was revoked already uses a secret that should be gone.
fn revoke_family(appliance: &Appliance, call: &Call<'_>, id: TokenId) -> Result<()> {
    let actor = Actor::new(format!("token {} after its revocation", id.0))
        .address(call.address.ip)
        .correlation_id(&call.id);
    appliance.store.access.revoke_family(&actor, id)
}
