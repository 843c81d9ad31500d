//! Token requests of nobody: who sends no credentials, or those of another registry, and is judged by the network.

use std::net::IpAddr;

use super::super::Appliance;
use super::super::call::Call;
use super::request::TokenRequest;
use super::scopes::{self, Named};
use crate::auth::Identity;
use crate::auth::policy::Refusal;
use crate::auth::secret::{self, Shape};
use crate::error::{Error, Kind, Result};
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
    let nobody = Identity::anonymous(call.address);
    if appliance.authorize_mirror(&nobody)?.is_err() {
        refused_mirror(appliance, call, &nobody, request)?;
        return Ok(false);
    }
    Ok(true)
}

/// Nobody gets a token only for what a network rule allows; without any scope, where the mirror is allowed.
pub(super) fn anonymous_may_have(
    appliance: &Appliance,
    call: &Call<'_>,
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
        return Ok(());
    }
    match refused_mirror(appliance, call, identity, request)? {
        true => Err(untrusted(identity.address.ip)),
        false => Err(Refusal::Unauthenticated.error("")),
    }
}

/// Notes what nobody has asked of the mirror in vain; whether that is for want of a network rule.
fn refused_mirror(
    appliance: &Appliance,
    call: &Call<'_>,
    nobody: &Identity,
    request: &TokenRequest,
) -> Result<bool> {
    if appliance.mirror_group().is_none() {
        return Ok(false);
    }
    let mut images = Vec::new();
    for scope in &request.scopes {
        if matches!(scopes::named(appliance, scope)?, Named::Mirror) {
            images.push(scope.name.as_str());
        }
    }
    for image in &images {
        appliance.refused_mirror.note_name(image, call.now);
    }
    match (images.first(), nobody.address.not_trusted) {
        // A proxy or a browser: what to do about it is told by `Appliance::authorize_group`.
        (None, _) | (_, Some(_)) => Ok(false),
        (Some(image), None) => {
            let mirror = &appliance.refused_mirror;
            mirror.note(nobody.address.ip, image, call.now);
            Ok(true)
        }
    }
}

/// Says to whom it may concern which network would have to be trusted: the client's own address is no secret to it.
fn untrusted(ip: IpAddr) -> Error {
    let what =
        format!("authentication is required: no network rule lets {ip} pull without a login");
    let network = crate::network::of_segment(ip);
    Error::new(Kind::Unauthorized, what).remedy(format!(
        "log in with `docker login`, or have the administrator of this box run `breakwater network add {network} --ability fill`"
    ))
}
