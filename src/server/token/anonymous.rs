//! Token requests of nobody: who sends no credentials, or those of another registry, and is judged by the network.

use super::super::Appliance;
use super::super::call::Call;
use super::request::TokenRequest;
use super::scopes::{self, Named};
use crate::auth::Identity;
use crate::auth::policy::Refusal;
use crate::auth::secret::{self, Shape};
use crate::error::Result;
use crate::oci::AccessEntry;

/// Whether these are a daemon's credentials for Docker Hub, sent to us because we are its mirror
/// (moby#42022). All of it must hold: a trusted address, at least one scope, every scope a pull on a
/// mirror path, an account that is none of ours, a secret without one of our prefixes.
pub(super) fn is_for_docker_hub(
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
        let named = scopes::named(appliance, scope)?;
        if !matches!(named, Named::Mirror) || scope.actions != ["pull"] {
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

/// Nobody gets a token only for what a network rule allows; without any scope, where the mirror is allowed.
pub(super) fn anonymous_may_have(
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
