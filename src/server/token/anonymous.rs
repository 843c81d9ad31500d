//! Token requests of nobody: who sends no credentials, or those of another registry, and is judged by the network.

use std::net::IpAddr;

use super::super::Appliance;
use super::super::authorize::Verdict;
use super::super::call::Call;
use super::request::TokenRequest;
use super::scopes::{self, Judged, Named};
use crate::auth::Identity;
use crate::auth::policy::Refusal;
use crate::auth::secret::{self, Shape};
use crate::error::{Error, Kind, Result};

/// Whether these are a daemon's credentials for Docker Hub, sent to us because we are its mirror
/// (moby#42022), and count as nobody's. All of it must hold: a trusted address, at least one scope, every scope a pull on
/// a mirror path, an account that is none of ours, a secret without one of our prefixes.
pub(super) fn is_for_docker_hub(
    appliance: &Appliance,
    call: &Call<'_>,
    request: &TokenRequest,
    user: &str,
    password: &str,
) -> Result<bool> {
    let nobody = Identity::anonymous(call.address);
    // Whoever logs in through a proxy needs no trust: what speaks against it is told only where the login fails.
    Ok(call.address.not_trusted.is_none()
        && only_pulls_from_mirror(appliance, request, password)?
        && appliance.authorize_mirror(&nobody)?.is_granted()
        && is_nobody_s(appliance, request, user)?)
}

/// Notes a login that failed, where it was one of a daemon for Docker Hub. Not before it is judged: whether a user exists
/// decides nothing while its address may be banned.
pub(super) fn note_failed_login(
    appliance: &Appliance,
    call: &Call<'_>,
    request: &TokenRequest,
    user: &str,
    password: &str,
) -> Result<()> {
    let nobody = Identity::anonymous(call.address);
    if only_pulls_from_mirror(appliance, request, password)?
        && !appliance.authorize_mirror(&nobody)?.is_granted()
        && is_nobody_s(appliance, request, user)?
    {
        refused_mirror(appliance, call, request)?;
    }
    Ok(())
}

fn only_pulls_from_mirror(
    appliance: &Appliance,
    request: &TokenRequest,
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
    Ok(true)
}

fn is_nobody_s(appliance: &Appliance, request: &TokenRequest, user: &str) -> Result<bool> {
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
    call: &Call<'_>,
    identity: &Identity,
    request: &TokenRequest,
    judged: &Judged,
) -> Result<()> {
    let refusal = match request.scopes.is_empty() {
        true => match appliance.authorize_mirror(identity)? {
            Verdict::Granted(_) => None,
            Verdict::Refused(refusal) => Some(refusal),
        },
        false if judged.access.is_empty() => {
            let untrusted = judged.untrusted.clone();
            Some(untrusted.unwrap_or(Refusal::Unauthenticated))
        }
        false => None,
    };
    let Some(refusal) = refusal else {
        return Ok(());
    };
    match refused_mirror(appliance, call, request)? {
        true => Err(untrusted(identity.address.ip)),
        false => Err(refusal.error("")),
    }
}

/// Notes what nobody has asked of the mirror in vain; whether that is for want of a network rule.
fn refused_mirror(appliance: &Appliance, call: &Call<'_>, request: &TokenRequest) -> Result<bool> {
    let mut image = None;
    for scope in request.scopes.iter().filter(|scope| scopes::pulls(scope)) {
        if matches!(scopes::named(appliance, scope)?, Named::Mirror) {
            image = Some(scope.name.as_str());
            break;
        }
    }
    let Some(image) = image else {
        return Ok(false);
    };
    let nobody = Identity::anonymous(call.address);
    if !matches!(
        appliance.authorize_mirror(&nobody)?,
        Verdict::Refused(Refusal::Untrusted)
    ) {
        return Ok(false);
    }
    let mirror = &appliance.refused_mirror;
    mirror.note_name(image, call.now);
    // A proxy or a browser: what to do about it is told by `Appliance::authorize_group`.
    if call.address.not_trusted.is_some() {
        return Ok(false);
    }
    mirror.note(call.address.ip, image, call.now);
    Ok(true)
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
